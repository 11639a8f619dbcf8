//! A private `redis-server` of our own.
//!
//! A thread of its own starts the server, watches it, starts it again when it dies, and stops it. The thread lives as
//! long as the server: Linux sends the death signal when the thread that started a child ends, not the process. The
//! signal is KILL: with `appendfsync always` nothing that was answered is lost, and the folder is free at once for the
//! next process. A server that was left behind all the same (no `setpriv`, or a death in the moment before it took hold)
//! is stopped by the next process that holds the folder's lock.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Error;
use super::engine::Program;
use super::folder::{Folder, forget};

/// How often the server is looked after.
const LOOK: Duration = Duration::from_millis(40);

/// The longest a server may take to stop before it is killed.
const STOPPING: Duration = Duration::from_secs(10);

/// The wait before a server that died is started again; it doubles while the server keeps dying.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// The longest such wait.
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// The private server. It is stopped when this is dropped.
pub(super) struct Embedded {
    socket: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Dropped to stop the server.
    order: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Embedded {
    /// Starts a server over `dir`, which is made when missing; gives it once the server answers.
    pub(super) async fn start(dir: &Path) -> Result<Self, Error> {
        let dir = dir.to_owned();
        let (order, orders) = mpsc::channel();
        let (report, reported) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("redis".to_owned())
            .spawn(move || live(&dir, &orders, report))
            .map_err(|error| Error::Unfit(format!("there is no thread for the private Redis: {error}")))?;
        match reported.await {
            Ok(Ok(socket)) => Ok(Self { socket, running: Mutex::new(Some(Running { order, thread })) }),
            Ok(Err(why)) => Err(Error::Unfit(why)),
            Err(_) => Err(Error::Unfit("the private Redis could not be started".to_owned())),
        }
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops the server; its data is on disk when this returns. A second call does nothing.
    pub(super) async fn stop(&self) {
        if let Some(thread) = self.order_to_stop()
            && let Err(error) = tokio::task::spawn_blocking(move || thread.join()).await
        {
            tracing::warn!(%error, "nobody knows whether the private Redis has stopped");
        }
    }

    fn order_to_stop(&self) -> Option<JoinHandle<()>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.map(|Running { order, thread }| {
            drop(order);
            thread
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(thread) = self.order_to_stop()
            && thread.join().is_err()
        {
            tracing::warn!("the private Redis was not stopped in order");
        }
    }
}

/// The life of the thread: until the order to stop, or until the first start fails.
fn live(dir: &Path, orders: &mpsc::Receiver<()>, report: oneshot::Sender<Result<PathBuf, String>>) {
    let started = Server::over(dir).and_then(|server| {
        let child = server.first_start(orders)?;
        Ok((server, child))
    });
    let (server, mut child) = match started {
        Ok(started) => started,
        Err(why) => return tell(report, Err(why)),
    };
    tell(report, Ok(server.folder.socket().to_owned()));
    let mut patience = LEAST_PATIENCE;
    loop {
        let since = Instant::now();
        let Some(how) = watch(&mut child, orders) else { return server.stop(child) };
        tracing::warn!(%how, "the private Redis died and is started again");
        if since.elapsed() > MOST_PATIENCE {
            patience = LEAST_PATIENCE;
        }
        child = loop {
            if is_told_to_stop(orders, patience) {
                return server.folder.tidy();
            }
            patience = MOST_PATIENCE.min(patience * 2);
            match server.start() {
                Ok(child) => break child,
                Err(error) => tracing::error!(%error, "the private Redis cannot be started again"),
            }
        };
    }
}

/// Whoever does not wait any more has dropped the order too, and the server will be stopped.
fn tell(report: oneshot::Sender<Result<PathBuf, String>>, outcome: Result<PathBuf, String>) {
    if report.send(outcome).is_err() {
        tracing::debug!("nobody waits for the private Redis any more");
    }
}

/// Waits for that long, or for the order to stop.
fn is_told_to_stop(orders: &mpsc::Receiver<()>, wait: Duration) -> bool {
    orders.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
}

/// Gives how the server died, or nothing when the order to stop came first.
fn watch(child: &mut Child, orders: &mpsc::Receiver<()>) -> Option<String> {
    loop {
        if is_told_to_stop(orders, LOOK) {
            return None;
        }
        if let Some(how) = end_of(child) {
            return Some(how);
        }
    }
}

/// How the server ended, if it did.
fn end_of(child: &mut Child) -> Option<String> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// A program over a folder.
struct Server {
    folder: Folder,
    program: Program,
}

impl Server {
    fn over(dir: &Path) -> Result<Self, String> {
        let folder = Folder::take(dir)?;
        let program = Program::find(std::env::var_os("REDIS_SERVER"), std::env::var_os("PATH"))?;
        folder.check_engine(program.engine())?;
        Ok(Self { folder, program })
    }

    fn start(&self) -> io::Result<Child> {
        let log = self.folder.open_log()?;
        self.program
            .command()
            .args(["--port", "0", "--daemonize", "no", "--unixsocket"])
            .arg(self.folder.socket())
            .args(["--unixsocketperm", "700", "--dir"])
            .arg(self.folder.dir())
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            // Records are small hashes with a few long fields; kept compact they take 40 % less memory. The older name
            // of the setting is known to every version.
            .args(["--hash-max-ziplist-value", "2048"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    /// Starts the server and waits until it answers; reading a large append-only file may take it minutes.
    fn first_start(&self, orders: &mpsc::Receiver<()>) -> Result<Child, String> {
        let mut child = self.start().map_err(|error| format!("{} cannot be run: {error}", self.program))?;
        let started = Instant::now();
        let mut told = started;
        loop {
            if let Some(how) = end_of(&mut child) {
                return Err(format!("{} did not start ({how}): {}", self.program, self.folder.last_words()));
            }
            if self.folder.ask("PING").is_ok_and(|answer| answer.starts_with("+PONG")) {
                self.folder.note_engine(self.program.engine())?;
                return Ok(child);
            }
            if told.elapsed() > MOST_PATIENCE {
                told = Instant::now();
                tracing::info!(seconds = started.elapsed().as_secs(), "the private Redis is still reading its data");
            }
            if is_told_to_stop(orders, LOOK) {
                self.stop(child);
                return Err("the private Redis was stopped while it started".to_owned());
            }
        }
    }

    /// Asks the server to end and sees to it that it does.
    fn stop(&self, mut child: Child) {
        let asked = Instant::now();
        forget(self.folder.ask("SHUTDOWN NOSAVE"));
        while end_of(&mut child).is_none() {
            if asked.elapsed() > STOPPING {
                tracing::warn!("the private Redis does not stop and is killed; what it answered is on disk");
                forget(child.kill());
                forget(child.wait());
                break;
            }
            thread::sleep(LOOK);
        }
        self.folder.tidy();
    }
}
