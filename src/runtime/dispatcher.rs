//! The outbox of one owned shard: effects that are due are carried out, and how each ended is settled in one script.
//!
//! A try is noted before its call, so that the next owner of the shard knows of calls whose answer was lost. What that
//! means is `wecom::effects`' to say, kind by kind.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::effect::{Call, Effect, Lane, LeftOut};
use crate::domain::event::{Event, MOST_HOPS, types};
use crate::domain::ids::{EffectId, EventId, TagName};
use crate::store::Error;
use crate::store::leases::Fence;
use crate::store::outbox::{Settled, Spoiled, Waiting};
use crate::store::streams::{InLane, Remember};
use crate::traces;
use crate::wecom::effects::{Outcome, Past};
use crate::wecom::reasons;

use super::handover::{self, Answer};
use super::services::Services;
use super::worker::panic_text;

/// Effects read in one go.
const AT_ONCE: usize = 64;
/// The most turns of one shard and lane under way; the others wait in Redis, where they cost nothing.
const MOST_UNDER_WAY: usize = 256;
/// How long tags may take to be made before a tag effect looks again; later looks are further and further apart.
const TAGS_WAIT: TimeDelta = TimeDelta::seconds(2);
/// The longest wait for tags, which nobody may be able to make.
const LONGEST_TAGS_WAIT: TimeDelta = TimeDelta::minutes(5);
/// When an effect is looked at again that needs a record which cannot be read.
const UNREADABLE_WAIT: TimeDelta = TimeDelta::minutes(1);
/// How long to wait after Redis did not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest sleep without a look at the outbox.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How long calls under way may take when the process stops.
const LAST_CALLS: Duration = Duration::from_secs(12);

/// The outbox of one shard that this process owns.
pub struct Dispatcher {
    services: Services,
    shard: u16,
    fence: Fence,
    flights: JoinSet<EffectId>,
    under_way: HashMap<EffectId, Lane>,
}

impl Dispatcher {
    /// Nothing is under way yet.
    #[must_use]
    pub fn new(services: Services, shard: u16, fence: Fence) -> Self {
        Self { services, shard, fence, flights: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Carries out what is due until `finish` (calls under way are waited for) or `lost` (they are cancelled).
    pub async fn run(mut self, finish: CancellationToken, lost: CancellationToken) {
        while !finish.is_cancelled() && !lost.is_cancelled() {
            let sleep = match self.start_due().await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::warn!(shard = self.shard, %error, "the outbox cannot be read; trying again");
                    PAUSE
                }
            };
            tokio::select! {
                Some(landed) = self.flights.join_next(), if !self.flights.is_empty() => self.land(landed.ok()),
                () = self.services.wakes.outbox(self.shard) => {}
                () = tokio::time::sleep(sleep) => {}
                () = finish.cancelled() => {}
                () = lost.cancelled() => {}
            }
        }
        if lost.is_cancelled() {
            self.flights.abort_all();
            return;
        }
        let flights = async { while self.flights.join_next().await.is_some() {} };
        tokio::select! {
            () = flights => {}
            () = tokio::time::sleep(LAST_CALLS) => {}
            () = lost.cancelled() => {}
        }
        self.flights.abort_all();
    }

    fn land(&mut self, landed: Option<EffectId>) {
        match landed {
            Some(id) => drop(self.under_way.remove(&id)),
            // A turn that broke off is not known by name; everything is looked at again.
            None if self.flights.is_empty() => self.under_way.clear(),
            None => {}
        }
    }

    /// Starts what is due and free to go; gives how long until something else may be due.
    async fn start_due(&mut self) -> Result<Duration, Error> {
        while let Some(landed) = self.flights.try_join_next() {
            self.land(landed.ok());
        }
        let now = self.services.clock.now();
        let under_way = |lane: Lane| self.under_way.values().filter(|other| **other == lane).count();
        let (urgent, normal) = (under_way(Lane::Urgent), under_way(Lane::Normal));
        let room = |under_way: usize| MOST_UNDER_WAY.saturating_sub(under_way).min(AT_ONCE);
        let (most_urgent, most_normal) = (room(urgent) + urgent, room(normal) + normal);
        let outboxes = self.services.store.outboxes(self.shard, now, most_urgent, most_normal).await?;
        self.start_all(Lane::Urgent, outboxes.urgent, room(urgent)).await?;
        self.start_all(Lane::Normal, outboxes.normal, room(normal)).await?;
        Ok(outboxes.next.map_or(LONGEST_SLEEP, |next| sleep_until(next, self.services.clock.now())))
    }

    /// Starts those that are not under way yet, at most so many.
    async fn start_all(&mut self, lane: Lane, due: Vec<EffectId>, most: usize) -> Result<(), Error> {
        let fresh: Vec<EffectId> = due.into_iter().filter(|id| !self.under_way.contains_key(id)).take(most).collect();
        for waiting in self.services.store.effects(self.shard, &fresh).await? {
            match waiting {
                Ok(waiting) => self.start(waiting),
                Err(spoiled) => self.set_aside(lane, &spoiled).await?,
            }
        }
        Ok(())
    }

    fn start(&mut self, waiting: Waiting) {
        let id = waiting.effect.id.clone();
        self.under_way.insert(id.clone(), waiting.effect.lane);
        let turn = Turn { services: self.services.clone(), shard: self.shard, fence: self.fence.clone() };
        let step = self.services.busy.begin();
        self.flights.spawn(async move {
            let _step = step;
            let step = traces::going_on("effect", waiting.effect.trace.as_deref());
            step.record("effect.id", id.as_str()).record("effect.kind", waiting.effect.call.kind());
            turn.take(&waiting).instrument(step).await;
            id
        });
    }

    async fn set_aside(&self, lane: Lane, spoiled: &Spoiled) -> Result<(), Error> {
        tracing::error!(shard = self.shard, effect.id = %spoiled.id, error = spoiled.error, "an effect is set aside");
        metrics::counter!("touchpoint_dead_letters_total").increment(1);
        self.services.store.set_effect_aside(self.shard, &self.fence, lane, spoiled).await?;
        Ok(())
    }
}

/// Not at once even when overdue: what is overdue is under way.
fn sleep_until(next: At, now: At) -> Duration {
    let wait = (next - now).to_std().unwrap_or(Duration::from_millis(50));
    wait.clamp(Duration::from_millis(1), LONGEST_SLEEP)
}

/// One effect's turn.
struct Turn {
    services: Services,
    shard: u16,
    fence: Fence,
}

impl Turn {
    async fn take(&self, waiting: &Waiting) {
        let (id, now) = (&waiting.effect.id, self.services.clock.now());
        let settled = match AssertUnwindSafe(self.try_once(waiting)).catch_unwind().await {
            Ok(Ok(settled)) => settled,
            Ok(Err(error @ (Error::Unreadable { .. } | Error::Unfit(_)))) => {
                tracing::error!(effect.id = %id, %error, "an effect waits for a record that cannot be read");
                let (at, unanswered) = (now + UNREADABLE_WAIT, waiting.unanswered);
                Settled::Again { at, unanswered, counts: false, event: None }
            }
            Ok(Err(error)) => {
                tracing::warn!(effect.id = %id, %error, "redis did not answer during an effect; it is taken up again");
                return tokio::time::sleep(PAUSE).await;
            }
            // The same would happen again, and whether a call was made is not known.
            Err(panic) => {
                tracing::error!(effect.id = %id, panic = panic_text(panic.as_ref()), "an effect's turn panicked");
                over(failed(&waiting.effect, reasons::OUTCOME_UNKNOWN, waiting.tries, now))
            }
        };
        self.settle(&waiting.effect, &settled).await;
    }

    /// Writes down how the turn ended, as often as it takes: a result that is not written would be a call made again.
    async fn settle(&self, effect: &Effect, settled: &Settled) {
        let is_ours = loop {
            match self.services.store.settle(self.shard, &self.fence, effect, settled).await {
                Ok(is_ours) => break is_ours,
                Err(error) => {
                    tracing::warn!(effect.id = %effect.id, %error, "a result is not written yet; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let (event, result) = match settled {
            Settled::Over { event } => (event, "over"),
            Settled::Again { event, .. } => (event, "again"),
        };
        if is_ours && event.is_some() {
            self.services.wakes.appended(self.shard);
        }
        let result = if is_ours { result } else { "fenced" };
        tracing::Span::current().record("result", result);
        metrics::counter!("touchpoint_effects_total", "kind" => effect.call.kind(), "result" => result).increment(1);
    }

    async fn try_once(&self, waiting: &Waiting) -> Result<Settled, Error> {
        let effect = &waiting.effect;
        if let Call::Tell { event } = &effect.call {
            return self.tell(effect, event).await;
        }
        let calls = match effect.lane {
            Lane::Urgent => &self.services.urgent_calls,
            Lane::Normal => &self.services.normal_calls,
        };
        // Before anything is asked: what guardrails say must hold when the call is made, not when it got in line for it.
        let _permit = calls.acquire().await.expect("the semaphore is never closed");
        let now = self.services.clock.now();
        if now > effect.valid_until && !(waiting.unanswered && can_ask_what_became(&effect.call)) {
            return Ok(over(given_up(waiting, reasons::TOO_LATE, now)));
        }
        let effect = match handover::ask(&self.services, effect, waiting.unanswered, now).await? {
            Answer::Go => None,
            Answer::GoAs(changed) => Some(changed),
            Answer::Nothing(changed) => return Ok(over(done(&changed, Map::new(), waiting.tries, now))),
            Answer::Drop { by } => return Ok(over(given_up(waiting, &by, now))),
            Answer::Hold { until, by } => return Ok(self.hold(waiting, until, by, now)),
            Answer::TagsMissing(tags) => return self.ask_for_tags(effect, &tags, false, now).await,
        };
        self.call(waiting, effect.as_deref(), now).await
    }

    async fn call(&self, waiting: &Waiting, changed: Option<&Effect>, now: At) -> Result<Settled, Error> {
        let effect = changed.unwrap_or(&waiting.effect);
        if !self.services.store.begin_try(self.shard, &self.fence, &effect.id, changed).await? {
            // Gone or not ours any more; the settle that follows is refused by the fence or finds nothing.
            return Ok(Settled::Over { event: None });
        }
        let tags = match &effect.call {
            Call::Tag { add, remove, .. } => {
                let named: Vec<&TagName> = add.iter().chain(remove).collect();
                self.services.tags.ids(&self.services.store, &named).await?
            }
            _ => std::collections::BTreeMap::new(),
        };
        let past = Past { tries: waiting.tries, unanswered: waiting.unanswered };
        let outcome = self.services.wecom.perform(effect, past, &tags).await;
        let tries = waiting.tries + 1;
        Ok(match outcome {
            Outcome::Done(answer) => over(done(effect, answer, tries, self.services.clock.now())),
            Outcome::Failed { errcode: Some(TAG_UNKNOWN), .. } if may_refresh(effect, tries) => {
                let Call::Tag { add, remove, .. } = &effect.call else {
                    unreachable!("may_refresh looks for a tag call")
                };
                let tags: Vec<TagName> = add.iter().chain(remove).cloned().collect();
                self.services.tags.forget(&tags);
                self.ask_for_tags(effect, &tags, true, now).await?
            }
            Outcome::Failed { reason, errcode, message } => {
                let data = json!({ "reason": reason, "errcode": errcode, "message": message, "tries": tries,
                    "answer": Value::Object(left_out_of(effect)) });
                over(result(effect, types::EFFECT_FAILED, "", self.services.clock.now(), data))
            }
            Outcome::Again { after, counts, unanswered, reason } => {
                tracing::warn!(effect.id = %effect.id, effect.kind = effect.call.kind(), %reason, counts, unanswered,
                    "a call did not succeed; it will be made again");
                let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::minutes(1));
                Settled::Again { at: self.services.clock.now() + after, unanswered, counts, event: None }
            }
        })
    }

    /// An event for another actor: appended there once, whatever is repeated.
    async fn tell(&self, effect: &Effect, event: &Event) -> Result<Settled, Error> {
        if event.hops > MOST_HOPS {
            metrics::counter!("touchpoint_hops_exceeded_total").increment(1);
            tracing::error!(effect.id = %effect.id, event.kind = %event.kind, "an event passed on too often is dropped");
            return Ok(Settled::Over { event: None });
        }
        self.services.store.append(event, InLane::In, Remember::Week).await?;
        self.services.wakes.appended(event.actor.shard(self.services.store.shards()));
        Ok(Settled::Over { event: None })
    }

    fn hold(&self, waiting: &Waiting, until: At, by: String, now: At) -> Settled {
        let effect = &waiting.effect;
        // A verdict that names a moment already past would spin.
        let until = until.max(now + TimeDelta::seconds(1));
        let milliseconds = until.timestamp_millis();
        let data = json!({ "reason": by, "until": milliseconds });
        let event = result(effect, types::EFFECT_HELD, &format!(".{milliseconds}"), now, data);
        Settled::Again { at: until, unanswered: waiting.unanswered, counts: false, event: Some(event) }
    }

    /// The corp has tags looked up or made; the effect looks again a little later.
    async fn ask_for_tags(&self, effect: &Effect, tags: &[TagName], refresh: bool, now: At) -> Result<Settled, Error> {
        // One question a minute is enough, however many effects wait for the same tags.
        let minute = now.timestamp() / 60;
        let names: Vec<&str> = tags.iter().map(TagName::as_str).collect();
        let id = format!("tags.missing:{refresh}:{minute}:{}", names.join("|"));
        let id: String = id.chars().take(120).collect();
        let event = Event {
            id: EventId::parse(id).expect("120 characters are fewer than 512 bytes"),
            kind: types::TAGS_MISSING.to_owned(),
            actor: Actor::Corp,
            at: now,
            data: Map::from_iter([
                ("tags".to_owned(), json!(names)),
                ("refresh".to_owned(), json!(refresh)),
                ("effect".to_owned(), json!(effect.id.as_str())),
            ]),
            hops: 0,
            trace: traces::here(),
        };
        self.services.store.append(&event, InLane::In, Remember::Week).await?;
        self.services.wakes.appended(Actor::Corp.shard(self.services.store.shards()));
        let wait = ((now - effect.not_before) / 2).clamp(TAGS_WAIT, LONGEST_TAGS_WAIT);
        Ok(Settled::Again { at: now + wait, unanswered: false, counts: refresh, event: None })
    }
}

/// WeCom does not know a tag id (document 90313).
const TAG_UNKNOWN: i64 = 40068;

/// Tags are looked up anew once or twice, then the failure stands.
fn may_refresh(effect: &Effect, tries: u32) -> bool {
    matches!(effect.call, Call::Tag { .. }) && tries <= 2
}

/// Calls that find out what became of an earlier try instead of doing the same again.
fn can_ask_what_became(call: &Call) -> bool {
    matches!(call, Call::Welcome { .. } | Call::MassSend { .. })
}

/// What will not go out any more; but when a try went without an answer, nobody can say that it did not.
fn given_up(waiting: &Waiting, reason: &str, now: At) -> Event {
    if waiting.unanswered {
        return failed(&waiting.effect, reasons::OUTCOME_UNKNOWN, waiting.tries, now);
    }
    let answer = Value::Object(left_out_of(&waiting.effect));
    let data = json!({ "reason": reason, "tries": waiting.tries, "answer": answer });
    result(&waiting.effect, types::EFFECT_DROPPED, "", now, data)
}

fn failed(effect: &Effect, reason: &str, tries: u32, now: At) -> Event {
    let data = json!({ "reason": reason, "tries": tries, "answer": Value::Object(left_out_of(effect)) });
    result(effect, types::EFFECT_FAILED, "", now, data)
}

fn over(event: Event) -> Settled {
    Settled::Over { event: Some(event) }
}

fn done(effect: &Effect, mut answer: Map<String, Value>, tries: u32, now: At) -> Event {
    answer.extend(left_out_of(effect));
    if matches!(effect.call, Call::FetchProfile { .. }) {
        answer.insert("effect".to_owned(), json!(effect.id.as_str()));
        let data = Value::Object(answer);
        return result(effect, types::CONTACT_PROFILE, "", now, data);
    }
    result(effect, types::EFFECT_DONE, "", now, json!({ "answer": answer, "tries": tries }))
}

/// `dropped` and `held`: recipients whom a guardrail took out at the hand-over.
fn left_out_of(effect: &Effect) -> Map<String, Value> {
    let Call::MassSend { left_out, .. } = &effect.call else { return Map::new() };
    let told = |out: &LeftOut| {
        json!({ "customer": out.recipient.customer.as_str(), "delivery": out.recipient.delivery.as_str(),
            "reason": out.reason, "until": out.until.map(|until| until.timestamp_millis()) })
    };
    let (held, dropped): (Vec<&LeftOut>, Vec<&LeftOut>) = left_out.iter().partition(|out| out.until.is_some());
    let list = |outs: Vec<&LeftOut>| Value::from(outs.into_iter().map(told).collect::<Vec<_>>());
    Map::from_iter([("held".to_owned(), list(held)), ("dropped".to_owned(), list(dropped))])
}

/// A result for the actor that asked. `data` is an object.
fn result(effect: &Effect, kind: &str, suffix: &str, now: At, data: Value) -> Event {
    let short = kind.rsplit('.').next().unwrap_or(kind);
    let mut fields = match data {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    fields.insert("effect".to_owned(), json!(effect.id.as_str()));
    fields.insert("call".to_owned(), json!(effect.call.kind()));
    if let Call::Tag { userid, add, remove, .. } = &effect.call
        && (kind == types::EFFECT_FAILED || kind == types::EFFECT_DROPPED)
    {
        // The record has to be put right about every one of them.
        fields.extend(
            [("userid", json!(userid)), ("add", json!(add)), ("remove", json!(remove))]
                .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    Event {
        id: EventId::parse(format!("{}.{short}{suffix}", effect.id)).expect("an effect's id and a word are short"),
        kind: kind.to_owned(),
        actor: effect.actor.clone(),
        at: now,
        data: fields,
        hops: 0,
        trace: traces::here().or_else(|| effect.trace.clone()),
    }
}
