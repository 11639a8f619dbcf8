//! `touchpoint serve`: the server, until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::playbook::diagnostic::Faults;
use crate::runtime::app::{App, NotStarted, Roles};
use crate::settings::{self, Settings};
use crate::telemetry;
use crate::wecom::limits::Limits;

/// How to run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which parts this process runs: web takes in and answers, worker decides and calls WeCom
    #[arg(long, value_delimiter = ',', default_value = "web,worker", value_name = "ROLE")]
    pub role: Vec<Role>,
}

/// A part of the server that may run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes callbacks and events in, answers the API.
    Web,
    /// Owns shards: decides, fires timers, makes calls.
    Worker,
}

/// Runs the server until SIGTERM or SIGINT; SIGHUP reloads the rules.
///
/// Exit code 0 after an orderly stop, 1 when settings or rules are faulty, 3 when it cannot run.
#[must_use]
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
pub fn serve(config: &Path, options: &Options) -> ExitCode {
    let roles = Roles { web: options.role.contains(&Role::Web), worker: options.role.contains(&Role::Worker) };
    telemetry::start_logs("info");
    let settings = match load(config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let ended = with_runtime(async {
        let app = match App::start_as(&settings, Clock::default(), Limits::default(), roles).await {
            Ok(app) => app,
            Err(error) => return refused(error),
        };
        eprintln!("touchpoint listens on http://{}", app.addr());
        until_stopped(app).await
    });
    crate::traces::finish();
    ended
}

/// Loads settings, telling what is wrong with them.
///
/// # Errors
/// The exit code.
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
pub(super) fn load(config: &Path) -> Result<Settings, ExitCode> {
    if !config.is_dir() {
        eprintln!("error: there is no folder {}; name one with --config DIR", config.display());
        return Err(ExitCode::from(3));
    }
    match settings::load(config) {
        Ok((settings, _)) => Ok(settings),
        Err(faults) => Err(tell(&faults)),
    }
}

#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
fn tell(faults: &Faults) -> ExitCode {
    for fault in faults.errors() {
        eprintln!("{fault}");
    }
    eprintln!("error: the configuration cannot be used; `touchpoint check` tells everything at once");
    ExitCode::from(1)
}

/// Tells why the server does not start.
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
pub(super) fn refused(error: NotStarted) -> ExitCode {
    match error {
        NotStarted::Faulty(faults) => tell(&faults),
        NotStarted::Other(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Runs a future on all cores.
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
pub(super) fn with_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    // The private Redis is spawned from this thread: its death signal is tied to the thread that spawned it.
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            ExitCode::from(3)
        }
    }
}

async fn until_stopped(app: App) -> ExitCode {
    let signals = || -> std::io::Result<[Signal; 3]> {
        Ok([signal(SignalKind::hangup())?, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?])
    };
    let [mut hangup, mut terminate, mut interrupt] = match signals() {
        Ok(signals) => signals,
        Err(error) => return refused(NotStarted::Other(error.into())),
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => drop(app.reload()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping: batches and calls under way are finished first");
    app.stop().await;
    ExitCode::SUCCESS
}
