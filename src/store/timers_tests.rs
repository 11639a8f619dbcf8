use serde_json::json;

use super::commit::Change;
use super::leases::Fence;
use super::streams::InLane;
use super::timers::Timer;
use super::trial::{Trial, actor, at, customer_of, decision, no_change};
use crate::decide::TimerChange;
use crate::domain::actor::Actor;

async fn set(trial: &Trial, fence: &Fence, actor: &Actor, timers: &[(&str, Option<i64>)]) {
    let mut change = no_change(actor);
    let timer = |(name, ms): &(&str, Option<i64>)| match ms {
        Some(ms) => TimerChange::Set { name: (*name).to_owned(), at: at(*ms) },
        None => TimerChange::Cancel { name: (*name).to_owned() },
    };
    change.decision.timers = timers.iter().map(timer).collect();
    trial.take_effect(fence, change).await;
}

/// Names of the timers that came out of the stream, in order.
async fn fired(trial: &Trial, shard: u16) -> Vec<String> {
    let from = trial.store.cursor(shard).await.unwrap().now;
    let entries = trial.store.read(shard, InLane::In, &from, 100).await.unwrap();
    let names = entries.into_iter().map(|entry| entry.event.unwrap().text("name").unwrap().to_owned());
    names.collect()
}

#[tokio::test]
async fn due_timers_fire_in_order_and_once() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    set(&trial, &fence, &lin, &[("late", Some(30)), ("first", Some(10)), ("second", Some(20)), ("later", Some(99))])
        .await;

    assert_eq!(trial.store.fire_due(1, &fence, at(30), 2).await.unwrap().moved, 2);
    assert_eq!(trial.store.fire_due(1, &fence, at(30), 2).await.unwrap().moved, 1);
    assert_eq!(trial.store.fire_due(1, &fence, at(30), 2).await.unwrap().moved, 0);

    assert_eq!(fired(&trial, 1).await, ["first", "second", "late"]);
    assert_eq!(trial.store.next_due(1).await.unwrap(), Some(at(99)));
}

#[tokio::test]
async fn a_fired_timer_says_whose_it_was_and_when_it_was_due() {
    let trial = Trial::start().await;
    let fence = trial.own(trial.shard(&Actor::Corp)).await;
    let shard = trial.shard(&Actor::Corp);
    set(&trial, &fence, &Actor::Corp, &[("judge", Some(10))]).await;

    trial.store.fire_due(shard, &fence, at(5000), 10).await.unwrap();

    let from = trial.store.cursor(shard).await.unwrap().now;
    let event = trial.store.read(shard, InLane::In, &from, 1).await.unwrap().pop().unwrap().event.unwrap();
    let due = at(10).timestamp_millis();
    assert_eq!((event.id.as_str(), event.kind.as_str()), (format!("timer:corp:judge:{due}").as_str(), "timer.fired"));
    assert_eq!((event.actor, event.at, event.hops), (Actor::Corp, at(10), 0));
    assert_eq!(serde_json::Value::Object(event.data), json!({ "name": "judge", "due": due }));
}

#[tokio::test]
async fn a_timer_set_again_moves_and_a_cancelled_one_does_not_fire() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    set(&trial, &fence, &lin, &[("moved", Some(10)), ("cancelled", Some(10)), ("kept", Some(10))]).await;
    set(&trial, &fence, &lin, &[("moved", Some(50)), ("cancelled", None), ("brief", Some(1)), ("brief", None)]).await;

    trial.store.fire_due(1, &fence, at(20), 10).await.unwrap();

    assert_eq!(fired(&trial, 1).await, ["kept"]);
    let left = trial.store.timers_of(&lin).await.unwrap();
    assert_eq!(left, [Timer { actor: lin, name: "moved".to_owned(), at: at(50) }]);
}

#[tokio::test]
async fn nothing_fires_for_a_process_that_lost_the_shard() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let old = trial.own(1).await;
    set(&trial, &old, &lin, &[("judge", Some(10))]).await;
    let new = trial.own(1).await;

    assert_eq!(trial.store.fire_due(1, &old, at(20), 10).await.unwrap().moved, 0);
    assert_eq!(fired(&trial, 1).await, Vec::<String>::new());
    assert_eq!(trial.store.fire_due(1, &new, at(20), 10).await.unwrap().moved, 1);
}

#[tokio::test]
async fn an_outside_name_with_bars_and_stars_has_timers_of_its_own() {
    let trial = Trial::start().await;
    let odd = actor("identity:member_id:a|b*");
    let shard = trial.shard(&odd);
    let fence = trial.own(shard).await;
    set(&trial, &fence, &odd, &[("forget", Some(10))]).await;
    let short = actor("identity:member_id:a");
    trial.cli::<()>(&format!("ZADD {} 5 identity:member_id:a|b|other", trial.key(shard, "timers"))).await;

    assert_eq!(trial.store.timers_of(&odd).await.unwrap().len(), 1);
    assert_eq!(trial.store.timers_of(&short).await.unwrap(), []);
    assert_eq!(trial.store.fire_due(shard, &fence, at(20), 10).await.unwrap().moved, 2);
    assert_eq!(fired(&trial, shard).await, ["other", "forget"]);
}

#[tokio::test]
async fn a_timer_that_is_nobodys_is_set_aside_and_does_not_hold_up_the_others() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    set(&trial, &fence, &lin, &[("good", Some(10))]).await;
    trial.cli::<()>(&format!("ZADD {} 1 nonsense", trial.key(1, "timers"))).await;

    assert_eq!(trial.store.fire_due(1, &fence, at(20), 10).await.unwrap().moved, 2);

    assert_eq!(fired(&trial, 1).await, ["good"]);
    let dead = trial.store.dead_letters(1, 10).await.unwrap();
    assert_eq!(dead, [("nonsense".to_owned(), "the timer has no name".to_owned())]);
}

#[tokio::test]
async fn a_stream_that_is_no_stream_keeps_its_timers() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    set(&trial, &fence, &lin, &[("judge", Some(10))]).await;
    let stream = trial.key(1, "in");
    trial.cli::<()>(&format!("DEL {stream}")).await;
    trial.cli::<()>(&format!("SET {stream} x")).await;

    assert!(trial.store.fire_due(1, &fence, at(20), 10).await.is_err());

    assert_eq!(trial.store.timers_of(&lin).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_next_moment_is_the_earliest_of_timers_and_effects() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    assert_eq!(trial.store.next_due(1).await.unwrap(), None);
    set(&trial, &fence, &lin, &[("judge", Some(50))]).await;

    let mut change: Change = no_change(&lin);
    change.decision = decision(super::trial::blank(&lin));
    change.decision.effects = vec![super::trial::effect("card", &lin, crate::domain::effect::Lane::Normal, at(40))];
    trial.take_effect(&fence, change).await;

    assert_eq!(trial.store.next_due(1).await.unwrap(), Some(at(40)));
}
