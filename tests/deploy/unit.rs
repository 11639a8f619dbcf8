//! The systemd unit.

use std::process::Command;

use super::{program, run, said, succeeds, text_of};

/// The unit with programs and folders of this machine, so that only the unit itself can be wrong.
fn unit_here() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("touchpoint.service");
    let unit = text_of("deploy/touchpoint.service");
    let begin = "ExecStart=/usr/local/bin/touchpoint ";
    assert!(unit.contains(begin));
    std::fs::write(&file, unit.replace(begin, &format!("ExecStart={} ", env!("CARGO_BIN_EXE_touchpoint")))).unwrap();
    (folder, file)
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let (_folder, file) = unit_here();
    let output = run(Command::new(analyze).args(["verify", "--man=no"]).arg(&file));
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
}

#[test]
fn the_unit_is_locked_down() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let (_folder, file) = unit_here();
    // 0 is no exposure at all, 10 is a service without any protection; below 2 systemd calls it "OK".
    let output =
        run(Command::new(analyze).args(["security", "--offline=true", "--no-pager", "--threshold=19"]).arg(&file));
    if said(&output).contains("unrecognized option") {
        println!("systemd-analyze is too old to judge a file: not checked");
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_systemd_reads_as_environment_a_shell_reads_the_same() {
    // The unit, the compose file and the server itself all read this one file.
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", "set -a; . ./.env.example; env"])
        .current_dir(super::root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let told = succeeds(&mut shell);
    for line in text_of(".env.example").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(told.lines().any(|set| set == line), "{line} is read differently:\n{told}");
    }
}
