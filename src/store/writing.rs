//! What a batch writes, as a list of Redis commands over named keys.
//!
//! Values are absolute where they can be. What an earlier commit of the same event wrote is recognised: an effect that
//! is there already keeps its tries and its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use crate::decide::{Decision, Head, TimerChange};
use crate::domain::actor::Actor;
use crate::domain::delivery::Delivery;
use crate::domain::effect::Effect;
use crate::domain::timeline::{LINES_KEPT, Line};

use super::Error;
use super::commit::{Change, DeadLetter};
use super::keys::{Keys, Kind};
use super::records;
use super::streams::{InLane, StreamId, to_json};
use super::timers::member;

/// How long a delivery is kept after its last turn.
const DELIVERY_LIVES_S: u32 = 400 * 24 * 60 * 60;

/// The most deliveries an actor's index remembers.
const DELIVERIES_KEPT: u32 = 500;

/// How long counters are kept.
const COUNTERS_LIVE_S: u32 = 800 * 24 * 60 * 60;

/// About how many events a shard keeps that were set aside.
pub(super) const DEAD_KEPT: u32 = 10_000;

/// The most arguments of one command: Lua cannot unpack much more than 7,000.
const MOST_ARGUMENTS: usize = 2_000;

/// The list under construction.
pub(super) struct Writing<'a> {
    keys: &'a Keys,
    shard: u16,
    kinds: String,
    touched: Vec<String>,
    numbers: HashMap<String, usize>,
    operations: Vec<String>,
    /// The last word on each timer of the batch.
    timers: BTreeMap<String, Option<i64>>,
    /// Actors that get a record.
    actors: BTreeSet<String>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(keys: &'a Keys, shard: u16) -> Self {
        Self {
            keys,
            shard,
            kinds: String::new(),
            touched: Vec::new(),
            numbers: HashMap::new(),
            operations: Vec::new(),
            timers: BTreeMap::new(),
            actors: BTreeSet::new(),
        }
    }

    /// What each key must hold (a letter each), the keys, and the operations as `commit.lua` reads them.
    pub(super) fn finish(mut self) -> (String, Vec<String>, Vec<String>) {
        self.write_timers();
        self.write_index();
        (self.kinds, self.touched, self.operations)
    }

    /// Everything one decided event changes, counters excepted.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Error> {
        let Change { actor, before, decision } = change;
        if self.keys.shard_of(actor) != self.shard {
            return Err(Error::unreadable(&self.keys.head(actor), "the actor belongs to another shard"));
        }
        self.actors.insert(actor.to_string());
        self.head(actor, before, &decision.head)?;
        self.sides(actor, decision)?;
        for timer in &decision.timers {
            match timer {
                TimerChange::Set { name, at } => self.timers.insert(member(actor, name), Some(at.timestamp_millis())),
                TimerChange::Cancel { name } => self.timers.insert(member(actor, name), None),
            };
        }
        for effect in &decision.effects {
            self.effect(effect)?;
        }
        for delivery in &decision.deliveries {
            self.delivery(actor, delivery)?;
        }
        self.memberships(actor, decision);
        self.lines(actor, &decision.lines)
    }

    fn head(&mut self, actor: &Actor, before: &Head, after: &Head) -> Result<(), Error> {
        let key = self.keys.head(actor);
        let difference = records::difference(&key, before, after)?;
        if let Some(spelled) = difference.spelled {
            self.write("HSETNX", key.clone(), Kind::Hash, ["id".to_owned(), spelled]);
        }
        let set = difference.set.into_iter().flat_map(|(name, value)| [name, value]).collect();
        self.chunked("HSET", key.clone(), Kind::Hash, set);
        self.chunked("HDEL", key, Kind::Hash, difference.removed);
        Ok(())
    }

    fn sides(&mut self, actor: &Actor, decision: &Decision) -> Result<(), Error> {
        for side in &decision.sides {
            let key = self.keys.side(actor, side.collection);
            match &side.value {
                Some(value) => {
                    let json = to_json(&key, value)?;
                    self.write("HSET", key, Kind::Hash, [side.field.clone(), json]);
                }
                None => self.write("HDEL", key, Kind::Hash, [side.field.clone()]),
            }
        }
        Ok(())
    }

    fn effect(&mut self, effect: &Effect) -> Result<(), Error> {
        let key = self.keys.effect(self.shard, &effect.id);
        if self.keys.shard_of(&effect.actor) != self.shard {
            return Err(Error::unreadable(&key, "its result would belong to another shard"));
        }
        let json = to_json(&key, effect)?;
        let due = effect.not_before.timestamp_millis().to_string();
        let outbox = self.keys.outbox(self.shard, effect.lane);
        let id = effect.id.to_string();
        let Some(serial) = &effect.serial else {
            self.write("HSETNX", key, Kind::Hash, ["json".to_owned(), json]);
            self.write("ZADD", outbox, Kind::SortedSet, ["NX".to_owned(), due, id]);
            return Ok(());
        };
        let places =
            [self.number(outbox, Kind::SortedSet), self.number(key, Kind::Hash)].map(|place| place.to_string());
        let [outbox, key] = places;
        let queue = self.keys.queue(self.shard, serial);
        let lane = effect.lane.name().to_owned();
        self.write("QUEUE", queue, Kind::List, [outbox, key, json, serial.clone(), lane, due, id]);
        Ok(())
    }

    fn delivery(&mut self, actor: &Actor, delivery: &Delivery) -> Result<(), Error> {
        let key = self.keys.delivery(self.shard, &delivery.id);
        let word = |value: Result<serde_json::Value, serde_json::Error>| {
            value.map(|value| records::encode(&value)).map_err(|source| Error::Unreadable { key: key.clone(), source })
        };
        let fields = [
            ("state", word(serde_json::to_value(delivery.state))?),
            ("reason", delivery.reason.clone()),
            ("kind", word(serde_json::to_value(delivery.kind))?),
            ("journey", delivery.journey.as_ref().map(ToString::to_string).unwrap_or_default()),
            (
                "channel",
                delivery.channel.map(|channel| word(serde_json::to_value(channel))).transpose()?.unwrap_or_default(),
            ),
            ("customer", delivery.customer.to_string()),
            ("at", delivery.at.to_rfc3339()),
            ("json", to_json(&key, delivery)?),
        ];
        let fields: Vec<String> = fields.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        self.write("HSET", key.clone(), Kind::Hash, fields);
        self.write("EXPIRE", key, Kind::Hash, [DELIVERY_LIVES_S.to_string()]);
        let index = self.keys.deliveries(actor);
        let wanted = delivery.wanted_at.timestamp_millis().to_string();
        self.write("ZADD", index.clone(), Kind::SortedSet, [wanted, delivery.id.to_string()]);
        let overflow = ["0".to_owned(), format!("-{}", DELIVERIES_KEPT + 1)];
        self.write("ZREMRANGEBYRANK", index, Kind::SortedSet, overflow);
        Ok(())
    }

    fn memberships(&mut self, actor: &Actor, decision: &Decision) {
        for (segment, is_inside) in &decision.memberships {
            let key = self.keys.segment(self.shard, segment);
            if !is_inside {
                self.write("ZREM", key, Kind::SortedSet, [actor.to_string()]);
                continue;
            }
            let entered = match &decision.head {
                Head::Customer(customer) => customer.segments.get(segment).map(chrono::DateTime::timestamp_millis),
                Head::Staff(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) | Head::Identity(_) => None,
            };
            let entered = entered.unwrap_or_default().to_string();
            self.write("ZADD", key, Kind::SortedSet, [entered, actor.to_string()]);
        }
    }

    fn lines(&mut self, actor: &Actor, lines: &[Line]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let key = self.keys.line(actor);
        let newest = lines.iter().skip(lines.len().saturating_sub(LINES_KEPT));
        let lines: Result<Vec<String>, Error> = newest.map(|line| to_json(&key, line)).collect();
        self.chunked("LPUSH", key.clone(), Kind::List, lines?);
        self.write("LTRIM", key, Kind::List, ["0".to_owned(), (LINES_KEPT - 1).to_string()]);
        Ok(())
    }

    pub(super) fn count(&mut self, day: NaiveDate, counters: &BTreeMap<&str, i64>) {
        let key = self.keys.count(self.shard, day);
        for (name, count) in counters.iter().filter(|(_, count)| **count != 0) {
            self.write("HINCRBY", key.clone(), Kind::Hash, [(*name).to_owned(), count.to_string()]);
        }
        if !counters.is_empty() {
            self.write("EXPIRE", key, Kind::Hash, [COUNTERS_LIVE_S.to_string()]);
        }
    }

    pub(super) fn set_aside(&mut self, dead: &[DeadLetter]) {
        for DeadLetter { event, error } in dead {
            let limit = ["MAXLEN", "~", &DEAD_KEPT.to_string(), "*", "e", event, "error", error].map(str::to_owned);
            self.write("XADD", self.keys.dead(self.shard), Kind::Stream, limit);
        }
    }

    pub(super) fn trim(&mut self, lane: InLane, committed: &StreamId) -> Result<(), Error> {
        let key = self.keys.stream(self.shard, lane);
        let first_kept =
            committed.next().ok_or_else(|| Error::unreadable(&key, format!("{:?} is not a stream id", committed.0)))?;
        self.write("XTRIM", key, Kind::Stream, ["MINID".to_owned(), first_kept]);
        Ok(())
    }

    fn write_timers(&mut self) {
        let key = self.keys.timers(self.shard);
        let (mut set, mut cancelled) = (Vec::new(), Vec::new());
        for (member, at) in std::mem::take(&mut self.timers) {
            match at {
                Some(at) => set.extend([at.to_string(), member]),
                None => cancelled.push(member),
            }
        }
        self.chunked("ZADD", key.clone(), Kind::SortedSet, set);
        self.chunked("ZREM", key, Kind::SortedSet, cancelled);
    }

    fn write_index(&mut self) {
        let key = self.keys.index(self.shard);
        let actors = std::mem::take(&mut self.actors).into_iter().flat_map(|actor| ["0".to_owned(), actor]).collect();
        self.chunked("ZADD", key, Kind::SortedSet, actors);
    }

    /// A command with any number of arguments, split when they are many; nothing when there are none.
    fn chunked(&mut self, command: &str, key: String, kind: Kind, arguments: Vec<String>) {
        for part in arguments.chunks(MOST_ARGUMENTS) {
            self.write(command, key.clone(), kind, part.to_vec());
        }
    }

    fn write<A>(&mut self, command: &str, key: String, kind: Kind, arguments: A)
    where
        A: IntoIterator<Item = String>,
        A::IntoIter: ExactSizeIterator,
    {
        let arguments = arguments.into_iter();
        let number = self.number(key, kind);
        self.operations.extend([command.to_owned(), number.to_string(), arguments.len().to_string()]);
        self.operations.extend(arguments);
    }

    /// The number by which the script knows a key; the fence and the progress stand before all of them.
    fn number(&mut self, key: String, kind: Kind) -> usize {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = self.touched.len() + 3;
        self.kinds.push(kind.letter());
        self.touched.push(key.clone());
        self.numbers.insert(key, number);
        number
    }
}
