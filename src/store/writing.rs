//! What a batch writes, as a list of Redis commands over named keys.
//!
//! Values are absolute where they can be. What an earlier commit of the same event wrote is recognised: an effect that
//! is there already keeps its tries and its place.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};

use crate::decide::{Decision, Head, TimerChange};
use crate::domain::actor::Actor;
use crate::domain::delivery::Delivery;
use crate::domain::effect::Effect;
use crate::domain::timeline::{LINES_KEPT, Line};

use super::Error;
use super::commit::{Change, DeadLetter};
use super::keys::{Keys, Kind};
use super::records::{self, Stored};
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
    operations: Vec<Argument>,
    /// The last word on each timer of the batch.
    timers: BTreeMap<String, Option<i64>>,
    /// What is new in each timeline, oldest first.
    lines: BTreeMap<String, Vec<String>>,
    /// Actors that get a record.
    actors: Vec<String>,
}

/// One argument of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// A command or another word of ours.
    Word(&'static str),
    /// A key's number, or a number of arguments.
    Number(usize),
    /// Anything else.
    Text(String),
}

impl ToRedisArgs for Argument {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Word(word) => out.write_arg(word.as_bytes()),
            Self::Number(number) => number.write_redis_args(out),
            Self::Text(text) => out.write_arg(text.as_bytes()),
        }
    }
}

impl ToSingleRedisArg for Argument {}

impl From<&'static str> for Argument {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
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
            lines: BTreeMap::new(),
            actors: Vec::new(),
        }
    }

    /// What each key must hold (a letter each), the keys, and the operations as `commit.lua` reads them.
    pub(super) fn finish(mut self) -> (String, Vec<String>, Vec<Argument>) {
        self.write_timers();
        self.write_lines();
        self.write_index();
        (self.kinds, self.touched, self.operations)
    }

    /// Everything one decided event changes, head and counters excepted.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Error> {
        let Change { actor, decision, .. } = change;
        if self.keys.shard_of(actor) != self.shard {
            return Err(Error::unreadable(&self.keys.head(actor), "the actor belongs to another shard"));
        }
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

    /// What a batch made of an actor's head.
    pub(super) fn head(&mut self, actor: &Actor, before: &Stored, after: &Head) -> Result<(), Error> {
        let key = self.keys.head(actor);
        let difference = before.difference(after)?;
        if before.is_empty() {
            self.actors.push(actor.to_string());
        }
        if let Some(spelled) = difference.spelled {
            self.write("HSETNX", key.clone(), Kind::Hash, ["id".into(), spelled.into()]);
        }
        let set = difference.set.into_iter().flat_map(|(name, value)| [name, value]).collect();
        self.chunked("HSET", &key, Kind::Hash, set);
        self.chunked("HDEL", &key, Kind::Hash, difference.removed);
        Ok(())
    }

    fn sides(&mut self, actor: &Actor, decision: &Decision) -> Result<(), Error> {
        for side in &decision.sides {
            let key = self.keys.side(actor, side.collection);
            match &side.value {
                Some(value) => {
                    let json = to_json(&key, value)?;
                    self.write("HSET", key, Kind::Hash, [side.field.clone().into(), json.into()]);
                }
                None => self.write("HDEL", key, Kind::Hash, [side.field.clone().into()]),
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
            self.write("HSETNX", key, Kind::Hash, ["json".into(), json.into()]);
            self.write("ZADD", outbox, Kind::SortedSet, ["NX".into(), due.into(), id.into()]);
            return Ok(());
        };
        let [outbox, key] = [(outbox, Kind::SortedSet), (key, Kind::Hash)].map(|(key, kind)| self.number(key, kind));
        let queue = self.keys.queue(self.shard, serial);
        let places = [Argument::Number(outbox), Argument::Number(key)];
        let words = [json, serial.clone(), effect.lane.name().to_owned(), due, id].map(Argument::from);
        self.write("QUEUE", queue, Kind::List, places.into_iter().chain(words).collect::<Vec<_>>());
        Ok(())
    }

    fn delivery(&mut self, actor: &Actor, delivery: &Delivery) -> Result<(), Error> {
        let key = self.keys.delivery(self.shard, &delivery.id);
        let word = |json: Result<String, Error>| json.map(|json| records::written(&json));
        let fields = [
            ("state", word(to_json(&key, &delivery.state))?),
            ("reason", delivery.reason.clone()),
            ("kind", word(to_json(&key, &delivery.kind))?),
            ("journey", delivery.journey.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("channel", delivery.channel.map(|channel| word(to_json(&key, &channel))).transpose()?.unwrap_or_default()),
            ("customer", delivery.customer.to_string()),
            ("at", delivery.at.to_rfc3339()),
            ("json", to_json(&key, delivery)?),
        ];
        let fields: Vec<Argument> = fields.into_iter().flat_map(|(name, value)| [name.into(), value.into()]).collect();
        self.write("HSET", key.clone(), Kind::Hash, fields);
        self.write("EXPIRE", key, Kind::Hash, [DELIVERY_LIVES_S.to_string().into()]);
        let index = self.keys.deliveries(actor);
        let wanted = delivery.wanted_at.timestamp_millis().to_string();
        self.write("ZADD", index.clone(), Kind::SortedSet, [wanted.into(), delivery.id.to_string().into()]);
        let overflow = ["0".into(), format!("-{}", DELIVERIES_KEPT + 1).into()];
        self.write("ZREMRANGEBYRANK", index, Kind::SortedSet, overflow);
        Ok(())
    }

    fn memberships(&mut self, actor: &Actor, decision: &Decision) {
        for (segment, is_inside) in &decision.memberships {
            let key = self.keys.segment(self.shard, segment);
            if !is_inside {
                self.write("ZREM", key, Kind::SortedSet, [actor.to_string().into()]);
                continue;
            }
            let entered = match &decision.head {
                Head::Customer(customer) => customer.segments.get(segment).map(chrono::DateTime::timestamp_millis),
                Head::Staff(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) | Head::Identity(_) => None,
            };
            let entered = entered.unwrap_or_default().to_string();
            self.write("ZADD", key, Kind::SortedSet, [entered.into(), actor.to_string().into()]);
        }
    }

    fn lines(&mut self, actor: &Actor, lines: &[Line]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let key = self.keys.line(actor);
        let lines: Vec<String> = lines.iter().map(|line| to_json(&key, line)).collect::<Result<_, _>>()?;
        self.lines.entry(key).or_default().extend(lines);
        Ok(())
    }

    fn write_lines(&mut self) {
        for (key, mut lines) in std::mem::take(&mut self.lines) {
            lines.drain(..lines.len().saturating_sub(LINES_KEPT));
            self.chunked("LPUSH", &key, Kind::List, lines);
            self.write("LTRIM", key, Kind::List, ["0".into(), (LINES_KEPT - 1).to_string().into()]);
        }
    }

    pub(super) fn count(&mut self, day: NaiveDate, counters: &BTreeMap<&str, i64>) {
        let key = self.keys.count(self.shard, day);
        for (name, count) in counters.iter().filter(|(_, count)| **count != 0) {
            self.write("HINCRBY", key.clone(), Kind::Hash, [(*name).to_owned().into(), count.to_string().into()]);
        }
        if !counters.is_empty() {
            self.write("EXPIRE", key, Kind::Hash, [COUNTERS_LIVE_S.to_string().into()]);
        }
    }

    pub(super) fn set_aside(&mut self, dead: &[DeadLetter]) {
        for DeadLetter { event, error } in dead {
            let kept = DEAD_KEPT.to_string().into();
            let (event, error) = (event.clone().into(), error.clone().into());
            let letter = ["MAXLEN".into(), "~".into(), kept, "*".into(), "e".into(), event, "error".into(), error];
            self.write("XADD", self.keys.dead(self.shard), Kind::Stream, letter);
        }
    }

    pub(super) fn trim(&mut self, lane: InLane, committed: &StreamId) -> Result<(), Error> {
        let key = self.keys.stream(self.shard, lane);
        let first_kept =
            committed.next().ok_or_else(|| Error::unreadable(&key, format!("{:?} is not a stream id", committed.0)))?;
        self.write("XTRIM", key, Kind::Stream, ["MINID".into(), first_kept.into()]);
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
        self.chunked("ZADD", &key, Kind::SortedSet, set);
        self.chunked("ZREM", &key, Kind::SortedSet, cancelled);
    }

    fn write_index(&mut self) {
        let key = self.keys.index(self.shard);
        let actors = std::mem::take(&mut self.actors).into_iter().flat_map(|actor| ["0".to_owned(), actor]).collect();
        self.chunked("ZADD", &key, Kind::SortedSet, actors);
    }

    /// A command with any number of arguments, split when they are many; nothing when there are none.
    fn chunked(&mut self, command: &'static str, key: &str, kind: Kind, arguments: Vec<String>) {
        let mut arguments = arguments.into_iter().map(Argument::from);
        while arguments.len() > 0 {
            let part: Vec<Argument> = arguments.by_ref().take(MOST_ARGUMENTS).collect();
            self.write(command, key.to_owned(), kind, part);
        }
    }

    fn write<A>(&mut self, command: &'static str, key: String, kind: Kind, arguments: A)
    where
        A: IntoIterator<Item = Argument>,
        A::IntoIter: ExactSizeIterator,
    {
        let arguments = arguments.into_iter();
        let number = self.number(key, kind);
        self.operations.extend([command.into(), Argument::Number(number), Argument::Number(arguments.len())]);
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
