//! `.ci/setup` on machines that lack something, and the Makefile's arguments.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{refuses, root, succeeds};

/// A machine that has only what is put on it.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn with(scripts: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for tool in ["bash", "sh", "sed", "env", "cat", "chmod"] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .map(|folder| folder.join(tool))
                .find(|file| file.is_file())
                .unwrap_or_else(|| PathBuf::from("/bin").join(tool));
            symlink(found, machine.bin().join(tool)).unwrap();
        }
        for (name, script) in scripts {
            machine.script(name, script);
        }
        machine
    }

    fn bin(&self) -> &Path {
        self.folder.path()
    }

    fn script(&self, name: &str, script: &str) {
        let file = self.bin().join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn setup(&self) -> Command {
        let mut command = Command::new(self.bin().join("bash"));
        command.arg(root().join(".ci/setup")).env_clear().env("PATH", self.bin()).env("BIN", self.bin());
        command
    }
}

const RUST: (&str, &str) = ("cargo", "exit 0");
const COMPILER: (&str, &str) = ("cc", "exit 0");
const LINUX: (&str, &str) = ("uname", "echo Linux");
const ROOT: (&str, &str) = ("id", "echo 0");
const SOMEBODY: (&str, &str) = ("id", "echo 1000");
const REDIS: &str = "echo \"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64\"";
/// An apt that knows redis-server and notes what it is asked.
const APT: (&str, &str) = (
    "apt-get",
    "echo \"$*\" >>$BIN/asked\n\
     case \"$*\" in *install*redis-server*) cat $BIN/redis >$BIN/redis-server; chmod +x $BIN/redis-server;; esac",
);

#[test]
fn where_everything_is_there_nothing_is_installed() {
    let machine = Machine::with(&[RUST, COMPILER, LINUX, ROOT, APT, ("redis-server", REDIS)]);
    let told = succeeds(&mut machine.setup());
    assert!(told.contains("7.0.15 is here"), "{told}");
    assert!(!machine.bin().join("asked").exists());
}

#[test]
fn on_debian_a_missing_redis_is_installed_and_said_to_be() {
    let machine = Machine::with(&[RUST, COMPILER, LINUX, ROOT, APT, ("redis", REDIS)]);
    let told = succeeds(&mut machine.setup());
    assert!(
        told.contains("redis-server is missing") && told.contains("installing through apt: redis-server"),
        "{told}"
    );
    assert!(told.contains("7.0.15 is here"), "{told}");
    let asked = fs::read_to_string(machine.bin().join("asked")).unwrap();
    let asked: Vec<&str> = asked.lines().collect();
    assert!(asked.len() == 2 && asked[0].contains("update") && asked[1].contains("install"), "{asked:?}");
}

#[test]
fn who_is_not_root_installs_through_a_sudo_that_asks_for_no_password() {
    let sudo = ("sudo", "[ \"$1\" = -n ] || exit 1; shift; exec \"$@\"");
    let machine = Machine::with(&[RUST, COMPILER, LINUX, SOMEBODY, APT, sudo, ("redis", REDIS), ("true", "exit 0")]);
    let told = succeeds(&mut machine.setup());
    assert!(told.contains("7.0.15 is here"), "{told}");
}

#[test]
fn who_may_not_install_is_told_what_to_do() {
    let sudo = ("sudo", "exit 1");
    let machine = Machine::with(&[RUST, COMPILER, LINUX, SOMEBODY, APT, sudo, ("redis", REDIS)]);
    let told = refuses(1, &mut machine.setup());
    assert!(told.contains("sudo apt-get install -y --no-install-recommends redis-server"), "{told}");
    assert!(!machine.bin().join("asked").exists());
}

#[test]
fn other_systems_are_told_their_own_command() {
    for (system, tool, command) in [
        ("Linux", "dnf", "sudo dnf install -y redis"),
        ("Linux", "apk", "sudo apk add redis"),
        ("Linux", "pacman", "sudo pacman -S redis"),
        ("Linux", "nothing", "your system's package manager"),
        ("Darwin", "nothing", "brew install redis"),
    ] {
        let uname = format!("echo {system}");
        let machine = Machine::with(&[RUST, COMPILER, ROOT, ("uname", &uname), (tool, "exit 0")]);
        let told = refuses(1, &mut machine.setup());
        assert!(told.contains(command), "{system} {tool}: {told}");
    }
}

#[test]
fn promtool_is_installed_for_the_tests_where_it_is_missing() {
    let knows_promtool = "echo \"$*\" >>$BIN/asked\n\
         case \"$*\" in *install*prometheus*) echo '#!/bin/sh' >$BIN/promtool; chmod +x $BIN/promtool;; esac";
    let here = [RUST, COMPILER, LINUX, ROOT, ("redis-server", REDIS), ("apt-get", knows_promtool)];
    let machine = Machine::with(&here);
    let told = succeeds(machine.setup().arg("promtool"));
    assert!(told.contains("promtool is missing") && told.contains("installing through apt: prometheus"), "{told}");
    let told = succeeds(machine.setup().arg("promtool"));
    assert!(told.contains("promtool is here"), "{told}");
}

#[test]
fn without_promtool_the_tests_go_on_and_say_so() {
    let machine = Machine::with(&[RUST, COMPILER, LINUX, SOMEBODY, APT, ("redis-server", REDIS)]);
    let told = succeeds(machine.setup().arg("promtool"));
    assert!(told.contains("sudo apt-get install -y --no-install-recommends prometheus"), "{told}");
    assert!(told.contains("the alert rules are not checked"), "{told}");
}

#[test]
fn a_redis_that_is_too_old_is_refused_and_a_valkey_is_taken() {
    let old = "echo \"Redis server v=6.0.16 sha=00000000:0\"";
    let machine = Machine::with(&[RUST, COMPILER, LINUX, ROOT, ("redis-server", old)]);
    let told = refuses(1, &mut machine.setup());
    assert!(told.contains("6.0.16") && told.contains("at least 7.0"), "{told}");
    let valkey = "echo \"Server v=8.0.1 sha=00000000:0\"";
    let machine = Machine::with(&[RUST, COMPILER, LINUX, ROOT, ("valkey-server", valkey)]);
    let told = succeeds(&mut machine.setup());
    assert!(told.contains("8.0.1 is here"), "{told}");
}

#[test]
fn without_rust_the_way_to_it_is_told() {
    let told = refuses(1, &mut Machine::with(&[LINUX, ROOT]).setup());
    assert!(told.contains("https://rustup.rs"), "{told}");
}

#[test]
fn arguments_of_make_reach_the_command() {
    for (target, argument, expected) in [
        ("demo", "DEMO_ARGS=--script", "cargo run --quiet --locked -- demo --script"),
        ("run", "RUN_ARGS=check config", "cargo run --quiet --locked -- check config"),
        ("run", "A=b", "cargo run --quiet --locked -- serve"),
        ("test", "TEST_ARGS=--lib decide", "cargo test --locked --lib decide"),
        ("bench", "BENCH_ARGS=--bench load", "cargo bench --locked --bench load"),
    ] {
        let mut make = Command::new("make");
        make.args(["-n", target, argument]).current_dir(root()).env_remove("CARGO").env_remove("MAKEFLAGS");
        let told = succeeds(&mut make);
        assert!(told.lines().any(|line| line.contains(expected)), "{target} {argument}:\n{told}");
    }
}

#[test]
fn every_target_sets_up_what_it_needs_and_is_explained() {
    let help = succeeds(Command::new("make").arg("--silent").current_dir(root()).env_remove("MAKEFLAGS"));
    for target in ["demo", "test", "test-otel", "run", "bench", "setup"] {
        let mut make = Command::new("make");
        let told = succeeds(make.args(["-n", target]).current_dir(root()).env_remove("MAKEFLAGS"));
        assert!(told.contains(".ci/setup"), "{target}");
        assert!(help.contains(&format!("make {target} ")), "{target} is not in make help");
    }
    let checked = super::text_of(".ci/run");
    assert!(checked.contains("\nmake test\n") && checked.contains("\nexec make test-otel\n"), "{checked}");
}
