use std::collections::BTreeMap;

use super::commit::Change;
use super::reading::Backlog;
use super::streams::{InLane, Remember};
use super::trial::{Trial, actor, at, customer_of, day, effect, event, no_change};
use crate::decide::TimerChange;
use crate::domain::actor::{Actor, ActorKind};
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState};
use crate::domain::effect::Lane;
use crate::domain::ids::{EffectId, EventId, ExternalUserId};

fn delivery(actor: &Actor, n: i64) -> Delivery {
    let event = EventId::parse("cb:1").unwrap();
    Delivery {
        id: EffectId::derive(&event, actor, &n.to_string()),
        customer: ExternalUserId::parse("wmLin").unwrap(),
        kind: DeliveryKind::Prompt,
        journey: None,
        step: None,
        say: None,
        title: None,
        channel: None,
        staff: None,
        priority: 0,
        state: DeliveryState::Held,
        reason: "quiet hours".to_owned(),
        at: at(n),
        wanted_at: at(n),
        hold_until: at(n),
        due: None,
        counted_on: None,
        look_again: None,
        refused: std::collections::BTreeMap::new(),
        event,
        turns: Vec::new(),
    }
}

#[tokio::test]
async fn deliveries_come_newest_first_and_the_list_is_bounded() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let mut change = no_change(&lin);
    change.decision.deliveries = (0..520).map(|n| delivery(&lin, n)).collect();
    trial.take_effect(&fence, change).await;

    let newest: Vec<_> = trial.store.deliveries(&lin, 3).await.unwrap().iter().map(|delivery| delivery.at).collect();
    assert_eq!(newest, [at(519), at(518), at(517)]);
    assert_eq!(trial.store.deliveries(&lin, 9999).await.unwrap().len(), 500);
    assert_eq!(trial.store.deliveries(&lin, 0).await.unwrap(), []);

    // One that has expired is left out.
    let gone = delivery(&lin, 519).id;
    trial.cli::<()>(&format!("DEL {}", trial.key(1, &format!("delivery:{gone}")))).await;
    assert_eq!(trial.store.deliveries(&lin, 3).await.unwrap().len(), 2);
    assert_eq!(trial.store.delivery(&lin, &gone).await.unwrap(), None);
    assert_eq!(trial.store.delivery(&lin, &delivery(&lin, 100).id).await.unwrap().unwrap(), delivery(&lin, 100));
}

#[tokio::test]
async fn counters_are_summed_over_shards() {
    let trial = Trial::start().await;
    for shard in [0, 1, 3] {
        let fence = trial.own(shard).await;
        let mut change = no_change(&customer_of(shard, "wm"));
        change.decision.counters =
            BTreeMap::from([("event:order.paid".to_owned(), i64::from(shard) + 1), ("none".to_owned(), 0)]);
        trial.take_effect(&fence, change).await;
    }

    let counted = trial.store.counters(day()).await.unwrap();

    assert_eq!(counted, BTreeMap::from([("event:order.paid".to_owned(), 7)]));
    let left: u64 = trial.cli(&format!("TTL {}", trial.key(1, &format!("count:{}", day())))).await;
    assert_eq!(left.div_ceil(86_400), 800);
}

#[tokio::test]
async fn a_walk_meets_every_actor_of_its_kind_in_order() {
    let trial = Trial::start().await;
    let fence = trial.own(1).await;
    let mut customers: Vec<Actor> = (0..7).map(|n| customer_of(1, &format!("wm{n}x"))).collect();
    let identity = (0..).map(|n| actor(&format!("identity:member_id:{n}"))).find(|actor| actor.shard(4) == 1).unwrap();
    for actor in customers.iter().chain([&identity]) {
        trial.take_effect(&fence, no_change(actor)).await;
    }
    customers.sort_by_key(ToString::to_string);
    for stray in ["customer:a stray one", "customer:wm3y another", "customers"] {
        trial.store.query::<()>(redis::cmd("ZADD").arg(trial.key(1, "index")).arg(0).arg(stray)).await.unwrap();
    }

    let mut met = Vec::new();
    loop {
        let slice = trial.store.actors(1, ActorKind::Customer, met.last(), 2).await.unwrap();
        if slice.is_empty() {
            break;
        }
        assert!(slice.len() <= 2);
        met.extend(slice);
    }

    assert_eq!(met, customers);
    assert_eq!(trial.store.actors(1, ActorKind::Identity, None, 9).await.unwrap(), [identity]);
    assert_eq!(trial.store.actors(1, ActorKind::Corp, None, 9).await.unwrap(), []);
    let corp = trial.shard(&Actor::Corp);
    let fence = trial.own(corp).await;
    trial.take_effect(&fence, no_change(&Actor::Corp)).await;
    assert_eq!(trial.store.actors(corp, ActorKind::Corp, None, 9).await.unwrap(), [Actor::Corp]);
    assert_eq!(trial.store.actors(corp, ActorKind::Corp, Some(&Actor::Corp), 9).await.unwrap(), []);
}

#[tokio::test]
async fn the_backlog_says_what_each_shard_has_left_to_do() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let mut change: Change = no_change(&lin);
    let set = |name: &str, ms| TimerChange::Set { name: name.to_owned(), at: at(ms) };
    change.decision.timers = vec![set("due", 10), set("now", 20), set("later", 50)];
    change.decision.effects = vec![
        effect("a", &lin, Lane::Normal, at(5)),
        effect("b", &lin, Lane::Urgent, at(20)),
        effect("c", &lin, Lane::Normal, at(40)),
    ];
    trial.take_effect(&fence, change).await;
    for id in ["x", "y"] {
        trial.store.append(&event(id, &lin), InLane::In, Remember::Week).await.unwrap();
    }
    trial.store.append(&event("z", &lin), InLane::Bulk, Remember::Week).await.unwrap();

    let backlog = trial.store.backlog(at(20)).await.unwrap();

    let busy = Backlog { now: 2, bulk: 1, timers: 2, effects: 2, next: Some(at(40)), walks: BTreeMap::new() };
    assert_eq!(backlog, [Backlog::default(), busy, Backlog::default(), Backlog::default()]);
}

#[tokio::test]
async fn little_memory_left_is_said_in_words() {
    let trial = Trial::start().await;
    assert_eq!(trial.store.pressure().await.unwrap(), None);

    trial.cli::<()>("CONFIG SET maxmemory 1000000").await;

    let words = trial.store.pressure().await.unwrap().unwrap();
    assert!(words.contains("% of its maxmemory"), "{words}");
}
