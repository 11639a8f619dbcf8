//! The lines between the folders of `src/`, held over the source text.
//!
//! ARCHITECTURE.md says what each folder refuses to know; here it is checked, so that a slip is a red test and no habit.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "layering/source.rs"]
mod source;

use source::{Source, sources};

/// Folders that know no Redis, HTTP, clock or chance.
const PURE: [&str; 3] = ["domain", "playbook", "decide"];

/// What a pure folder may not name: parts of the crate, other crates, and where clocks and chance come from.
const IMPURE: [&str; 28] = [
    "crate::store",
    "crate::wecom",
    "crate::web",
    "crate::runtime",
    "crate::sandbox",
    "crate::report",
    "crate::clock",
    "crate::telemetry",
    "redis",
    "reqwest",
    "actix_web",
    "actix_rt",
    "tokio",
    "futures_util",
    "tracing",
    "log",
    "metrics",
    "rand",
    "uuid",
    "governor",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::thread",
];

/// All offences in sources of these folders: `file:line names what`.
fn offences(sources: &[Source], is_bound: impl Fn(&str) -> bool, forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| is_bound(&source.folder)) {
        for named in source.paths() {
            if let Some(what) = forbidden.iter().find(|what| named.is_or_holds(what)) {
                found.push(format!("{}:{} names {what} ({})", source.name, named.line, named.text()));
            }
        }
    }
    found
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn rules_and_decisions_know_no_redis_no_http_no_clock_and_no_chance() {
    let sources = sources();
    for folder in PURE {
        assert!(sources.iter().any(|source| source.folder == folder), "there is no folder src/{folder}");
    }
    assert_none(&offences(&sources, |folder| PURE.contains(&folder), &IMPURE));
}

#[test]
fn rules_and_decisions_know_no_commands() {
    // Tests of diagnostics look at what `check` prints of them.
    let sources: Vec<Source> = sources().into_iter().filter(|source| !source.name.ends_with("_tests.rs")).collect();
    assert_none(&offences(&sources, |folder| PURE.contains(&folder), &["crate::cli"]));
}

#[test]
fn things_know_neither_the_rules_nor_the_decisions() {
    assert_none(&offences(&sources(), |folder| folder == "domain", &["crate::playbook", "crate::decide", "std::fs"]));
}

#[test]
fn the_playbook_does_not_know_how_decisions_are_taken() {
    assert_none(&offences(&sources(), |folder| folder == "playbook", &["crate::decide"]));
}

#[test]
fn decisions_read_no_files() {
    assert_none(&offences(
        &sources(),
        |folder| folder == "decide",
        &["std::fs", "std::env", "std::io", "std::process"],
    ));
}

#[test]
fn only_the_store_knows_redis() {
    assert_none(&offences(&sources(), |folder| folder != "store", &["redis"]));
}

#[test]
fn only_the_playbook_knows_yaml() {
    let parsers = ["granit_parser", "serde_saphyr", "serde_yaml", "serde_yaml_ng", "saphyr"];
    assert_none(&offences(&sources(), |folder| folder != "playbook", &parsers));
}

#[test]
fn only_wecom_and_its_stand_in_know_the_urls_of_wecom() {
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| !["wecom", "sandbox"].contains(&source.folder.as_str()))
        .flat_map(|source| source.lines_with("/cgi-bin/"))
        .collect();
    assert_none(&offences);
}

#[test]
fn only_commands_print() {
    let printers = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    assert_none(&offences(&sources(), |folder| folder != "cli", &printers));
}

#[test]
fn the_sandbox_does_not_look_into_the_server() {
    // It stands in for WeCom: what it knew of the server's insides, a test against it would not prove.
    let insides = ["crate::store", "crate::runtime", "crate::decide", "crate::web", "crate::playbook"];
    assert_none(&offences(&sources(), |folder| folder == "sandbox", &insides));
}

#[test]
fn a_planted_slip_is_found() {
    let slips = [
        ("use crate::store::Store;", "crate::store"),
        ("use crate::{domain::At, store::{Error, Store}};", "crate::store"),
        ("use super::super::store;", "crate::store"),
        ("pub(crate) use redis as cache;", "redis"),
        ("fn f() { let now = chrono::Utc::now(); }", "Utc::now"),
        ("fn f() -> std::time::Instant { std::time::Instant::now() }", "Instant"),
        ("use std::time::{Duration, SystemTime};", "SystemTime"),
        ("fn f() { tracing::info!(\"{}\", 1); }", "tracing"),
        ("fn f() { println!(); }", "println!"),
    ];
    for (text, what) in slips {
        let source = Source::of("decide", "decide/slip.rs", text);
        assert!(!offences(&[source], |_| true, &[what]).is_empty(), "{text}");
    }
    let innocent = "// redis::Client\n/* tokio::spawn */ /// crate::store\nfn storage(rand_seed: u8) -> &'static str { \"redis::cmd\" }\n\
                    fn quote() -> char { '\"' } fn raw() -> &'static str { r#\"use tokio; \"# }\nuse crate::domain::store_of;";
    let source = Source::of("decide", "decide/innocent.rs", innocent);
    assert_none(&offences(&[source], |_| true, &IMPURE));
    assert_eq!(
        Source::of("web", "web/a.rs", "// /cgi-bin/x\nlet a = \"/cgi-bin/x\";").lines_with("/cgi-bin/").len(),
        1
    );
}
