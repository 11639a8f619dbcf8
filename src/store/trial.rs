//! A real Redis for one test, and short ways to say what a test is about.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::decide::{Decision, Head};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::corp::{Corp, Group, Identity, KfAccount};
use crate::domain::customer::Customer;
use crate::domain::effect::{Call, Effect, Lane};
use crate::domain::event::Event;
use crate::domain::ids::{EffectId, EventId};
use crate::domain::staff::Staff;
use crate::settings::{RedisSettings, RedisUrl};

use super::commit::{Batch, Change, Committed, Cursor, Progress};
use super::leases::Fence;
use super::records::Stored;
use super::streams::{InLane, Remember, StreamId};
use super::{Error, Store};

/// A store over a private server in a folder of its own; both go away with it.
pub(super) struct Trial {
    pub(super) store: Store,
    pub(super) dir: TempDir,
}

pub(super) fn settings(url: RedisUrl) -> RedisSettings {
    RedisSettings { url, shards: 4, prefix: "tp".to_owned(), wait_replicas: 0 }
}

pub(super) async fn open(dir: &Path) -> Result<Store, Error> {
    Store::connect(&settings(RedisUrl::Embedded(dir.to_owned()))).await
}

impl Trial {
    pub(super) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let store = open(&dir.path().join("data")).await.unwrap();
        Self { store, dir }
    }

    /// A second process's view of the same server.
    pub(super) async fn beside(&self) -> Store {
        let url = format!("unix://{}", self.dir.path().join("data/redis.sock").display());
        Store::connect(&settings(RedisUrl::Single(url.into()))).await.unwrap()
    }

    /// Any command, as from redis-cli; words are parted by spaces.
    pub(super) async fn cli<T: redis::FromRedisValue>(&self, line: &str) -> T {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        self.store.query(&command).await.unwrap()
    }

    /// The key of one shard.
    pub(super) fn key(&self, shard: u16, rest: &str) -> String {
        self.store.keys().of_shard(shard, rest)
    }

    pub(super) fn shard(&self, actor: &Actor) -> u16 {
        actor.shard(self.store.shards())
    }

    pub(super) async fn own(&self, shard: u16) -> Fence {
        self.store.acquire(shard, "node:1").await.unwrap().unwrap()
    }

    /// Redis as it is after a loss of all data.
    pub(super) async fn empty(&self) {
        self.cli::<()>("FLUSHALL").await;
        self.cli::<()>("SCRIPT FLUSH").await;
    }

    /// Appends an event and commits what it changes, as a worker does.
    pub(super) async fn take_effect(&self, fence: &Fence, change: Change) {
        let shard = self.shard(&change.actor);
        let id = format!("step:{}", uuid::Uuid::now_v7());
        self.store.append(&event(&id, &change.actor), InLane::In, Remember::Week).await.unwrap();
        let batch = self.batch(shard, fence, vec![change]).await;
        assert_eq!(self.store.commit(&batch).await.unwrap(), Committed::Done);
    }

    /// A batch that moves the cursor over everything in the `in` lane.
    pub(super) async fn batch(&self, shard: u16, fence: &Fence, changes: Vec<Change>) -> Batch {
        let from = self.store.cursor(shard).await.unwrap();
        let last = self.store.read(shard, InLane::In, &from.now, 1000).await.unwrap().pop();
        let to = Cursor { now: last.map_or(StreamId("9-9".to_owned()), |entry| entry.id), bulk: from.bulk.clone() };
        Batch {
            shard,
            fence: fence.clone(),
            progress: Progress::Cursor { from, to },
            changes,
            dead: Vec::new(),
            day: day(),
        }
    }
}

/// Waits until Redis takes writes again.
pub(super) async fn until_writable(store: &Store) {
    let writable = async {
        while store.probe().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), writable).await.expect("Redis comes back");
}

pub(super) fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 5, 6).unwrap()
}

/// A moment, in milliseconds after a fixed one.
pub(super) fn at(ms: i64) -> At {
    DateTime::from_timestamp_millis(1_778_000_000_000 + ms).unwrap()
}

pub(super) fn actor(text: &str) -> Actor {
    text.parse().unwrap()
}

/// The first customer of that name with a number behind it who belongs to a shard.
pub(super) fn customer_of(shard: u16, name: &str) -> Actor {
    let mut names = (0..).map(|n| actor(&format!("customer:{name}{n}")));
    names.find(|actor| actor.shard(4) == shard).unwrap()
}

pub(super) fn event(id: &str, actor: &Actor) -> Event {
    Event {
        id: EventId::parse(id).unwrap(),
        kind: "order.paid".to_owned(),
        actor: actor.clone(),
        at: at(0),
        data: Map::from_iter([("amount".to_owned(), Value::from("299.00"))]),
        hops: 0,
        trace: None,
    }
}

pub(super) fn effect(name: &str, actor: &Actor, lane: Lane, not_before: At) -> Effect {
    let staff = crate::domain::ids::UserId::parse("lili").unwrap();
    Effect {
        id: EffectId::derive(&EventId::parse(name).unwrap(), actor, "test"),
        actor: actor.clone(),
        lane,
        not_before,
        valid_until: at(1_000_000),
        serial: None,
        hops: 0,
        trace: None,
        call: Call::StaffText { userid: staff, text: name.to_owned() },
    }
}

/// A record that knows nothing yet.
pub(super) fn blank(actor: &Actor) -> Head {
    match actor {
        Actor::Customer(id) => Head::Customer(Box::new(Customer::new(id.clone()))),
        Actor::Staff(id) => Head::Staff(Staff::new(id.clone())),
        Actor::Kf(_) => Head::Kf(KfAccount::default()),
        Actor::Identity(_) => Head::Identity(Identity::default()),
        Actor::Group(_) => Head::Group(Group::default()),
        Actor::Corp => Head::Corp(Corp::default()),
    }
}

/// A decision that changes nothing.
pub(super) fn decision(head: Head) -> Decision {
    Decision {
        head,
        sides: Vec::new(),
        timers: Vec::new(),
        effects: Vec::new(),
        deliveries: Vec::new(),
        memberships: Vec::new(),
        counters: BTreeMap::new(),
        lines: Vec::new(),
        trace: Vec::new(),
    }
}

/// A change that changes nothing of an actor who is new.
pub(super) fn no_change(actor: &Actor) -> Change {
    Change { actor: actor.clone(), before: Stored::default(), decision: decision(blank(actor)) }
}
