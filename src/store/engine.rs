//! Which server program there is, and whose data it can read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newest Redis whose data Valkey can read.
const LAST_COMMON: (u32, u32) = (7, 2);

/// A server program that was found and says what it is.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    engine: Engine,
    /// `setpriv` is there to have the server die with us.
    dies_with_us: bool,
}

/// A server by name and version, as `engine` in the folder notes it: `redis 7.0.15`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    name: String,
    version: String,
}

impl Program {
    /// Looks at `$REDIS_SERVER`, then for `redis-server` and `valkey-server` on the path.
    pub(super) fn find(chosen: Option<OsString>, path: Option<OsString>) -> Result<Self, String> {
        if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
            return Self::probe(PathBuf::from(chosen)).map_err(|error| format!("REDIS_SERVER: {error}"));
        }
        let dirs: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
        let named = |name: &str| dirs.iter().map(|dir| dir.join(name)).find(|file| file.is_file());
        match named("redis-server").or_else(|| named("valkey-server")) {
            Some(path) => Self::probe(path),
            None => Err(
                "redis.url is embedded:DIR, but there is no redis-server; install it (apt-get install redis-server, \
                         brew install redis), or name one with REDIS_SERVER, or set redis.url to a Redis of your own"
                    .to_owned(),
            ),
        }
    }

    fn probe(path: PathBuf) -> Result<Self, String> {
        let say = |mut command: Command| {
            let output = command.arg("--version").output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Engine::from_version_line(&text).ok_or_else(|| format!("it answered --version with {text:?}"))
        };
        if let Ok(engine) = say(with_death_signal(&path)) {
            return Ok(Self { path, engine, dies_with_us: true });
        }
        match say(Command::new(&path)) {
            Ok(engine) => Ok(Self { path, engine, dies_with_us: false }),
            Err(error) => Err(format!("{} is no Redis server: {error}", path.display())),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A command that runs it, in a process group of its own: Ctrl-C in the terminal reaches us, and we stop the server
    /// when nothing needs it any more.
    pub(super) fn command(&self) -> Command {
        let mut command = if self.dies_with_us { with_death_signal(&self.path) } else { Command::new(&self.path) };
        command.process_group(0);
        command
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.engine)
    }
}

fn with_death_signal(path: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([OsStr::new("--pdeathsig"), OsStr::new("KILL"), OsStr::new("--"), path.as_os_str()]);
    command
}

impl Engine {
    /// Reads `Redis server v=7.0.15 sha=… …` or `Valkey server v=8.1.0 …`.
    fn from_version_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_lowercase();
        let version = words.find_map(|word| word.strip_prefix("v="))?;
        Some(Self { name, version: version.to_owned() })
    }

    fn major_minor(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }

    /// Refuses to let this server at data that a server it cannot follow has written; patch releases may go back.
    pub(super) fn check_reads_data_of(&self, noted: &str, dir: &Path) -> Result<(), String> {
        let Some((name, version)) = noted.split_once(' ') else {
            return Err(format!("{} does not name a server: {noted:?}", dir.join("engine").display()));
        };
        let writer = Self { name: name.to_owned(), version: version.to_owned() };
        let reads = if writer.name == self.name {
            self.major_minor() >= writer.major_minor()
        } else {
            writer.name == "redis" && writer.major_minor() <= LAST_COMMON
        };
        if reads {
            return Ok(());
        }
        Err(format!(
            "the data in {} was written by {writer}, which {self} cannot read; install {writer} or newer, or name it with \
             REDIS_SERVER",
            dir.display()
        ))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_only_given_to_a_server_that_can_read_it() {
        for (writer, reader, reads) in [
            ("redis 7.0.15", "Redis server v=7.0.15 sha=0", true),
            ("redis 7.0.15", "Redis server v=7.0.9 sha=0", true),
            ("redis 7.2.4", "Redis server v=7.0.15 sha=0", false),
            ("redis 7.0.15", "Valkey server v=8.1.0 sha=0", true),
            ("redis 7.4.0", "Valkey server v=8.1.0 sha=0", false),
            ("valkey 8.1.0", "Redis server v=7.4.1 sha=0", false),
            ("valkey 9.0.1", "Valkey server v=8.1.0 sha=0", false),
            ("scribble", "Redis server v=7.0.15 sha=0", false),
        ] {
            let reader = Engine::from_version_line(reader).unwrap();
            let checked = reader.check_reads_data_of(writer, Path::new("data"));
            assert_eq!(checked.is_ok(), reads, "{writer} read by {reader}: {checked:?}");
        }
    }

    #[test]
    fn a_missing_server_is_told_with_its_fix_in_one_line() {
        let missing = Program::find(None, Some(OsString::from("/nowhere"))).unwrap_err();
        assert!(missing.contains("apt-get install redis-server") && !missing.contains('\n'), "{missing}");
        let wrong = Program::find(Some(OsString::from("/bin/true")), None).unwrap_err();
        assert!(wrong.starts_with("REDIS_SERVER: /bin/true is no Redis server"), "{wrong}");
    }
}
