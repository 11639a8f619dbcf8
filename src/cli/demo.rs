//! `touchpoint demo`: a private Redis, a simulated WeCom, the server and a sample company, all at once.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::decide::guardrails;
use crate::playbook::load;
use crate::runtime::app::NotStarted;
use crate::runtime::reload::Reloaded;
use crate::settings::Settings;
use crate::telemetry;
use crate::wecom::limits::Limits;

use super::demo_stage::{self, Setting, Stage, free_address};
use super::{demo_month, demo_script, demo_tour, serve};

/// How to play.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Play a month of the sample company in seconds, tell it as a table, and check what WeCom received
    #[arg(long)]
    pub script: bool,
    /// The folder of rules to begin with, inside the configuration folder
    #[arg(long, value_name = "NAME", default_value = "playbook")]
    pub playbook: String,
    /// Where the server listens; another port when this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where the sandbox listens; another port when this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub sandbox_listen: SocketAddr,
}

/// Fewer than a server has: one process, one month, one machine.
const SHARDS: u16 = 8;
/// The demo opens that long after the first working moment of a day.
const AFTER_OPENING: TimeDelta = TimeDelta::minutes(30);

/// Runs the demo until SIGINT or SIGTERM, or the script to its end.
///
/// Exit code 0 after an orderly stop or when every check of the script holds, 1 when one does not or the rules are
/// faulty, 3 when it cannot run.
#[must_use]
pub fn demo(config: &Path, options: &Options) -> ExitCode {
    telemetry::start_logs("warn");
    let rules = config.join(&options.playbook);
    serve::with_runtime(async {
        let played = if options.script { script(&rules).await } else { tour(&rules, options).await };
        played.unwrap_or_else(serve::refused)
    })
}

async fn script(rules: &Path) -> Result<ExitCode, NotStarted> {
    let mut signals = Signals::listen()?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let setting = Setting {
        rules,
        server: free_address(any)?,
        sandbox: free_address(any)?,
        shards: SHARDS,
        limits: Limits::none(),
        acts: false,
        place: demo_stage::place_in_memory(),
    };
    // The same days whenever it is played: the calendar of the sample company has a holiday among them.
    let stage = Stage::open(setting, |_| Ok(Clock::starting_at(demo_month::opens()?))).await?;
    let code = tokio::select! {
        code = demo_script::play(&stage) => code,
        () = signals.until_stopped(&stage) => ExitCode::from(3),
    };
    stage.close().await;
    Ok(code)
}

async fn tour(rules: &Path, options: &Options) -> Result<ExitCode, NotStarted> {
    let mut signals = Signals::listen()?;
    let setting = Setting {
        rules,
        server: free_address(options.listen)?,
        sandbox: free_address(options.sandbox_listen)?,
        shards: SHARDS,
        limits: Limits::none(),
        acts: true,
        place: std::env::temp_dir(),
    };
    let stage = Stage::open(setting, next_morning).await?;
    demo_tour::invite(&stage).await?;
    say(&demo_tour::guide(&stage));
    signals.until_stopped(&stage).await;
    say("stopping\n");
    stage.close().await;
    Ok(ExitCode::SUCCESS)
}

/// A clock at the beginning of the next working day, so that cards come at once whenever the demo is started.
fn next_morning(settings: &Settings) -> Result<Clock, NotStarted> {
    let loaded = load::load(&settings.config_dir, &settings.playbook_context()).map_err(NotStarted::Faulty)?;
    let tomorrow = guardrails::day_of(settings.server.timezone, chrono::Utc::now()) + TimeDelta::days(1);
    let rules = &loaded.playbook.guardrails;
    let opening = guardrails::opening_on_or_after(rules, settings.server.timezone, tomorrow);
    Ok(Clock::starting_at(opening + AFTER_OPENING))
}

/// What whoever runs the demo may tell it; listened to from the start, so that nothing is left behind.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening to signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn until_stopped(&mut self, stage: &Stage) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload(stage),
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}

/// Reloads and says on the terminal what came of it.
fn reload(stage: &Stage) {
    say(match stage.app.reload() {
        Reloaded::Swapped(_) => "the changed rules are in force\n",
        Reloaded::Unchanged => "the rules are unchanged\n",
        // The log has said why.
        Reloaded::Refused(_) => "the reload is refused; the rules before it stay in force\n",
    });
}

/// Prints. Whoever does not listen any more must not keep the demo from stopping in order.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        tracing::debug!(%error, "nobody reads what the demo prints");
    }
}
