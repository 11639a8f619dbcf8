//! `touchpoint doctor`, a process of its own, against each fault that it should see.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use touchpoint::sandbox::{Fault, FaultKind};

use super::helpers::{Company, Setup};
use super::process::{Said, eventually, touchpoint};
use super::redis_server::OwnRedis;

/// Rules that `check` finds nothing to say about.
const RULES: &str = "
playbook: { id: shop, name: 女装店 }
tags: { 触点: { order: 10 } }
touchpoints:
  visit: { name: 到店, on: visit.made, tag: 触点/到店 }
journeys:
  care: { name: 关怀, enter: { event: order.paid }, goal: { touchpoint: visit, within: 30d }, steps: [ prompt: { title: 回访 } ] }
";

/// A Redis that a company may rely on.
fn good_redis() -> OwnRedis {
    let redis = OwnRedis::start();
    for (name, value) in [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory", "512mb")] {
        redis.run(&["CONFIG", "SET", name, value]);
    }
    redis
}

async fn company_on(redis: &OwnRedis) -> Company {
    let company = Setup::new(RULES).on_redis(&redis.url).open().await;
    // The settings name the address that the server was given, as those of a real one do.
    let address = company.url("");
    change(&company, "127.0.0.1:0", address.trim_start_matches("http://"));
    change(&company, r#"public_url: "http://127.0.0.1""#, &format!(r#"public_url: "{address}""#));
    company
}

/// Another text in `touchpoint.yaml`; the server goes on with what it read.
fn change(company: &Company, from: &str, to: &str) {
    let file = company.dir.path().join("touchpoint.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
}

async fn says(company: &Company, arguments: &'static [&'static str]) -> Said {
    let config = company.dir.path().to_owned();
    let run = move || touchpoint(&config, &[&["doctor"], arguments].concat());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A report, as JSON, and how the command ended.
struct Findings {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Findings {
    fn of(&self, id: &str) -> &Value {
        self.checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {:#?}", self.checks))
    }

    /// What was found in a state, and the fix beside it.
    fn told(&self, id: &str, state: &str) -> String {
        let check = self.of(id);
        assert_eq!(check["state"], state, "{check}");
        format!("{} → {}", check["found"].as_str().unwrap(), check["fix"].as_str().unwrap_or_default())
    }

    fn bad(&self) -> Vec<&str> {
        let bad = self.checks.iter().filter(|check| check["state"] == "bad");
        bad.map(|check| check["id"].as_str().unwrap()).collect()
    }
}

async fn examined(company: &Company) -> Findings {
    let said = says(company, &["--lang", "en", "--format", "json"]).await;
    let checks = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}{}", said.stdout, said.stderr));
    let findings = Findings { code: said.code, checks };
    assert_eq!(findings.code == Some(1), !findings.bad().is_empty(), "{:#?}", findings.checks);
    findings
}

/// Without what differs from run to run and from machine to machine.
fn steady(text: &str) -> String {
    let replace = |text: String, pattern: &str, with: &str| {
        regex::Regex::new(pattern).unwrap().replace_all(&text, with).into_owned()
    };
    let mut text = text.to_owned();
    for (pattern, with) in [
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"(revision|版本) [0-9a-f]{12}", "$1 REVISION"),
        (r"Redis \d+\.\d+\.\d+", "Redis VERSION"),
        (r"\d+ (MiB used|µs|微秒)", "N $1"),
        (r"已用 \d+ MiB", "已用 N MiB"),
        (r"running: [^\n\x22]+", "running: NODE"),
        (r"运行中的进程: [^\n\x22]+", "运行中的进程: NODE"),
        (r"(longest has waited|open|打开) \d+", "$1 N"),
        (r"最久等了 \d+", "最久等了 N"),
        (r"/\S+/\.env", "CONFIG/.env"),
        (r"(quota is) [^\n\x22]+", "$1 …"),
        (r"限额用得最多的是 [^\n\x22]+", "限额用得最多的是 …"),
        (r": \d+ taken, \d+ refused[^,]*, \d+ with", ": N taken, N refused for want of Redis, N with"),
    ] {
        text = replace(text, pattern, with);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_company_is_told_so_in_both_languages_and_nothing_was_sent() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let env = company.dir.path().join(".env");
    std::fs::write(&env, "").unwrap();
    std::fs::set_permissions(&env, std::fs::Permissions::from_mode(0o600)).unwrap();
    let asked_before = company.world.log().len();

    let (english, chinese) = (says(&company, &["--lang", "en"]).await, says(&company, &[]).await);
    let findings = examined(&company).await;

    assert_eq!((english.code, chinese.code, findings.code), (Some(0), Some(0), Some(0)), "{}", english.stdout);
    // Counters of callbacks belong to the whole process of these tests, which other companies share.
    let without_counters = |text: &str| {
        let lines =
            text.lines().filter(|line| !line.contains("since the server here") && !line.contains("本机的服务启动以来"));
        let lines = lines.filter(|line| !line.contains("→ refused:") && !line.contains("→ 拒收:"));
        lines.filter(|line| !line.contains(" fine") && !line.contains("项正常")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("healthy", steady(&without_counters(&english.stdout)));
    insta::assert_snapshot!("healthy_zh", steady(&without_counters(&chinese.stdout)));
    let keys = |check: &Value| check.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(findings.checks.iter().all(|check| keys(check) == ["id", "group", "state", "found", "fix"]
        || keys(check) == ["fix", "found", "group", "id", "state"]));
    let table: Vec<String> = findings
        .checks
        .iter()
        .filter(|check| check["id"] != "callback.seen")
        .map(|check| {
            format!(
                "{} {} {}",
                check["group"].as_str().unwrap(),
                check["id"].as_str().unwrap(),
                check["state"].as_str().unwrap()
            )
        })
        .collect();
    insta::assert_snapshot!("healthy_ids", table.join("\n"));
    let log = company.world.log();
    let reading = [
        "get_api_domain_ip",
        "agent/get",
        "externalcontact/get_follow_user_list",
        "externalcontact/get_corp_tag_list",
        "user/get",
        "getcallbackip",
        "kf/account/list",
        "gettoken",
    ];
    for call in log.iter().skip(asked_before) {
        assert!(reading.contains(&call.api.as_str()), "{} is no reading call", call.api);
    }
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_would_lose_or_refuse_data_is_red_with_its_fix() {
    let redis = good_redis();
    let company = company_on(&redis).await;

    redis.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.run(&["CONFIG", "SET", "appendonly", "no"]);
    let findings = examined(&company).await;
    assert_eq!(findings.bad(), ["redis.eviction"]);
    assert!(findings.told("redis.eviction", "bad").contains("CONFIG SET maxmemory-policy noeviction"));
    assert!(findings.told("redis.durability", "warn").contains("CONFIG SET appendonly yes"));
    redis.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);

    // A snapshot that cannot take its place: Redis refuses every write (MISCONF).
    std::fs::create_dir_all(redis.folder().join("dump.rdb/in-the-way")).unwrap();
    redis.run(&["CONFIG", "SET", "save", "3600 1"]);
    redis.run(&["BGSAVE"]);
    eventually("the snapshot failed", async || {
        let info: String = company.redis("corp", &["INFO", "persistence"]);
        info.contains("rdb_last_bgsave_status:err")
    })
    .await;
    let findings = examined(&company).await;
    assert!(findings.told("redis.write", "bad").contains("MISCONF"), "{:?}", findings.bad());
    assert!(findings.told("redis.write", "bad").contains("BGSAVE"));
    assert!(findings.told("redis.disk", "bad").contains("snapshot err"));
    redis.run(&["CONFIG", "SET", "save", ""]);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_nearly_full_is_red_and_the_server_says_that_it_takes_nothing_in() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let info: String = company.redis("corp", &["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:")).unwrap();
    let most = used.parse::<u64>().unwrap() * 100 / 95;

    redis.run(&["CONFIG", "SET", "maxmemory", &most.to_string()]);
    eventually("the door is closed", async || {
        let page = company.ready().await;
        page["degraded"]
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one.as_str().unwrap().contains("answered 503")))
    })
    .await;
    let findings = examined(&company).await;
    let told = findings.told("redis.memory", "bad");
    assert!(told.contains("% of maxmemory") && told.contains("raise maxmemory"), "{told}");
    assert!(findings.told("work.server", "warn").contains("answered 503"), "{:#?}", findings.checks);

    redis.run(&["CONFIG", "SET", "maxmemory", "512mb"]);
    eventually("the door is open", async || company.ready().await["status"] == "ready").await;
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_holds_of_the_work_is_told_shards_processes_and_what_was_set_aside() {
    let redis = good_redis();
    let mut company = company_on(&redis).await;
    let () = company.redis("corp", &["XADD", "@dead", "*", "e", "{}", "error", "the field of a letter is no number"]);
    change(&company, "shards: 4", "shards: 8");

    let findings = examined(&company).await;
    assert!(findings.told("redis.shards", "bad").contains("set redis.shards: 4"));
    change(&company, "shards: 8", "shards: 4");
    let findings = examined(&company).await;
    assert_eq!((findings.bad(), findings.code), (vec![], Some(0)));
    assert!(findings.told("work.dead_letters", "warn").contains("the field of a letter is no number"));

    company.goes_down().await;
    let findings = examined(&company).await;
    assert!(findings.told("work.processes", "warn").contains("touchpoint serve"));
    assert!(findings.told("callback.assistant", "warn").contains("refuses connections"));

    redis.freeze();
    assert_eq!(examined(&company).await.bad(), ["redis.reach"]);
    redis.thaw();

    change(&company, "redis.sock", "nobody.sock");
    let findings = examined(&company).await;
    assert_eq!(findings.bad(), ["redis.reach"], "{:#?}", findings.checks);
    assert!(findings.told("redis.reach", "bad").contains("redis.url"));
    assert!(findings.told("wecom.apps", "warn").contains("were not tried"));
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wecom_refuses_is_red_with_its_fix_in_the_words_of_the_console() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let faults = company.world.faults();

    faults.inject(Fault::new(FaultKind::Errcode(60020)).of("agent/get")).unwrap();
    faults.inject(Fault::new(FaultKind::Errcode(48002)).of("externalcontact/get_follow_user_list")).unwrap();
    faults.inject(Fault::new(FaultKind::Errcode(60011)).of("user/get")).unwrap();
    let findings = examined(&company).await;
    let untrusted = findings.told("wecom.assistant.app", "bad");
    assert!(untrusted.contains("add 127.0.0.1 to the app's trusted IPs"), "{untrusted}");
    assert!(findings.told("wecom.assistant.contacts", "bad").contains("可调用接口的应用"));
    assert!(findings.told("wecom.assistant.directory", "warn").contains("可见范围"));
    assert_eq!(findings.bad(), ["wecom.assistant.app", "wecom.assistant.contacts"]);
    faults.clear();

    // A token that WeCom ends early is replaced, as every call would have done.
    faults.revoke_tokens(None);
    let findings = examined(&company).await;
    assert_eq!(findings.code, Some(0), "{:#?}", findings.checks);
    assert!(findings.told("wecom.assistant.token", "warn").contains("before its time"));

    // What is paused for a quota is told and left alone.
    let tags = "externalcontact/get_corp_tag_list";
    company.store.pause_family(tags, "45009 called too often", Duration::from_secs(3600)).await.unwrap();
    company.store.pause_family("contacts", "48002 the app may not call this", Duration::from_secs(60)).await.unwrap();
    let asked_before = company.calls_of(tags).len();
    let findings = examined(&company).await;
    let id = format!("wecom.paused.{tags}");
    assert!(findings.told(&id, "warn").contains("45009") && findings.told(&id, "warn").contains("let it pass"));
    assert!(findings.told("wecom.paused.contacts", "bad").contains("48002"));
    assert_eq!(company.calls_of(tags).len(), asked_before);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_red_and_asked_about_once_only() {
    let redis = good_redis();
    let mut company = company_on(&redis).await;
    company.goes_down().await;
    // The token that is still good would hide it.
    let key = company.store.keys().shared("token:assistant");
    let () = company.redis("corp", &["DEL", &key]);
    change(&company, "secret-of-the-assistant", "misspelt-secret");
    let asked_before = company.calls_of("gettoken").len();

    for _ in 0..3 {
        let findings = examined(&company).await;
        let told = findings.told("wecom.assistant.secret", "bad");
        assert!(told.contains("corp_id") && !told.contains("misspelt-secret"), "{told}");
    }

    assert_eq!(company.calls_of("gettoken").len(), asked_before + 1);
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wecom_that_is_away_broken_or_at_another_time_is_told_apart() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let faults = company.world.faults();

    faults.dates_are_ahead(TimeDelta::seconds(90));
    let findings = examined(&company).await;
    assert_eq!(findings.bad(), ["wecom.clock"]);
    let told = findings.told("wecom.clock", "bad");
    assert!((told.contains("90 s") || told.contains("89 s")) && told.contains("NTP"), "{told}");
    faults.dates_are_ahead(TimeDelta::seconds(-5));
    assert_eq!(examined(&company).await.of("wecom.clock")["state"], "warn");
    faults.clear();

    faults.inject(Fault::new(FaultKind::Status(502))).unwrap();
    let told = examined(&company).await.told("wecom.host", "bad");
    assert!(told.contains("HTTP 502") && told.contains("api_base"), "{told}");
    faults.clear();

    faults.refuse_connections(true).await;
    let told = examined(&company).await.told("wecom.host", "bad");
    assert!(told.contains("refuses connections"), "{told}");
    faults.refuse_connections(false).await;

    change(&company, &company.sandbox.base_url(), "https://qyapi.nobody.invalid");
    let told = examined(&company).await.told("wecom.host", "bad");
    assert!(told.contains("no host of that name") && told.contains("DNS"), "{told}");
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_leads_elsewhere_or_has_other_keys_is_told_apart() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let here = company.url("");

    change(&company, "token: callbacktoken", "token: anothertoken");
    let told = examined(&company).await.told("callback.assistant", "bad");
    assert!(told.contains("answers 403") && told.contains("aes_key"), "{told}");
    change(&company, "token: anothertoken", "token: callbacktoken");

    change(&company, &format!(r#"public_url: "{here}""#), &format!(r#"public_url: "{}""#, company.sandbox.base_url()));
    let told = examined(&company).await.told("callback.assistant", "bad");
    assert!(told.contains("answers 404"), "{told}");

    let elsewhere = format!(r#"public_url: "{}""#, company.sandbox.base_url());
    change(&company, &elsewhere, r#"public_url: "https://nobody.invalid""#);
    let findings = examined(&company).await;
    let told = findings.told("callback.assistant", "bad");
    assert!(told.contains("no host of that name"), "{told}");
    assert_eq!(findings.bad(), ["callback.assistant"]);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_rules_and_settings_are_red_and_no_folder_is_an_error_of_its_own() {
    let redis = good_redis();
    let company = company_on(&redis).await;
    let good = std::fs::read_to_string(company.rules_file()).unwrap();

    std::fs::write(company.rules_file(), good.replace("prompt:", "promt:")).unwrap();
    company.app().reload();
    let findings = examined(&company).await;
    assert_eq!(findings.bad(), ["rules", "work.rules"]);
    assert!(findings.told("rules", "bad").contains("touchpoint check"));
    assert!(findings.told("work.rules", "bad").contains("SIGHUP"));

    change(&company, "shards: 4", "shardz: 4");
    let findings = examined(&company).await;
    assert_eq!(findings.bad(), ["settings"]);
    assert!(findings.told("settings", "bad").contains("shardz"));

    let nowhere = company.dir.path().join("nowhere");
    assert_eq!(touchpoint(&nowhere, &["doctor"]).code, Some(3));
    assert_eq!(touchpoint(&nowhere, &["doctor", "--lang", "fr"]).code, Some(2));
    company.goes_home().await;
}
