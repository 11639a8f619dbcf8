//! Effects that wait for their call.
//!
//! An effect is a hash with its frozen body and how its tries went, and stands in the sorted set of its lane at the
//! earliest moment it may go. It stays in both while a call is under way, so a process that dies in between leaves it to
//! the next owner as a try that nobody knows the end of.
//!
//! Effects with the same serial stand in a queue, in the order in which they were decided; only the first is in its
//! outbox. So whoever owns the shard keeps their order, and however many wait behind one, none is looked at in vain.

use chrono::DateTime;
use redis::{Cmd, RedisResult, Value};

use crate::domain::At;
use crate::domain::effect::{Effect, Lane};
use crate::domain::event::Event;
use crate::domain::ids::EffectId;

use super::leases::Fence;
use super::records::is_wrong_type;
use super::scripts::{BEGIN_TRY, SETTLE};
use super::streams::{InLane, to_json};
use super::writing::DEAD_KEPT;
use super::{Error, Store};

/// An effect as it stands in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The frozen effect.
    pub effect: Effect,
    /// How many tries have begun.
    pub tries: u32,
    /// The latest try has begun and nobody knows how it ended.
    pub unanswered: bool,
}

/// An effect that stands in the outbox but cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoiled {
    /// Its name.
    pub id: EffectId,
    serial: Option<String>,
    held: String,
    /// What is wrong with it.
    pub error: String,
}

/// How a try ended, for the outbox.
#[derive(Debug, Clone)]
pub enum Settled {
    /// Over: the effect is removed and the event, if any, enters the actor's stream.
    Over {
        /// The result.
        event: Option<Event>,
    },
    /// Not over: it is due again at `at`; `unanswered` says whether nobody knows how the try ended.
    ///
    /// Also for an effect that a guardrail holds before any try: then `unanswered` and `counts` change nothing. The
    /// event enters the stream when the effect moves to another moment or a try was under way, so that a repeat tells
    /// nothing twice.
    Again {
        /// When, in business time.
        at: At,
        /// Whether nobody knows how this try ended.
        unanswered: bool,
        /// Whether this try counts; a refused connection does not.
        counts: bool,
        /// Told to the actor, such as `effect.held`.
        event: Option<Event>,
    },
}

/// What waits in the outboxes of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outboxes {
    /// Urgent effects that are due, the earliest first.
    pub urgent: Vec<EffectId>,
    /// All others that are due, the earliest first.
    pub normal: Vec<EffectId>,
    /// The earliest moment of any effect; past when one is due.
    pub next: Option<At>,
}

impl Settled {
    fn event(&self) -> Option<&Event> {
        match self {
            Self::Over { event } | Self::Again { event, .. } => event.as_ref(),
        }
    }
}

impl Store {
    /// Effects of one lane due at `now`, the earliest first, at most `most`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn due_effects(&self, shard: u16, lane: Lane, now: At, most: usize) -> Result<Vec<EffectId>, Error> {
        Ok(known(self.query(&due(&self.keys().outbox(shard, lane), now, most)).await?))
    }

    /// What waits in both outboxes of a shard, of each at most so many that are due, in one round trip.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn outboxes(&self, shard: u16, now: At, urgent: usize, normal: usize) -> Result<Outboxes, Error> {
        let mut pipe = redis::Pipeline::with_capacity(4);
        for (lane, most) in [(Lane::Urgent, urgent), (Lane::Normal, normal)] {
            let outbox = self.keys().outbox(shard, lane);
            pipe.add_command(due(&outbox, now, most));
            pipe.cmd("ZRANGE").arg(outbox).arg(0).arg(0).arg("WITHSCORES");
        }
        type First = Vec<(String, i64)>;
        let answers: (Vec<String>, First, Vec<String>, First) = pipe.query_async(&mut self.link()).await?;
        let (urgent, first_urgent, normal, first_normal) = answers;
        let next = first_urgent.into_iter().chain(first_normal).map(|(_, ms)| ms).min();
        let next = next.and_then(DateTime::from_timestamp_millis);
        Ok(Outboxes { urgent: known(urgent), normal: known(normal), next })
    }

    /// Reads effects of one lane; those that are gone without a trace are spoiled as well.
    ///
    /// # Errors
    /// The outer one when Redis did not answer; the inner ones when a single effect cannot be read.
    pub async fn effects(&self, shard: u16, ids: &[EffectId]) -> Result<Vec<Result<Waiting, Spoiled>>, Error> {
        let mut pipe = redis::pipe();
        for id in ids {
            let key = self.keys().effect(shard, id);
            pipe.cmd("HMGET").arg(key).arg("json").arg("tries").arg("last_try").arg("serial");
        }
        let answers = self.outcomes(&mut pipe).await?;
        ids.iter().zip(answers).map(|(id, answer)| waiting(id, answer)).collect()
    }

    /// Notes that a try begins, before the call is made; `body` replaces the frozen effect (recipients that guardrails
    /// took out). False when the fence is old or the effect is gone: make no call.
    ///
    /// # Errors
    /// When Redis did not answer: make no call.
    pub async fn begin_try(
        &self,
        shard: u16,
        fence: &Fence,
        id: &EffectId,
        body: Option<&Effect>,
    ) -> Result<bool, Error> {
        let key = self.keys().effect(shard, id);
        let body = body.map(|body| to_json(&key, body)).transpose()?.unwrap_or_default();
        let mut call = BEGIN_TRY.call(&[self.keys().fence(shard), key]);
        call.arg(&fence.0).arg(body);
        self.run(&BEGIN_TRY, &call).await
    }

    /// Settles a try: result and removal are one script, and the next of its serial may go. False when the fence is old.
    ///
    /// # Errors
    /// When Redis did not answer; a repeat is harmless. [`Error::Unreadable`] when the event is for an actor of another
    /// shard: nothing happened.
    pub async fn settle(&self, shard: u16, fence: &Fence, effect: &Effect, settled: &Settled) -> Result<bool, Error> {
        let stream = self.keys().stream(shard, InLane::In);
        let event = match settled.event() {
            None => String::new(),
            Some(event) if self.keys().shard_of(&event.actor) == shard => to_json(&stream, event)?,
            Some(event) => {
                let key = self.keys().effect(shard, &effect.id);
                return Err(Error::unreadable(&key, format!("{} is of another shard", event.actor)));
            }
        };
        let mut call = self.ending(shard, &effect.id, effect.serial.as_deref(), stream);
        call.arg(&fence.0).arg(effect.id.as_str()).arg(effect.lane.name()).arg(event);
        match settled {
            Settled::Over { .. } => call.arg("over"),
            Settled::Again { at, unanswered, counts, .. } => call
                .arg("again")
                .arg(at.timestamp_millis())
                .arg(if *unanswered { "unanswered" } else { "answered" })
                .arg(if *counts { "counts" } else { "free" }),
        };
        self.run(&SETTLE, &call).await
    }

    /// Sets an effect aside as a dead letter, and the next of its serial may go. False when the fence is old.
    ///
    /// # Errors
    /// When Redis did not answer; a repeat is harmless.
    pub async fn set_effect_aside(
        &self,
        shard: u16,
        fence: &Fence,
        lane: Lane,
        spoiled: &Spoiled,
    ) -> Result<bool, Error> {
        let dead = self.keys().dead(shard);
        let mut call = self.ending(shard, &spoiled.id, spoiled.serial.as_deref(), dead);
        call.arg(&fence.0).arg(spoiled.id.as_str()).arg(lane.name()).arg(&spoiled.held);
        call.arg("aside").arg(&spoiled.error).arg(DEAD_KEPT);
        self.run(&SETTLE, &call).await
    }

    fn ending(&self, shard: u16, id: &EffectId, serial: Option<&str>, told: String) -> redis::Cmd {
        let keys = self.keys();
        let [normal, urgent] = [Lane::Normal, Lane::Urgent].map(|lane| keys.outbox(shard, lane));
        let mut touched = vec![keys.fence(shard), normal, urgent, keys.effect(shard, id), told];
        touched.extend(serial.map(|serial| keys.queue(shard, serial)));
        SETTLE.call(&touched)
    }
}

/// Asks for the effects of an outbox that are due.
fn due(outbox: &str, now: At, most: usize) -> Cmd {
    let mut range = redis::cmd("ZRANGE");
    range.arg(outbox).arg("-inf").arg(now.timestamp_millis()).arg("BYSCORE").arg("LIMIT").arg(0).arg(most);
    range
}

/// Only a hand could have written a name that is none; it must not keep the others waiting.
fn known(ids: Vec<String>) -> Vec<EffectId> {
    ids.into_iter().filter_map(|id| EffectId::parse(id).ok()).collect()
}

/// What Redis holds of one effect. Any refusal but that of a key of another type is about Redis, not about the effect.
fn waiting(id: &EffectId, answer: RedisResult<Value>) -> Result<Result<Waiting, Spoiled>, Error> {
    let spoiled = |held: &str, serial: Option<String>, error: String| {
        Ok(Err(Spoiled { id: id.clone(), serial, held: held.to_owned(), error: format!("effect {id}: {error}") }))
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if is_wrong_type(&error) => return spoiled("", None, error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let (json, tries, last_try, serial): (Option<String>, Option<String>, Option<String>, Option<String>) =
        redis::from_redis_value(answer)?;
    let Some(json) = json else { return spoiled("", serial, "there is nothing of it but its place".to_owned()) };
    let Ok(tries) = tries.as_deref().unwrap_or("0").parse() else {
        return spoiled(&json, serial, "its tries are no number".to_owned());
    };
    let unanswered = matches!(last_try.as_deref(), Some("begun" | "unanswered"));
    match serde_json::from_str::<Effect>(&json) {
        Ok(effect) if effect.id == *id && effect.serial == serial => Ok(Ok(Waiting { effect, tries, unanswered })),
        Ok(_) => spoiled(&json, serial, "its body is another effect's".to_owned()),
        Err(error) => spoiled(&json, serial, error.to_string()),
    }
}
