use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Error;
use super::streams::{Appended, InLane, Remember, StreamId};
use super::trial::{Trial, actor, event, open, until_writable};
use crate::domain::actor::Actor;

async fn pid(store: &super::Store) -> u32 {
    let info: String = store.query(redis::cmd("INFO").arg("server")).await.unwrap();
    super::preflight::line_of(&info, "process_id").unwrap().parse().unwrap()
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; whoever started it has not asked yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn until_gone(pid: u32) {
    let since = Instant::now();
    while is_alive(pid) {
        assert!(since.elapsed() < Duration::from_secs(20), "{pid} still lives");
        std::thread::yield_now();
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

async fn kept(store: &super::Store, actor: &Actor) -> Vec<String> {
    let entries = store.read(actor.shard(4), InLane::In, &StreamId::start(), 10_000).await.unwrap();
    entries.into_iter().map(|entry| entry.event.unwrap().id.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_killed_server_is_started_again_and_has_everything_it_answered() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let killed = pid(&trial.store).await;
    let mut answered = Vec::new();
    let mut refused = 0;
    for n in 0..400 {
        if n == 200 {
            signal(killed, "-KILL");
        }
        let id = format!("cb:{n}");
        match trial.store.append(&event(&id, &lin), InLane::In, Remember::Week).await {
            Ok(Appended::New) => answered.push(id),
            Ok(Appended::Duplicate) => panic!("{id} is new"),
            Err(_) => refused += 1,
        }
    }

    until_writable(&trial.store).await;

    let kept = kept(&trial.store, &lin).await;
    assert!(refused > 0 && answered.len() >= 200, "{refused} refused, {} answered", answered.len());
    let lost: Vec<_> = answered.iter().filter(|id| !kept.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_ne!(pid(&trial.store).await, killed);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_an_error_within_four_seconds_and_no_event_counts_twice() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let frozen = pid(&trial.store).await;
    signal(frozen, "-STOP");
    let asked = Instant::now();

    let silence = trial.store.append(&event("cb:1", &lin), InLane::In, Remember::Week).await;

    assert!(silence.is_err() && asked.elapsed() < Duration::from_secs(4), "{silence:?} after {:?}", asked.elapsed());
    signal(frozen, "-CONT");
    until_writable(&trial.store).await;
    trial.store.append(&event("cb:1", &lin), InLane::In, Remember::Week).await.unwrap();
    assert_eq!(kept(&trial.store, &lin).await, ["cb:1"]);
}

#[tokio::test]
async fn the_private_server_answers_only_for_what_is_on_disk_and_never_evicts() {
    let trial = Trial::start().await;
    for (setting, value) in
        [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction"), ("port", "0")]
    {
        let said: (String, String) = trial.cli(&format!("CONFIG GET {setting}")).await;
        assert_eq!(said.1, value, "{setting}");
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop_and_a_start() {
    let dir = TempDir::new().unwrap();
    let lin = actor("customer:wmLin");
    let first = open(dir.path()).await.unwrap();
    first.append(&event("cb:1", &lin), InLane::In, Remember::Week).await.unwrap();
    let server = pid(&first).await;
    first.close().await;
    assert!(!is_alive(server));
    assert!(!dir.path().join("redis.sock").exists());

    let second = open(dir.path()).await.unwrap();

    assert_eq!(kept(&second, &lin).await, ["cb:1"]);
    assert_eq!(second.append(&event("cb:1", &lin), InLane::In, Remember::Week).await.unwrap(), Appended::Duplicate);
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_told_what_to_use_instead() {
    let trial = Trial::start().await;

    let refused = open(&trial.dir.path().join("data")).await.err().unwrap();

    let Error::Unfit(words) = refused else { panic!("{refused:?}") };
    assert!(words.contains("in use by another process") && words.contains("redis://HOST:PORT"), "{words}");
    trial.store.probe().await.unwrap();
}

#[tokio::test]
async fn a_folder_too_deep_for_a_socket_is_served_all_the_same() {
    let dir = TempDir::new().unwrap();
    let deep = dir.path().join("d".repeat(120));

    let store = open(&deep).await.unwrap();

    store.probe().await.unwrap();
    let socket = std::fs::read_to_string(deep.join("socket")).unwrap();
    store.close().await;
    assert!(!std::path::Path::new(&socket).exists() && !deep.join("socket").exists());
}

#[tokio::test]
async fn a_server_that_was_left_behind_is_stopped_and_its_data_taken_over() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let left_behind = Command::new("redis-server")
        .args(["--port", "0", "--unixsocket"])
        .arg(path.join("redis.sock"))
        .arg("--dir")
        .arg(&path)
        .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut left_behind = Killed(left_behind);
    let since = Instant::now();
    while std::os::unix::net::UnixStream::connect(path.join("redis.sock")).is_err() {
        assert!(since.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    let client = redis::Client::open(format!("unix://{}", path.join("redis.sock").display())).unwrap();
    redis::cmd("SET").arg("tp:clock").arg(5).exec(&mut client.get_connection().unwrap()).unwrap();

    let store = open(&path).await.unwrap();

    let ended = left_behind.0.try_wait().unwrap().expect("the old server has ended");
    assert!(ended.success());
    assert_eq!(store.clock_offset().await.unwrap(), 5);
}

#[tokio::test]
async fn data_of_a_newer_server_is_refused_with_what_to_install() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("engine"), "redis 99.1.0\n").unwrap();

    let refused = open(dir.path()).await.err().unwrap();

    assert!(matches!(&refused, Error::Unfit(words) if words.contains("redis 99.1.0")), "{refused}");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("appendonlydir");
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("appendonly.aof.manifest"), "nonsense\n").unwrap();

    let refused = open(dir.path()).await.err().unwrap();

    assert!(
        matches!(&refused, Error::Unfit(words) if words.contains("did not start") && words.contains("AOF")),
        "{refused}"
    );
}

#[test]
fn a_server_dies_with_its_process_even_when_that_is_killed() {
    const FOLDER: &str = "TOUCHPOINT_TEST_FOLDER";
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // This test runs itself once more as the process that will be killed.
    if let Some(dir) = std::env::var_os(FOLDER) {
        let _store = runtime.block_on(open(dir.as_ref())).unwrap();
        loop {
            std::thread::park();
        }
    }
    let dir = TempDir::new().unwrap();
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded_tests::a_server_dies_with_its_process_even_when_that_is_killed"])
        .env(FOLDER, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Killed(process);
    let client = redis::Client::open(format!("unix://{}", dir.path().join("redis.sock").display())).unwrap();
    let since = Instant::now();
    let server = loop {
        let info =
            client.get_connection().and_then(|mut link| redis::cmd("INFO").arg("server").query::<String>(&mut link));
        match info {
            Ok(info) => break super::preflight::line_of(&info, "process_id").unwrap().parse::<u32>().unwrap(),
            Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{error}"),
        }
    };

    process.0.kill().unwrap();
    process.0.wait().unwrap();

    until_gone(server);
    let store = runtime.block_on(open(dir.path())).unwrap();
    runtime.block_on(store.probe()).unwrap();
}
