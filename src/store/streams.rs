//! Appending events and reading them back.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

use crate::domain::event::Event;

use super::commit::Cursor;
use super::connection::Copies;
use super::keys::Seen;
use super::link::{CONNECT_TIMEOUT, timed_out};
use super::scripts::{APPEND, is_unknown_script};
use super::{Error, Store};

/// How long the ids of callbacks, timers, results and messages between actors are remembered.
pub(super) const WEEK: Duration = Duration::from_secs(7 * DAY_S);

/// Ids of business events are kept in generations, so that whole hashes expire.
const GENERATION_DAYS: u64 = 100;

/// Generations that are looked at besides the current one: together never less than 400 days.
const OLDER_GENERATIONS: u64 = 4;

const DAY_S: u64 = 24 * 60 * 60;

/// The most events of one pipeline, so that it is answered well within the time an answer may take.
const APPENDED_AT_ONCE: usize = 1000;

/// How long an append waits for copies, in milliseconds.
const COPIES_WAIT_MS: u64 = 1500;

/// Wake-ups that may queue for a slow reader; more are dropped, since polling finds the work too.
const WAKES_QUEUED: usize = 1024;

/// The two lanes of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InLane {
    /// What happens now.
    In,
    /// Imports and sync.
    Bulk,
}

/// How long the event's id is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remember {
    /// 7 days: callbacks, timers, results, messages between actors.
    Week,
    /// 400 days, in compact buckets: business events.
    Business,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is durable and will be decided.
    New,
    /// An event with this id was appended before.
    Duplicate,
}

/// Where a stream entry stands; `0-0` is before all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamId(pub String);

impl StreamId {
    /// Before all entries.
    #[must_use]
    pub fn start() -> Self {
        Self("0-0".to_owned())
    }

    /// The first id behind this one; none when the text is no id of Redis.
    pub(super) fn next(&self) -> Option<String> {
        let (ms, sequence) = self.0.split_once('-')?;
        let (ms, sequence): (u64, u64) = (ms.parse().ok()?, sequence.parse().ok()?);
        Some(match sequence.checked_add(1) {
            Some(sequence) => format!("{ms}-{sequence}"),
            None => format!("{}-0", ms.checked_add(1)?),
        })
    }
}

/// One entry of a shard's stream.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub id: StreamId,
    /// The event, or the raw text and why it cannot be read.
    pub event: Result<Event, (String, serde_json::Error)>,
}

/// An entry as Redis gives it: its id, its fields.
type RawEntry = (String, Vec<(String, String)>);

impl Entry {
    fn read(id: String, fields: &[(String, String)]) -> Self {
        let text = fields.iter().find(|(name, _)| name == "e").map_or("", |(_, text)| text.as_str());
        let event = serde_json::from_str(text).map_err(|error| (text.to_owned(), error));
        Self { id: StreamId(id), event }
    }
}

impl Store {
    /// Appends an event to its actor's shard, or says that its id was seen before: one script in the shard's slot.
    ///
    /// # Errors
    /// When Redis did not answer; it may or may not have happened, and a repeat is harmless.
    pub async fn append(&self, event: &Event, lane: InLane, remember: Remember) -> Result<Appended, Error> {
        let call = self.append_call(real_day(), event, lane, remember)?;
        let answer = match self.append_once(&call).await {
            // A connection that an earlier Redis closed is found out by its first use. A repeat appends nothing twice.
            Err(Error::Redis(error)) if error.is_connection_dropped() => self.append_once(&call).await?,
            answer => answer?,
        };
        appended(answer)
    }

    /// Appends many events in few round trips, each by its own script and with its own outcome. Events of one actor keep
    /// their order.
    ///
    /// # Errors
    /// The outer one when Redis did not answer: each may or may not have happened, and a repeat is harmless. The inner
    /// ones when Redis refused that event.
    pub async fn append_many(
        &self,
        events: &[Event],
        lane: InLane,
        remember: Remember,
    ) -> Result<Vec<Result<Appended, Error>>, Error> {
        self.append_on(real_day(), events, lane, remember).await
    }

    /// [`Self::append_many`] on a given day of real time, counted from 1970.
    pub(super) async fn append_on(
        &self,
        day: u64,
        events: &[Event],
        lane: InLane,
        remember: Remember,
    ) -> Result<Vec<Result<Appended, Error>>, Error> {
        let mut outcomes = Vec::with_capacity(events.len());
        for part in events.chunks(APPENDED_AT_ONCE) {
            let calls: Result<Vec<Cmd>, Error> =
                part.iter().map(|event| self.append_call(day, event, lane, remember)).collect();
            let answers = match self.copies() {
                None => self.run_all(&APPEND, calls?).await?,
                Some(copies) => self.append_with_copies(copies, part, calls?).await?,
            };
            outcomes.extend(answers.into_iter().map(|answer| appended(answer?)));
        }
        Ok(outcomes)
    }

    async fn append_once(&self, call: &Cmd) -> Result<Value, Error> {
        let Some(copies) = self.copies() else { return self.run(&APPEND, call).await };
        let answer = self.run_and_wait(copies, std::slice::from_ref(call)).await?.pop();
        Ok(answer.unwrap_or(Ok(Value::Nil))?)
    }

    /// Appends, shard by shard, because copies are those of the server that has the shard.
    async fn append_with_copies(
        &self,
        copies: &Copies,
        events: &[Event],
        calls: Vec<Cmd>,
    ) -> Result<Vec<RedisResult<Value>>, Error> {
        let mut by_shard: BTreeMap<u16, Vec<(usize, Cmd)>> = BTreeMap::new();
        for (place, (event, call)) in events.iter().zip(calls).enumerate() {
            by_shard.entry(self.keys().shard_of(&event.actor)).or_default().push((place, call));
        }
        let mut answers = Vec::with_capacity(events.len());
        for (_, placed) in by_shard {
            let (places, calls): (Vec<usize>, Vec<Cmd>) = placed.into_iter().unzip();
            answers.extend(places.into_iter().zip(self.run_and_wait(copies, &calls).await?));
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Makes appends of one shard and waits until enough copies have them. `WAIT` speaks of what was written before it on
    /// its own connection, so both go in one pipeline.
    async fn run_and_wait(&self, copies: &Copies, calls: &[Cmd]) -> Result<Vec<RedisResult<Value>>, Error> {
        let mut link = copies.link.clone();
        let mut pipe = redis::Pipeline::with_capacity(calls.len() + 1);
        let all = |pipe: &mut redis::Pipeline, calls: &mut dyn Iterator<Item = Cmd>| {
            for call in calls {
                pipe.add_command(call);
            }
            pipe.cmd("WAIT").arg(copies.wanted).arg(COPIES_WAIT_MS);
            pipe.ignore_errors();
        };
        all(&mut pipe, &mut calls.iter().cloned());
        let mut answers: Vec<RedisResult<Value>> = pipe.query_async(&mut link).await?;
        if answers.iter().any(is_unknown_script) {
            // Those that were done already are duplicates now; none of them was promised to anybody yet.
            let mut spelled = redis::Pipeline::with_capacity(calls.len() + 1);
            all(&mut spelled, &mut calls.iter().map(|call| APPEND.spelled_out(call)));
            answers = spelled.query_async(&mut link).await?;
        }
        let reached: u32 = redis::from_redis_value(answers.pop().unwrap_or(Ok(Value::Int(0)))?)?;
        if reached < copies.wanted {
            let told = format!("{reached} of {}", copies.wanted);
            return Err(RedisError::from((ErrorKind::Client, "too few copies have the event", told)).into());
        }
        Ok(answers)
    }

    fn append_call(&self, day: u64, event: &Event, lane: InLane, remember: Remember) -> Result<Cmd, Error> {
        let shard = self.keys().shard_of(&event.actor);
        let stream = self.keys().stream(shard, lane);
        let json = to_json(&stream, event)?;
        let seen = Seen::of(&event.id);
        Ok(match remember {
            Remember::Week => {
                let mut call = APPEND.call(&[stream, self.keys().seen(shard, &seen)]);
                call.arg(json).arg("week").arg(WEEK.as_millis());
                call
            }
            Remember::Business => {
                let generation = day / GENERATION_DAYS;
                let oldest = generation.saturating_sub(OLDER_GENERATIONS);
                let buckets = (oldest..=generation).rev().map(|g| self.keys().seen_bucket(shard, g, &seen));
                let keys: Vec<String> = std::iter::once(stream).chain(buckets).collect();
                let until_day = (generation + 1 + OLDER_GENERATIONS) * GENERATION_DAYS;
                let mut call = APPEND.call(&keys);
                call.arg(json).arg("business").arg(until_day * DAY_S).arg(&seen.digest);
                call
            }
        })
    }

    /// The next entries of a lane behind `after`, at most `count`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn read(&self, shard: u16, lane: InLane, after: &StreamId, count: usize) -> Result<Vec<Entry>, Error> {
        Ok(entries(self.query(&self.range(shard, lane, after, count)).await?))
    }

    /// The next entries behind a cursor, at most `count`: of the `in` lane, or of the `bulk` lane when that has none.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn read_next(&self, shard: u16, behind: &Cursor, count: usize) -> Result<(InLane, Vec<Entry>), Error> {
        // One round trip tells both lanes, as long as bulk is empty, which it mostly is.
        let mut pipe = redis::Pipeline::with_capacity(2);
        pipe.add_command(self.range(shard, InLane::In, &behind.now, count));
        pipe.add_command(self.range(shard, InLane::Bulk, &behind.bulk, 1));
        let mut lanes = self.query_all::<Vec<RawEntry>>(&pipe).await?.into_iter();
        let (now, bulk) = (lanes.next().unwrap_or_default(), lanes.next().unwrap_or_default());
        if now.is_empty() && !bulk.is_empty() {
            return Ok((InLane::Bulk, self.read(shard, InLane::Bulk, &behind.bulk, count).await?));
        }
        Ok((InLane::In, entries(now)))
    }

    fn range(&self, shard: u16, lane: InLane, after: &StreamId, count: usize) -> Cmd {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys().stream(shard, lane)).arg(format!("({}", after.0)).arg("+").arg("COUNT").arg(count);
        range
    }

    /// The last committed ids of both lanes.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn cursor(&self, shard: u16) -> Result<Cursor, Error> {
        let key = self.keys().cursor(shard);
        let text: Option<String> = self.query(redis::cmd("GET").arg(&key)).await?;
        match text {
            None => Ok(Cursor::start()),
            Some(text) => Cursor::parse(&text).ok_or_else(|| Error::unreadable(&key, "it is not two stream ids")),
        }
    }

    /// Tells other processes that shards have something to do, in one message. A hint: polling finds it too.
    ///
    /// # Errors
    /// When Redis did not answer; the caller may ignore that.
    pub async fn publish_wakes(&self, shards: &[u16]) -> Result<(), Error> {
        let shards = shards.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        self.query(redis::cmd("PUBLISH").arg(self.keys().wake()).arg(shards)).await
    }

    /// Shards that other processes woke, for as long as the connection holds; ends when it breaks.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn wakes(&self) -> Result<tokio::sync::mpsc::Receiver<u16>, Error> {
        let mut pubsub = self.way().listen().await?;
        tokio::time::timeout(CONNECT_TIMEOUT, pubsub.subscribe(self.keys().wake())).await.map_err(timed_out)??;
        let (sender, receiver) = tokio::sync::mpsc::channel(WAKES_QUEUED);
        tokio::spawn(async move {
            let mut messages = pubsub.into_on_message();
            loop {
                let message = tokio::select! {
                    message = messages.next() => message,
                    () = sender.closed() => None,
                };
                let Some(message) = message else { return };
                let Ok(shards) = message.get_payload::<String>() else { continue };
                for shard in shards.split(' ').filter_map(|shard| shard.parse().ok()) {
                    if sender.try_send(shard).is_err() {
                        tracing::debug!(shard, "a wake-up was dropped, polling will find its work");
                    }
                }
            }
        });
        Ok(receiver)
    }
}

fn entries(raw: Vec<RawEntry>) -> Vec<Entry> {
    raw.into_iter().map(|(id, fields)| Entry::read(id, &fields)).collect()
}

fn appended(answer: Value) -> Result<Appended, Error> {
    let is_new: bool = redis::from_redis_value(answer)?;
    Ok(if is_new { Appended::New } else { Appended::Duplicate })
}

/// JSON for storing at `key`.
pub(super) fn to_json<T: serde::Serialize + ?Sized>(key: &str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Unreadable { key: key.to_owned(), source })
}

/// What stands at `key`.
pub(super) fn from_json<'t, T: serde::Deserialize<'t>>(key: &str, text: &'t str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Unreadable { key: key.to_owned(), source })
}

/// The day of real time, counted from 1970.
fn real_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY_S)
}
