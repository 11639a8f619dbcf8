//! Asks: what customers want a staff member to carry, judged by priority within hours and budget.

use std::cmp::Reverse;

use chrono::{DurationRound, TimeDelta};
use serde::Deserialize;

use super::desk::{Answer, Desk, Told, fact};
use super::guardrails::{self, Outgoing};
use super::{cards, mass, reasons};
use crate::domain::At;
use crate::domain::delivery::{Channel, DeliveryKind};
use crate::domain::ids::{DeliveryId, EffectId};
use crate::domain::staff::{Ask, StandingAsk};
use crate::playbook::model::Guardrails;

/// A customer asks.
pub(super) fn wanted(desk: &mut Desk<'_>) {
    let ask = desk.event.data.get("ask").and_then(|ask| Ask::deserialize(ask).ok());
    let Some(ask) = ask else {
        desk.draft.trace("an ask that cannot be read");
        return;
    };
    let judged_at = next_full(desk.now, TimeDelta::minutes(1));
    desk.draft.head.judge_at = Some(desk.draft.head.judge_at.map_or(judged_at, |at| at.min(judged_at)));
    let ask = Ask { collected: false, ..ask };
    desk.asks.insert(ask.delivery.clone(), StandingAsk { ask, held: None, sending: None });
}

/// A customer takes an ask back. One that is on its way already is left to the guardrails at the hand-over.
pub(super) fn withdrawn(desk: &mut Desk<'_>) {
    let Some(delivery) = desk.event.text("delivery").and_then(|id| EffectId::parse(id).ok()) else {
        desk.draft.trace("a withdrawal that names no delivery");
        return;
    };
    let reason = desk.event.text("reason").unwrap_or(reasons::WITHDRAWN).to_owned();
    if let Some(standing) = desk.asks.get(&delivery).filter(|standing| standing.sending.is_none()).cloned() {
        desk.asks.remove(&delivery);
        // The customer's budget counts it until it is sure that it has not left.
        desk.answer_ask(&standing.ask, Answer::new("refused", &reason));
    }
    cards::withdraw(desk, &delivery, &reason);
}

/// Judges the asks that wait.
pub(super) fn judge(desk: &mut Desk<'_>) {
    let waiting = desk.asks.values().filter(|standing| !standing.ask.collected && standing.sending.is_none());
    let mut order: Vec<_> = waiting
        .map(|standing| (Reverse(standing.ask.priority), standing.ask.wanted_at, standing.ask.delivery.clone()))
        .collect();
    order.sort();
    desk.draft.head.judge_at = None;
    for (_, _, delivery) in order {
        judge_one(desk, &delivery);
    }
    mass::flush_when_full(desk);
}

fn judge_one(desk: &mut Desk<'_>, delivery: &DeliveryId) {
    let Some(standing) = desk.asks.get(delivery).cloned() else { return };
    let ask = &standing.ask;
    if desk.now > ask.hold_until {
        let held_by = standing.held.as_ref().map_or(reasons::ASKED_STAFF, |(by, _)| by.as_str());
        refuse(desk, ask, vec![fact("held by", held_by)]);
        return;
    }
    match in_the_way(desk, ask) {
        None if is_mass(ask) => collect(desk, delivery),
        None => {
            let facts = weighed(desk, ask);
            desk.asks.remove(delivery);
            cards::grant(desk, standing.ask, facts);
        }
        Some((by, _)) if desk.now >= ask.hold_until => {
            let facts = [vec![fact("held by", by)], weighed(desk, ask)].concat();
            refuse(desk, ask, facts);
        }
        Some((by, until)) => hold(desk, delivery, by, until),
    }
}

/// The guardrail in the way of an ask, and when it is worth another look.
fn in_the_way(desk: &Desk<'_>, ask: &Ask) -> Option<(&'static str, At)> {
    if is_mass(ask) {
        return desk.closed(Outgoing::Nudge).map(|closed| (closed.by, closed.until));
    }
    card_in_the_way(desk)
}

/// The guardrail in the way of one more card.
pub(super) fn card_in_the_way(desk: &Desk<'_>) -> Option<(&'static str, At)> {
    if let Some(closed) = desk.closed(Outgoing::ToStaff) {
        return Some((closed.by, closed.until));
    }
    let rules = &desk.playbook.guardrails;
    let day = guardrails::fits(&rules.staff_budget, &desk.draft.head.budget, desk.today()).err()?;
    Some((reasons::STAFF_BUDGET, guardrails::opening_on_or_after(rules, desk.playbook.zone, day)))
}

/// Each guardrail that the playbook sets for an ask, with its verdict of now.
fn weighed(desk: &Desk<'_>, ask: &Ask) -> Told {
    let rules = &desk.playbook.guardrails;
    let what = if is_mass(ask) { Outgoing::Nudge } else { Outgoing::ToStaff };
    let holiday = Guardrails { holidays: rules.holidays.clone(), ..Guardrails::default() };
    let quiet = Guardrails { quiet_hours: rules.quiet_hours, ..Guardrails::default() };
    let hours = rules.working_hours.clone();
    let working = Guardrails { working_hours: hours, workdays: rules.workdays.clone(), ..Guardrails::default() };
    let alone = [
        (reasons::HOLIDAY, !rules.holidays.is_empty(), holiday),
        (reasons::QUIET_HOURS, rules.quiet_hours.is_some(), quiet),
        (reasons::WORKING_HOURS, what == Outgoing::ToStaff && rules.working_hours.is_some(), working),
    ];
    let mut facts: Told = alone
        .into_iter()
        .filter(|(_, is_set, _)| *is_set)
        .map(|(name, _, rule)| {
            let closed = guardrails::closed(&rule, desk.playbook.zone, what, desk.now);
            let until = closed.map(|closed| format!("closed until {}", desk.written(closed.until)));
            fact(name, until.unwrap_or_else(|| "open".to_owned()))
        })
        .collect();
    if what == Outgoing::ToStaff {
        let today = desk.today();
        for budget in &rules.staff_budget {
            let first = today - chrono::Days::new(u64::from(budget.days.saturating_sub(1)));
            let used: u32 = desk.draft.head.budget.range(first..=today).map(|(_, count)| count).sum();
            facts.push(fact(reasons::STAFF_BUDGET, format!("{used} of {} per {}d used", budget.count, budget.days)));
        }
    }
    facts
}

/// Holds an ask; the customer is told once for each guardrail and moment.
fn hold(desk: &mut Desk<'_>, delivery: &DeliveryId, by: &str, until: At) {
    let Some(standing) = desk.asks.get(delivery).cloned() else { return };
    let again = until.min(standing.ask.hold_until);
    desk.draft.head.judge_at = Some(desk.draft.head.judge_at.map_or(again, |at| at.min(again)));
    let held = Some((by.to_owned(), until));
    if standing.held == held {
        return;
    }
    let facts = weighed(desk, &standing.ask);
    desk.answer_ask(&standing.ask, Answer::new("held", by).with(facts).until(until));
    desk.asks.insert(delivery.clone(), StandingAsk { held, ..standing });
}

/// Takes an ask out of a mass send and holds it for another one.
pub(super) fn hold_again(desk: &mut Desk<'_>, delivery: &DeliveryId, by: &str, until: At) {
    if let Some(standing) = desk.asks.get_mut(delivery) {
        standing.ask.collected = false;
        standing.sending = None;
        hold(desk, delivery, by, until.max(desk.now + TimeDelta::minutes(1)));
    }
}

fn refuse(desk: &mut Desk<'_>, ask: &Ask, facts: Told) {
    desk.asks.remove(&ask.delivery);
    desk.answer_ask(ask, Answer::new("refused", reasons::HELD_TOO_LONG).with(facts));
}

/// Grants a mass nudge: it waits for the next flush.
fn collect(desk: &mut Desk<'_>, delivery: &DeliveryId) {
    let at = *desk.draft.head.flush_at.get_or_insert(next_full(desk.now, mass::FLUSH_EVERY));
    let Some(standing) = desk.asks.get_mut(delivery) else { return };
    standing.ask.collected = true;
    standing.held = None;
    let ask = standing.ask.clone();
    let facts = [weighed(desk, &ask), vec![fact("flush", desk.written(at))]].concat();
    desk.answer_ask(&ask, Answer::new("granted", reasons::GRANTED).with(facts));
}

/// Whether the server sends it and staff only confirm. A prompt is always a card.
fn is_mass(ask: &Ask) -> bool {
    ask.kind == DeliveryKind::Nudge && ask.channel == Channel::Mass
}

/// The next full step of the clock after `now`, never `now` itself.
fn next_full(now: At, step: TimeDelta) -> At {
    now.duration_trunc(step).map_or(now, |full| full) + step
}
