//! Taps: what a staff member's answer on a card changes.

use chrono::TimeDelta;
use serde_json::{Map, json};

use super::desk::{Answer, Desk, fact};
use super::{card_words, cards, reasons};
use crate::domain::delivery::DeliveryKind;
use crate::domain::ids::EffectId;
use crate::domain::staff::{CardState, Closing, OpenCard};

/// A staff member tapped a button.
///
/// Every tap is answered with its own code: WeCom leaves the buttons alive until then, also on a card that was closed
/// long ago.
pub(super) fn tapped(desk: &mut Desk<'_>) {
    let Some(task) = desk.event.text("task_id").and_then(|id| EffectId::parse(id).ok()) else {
        desk.draft.trace("a tap that names no card of ours");
        return;
    };
    let key = desk.event.text("key").unwrap_or_default().to_owned();
    note(desk, &task, &key);
    let standing = cards::standing_for(desk, &task);
    let Some((task, card)) = standing.and_then(|task| desk.cards.get(&task).cloned().map(|card| (task, card))) else {
        answer_tap(desk, card_words::gone(desk.playbook.locale));
        return;
    };
    if card.state == CardState::Closed {
        answer_tap(desk, card_words::closed(&card, desk.playbook.locale));
        return;
    }
    match (key.as_str(), card.ask.kind) {
        (card_words::DONE, DeliveryKind::Prompt) => confirm(desk, &task, &card, Closing::Done),
        (card_words::SENT, DeliveryKind::Nudge) => confirm(desk, &task, &card, Closing::Sent),
        (card_words::DISMISS, _) => confirm(desk, &task, &card, Closing::Dismissed),
        (card_words::SNOOZE, _) => snooze(desk, &task, &card),
        _ => desk.draft.trace(format!("card {task} has no button {key:?}")),
    }
}

fn note(desk: &mut Desk<'_>, task: &EffectId, key: &str) {
    let mut data = Map::new();
    data.insert("task_id".to_owned(), json!(task));
    data.insert("key".to_owned(), json!(key));
    desk.draft.line(desk.event.at, desk.event.kind.clone(), data);
}

/// Done, sent or dismissed: the card is over.
fn confirm(desk: &mut Desk<'_>, task: &EffectId, card: &OpenCard, closing: Closing) {
    let (state, reason, key) = match closing {
        Closing::Done => ("confirmed", reasons::DONE, card_words::DONE),
        Closing::Sent => ("confirmed", reasons::SENT_BY_STAFF, card_words::SENT),
        Closing::Dismissed | Closing::Withdrawn | Closing::Expired => {
            ("dismissed", reasons::DISMISSED, card_words::DISMISS)
        }
    };
    // A tap can overtake WeCom's answer to the sending.
    cards::tell_sent(desk, task, Vec::new());
    desk.answer_ask(&card.ask, Answer::new(state, reason).with(vec![fact("tapped", key)]));
    cards::close(desk, task, closing);
    let words = desk.cards.get(task).map(|card| card_words::closed(card, desk.playbook.locale));
    answer_tap(desk, words.unwrap_or_default());
}

/// Puts a card off. A second tap says so again and moves nothing.
fn snooze(desk: &mut Desk<'_>, task: &EffectId, card: &OpenCard) {
    let wait = TimeDelta::from_std(desk.playbook.staff.snooze).unwrap_or(TimeDelta::hours(4));
    let until = card.wakes_at.filter(|_| card.state == CardState::Snoozed).unwrap_or(desk.now + wait);
    if card.state != CardState::Snoozed {
        cards::tell_sent(desk, task, Vec::new());
        let facts = vec![fact("tapped", card_words::SNOOZE)];
        desk.answer_ask(&card.ask, Answer::new("snoozed", reasons::SNOOZED).with(facts).until(until));
        if let Some(card) = desk.cards.get_mut(task) {
            card.state = CardState::Snoozed;
            card.wakes_at = Some(until);
        }
    }
    let words = card_words::snoozed(until, desk.playbook);
    answer_tap(desk, words);
}

/// Shows on the tapped card what was chosen.
fn answer_tap(desk: &mut Desk<'_>, words: String) {
    if let Some(code) = desk.event.text("response_code").map(str::to_owned) {
        cards::update(desk, code, words);
    }
}
