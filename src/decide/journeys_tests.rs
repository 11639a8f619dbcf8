use serde_json::json;

use super::stage::{Stage, local, rules};
use crate::domain::customer::Arm;

/// Rules with one journey, by the rest of its definition and its steps.
fn journey(rest: &str, steps: &str) -> String {
    let steps: String = steps.lines().map(|line| format!("      {}\n", line.trim_start_matches('|'))).collect();
    format!(
        r#"
touchpoints:
  visit: {{ on: visit.made }}
  big: {{ on: order.paid, where: event.amount >= 100 }}
segments:
  vip: {{ when: customer.spend >= 1000 }}
messages:
  hello: {{ text: "您好{{{{ event.product }}}}" }}
journeys:
  trip:
{}
    steps:
{steps}"#,
        rest.lines().map(|line| format!("    {}\n", line.trim())).collect::<String>(),
    )
}

#[test]
fn each_way_in_leads_in() {
    for (enter, event, data) in [
        ("{ segment: vip }", "order.paid", json!({ "amount": 2000 })),
        ("{ touchpoint: big }", "order.paid", json!({ "amount": 100 })),
        ("{ event: order.paid }", "order.paid", json!({ "amount": 1 })),
        ("{ event: coupon.used }", "coupon.used", json!({})),
        ("{ schedule: \"0 0 9 * * *\" }", "schedule.due", json!({ "schedule": "journey:trip" })),
        ("{ event: contact.added }", "contact.half_added", json!({ "userid": "wangwei" })),
    ] {
        let mut stage = Stage::new(&journey(&format!("enter: {enter}"), "- wait: 1d"));
        stage.event("visit.made", json!({}));
        stage.event("schedule.due", json!({ "schedule": "journey:other" }));
        assert_eq!(stage.run("trip"), "never", "{enter}");
        stage.event(event, data);
        assert_eq!(stage.run("trip"), "1 until 2026-05-07 10:00", "{enter}");
        assert_eq!(stage.customer.considered["trip"].outcome, "entered");
    }
}

#[test]
fn who_may_not_enter_is_told_why() {
    let wants = |stage: &mut Stage| {
        stage.event("visit.made", json!({ "store": "a" }));
        stage.customer.considered["trip"].outcome.clone()
    };
    let rest = "enter: { touchpoint: visit }\nwhere: customer.orders == 0\nagain: 2d";
    let mut stage = Stage::followed(&journey(rest, "- wait: 1d"));
    assert_eq!(wants(&mut stage), "entered");
    assert_eq!(wants(&mut stage), "already inside");
    stage.until("2026-05-07 10:00");
    assert_eq!(wants(&mut stage), "not again before 2026-05-08 10:00");
    stage.until("2026-05-08 10:00");
    stage.event("order.paid", json!({ "amount": 1 }));
    assert_eq!(wants(&mut stage), "where: customer.orders == 0 (customer.orders = 1)");

    let mut once = Stage::followed(&journey("enter: { touchpoint: visit }", "- wait: 1d"));
    wants(&mut once);
    once.until("2026-06-08 10:00");
    assert_eq!(wants(&mut once), "never again");

    let mut out = Stage::followed(&journey("enter: { touchpoint: visit }\nexit: customer.opted_out", "- wait: 1d"));
    out.event("customer.opted_out", json!({}));
    assert_eq!(wants(&mut out), "exit: customer.opted_out (customer.opted_out = true)");
}

#[test]
fn backfill_takes_in_those_already_inside_once() {
    let with = |backfill: bool| {
        let backfill = if backfill { "\nbackfill: true" } else { "" };
        journey(&format!("enter: {{ segment: vip }}{backfill}\nagain: 1d"), "- wait: 1h")
    };
    let mut stage = Stage::followed("segments:\n  vip: { when: customer.spend >= 1000 }\n");
    stage.event("order.paid", json!({ "amount": 2000 }));
    stage.playbook = rules(&with(false));
    stage.sweep("segments");
    assert_eq!(stage.run("trip"), "never");
    stage.playbook = rules(&with(true));
    stage.sweep("segments");
    assert_eq!(stage.run("trip"), "1 until 2026-05-06 11:00");
    stage.until("2026-05-09 03:00");
    stage.sweep("segments");
    assert_eq!(stage.run("trip"), "finished");
}

#[test]
fn steps_are_taken_skipped_and_branched_as_written() {
    let steps = r#"- branch:
|    - { if: "event.amount > 500", steps: [{ tag: { add: [a/big] } }] }
|    - { if: "event.amount > 50", steps: [] }
|    - { else: [{ tag: { add: [a/small] } }, { stop: 太小 }] }
|- { if: "customer.orders > 1", tag: { add: [a/again] } }
|- event: { type: gift.planned, data: { for: "{{ event.product }}", amount: 5 } }
|- wait_until: "Mon 10:00"
|- tag: { add: [a/done], remove: [a/big] }"#;
    let rules = journey("enter: { event: order.paid }\nagain: 1d", steps);
    for (amount, end, tags) in [
        (600, "finished", &["a/again", "a/big", "a/done"][..]),
        (60, "finished", &["a/again", "a/done"]),
        (6, "太小", &["a/small"]),
    ] {
        let mut stage = Stage::followed(&rules);
        let first = stage.event("order.paid", json!({ "amount": amount, "product": "coat" }));
        if amount > 50 {
            assert!(first.contains(&"gift.planned".to_owned()), "{first:?}");
            let line = stage.decisions[0].lines.iter().find(|line| line.kind == "gift.planned").unwrap();
            assert_eq!(json!(line.data), json!({ "for": "coat", "amount": 5 }));
            assert_eq!(stage.run("trip"), "4 until 2026-05-11 10:00");
        }
        stage.until("2026-05-11 10:00");
        assert_eq!(stage.run("trip"), end, "{amount}");
        // The second round takes the step that the first one skipped, and takes off only what the first put on.
        stage.event("order.paid", json!({ "amount": amount, "product": "coat" }));
        stage.until("2026-05-12 10:00");
        let lili = stage.customer.followers.values().next().unwrap();
        let has: Vec<&str> = lili.tags.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(has, tags, "{amount}");
    }
}

#[test]
fn wait_for_goes_on_at_the_signal_or_when_it_is_over() {
    let steps = "- wait_for: { touchpoint: visit, within: 2d }\n- tag: { add: [a/b] }\n- wait: 1d";
    let rules = journey("enter: { event: order.paid }", steps);
    let mut stage = Stage::followed(&rules);
    stage.event("order.paid", json!({ "amount": 1 }));
    assert_eq!(stage.run("trip"), "1 something until 2026-05-08 10:00");
    stage.until("2026-05-07 12:00");
    assert_eq!(stage.event("visit.made", json!({})).last().unwrap(), "> tag lili +a/b");
    assert_eq!(stage.run("trip"), "3 until 2026-05-08 12:00");
    let mut stage = Stage::followed(&rules);
    stage.event("order.paid", json!({ "amount": 1 }));
    assert_eq!(stage.until("2026-05-08 10:00"), ["> tag lili +a/b"]);
}

#[test]
fn a_goal_ends_the_run_within_its_window_only() {
    let rules = journey("enter: { event: order.paid }\ngoal: { touchpoint: visit, within: 3d }", "- wait: 1d");
    let mut stage = Stage::followed(&rules);
    stage.event("order.paid", json!({ "amount": 1 }));
    stage.until("2026-05-07 12:00");
    // Steps are over, the goal is still watched for.
    assert_eq!(stage.run("trip"), "1 goal until 2026-05-09 10:00");
    // A visit of before the entry that comes late is not what the journey brought about.
    stage.event_at(local("2026-05-05 12:00"), "visit.made", json!({}));
    let told = stage.event("visit.made", json!({}));
    assert_eq!(told, ["visit.made", "touchpoint.met visit", "journey.goal trip", "journey.ended trip: goal"]);
    assert_eq!((stage.run("trip").as_str(), stage.timers.len()), ("goal", 0));

    let mut late = Stage::followed(&rules);
    late.event("order.paid", json!({ "amount": 1 }));
    late.until("2026-05-09 10:00");
    assert_eq!(late.run("trip"), "finished");
    assert_eq!(late.event("visit.made", json!({})), ["visit.made", "touchpoint.met visit"]);
}

#[test]
fn what_lets_in_is_not_also_the_goal() {
    let rest = "enter: { touchpoint: visit }\ngoal: { touchpoint: visit, within: 3d }";
    let mut stage = Stage::followed(&journey(rest, "- wait: 1d"));
    stage.event("visit.made", json!({}));
    assert_eq!(stage.run("trip"), "1 until 2026-05-07 10:00");
    stage.event("visit.made", json!({}));
    assert_eq!(stage.run("trip"), "goal");
}

#[test]
fn what_the_entering_event_also_brought_about_is_neither_goal_nor_signal() {
    let rest = "enter: { event: order.paid }\ngoal: { touchpoint: big, within: 3d }";
    let mut stage = Stage::followed(&journey(rest, "- wait_for: { touchpoint: big, within: 2d }"));
    stage.event("order.paid", json!({ "amount": 100 }));
    assert_eq!(stage.run("trip"), "1 something until 2026-05-08 10:00");
    stage.event("order.paid", json!({ "amount": 100 }));
    assert_eq!(stage.run("trip"), "goal");
    let mut waits =
        Stage::followed(&journey("enter: { event: order.paid }", "- wait_for: { touchpoint: big, within: 2d }"));
    waits.event("order.paid", json!({ "amount": 100 }));
    assert_eq!(waits.run("trip"), "1 something until 2026-05-08 10:00");
    waits.event("order.paid", json!({ "amount": 100 }));
    assert_eq!(waits.run("trip"), "finished");
}

#[test]
fn a_schedule_that_does_not_fit_leaves_the_record_as_it_was() {
    let rest = "enter: { schedule: \"0 0 9 * * *\", where: customer.orders > 0 }";
    let mut stage = Stage::followed(&journey(rest, "- wait: 1d"));
    let before = stage.customer.clone();
    stage.sweep("journey:trip");
    assert_eq!(stage.customer, before);
    stage.event("order.paid", json!({ "amount": 1 }));
    stage.sweep("journey:trip");
    assert_eq!(stage.run("trip"), "1 until 2026-05-07 10:00");
}

#[test]
fn an_exit_ends_the_run_at_any_event() {
    let rest = "enter: { event: order.paid }\nexit: customer.orders > 1 || days_since(customer.last_order_at) >= 2";
    for (end, expected) in [("order.paid", "exit"), ("visit.made", "exit")] {
        let mut stage = Stage::followed(&journey(rest, "- wait: 9d"));
        stage.event("order.paid", json!({ "amount": 1 }));
        if end == "visit.made" {
            stage.event(end, json!({}));
            assert_eq!(stage.run("trip"), "1 until 2026-05-15 10:00");
            stage.until("2026-05-08 10:00");
        }
        stage.event(end, json!({ "amount": 1 }));
        assert_eq!(stage.run("trip"), expected, "{end}");
    }
}

#[test]
fn a_run_survives_a_reload_and_ends_when_its_step_is_gone() {
    let rest = "enter: { event: order.paid }";
    let before = journey(rest, "- { id: pause, wait: 1d }\n- tag: { add: [a/b] }");
    let entered = || {
        let mut stage = Stage::followed(&before);
        stage.event("order.paid", json!({ "amount": 1 }));
        stage
    };
    let mut moved = entered();
    moved.playbook = rules(&journey(rest, "- tag: { add: [a/x] }\n- { id: pause, wait: 9d }\n- tag: { add: [a/c] }"));
    moved.until("2026-05-07 10:00");
    let lili = moved.customer.followers.values().next().unwrap();
    assert_eq!(lili.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a/c"]);

    let mut gone = entered();
    gone.playbook = rules(&journey(rest, "- { id: rest, wait: 1d }"));
    assert_eq!(gone.event("visit.made", json!({}))[2..], ["journey.ended trip: step removed"]);

    let mut removed = entered();
    removed.playbook = rules("touchpoints:\n  visit: { on: visit.made }\n");
    removed.until("2026-05-07 10:00");
    assert_eq!((removed.run("trip").as_str(), removed.timers.len()), ("journey removed", 0));
}

#[test]
fn a_timer_that_the_run_does_not_await_any_more_changes_nothing() {
    let mut stage = Stage::followed(&journey("enter: { event: order.paid }", "- wait: 1d\n- wait: 1d"));
    stage.event("order.paid", json!({ "amount": 1 }));
    let before = stage.customer.clone();
    for (name, due) in
        [("run:trip", "2026-05-07 09:00"), ("run:other", "2026-05-07 10:00"), ("judge", "2026-05-06 10:00")]
    {
        stage.event("timer.fired", json!({ "name": name, "due": local(due).timestamp_millis() }));
        assert_eq!(stage.customer, before, "{name}");
    }
    stage.until("2026-05-07 10:00");
    assert_eq!(stage.run("trip"), "2 until 2026-05-08 10:00");
}

#[test]
fn about_as_many_are_left_alone_as_the_playbook_says_and_they_get_nothing() {
    let steps = "- tag: { add: [a/b] }\n- event: { type: gift.planned }\n- nudge: { say: hello, via: [mass] }\n- prompt: { title: 回访 }";
    let rest = "enter: { event: order.paid }\nholdout: 20\ngoal: { touchpoint: visit, within: 9d }";
    let playbook = rules(&journey(rest, steps));
    let mut left_alone = 0;
    for number in 0..500 {
        let mut stage = Stage::followed(&journey("enter: { event: never.comes }", "- wait: 1d"));
        stage.playbook = playbook.clone();
        stage.customer.id = crate::domain::ids::ExternalUserId::parse(format!("wm{number}")).unwrap();
        let told = stage.event("order.paid", json!({ "amount": 1 }));
        let told = [told, stage.until("2026-05-08 10:00")].concat();
        if stage.customer.runs["trip"].arm == Arm::HeldOut {
            left_alone += 1;
            assert_eq!(told, ["order.paid", "journey.entered trip"]);
            assert_eq!(
                (stage.stands("hello"), stage.stands("回访")),
                ("dropped: held out".into(), "dropped: held out".into())
            );
            assert_eq!(stage.customer.considered["trip"].outcome, "held out");
            stage.event("visit.made", json!({}));
            assert_eq!(stage.counted("journey.goal:trip:held_out"), 1);
        } else {
            assert!(told.iter().any(|line| line.contains("asked: mass")), "{told:?}");
        }
    }
    assert!((70..130).contains(&left_alone), "{left_alone} of 500");
}
