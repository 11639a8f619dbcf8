use serde_json::{Value, json};

use super::super::SideChange;
use super::*;
use crate::domain::effect::Effect;
use crate::playbook::load::from_text;

const RULES: &str = r"
playbook: { id: p, name: p }
tags:
  触点: { order: 10 }
touchpoints:
  visit: { name: 到店, on: visit.made, tag: 触点/到店 }
segments:
  vip: { name: 高价值, when: customer.spend >= 1000, tag: 分层/高价值 }
journeys:
  j:
    name: j
    enter: { segment: vip }
    steps:
      - tag: { add: [分层/唤醒], remove: [分层/高价值] }
";

fn decided(head: &Corp, kind: &str, data: Value, tags: &[(&str, &str)]) -> Result<Decision, ImpossibleRecord> {
    let event: Event = serde_json::from_value(json!({
        "id": "e1", "type": kind, "actor": "corp", "at": 1_778_061_600_000_i64, "data": data,
    }))
    .unwrap();
    let tags = tags.iter().map(|(name, id)| ((*name).to_owned(), json!(id))).collect();
    let sides = BTreeMap::from([(TAGS.to_owned(), tags)]);
    let record = Record { head: head.clone().into(), sides };
    decide(&from_text(RULES).unwrap(), record, &event, event.at)
}

fn head_of(decision: &Decision) -> Corp {
    let Head::Corp(corp) = decision.head.clone() else { panic!("{:?}", decision.head) };
    corp
}

fn ensured(effects: &[Effect]) -> Vec<(String, u32)> {
    let [effect] = effects else { panic!("{effects:?}") };
    let Call::EnsureTags { tags } = &effect.call else { panic!("{effect:?}") };
    tags.iter().map(|wanted| (wanted.tag.to_string(), wanted.group_order)).collect()
}

#[test]
fn a_new_revision_ensures_every_tag_it_names_with_its_groups_order_and_only_once() {
    let first = decided(&Corp::default(), "playbook.changed", json!({ "revision": "r1" }), &[]).unwrap();
    let named = [("分层/唤醒", 0), ("分层/高价值", 0), ("触点/到店", 10)];
    assert_eq!(ensured(&first.effects), named.map(|(tag, order)| (tag.to_owned(), order)));
    let again = decided(&head_of(&first), "playbook.changed", json!({ "revision": "r1" }), &[]).unwrap();
    assert_eq!(again.effects, []);
}

#[test]
fn tags_that_could_not_be_ensured_raise_an_alert_and_are_tried_again() {
    let head = Corp { revision: Some("r1".to_owned()), alerts: BTreeMap::new() };
    let failed = decided(&head, "effect.failed", json!({ "call": "ensure_tags", "reason": "wecom refused" }), &[]);
    let head = head_of(&failed.unwrap());
    assert_eq!((head.revision.clone(), head.alerts.len()), (None, 1));
    let done = json!({ "call": "ensure_tags", "answer": { "tags": { "触点/到店": "et1", "坏": "et2" } } });
    let done = decided(&head, "effect.done", done, &[]).unwrap();
    assert_eq!(head_of(&done).alerts, BTreeMap::new());
    let change = SideChange { collection: TAGS, field: "触点/到店".to_owned(), value: Some(json!("et1")) };
    assert_eq!(done.sides, [change], "what is no tag is left out");
}

#[test]
fn missing_tags_are_ensured_and_stale_ids_forgotten() {
    let missing = json!({ "tags": ["触点/到店", 7, "坏"], "refresh": true });
    let decision = decided(&Corp::default(), "tags.missing", missing, &[]).unwrap();
    assert_eq!(ensured(&decision.effects), [("触点/到店".to_owned(), 10)]);
    assert_eq!(decision.sides, [SideChange { collection: TAGS, field: "触点/到店".to_owned(), value: None }]);
    let known = decided(&Corp::default(), "tags.missing", json!({ "tags": ["触点/到店"], "refresh": false }), &[]);
    assert_eq!(known.unwrap().sides, []);
}

#[test]
fn a_changed_tag_is_forgotten_and_all_are_when_it_cannot_be_told_which() {
    let known = [("分层/高价值", "et1"), ("触点/到店", "et2")];
    for (kind, data, forgotten) in [
        ("tag.deleted", json!({ "id": "et2", "tag_type": "tag" }), &["触点/到店"][..]),
        ("tag.changed", json!({ "change": "update", "id": "et1", "tag_type": "tag" }), &["分层/高价值"]),
        (
            "tag.changed",
            json!({ "change": "update", "id": "eg1", "tag_type": "tag_group" }),
            &["分层/高价值", "触点/到店"],
        ),
        ("tag.deleted", json!({ "id": "eg1", "tag_type": "tag_group" }), &["分层/高价值", "触点/到店"]),
        ("tag.deleted", json!({}), &["分层/高价值", "触点/到店"]),
        ("tag.changed", json!({ "change": "shuffle", "id": "eg1" }), &[]),
        ("tag.created", json!({ "id": "et3", "tag_type": "tag" }), &[]),
    ] {
        let decision = decided(&Corp::default(), kind, data.clone(), &known).unwrap();
        let fields: Vec<&str> = decision.sides.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(fields, forgotten, "{kind} {data}");
    }
}

#[test]
fn an_inactive_app_stands_as_an_alert_until_it_is_back() {
    let data = |change| json!({ "app": "assistant", "change": change });
    let alerted = decided(&Corp::default(), "app.inactive", data("close_inactive_agent"), &[]).unwrap();
    assert_eq!(head_of(&alerted).alerts.keys().collect::<Vec<_>>(), ["app.inactive:assistant"]);
    let back = decided(&head_of(&alerted), "app.inactive", data("reopen_inactive_agent"), &[]).unwrap();
    assert_eq!(head_of(&back).alerts, BTreeMap::new());
}

#[test]
fn acquisition_alerts_are_kept_apart_and_never_without_end() {
    let mut head = Corp::default();
    for link in 0..120 {
        let data = json!({ "change": "link_unavailable", "link_id": format!("l{link}") });
        head = head_of(&decided(&head, "acquisition.alert", data, &[]).unwrap());
    }
    assert_eq!(head.alerts.len(), MOST_ALERTS);
}

#[test]
fn an_unknown_callback_is_counted_by_its_name_and_its_body_stays_out_of_the_timeline() {
    let data = json!({ "event": "new_thing", "change": "made", "raw": "<xml/>" });
    let decision = decided(&Corp::default(), "callback.unknown", data, &[]).unwrap();
    assert_eq!(decision.counters.get("callback.unknown:new_thing/made"), Some(&1));
    assert_eq!(Value::Object(decision.lines[0].data.clone()), json!({ "event": "new_thing", "change": "made" }));
}

#[test]
fn a_callback_that_cannot_be_read_is_set_aside() {
    let error = decided(&Corp::default(), "callback.unreadable", json!({ "error": "no XML" }), &[]).unwrap_err();
    assert_eq!(error.what, "no XML");
}
