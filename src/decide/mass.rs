//! Mass sends (企业群发): collected, flushed by equal message, followed until every recipient's outcome is known.
//!
//! WeCom makes a task that the staff member has to confirm and reports nothing by itself (WeCom documents 92135, 93338),
//! so a task is asked after until the last answer is there or it expires.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveTime, TimeDelta, TimeZone};
use serde_json::Value;

use super::cards::refusal;
use super::desk::{Answer, Desk, fact, moment};
use super::guardrails::Outgoing;
use super::reasons;
use super::{asks, card_words};
use crate::domain::At;
use crate::domain::effect::{Call, Recipient};
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, EffectId, ExternalUserId};
use crate::domain::staff::{Ask, OpenMass};

/// Collected asks leave at each full step of the clock.
pub(super) const FLUSH_EVERY: TimeDelta = TimeDelta::minutes(5);

/// The most recipients of one task (WeCom document 92135).
const MOST_RECIPIENTS: usize = 10_000;

/// A task that was not made this long after its flush is given up.
const VALID: TimeDelta = TimeDelta::hours(1);

/// A question or reminder that cannot be put for this long is put again later.
const VALID_QUESTION: TimeDelta = TimeDelta::hours(6);

/// When a task is asked after, from its making; then each morning at [`MORNING`].
const POLLS: [TimeDelta; 3] = [TimeDelta::minutes(5), TimeDelta::minutes(30), TimeDelta::hours(3)];

/// When its sender is reminded, from its making. WeCom allows three reminders a day (WeCom document 97610).
const REMINDERS: [TimeDelta; 2] = [TimeDelta::hours(24), TimeDelta::hours(48)];

/// An unconfirmed task expires after this long.
const EXPIRES: TimeDelta = TimeDelta::days(7);

/// How many characters of a text the digest needs to show which one it is.
const EXCERPT: usize = 40;

fn morning() -> NaiveTime {
    NaiveTime::from_hms_opt(9, 30, 0).unwrap_or_default()
}

/// Flushes at once when a task would be full.
pub(super) fn flush_when_full(desk: &mut Desk<'_>) {
    if desk.asks.values().filter(|standing| standing.ask.collected).count() >= MOST_RECIPIENTS {
        flush(desk);
    }
}

/// Turns what was collected into tasks, one for each message; guardrails are asked again.
pub(super) fn flush(desk: &mut Desk<'_>) {
    desk.draft.head.flush_at = None;
    let collected = desk.asks.values().filter(|standing| standing.ask.collected && standing.sending.is_none());
    let collected: Vec<Ask> = collected.map(|standing| standing.ask.clone()).collect();
    if let Some(closed) = desk.closed(Outgoing::Nudge) {
        for ask in collected {
            asks::hold_again(desk, &ask.delivery, closed.by, closed.until);
        }
        return;
    }
    let mut groups: BTreeMap<String, Vec<Ask>> = BTreeMap::new();
    for ask in collected {
        let message = serde_json::to_string(&ask.message).unwrap_or_default();
        groups.entry(message).or_default().push(ask);
    }
    let tasks: Vec<Vec<Ask>> = groups.into_values().flat_map(into_tasks).collect();
    for (number, asks) in tasks.into_iter().enumerate() {
        make(desk, number, asks);
    }
}

/// Splits asks with one message into tasks: not too many in one, and no customer twice.
fn into_tasks(asks: Vec<Ask>) -> Vec<Vec<Ask>> {
    let mut tasks: Vec<(BTreeSet<ExternalUserId>, Vec<Ask>)> = Vec::new();
    for ask in asks {
        let fits = |(customers, asks): &&mut (BTreeSet<ExternalUserId>, Vec<Ask>)| {
            asks.len() < MOST_RECIPIENTS && !customers.contains(&ask.customer)
        };
        match tasks.iter_mut().find(fits) {
            Some((customers, asks)) => {
                customers.insert(ask.customer.clone());
                asks.push(ask);
            }
            None => tasks.push((BTreeSet::from([ask.customer.clone()]), vec![ask])),
        }
    }
    tasks.into_iter().map(|(_, asks)| asks).collect()
}

fn make(desk: &mut Desk<'_>, number: usize, asks: Vec<Ask>) {
    let Some(message) = asks.first().map(|ask| ask.message.clone()) else { return };
    let sender = desk.draft.head.id.clone();
    let recipients =
        asks.iter().map(|ask| Recipient { customer: ask.customer.clone(), delivery: ask.delivery.clone() }).collect();
    let latest = asks.iter().map(|ask| ask.hold_until).max().unwrap_or(desk.now);
    // After an uncertain outcome the sender's task list is read, so one sender's tasks are made one after another.
    let serial = Some(format!("mass:{}", sender.folded()));
    let call = Call::MassSend { sender, recipients, message: message.clone(), left_out: Vec::new() };
    let effect = desk.effect(&format!("mass:{number}"), call, VALID.max(latest - desk.now), serial);
    let recipients = asks.iter().map(|ask| (ask.customer.clone(), ask.delivery.clone())).collect();
    for ask in &asks {
        if let Some(standing) = desk.asks.get_mut(&ask.delivery) {
            standing.sending = Some(effect.clone());
        }
    }
    let open = OpenMass {
        effect: effect.clone(),
        msgid: None,
        recipients,
        text: card_words::text(&message).chars().take(EXCERPT).collect(),
        made_at: desk.now,
        polls: 0,
        asked: None,
        next_poll: desk.now + EXPIRES,
        reminders: 0,
        reminds_next: false,
        wakes_at: None,
    };
    desk.mass.insert(effect, open);
}

/// What became of a task's making.
pub(super) fn made(desk: &mut Desk<'_>, effect: &EffectId) {
    let Some(mass) = desk.mass.get(effect).cloned() else {
        desk.draft.trace(format!("mass send {effect} is not known any more"));
        return;
    };
    let reason = desk.event.text("reason").unwrap_or_default().to_owned();
    match desk.event.kind.as_str() {
        types::EFFECT_DONE => taken(desk, mass),
        types::EFFECT_FAILED => {
            let reason = if reason.is_empty() { reasons::WECOM_REFUSED } else { reason.as_str() };
            let facts = refusal(desk);
            end_all(desk, &mass, &Answer::new("failed", reason).with(facts));
        }
        types::EFFECT_DROPPED => end_all(desk, &mass, &Answer::new("refused", &reason)),
        _ => {
            let until = moment(desk.event.data.get("until"));
            for (customer, delivery) in &mass.recipients {
                desk.answer((customer, delivery), Answer { until, ..Answer::new("held", &reason) });
            }
        }
    }
}

/// Ends every delivery of a task the same way.
fn end_all(desk: &mut Desk<'_>, mass: &OpenMass, answer: &Answer<'_>) {
    for (customer, delivery) in &mass.recipients {
        desk.asks.remove(delivery);
        desk.answer((customer, delivery), answer.clone());
    }
    desk.mass.remove(&mass.effect);
}

/// WeCom made the task; some recipients may not be among it.
fn taken(desk: &mut Desk<'_>, mut mass: OpenMass) {
    leave_out(desk, &mut mass);
    mass.msgid = desk.event.data.get("answer").and_then(|answer| text(answer, "msgid")).map(str::to_owned);
    let Some(msgid) = mass.msgid.clone() else {
        // Without a name nobody can ask what became of it; with nobody left there is nothing to ask.
        end_all(desk, &mass, &Answer::new("failed", reasons::OUTCOME_UNKNOWN));
        return;
    };
    for (customer, delivery) in &mass.recipients {
        desk.asks.remove(delivery);
        let answer = Answer::new("sent", reasons::WAITS_FOR_SENDER).with(vec![fact("msgid", msgid.clone())]);
        desk.answer((customer, delivery), answer);
    }
    if mass.recipients.is_empty() {
        desk.mass.remove(&mass.effect);
        return;
    }
    mass.made_at = desk.now;
    mass.next_poll = desk.now + POLLS[0];
    mass.wakes_at = Some(mass.next_poll);
    desk.mass.insert(mass.effect.clone(), mass);
}

/// Takes those out of a task whom WeCom refused or guardrails stopped at the hand-over.
fn leave_out(desk: &mut Desk<'_>, mass: &mut OpenMass) {
    let answer = desk.event.data.get("answer").cloned().unwrap_or_default();
    for entry in list(&answer, "held") {
        let Some((_, delivery)) = recipient(mass, text(entry, "customer")) else { continue };
        let until = moment(entry.get("until")).unwrap_or(desk.now);
        asks::hold_again(desk, &delivery, text(entry, "reason").unwrap_or(reasons::PAUSED), until);
    }
    for entry in list(&answer, "dropped") {
        let Some((customer, delivery)) = recipient(mass, text(entry, "customer")) else { continue };
        desk.asks.remove(&delivery);
        let reason = text(entry, "reason").unwrap_or(reasons::WITHDRAWN);
        desk.answer((&customer, &delivery), Answer::new("refused", reason));
    }
    for entry in list(&answer, "fail_list") {
        let Some((customer, delivery)) = recipient(mass, entry.as_str()) else { continue };
        desk.asks.remove(&delivery);
        let facts = vec![fact("fail_list", customer.as_str())];
        desk.answer((&customer, &delivery), Answer::new("failed", reasons::WECOM_REFUSED).with(facts));
    }
}

/// Takes a recipient out of a task, if it is one.
fn recipient(mass: &mut OpenMass, customer: Option<&str>) -> Option<(ExternalUserId, DeliveryId)> {
    let customer = ExternalUserId::parse(customer?).ok()?;
    mass.recipients.remove_entry(&customer)
}

fn list<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A task's timer fired: it expires, is asked after, or its sender is reminded.
pub(super) fn wake(desk: &mut Desk<'_>, effect: &EffectId) {
    let Some(mut mass) = desk.mass.get(effect).cloned() else { return };
    let Some(msgid) = mass.msgid.clone() else { return };
    let expires_at = mass.made_at + EXPIRES;
    if desk.now >= expires_at {
        end_all(desk, &mass, &Answer::new("failed", reasons::NOT_CONFIRMED));
        return;
    }
    let reminder_at = see_to_reminder(desk, &mut mass);
    if desk.now >= mass.next_poll || mass.reminds_next {
        let call = Call::MassResult { sender: desk.draft.head.id.clone(), msgid };
        mass.asked = Some(desk.effect(&format!("poll:{effect}"), call, VALID_QUESTION, None));
        mass.polls += 1;
        mass.next_poll = next_poll(desk, &mass);
    }
    mass.wakes_at = Some(reminder_at.unwrap_or(expires_at).min(mass.next_poll).min(expires_at));
    desk.mass.insert(effect.clone(), mass);
}

fn next_poll(desk: &Desk<'_>, mass: &OpenMass) -> At {
    let early = POLLS.iter().map(|after| mass.made_at + *after).find(|at| *at > desk.now);
    early.unwrap_or_else(|| {
        let zone = desk.playbook.zone;
        let mornings = desk.today().iter_days().take(3);
        let moments = mornings.filter_map(|day| zone.from_local_datetime(&day.and_time(morning())).earliest());
        moments.map(|at| at.to_utc()).find(|at| *at > desk.now).unwrap_or(desk.now + TimeDelta::days(1))
    })
}

/// Has the sender reminded when it is time; the task is asked after first, so that nobody is reminded of what is done.
/// When to look again, if at all.
fn see_to_reminder(desk: &Desk<'_>, mass: &mut OpenMass) -> Option<At> {
    let nth = usize::try_from(mass.reminders).ok()?;
    let at = mass.made_at + *REMINDERS.get(nth)?;
    if desk.now < at {
        return Some(at);
    }
    if let Some(closed) = desk.closed(Outgoing::ToStaff) {
        return Some(closed.until);
    }
    mass.reminds_next = true;
    // A reminder that hours held back takes the place of those that fell due meanwhile.
    let passed = REMINDERS.iter().filter(|after| mass.made_at + **after <= desk.now).count();
    mass.reminders = u32::try_from(passed).unwrap_or(u32::MAX);
    REMINDERS.get(passed).map(|after| mass.made_at + *after)
}

/// WeCom says what became of a task's recipients.
pub(super) fn polled(desk: &mut Desk<'_>, asked: &EffectId) {
    let found = desk.mass.values().find(|mass| mass.asked.as_ref() == Some(asked)).cloned();
    let (Some(mut mass), types::EFFECT_DONE) = (found, desk.event.kind.as_str()) else {
        desk.draft.trace("no news of a mass send; it is asked after again later");
        return;
    };
    let answer = desk.event.data.get("answer").cloned().unwrap_or_default();
    for entry in list(&answer, "results") {
        outcome(desk, &mut mass, entry);
    }
    if mass.recipients.is_empty() {
        desk.mass.remove(&mass.effect);
        return;
    }
    if let Some(msgid) = mass.msgid.clone().filter(|_| mass.reminds_next) {
        desk.effect(&format!("remind:{}", mass.effect), Call::MassRemind { msgid }, VALID_QUESTION, None);
        desk.draft.count("staff.mass_reminded", 1);
        mass.reminds_next = false;
    }
    desk.mass.insert(mass.effect.clone(), mass);
}

/// One recipient's outcome, by WeCom's status: 0 not yet, 1 sent, 2 no friend, 3 limit reached (WeCom document 93338).
fn outcome(desk: &mut Desk<'_>, mass: &mut OpenMass, entry: &Value) {
    let (state, reason) = match entry.get("status").and_then(Value::as_i64) {
        Some(1) => ("confirmed", reasons::CONFIRMED),
        Some(2) => ("failed", reasons::NO_FRIEND),
        Some(3) => ("failed", reasons::LIMIT_REACHED),
        _ => return,
    };
    let Some((customer, delivery)) = recipient(mass, text(entry, "customer")) else { return };
    let sent_at = entry.get("send_time").and_then(Value::as_i64).and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    let facts = sent_at.filter(|_| state == "confirmed").map(|at| fact("send_time", desk.written(at)));
    desk.answer((&customer, &delivery), Answer::new(state, reason).with(facts.into_iter().collect()));
}

/// When an unconfirmed task expires; the digest sorts by it.
pub(super) fn expires_at(mass: &OpenMass) -> At {
    mass.made_at + EXPIRES
}

/// Whether the sender still has to confirm it.
pub(super) fn is_unconfirmed(mass: &OpenMass) -> bool {
    mass.msgid.is_some() && !mass.recipients.is_empty()
}
