//! Timers that come due.
//!
//! A timer is a member `<actor>|<name>` of the shard's sorted set, scored by the moment it is due. Names hold no `|`, so
//! the last one parts the two whatever an outside name looks like.

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::effect::Lane;
use crate::domain::event::{Event, types};
use crate::domain::ids::EventId;

use super::leases::Fence;
use super::scripts::FIRE;
use super::streams::{InLane, to_json};
use super::writing::DEAD_KEPT;
use super::{Error, Store};

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Whose.
    pub actor: Actor,
    /// Its name within the actor.
    pub name: String,
    /// When.
    pub at: At,
}

/// What became of due timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// How many moved into the stream; all or none.
    pub moved: usize,
    /// When those that were due came due, the earliest first.
    pub due: Vec<At>,
    /// When the next one comes due, which may be already.
    pub next: Option<At>,
}

/// A timer as the sorted set knows it.
pub(super) fn member(actor: &Actor, name: &str) -> String {
    format!("{actor}|{name}")
}

impl Timer {
    fn read(member: &str, due_ms: i64) -> Result<Self, String> {
        let (actor, name) = member.rsplit_once('|').ok_or("the timer has no name")?;
        let actor = actor.parse().map_err(|error| format!("the timer is nobody's: {error}"))?;
        let at = DateTime::from_timestamp_millis(due_ms).ok_or("the timer is due at no moment")?;
        Ok(Self { actor, name: name.to_owned(), at })
    }

    /// What becomes of it when it is due.
    fn fired(&self) -> Result<Event, String> {
        let due = self.at.timestamp_millis();
        let id =
            EventId::parse(format!("timer:{}:{}:{due}", self.actor, self.name)).map_err(|error| error.to_string())?;
        let mut data = Map::new();
        data.insert("name".to_owned(), Value::from(self.name.as_str()));
        data.insert("due".to_owned(), Value::from(due));
        Ok(Event {
            id,
            kind: types::TIMER_FIRED.to_owned(),
            actor: self.actor.clone(),
            at: self.at,
            data,
            hops: 0,
            trace: None,
        })
    }
}

impl Store {
    /// Moves timers due at `now` into the `in` stream as `timer.fired` events, at most `most` in one script, the earliest
    /// first. Nothing moves when the fence is old.
    ///
    /// A member that cannot be read as a timer is set aside as a dead letter, and counted.
    ///
    /// # Errors
    /// When Redis did not answer; each timer moved or did not, never both or half.
    pub async fn fire_due(&self, shard: u16, fence: &Fence, now: At, most: usize) -> Result<Fired, Error> {
        let timers = self.keys().timers(shard);
        // One more than may move: it is the next one.
        let mut range = redis::cmd("ZRANGE");
        range.arg(&timers).arg(0).arg(most).arg("WITHSCORES");
        let earliest: Vec<(String, i64)> = self.query(&range).await?;
        let now_ms = now.timestamp_millis();
        let count = earliest.iter().take(most).take_while(|(_, due_ms)| *due_ms <= now_ms).count();
        let (due, later) = earliest.split_at(count);
        let moment = |(_, ms): &(String, i64)| DateTime::from_timestamp_millis(*ms);
        let next = later.first().and_then(moment);
        if due.is_empty() {
            return Ok(Fired { moved: 0, due: Vec::new(), next });
        }
        let stream = self.keys().stream(shard, InLane::In);
        let mut call = FIRE.call(&[self.keys().fence(shard), timers.clone(), stream, self.keys().dead(shard)]);
        call.arg(&fence.0).arg(DEAD_KEPT);
        for (member, due_ms) in due {
            call.arg(member).arg(due_ms);
            match Timer::read(member, *due_ms).and_then(|timer| timer.fired()) {
                Ok(event) => call.arg(to_json(&timers, &event)?).arg(""),
                Err(wrong) => call.arg(member).arg(wrong),
            };
        }
        let moved = self.run(&FIRE, &call).await?;
        Ok(Fired { moved, due: due.iter().filter_map(moment).collect(), next })
    }

    /// When the shard's earliest timer comes due.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn next_timer(&self, shard: u16) -> Result<Option<At>, Error> {
        let mut first = redis::cmd("ZRANGE");
        first.arg(self.keys().timers(shard)).arg(0).arg(0).arg("WITHSCORES");
        let first: Vec<(String, i64)> = self.query(&first).await?;
        Ok(first.first().and_then(|(_, ms)| DateTime::from_timestamp_millis(*ms)))
    }

    /// When the shard's earliest timer and earliest effect come due, whichever is first.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn next_due(&self, shard: u16) -> Result<Option<At>, Error> {
        let mut pipe = redis::pipe();
        let places = [
            self.keys().timers(shard),
            self.keys().outbox(shard, Lane::Normal),
            self.keys().outbox(shard, Lane::Urgent),
        ];
        for place in places {
            pipe.cmd("ZRANGE").arg(place).arg(0).arg(0).arg("WITHSCORES");
        }
        let earliest: Vec<Vec<(String, i64)>> = self.query_all(&pipe).await?;
        Ok(earliest.into_iter().flatten().map(|(_, ms)| ms).min().and_then(DateTime::from_timestamp_millis))
    }

    /// The timers of one actor, for people, the earliest first.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn timers_of(&self, actor: &Actor) -> Result<Vec<Timer>, Error> {
        let key = self.keys().timers(self.keys().shard_of(actor));
        let pattern = format!("{}|*", escape_glob(&actor.to_string()));
        let mut timers = Vec::new();
        let mut cursor: u64 = 0;
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(&key).arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, found): (u64, Vec<(String, i64)>) = self.query(&scan).await?;
            // A longer name may begin with this one and a bar.
            let read = found.iter().filter_map(|(member, due)| Timer::read(member, *due).ok());
            timers.extend(read.filter(|timer| timer.actor == *actor));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        timers.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        // A scan may meet a member twice while the set grows.
        timers.dedup();
        Ok(timers)
    }
}

fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
