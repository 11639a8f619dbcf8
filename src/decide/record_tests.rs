use serde_json::{Value, json};

use super::stage::{Stage, local};
use crate::domain::money::Fen;

const NOTHING: &str = "touchpoints:\n  visit: { on: visit.made }\n";

#[track_caller]
fn check_orders(events: &[(&str, Value)], orders: u64, spend: &str) {
    let mut stage = Stage::new(NOTHING);
    for (kind, data) in events {
        stage.event(kind, data.clone());
    }
    assert_eq!((stage.customer.orders, stage.customer.spend.to_string().as_str()), (orders, spend), "{events:?}");
}

#[test]
fn orders_and_refunds_add_up_whatever_their_order() {
    let paid = |id: &str, amount: &str| ("order.paid", json!({ "order_id": id, "amount": amount }));
    let refunded = |id: &str, amount: Value| ("order.refunded", json!({ "order_id": id, "amount": amount }));
    for (events, orders, spend) in [
        (vec![paid("1", "299.90"), paid("2", "100")], 2, "399.90"),
        (vec![paid("1", "300"), paid("1", "300")], 1, "300.00"),
        (vec![paid("1", "300"), refunded("1", json!(100))], 1, "200.00"),
        (vec![paid("1", "300"), refunded("1", json!(100)), refunded("1", json!("200.00"))], 0, "0.00"),
        (vec![paid("1", "300"), refunded("1", Value::Null)], 0, "0.00"),
        (vec![paid("1", "300"), refunded("1", json!(999)), refunded("1", json!(1))], 0, "0.00"),
        (vec![refunded("1", json!(100)), paid("1", "300")], 1, "200.00"),
        (vec![refunded("1", json!(100)), refunded("1", json!(200)), paid("1", "300")], 0, "0.00"),
        (vec![refunded("1", Value::Null), refunded("1", Value::Null), paid("1", "300"), paid("2", "5")], 1, "5.00"),
        (vec![paid("1", "300"), refunded("2", json!(300))], 1, "300.00"),
        (vec![paid("1", "300"), refunded("1", json!("a lot"))], 1, "300.00"),
        (vec![("order.paid", json!({ "amount": 10 })), ("order.paid", json!({ "amount": 10 }))], 2, "20.00"),
        (vec![("order.paid", json!({ "order_id": 7, "amount": {} })), refunded("7", Value::Null)], 1, "0.00"),
        (vec![("order.refunded", json!({ "amount": 10 }))], 0, "0.00"),
    ] {
        check_orders(&events, orders, spend);
    }
}

#[test]
fn an_order_that_comes_late_is_as_old_as_it_is() {
    let mut stage = Stage::new(NOTHING);
    stage.event_at(local("2026-05-01 12:00"), "order.paid", json!({ "order_id": "2", "amount": 10 }));
    stage.event_at(local("2026-03-01 12:00"), "order.paid", json!({ "order_id": "1", "amount": 10 }));
    stage.event_at(local("2026-04-01 12:00"), "visit.made", json!({}));
    let customer = &stage.customer;
    assert_eq!(customer.first_order_at, Some(local("2026-03-01 12:00")));
    assert_eq!(customer.last_order_at, Some(local("2026-05-01 12:00")));
    assert_eq!(customer.last_inbound_at, Some(local("2026-05-01 12:00")));
    assert_eq!(customer.touches["visit"].recent, [local("2026-04-01 12:00")]);
    let ids: Vec<&str> = customer.order_list.iter().map(|order| order.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
}

#[test]
fn orders_leave_the_list_in_time_and_stay_in_the_figures() {
    let mut stage = Stage::new(NOTHING);
    stage.event("order.paid", json!({ "order_id": "1", "amount": 10 }));
    stage.until("2027-07-01 10:00");
    stage.event("order.paid", json!({ "order_id": "2", "amount": 20 }));
    assert_eq!((stage.customer.order_list.len(), stage.customer.orders, stage.customer.spend), (1, 2, Fen(3000)));
}

#[test]
fn attributes_are_merged_and_one_that_is_null_goes() {
    let mut stage = Stage::new(NOTHING);
    stage.event("customer.updated", json!({ "attrs": { "size": "M", "colour": "red" } }));
    stage.event("customer.updated", json!({ "attrs": { "size": "L", "colour": null } }));
    stage.event("customer.updated", json!({ "attrs": ["size"] }));
    assert_eq!(Value::Object(stage.customer.attrs.clone()), json!({ "size": "L" }));
}

#[test]
fn a_customer_is_bound_to_each_outside_name_once() {
    let mut stage = Stage::new(NOTHING);
    let told = stage.event("customer.updated", json!({ "phone": "13800000000", "member_id": 77 }));
    let bound = ["> identity:phone:13800000000 told identity.bound", "> identity:member_id:77 told identity.bound"];
    assert_eq!(told[1..], bound);
    let again = stage.event("customer.updated", json!({ "phone": "13800000000", "member_id": "77" }));
    assert_eq!(again, ["customer.updated"]);
    let profile = stage.event("contact.profile", json!({ "name": "王芳", "unionid": "o1", "follow_users": [] }));
    assert_eq!(profile, ["contact.profile", "> identity:unionid:o1 told identity.bound"]);
}

#[test]
fn half_added_and_added_are_one_adding() {
    let rules = "touchpoints:\n  scan: { on: contact.added, tag: 触点/扫码 }\n";
    for (first, second) in [("contact.half_added", "contact.added"), ("contact.added", "contact.half_added")] {
        let mut stage = Stage::new(rules);
        let told = stage.event(first, json!({ "userid": "lili", "state": "store-01" }));
        assert_eq!(told, [first, "touchpoint.met scan", "> profile", "> tag lili +触点/扫码"]);
        assert_eq!(stage.event(second, json!({ "userid": "LiLi" })), [second]);
        assert_eq!((stage.customer.followers.len(), stage.customer.touches["scan"].count), (1, 1));
        // Another staff member is another pair.
        let other = stage.event("contact.added", json!({ "userid": "wangwei" }));
        assert_eq!(other, ["contact.added", "touchpoint.met scan", "> profile", "> tag wangwei +触点/扫码"]);
        assert_eq!(stage.customer.added_at, Some(stage.now));
    }
}

#[test]
fn a_pair_that_ended_by_transfer_is_no_loss() {
    let rules = "touchpoints:\n  lost: { on: [contact.deleted, contact.lost] }\n";
    for (kind, data, met) in [
        ("contact.deleted", json!({ "userid": "lili" }), true),
        ("contact.lost", json!({ "userid": "lili" }), true),
        ("contact.deleted", json!({ "userid": "lili", "source": "DELETE_BY_TRANSFER" }), false),
        ("contact.deleted", json!({ "userid": 7 }), false),
    ] {
        let mut stage = Stage::followed(rules);
        stage.event(kind, data.clone());
        assert_eq!(stage.customer.touches.contains_key("lost"), met, "{kind} {data}");
    }
}

#[test]
fn an_end_that_comes_late_does_not_end_the_pair_that_began_after_it() {
    let mut stage = Stage::followed(NOTHING);
    stage.event("contact.deleted", json!({ "userid": "lili" }));
    assert!(stage.customer.is_lost());
    stage.until("2026-05-06 11:00");
    stage.event("contact.added", json!({ "userid": "lili" }));
    stage.event_at(local("2026-05-06 10:30"), "contact.lost", json!({ "userid": "lili" }));
    assert!(!stage.customer.is_lost());
}

#[test]
fn a_profile_names_pairs_and_tags_and_leaves_new_pairs_to_their_callback() {
    let mut stage = Stage::followed(NOTHING);
    let old = local("2026-01-01 10:00").timestamp_millis();
    let new = local("2026-05-06 09:59").timestamp_millis();
    let profile = json!({
        "name": "王芳", "type": 1, "gender": 2, "userid": "lili", "staff_name": "李丽",
        "follow_users": [
            { "userid": "lili", "createtime": old, "add_way": 1, "state": "store-01", "tags": ["等级/金", "nonsense"] },
            { "userid": "wangwei", "createtime": old, "tags": [] },
            { "userid": "zhao", "createtime": new },
            { "userid": "no one" }, 7,
        ],
    });
    stage.event("contact.profile", profile);
    let customer = &stage.customer;
    assert_eq!((customer.name.as_deref(), customer.kind, customer.gender), (Some("王芳"), Some(1), Some(2)));
    let pairs: Vec<&str> = customer.followers.keys().map(|userid| userid.as_str()).collect();
    assert_eq!(pairs, ["lili", "wangwei"]);
    let lili = customer.followers.values().next().unwrap();
    assert_eq!((lili.name.as_deref(), lili.tags.len()), (Some("李丽"), 1));
}

#[test]
fn an_event_for_somebody_elses_record_is_impossible() {
    use super::{Head, Record, decide};
    use crate::domain::actor::Actor;
    use crate::domain::event::Event;
    let stage = Stage::new(NOTHING);
    let event = Event {
        id: "e1".parse().unwrap(),
        kind: "visit.made".to_owned(),
        actor: "customer:wm2".parse::<Actor>().unwrap(),
        at: stage.now,
        data: serde_json::Map::new(),
        hops: 0,
        trace: None,
    };
    for head in [Head::from(stage.customer.clone()), Head::Corp(crate::domain::corp::Corp::default())] {
        let record = Record { head, sides: std::collections::BTreeMap::new() };
        assert!(decide(&stage.playbook, record, &event, stage.now).is_err());
    }
}

/// WeCom tries a callback a few times only: the word that a pair ended can be lost, and the return tells all the same.
#[test]
fn an_adding_of_a_pair_that_never_ended_is_a_return_when_its_moment_says_so() {
    let rules = "touchpoints:\n  scan: { on: contact.added, tag: 触点/扫码 }\n";
    let returned = |words: &[(&str, &str)]| {
        let mut stage = Stage::new(rules);
        for (kind, at) in words {
            stage.now = stage.now.max(local(at));
            stage.event_at(local(at), kind, json!({ "userid": "lili" }));
        }
        stage.customer.touches["scan"].count
    };
    let (half, added) = ("contact.half_added", "contact.added");
    for (words, count) in [
        (vec![(added, "2026-05-06 10:00"), (added, "2026-05-09 10:00")], 2),
        (vec![(added, "2026-05-06 10:00"), (half, "2026-05-09 10:00")], 2),
        (vec![(half, "2026-05-06 10:00"), (half, "2026-05-09 10:00")], 2),
        (vec![(half, "2026-05-06 10:00"), (half, "2026-05-09 10:00"), (added, "2026-05-09 11:00")], 2),
        // Days may pass until a half-added customer is accepted.
        (vec![(half, "2026-05-06 10:00"), (added, "2026-05-09 10:00")], 1),
        // And the two words may arrive in either order.
        (vec![(added, "2026-05-09 10:00"), (half, "2026-05-06 10:00")], 1),
        (vec![(added, "2026-05-06 10:00"), (added, "2026-05-06 10:01")], 1),
    ] {
        assert_eq!(returned(&words), count, "{words:?}");
    }
}

#[test]
fn attributes_that_find_no_room_are_left_out() {
    let mut stage = Stage::followed(NOTHING);
    for number in 0..20 {
        let attrs = json!({ format!("a{number}"): "x".repeat(5000), "size": number });
        stage.event("customer.updated", json!({ "attrs": attrs }));
    }
    assert_eq!(stage.customer.attrs.len(), 14);
    assert_eq!(stage.customer.attrs["size"], json!(19), "small ones still change");
    assert_eq!(stage.counted("attrs.left_out"), 7);
}
