//! Rules that change while the server runs, and the commands beside it.

use serde_json::Value;

use super::helpers::{Company, Setup, minutes, rules};
use super::process::{RealProcess, eventually, touchpoint};

const CARE: &str = r#"
tags: { 触点: { order: 10 } }
journeys:
  care: { name: 关怀, again: 1s, enter: { event: order.paid }, steps: [ prompt: { title: 旧的 } ] }
"#;

async fn revision(company: &Company) -> Value {
    company.ready().await["playbook"]["revision"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typo_is_refused_the_old_rules_go_on_and_a_fix_is_taken() {
    let company = Setup::new(&rules(CARE)).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    let (before, counter) = (revision(&company).await, r#"touchpoint_playbook_reloads_total{result="refused"}"#);
    let refused_before = company.metric(counter).await;

    company.changes_rules(&rules(&CARE.replace("prompt:", "promt:"))).await;
    let (refused, page) = (company.metric(counter).await - refused_before, company.ready().await);
    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(2)).await;
    company.changes_rules(&rules(&CARE.replace("旧的", "新的"))).await;
    company.orders("wmWang", "A2", "100").await;
    company.advance(minutes(2)).await;

    assert!(refused >= 1.0, "{refused}");
    assert_eq!((&page["status"], &page["playbook"]["revision"]), (&Value::from("degraded"), &before), "{page}");
    let first = page["playbook"]["refused_reload"]["first"].as_str().unwrap();
    assert!(first.contains("rules.yaml:12:") && first.contains("promt"), "{first}");
    assert!(page["degraded"][0].as_str().unwrap().contains("the last reload of the playbook was refused"), "{page}");
    assert_eq!(company.cards_of("lili"), ["旧的", "新的"]);
    let page = company.ready().await;
    assert_eq!((&page["status"], &page["playbook"]["refused_reload"]), (&Value::from("ready"), &Value::Null), "{page}");
    assert_ne!(page["playbook"]["revision"], before);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_that_new_rules_name_are_made() {
    let company = Setup::new(&rules(CARE)).open().await;
    assert_eq!(company.calls_of("externalcontact/add_corp_tag"), []);

    let met = "touchpoints:\n  bought: { name: 下单, on: order.paid, tag: 触点/下单 }\n";
    company.changes_rules(&rules(CARE).replace("touchpoints:\n", met)).await;

    let made = company.calls_of("externalcontact/add_corp_tag");
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].request["body"]["tag"][0]["name"], "下单");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_folder_changes_nothing_at_all() {
    let company = Setup::new(&rules(CARE)).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    let before = revision(&company).await;

    // One file is better than before, the other one is broken.
    std::fs::write(company.dir.path().join("playbook/more.yaml"), "segments: { buyer: { name: 买家, when: 1 + } }")
        .unwrap();
    company.changes_rules(&rules(&CARE.replace("旧的", "新的"))).await;
    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(2)).await;

    assert_eq!(revision(&company).await, before);
    assert_eq!(company.cards_of("lili"), ["旧的"]);
    company.close().await;
}

async fn served_by_a_process() -> (Company, RealProcess) {
    let mut company = Company::prepare(Setup::new(&rules(CARE))).await;
    let process = RealProcess::serve(company.dir.path(), "info");
    company.is_served_at(&process.address);
    company.settle().await;
    (company, process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_a_running_server() {
    let (company, process) = served_by_a_process().await;
    let before = revision(&company).await;
    let counter = |result| format!(r#"touchpoint_playbook_reloads_total{{result="{result}"}}"#);

    std::fs::write(company.rules_file(), rules(&CARE.replace("steps:", "stps:"))).unwrap();
    process.signal("HUP");
    let refused = || async { company.ready().await["playbook"]["refused_reload"].is_object() };
    eventually("the reload is refused", refused).await;
    assert_eq!(revision(&company).await, before);
    std::fs::write(company.rules_file(), rules(&CARE.replace("旧的", "新的"))).unwrap();
    process.signal("HUP");
    eventually("the reload is taken", || async { revision(&company).await != before }).await;

    let counted = (company.metric(&counter("refused")).await, company.metric(&counter("swapped")).await);
    assert_eq!(counted, (1.0, 1.0));
    assert!(process.log().contains("the reload is refused"), "{}", process.log());
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_speaks_beside_a_running_server_in_both_languages() {
    let (company, _process) = served_by_a_process().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;

    let asked = |arguments: &[&str]| touchpoint(company.dir.path(), &[&["why", "wmWang"], arguments].concat());
    let (chinese, english) = (asked(&[]), asked(&["--lang", "en"]));
    let json = asked(&["--format", "json", "--journey", "care"]);
    let stranger = touchpoint(company.dir.path(), &["why", "wmNobody"]);

    assert_eq!((chinese.code, english.code), (Some(0), Some(0)), "{}", chinese.stderr);
    assert!(chinese.stdout.contains("旅程 关怀(care)") && chinese.stdout.contains("提醒 旧的"), "{}", chinese.stdout);
    assert!(english.stdout.contains("Journey 关怀 (care)"), "{}", english.stdout);
    assert_eq!(chinese.stdout, company.why("wmWang").await, "the server says the same");
    let sections: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(sections["sections"].as_array().is_some_and(|sections| sections.len() == 3), "{sections}");
    assert_eq!(stranger.code, Some(1));
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_ends_with_0_when_all_is_well_and_1_with_every_fault_named() {
    let company = Company::prepare(Setup::new(&rules(CARE))).await;
    let path = company.dir.path();

    let fine = touchpoint(path, &["check"]);
    std::fs::write(company.rules_file(), rules(&CARE.replace("prompt:", "promt:").replace("order.paid", "Order")))
        .unwrap();
    let (faulty, json) = (touchpoint(path, &["check"]), touchpoint(path, &["check", "--format", "json"]));
    let (nowhere, nonsense) = (touchpoint(path, &["check", "/nowhere"]), touchpoint(path, &["chekc"]));

    assert_eq!(fine.code, Some(0), "{}", fine.stdout);
    assert_eq!((faulty.code, json.code), (Some(1), Some(1)));
    assert!(faulty.stdout.contains("rules.yaml:12:") && faulty.stdout.contains("promt"), "{}", faulty.stdout);
    let faults: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    let errors: Vec<&Value> = faults.iter().filter(|fault| fault["severity"] == "error").collect();
    assert_eq!(errors.len(), 2, "both at once: {faults:#?}");
    for fault in errors {
        assert!(fault["file"].as_str().unwrap().ends_with("rules.yaml"), "{fault}");
        assert!(fault["line"].is_u64() && fault["column"].is_u64() && fault["code"].is_string(), "{fault}");
    }
    assert_eq!((nowhere.code, nonsense.code), (Some(3), Some(2)));
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_faulty_rules_does_not_start() {
    let company = Company::prepare(Setup::new(&rules(&CARE.replace("prompt:", "promt:")))).await;

    let said = touchpoint(company.dir.path(), &["serve"]);

    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("promt"), "{}", said.stderr);
    company.sandbox.stop().await;
}
