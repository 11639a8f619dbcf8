//! Reading for people.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use redis::Value;

use crate::domain::actor::Actor;
use crate::domain::delivery::Delivery;
use crate::domain::effect::Lane;
use crate::domain::ids::DeliveryId;
use crate::domain::timeline::Line;

use super::streams::{InLane, from_json};
use super::walks::walk_states;
use super::{Error, Store};

/// A shard with more entries than this behind its cursor takes no more from outside until it has caught up.
const MOST_BEHIND: u64 = 100_000;

/// Above this share of `maxmemory` nothing more is taken from outside, so that there is room to drain.
const MOST_MEMORY_PERCENT: u64 = 90;

impl Store {
    /// The newest lines of an actor's timeline, newest first, at most `most`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn timeline(&self, actor: &Actor, most: usize) -> Result<Vec<Line>, Error> {
        let Some(last) = most.checked_sub(1) else { return Ok(Vec::new()) };
        let key = self.keys().line(actor);
        let lines: Vec<String> = self.query(redis::cmd("LRANGE").arg(&key).arg(0).arg(last)).await?;
        lines.iter().map(|line| from_json(&key, line)).collect()
    }

    /// The newest deliveries for or about an actor, newest first, at most `most`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn deliveries(&self, actor: &Actor, most: usize) -> Result<Vec<Delivery>, Error> {
        let Some(last) = most.checked_sub(1) else { return Ok(Vec::new()) };
        let index = self.keys().deliveries(actor);
        let ids: Vec<String> = self.query(redis::cmd("ZRANGE").arg(&index).arg(0).arg(last).arg("REV")).await?;
        let shard = self.keys().shard_of(actor);
        let mut pipe = redis::pipe();
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            let id = DeliveryId::parse(id).map_err(|error| Error::unreadable(&index, error))?;
            let key = self.keys().delivery(shard, &id);
            pipe.cmd("HGET").arg(&key).arg("json");
            keys.push(key);
        }
        // Those that the index still names but that have expired are left out.
        let stored: Vec<Option<String>> = self.query_all(&pipe).await?;
        keys.iter().zip(stored).filter_map(|(key, json)| Some(from_json(key, &json?))).collect()
    }

    /// One delivery of a customer.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn delivery(&self, customer: &Actor, id: &DeliveryId) -> Result<Option<Delivery>, Error> {
        let key = self.keys().delivery(self.keys().shard_of(customer), id);
        let json: Option<String> = self.query(redis::cmd("HGET").arg(&key).arg("json")).await?;
        json.map(|json| from_json(&key, &json)).transpose()
    }

    /// The counters of a day, summed over all shards.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn counters(&self, day: NaiveDate) -> Result<BTreeMap<String, i64>, Error> {
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            pipe.cmd("HGETALL").arg(self.keys().count(shard, day));
        }
        let mut sums = BTreeMap::new();
        let shards: Vec<BTreeMap<String, i64>> = self.query_all(&pipe).await?;
        for (name, count) in shards.into_iter().flatten() {
            *sums.entry(name).or_default() += count;
        }
        Ok(sums)
    }

    /// What was set aside in a shard: `(event, error)`, oldest first, at most `most`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn dead_letters(&self, shard: u16, most: usize) -> Result<Vec<(String, String)>, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys().dead(shard)).arg("-").arg("+").arg("COUNT").arg(most);
        let entries: Vec<(String, BTreeMap<String, String>)> = self.query(&range).await?;
        let letter = |mut fields: BTreeMap<String, String>| {
            (fields.remove("e").unwrap_or_default(), fields.remove("error").unwrap_or_default())
        };
        Ok(entries.into_iter().map(|(_, fields)| letter(fields)).collect())
    }

    /// Per shard: entries behind the cursor, timers due, effects due at a moment. For metrics and for settling the clock.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn backlog(&self, now: crate::domain::At) -> Result<Vec<Backlog>, Error> {
        let now = now.timestamp_millis();
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            for lane in [InLane::In, InLane::Bulk] {
                pipe.cmd("XLEN").arg(self.keys().stream(shard, lane));
            }
            for key in self.timed(shard) {
                pipe.cmd("ZCOUNT").arg(&key).arg("-inf").arg(now);
                pipe.cmd("ZRANGE").arg(&key).arg(format!("({now}")).arg("+inf").arg("BYSCORE");
                pipe.arg("LIMIT").arg(0).arg(1).arg("WITHSCORES");
            }
            pipe.cmd("HGETALL").arg(self.keys().walks(shard));
        }
        let answers: Vec<Value> = self.query_all(&pipe).await?;
        let per_shard = answers.chunks(Backlog::ANSWERS);
        (0..self.shards())
            .zip(per_shard)
            .map(|(shard, answers)| Backlog::read(&self.keys().walks(shard), answers))
            .collect()
    }

    fn timed(&self, shard: u16) -> [String; 3] {
        let keys = self.keys();
        [keys.timers(shard), keys.outbox(shard, Lane::Normal), keys.outbox(shard, Lane::Urgent)]
    }

    /// Why nothing more should be taken from outside right now, in words; none when there is room.
    ///
    /// Memory at 90 % of `maxmemory`, or a shard too far behind. Answers are good for about a second.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn pressure(&self) -> Result<Option<String>, Error> {
        for info in self.infos("memory").await? {
            if let Some(percent) = used_percent(&info).filter(|percent| *percent >= MOST_MEMORY_PERCENT) {
                return Ok(Some(format!("Redis uses {percent} % of its maxmemory")));
            }
        }
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            for lane in [InLane::In, InLane::Bulk] {
                pipe.cmd("XLEN").arg(self.keys().stream(shard, lane));
            }
        }
        let behind: Vec<u64> = self.query_all(&pipe).await?;
        let worst = behind.into_iter().max().unwrap_or_default();
        Ok((worst > MOST_BEHIND).then(|| format!("a shard has {worst} events still to decide")))
    }
}

/// How much of its `maxmemory` a server uses; none when it has no limit.
fn used_percent(info: &str) -> Option<u64> {
    let figure = |name: &str| super::preflight::line_of(info, name)?.parse::<u64>().ok();
    let most = figure("maxmemory").filter(|most| *most > 0)?;
    Some(figure("used_memory")?.saturating_mul(100) / most)
}

/// What one shard has left to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backlog {
    /// Entries of `in` behind the cursor.
    pub now: u64,
    /// Entries of `bulk` behind the cursor.
    pub bulk: u64,
    /// Timers due.
    pub timers: u64,
    /// Effects due, those under way included.
    pub effects: u64,
    /// The earliest timer or effect that is not due yet.
    pub next: Option<crate::domain::At>,
    /// How far sweeps have come.
    pub walks: BTreeMap<String, super::walks::WalkState>,
}

impl Backlog {
    /// Answers that Redis gives per shard: two lengths, three counts each with the earliest beyond it, the walks.
    const ANSWERS: usize = 9;

    fn read(walks: &str, answers: &[Value]) -> Result<Self, Error> {
        type Beyond = Vec<(String, i64)>;
        let (now, bulk, timers, next_timer, normal, next_normal, urgent, next_urgent, stored): (
            u64,
            u64,
            u64,
            Beyond,
            u64,
            Beyond,
            u64,
            Beyond,
            BTreeMap<String, String>,
        ) = redis::from_redis_value(Value::Array(answers.to_vec()))?;
        let next = [next_timer, next_normal, next_urgent].into_iter().flatten().map(|(_, ms)| ms).min();
        Ok(Self {
            now,
            bulk,
            timers,
            effects: normal + urgent,
            next: next.and_then(DateTime::from_timestamp_millis),
            walks: walk_states(walks, stored)?,
        })
    }
}
