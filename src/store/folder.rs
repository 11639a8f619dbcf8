//! The folder of the private server.
//!
//! It holds `lock`, `engine` (which server wrote the data), `redis.log`, the server's append-only file, and `redis.sock`;
//! when that path is too long for a socket, the socket lies in a short folder of its own and `socket` says where.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::engine::Engine;

/// A socket's path may have 107 bytes; a few are left for the server's own use.
const MOST_PATH_BYTES: usize = 100;

/// A log that has grown beyond this is put aside at the next start.
const MOST_LOG_BYTES: u64 = 10 * 1024 * 1024;

/// The longest a question to the server may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The longest a server that was left behind may take to stop.
const LEFTOVER: Duration = Duration::from_secs(10);

/// A folder that is ours as long as this lives.
pub(super) struct Folder {
    dir: PathBuf,
    socket: PathBuf,
    /// Made for a socket whose path would be too long inside `dir`.
    socket_dir: Option<PathBuf>,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is missing, locks it, and stops a server that was left behind in it.
    pub(super) fn take(dir: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{} cannot hold Redis's data: {error}", dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let lock = lock(&dir)?;
        end_leftover(&dir)?;
        let (socket, socket_dir) = place_socket(&dir).map_err(failed)?;
        Ok(Self { dir, socket, socket_dir, _lock: lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Refuses data that `engine` could not read.
    pub(super) fn check_engine(&self, engine: &Engine) -> Result<(), String> {
        match fs::read_to_string(self.dir.join("engine")) {
            Ok(noted) => engine.check_reads_data_of(noted.trim(), &self.dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{} cannot be read: {error}", self.dir.join("engine").display())),
        }
    }

    /// Notes which server writes the data from now on.
    pub(super) fn note_engine(&self, engine: &Engine) -> Result<(), String> {
        let path = self.dir.join("engine");
        fs::write(&path, format!("{engine}\n"))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    pub(super) fn open_log(&self) -> io::Result<File> {
        let path = self.dir.join("redis.log");
        if fs::metadata(&path).is_ok_and(|log| log.len() > MOST_LOG_BYTES) {
            fs::rename(&path, self.dir.join("redis.log.old"))?;
        }
        OpenOptions::new().create(true).append(true).open(path)
    }

    /// The last line of the log, for an error message.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(self.dir.join("redis.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").trim().to_owned()
    }

    /// Sends one command and gives the first line of the answer.
    pub(super) fn ask(&self, command: &str) -> io::Result<String> {
        ask(&self.socket, command)
    }

    /// Takes away what is of no use without a server.
    pub(super) fn tidy(&self) {
        remove(&self.socket);
        if let Some(socket_dir) = &self.socket_dir {
            remove(&self.dir.join("socket"));
            forget(fs::remove_dir(socket_dir));
        }
    }
}

/// The socket of a server that answers in a folder, whoever started it.
pub(super) fn answering_socket(dir: &Path) -> Option<PathBuf> {
    let noted = fs::read_to_string(dir.join("socket")).ok().map(|path| PathBuf::from(path.trim()));
    let socket = noted.unwrap_or_else(|| dir.join("redis.sock"));
    ask(&socket, "PING").is_ok_and(|answer| answer.starts_with("+PONG")).then_some(socket)
}

/// Goes on after a failure that changes nothing for anybody.
pub(super) fn forget<T, E: Display>(result: Result<T, E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a step around the private Redis did not succeed");
    }
}

fn remove(file: &Path) {
    if file.exists() {
        forget(fs::remove_file(file));
    }
}

fn lock(dir: &Path) -> Result<File, String> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "{} is in use by another process of Touchpoint. embedded:DIR serves one process; for several, run a Redis \
             of your own and set redis.url to redis://HOST:PORT or unix:///PATH in all of them",
            dir.display()
        )),
        Err(TryLockError::Error(error)) => Err(format!("{} cannot be locked: {error}", path.display())),
    }
}

fn place_socket(dir: &Path) -> io::Result<(PathBuf, Option<PathBuf>)> {
    let socket = dir.join("redis.sock");
    if socket.as_os_str().as_bytes().len() <= MOST_PATH_BYTES {
        return Ok((socket, None));
    }
    let top = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    // The name is chance and the folder must be new, so that nobody can have laid a folder of theirs there.
    let socket_dir = top.join(format!("touchpoint-{:016x}", rand::random::<u64>()));
    DirBuilder::new().mode(0o700).create(&socket_dir)?;
    let socket = socket_dir.join("redis.sock");
    fs::write(dir.join("socket"), socket.as_os_str().as_bytes())?;
    Ok((socket, Some(socket_dir)))
}

/// Whoever still answers in a folder that we hold the lock of was left behind by a process that is gone.
fn end_leftover(dir: &Path) -> Result<(), String> {
    let elsewhere = fs::read(dir.join("socket")).ok();
    let elsewhere = elsewhere.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(&path)));
    for socket in [Some(dir.join("redis.sock")), elsewhere].into_iter().flatten() {
        let since = Instant::now();
        while UnixStream::connect(&socket).is_ok() {
            forget(ask(&socket, "SHUTDOWN NOSAVE"));
            if since.elapsed() > LEFTOVER {
                return Err(format!("a server that was left behind at {} does not stop; end it", socket.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        remove(&socket);
    }
    Ok(())
}

fn ask(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}
