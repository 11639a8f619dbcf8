use serde_json::json;

use super::stage::{Stage, local};
use crate::domain::effect::{Call, Lane};

const RULES: &str = r#"
touchpoints:
  store_qr: { on: contact.added, where: 'event.state.startsWith("store-")' }
messages:
  store: { text: "{{ customer.name }}您好,我是{{ staff.name }}。" }
  online: { text: "您好,来自{{ event.state }}。" }
  long: { text: "{{ customer.attrs.essay }}" }
welcome:
  - { touchpoint: store_qr, say: store }
  - { where: 'event.state == "web"', say: online }
  - { where: 'event.state == "essay"', say: long }
"#;

fn added(stage: &mut Stage, state: &str) -> Vec<String> {
    stage.event("contact.added", json!({ "userid": "lili", "state": state, "welcome_code": "W1" }))
}

fn profile(stage: &mut Stage) -> Vec<String> {
    stage
        .event("contact.profile", json!({ "name": "王芳", "userid": "lili", "staff_name": "李丽", "follow_users": [] }))
}

#[test]
fn the_welcome_waits_for_the_name() {
    let mut stage = Stage::new(RULES);
    assert_eq!(added(&mut stage, "store-01"), ["contact.added", "touchpoint.met store_qr", "> profile"]);
    assert_eq!(stage.timers["welcome:lili"], local("2026-05-06 10:00:08"));
    stage.until("2026-05-06 10:00:02");
    let told = profile(&mut stage);
    assert_eq!(told, ["contact.profile", "> welcome by lili: 王芳您好,我是李丽。"]);
    assert!(stage.timers.is_empty() && !stage.was_wanted("online"));
    let effect = stage.decisions.last().unwrap().effects.last().unwrap().clone();
    let Call::Welcome { since, .. } = &effect.call else { panic!() };
    assert_eq!((*since, effect.lane), (local("2026-05-06 10:00"), Lane::Urgent));
    assert_eq!(effect.valid_until, local("2026-05-06 10:00:19"));
    assert_eq!(effect.id, stage.delivery("store").id);
    stage.event("effect.done", json!({ "effect": effect.id.as_str(), "call": "welcome", "answer": {}, "tries": 1 }));
    assert_eq!(stage.stands("store"), "sent: taken by wecom");
    assert!(stage.customer.deliveries.is_empty());
    assert_eq!((stage.counted("welcome.wanted:-:welcome"), stage.counted("welcome.sent:-:welcome")), (1, 1));
}

#[test]
fn without_a_profile_it_goes_after_eight_seconds_without_the_name() {
    let mut stage = Stage::new(RULES);
    added(&mut stage, "store-01");
    assert_eq!(stage.until("2026-05-06 10:00:09"), ["> welcome by lili: 您好,我是。"]);
    // The profile comes after all: nobody is greeted twice.
    assert_eq!(profile(&mut stage), ["contact.profile"]);
}

#[test]
fn a_profile_that_cannot_be_read_is_not_waited_for() {
    let mut stage = Stage::new(RULES);
    added(&mut stage, "store-01");
    let asked = stage.decisions[0].effects[0].id.clone();
    let told =
        stage.event("effect.failed", json!({ "effect": asked.as_str(), "call": "fetch_profile", "reason": "x" }));
    assert_eq!(told, ["effect.failed", "> welcome by lili: 您好,我是。"]);
}

#[test]
fn the_first_rule_that_fits_speaks() {
    for (state, expected) in [
        ("store-01", "> welcome by lili: 您好,我是。"),
        ("web", "> welcome by lili: 您好,来自web。"),
        ("elsewhere", "none"),
    ] {
        let mut stage = Stage::new(RULES);
        added(&mut stage, state);
        let told = stage.until("2026-05-06 10:00:10");
        assert_eq!(told.last().map_or("none", String::as_str), expected, "{state}");
    }
}

#[test]
fn every_welcome_that_does_not_go_says_why() {
    let mut stage = Stage::new(RULES);
    added(&mut stage, "elsewhere");
    stage.until("2026-05-06 10:01");
    let welcome = |stage: &Stage| {
        let delivery = stage.deliveries.values().next().expect("a welcome was wanted");
        format!("{:?}: {}", delivery.state, delivery.reason)
    };
    assert_eq!(welcome(&stage), "Dropped: no rule");

    let mut late = Stage::new(RULES);
    late.event_at(
        local("2026-05-06 09:59:40"),
        "contact.added",
        json!({ "userid": "lili", "state": "web", "welcome_code": "W1" }),
    );
    late.until("2026-05-06 10:00");
    assert_eq!(welcome(&late), "Dropped: too late");

    let mut gone = Stage::new(RULES);
    added(&mut gone, "web");
    gone.event("contact.lost", json!({ "userid": "lili" }));
    assert_eq!((welcome(&gone).as_str(), gone.timers.len()), ("Dropped: not followed", 0));

    let mut long = Stage::new(RULES);
    long.event("customer.updated", json!({ "attrs": { "essay": "长".repeat(2000) } }));
    added(&mut long, "essay");
    long.until("2026-05-06 10:01");
    assert_eq!(welcome(&long), "Failed: text cannot be made");
    let facts = &long.delivery("long").turns.last().unwrap().facts;
    assert!(facts.contains(&("bytes".to_owned(), "6000".to_owned())), "{facts:?}");

    let mut refused = Stage::new(RULES);
    added(&mut refused, "web");
    refused.until("2026-05-06 10:00:10");
    let id = refused.delivery("online").id.clone();
    let data = json!({ "effect": id.as_str(), "call": "welcome", "reason": "too late", "errcode": 41050, "tries": 1 });
    refused.event("effect.failed", data);
    assert_eq!(welcome(&refused), "Failed: too late");
}

#[test]
fn an_adding_without_a_code_says_so_and_the_code_of_its_second_word_is_taken() {
    let mut stage = Stage::new(RULES);
    let told = stage.event("contact.half_added", json!({ "userid": "lili", "state": "web" }));
    assert!(told.contains(&"welcome.none".to_owned()), "{told:?}");
    added(&mut stage, "web");
    assert_eq!(stage.until("2026-05-06 10:01").last().unwrap(), "> welcome by lili: 您好,来自web。");
    // A third word brings nothing more.
    added(&mut stage, "web");
    assert_eq!(stage.until("2026-05-06 10:02"), Vec::<String>::new());
}

#[test]
fn an_old_code_is_greeted_at_once_after_a_standstill() {
    let mut stage = Stage::new(RULES);
    let at = local("2026-05-06 09:59:48");
    stage.event_at(at, "contact.added", json!({ "userid": "lili", "state": "store-9", "welcome_code": "W1" }));
    assert_eq!(stage.until("2026-05-06 10:00"), ["> welcome by lili: 您好,我是。"]);
}

#[test]
fn the_welcome_goes_at_night_and_to_those_who_opted_out() {
    let mut stage = Stage::new(&format!("{RULES}guardrails:\n  quiet_hours: \"21:00-09:00\"\n"));
    stage.until("2026-05-06 23:00");
    stage.event("customer.opted_out", json!({}));
    added(&mut stage, "web");
    assert_eq!(stage.until("2026-05-06 23:01"), ["> welcome by lili: 您好,来自web。"]);
}

#[test]
fn who_returns_after_an_end_that_was_never_told_is_greeted_again() {
    let mut stage = Stage::new(RULES);
    added(&mut stage, "web");
    assert_eq!(stage.until("2026-05-06 10:01").last().unwrap(), "> welcome by lili: 您好,来自web。");
    stage.until("2026-05-08 10:00");
    stage.event("contact.added", json!({ "userid": "lili", "state": "web", "welcome_code": "W2" }));
    assert_eq!(stage.until("2026-05-08 10:01").last().unwrap(), "> welcome by lili: 您好,来自web。");
}

#[test]
fn a_code_that_came_too_late_leaves_room_for_that_of_the_second_word() {
    let mut stage = Stage::new(RULES);
    let half = json!({ "userid": "lili", "state": "web", "welcome_code": "W1" });
    stage.event_at(local("2026-05-06 09:59"), "contact.half_added", half);
    stage.until("2026-05-06 10:05");
    let told = stage.event("contact.added", json!({ "userid": "lili", "state": "web", "welcome_code": "W2" }));
    assert_eq!(told, ["contact.added"]);
    assert_eq!(stage.until("2026-05-06 10:06").last().unwrap(), "> welcome by lili: 您好,来自web。");
}
