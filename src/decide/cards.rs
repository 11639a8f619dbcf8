//! Cards: sent, answered for by WeCom, reminded of, reported to the managers, closed.
//!
//! A reminder and the return from a snooze are new cards with new task ids for the same delivery. The card they replace
//! stays a while and points to its successor, because both hang in the staff member's chat and either may be tapped.

use chrono::TimeDelta;
use serde_json::Value;

use super::asks::card_in_the_way;
use super::desk::{Answer, Desk, Told, fact, moment};
use super::guardrails::Outgoing;
use super::{card_words, reasons};
use crate::domain::At;
use crate::domain::delivery::DeliveryKind;
use crate::domain::effect::{Call, Lane};
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, EffectId};
use crate::domain::staff::{Ask, CardState, Closing, OpenCard};

/// A closed card is kept as long as WeCom takes an update for a tap on it (WeCom document 94888: 72 h).
const KEPT_CLOSED: TimeDelta = TimeDelta::hours(72);

/// A card that nobody taps is given up after this long, so that a record does not grow for ever.
const GIVEN_UP: TimeDelta = TimeDelta::days(30);

/// A card that WeCom cannot be given for this long has lost its point; a granted ask may wait as long as it may be held.
const VALID: TimeDelta = TimeDelta::hours(24);

/// Sends the card of a granted ask. Its due time counts from now.
pub(super) fn grant(desk: &mut Desk<'_>, ask: Ask, facts: Told) {
    let due = ask.due.map(|due| desk.now + (due - ask.wanted_at));
    let ask = Ask { due, ..ask };
    let valid = VALID.max(ask.hold_until - desk.now);
    desk.count_card();
    let card = OpenCard {
        state: CardState::Asked,
        sent_at: desk.now,
        unanswered_since: desk.now,
        told_sent: false,
        reminded: false,
        escalated: false,
        counted_on: Some(desk.today()),
        response_code: None,
        wakes_at: None,
        moved_to: None,
        closing: None,
        ask,
    };
    let answer = Answer { due, ..Answer::new("granted", reasons::GRANTED).with(facts) };
    desk.answer_ask(&card.ask, answer);
    send(desk, card, card_words::Occasion::First, valid);
}

fn send(desk: &mut Desk<'_>, card: OpenCard, occasion: card_words::Occasion, valid: TimeDelta) -> EffectId {
    let position = format!("card:{}", card.ask.delivery);
    let task = desk.draft.id(&position);
    let call = Call::StaffCard {
        userid: desk.draft.head.id.clone(),
        delivery: Some((card.ask.customer.clone(), card.ask.delivery.clone())),
        card: card_words::card(&card.ask, task.clone(), occasion, desk.playbook),
    };
    // Behind the answers that this decision gives about the delivery, so that the word of the sending cannot overtake them.
    let serial = Some(Desk::answers_about(&card.ask.delivery));
    let not_before = desk.now + TimeDelta::milliseconds(1);
    desk.draft.effect(&position, call, Lane::Normal, not_before, desk.now + valid, serial);
    desk.cards.insert(task.clone(), card);
    task
}

/// What became of a card's sending.
pub(super) fn result(desk: &mut Desk<'_>, task: &EffectId) {
    if !desk.cards.contains_key(task) {
        desk.draft.trace(format!("card {task} is not known any more"));
        return;
    }
    let reason = desk.event.text("reason").unwrap_or_default().to_owned();
    match desk.event.kind.as_str() {
        types::EFFECT_DONE => taken(desk, task),
        types::EFFECT_FAILED => {
            let reason = if reason.is_empty() { reasons::WECOM_REFUSED } else { reason.as_str() };
            let facts = refusal(desk);
            not_taken(desk, task, Answer::new("failed", reason).with(facts));
        }
        types::EFFECT_DROPPED => not_taken(desk, task, Answer::new("refused", &reason)),
        _ => {
            let until = moment(desk.event.data.get("until"));
            let ask = desk.cards.get(task).filter(|card| !card.told_sent).map(|card| card.ask.clone());
            if let Some(ask) = ask {
                desk.answer_ask(&ask, Answer { until, ..Answer::new("held", &reason) });
            }
        }
    }
}

/// WeCom's own words about a failure.
pub(super) fn refusal(desk: &Desk<'_>) -> Told {
    let code = desk.event.data.get("errcode").and_then(Value::as_i64).map(|code| fact("errcode", code.to_string()));
    let message = desk.event.text("message").map(|message| fact("message", message));
    code.into_iter().chain(message).collect()
}

fn taken(desk: &mut Desk<'_>, task: &EffectId) {
    let answer = desk.event.data.get("answer");
    let field = |name: &str| answer.and_then(|answer| answer.get(name)).and_then(Value::as_str).unwrap_or_default();
    if !field("invaliduser").is_empty() {
        not_taken(desk, task, Answer::new("failed", reasons::STAFF_UNREACHABLE));
        return;
    }
    let code = Some(field("response_code").to_owned()).filter(|code| !code.is_empty());
    let closing = desk.cards.get(task).and_then(|card| card.closing);
    if let (Some(Closing::Withdrawn), Some(code)) = (closing, &code) {
        // It was taken back while it was on its way; the customer's budget counts it all the same.
        tell_sent(desk, task, Vec::new());
        let words = card_words::withdrawn(reasons::WITHDRAWN, desk.playbook.locale);
        update(desk, code.clone(), words);
        return;
    }
    let facts = Some(field("msgid")).filter(|id| !id.is_empty()).map(|id| fact("msgid", id)).into_iter().collect();
    tell_sent(desk, task, facts);
    let now = desk.now;
    if let Some(card) = desk.cards.get_mut(task) {
        card.response_code = code;
        if card.state == CardState::Asked {
            card.state = CardState::Open;
            card.sent_at = now;
        }
    }
    look_after(desk, task);
}

/// Tells the customer's record, once, that the card is with the staff member.
pub(super) fn tell_sent(desk: &mut Desk<'_>, task: &EffectId, facts: Told) {
    let Some(card) = desk.cards.get_mut(task).filter(|card| !card.told_sent) else { return };
    card.told_sent = true;
    let ask = card.ask.clone();
    desk.answer_ask(&ask, Answer { due: ask.due, ..Answer::new("sent", reasons::TAKEN).with(facts) });
}

/// WeCom did not take a card. The first of its delivery ends it; a later one leaves the delivery as it stands, unless
/// the customer's record does not want it any more.
fn not_taken(desk: &mut Desk<'_>, task: &EffectId, answer: Answer<'_>) {
    let Some(card) = desk.cards.get(task).cloned() else { return };
    desk.uncount_card(card.counted_on);
    if card.state == CardState::Closed {
        if !card.told_sent {
            desk.answer_ask(&card.ask, answer);
        }
        desk.cards.insert(task.clone(), OpenCard { counted_on: None, ..card });
        return;
    }
    if !card.told_sent {
        desk.cards.remove(task);
        desk.answer_ask(&card.ask, answer);
        return;
    }
    desk.draft.trace(format!("card {task} was sent once more in vain: {}", answer.reason));
    if answer.state == "refused" && answer.reason != reasons::TOO_LATE {
        close(desk, task, Closing::Withdrawn);
        // Where the customer's record still has the delivery open, it ends there too.
        desk.answer_ask(&card.ask, answer);
        return;
    }
    desk.cards.insert(task.clone(), OpenCard { state: CardState::Open, counted_on: None, ..card });
    look_after(desk, task);
}

/// A card's timer fired.
pub(super) fn wake(desk: &mut Desk<'_>, task: &EffectId) {
    let Some(card) = desk.cards.get_mut(task) else { return };
    card.wakes_at = None;
    match card.state {
        CardState::Asked => {}
        CardState::Open => look_after(desk, task),
        CardState::Closed => {
            desk.cards.remove(task);
        }
        CardState::Snoozed => match desk.closed(Outgoing::ToStaff) {
            Some(closed) => put_off(desk, task, closed.until),
            // It was counted when it came first; a return costs no budget.
            None => replace(desk, task, card_words::Occasion::Return),
        },
    }
}

fn put_off(desk: &mut Desk<'_>, task: &EffectId, until: At) {
    if let Some(card) = desk.cards.get_mut(task) {
        card.wakes_at = Some(until);
    }
}

/// Puts a new card in the place of one that stands open or was put off.
fn replace(desk: &mut Desk<'_>, task: &EffectId, occasion: card_words::Occasion) {
    let Some(old) = desk.cards.get(task).cloned() else { return };
    let is_past_due = old.ask.due.is_some_and(|due| due <= desk.now);
    let returned = occasion == card_words::Occasion::Return;
    let card = OpenCard {
        state: CardState::Asked,
        sent_at: desk.now,
        unanswered_since: if returned { desk.now } else { old.unanswered_since },
        reminded: old.reminded || is_past_due,
        counted_on: (!returned).then(|| desk.today()),
        response_code: None,
        wakes_at: None,
        ..old.clone()
    };
    let successor = send(desk, card, occasion, VALID);
    // Its buttons stay alive in the chat for as long as the one that took its place may be answered.
    let kept_until = desk.now + GIVEN_UP + KEPT_CLOSED;
    let old = OpenCard { state: CardState::Closed, moved_to: Some(successor), wakes_at: Some(kept_until), ..old };
    desk.cards.insert(task.clone(), old);
}

/// Sees to an open card: reminds, reports, gives up; sets when to look again.
pub(super) fn look_after(desk: &mut Desk<'_>, task: &EffectId) {
    let Some(card) = desk.cards.get(task).filter(|card| card.state == CardState::Open).cloned() else { return };
    let gives_up_at = card.unanswered_since + GIVEN_UP;
    if desk.now >= gives_up_at {
        desk.answer_ask(&card.ask, Answer::new("failed", reasons::NOT_ANSWERED));
        close(desk, task, Closing::Expired);
        return;
    }
    let report_at = see_to_report(desk, task, &card);
    let reminder_at = match see_to_reminder(desk, task, &card) {
        Reminder::Replaced => return,
        Reminder::Later(at) => Some(at),
        Reminder::Never => None,
    };
    put_off(desk, task, [report_at, reminder_at].into_iter().flatten().fold(gives_up_at, At::min));
}

/// What comes of a reminder for now.
enum Reminder {
    /// A new card took the old one's place.
    Replaced,
    /// It may come then.
    Later(At),
    /// None is due any more.
    Never,
}

/// Reminds of a prompt that is past due, once.
fn see_to_reminder(desk: &mut Desk<'_>, task: &EffectId, card: &OpenCard) -> Reminder {
    let due = card.ask.due.filter(|_| card.ask.kind == DeliveryKind::Prompt && !card.reminded);
    let Some(due) = due else { return Reminder::Never };
    if desk.now < due {
        return Reminder::Later(due);
    }
    if let Some((by, until)) = card_in_the_way(desk) {
        desk.draft.trace(format!("the reminder of {task} waits: {by}"));
        return Reminder::Later(until);
    }
    desk.count_card();
    desk.draft.count("staff.reminded", 1);
    desk.answer_ask(&card.ask, Answer::new("reminded", reasons::REMINDED));
    replace(desk, task, card_words::Occasion::Reminder);
    Reminder::Replaced
}

/// Reports a prompt that nobody answered to the managers, once. When to look again, if at all.
fn see_to_report(desk: &mut Desk<'_>, task: &EffectId, card: &OpenCard) -> Option<At> {
    let managers = desk.playbook.staff.managers.clone();
    let wanted = card.ask.kind == DeliveryKind::Prompt && !card.escalated && !managers.is_empty();
    let escalate = desk.playbook.staff.escalate.filter(|_| wanted)?;
    let at = card.unanswered_since + TimeDelta::from_std(escalate).ok()?;
    if desk.now < at {
        return Some(at);
    }
    if let Some(closed) = desk.closed(Outgoing::ToStaff) {
        return Some(closed.until);
    }
    let names: Vec<&str> = managers.iter().map(|manager| manager.as_str()).collect();
    let facts = vec![fact("managers", names.join(", "))];
    desk.answer_ask(&card.ask, Answer::new("escalated", reasons::ESCALATED).with(facts));
    let text = card_words::report(card, &desk.draft.head.id, desk.playbook);
    for manager in managers {
        let position = format!("report:{task}:{}", manager.folded());
        desk.effect(&position, Call::StaffText { userid: manager, text: text.clone() }, VALID, None);
    }
    desk.draft.count("staff.escalated", 1);
    if let Some(card) = desk.cards.get_mut(task) {
        card.escalated = true;
    }
    None
}

/// The card that now stands for a task: the task's own, or the one that took its place.
pub(super) fn standing_for(desk: &Desk<'_>, task: &EffectId) -> Option<EffectId> {
    let mut task = task.clone();
    // Each step leads to a later card, so the walk ends; the bound is for a record that contradicts itself.
    for _ in 0..desk.cards.len() {
        match &desk.cards.get(&task)?.moved_to {
            Some(successor) if desk.cards.contains_key(successor) => task = successor.clone(),
            _ => return Some(task),
        }
    }
    None
}

/// Closes a card in the record; it is kept a while so that a later tap is understood.
pub(super) fn close(desk: &mut Desk<'_>, task: &EffectId, closing: Closing) {
    let until = desk.now + KEPT_CLOSED;
    if let Some(card) = desk.cards.get_mut(task) {
        card.state = CardState::Closed;
        card.closing = Some(closing);
        card.wakes_at = Some(until);
    }
}

/// Takes the open card of a delivery back.
pub(super) fn withdraw(desk: &mut Desk<'_>, delivery: &DeliveryId, reason: &str) {
    let standing =
        desk.cards.iter().find(|(_, card)| card.ask.delivery == *delivery && card.state != CardState::Closed);
    let Some((task, code)) = standing.map(|(task, card)| (task.clone(), card.response_code.clone())) else { return };
    close(desk, &task, Closing::Withdrawn);
    if let Some(code) = code {
        let words = card_words::withdrawn(reason, desk.playbook.locale);
        update(desk, code, words);
    }
}

/// Greys out a card's buttons. A code is good for 72 h and for one call (WeCom document 94888).
pub(super) fn update(desk: &mut Desk<'_>, response_code: String, replace_name: String) {
    let userid = desk.draft.head.id.clone();
    desk.effect("update", Call::CardUpdate { userid, response_code, replace_name }, KEPT_CLOSED, None);
}
