//! Guarantee 5: whatever becomes of an answer, each call to WeCom is made at least once and nothing is doubled.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use touchpoint::sandbox::{Confirm, Fate, FaultKind, LogEntry, Staff, What};

use super::helpers::{Company, Setup, at, hours, minutes};
use super::process::eventually;

/// Rules that use every kind of effect.
const RULES: &str = r#"
playbook: { id: shop, name: 店 }
tags: { 触点: { order: 10 } }
touchpoints:
  scanned: { name: 扫码, on: contact.added, tag: 触点/扫码 }
messages:
  hello: { text: "{{ customer.name }}您好" }
  thanks: { text: "谢谢您的订单" }
welcome: [ { say: hello } ]
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    steps:
      - nudge: { say: thanks, via: [mass] }
      - wait: 1h
      - prompt: { title: 请回访, due: 4h }
staff: { escalate: 8h }
"#;

/// What two days bring.
const EVERYTHING: [&str; 9] = [
    "card lili 【已到期】请回访",
    "card lili 请回访",
    "card of lili now says Some(\"已完成\")",
    "mass reminder lili",
    "mass task lili 谢谢您的订单",
    "mass wmWang 谢谢您的订单",
    "tag wmWang 触点/扫码",
    "text boss",
    "welcome wmWang 客户wmWang您好",
];

/// A customer, an order, two days; with something wrong at the first call of one API.
async fn played(api: &str, fault: FaultKind) -> Company {
    let lili = Staff::new("lili", "李丽").confirming(Confirm::AfterReminder(hours(1)));
    let mut company = Setup::new(RULES).with_staff(lili).open().await;
    company.trouble(api, fault, 1);
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.happens("order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;
    company.advance(hours(26)).await;
    company.taps("lili", &company.latest_card("lili"), "done").await;
    company.advance(hours(24)).await;
    company
}

/// What people received, with how often.
fn received(company: &Company) -> BTreeMap<String, usize> {
    let mut received = BTreeMap::new();
    let told = company.pick(|what| {
        Some(match what {
            What::Welcome { customer, text, .. } => format!("welcome {customer} {text}"),
            What::MassTask { userid, text, .. } => format!("mass task {userid} {text}"),
            What::MassReminder { userid, .. } => format!("mass reminder {userid}"),
            What::Mass { customer, text, .. } => format!("mass {customer} {text}"),
            What::Tagged { customer, tag, .. } => format!("tag {customer} {tag}"),
            What::Card { userid, title, .. } => format!("card {userid} {title}"),
            What::CardUpdated { userid, replace_name, .. } => format!("card of {userid} now says {replace_name:?}"),
            What::Text { userid, .. } => format!("text {userid}"),
            // A repeat that WeCom recognised reached nobody.
            What::Repeated { .. } | What::Tapped { .. } => return None,
            other => format!("{other:?}"),
        })
    });
    for line in told {
        *received.entry(line).or_default() += 1;
    }
    received
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_answer_everything_arrives_once(
    #[values(
        "externalcontact/get",
        "externalcontact/send_welcome_msg",
        "externalcontact/mark_tag",
        "externalcontact/add_msg_template",
        "externalcontact/get_groupmsg_send_result",
        "message/send",
        "message/update_template_card"
    )]
    api: &str,
    #[values(FaultKind::LoseAnswer, FaultKind::HalfAnswer, FaultKind::Cut, FaultKind::Errcode(-1), FaultKind::Status(502))]
    fault: FaultKind,
) {
    let company = played(api, fault).await;

    let troubled = |call: &LogEntry| call.fate != Fate::Answered || call.errcode != 0;
    assert!(company.calls_of(api).iter().any(troubled), "the trouble was met");
    let once = |line: &&str| ((*line).to_owned(), 1);
    assert_eq!(received(&company), EVERYTHING.iter().map(once).collect());
    let fates = ["nudge thanks: confirmed, confirmed", "prompt 请回访: confirmed, done"];
    assert_eq!(company.fates_of("wmWang").await, fates);
    assert_eq!(given_up(&company).await, 0);
    company.close().await;
}

/// How many calls failed for good or came too late.
async fn given_up(company: &Company) -> i64 {
    let mut sum = 0;
    for day in at("2035-01-01 10:00").date_naive().iter_days().take(4) {
        let counters = company.store.counters(day).await.unwrap();
        let counted = |kind: &str| counters.get(&format!("event:{kind}")).copied().unwrap_or_default();
        sum += counted("effect.failed") + counted("effect.dropped");
    }
    sum
}

/// A reminder cannot be told from another one, so one whose answer is lost is not made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_whose_answer_was_lost_is_not_made_again() {
    let company = played("externalcontact/remind_groupmsg_send", FaultKind::LoseAnswer).await;

    assert_eq!(company.calls_of("externalcontact/remind_groupmsg_send").len(), 1);
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    company.close().await;
}

#[rstest]
#[case::the_list_of_tags("externalcontact/get_corp_tag_list", FaultKind::LoseAnswer)]
#[case::the_making_of_tags("externalcontact/add_corp_tag", FaultKind::LoseAnswer)]
#[case::the_making_of_tags_by_half("externalcontact/add_corp_tag", FaultKind::HalfAnswer)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_is_made_once_when_the_answer_is_lost_to(#[case] api: &str, #[case] fault: FaultKind) {
    let mut company = Company::prepare(Setup::new(RULES)).await;
    company.trouble(api, fault, 1);
    company.comes_up().await;

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(minutes(1)).await;

    assert_eq!(company.world.tags("wmWang", "lili"), ["触点/扫码"]);
    let made = company.calls_of("externalcontact/add_corp_tag").iter().filter(|call| call.is_accepted()).count();
    assert_eq!(made, 1);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_ends_early_is_renewed_and_the_call_made_again() {
    let mut company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.expects_trouble();

    company.world.faults().revoke_tokens(None);
    company.customer_adds("wmLi", "lili", "store-01").await;
    // A new token is asked for at most every 5 s of real time.
    let is_tagged = || async {
        company.advance(Duration::from_secs(1)).await;
        company.world.tags("wmLi", "lili") == ["触点/扫码"]
    };
    eventually("the tag is there", is_tagged).await;

    assert_eq!(company.calls_of("gettoken").len(), 2, "one new token for all calls");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_wecom_refuses_connections_calls_wait_and_burn_no_try() {
    let mut company = Setup::new(RULES).open().await;
    company.expects_trouble();
    company.customer_adds("wmWang", "lili", "store-01").await;

    company.world.faults().refuse_connections(true).await;
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;
    // Three tries would be all that a call has; the breaker lets three through before it opens.
    company.advance(minutes(8)).await;
    let meanwhile = company.fates_of("wmWang").await;
    company.world.faults().refuse_connections(false).await;
    let is_made = || async {
        company.advance(Duration::from_secs(5)).await;
        !company.mass_task_times().is_empty()
    };
    eventually("the breaker lets a call through again", is_made).await;
    company.settle().await;

    assert_eq!(meanwhile, ["nudge thanks: wanted, granted"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: sent, waits for the sender"]);
    company.close().await;
}
