use std::collections::BTreeMap;

use serde_json::json;

use super::Error;
use super::commit::{Batch, Change, Committed, Cursor, DeadLetter, Progress};
use super::leases::Fence;
use super::records::Stored;
use super::streams::{InLane, Remember, StreamId};
use super::trial::{Trial, actor, at, customer_of, day, effect, event, no_change};
use super::walks::{Place, WalkState};
use crate::decide::{Head, SideChange, TimerChange};
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::delivery::{Channel, Delivery, DeliveryKind, DeliveryState};
use crate::domain::effect::Lane;
use crate::domain::ids::{EventId, ExternalUserId, SegmentId};
use crate::domain::timeline::Line;

fn customer(head: &mut Head) -> &mut Customer {
    let Head::Customer(customer) = head else { panic!("{head:?}") };
    customer
}

fn delivery(effect: &crate::domain::effect::Effect) -> Delivery {
    Delivery {
        id: effect.id.clone(),
        customer: ExternalUserId::parse("wmLin").unwrap(),
        kind: DeliveryKind::Nudge,
        journey: None,
        step: None,
        say: None,
        title: None,
        channel: Some(Channel::Mass),
        staff: None,
        priority: 50,
        state: DeliveryState::Wanted,
        reason: "wanted".to_owned(),
        at: at(0),
        wanted_at: at(0),
        hold_until: at(1000),
        due: None,
        counted_on: None,
        look_again: None,
        refused: std::collections::BTreeMap::new(),
        event: EventId::parse("cb:1").unwrap(),
        turns: Vec::new(),
    }
}

/// A change with something of every kind.
fn full_change(actor: &Actor) -> Change {
    let mut change = no_change(actor);
    let wanted = effect("card", actor, Lane::Normal, at(5));
    let decision = &mut change.decision;
    let dormant = SegmentId::parse("dormant").unwrap();
    let lin = customer(&mut decision.head);
    lin.name = Some("林小雨".to_owned());
    lin.orders = 3;
    lin.segments.insert(dormant.clone(), at(7));
    decision.sides = vec![SideChange { collection: "parked", field: "000".to_owned(), value: Some(json!({"a": 1})) }];
    decision.timers = vec![TimerChange::Set { name: "judge".to_owned(), at: at(9) }];
    decision.deliveries = vec![delivery(&wanted)];
    decision.effects = vec![wanted];
    decision.memberships = vec![(dormant, true)];
    decision.counters = BTreeMap::from([("event:order.paid".to_owned(), 2)]);
    let line = |ms| Line {
        at: at(ms),
        kind: "order.paid".to_owned(),
        event: EventId::parse("cb:1").unwrap(),
        data: serde_json::Map::new(),
    };
    decision.lines = vec![line(1), line(2)];
    change
}

/// A batch over one appended event.
async fn ready(trial: &Trial, shard: u16, fence: &Fence, changes: Vec<Change>) -> Batch {
    let lin = customer_of(shard, "wmLin");
    for id in ["cb:1", "cb:2"] {
        trial.store.append(&event(id, &lin), InLane::In, Remember::Week).await.unwrap();
    }
    trial.batch(shard, fence, changes).await
}

/// Every key with its content, except for what a lease and a probe may change meanwhile.
async fn everything(trial: &Trial) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in trial.cli::<Vec<String>>("KEYS *").await {
        if !key.ends_with(":lease") {
            found.insert(key.clone(), trial.cli::<Vec<u8>>(&format!("DUMP {key}")).await);
        }
    }
    found
}

#[tokio::test]
async fn everything_a_batch_changes_is_there_after_it() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let change = full_change(&lin);
    let head = change.decision.head.clone();
    let wanted = change.decision.effects[0].clone();
    let mut batch = ready(&trial, 1, &fence, vec![change]).await;
    batch.dead = vec![DeadLetter { event: "nonsense".to_owned(), error: "no JSON".to_owned() }];

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Done);

    let need = crate::decide::SideNeed { collection: "parked", field: None };
    let record = trial.store.load(&[(lin.clone(), vec![need])]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(record.head, head);
    assert_eq!(record.sides["parked"]["000"], json!({"a": 1}));
    assert_eq!(trial.store.timers_of(&lin).await.unwrap()[0].at, at(9));
    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(5), 9).await.unwrap(), std::slice::from_ref(&wanted.id));
    assert_eq!(
        trial.store.effects(1, std::slice::from_ref(&wanted.id)).await.unwrap()[0].as_ref().unwrap().effect,
        wanted
    );
    assert_eq!(trial.store.delivery(&lin, &wanted.id).await.unwrap().unwrap(), delivery(&wanted));
    let members: Vec<(String, i64)> = trial.cli("ZRANGE tp:{s1}:segment:dormant 0 -1 WITHSCORES").await;
    assert_eq!(members, [(lin.to_string(), at(7).timestamp_millis())]);
    assert_eq!(trial.store.counters(day()).await.unwrap()["event:order.paid"], 2);
    let lines: Vec<_> = trial.store.timeline(&lin, 9).await.unwrap().iter().map(|line| line.at).collect();
    assert_eq!(lines, [at(2), at(1)]);
    assert_eq!(trial.store.dead_letters(1, 9).await.unwrap(), [("nonsense".to_owned(), "no JSON".to_owned())]);
    let Progress::Cursor { to, .. } = batch.progress else { panic!() };
    assert_eq!(trial.store.cursor(1).await.unwrap(), to);
    assert_eq!(trial.cli::<u64>("XLEN tp:{s1}:in").await, 0);
}

#[tokio::test]
async fn what_people_may_want_to_read_is_readable_with_redis_cli() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    trial.store.commit(&batch).await.unwrap();

    let head: BTreeMap<String, String> = trial.cli(&format!("HGETALL tp:{{s1}}:actor:{lin}")).await;
    assert_eq!((head["name"].as_str(), head["orders"].as_str()), ("林小雨", "3"));
    assert!(!head.contains_key("id") && !head.contains_key("visits"), "{head:?}");
    let wanted = effect("card", &lin, Lane::Normal, at(5));
    let stored: BTreeMap<String, String> = trial.cli(&format!("HGETALL tp:{{s1}}:delivery:{}", wanted.id)).await;
    assert_eq!(
        (stored["state"].as_str(), stored["kind"].as_str(), stored["channel"].as_str()),
        ("wanted", "nudge", "mass")
    );
}

#[tokio::test]
async fn a_repeated_commit_says_so_and_counts_nothing_twice() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Done);
    let once = everything(&trial).await;

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Already);

    assert_eq!(everything(&trial).await, once);
}

#[tokio::test]
async fn the_same_decision_after_a_lost_cursor_keeps_an_effects_body_tries_and_place() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let wanted = effect("card", &lin, Lane::Normal, at(5));
    trial.take_effect(&fence, full_change(&lin)).await;
    let mut smaller = wanted.clone();
    smaller.valid_until = at(7);
    trial.store.begin_try(1, &fence, &wanted.id, Some(&smaller)).await.unwrap();
    let later = super::outbox::Settled::Again { at: at(70), unanswered: true, counts: true, event: None };
    trial.store.settle(1, &fence, &wanted, &later).await.unwrap();

    trial.take_effect(&fence, full_change(&lin)).await;

    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(69), 9).await.unwrap(), []);
    let waiting = trial.store.effects(1, &[wanted.id]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!((waiting.tries, waiting.unanswered, waiting.effect), (1, true, smaller));
}

#[tokio::test]
async fn a_commit_with_an_old_fence_changes_nothing() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let old = trial.own(1).await;
    let batch = ready(&trial, 1, &old, vec![full_change(&lin)]).await;
    trial.cli::<()>("DEL tp:{s1}:lease").await;
    trial.store.acquire(1, "other:1").await.unwrap().unwrap();
    let before = everything(&trial).await;

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Fenced);

    assert_eq!(everything(&trial).await, before);
}

#[tokio::test]
async fn a_commit_from_a_cursor_that_has_moved_changes_nothing() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let mut batch = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    let elsewhere = Cursor { now: StreamId("5-5".to_owned()), bulk: StreamId::start() };
    let Progress::Cursor { from, .. } = &mut batch.progress else { panic!() };
    *from = elsewhere;
    let before = everything(&trial).await;

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Moved);

    assert_eq!(everything(&trial).await, before);
}

#[tokio::test]
async fn a_key_of_another_type_refuses_the_whole_batch_with_nothing_written() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    let wanted = effect("card", &lin, Lane::Normal, at(5)).id;
    let touched = [
        format!("actor:{lin}"),
        format!("side:parked:{lin}"),
        "timers".to_owned(),
        "out".to_owned(),
        format!("effect:{wanted}"),
        format!("delivery:{wanted}"),
        format!("deliveries:{lin}"),
        "segment:dormant".to_owned(),
        format!("count:{}", day()),
        format!("line:{lin}"),
        "index".to_owned(),
        "cursor".to_owned(),
    ];
    for rest in touched {
        let key = trial.key(1, &rest);
        // A set is what none of these keys is.
        trial.cli::<()>(&format!("SADD {key} x")).await;
        let before = everything(&trial).await;

        let refused = trial.store.commit(&batch).await.unwrap_err();

        assert!(matches!(&refused, Error::Unreadable { key: named, .. } if *named == key), "{key}: {refused:?}");
        assert_eq!(everything(&trial).await, before, "{key}");
        trial.cli::<()>(&format!("DEL {key}")).await;
    }
    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn a_counter_that_is_no_number_refuses_the_whole_batch() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    trial.cli::<()>(&format!("HSET tp:{{s1}}:count:{} event:order.paid many", day())).await;
    let before = everything(&trial).await;

    assert!(matches!(trial.store.commit(&batch).await, Err(Error::Unreadable { .. })));

    assert_eq!(everything(&trial).await, before);
}

#[tokio::test]
async fn a_redis_without_room_takes_a_batch_whole_or_not_at_all() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let growing = ready(&trial, 1, &fence, vec![full_change(&lin)]).await;
    trial.cli::<()>("CONFIG SET maxmemory 1").await;
    let before = everything(&trial).await;

    assert!(matches!(trial.store.commit(&growing).await, Err(Error::Redis(_))));

    assert_eq!(everything(&trial).await, before);
    trial.cli::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(trial.store.commit(&growing).await.unwrap(), Committed::Done);

    // Redis lets a script go on whose first write needs no room; then the rest must be let through as well.
    let mut shrinking = no_change(&lin);
    shrinking.before = Stored::of(&full_change(&lin).decision.head).unwrap();
    shrinking.decision.counters = BTreeMap::from([("event:order.paid".to_owned(), 1)]);
    let shrinking = ready(&trial, 1, &fence, vec![shrinking]).await;
    trial.cli::<()>("CONFIG SET maxmemory 1").await;
    assert_eq!(trial.store.commit(&shrinking).await.unwrap(), Committed::Done);
    assert_eq!(trial.store.counters(day()).await.unwrap()["event:order.paid"], 3);
    let Progress::Cursor { to, .. } = shrinking.progress else { panic!() };
    assert_eq!(trial.store.cursor(1).await.unwrap(), to);
}

#[tokio::test]
async fn a_change_of_another_shards_actor_is_refused() {
    let trial = Trial::start().await;
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![no_change(&customer_of(2, "wmElse"))]).await;
    assert!(matches!(trial.store.commit(&batch).await, Err(Error::Unreadable { .. })));
}

#[tokio::test]
async fn several_events_of_one_actor_in_one_batch_take_effect_in_order() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let first = full_change(&lin);
    let mut second = no_change(&lin);
    second.decision.head = first.decision.head.clone();
    customer(&mut second.decision.head).name = None;
    customer(&mut second.decision.head).orders = 4;
    second.decision.sides = vec![SideChange { collection: "parked", field: "000".to_owned(), value: None }];
    second.decision.timers = vec![TimerChange::Cancel { name: "judge".to_owned() }];
    second.decision.memberships = vec![(SegmentId::parse("dormant").unwrap(), false)];
    second.decision.counters = BTreeMap::from([("event:order.paid".to_owned(), 1)]);
    let head = second.decision.head.clone();
    let batch = ready(&trial, 1, &fence, vec![first, second]).await;

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Done);

    let need = crate::decide::SideNeed { collection: "parked", field: None };
    let record = trial.store.load(&[(lin.clone(), vec![need])]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(record.head, head);
    assert!(record.sides["parked"].is_empty());
    assert_eq!(trial.store.timers_of(&lin).await.unwrap(), []);
    assert_eq!(trial.cli::<u64>("ZCARD tp:{s1}:segment:dormant").await, 0);
    assert_eq!(trial.store.counters(day()).await.unwrap()["event:order.paid"], 3);
}

#[tokio::test]
async fn only_committed_entries_are_trimmed_and_later_ones_stay_behind_the_cursor() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let batch = ready(&trial, 1, &fence, vec![]).await;
    trial.store.append(&event("cb:3", &lin), InLane::In, Remember::Week).await.unwrap();
    trial.store.append(&event("cb:4", &lin), InLane::Bulk, Remember::Week).await.unwrap();

    trial.store.commit(&batch).await.unwrap();

    let cursor = trial.store.cursor(1).await.unwrap();
    for (lane, after, id) in [(InLane::In, &cursor.now, "cb:3"), (InLane::Bulk, &cursor.bulk, "cb:4")] {
        let left = trial.store.read(1, lane, after, 9).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].event.as_ref().unwrap().id.as_str(), id);
    }
    assert_eq!(trial.cli::<u64>("XLEN tp:{s1}:in").await, 1);
    // Ids go on behind the committed ones even when nothing is left.
    let batch = trial.batch(1, &fence, vec![]).await;
    trial.store.commit(&batch).await.unwrap();
    trial.store.append(&event("cb:5", &lin), InLane::In, Remember::Week).await.unwrap();
    let cursor = trial.store.cursor(1).await.unwrap();
    assert_eq!(trial.store.read(1, InLane::In, &cursor.now, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slice_of_a_sweep_is_committed_once_from_where_the_last_one_ended() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let place = |after| WalkState { due: at(0), schedule: String::new(), after };
    let (start, behind, over) = (place(Some(Place::Start)), place(Some(Place::Behind(lin.clone()))), place(None));
    let slice = |from: Option<&WalkState>, to: &WalkState| {
        let mut change = no_change(&lin);
        change.decision.counters = BTreeMap::from([("swept".to_owned(), 1)]);
        let progress = Progress::Walk { name: "segments".to_owned(), from: from.cloned(), to: to.clone() };
        Batch { shard: 1, fence: fence.clone(), progress, changes: vec![change], dead: vec![], day: day() }
    };
    let mut outcomes = Vec::new();
    for (from, to) in
        [(None, &start), (None, &start), (Some(&start), &behind), (Some(&start), &over), (Some(&behind), &over)]
    {
        outcomes.push(trial.store.commit(&slice(from, to)).await.unwrap());
    }

    use Committed::{Already, Done, Moved};
    assert_eq!(outcomes, [Done, Already, Done, Moved, Done]);
    assert_eq!(trial.store.walks(1).await.unwrap(), BTreeMap::from([("segments".to_owned(), over)]));
    assert_eq!(trial.store.counters(day()).await.unwrap()["swept"], 3);
}

#[tokio::test]
async fn a_batch_of_hundreds_of_changes_and_long_collections_fits() {
    let trial = Trial::start().await;
    let fence = trial.own(1).await;
    let lines = |n: i64| Line {
        at: at(n),
        kind: "visit.made".to_owned(),
        event: EventId::parse(format!("cb:{n}")).unwrap(),
        data: serde_json::Map::new(),
    };
    let mut changes: Vec<Change> = (0..300).map(|n| no_change(&customer_of(1, &format!("wm{n}-")))).collect();
    changes[0].decision.lines = (0..900).map(lines).collect();
    changes[1].decision.timers = (0..5000).map(|n| TimerChange::Set { name: format!("t{n}"), at: at(n) }).collect();
    changes[2].decision.counters = (0..9000).map(|n| (format!("c{n}"), 1)).collect();
    let (first, second) = (changes[0].actor.clone(), changes[1].actor.clone());
    let batch = ready(&trial, 1, &fence, changes).await;

    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Done);

    let kept = trial.store.timeline(&first, 9999).await.unwrap();
    assert_eq!((kept.len(), kept[0].at, kept[499].at), (500, at(899), at(400)));
    assert_eq!(trial.store.timers_of(&second).await.unwrap().len(), 5000);
    assert_eq!(trial.store.counters(day()).await.unwrap().len(), 9000);
    assert!(trial.store.knows(&actor(&first.to_string())).await.unwrap());
}
