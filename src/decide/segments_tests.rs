use serde_json::json;

use super::stage::{Stage, local};

const RULES: &str = r#"
touchpoints:
  visit: { on: visit.made, where: 'event.store != "x"', tag: 触点/到店 }
  regular: { on: visit.made, where: 'touched("visit") >= 2' }
  recent: { on: visit.made, where: 'touched("visit", "3d") >= 2' }
segments:
  newcomer: { when: customer.orders == 0 && days_since(customer.added_at) <= 14, tag: 分层/新客 }
  vip: { when: customer.spend >= 2000, tag: [分层/高价值, 分层/重点] }
  sleeping: { when: 'in_segment("vip") && days_since(customer.last_order_at) > 60', tag: 分层/重点 }
"#;

#[test]
fn segments_are_entered_and_left_by_events_and_their_tags_follow() {
    let mut stage = Stage::new(RULES);
    let told = stage.event("contact.added", json!({ "userid": "lili" }));
    assert_eq!(told, ["contact.added", "segment.entered newcomer", "> profile", "> tag lili +分层/新客"]);
    let told = stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    let expected =
        ["order.paid", "segment.left newcomer", "segment.entered vip", "> tag lili +分层/重点 +分层/高价值 -分层/新客"];
    assert_eq!(told, expected);
    assert_eq!(stage.decisions.last().unwrap().memberships.len(), 2);
    // Nothing changes, nothing is asked for.
    assert_eq!(stage.event("visit.made", json!({ "store": "x" })), ["visit.made"]);
    let told = stage.event("order.refunded", json!({ "order_id": "1" }));
    assert_eq!(
        told[1..],
        ["segment.entered newcomer", "segment.left vip", "> tag lili +分层/新客 -分层/重点 -分层/高价值"]
    );
}

#[test]
fn the_sweep_finds_what_only_time_changes_and_segments_that_ask_about_segments_follow() {
    let mut stage = Stage::followed(RULES);
    stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    stage.until("2026-07-20 03:00");
    // The tag is there already, for the other segment wants it too.
    assert_eq!(stage.sweep("segments"), ["segment.entered sleeping"]);
    assert_eq!(stage.sweep("segments"), Vec::<String>::new());
    let because = stage.decisions[stage.decisions.len() - 2].lines[0].data["because"].as_str().unwrap().to_owned();
    let values = "customer.last_order_at = 2026-05-06 10:00, days_since(customer.last_order_at) = 74";
    assert_eq!(because, format!("in_segment(\"vip\") = true, {values}"));
    // One of two that want the tag is left: it stays.
    let told = stage.event("order.paid", json!({ "order_id": "2", "amount": 1 }));
    assert_eq!(told, ["order.paid", "segment.left sleeping"]);
}

#[test]
fn who_follows_later_finds_the_tags_of_the_segments() {
    let mut stage = Stage::followed(RULES);
    stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    let told = stage.event("contact.added", json!({ "userid": "wangwei" }));
    assert_eq!(told[1..], ["> profile", "> tag wangwei +分层/重点 +分层/高价值"]);
    // Whoever comes back finds them anew: WeCom keeps no tags of a pair that had ended.
    stage.event("contact.deleted", json!({ "userid": "wangwei" }));
    stage.now = local("2026-05-06 11:00");
    let told = stage.event("contact.added", json!({ "userid": "wangwei" }));
    assert_eq!(told[1..], ["> profile", "> tag wangwei +分层/重点 +分层/高价值"]);
}

#[test]
fn tags_that_somebody_else_set_are_never_taken_away() {
    let mut stage = Stage::followed(RULES);
    let profile = json!({ "follow_users": [{ "userid": "lili", "tags": ["分层/高价值"] }] });
    stage.event("contact.profile", profile);
    let told = stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    assert_eq!(told.last().unwrap(), "> tag lili +分层/重点");
    let told = stage.event("order.refunded", json!({ "order_id": "1" }));
    assert_eq!(told.last().unwrap(), "> tag lili -分层/重点");
}

#[test]
fn tags_go_to_the_pair_of_the_event_or_to_the_owner() {
    let mut stage = Stage::followed(RULES);
    stage.event("contact.added", json!({ "userid": "wangwei" }));
    assert_eq!(
        stage.event("visit.made", json!({ "store": "a", "userid": "LILI" })).last().unwrap(),
        "> tag lili +触点/到店"
    );
    let mut stage = Stage::followed(RULES);
    stage.event("contact.added", json!({ "userid": "wangwei" }));
    // The latest to follow owns; a staff member who does not follow is no pair.
    assert_eq!(
        stage.event("visit.made", json!({ "store": "a", "userid": "zhao" })).last().unwrap(),
        "> tag wangwei +触点/到店"
    );
}

#[test]
fn touchpoints_see_the_record_after_the_event_and_count_themselves() {
    let mut stage = Stage::followed(RULES);
    assert_eq!(stage.event("visit.made", json!({ "store": "a" }))[1..2], ["touchpoint.met visit"]);
    stage.until("2026-05-10 10:00");
    assert_eq!(
        stage.event("visit.made", json!({ "store": "a" })),
        ["visit.made", "touchpoint.met visit", "touchpoint.met regular"]
    );
    // The store is not named: a comparison with null does not hold.
    assert_eq!(stage.event("visit.made", json!({})), ["visit.made", "touchpoint.met regular"]);
    stage.until("2026-05-11 10:00");
    let told = stage.event("visit.made", json!({ "store": "b" }));
    assert_eq!(told[1..], ["touchpoint.met visit", "touchpoint.met regular", "touchpoint.met recent"]);
}

#[test]
fn a_touchpoint_remembers_its_latest_times_only() {
    let mut stage = Stage::followed(RULES);
    for _ in 0..60 {
        stage.event("visit.made", json!({ "store": "a" }));
    }
    let touches = &stage.customer.touches["visit"];
    assert_eq!((touches.count, touches.recent.len()), (60, 50));
}

#[test]
fn rules_that_chase_each_other_come_to_a_stop() {
    let circle = r#"
segments:
  restless: { when: '!tagged("a/b")', tag: a/b }
touchpoints:
  echo: { on: [touchpoint.met, visit.made] }
"#;
    let mut stage = Stage::new(circle);
    stage.event("contact.added", json!({ "userid": "lili" }));
    stage.event("visit.made", json!({}));
    assert_eq!(stage.counted("derived.exceeded"), 1);
    assert!(stage.decisions.iter().all(|decision| decision.lines.len() < 300));
}

#[test]
fn a_segment_that_the_playbook_does_not_have_any_more_is_left() {
    let mut stage = Stage::followed(RULES);
    stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    stage.playbook = super::stage::rules("touchpoints:\n  visit: { on: visit.made }\n");
    assert_eq!(stage.sweep("segments"), ["segment.left vip"]);
    assert!(stage.customer.segments.is_empty());
}

#[test]
fn a_changed_tag_of_a_segment_comes_with_the_next_sweep() {
    let mut stage = Stage::followed(RULES);
    stage.event("order.paid", json!({ "order_id": "1", "amount": 3000 }));
    stage.playbook = super::stage::rules(&RULES.replace("分层/高价值", "分层/贵宾"));
    assert_eq!(stage.sweep("segments"), ["> tag lili +分层/贵宾"]);
}

#[test]
fn a_change_of_tags_that_wecom_did_not_take_is_asked_for_again_by_the_sweep_and_not_before() {
    let rules = "touchpoints:\n  bought: { on: order.paid, tag: 触点/下单 }\n\
                 segments:\n  buyer: { when: customer.orders > 0, tag: 分层/买家 }\n";
    let mut stage = Stage::followed(rules);
    let failed = |stage: &mut Stage, add: &[&str], remove: &[&str]| {
        let data = json!({ "effect": "a".repeat(26), "call": "tag", "reason": "wecom refused", "userid": "lili", "add": add, "remove": remove });
        stage.event("effect.failed", data)
    };
    let order = json!({ "order_id": "A1", "amount": 100 });
    let told = stage.event("order.paid", order.clone());
    assert_eq!(told.last().unwrap(), "> tag lili +分层/买家 +触点/下单");
    assert_eq!(failed(&mut stage, &["分层/买家", "触点/下单"], &[]), ["effect.failed"], "no loop");
    let (_, pair) = stage.customer.following().next().unwrap();
    assert!(pair.tags.is_empty() && pair.ours.is_empty(), "{pair:?}");
    assert_eq!(stage.sweep("segments"), ["> tag lili +分层/买家"]);
    assert_eq!(stage.event("order.paid", json!({ "amount": 1 })).last().unwrap(), "> tag lili +触点/下单");

    // The same the other way round: what could not be taken off is still there.
    stage.event("order.refunded", json!({ "order_id": "A1" }));
    let last = stage.decisions.last().unwrap().effects.len();
    assert_eq!(last, 0, "the second order keeps the customer in");
    let mut leaver = Stage::followed(rules);
    leaver.event("order.paid", order);
    let told = leaver.event("order.refunded", json!({ "order_id": "A1" }));
    assert_eq!(told.last().unwrap(), "> tag lili -分层/买家");
    assert_eq!(failed(&mut leaver, &[], &["分层/买家"]), ["effect.failed"]);
    assert_eq!(leaver.sweep("segments"), ["> tag lili -分层/买家"]);
    assert_eq!(leaver.sweep("segments"), Vec::<String>::new());
    // A failure that comes when the tag is not wanted any more brings nothing back.
    assert_eq!(failed(&mut leaver, &["分层/买家"], &[]), ["effect.failed"]);
    assert_eq!(leaver.sweep("segments"), Vec::<String>::new());
}

#[test]
fn who_comes_back_to_a_staff_member_who_kept_the_tags_loses_those_of_segments_left_meanwhile() {
    let rules = "segments:\n  newcomer: { when: days_since(customer.added_at) <= 14, tag: 分层/新客 }\n";
    let mut stage = Stage::new(rules);
    stage.event("contact.added", json!({ "userid": "lili" }));
    stage.event("contact.lost", json!({ "userid": "lili" }));
    stage.until("2026-06-06 10:00");
    stage.sweep("segments");
    let told = stage.event("contact.added", json!({ "userid": "lili" }));
    assert_eq!(told, ["contact.added", "> profile", "> tag lili -分层/新客"]);
    // A staff member who deletes a customer keeps nothing.
    stage.event("contact.deleted", json!({ "userid": "lili" }));
    stage.event("contact.added", json!({ "userid": "lili" }));
    assert!(stage.customer.following().all(|(_, pair)| pair.tags.is_empty()));
}
