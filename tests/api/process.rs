//! The server as a process of its own, which can be signalled, stopped and killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Nothing here takes longer, takeovers included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct RealProcess {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: String,
}

impl RealProcess {
    /// Starts `touchpoint serve` over a configuration folder; ready when it listens.
    pub(crate) fn serve(config: &Path, log_level: &str) -> Self {
        let log = tempfile::Builder::new().prefix("log").tempfile_in(config).unwrap();
        let (file, path) = log.keep().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchpoint"));
        command.arg("--config").arg(config).arg("serve").env("RUST_LOG", log_level);
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let mut process = Self { child, log: path, address: String::new() };
        let begun = Instant::now();
        while process.address.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", process.log());
            std::thread::park_timeout(Duration::from_millis(5));
            let log = process.log();
            let said = log.split_once("touchpoint listens on ").and_then(|(_, rest)| rest.split_once('\n'));
            process.address = said.map_or("", |(address, _)| address).to_owned();
        }
        process
    }

    /// Everything it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Sends a signal, such as `HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "{}", self.log());
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for RealProcess {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

/// What a command of `touchpoint` printed, and its exit code.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command of `touchpoint` over a configuration folder.
pub(crate) fn touchpoint(config: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchpoint"));
    let output = command.arg("--config").arg(config).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Looks again and again until something is so; what another process does cannot be waited for otherwise.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) -> Duration {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    loop {
        looks.tick().await;
        if is_so().await {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
    }
}
