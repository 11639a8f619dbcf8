//! Redis, Touchpoint and the bare server as processes of their own, and what they have used.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

/// Nothing that is waited for here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The most of a process's output that is kept for an error.
const LINES_KEPT: usize = 20;

/// A process that ends with this one.
pub(crate) struct Process {
    child: Child,
    output: mpsc::Receiver<String>,
    complaints: Arc<AtomicUsize>,
}

impl Process {
    /// Starts it; its standard error is read, so that it never has to wait to be heard.
    pub(crate) fn start<const N: usize>(program: impl Into<OsString>, arguments: [&str; N]) -> anyhow::Result<Self> {
        let program = program.into();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let errors = child.stderr.take().context("the child's standard error is a pipe")?;
        let (sender, output) = mpsc::sync_channel(LINES_KEPT);
        let complaints = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&complaints);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if line.contains(r#""level":"ERROR""#) || line.contains(r#""level":"WARN""#) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                // What nobody asks for any more is read and forgotten.
                drop(sender.try_send(line));
            }
        });
        Ok(Self { child, output, complaints })
    }

    /// Waits for a line with these words; gives what stands behind them.
    pub(crate) fn said(&self, words: &str) -> anyhow::Result<String> {
        let begun = Instant::now();
        let mut heard = Vec::new();
        while let Ok(line) = self.output.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            if let Some((_, rest)) = line.split_once(words) {
                return Ok(rest.trim().to_owned());
            }
            heard.push(line);
        }
        anyhow::bail!("it never said {words:?}, but: {}", heard.join("\n"))
    }

    /// Lines of its log at `WARN` and `ERROR`.
    pub(crate) fn complaints(&self) -> usize {
        self.complaints.load(Ordering::Relaxed)
    }

    /// Files and sockets it has open.
    pub(crate) fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).context("reading /proc")?.count())
    }

    /// CPU used since it started, by all its threads, in user space and in the kernel.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).context("reading /proc")? {
            // A thread may end while its siblings are looked at.
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let used = stat.split_whitespace().next().context("a thread has used some time")?;
            nanoseconds += used.parse::<u64>().context("time is counted in nanoseconds")?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Memory it has in use, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("reading /proc")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("memory is counted in kB")?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; whoever needed it has complained by now.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// The append-only file lies in memory where there is such a place: what a disk does in its own time is no figure of ours.
fn folder_in_memory() -> std::io::Result<TempDir> {
    let make = || tempfile::Builder::new().prefix("touchpoint-bench").to_owned();
    make().tempdir_in("/dev/shm").or_else(|_| make().tempdir())
}

/// A Redis of this run alone, set up as the README says for one of your own.
pub(crate) struct Redis {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) version: String,
    link: redis::aio::MultiplexedConnection,
    _dir: TempDir,
}

impl Redis {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = folder_in_memory().context("making a folder")?;
        let socket = dir.path().join("redis.sock");
        let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the temporary folder's name is text");
        let (folder, socket_text) = (text(dir.path())?, text(&socket)?);
        let process = Process::start(
            program,
            [
                "--port",
                "0",
                "--unixsocket",
                &socket_text,
                "--dir",
                &folder,
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
            ],
        )?;
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "redis-server did not start; `make setup` installs it");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let url = format!("unix://{socket_text}");
        let client = redis::Client::open(url.as_str()).context("a socket is an address")?;
        // Forgetting hundreds of thousands of keys takes longer than an answer usually may.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connecting = client.get_multiplexed_async_connection_with_config(&patient);
        let mut link = connecting.await.context("connecting to Redis")?;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut link).await?;
        let version = server.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?").to_owned();
        Ok(Self { process, url, version, link, _dir: dir })
    }

    /// A connection of one's own for looking on.
    pub(crate) fn link(&self) -> redis::aio::MultiplexedConnection {
        self.link.clone()
    }

    /// Forgets everything.
    pub(crate) async fn empty(&self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").arg("SYNC").exec_async(&mut self.link()).await?)
    }

    /// Bytes in use without the buffers of connections and of the append-only file.
    pub(crate) async fn stored_bytes(&self) -> anyhow::Result<u64> {
        let memory: String = redis::cmd("INFO").arg("memory").query_async(&mut self.link()).await?;
        let figure = |name: &str| -> anyhow::Result<u64> {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.with_context(|| format!("Redis tells {name}"))?.trim().parse().context("memory is a number")
        };
        Ok(figure("used_memory")? - figure("mem_clients_normal")? - figure("mem_aof_buffer")?)
    }
}
