//! What stands in `deploy/` and `.ci/` does what it says.
//!
//! A check that needs a program which is not part of the set-up (nginx, systemd-analyze, docker) is left out where the
//! program is missing, and says so.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "a test says what it could not check")]

#[path = "deploy/backup.rs"]
mod backup;
#[path = "deploy/containers.rs"]
mod containers;
#[path = "deploy/monitoring.rs"]
mod monitoring;
#[path = "deploy/proxy.rs"]
mod proxy;
#[path = "deploy/redis.rs"]
mod redis;
#[path = "deploy/setup.rs"]
mod setup;
#[path = "deploy/unit.rs"]
mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Where a program is; says so when it is nowhere.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("{name} is not installed: not checked");
    }
    found
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Both of what a program said, for messages.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    said(&output)
}

/// Runs what must fail with this code, and gives what it said.
fn refuses(code: i32, command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{command:?}:\n{}", said(&output));
    said(&output)
}
