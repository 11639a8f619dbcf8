//! A staff member's desk: the record laid out for one decision, and what was changed on it written down at the end.
//!
//! Asks, cards and mass sends are changed in plain maps. Which fields of the side collections changed, and which timers
//! follow from that, is worked out once, when the decision is handed out, so that no branch can forget a timer.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::builder::Draft;
use super::guardrails::{self, Closed, Outgoing};
use super::{Decision, Head, ImpossibleRecord, Record, moments};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::effect::{Call, Lane};
use crate::domain::event::{Event, types};
use crate::domain::ids::{DeliveryId, EffectId, ExternalUserId};
use crate::domain::staff::{Ask, OpenCard, OpenMass, Staff, StandingAsk};
use crate::playbook::model::Playbook;

/// Side collection of asks, by delivery id.
pub(super) const ASKS: &str = "asks";
/// Side collection of cards, by task id.
pub(super) const CARDS: &str = "cards";
/// Side collection of mass sends, by effect id.
pub(super) const MASS: &str = "mass";

/// Timer: the asks that wait are judged.
pub(super) const JUDGE: &str = "judge";
/// Timer: the collected mass sends are flushed.
pub(super) const FLUSH: &str = "flush";
/// Timer: a digest that was held back goes out.
pub(super) const DIGEST: &str = "digest";
/// Timer: something is to be done about a card; followed by its task id.
pub(super) const CARD_TIMER: &str = "card:";
/// Timer: something is to be done about a mass send; followed by its effect id.
pub(super) const MASS_TIMER: &str = "mass:";

/// Words about a delivery: name and value, as `why` shows them.
pub(super) type Told = Vec<(String, String)>;

/// The record laid out.
pub(super) struct Desk<'a> {
    pub(super) playbook: &'a Playbook,
    pub(super) event: &'a Event,
    pub(super) now: At,
    /// The head, ids and effects in the making.
    pub(super) draft: Draft<'a, Staff>,
    /// Asks by delivery, as far as they were needed.
    pub(super) asks: BTreeMap<DeliveryId, StandingAsk>,
    /// Cards by task, as far as they were needed.
    pub(super) cards: BTreeMap<EffectId, OpenCard>,
    /// Mass sends by effect, as far as they were needed.
    pub(super) mass: BTreeMap<EffectId, OpenMass>,
    before: Before,
    /// How many answers this decision gives about a delivery: they must arrive in order.
    answered: BTreeMap<DeliveryId, i64>,
}

struct Before {
    asks: BTreeMap<DeliveryId, StandingAsk>,
    cards: BTreeMap<EffectId, OpenCard>,
    mass: BTreeMap<EffectId, OpenMass>,
    /// Timers as the scheduler has them, as far as the record that was handed over tells.
    timers: BTreeMap<String, At>,
}

impl<'a> Desk<'a> {
    /// Lays a record out.
    ///
    /// # Errors
    /// When it is not a staff member's, or a side collection holds what cannot be read.
    pub(super) fn lay_out(
        playbook: &'a Playbook,
        record: Record,
        event: &'a Event,
        now: At,
    ) -> Result<Self, ImpossibleRecord> {
        let impossible = |what: String| ImpossibleRecord { actor: event.actor.clone(), what };
        let Head::Staff(head) = record.head else { return Err(impossible("it is no staff record".to_owned())) };
        let asks: BTreeMap<DeliveryId, StandingAsk> = read(&record.sides, ASKS).map_err(impossible)?;
        let cards: BTreeMap<EffectId, OpenCard> = read(&record.sides, CARDS).map_err(impossible)?;
        let mass: BTreeMap<EffectId, OpenMass> = read(&record.sides, MASS).map_err(impossible)?;
        let timers = timers(&head, &cards, &mass);
        let before = Before { asks: asks.clone(), cards: cards.clone(), mass: mass.clone(), timers };
        let mut draft = Draft::new(head, event, now);
        draft.count(format!("event:{}", event.kind), 1);
        Ok(Self { playbook, event, now, draft, asks, cards, mass, before, answered: BTreeMap::new() })
    }

    /// The name of the timer that fired; none when the record does not wait for it any more.
    pub(super) fn fired(&mut self) -> Option<String> {
        let name = self.event.text("name")?;
        let due = self.before.timers.get(name)?.timestamp_millis();
        if self.event.data.get("due").and_then(Value::as_i64) != Some(due) {
            return None;
        }
        self.before.timers.remove(name);
        Some(name.to_owned())
    }

    /// The calendar day it is.
    pub(super) fn today(&self) -> NaiveDate {
        guardrails::day_of(self.playbook.zone, self.now)
    }

    /// What is in the way of something that goes out now.
    pub(super) fn closed(&self, what: Outgoing) -> Option<Closed> {
        guardrails::closed(&self.playbook.guardrails, self.playbook.zone, what, self.now)
    }

    /// A moment as facts hold it.
    pub(super) fn written(&self, at: At) -> String {
        moments::written(self.playbook.zone, at)
    }

    /// Takes one card off the budget of today.
    pub(super) fn count_card(&mut self) {
        let today = self.today();
        let longest = self.playbook.guardrails.staff_budget.iter().map(|budget| budget.days).max().unwrap_or(0);
        if longest > 0 {
            let first = today - chrono::Days::new(u64::from(longest));
            self.draft.head.budget.retain(|day, _| *day > first);
            *self.draft.head.budget.entry(today).or_default() += 1;
        }
    }

    /// Gives one card back to the budget of a day.
    pub(super) fn uncount_card(&mut self, day: Option<NaiveDate>) {
        let Some((day, count)) = day.and_then(|day| self.draft.head.budget.get_mut(&day).map(|count| (day, count)))
        else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.draft.head.budget.remove(&day);
        }
    }

    /// Asks for a call in the normal lane, now.
    pub(super) fn effect(&mut self, position: &str, call: Call, valid: TimeDelta, serial: Option<String>) -> EffectId {
        self.draft.effect(position, call, Lane::Normal, self.now, self.now + valid, serial)
    }

    /// What keeps the answers about a delivery in their order.
    pub(super) fn answers_about(delivery: &DeliveryId) -> String {
        format!("answer:{delivery}")
    }

    /// Answers a customer about a delivery.
    pub(super) fn answer(&mut self, whose: (&ExternalUserId, &DeliveryId), answer: Answer<'_>) {
        let (customer, delivery) = whose;
        let facts: Vec<Value> = answer.facts.iter().map(|(name, value)| json!([name, value])).collect();
        let mut data = Map::new();
        data.insert("delivery".to_owned(), json!(delivery));
        data.insert("state".to_owned(), json!(answer.state));
        data.insert("reason".to_owned(), json!(answer.reason));
        data.insert("facts".to_owned(), Value::Array(facts));
        data.insert("staff".to_owned(), json!(self.draft.head.id));
        if let Some(until) = answer.until {
            data.insert("until".to_owned(), json!(until.timestamp_millis()));
        }
        if let Some(due) = answer.due {
            data.insert("due".to_owned(), json!(due.timestamp_millis()));
        }
        let position = format!("answer:{delivery}:{}", answer.state);
        let place = self.answered.entry(delivery.clone()).or_default();
        let order = Some((Self::answers_about(delivery), *place));
        *place += 1;
        let event = Event {
            id: self.event.id.clone(),
            kind: types::DELIVERY_ANSWERED.to_owned(),
            actor: Actor::Customer(customer.clone()),
            at: self.now,
            data,
            hops: 0,
            trace: None,
        };
        self.draft.forward_in_order(&position, event, order);
    }

    /// Answers the customer of an ask.
    pub(super) fn answer_ask(&mut self, ask: &Ask, answer: Answer<'_>) {
        self.answer((&ask.customer, &ask.delivery), answer);
    }

    /// The decision: the head, changed fields of side collections, and the timers that follow from both.
    pub(super) fn finish(mut self) -> Decision {
        write(&mut self.draft, ASKS, &self.before.asks, &self.asks);
        write(&mut self.draft, CARDS, &self.before.cards, &self.cards);
        write(&mut self.draft, MASS, &self.before.mass, &self.mass);
        let timers = timers(&self.draft.head, &self.cards, &self.mass);
        for (name, at) in &timers {
            if self.before.timers.get(name) != Some(at) {
                self.draft.timer(name.clone(), *at);
            }
        }
        for name in self.before.timers.into_keys().filter(|name| !timers.contains_key(name)) {
            self.draft.cancel(name);
        }
        self.draft.finish()
    }
}

/// What a customer is told about a delivery.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer<'a> {
    /// `held`, `granted`, `sent`, `confirmed`, `snoozed`, `dismissed`, `reminded`, `escalated`, `failed` or `refused`.
    pub(super) state: &'static str,
    /// From the vocabulary of reasons.
    pub(super) reason: &'a str,
    /// What the reason speaks of.
    pub(super) facts: Told,
    /// When it is looked at again.
    pub(super) until: Option<At>,
    /// A prompt's due time, counted from its sending.
    pub(super) due: Option<At>,
}

impl<'a> Answer<'a> {
    /// A state and its reason.
    pub(super) fn new(state: &'static str, reason: &'a str) -> Self {
        Self { state, reason, ..Self::default() }
    }

    /// With what the reason speaks of.
    pub(super) fn with(self, facts: Told) -> Self {
        Self { facts, ..self }
    }

    /// With the moment of the next look.
    pub(super) fn until(self, until: At) -> Self {
        Self { until: Some(until), ..self }
    }
}

/// One fact.
pub(super) fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// The moment in an event's field, in milliseconds.
pub(super) fn moment(value: Option<&Value>) -> Option<At> {
    value.and_then(Value::as_i64).and_then(chrono::DateTime::from_timestamp_millis)
}

fn timers(
    head: &Staff,
    cards: &BTreeMap<EffectId, OpenCard>,
    mass: &BTreeMap<EffectId, OpenMass>,
) -> BTreeMap<String, At> {
    let own = [(JUDGE, head.judge_at), (FLUSH, head.flush_at), (DIGEST, head.digest_at)];
    let own = own.into_iter().map(|(name, at)| (name.to_owned(), at));
    let cards = cards.iter().map(|(task, card)| (format!("{CARD_TIMER}{task}"), card.wakes_at));
    let mass = mass.iter().map(|(effect, mass)| (format!("{MASS_TIMER}{effect}"), mass.wakes_at));
    own.chain(cards).chain(mass).filter_map(|(name, at)| Some((name, at?))).collect()
}

type Sides = BTreeMap<String, BTreeMap<String, Value>>;

fn read<T: DeserializeOwned>(sides: &Sides, collection: &str) -> Result<BTreeMap<EffectId, T>, String> {
    let Some(fields) = sides.get(collection) else { return Ok(BTreeMap::new()) };
    let read = |(field, value): (&String, &Value)| {
        let at = |error: &dyn std::fmt::Display| format!("{collection} {field}: {error}");
        let id = EffectId::parse(field.as_str()).map_err(|error| at(&error))?;
        let value = T::deserialize(value).map_err(|error| at(&error))?;
        Ok((id, value))
    };
    fields.iter().map(read).collect()
}

fn write<T: Serialize + PartialEq>(
    draft: &mut Draft<'_, Staff>,
    collection: &'static str,
    before: &BTreeMap<EffectId, T>,
    after: &BTreeMap<EffectId, T>,
) {
    for (id, value) in after.iter().filter(|(id, value)| before.get(*id) != Some(*value)) {
        let value = serde_json::to_value(value).expect("a record has text keys and no infinite numbers");
        draft.side(collection, id.as_str(), Some(value));
    }
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        draft.side(collection, id.as_str(), None);
    }
}
