//! The image and the compose file.

use std::process::Command;

use super::redis::Redis;
use super::{program, run, said, text_of};

/// The words of the Redis's `command:` in the compose file, without the program's name.
fn redis_arguments() -> Vec<String> {
    let compose = text_of("deploy/compose.yaml");
    let lines = compose.lines().skip_while(|line| line.trim() != "command:").skip(1);
    let words = lines.map_while(|line| line.trim().strip_prefix("- ").map(|word| word.trim_matches('"').to_owned()));
    let words: Vec<String> = words.collect();
    assert_eq!(words.first().map(String::as_str), Some("redis-server"));
    words[1..].to_vec()
}

#[test]
fn the_redis_of_the_compose_file_keeps_what_it_acknowledged() {
    let mut words = redis_arguments();
    let at = words.iter().position(|word| word == "--dir").expect("it says where its data lie");
    assert_eq!(words.drain(at..at + 2).nth(1).as_deref(), Some("/data"));
    assert!(text_of("deploy/compose.yaml").contains("- redis-data:/data"), "its data lie in a volume");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let redis = Redis::start(&words);
    for (setting, value) in
        [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction"), ("save", "")]
    {
        assert_eq!(redis.setting(setting), value, "{setting}");
    }
    assert_ne!(redis.setting("maxmemory"), "0", "without a limit the machine's memory is the limit");
}

#[test]
fn the_server_waits_for_a_redis_that_answers() {
    let compose = text_of("deploy/compose.yaml");
    assert!(compose.contains("condition: service_healthy"));
    assert_eq!(compose.matches("    healthcheck:\n").count(), 2, "both containers are asked how they are");
}

#[test]
fn docker_takes_the_compose_file() {
    let Some(docker) = program("docker") else { return };
    if !run(Command::new(&docker).args(["compose", "version"])).status.success() {
        println!("docker compose is not installed: not checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("deploy");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/.env"), text_of(".env.example")).unwrap();
    std::fs::write(copy.join("compose.yaml"), text_of("deploy/compose.yaml")).unwrap();
    let output =
        run(Command::new(&docker).args(["compose", "-f"]).arg(copy.join("compose.yaml")).args(["config", "-q"]));
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_image_is_built_apart_runs_as_nobody_in_particular_and_is_asked_how_it_is() {
    let dockerfile = text_of("deploy/Dockerfile");
    assert_eq!(dockerfile.lines().filter(|line| line.starts_with("FROM ")).count(), 2);
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    assert!(!last.contains("rust:"), "no compiler is left in the image");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user != "root" && user != "0");
    assert!(last.contains(&format!("useradd --system --uid 10001 --user-group --home-dir /var/lib/{user}")));
    let check = last.lines().skip_while(|line| !line.starts_with("HEALTHCHECK")).nth(1).unwrap();
    assert!(check.contains("/healthz"), "{check}");
}

#[test]
fn no_secret_gets_into_an_image() {
    let ignored = text_of(".dockerignore");
    for what in ["**/.env", "data", ".git"] {
        assert!(ignored.lines().any(|line| line == what), "{what} would be sent to the builder");
    }
}
