//! Identities: events of people who are no customers yet wait here, and go on to the customer once one is known.
//!
//! Side collection `parked`: the event by a number of fixed length, the moment it was parked in milliseconds and a
//! counter, so that the order of the names is the order of arrival. At most 1,000, for at most 90 days.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::builder::Draft;
use super::{Decision, Head, ImpossibleRecord, Record, SideNeed};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::corp::Identity;
use crate::domain::event::{Event, types};
use crate::domain::ids::ExternalUserId;
use crate::playbook::model::Playbook;

const PARKED: &str = "parked";
const EXPIRE: &str = "expire";

/// The most events that wait for one person; the oldest give way.
const MOST: usize = 1_000;

/// How long an event waits.
const KEPT: TimeDelta = TimeDelta::days(90);

/// What [`decide`] looks up for an event.
pub(super) fn needs(_event: &Event) -> Vec<SideNeed> {
    vec![SideNeed { collection: PARKED, field: None }]
}

/// Decides what an event changes for a person known by an outside name.
///
/// # Errors
/// When the record is no identity's.
pub(super) fn decide(
    _playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let Head::Identity(head) = record.head else {
        return Err(ImpossibleRecord { actor: event.actor.clone(), what: "it is no identity's record".to_owned() });
    };
    let parked = record.sides.get(PARKED).cloned().unwrap_or_default();
    let mut draft = Draft::new(head, event, now);
    match event.kind.as_str() {
        // What is parked or sent on is counted where it takes effect.
        types::IDENTITY_BOUND => bind(&mut draft, &parked)?,
        types::TIMER_FIRED => expire(&mut draft, parked),
        types::SCHEDULE_DUE
        | types::EFFECT_DONE
        | types::EFFECT_FAILED
        | types::EFFECT_DROPPED
        | types::EFFECT_HELD => {}
        _ => match draft.head.customer.clone() {
            Some(customer) => forward(&mut draft, "forward", customer, event.clone()),
            None => park(&mut draft, parked),
        },
    }
    Ok(draft.finish())
}

/// Somebody is behind the name: what waited goes on, in the order of its arrival.
///
/// A name that is bound again belongs to the latest customer: people change their numbers.
fn bind(draft: &mut Draft<'_, Identity>, parked: &BTreeMap<String, Value>) -> Result<(), ImpossibleRecord> {
    let customer = draft.event.text("customer").and_then(|id| ExternalUserId::parse(id).ok());
    let Some(customer) = customer else {
        draft.trace("a binding that names no customer");
        return Ok(());
    };
    if draft.head.customer.as_ref() != Some(&customer) {
        draft.line(draft.event.at, draft.event.kind.clone(), draft.event.data.clone());
    }
    draft.count(format!("event:{}", draft.event.kind), 1);
    draft.head.customer = Some(customer.clone());
    for (field, value) in parked {
        let event = Event::deserialize(value).map_err(|error| ImpossibleRecord {
            actor: draft.event.actor.clone(),
            what: format!("parked {field}: {error}"),
        })?;
        forward(draft, &format!("forward:{field}"), customer.clone(), event);
        draft.side(PARKED, field.as_str(), None);
    }
    if !parked.is_empty() {
        draft.cancel(EXPIRE);
    }
    Ok(())
}

/// Sends an event on to the customer; several arrive in the order in which they were sent.
fn forward(draft: &mut Draft<'_, Identity>, position: &str, customer: ExternalUserId, event: Event) {
    let next = draft.head.forwarded_at.map_or(draft.now, |at| at + TimeDelta::milliseconds(1));
    let at = next.max(draft.now);
    draft.head.forwarded_at = Some(at);
    let place = (at - draft.now).num_milliseconds();
    let order = Some((format!("forward:{}", draft.event.actor), place));
    draft.forward_in_order(position, Event { actor: Actor::Customer(customer), ..event }, order);
}

fn park(draft: &mut Draft<'_, Identity>, mut parked: BTreeMap<String, Value>) {
    let value = serde_json::to_value(draft.event).expect("an event has text keys and no infinite numbers");
    let field = next_field(&parked, draft.now);
    draft.side(PARKED, field.as_str(), Some(value.clone()));
    draft.count("parked", 1);
    let oldest = parked.keys().next().cloned();
    parked.insert(field, value);
    while parked.len() > MOST {
        let Some((field, _)) = parked.pop_first() else { break };
        draft.side(PARKED, field, None);
        draft.count("parked.dropped", 1);
        draft.trace("more than 1,000 wait: the oldest is dropped");
    }
    if parked.keys().next() != oldest.as_ref() {
        wait_for_oldest(draft, &parked);
    }
}

fn next_field(parked: &BTreeMap<String, Value>, now: At) -> String {
    let millis = now.timestamp_millis().max(0);
    let same = parked.keys().rfind(|field| arrival(field) == Some(now));
    let last = same.and_then(|field| field.split_once('.')).and_then(|(_, number)| number.parse::<u32>().ok());
    let number = last.map_or(0, |number| number.saturating_add(1));
    format!("{millis:015}.{number:05}")
}

fn arrival(field: &str) -> Option<At> {
    let (millis, _) = field.split_once('.')?;
    DateTime::from_timestamp_millis(millis.parse().ok()?)
}

fn wait_for_oldest(draft: &mut Draft<'_, Identity>, parked: &BTreeMap<String, Value>) {
    match parked.keys().next().and_then(|field| arrival(field)) {
        Some(at) => draft.timer(EXPIRE, at + KEPT),
        None => draft.cancel(EXPIRE),
    }
}

/// Nobody came for too long.
fn expire(draft: &mut Draft<'_, Identity>, mut parked: BTreeMap<String, Value>) {
    let due = parked.keys().next().and_then(|field| arrival(field)).map(|at| (at + KEPT).timestamp_millis());
    let fired = draft.event.data.get("due").and_then(Value::as_i64);
    if due.is_none() || fired != due || draft.event.text("name") != Some(EXPIRE) {
        draft.trace("a timer that nothing waits for any more");
        return;
    }
    while let Some(field) = parked.keys().next().filter(|field| arrival(field).is_some_and(|at| at + KEPT <= draft.now))
    {
        let field = field.clone();
        draft.side(PARKED, field.as_str(), None);
        draft.count("parked.expired", 1);
        parked.remove(&field);
    }
    draft.line(draft.event.at, "parked.expired", Map::new());
    wait_for_oldest(draft, &parked);
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
