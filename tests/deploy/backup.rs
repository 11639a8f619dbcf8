//! A backup can be put back, and neither backup nor restore ever overwrites anything.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::redis::Redis;
use super::{refuses, root, succeeds};

fn backup(from: &str, file: &Path) -> Command {
    let mut command = Command::new(root().join("deploy/backup"));
    command.arg(from).arg(file).env_remove("REDISCLI_AUTH");
    command
}

fn restore(file: &Path, to: &str) -> Command {
    let mut command = Command::new(root().join("deploy/restore"));
    command.arg(file).arg(to).env_remove("REDISCLI_AUTH");
    command
}

fn embedded(folder: &Path) -> String {
    format!("embedded:{}", folder.display())
}

/// Starts a Redis as the server starts its embedded one.
fn over(folder: tempfile::TempDir) -> Redis {
    Redis::start_in(folder, &["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
}

fn filled() -> Redis {
    let redis = over(tempfile::tempdir().unwrap());
    redis.fill();
    redis
}

#[test]
fn what_was_lost_comes_back_from_a_backup() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("monday.tar");
    let redis = filled();
    let before = redis.digest();
    succeeds(&mut backup(&redis.url(), &file));

    redis.ask(&["flushall"]);
    assert_ne!(redis.digest(), before);
    let told = succeeds(&mut restore(&file, &redis.url()));
    assert!(told.contains("holds 8 keys"), "{told}");
    assert_eq!(redis.digest(), before);
    assert!(redis.ask(&["ttl", "tp:{s0}:seen:1"]).parse::<u64>().unwrap() > 600_000);

    // It is also there after a crash: what came through the restore went into the append-only file.
    let again = over(redis.kill());
    assert_eq!(again.digest(), before);
}

#[test]
fn the_ids_of_a_restored_stream_go_on_from_where_they_were() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    let redis = filled();
    let last_id = |redis: &Redis| -> String {
        let told = redis.ask(&["xinfo", "stream", "tp:{s0}:bulk"]);
        told.lines().skip_while(|line| *line != "last-generated-id").nth(1).unwrap().to_owned()
    };
    let before = last_id(&redis);
    succeeds(&mut backup(&redis.url(), &file));
    redis.ask(&["flushall"]);
    succeeds(&mut restore(&file, &redis.url()));
    assert_eq!(last_id(&redis), before);
}

#[test]
fn an_embedded_redis_is_backed_up_while_it_runs_and_restored_into_a_new_folder() {
    let place = tempfile::tempdir().unwrap();
    let (file, new) = (place.path().join("backup.tar"), place.path().join("new data"));
    let redis = filled();
    fs::write(redis.folder().join("server.key"), "a key").unwrap();
    let before = redis.digest();
    succeeds(&mut backup(&embedded(redis.folder()), &file));
    let told = refuses(1, &mut restore(&file, &embedded(redis.folder())));
    assert!(told.contains("stop Touchpoint first"), "{told}");

    succeeds(&mut restore(&file, &embedded(&new)));
    assert_eq!(fs::read_to_string(new.join("server.key")).unwrap(), "a key");
    let folder = tempfile::tempdir().unwrap();
    fs::rename(new.join("appendonlydir"), folder.path().join("appendonlydir")).unwrap();
    assert_eq!(over(folder).digest(), before);
}

#[test]
fn an_embedded_redis_whose_socket_lies_elsewhere_is_found() {
    let place = tempfile::tempdir().unwrap();
    let redis = filled();
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("socket"), redis.socket.display().to_string()).unwrap();
    let told = succeeds(&mut backup(&embedded(&data), &place.path().join("backup.tar")));
    assert!(told.contains("holds 8 keys") && !told.contains("nothing runs"), "{told}");
}

#[test]
fn an_embedded_redis_that_was_killed_is_backed_up_from_its_files() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    let redis = filled();
    let before = redis.digest();
    let folder = redis.kill();
    let told = succeeds(&mut backup(&embedded(folder.path()), &file));
    assert!(told.contains("nothing runs"), "{told}");

    let target = over(tempfile::tempdir().unwrap());
    succeeds(&mut restore(&file, &target.url()));
    assert_eq!(target.digest(), before);
}

#[test]
fn a_redis_with_a_password_is_backed_up_and_the_password_is_never_shown() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    let redis = filled();
    redis.ask(&["config", "set", "requirepass", "MyPassword"]);
    let told = refuses(3, &mut backup(&redis.url(), &file));
    assert!(told.contains("no Redis answers"), "{told}");
    let told = succeeds(backup(&redis.url(), &file).env("REDISCLI_AUTH", "MyPassword"));
    assert!(!told.contains("MyPassword") && !told.contains("AUTH"), "{told}");

    let other = over(tempfile::tempdir().unwrap());
    other.ask(&["config", "set", "requirepass", "MyPassword"]);
    let told = succeeds(restore(&file, &other.url()).env("REDISCLI_AUTH", "MyPassword"));
    assert!(told.contains("holds 8 keys") && !told.contains("AUTH"), "{told}");

    let told = refuses(3, &mut backup("redis://:MyPassword@127.0.0.1:1", &place.path().join("other.tar")));
    assert!(!told.contains("MyPassword"), "{told}");
}

#[test]
fn a_backup_overwrites_no_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    fs::write(&file, "last week's").unwrap();
    let redis = filled();
    let told = refuses(1, &mut backup(&redis.url(), &file));
    assert!(told.contains("never overwrites"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "last week's");
}

#[test]
fn a_restore_overwrites_no_data() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    let redis = filled();
    succeeds(&mut backup(&redis.url(), &file));

    let other = over(tempfile::tempdir().unwrap());
    other.ask(&["set", "somebody", "else's"]);
    let told = refuses(1, &mut restore(&file, &other.url()));
    assert!(told.contains("never overwrites"), "{told}");
    assert_eq!(other.ask(&["dbsize"]), "1");

    let folder = other.kill();
    let told = refuses(1, &mut restore(&file, &embedded(folder.path())));
    assert!(told.contains("never overwrites"), "{told}");
    assert_eq!(over(folder).ask(&["get", "somebody"]), "else's");
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    let redis = filled();
    succeeds(&mut backup(&redis.url(), &file));
    let whole = fs::read(&file).unwrap();
    let at = whole.windows(5).position(|bytes| bytes == b"REDIS").unwrap() + 40;
    let mut damaged = whole.clone();
    damaged[at] ^= 1;
    let new = place.path().join("new");
    for (bytes, reason) in [(damaged, "checksum"), (b"no tar at all".to_vec(), "no backup"), (Vec::new(), "no backup")]
    {
        fs::write(&file, bytes).unwrap();
        let told = refuses(1, &mut restore(&file, &embedded(&new)));
        assert!(told.contains(reason), "{told}");
        assert!(!new.exists());
    }
}

#[test]
fn a_backup_is_readable_by_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    succeeds(&mut backup(&filled().url(), &file));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["backup.tar"]);
}

#[test]
fn a_cluster_is_backed_up_primary_by_primary() {
    let place = tempfile::tempdir().unwrap();
    let told = refuses(2, &mut backup("redis-cluster://a,b,c", &place.path().join("backup.tar")));
    assert!(told.contains("one primary at a time"), "{told}");
}
