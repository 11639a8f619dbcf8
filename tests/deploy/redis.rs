//! A real Redis of a test's own, on a unix socket in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::succeeds;

pub(crate) struct Redis {
    child: Child,
    pub(crate) socket: PathBuf,
    folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, arguments)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let socket = folder.path().join("redis.sock");
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(&program)
            .args(["--port", "0", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .args(["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"])
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed (make setup installs it): {error}"));
        let redis = Self { child, socket, folder };
        redis.wait_until_it_answers();
        redis
    }

    fn wait_until_it_answers(&self) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let answer = Command::new("redis-cli").arg("-s").arg(&self.socket).arg("ping").output().unwrap();
            // One that wants a password answers too.
            if answer.stdout.starts_with(b"PONG") || answer.stdout.starts_with(b"NOAUTH") {
                return;
            }
            std::thread::yield_now();
        }
        panic!("redis-server does not answer on {}", self.socket.display());
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        succeeds(command.arg("-s").arg(&self.socket).args(words)).trim_end().to_owned()
    }

    pub(crate) fn setting(&self, name: &str) -> String {
        self.ask(&["config", "get", name]).lines().nth(1).unwrap_or_default().to_owned()
    }

    /// A fingerprint over all keys and values.
    pub(crate) fn digest(&self) -> String {
        self.ask(&["debug", "digest"])
    }

    /// Every type of key that Touchpoint writes.
    pub(crate) fn fill(&self) {
        self.ask(&["set", "tp:clock", "86400000"]);
        self.ask(&["set", "tp:{s0}:seen:1", "", "EX", "604800"]);
        self.ask(&["hset", "tp:{s0}:actor:customer:wm1", "name", "李娜 🌸", "orders", "3"]);
        self.ask(&["zadd", "tp:{s0}:timers", "1764000000000", "customer:wm1 run:win_back"]);
        self.ask(&["sadd", "tp:{s0}:set", "a", "b"]);
        self.ask(&["rpush", "tp:{s0}:line:customer:wm1", "{\"type\":\"order.paid\"}", "{}"]);
        for order in 0..200 {
            self.ask(&["xadd", "tp:{s0}:in", "*", "event", &format!("order {order}")]);
        }
        // The server trims what is committed; the ids must go on from where they were.
        self.ask(&["xtrim", "tp:{s0}:in", "MAXLEN", "=", "20"]);
        self.ask(&["xadd", "tp:{s0}:bulk", "*", "event", "x"]);
        self.ask(&["xtrim", "tp:{s0}:bulk", "MAXLEN", "=", "0"]);
    }

    /// Ends it as a crash would, and gives its folder.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.folder, empty)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
