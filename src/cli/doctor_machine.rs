//! Disk, open files and permissions of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::settings::{RedisUrl, Settings};

use super::doctor_report::{Group, Report, State, say};

/// Fewer open files than this are too few: each request, each call and each connection is one.
const FEWEST_FILES: u64 = 1024;

/// Looks at what the server needs of the machine.
pub(super) fn look(settings: &Settings, report: &mut Report) {
    if let RedisUrl::Embedded(dir) = &settings.redis.url
        && dir.exists()
    {
        disk(dir, report);
    }
    files(report);
    secret_file(&settings.config_dir.join(".env"), "machine.env", report);
    key(settings, report);
}

fn disk(dir: &Path, report: &mut Report) {
    // POSIX gives `df -Pk` the same columns everywhere; the standard library cannot ask.
    let output = Command::new("df").arg("-Pk").arg(dir).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let Some((free_mib, percent)) = free_of(&text) else { return };
    let state = match (free_mib, percent) {
        (..200, _) => State::Bad,
        (..1024, _) | (_, 90..) => State::Warn,
        _ => State::Ok,
    };
    let dir = dir.display();
    let found = say!(
        "{dir} 所在磁盘剩 {free_mib} MiB, 已用 {percent} %",
        "{free_mib} MiB are free on the disk of {dir}, {percent} % used"
    );
    let fix = say!(
        "腾出磁盘空间: 盘满时 Redis 拒绝写入, 回调答 503",
        "make room: on a full disk Redis refuses writes and callbacks are answered 503"
    );
    report.graded(Group::Machine, "machine.disk", state, found, fix);
}

/// Free MiB and percent used, of what `df -Pk` prints.
fn free_of(text: &str) -> Option<(u64, u64)> {
    let columns: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let free: u64 = columns.get(3)?.parse().ok()?;
    let percent: u64 = columns.get(4)?.strip_suffix('%')?.parse().ok()?;
    Some((free / 1024, percent))
}

fn files(report: &mut Report) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(most) = line.and_then(|line| line.split_whitespace().next()) else { return };
    let is_few = most.parse::<u64>().is_ok_and(|most| most < FEWEST_FILES);
    let state = if is_few { State::Warn } else { State::Ok };
    let found = say!("从这里启动的进程可打开 {most} 个文件", "a process started from here may open {most} files");
    let fix = say!(
        "调高上限: ulimit -n 65536, 或 systemd 的 LimitNOFILE",
        "raise the limit: ulimit -n 65536, or LimitNOFILE of systemd"
    );
    report.graded(Group::Machine, "machine.files", state, found, fix);
}

/// Whether only its owner may read a file that holds secrets; no file, nothing to say.
fn secret_file(path: &Path, id: &str, report: &mut Report) {
    let Ok(about) = path.metadata() else { return };
    let mode = about.permissions().mode() & 0o777;
    let state = if mode & 0o077 == 0 { State::Ok } else { State::Warn };
    let path = path.display();
    let found = match state {
        State::Ok => say!("{path} 只有所有者能读", "{path} is its owner's alone"),
        State::Warn | State::Bad => {
            say!("{path} 里有密钥, 别人也能读（{mode:o}）", "{path} holds secrets and others may read it ({mode:o})")
        }
    };
    let fix = say!("chmod 600 {path}", "chmod 600 {path}");
    report.graded(Group::Machine, id, state, found, fix);
}

fn key(settings: &Settings, report: &mut Report) {
    let id = "machine.key";
    match (&settings.server.key, &settings.redis.url) {
        (Some(_), _) => report.ok(Group::Machine, id, say!("server.key 已设置", "server.key is set")),
        (None, RedisUrl::Embedded(dir)) if dir.join("server.key").exists() => {
            secret_file(&dir.join("server.key"), id, report);
        }
        (None, RedisUrl::Embedded(_)) => report.warn(
            Group::Machine,
            id,
            say!("还没有 server.key", "there is no server.key yet"),
            say!("首次启动会生成; 备份时连它一起", "the first start makes one; keep it with your backups"),
        ),
        (None, RedisUrl::Single(_) | RedisUrl::Cluster(_) | RedisUrl::Sentinel(_)) => report.bad(
            Group::Machine,
            id,
            say!("没有 server.key, 服务不会启动", "there is no server.key; the server does not start"),
            say!(
                "用 `openssl rand -base64 32` 生成, 写进 TOUCHPOINT_KEY",
                "make one with `openssl rand -base64 32` and put it into TOUCHPOINT_KEY"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Locale;

    #[test]
    fn free_room_is_read_from_df() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 100000 40000 51200 44% /\n";
        assert_eq!(free_of(text), Some((50, 44)));
        assert_eq!(free_of("df: no such file"), None);
    }

    #[test]
    fn a_file_of_secrets_that_others_may_read_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, state) in [(0o600, State::Ok), (0o640, State::Warn), (0o604, State::Warn)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let mut report = Report::new(Locale::En);
            secret_file(file.path(), "machine.env", &mut report);
            assert_eq!(report.checks[0].state, state, "{mode:o}");
        }
    }
}
