use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Number, Value, json};

use super::Error;
use super::commit::Change;
use super::records::Stored;
use super::trial::{Trial, actor, at, blank, decision, no_change};
use crate::decide::{Head, Record, SideChange, SideNeed};
use crate::domain::actor::Actor;
use crate::domain::customer::{Customer, Ended, EndedBy, Follower, Order, Touches};
use crate::domain::ids::{ExternalUserId, SegmentId, TagName, TouchpointId, UserId};
use crate::domain::money::Fen;

async fn load(trial: &Trial, actor: &Actor) -> Result<Record, Error> {
    trial.store.load(&[(actor.clone(), vec![])]).await.unwrap().pop().unwrap()
}

/// Puts `after` in place of what is stored.
async fn replace(trial: &Trial, actor: &Actor, after: &Head) {
    let fence = trial.own(trial.shard(actor)).await;
    let before = Stored::of(&load(trial, actor).await.unwrap().head).unwrap();
    trial.take_effect(&fence, Change { actor: actor.clone(), before, decision: decision(after.clone()) }).await;
}

#[tokio::test]
async fn a_record_of_every_kind_reads_back_as_it_was_and_loses_fields_that_went() {
    let trial = Trial::start().await;
    for (name, full) in [
        (
            "customer:wmLin",
            json!({"id": "wmLin", "name": "7", "phone": "013", "opted_out": true, "attrs": {"a": 0.1, "b": null}}),
        ),
        ("staff:LiLi", json!({"id": "LiLi", "budget": {"2026-05-06": 3}, "judge_at": "2026-05-06T10:00:00Z"})),
        ("corp", json!({"revision": "1234", "alerts": {"48002": "2026-05-06T10:00:00.001Z"}})),
        ("group:wrG", json!({"member_version": "true"})),
        ("kf:wkK", json!({"token": ["tok", "2026-05-06T10:00:00Z"]})),
        ("identity:phone:138", json!({"customer": "wmLin"})),
    ] {
        let actor = actor(name);
        let empty = blank(&actor);
        assert_eq!(load(&trial, &actor).await.unwrap().head, empty, "{name} before");
        assert!(!trial.store.knows(&actor).await.unwrap());
        let full = match empty {
            Head::Customer(_) => Head::Customer(serde_json::from_value(full).unwrap()),
            Head::Staff(_) => Head::Staff(serde_json::from_value(full).unwrap()),
            Head::Corp(_) => Head::Corp(serde_json::from_value(full).unwrap()),
            Head::Group(_) => Head::Group(serde_json::from_value(full).unwrap()),
            Head::Kf(_) => Head::Kf(serde_json::from_value(full).unwrap()),
            Head::Identity(_) => Head::Identity(serde_json::from_value(full).unwrap()),
        };
        assert_ne!(full, empty);

        replace(&trial, &actor, &full).await;
        assert_eq!(load(&trial, &actor).await.unwrap().head, full, "{name} full");
        assert!(trial.store.knows(&actor).await.unwrap());

        replace(&trial, &actor, &empty).await;
        assert_eq!(load(&trial, &actor).await.unwrap().head, empty, "{name} emptied");
        let fields: Vec<String> =
            trial.store.query(redis::cmd("HKEYS").arg(trial.store.keys().head(&actor))).await.unwrap();
        assert!(fields.iter().all(|field| field == "id"), "{name} keeps {fields:?}");
    }
}

#[tokio::test]
async fn a_staff_members_spelling_is_kept_from_the_first_meeting() {
    let trial = Trial::start().await;
    for name in ["staff:LiLi", "staff:lili"] {
        let actor = actor(name);
        let fence = trial.own(trial.shard(&actor)).await;
        trial.take_effect(&fence, no_change(&actor)).await;
    }

    let Head::Staff(staff) = load(&trial, &actor("staff:LILI")).await.unwrap().head else { panic!() };

    assert_eq!(staff.id.as_str(), "LiLi");
}

#[tokio::test]
async fn only_what_was_asked_of_a_side_collection_is_read() {
    let trial = Trial::start().await;
    let lili = actor("staff:lili");
    let fence = trial.own(trial.shard(&lili)).await;
    let mut change = no_change(&lili);
    let side = |collection, field: &str, n| SideChange { collection, field: field.to_owned(), value: Some(json!(n)) };
    change.decision.sides =
        vec![side("asks", "a", 1), side("asks", "b", 2), side("cards", "c", 3), side("mass", "d", 4)];
    trial.take_effect(&fence, change).await;

    let needs = vec![
        SideNeed { collection: "asks", field: Some("a".to_owned()) },
        SideNeed { collection: "asks", field: Some("absent".to_owned()) },
        SideNeed { collection: "cards", field: None },
    ];
    let record = trial.store.load(&[(lili, needs)]).await.unwrap().pop().unwrap().unwrap();

    let asks = BTreeMap::from([("a".to_owned(), json!(1))]);
    let cards = BTreeMap::from([("c".to_owned(), json!(3))]);
    assert_eq!(record.sides, BTreeMap::from([("asks".to_owned(), asks), ("cards".to_owned(), cards)]));
}

#[tokio::test]
async fn one_record_that_cannot_be_read_does_not_spoil_the_others() {
    let trial = Trial::start().await;
    let [good, odd, broken, bytes] =
        ["wmGood", "wmOdd", "wmBroken", "wmBytes"].map(|id| actor(&format!("customer:{id}")));
    let key = |actor: &Actor| trial.store.keys().head(actor);
    trial.cli::<()>(&format!("HSET {} orders 3", key(&good))).await;
    trial.cli::<()>(&format!("SET {} x", key(&odd))).await;
    trial.cli::<()>(&format!("HSET {} orders many", key(&broken))).await;
    trial.store.query::<()>(redis::cmd("HSET").arg(key(&bytes)).arg("name").arg(b"\xff\xfe")).await.unwrap();

    let wanted: Vec<_> = [&good, &odd, &broken, &bytes].map(|actor| (actor.clone(), vec![])).into();
    let loaded = trial.store.load(&wanted).await.unwrap();

    let Head::Customer(customer) = &loaded[0].as_ref().unwrap().head else { panic!() };
    assert_eq!(customer.orders, 3);
    for (actor, result) in [&odd, &broken, &bytes].into_iter().zip(&loaded[1..]) {
        let named = matches!(result, Err(Error::Unreadable { key: named, .. }) if *named == key(actor));
        assert!(named, "{actor}: {result:?}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("no JSON number", |n| Number::from_f64(n).map(Value::Number)),
        any_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(any_text(), inner, 0..4).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

/// Texts that look like something else are as likely as others.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<i32>().prop_map(|n| n.to_string()),
        prop::sample::select(vec!["", "null", "true", "1e5", "007", "\"quoted\"", "[1]", "{}", " 5", "林小雨", "-0"])
            .prop_map(str::to_owned),
    ]
}

prop_compose! {
    fn any_follower()(
        name in prop::option::of(any_text()),
        added in prop::option::of(0..9999_i64),
        ended in prop::option::of(0..9999_i64),
        tags in prop::collection::btree_set("[a-z]{1,5}/[0-9]{1,3}", 0..3),
    ) -> Follower {
        let tags: BTreeSet<TagName> = tags.iter().map(|tag| TagName::parse(tag.as_str()).unwrap()).collect();
        let ended = ended.map(|ms| Ended { at: at(ms), by: EndedBy::Customer });
        Follower { name, added_at: added.map(at), ended, ours: tags.clone(), tags, ..Follower::default() }
    }
}

prop_compose! {
    fn any_customer()(
        name in prop::option::of(any_text()),
        phone in prop::option::of(any_text()),
        kind in prop::option::of(0..3_i64),
        opted_out in any::<bool>(),
        orders in 0..3_u64,
        spend in prop_oneof![Just(0), any::<i64>()],
        added in prop::option::of(0..9999_i64),
        attrs in prop::collection::btree_map(any_text(), any_json(), 0..4),
        followers in prop::collection::btree_map("[a-c]{1,2}", any_follower(), 0..3),
        segments in prop::collection::btree_map("[a-z]{1,3}", 0..9999_i64, 0..3),
        touches in prop::collection::btree_map("[a-z]{1,3}", (any::<u64>(), prop::collection::vec(0..9999_i64, 0..3)), 0..3),
        order_list in prop::collection::vec((any_text(), any::<i64>()), 0..3),
        groups in prop::collection::btree_set(any_text(), 0..3),
    ) -> Customer {
        let mut customer = Customer::new(ExternalUserId::parse("wmLin").unwrap());
        customer.name = name;
        customer.phone = phone;
        customer.kind = kind;
        customer.opted_out = opted_out;
        customer.orders = orders;
        customer.spend = Fen(spend);
        customer.added_at = added.map(at);
        customer.attrs = Map::from_iter(attrs);
        customer.followers = followers.into_iter().map(|(id, f)| (UserId::parse(id).unwrap(), f)).collect();
        customer.segments = segments.into_iter().map(|(id, ms)| (SegmentId::parse(id).unwrap(), at(ms))).collect();
        customer.touches = touches.into_iter().map(|(id, (count, recent))| {
            (TouchpointId::parse(id).unwrap(), Touches { count, recent: recent.into_iter().map(at).collect() })
        }).collect();
        customer.order_list = order_list.into_iter().map(|(id, fen)| {
            Order { id, at: at(1), amount: Fen(fen), refunded: Fen(0), product: None }
        }).collect();
        customer.groups = groups;
        customer
    }
}

#[test]
fn whatever_is_decided_and_committed_is_loaded_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trial = runtime.block_on(Trial::start());
    let lin = actor("customer:wmLin");
    let sides = || prop::collection::btree_map("[a-c]", prop::option::of(any_json()), 0..3);
    let step = (any_customer(), sides());
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(step, 1..4), |steps| {
        runtime.block_on(async {
            trial.empty().await;
            let fence = trial.own(trial.shard(&lin)).await;
            let mut parked: BTreeMap<String, Value> = BTreeMap::new();
            for (customer, sides) in steps {
                let before = Stored::of(&load(&trial, &lin).await.unwrap().head).unwrap();
                let after = Head::Customer(Box::new(customer));
                let mut decision = decision(after.clone());
                for (field, value) in sides {
                    match &value {
                        Some(value) => parked.insert(field.clone(), value.clone()),
                        None => parked.remove(&field),
                    };
                    decision.sides.push(SideChange { collection: "parked", field, value });
                }
                trial.take_effect(&fence, Change { actor: lin.clone(), before, decision }).await;

                let need = SideNeed { collection: "parked", field: None };
                let record = trial.store.load(&[(lin.clone(), vec![need])]).await.unwrap().pop().unwrap().unwrap();
                prop_assert_eq!(&record.head, &after);
                prop_assert_eq!(&record.sides["parked"], &parked);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}
