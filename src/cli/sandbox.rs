//! `touchpoint sandbox`: the simulated WeCom alone.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::sandbox::{self, Sandbox, ServerClock, Staff};
use crate::telemetry;

use super::{demo_stage, serve};

/// How to simulate.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where callbacks go: the address that the admin console would be given
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/wecom/callback/assistant")]
    pub callback: String,
    /// The server's /v1/clock, moved together with the sandbox's own
    #[arg(long, value_name = "URL", requires = "server_token")]
    pub server_clock: Option<String>,
    /// A bearer token of the server's API, for its clock
    #[arg(long, value_name = "TOKEN")]
    pub server_token: Option<String>,
    /// Ids and codes follow from it
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Runs the sandbox until SIGINT or SIGTERM.
///
/// Exit code 0 after an orderly stop, 3 when it cannot run.
#[must_use]
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
pub fn sandbox(options: &Options) -> ExitCode {
    telemetry::start_logs("info");
    serve::with_runtime(async {
        match run(options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(3)
            }
        }
    })
}

#[expect(clippy::print_stdout, reason = "a command talks to whoever called it")]
async fn run(options: &Options) -> anyhow::Result<()> {
    // Before anything is printed: whoever reads it may stop the sandbox at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server_clock = options.server_clock.clone().zip(options.server_token.clone());
    let started = Sandbox::start(sandbox::Options {
        listen: options.listen,
        clock: Clock::default(),
        corp_id: demo_stage::CORP_ID.to_owned(),
        apps: vec![demo_stage::app(Some(options.callback.clone()))],
        seed: options.seed,
        acts: true,
        server_clock: server_clock.map(|(url, bearer)| ServerClock { url, bearer }),
    });
    let sandbox = started.await.with_context(|| format!("listening on {}", options.listen))?;
    for (userid, name) in [("lili", "李丽"), ("wangwei", "王伟"), ("zhangsan", "张珊")] {
        sandbox.world().hire(Staff::new(userid, name));
    }
    print!("{}", told(&sandbox.base_url(), &options.callback));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

fn told(base: &str, callback: &str) -> String {
    let settings = demo_stage::wecom_yaml(base);
    format!(
        "The sandbox listens on {base}\n\n\
         \x20 page        {base}/\n\
         \x20 WeCom       {base} (as wecom.api_base)\n\
         \x20 control     {base}/control/state, /control/log, /control/receipts, /control/callbacks (GET)\n\
         \x20 callbacks   go to {callback}\n\
         \x20 staff       lili, wangwei, zhangsan; hire more with POST {base}/control/staff\n\n\
         In touchpoint.yaml:\n\n{settings}\n\
         A customer adds a staff member:\n\n\
         \x20 curl -s {base}/control/customers/wmTest/add -H 'content-type: application/json' \
         -d '{{\"userid\":\"lili\",\"state\":\"store-01\"}}'\n\n\
         A POST that is not understood is answered with what should be sent. Ctrl-C stops it.\n"
    )
}
