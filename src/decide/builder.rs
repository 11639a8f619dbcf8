//! Decisions in the making: what an event changes is noted here piece by piece, then handed out whole.
//!
//! The draft derives ids, hops and order from the event, so that the same event decided again gives the same decision.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Decision, Head, SideChange, TimerChange};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::delivery::Delivery;
use crate::domain::effect::{Call, Effect, Lane};
use crate::domain::event::{Event, MOST_HOPS};
use crate::domain::ids::{EffectId, EventId, SegmentId};
use crate::domain::timeline::Line;

/// How long a message between actors may wait; only a shard without an owner makes it wait at all.
const TELL_DAYS: i64 = 30;

/// When an effect may go, in which lane, and behind which others.
#[derive(Debug, Clone)]
pub(super) struct Going {
    /// Which outbox it waits in.
    pub(super) lane: Lane,
    /// Not before.
    pub(super) not_before: At,
    /// Not after.
    pub(super) valid_until: At,
    /// Never at once with others of the same text.
    pub(super) serial: Option<String>,
}

/// A decision in the making, over a head that the caller changes in place.
#[derive(Debug)]
pub(super) struct Draft<'a, H> {
    /// The actor's head, to be changed.
    pub(super) head: H,
    /// What is decided.
    pub(super) event: &'a Event,
    /// Business time.
    pub(super) now: At,
    sides: Vec<SideChange>,
    timers: BTreeMap<String, Option<At>>,
    effects: Vec<Effect>,
    deliveries: Vec<Delivery>,
    memberships: BTreeMap<SegmentId, bool>,
    counters: BTreeMap<String, i64>,
    lines: Vec<Line>,
    trace: Vec<String>,
}

impl<'a, H> Draft<'a, H> {
    /// A decision that changes nothing yet.
    pub(super) fn new(head: H, event: &'a Event, now: At) -> Self {
        Self {
            head,
            event,
            now,
            sides: Vec::new(),
            timers: BTreeMap::new(),
            effects: Vec::new(),
            deliveries: Vec::new(),
            memberships: BTreeMap::new(),
            counters: BTreeMap::new(),
            lines: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// The id of what this event asks for at `position`.
    pub(super) fn id(&self, position: &str) -> EffectId {
        EffectId::derive(&self.event.id, &self.event.actor, position)
    }

    /// Asks for a call; its id comes from the event and `position`, which must be one of a kind within the decision.
    pub(super) fn effect(
        &mut self,
        position: &str,
        call: Call,
        lane: Lane,
        not_before: At,
        valid_until: At,
        serial: Option<String>,
    ) -> EffectId {
        let id = self.id(position);
        self.effect_as(id.clone(), call, Going { lane, not_before, valid_until, serial });
        id
    }

    /// Asks for a call under an id that was settled earlier, such as a delivery's.
    pub(super) fn effect_as(&mut self, id: EffectId, call: Call, going: Going) {
        let Going { lane, not_before, valid_until, serial } = going;
        let actor = self.event.actor.clone();
        let (hops, trace) = (self.event.hops, self.event.trace.clone());
        self.effects.push(Effect { id, actor, lane, not_before, valid_until, serial, hops, trace, call });
    }

    /// Tells another actor something, as an event that happened now. Nothing when the chain of actors is too long.
    pub(super) fn tell(
        &mut self,
        position: &str,
        actor: Actor,
        kind: &str,
        data: Map<String, Value>,
    ) -> Option<EffectId> {
        let event =
            Event { id: self.event.id.clone(), kind: kind.to_owned(), actor, at: self.now, data, hops: 0, trace: None };
        self.forward(position, event)
    }

    /// Tells another actor something that happened before: type, time and data stay, id and hops are set here.
    pub(super) fn forward(&mut self, position: &str, event: Event) -> Option<EffectId> {
        self.forward_in_order(position, event, None)
    }

    /// Like [`Draft::forward`]; several events with the same text arrive in the order of their places.
    pub(super) fn forward_in_order(
        &mut self,
        position: &str,
        event: Event,
        order: Option<(String, i64)>,
    ) -> Option<EffectId> {
        let hops = self.event.hops.saturating_add(1);
        if hops > MOST_HOPS {
            self.trace(format!(
                "{} is not told {}: {MOST_HOPS} decisions lie behind this one",
                event.actor, event.kind
            ));
            self.count("hops.exceeded", 1);
            return None;
        }
        let id = self.id(position);
        // What was kept until now goes on in the trace in which it came.
        let trace = event.trace.or_else(|| self.event.trace.clone());
        let event = Event { id: EventId::parse(id.as_str()).ok()?, hops, trace, ..event };
        let valid_until = self.now + chrono::TimeDelta::days(TELL_DAYS);
        let (serial, place) = order.map_or((None, 0), |(serial, place)| (Some(serial), place));
        // Waiting effects are ordered by their earliest moment, so a place is a millisecond.
        let not_before = self.now + chrono::TimeDelta::milliseconds(place);
        let going = Going { lane: Lane::Urgent, not_before, valid_until, serial };
        self.effect_as(id.clone(), Call::Tell { event: Box::new(event) }, going);
        Some(id)
    }

    /// Sets a timer, or moves it.
    pub(super) fn timer(&mut self, name: impl Into<String>, at: At) {
        self.timers.insert(name.into(), Some(at));
    }

    /// Takes a timer back; harmless when there is none.
    pub(super) fn cancel(&mut self, name: impl Into<String>) {
        self.timers.insert(name.into(), None);
    }

    /// Adds to a counter of the day.
    pub(super) fn count(&mut self, key: impl Into<String>, by: i64) {
        *self.counters.entry(key.into()).or_default() += by;
    }

    /// Writes a line into the actor's timeline.
    pub(super) fn line(&mut self, at: At, kind: impl Into<String>, data: Map<String, Value>) {
        self.lines.push(Line { at, kind: kind.into(), event: self.event.id.clone(), data });
    }

    /// Changes a field of a side collection; none removes it.
    pub(super) fn side(&mut self, collection: &'static str, field: impl Into<String>, value: Option<Value>) {
        self.sides.push(SideChange { collection, field: field.into(), value });
    }

    /// Notes that a segment was entered (true) or left (false); the last word counts.
    pub(super) fn member(&mut self, segment: SegmentId, inside: bool) {
        self.memberships.insert(segment, inside);
    }

    /// Hands out a delivery that took a turn, whole.
    pub(super) fn delivery(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// Says what was weighed.
    pub(super) fn trace(&mut self, text: impl Into<String>) {
        self.trace.push(text.into());
    }

    /// The same draft over another head.
    pub(super) fn with_head<N>(self, head: N) -> Draft<'a, N> {
        Draft {
            head,
            event: self.event,
            now: self.now,
            sides: self.sides,
            timers: self.timers,
            effects: self.effects,
            deliveries: self.deliveries,
            memberships: self.memberships,
            counters: self.counters,
            lines: self.lines,
            trace: self.trace,
        }
    }
}

impl<H: Into<Head>> Draft<'_, H> {
    /// The decision, whole.
    pub(super) fn finish(self) -> Decision {
        let timers = self.timers.into_iter().map(|(name, at)| match at {
            Some(at) => TimerChange::Set { name, at },
            None => TimerChange::Cancel { name },
        });
        Decision {
            head: self.head.into(),
            sides: self.sides,
            timers: timers.collect(),
            effects: self.effects,
            deliveries: self.deliveries,
            memberships: self.memberships.into_iter().collect(),
            counters: self.counters,
            lines: self.lines,
            trace: self.trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::types;

    fn event(trace: Option<&str>) -> Event {
        Event {
            id: EventId::parse("1").unwrap(),
            kind: types::ORDER_PAID.to_owned(),
            actor: Actor::Corp,
            at: At::UNIX_EPOCH,
            data: Map::new(),
            hops: 0,
            trace: trace.map(str::to_owned),
        }
    }

    #[test]
    fn what_an_event_leads_to_goes_on_in_its_trace() {
        let decided = event(Some("ours"));
        let mut draft = Draft::new((), &decided, At::UNIX_EPOCH);
        draft.tell("told", Actor::Corp, types::TAGS_MISSING, Map::new());
        draft.forward("kept", event(Some("earlier")));
        let traces: Vec<(Option<&str>, Option<&str>)> = draft
            .effects
            .iter()
            .map(|effect| match &effect.call {
                Call::Tell { event } => (effect.trace.as_deref(), event.trace.as_deref()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(traces, [(Some("ours"), Some("ours")), (Some("ours"), Some("earlier"))]);
    }
}
