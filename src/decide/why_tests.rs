use chrono::TimeDelta;
use insta::assert_snapshot;
use serde_json::json;

use super::super::town::Town;
use super::*;

const RULES: &str = r#"
playbook: { id: p, name: p }
touchpoints:
  store_qr: { name: 门店扫码, on: contact.added, where: 'event.state == "store"' }
segments:
  vip: { name: 高价值, when: customer.spend >= 1000 }
messages:
  miss_you: { text: "好久不见,{{ customer.name }}" }
  hello: { text: 您好 }
welcome:
  - { say: hello }
journeys:
  win_back:
    name: 沉睡唤醒
    enter: { segment: vip }
    where: customer.orders <= 2
    priority: 60
    steps:
      - nudge: { say: miss_you, via: [kf, mass, staff], hold: 2d }
      - wait: 1d
  second:
    name: 二次触达
    enter: { event: second.due }
    steps:
      - nudge: { say: hello, via: [staff], hold: 2d }
  care:
    name: 回访
    enter: { event: care.due }
    steps:
      - prompt: { title: 请回访客户, say: miss_you, due: 24h }
      - wait_for: { done: true, within: 7d }
guardrails:
  quiet_hours: "21:00-09:00"
  working_hours: "Mon-Sun 09:30-18:00"
  customer_budget: 1 per 7d
  staff_budget: 5 per 1d
staff: { escalate: 48h, snooze: 4h }
"#;

/// Customer wm1 was added by lili a month ago; it is 2026-05-06, 10:00.
fn town() -> Town {
    let mut town = Town::new(RULES, "2026-04-06 10:00");
    town.happens("customer:wm1", "contact.added", json!({ "userid": "lili", "state": "store" }));
    town.until("2026-05-06 10:00");
    town
}

fn order(town: &mut Town, amount: u32) {
    town.happens("customer:wm1", "order.paid", json!({ "amount": amount, "order_id": format!("o{amount}") }));
}

fn all(town: &Town) -> String {
    town.why(&About::default(), Locale::ZhCn)
}

/// Only the deliveries and the journey of one journey.
fn about(town: &Town, journey: &str, locale: Locale) -> String {
    town.why(&About { delivery: None, journey: Some(JourneyId::parse(journey).unwrap()) }, locale)
}

#[test]
fn a_nudge_sent_by_mass_and_confirmed_is_told_from_the_order_to_the_confirmation() {
    let mut town = town();
    town.mass_status = 1;
    order(&mut town, 2000);
    town.until("2026-05-06 12:00");
    assert_eq!(town.stands(), "confirmed: confirmed");
    assert_snapshot!("mass_confirmed", all(&town));
    assert_snapshot!("mass_confirmed_en", about(&town, "win_back", Locale::En));
}

#[test]
fn a_nudge_held_for_quiet_hours_names_them_and_goes_in_the_morning() {
    let mut town = town();
    town.until("2026-05-06 22:00");
    order(&mut town, 2000);
    town.until("2026-05-06 23:00");
    assert_snapshot!("held_for_quiet_hours", about(&town, "win_back", Locale::ZhCn));
    town.until("2026-05-07 12:00");
    assert_snapshot!("sent_after_quiet_hours", about(&town, "win_back", Locale::ZhCn));
}

#[test]
fn a_nudge_over_the_customers_budget_is_held_then_dropped() {
    let mut town = town();
    town.mass_status = 1;
    order(&mut town, 2000);
    town.until("2026-05-06 12:00");
    town.happens("customer:wm1", "second.due", json!({}));
    town.until("2026-05-10 12:00");
    assert_snapshot!("over_budget", about(&town, "second", Locale::ZhCn));
    assert_snapshot!("over_budget_en", about(&town, "second", Locale::En));
}

#[test]
fn a_customer_in_the_holdout_is_told_as_left_alone() {
    let mut town = town();
    town.playbook.journeys[0].holdout = 10_000;
    order(&mut town, 2000);
    town.until("2026-05-06 12:00");
    assert_snapshot!("held_out", about(&town, "win_back", Locale::ZhCn));
}

#[test]
fn a_nudge_that_staff_decline_is_dropped_with_their_tap() {
    let mut town = town();
    town.happens("customer:wm1", "second.due", json!({}));
    town.until("2026-05-06 10:10");
    town.taps("dismiss");
    assert_snapshot!("declined", about(&town, "second", Locale::ZhCn));
}

#[test]
fn a_nudge_that_finds_no_room_with_staff_names_their_budget() {
    let mut town = town();
    town.playbook.guardrails.staff_budget[0].count = 0;
    town.happens("customer:wm1", "second.due", json!({}));
    town.until("2026-05-10 10:10");
    assert_snapshot!("no_room", about(&town, "second", Locale::ZhCn));
    assert_snapshot!("no_room_en", about(&town, "second", Locale::En));
}

#[test]
fn a_journey_not_entered_shows_the_condition_with_its_values() {
    let mut town = town();
    for amount in [1, 2, 2000] {
        order(&mut town, amount);
    }
    town.until("2026-05-06 12:00");
    assert_snapshot!("not_entered", about(&town, "win_back", Locale::ZhCn));
    assert_snapshot!("not_entered_en", about(&town, "win_back", Locale::En));
}

#[test]
fn a_customer_who_opted_out_gets_nothing_and_why_says_so() {
    let mut town = town();
    town.happens("customer:wm1", "customer.opted_out", json!({ "reason": "退订" }));
    order(&mut town, 2000);
    town.until("2026-05-06 12:00");
    assert_snapshot!("opted_out", about(&town, "win_back", Locale::ZhCn));
}

#[test]
fn a_welcome_that_comes_too_late_is_told_as_a_non_send() {
    let mut town = Town::new(RULES, "2026-05-06 10:00");
    let at = town.now - TimeDelta::seconds(30);
    let added = json!({ "userid": "lili", "state": "store", "welcome_code": "W1" });
    town.happens_at(at, "customer:wm1", "contact.added", added);
    town.until("2026-05-06 10:05");
    assert_snapshot!("too_late", all(&town));
}

#[test]
fn a_prompt_is_told_with_every_answer_of_its_staff_member() {
    let mut town = town();
    town.happens("customer:wm1", "care.due", json!({}));
    town.until("2026-05-06 10:10");
    town.taps("snooze");
    assert_snapshot!("prompt_snoozed", about(&town, "care", Locale::ZhCn));
    town.until("2026-05-06 15:00");
    let cards: Vec<&String> = town.calls.iter().filter(|call| call.ends_with("staff_card")).collect();
    assert_eq!(cards, ["2026-05-06 10:01 staff_card", "2026-05-06 14:10 staff_card"]);
    town.taps("done");
    assert_snapshot!("prompt_done", about(&town, "care", Locale::ZhCn));
}

#[test]
fn a_prompt_that_nobody_answers_is_told_as_reminded_and_reported() {
    let mut town = town();
    town.happens("customer:wm1", "care.due", json!({}));
    town.until("2026-05-08 12:00");
    let calls: Vec<&String> = town.calls.iter().filter(|call| call.contains(" staff_")).collect();
    let expected = ["2026-05-06 10:01 staff_card", "2026-05-07 10:01 staff_card", "2026-05-08 10:01 staff_text"];
    assert_eq!(calls, expected, "a card, a reminder, a word to the managers");
    assert_snapshot!("prompt_reported", about(&town, "care", Locale::ZhCn));
}

#[test]
fn a_delivery_is_told_alone_with_its_journey() {
    let mut town = town();
    order(&mut town, 2000);
    town.happens("customer:wm1", "care.due", json!({}));
    town.until("2026-05-06 10:10");
    let nudge = town.deliveries().into_iter().find(|delivery| delivery.title.is_none()).unwrap();
    let told = town.why(&About { delivery: Some(nudge.id), journey: None }, Locale::En);
    let titles: Vec<&str> = told.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(titles, ["# Customer 王芳 (wm1)", "# Journey 沉睡唤醒 (win_back)", "# Nudge miss_you (沉睡唤醒): sent"]);
    let unknown = DeliveryId::parse("a".repeat(26)).unwrap();
    let told = town.why(&About { delivery: Some(unknown), journey: None }, Locale::En);
    assert!(told.contains("no such delivery"), "{told}");
}

#[test]
fn an_adding_without_a_code_is_told_as_a_non_send() {
    let told = all(&town());
    assert!(told.contains("2026-04-06 10:00 添加 李丽(lili) 时没有发欢迎语:企业微信没有给欢迎语凭证。"), "{told}");
}

#[test]
fn a_scheduled_journey_that_let_nobody_in_does_not_claim_that_it_was_never_looked_at() {
    let rules = RULES.replace("  second:", "  monthly:\n    name: 会员日\n    enter: { schedule: \"0 0 10 8 * *\", where: customer.orders > 9 }\n    steps: [{ wait: 1d }]\n  second:");
    let mut town = Town::new(&rules, "2026-05-06 10:00");
    town.happens("customer:wm1", "contact.added", json!({ "userid": "lili" }));
    town.happens("customer:wm1", "schedule.due", json!({ "schedule": "journey:monthly" }));
    let told = about(&town, "monthly", Locale::ZhCn);
    assert!(told.contains("定时检查至今没有让该客户进入。"), "{told}");
}

#[test]
fn a_welcome_that_wecom_took_waits_for_nobody() {
    let mut town = Town::new(RULES, "2026-05-06 10:00");
    town.happens("customer:wm1", "contact.added", json!({ "userid": "lili", "welcome_code": "W1" }));
    let told = all(&town);
    assert!(told.contains("欢迎语 hello:已发送") && !told.contains("处理。"), "{told}");
}
