//! What a staff member's record makes of an event.
//!
//! A customer asks (`delivery.wanted`); asks are judged together at the next full minute, by priority, within the staff
//! budget and hours. What is granted becomes a card at once or waits for the next flush of mass sends. The customer's
//! record is told of every turn (`delivery.answered`) and alone keeps the delivery.

use super::desk::{ASKS, CARD_TIMER, CARDS, DIGEST, Desk, FLUSH, JUDGE, MASS, MASS_TIMER};
use super::{Decision, ImpossibleRecord, Record, SideNeed, asks, cards, digest, mass, taps};
use crate::domain::At;
use crate::domain::event::{Event, types};
use crate::domain::ids::EffectId;
use crate::playbook::model::Playbook;

/// What [`decide`] looks up for an event.
pub(super) fn needs(event: &Event) -> Vec<SideNeed> {
    let all = |collection| SideNeed { collection, field: None };
    let one = |collection, field: Option<&str>| {
        field.map(|field| SideNeed { collection, field: Some(field.to_owned()) }).into_iter().collect::<Vec<_>>()
    };
    match event.kind.as_str() {
        types::DELIVERY_WITHDRAWN => [one(ASKS, event.text("delivery")), vec![all(CARDS)]].concat(),
        // A tap may be on a card that another has taken the place of.
        types::STAFF_CARD => vec![all(CARDS)],
        types::SCHEDULE_DUE => vec![all(CARDS), all(MASS)],
        types::TIMER_FIRED => match event.text("name").unwrap_or_default() {
            JUDGE | FLUSH => vec![all(ASKS)],
            DIGEST => vec![all(CARDS), all(MASS)],
            name => [one(CARDS, name.strip_prefix(CARD_TIMER)), one(MASS, name.strip_prefix(MASS_TIMER))].concat(),
        },
        types::EFFECT_DONE | types::EFFECT_FAILED | types::EFFECT_DROPPED | types::EFFECT_HELD => {
            match event.text("call").unwrap_or_default() {
                "staff_card" => one(CARDS, event.text("effect")),
                "mass_send" => [one(MASS, event.text("effect")), vec![all(ASKS)]].concat(),
                "mass_result" => vec![all(MASS)],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// Decides what an event changes for a staff member.
///
/// # Errors
/// When the record cannot be what it says.
pub(super) fn decide(
    playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let mut desk = Desk::lay_out(playbook, record, event, now)?;
    match event.kind.as_str() {
        types::DELIVERY_WANTED => asks::wanted(&mut desk),
        types::DELIVERY_WITHDRAWN => asks::withdrawn(&mut desk),
        types::STAFF_CARD => taps::tapped(&mut desk),
        types::SCHEDULE_DUE if event.text("schedule") == Some(DIGEST) => digest::due(&mut desk),
        types::TIMER_FIRED => timer(&mut desk),
        types::EFFECT_DONE | types::EFFECT_FAILED | types::EFFECT_DROPPED | types::EFFECT_HELD => result(&mut desk),
        _ => {}
    }
    Ok(desk.finish())
}

fn timer(desk: &mut Desk<'_>) {
    let Some(name) = desk.fired() else {
        desk.draft.trace("a timer that nothing waits for any more");
        return;
    };
    let target = |prefix: &str| name.strip_prefix(prefix).and_then(|id| EffectId::parse(id).ok());
    match name.as_str() {
        JUDGE => asks::judge(desk),
        FLUSH => mass::flush(desk),
        DIGEST => digest::due(desk),
        _ => {
            if let Some(task) = target(CARD_TIMER) {
                cards::wake(desk, &task);
            } else if let Some(effect) = target(MASS_TIMER) {
                mass::wake(desk, &effect);
            }
        }
    }
}

fn result(desk: &mut Desk<'_>) {
    let Some(effect) = desk.event.text("effect").and_then(|id| EffectId::parse(id).ok()) else {
        desk.draft.trace("a result that names no effect");
        return;
    };
    match desk.event.text("call").unwrap_or_default() {
        "staff_card" => cards::result(desk, &effect),
        "mass_send" => mass::made(desk, &effect),
        "mass_result" => mass::polled(desk, &effect),
        call => {
            let kind = &desk.event.kind;
            desk.draft.trace(format!("{kind} of {call}: nothing waits for it"));
        }
    }
}

#[cfg(test)]
#[path = "staff_world.rs"]
mod world;

#[cfg(test)]
#[path = "staff_tests.rs"]
mod tests;
