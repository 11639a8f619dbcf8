//! Events come from outside: whatever stands in their data, no actor's decision panics.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::stage::{local, rules};
use super::town::new_head;
use super::{Record, decide, needs};
use crate::domain::event::Event;

const KINDS: &[&str] = &[
    "acquisition.activity",
    "acquisition.alert",
    "app.inactive",
    "callback.unknown",
    "contact.added",
    "contact.deleted",
    "contact.edited",
    "contact.half_added",
    "contact.lost",
    "contact.profile",
    "contact.synced",
    "contact.transfer_failed",
    "contact.transferred",
    "customer.opted_in",
    "customer.opted_out",
    "customer.updated",
    "delivery.answered",
    "delivery.wanted",
    "delivery.withdrawn",
    "directory.staff_changed",
    "effect.done",
    "effect.dropped",
    "effect.failed",
    "effect.held",
    "group.changed",
    "group.joined",
    "group.left",
    "identity.bound",
    "kf.woken",
    "order.paid",
    "order.refunded",
    "playbook.changed",
    "renewal.due",
    "schedule.due",
    "staff.card",
    "staff.message",
    "survey.answered",
    "tag.changed",
    "tag.created",
    "tag.deleted",
    "tags.missing",
    "timer.fired",
    "visit.made",
];

const FIELDS: &[&str] = &[
    "amount",
    "answer",
    "app",
    "ask",
    "attrs",
    "call",
    "change",
    "cur_mem_ver",
    "customer",
    "delivery",
    "due",
    "effect",
    "errcode",
    "facts",
    "follow_users",
    "id",
    "key",
    "mem_change_list",
    "name",
    "order_id",
    "reason",
    "refresh",
    "response_code",
    "revision",
    "schedule",
    "state",
    "tag_type",
    "tags",
    "task_id",
    "token",
    "unionid",
    "until",
    "userid",
    "welcome_code",
];

fn values() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "lili",
        "wm1",
        "held",
        "sent",
        "granted",
        "judge",
        "flush",
        "digest",
        "staff_card",
        "mass_send",
        "mass_result",
        "ensure_tags",
        "card:x",
        "触点/到店",
        "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "card:aaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn data_of_any_shape_makes_no_decision_panic(
        kind in prop::sample::select(KINDS.to_vec()),
        actor in prop::sample::select(vec![
            "customer:wm1", "staff:lili", "corp", "identity:phone:1", "group:wr1", "kf:wk1"]),
        data in prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), values(), 0..8),
    ) {
        let playbook = rules(r#"
playbook: { id: p, name: p }
touchpoints:
  visit: { name: 到店, on: visit.made, tag: 触点/到店 }
messages: { hello: { text: 您好 } }
welcome: [{ say: hello }]
journeys:
  j: { name: j, enter: { event: order.paid }, steps: [{ nudge: { say: hello, via: [mass, staff] } }] }
guardrails: { quiet_hours: "21:00-09:00", staff_budget: 1 per 1d, customer_budget: 1 per 1d }
"#);
        let data: Map<String, Value> = data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let now = local("2026-05-06 10:00");
        let event: Event = serde_json::from_value(json!({
            "id": "e1", "type": kind, "actor": actor, "at": now.timestamp_millis(), "data": data,
        })).unwrap();
        let record = Record { head: new_head(&event.actor), sides: BTreeMap::new() };
        prop_assert!(needs(&event).len() < 4);
        let decision = decide(&playbook, record.clone(), &event, now);
        prop_assert!(decision.is_ok(), "{decision:?}");
        prop_assert_eq!(decide(&playbook, record, &event, now), decision, "the same event decided again");
    }
}
