//! Redis servers: one that all tests share, and servers of a single test that may be frozen, killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

/// A Redis that all tests of this binary share, each with its own prefix. It ends with the process.
pub(crate) fn shared() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("touchpoint-tests").tempdir().unwrap().keep();
        let path = dir.clone();
        // The death signal is tied to the thread that spawns: this one lives as long as the process.
        std::thread::spawn(move || {
            let mut server = Command::new("setpriv");
            server.args(["--pdeathsig", "KILL", "redis-server", "--appendonly", "no"]);
            start(&mut server, &path).wait().expect("the child is ours");
        });
        await_server(&dir)
    })
}

fn start(server: &mut Command, dir: &Path) -> Child {
    server.args(["--port", "0", "--save", "", "--maxmemory-policy", "noeviction", "--dir"]).arg(dir);
    server.arg("--unixsocket").arg(socket(dir)).stdout(Stdio::null());
    server.spawn().expect("redis-server and setpriv are installed by `make test`")
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

/// Waits until it takes connections; gives its address.
fn await_server(dir: &Path) -> String {
    for _ in 0..2000 {
        if std::os::unix::net::UnixStream::connect(socket(dir)).is_ok() {
            return format!("unix://{}", socket(dir).display());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("redis-server did not start in {}", dir.display());
}

/// A Redis of one test, without an append-only file: started again, it is empty.
pub(crate) struct OwnRedis {
    child: Child,
    pub(crate) url: String,
    dir: TempDir,
}

impl OwnRedis {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = start(&mut Command::new("redis-server"), dir.path());
        let url = await_server(dir.path());
        Self { child, url, dir }
    }

    /// Where it keeps its data.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// It lives and says nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// It dies, and a new one takes its place at the same address, empty.
    pub(crate) fn restart_empty(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(socket(self.dir.path())).unwrap();
        self.child = start(&mut Command::new("redis-server"), self.dir.path());
        await_server(self.dir.path());
    }

    pub(crate) fn run(&self, command: &[&str]) {
        let mut link = redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap();
        let mut asked = redis::Cmd::new();
        for word in command {
            asked.arg(*word);
        }
        asked.exec(&mut link).unwrap();
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}
