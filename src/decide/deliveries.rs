//! Deliveries: every turn of what was wanted, from the wish to its end, and what WeCom and staff answer.

use serde_json::{Map, Value};

use super::builder::Draft;
use super::customer::{Deciding, Happening, data};
use super::{fields, moments, reasons};
use crate::domain::At;
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState, Turn};
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, EffectId, EventId};

/// Facts of a turn as they are written down.
pub(super) type Facts = Vec<(String, String)>;

impl Deciding<'_> {
    /// A delivery before it is wanted.
    pub(super) fn new_delivery(&self, id: DeliveryId, kind: DeliveryKind, event: &EventId) -> Delivery {
        Delivery {
            id,
            customer: self.customer.id.clone(),
            kind,
            journey: None,
            step: None,
            say: None,
            title: None,
            channel: None,
            staff: None,
            priority: 0,
            state: DeliveryState::Wanted,
            reason: reasons::WANTED.to_owned(),
            at: self.now,
            wanted_at: self.now,
            hold_until: self.now,
            look_again: None,
            refused: std::collections::BTreeMap::new(),
            due: None,
            counted_on: None,
            event: event.clone(),
            turns: Vec::new(),
        }
    }

    /// Wants a delivery: its life begins.
    pub(super) fn want(&mut self, delivery: Delivery, facts: Facts) {
        let id = delivery.id.clone();
        count_turn(&mut self.draft, &delivery, DeliveryState::Wanted, None);
        self.customer.deliveries.insert(id.clone(), delivery);
        self.write_turn(&id, DeliveryState::Wanted, reasons::WANTED, self.now, facts);
    }

    /// Takes a delivery to a state with its reason; an end takes it out of the record.
    pub(super) fn turn(&mut self, id: &DeliveryId, state: DeliveryState, reason: &str, facts: Facts) {
        self.turn_at(id, state, reason, self.now, facts);
    }

    /// The same at a moment of its own, such as the one at which WeCom took it.
    pub(super) fn turn_at(&mut self, id: &DeliveryId, state: DeliveryState, reason: &str, at: At, facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get(id) else { return };
        let is_new_reason = !delivery.turns.iter().any(|turn| turn.state == state && turn.reason == reason);
        // A delivery is wanted once, however often it comes back to be judged.
        if delivery.state != state && state != DeliveryState::Wanted {
            count_turn(&mut self.draft, delivery, state, is_new_reason.then_some(reason));
        } else if is_new_reason {
            count_reason(&mut self.draft, delivery, state, reason);
        }
        let is_over = is_over(delivery.kind, state);
        self.write_turn(id, state, reason, at, facts);
        if is_over {
            let delivery = self.customer.deliveries.remove(id);
            self.ended.extend(delivery.map(|delivery| (id.clone(), Delivery { look_again: None, ..delivery })));
        }
    }

    fn write_turn(&mut self, id: &DeliveryId, state: DeliveryState, reason: &str, at: At, facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get_mut(id) else { return };
        delivery.state = state;
        reason.clone_into(&mut delivery.reason);
        delivery.at = at;
        delivery.turns.push(Turn { at, state, reason: reason.to_owned(), facts });
        if delivery.turns.len() > Delivery::TURNS_KEPT {
            // How it began is never forgotten.
            delivery.turns.remove(1);
        }
        self.turned.insert(id.clone());
    }

    /// What becomes of an effect that this customer asked for.
    pub(super) fn effect_settled(&mut self, happening: &Happening) {
        let data = &happening.data;
        let id = fields::text(data, "effect").and_then(|id| EffectId::parse(id).ok());
        let Some(id) = id else { return self.draft.trace("a result without an effect changes nothing") };
        let is_welcome = self.customer.deliveries.get(&id).is_some_and(|one| one.kind == DeliveryKind::Welcome);
        let reason = fields::text(data, "reason").unwrap_or(reasons::WECOM_REFUSED).to_owned();
        match happening.kind.as_str() {
            types::EFFECT_DONE if is_welcome => {
                self.turn_at(&id, DeliveryState::Sent, reasons::TAKEN, happening.at, answer_facts(data));
            }
            types::EFFECT_FAILED if is_welcome => self.welcome_lost(&id, DeliveryState::Failed, &reason, data),
            types::EFFECT_DROPPED if is_welcome => self.welcome_lost(&id, DeliveryState::Dropped, &reason, data),
            types::EFFECT_HELD if is_welcome => {
                self.turn(&id, DeliveryState::Held, &reason, answer_facts(data));
            }
            types::EFFECT_FAILED | types::EFFECT_DROPPED if fields::text(data, "call") == Some("fetch_profile") => {
                self.profile_failed(&id);
            }
            types::EFFECT_FAILED | types::EFFECT_DROPPED if fields::text(data, "call") == Some("tag") => {
                self.tags_not_changed(data);
            }
            _ => {}
        }
    }

    fn welcome_lost(&mut self, id: &DeliveryId, state: DeliveryState, reason: &str, data: &Map<String, Value>) {
        if let Some(userid) = self.customer.deliveries.get(id).and_then(|delivery| delivery.staff.clone()) {
            self.not_greeted(&userid);
        }
        self.turn(id, state, reason, answer_facts(data));
    }

    /// A staff member's answer about a delivery that was asked of them.
    pub(super) fn delivery_answered(&mut self, happening: &Happening) {
        let answer = &happening.data;
        let id = fields::text(answer, "delivery").and_then(|id| EffectId::parse(id).ok());
        let reason = fields::text(answer, "reason").unwrap_or(reasons::REFUSED).to_owned();
        let Some(id) = id.clone().filter(|id| self.customer.deliveries.contains_key(id)) else {
            return self.answered_too_late(id, happening);
        };
        let mut facts = fields::pairs(answer, "facts");
        if let Some(until) = fields::moment(answer, "until") {
            facts.push(("until".to_owned(), moments::written(self.playbook.zone, until)));
        }
        if let (Some(due), Some(delivery)) = (fields::moment(answer, "due"), self.customer.deliveries.get_mut(&id)) {
            // A prompt's due time counts from its sending.
            delivery.due = Some(due);
        }
        let is_pending = self.customer.deliveries.get(&id).is_some_and(super::nudges::is_pending);
        match fields::text(answer, "state") {
            Some("held" | "granted") if !is_pending => {
                self.draft.trace("an answer that was overtaken by a later one changes nothing");
            }
            Some("held") => self.turn(&id, DeliveryState::Held, &reason, facts),
            Some("granted") => self.turn(&id, DeliveryState::Wanted, &reason, facts),
            Some("sent") => self.went(&id, &reason, happening.at, facts),
            Some("confirmed") => self.confirmed(&id, &reason, happening.at, facts),
            Some("snoozed") => self.snoozed(&id, &reason, facts),
            Some("reminded" | "escalated") => self.stays(&id, &reason, facts),
            Some("dismissed") => self.came_to_nothing(&id, DeliveryState::Dropped, &reason, facts),
            Some("failed") => self.came_to_nothing(&id, DeliveryState::Failed, &reason, facts),
            Some("refused") => self.refused_by_staff(&id, &reason, facts),
            _ => self.draft.trace("an answer with a state that nobody knows changes nothing"),
        }
    }

    /// WeCom took it: from here the budget counts it, and the wait behind it begins.
    fn went(&mut self, id: &DeliveryId, reason: &str, at: At, facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get(id).filter(|one| one.state != DeliveryState::Sent) else {
            return self.turn_at(id, DeliveryState::Sent, reason, at, facts);
        };
        let kind = delivery.kind;
        self.turn_at(id, DeliveryState::Sent, reason, at, facts);
        match kind {
            DeliveryKind::Nudge => {
                self.count_contact(id, at);
                self.tell_delivery(types::NUDGE_SENT, id, at);
                self.nudge_left(id, at);
            }
            DeliveryKind::Prompt => {
                self.tell_delivery(types::PROMPT_SENT, id, at);
                self.prompt_left(id, at);
            }
            DeliveryKind::Welcome => {}
        }
    }

    /// The person who had to act did.
    fn confirmed(&mut self, id: &DeliveryId, reason: &str, at: At, facts: Facts) {
        // Sent from the sidebar, or the word of the sending came late: it was sent all the same.
        if self.customer.deliveries.get(id).is_some_and(|one| one.state != DeliveryState::Sent) {
            self.went(id, reasons::TAKEN, at, Vec::new());
        }
        let Some(kind) = self.customer.deliveries.get(id).map(|one| one.kind) else { return };
        self.turn_at(id, DeliveryState::Confirmed, reason, at, facts);
        match kind {
            DeliveryKind::Nudge => self.tell_delivery(types::NUDGE_CONFIRMED, id, at),
            DeliveryKind::Prompt => {
                self.tell_delivery(types::PROMPT_DONE, id, at);
                self.take_back_copies(id);
            }
            DeliveryKind::Welcome => {}
        }
    }

    /// A turn that leaves the delivery where it stands.
    fn stays(&mut self, id: &DeliveryId, reason: &str, facts: Facts) {
        if let Some(state) = self.customer.deliveries.get(id).map(|delivery| delivery.state) {
            self.turn(id, state, reason, facts);
        }
    }

    fn snoozed(&mut self, id: &DeliveryId, reason: &str, facts: Facts) {
        self.stays(id, reason, facts);
        if self.customer.deliveries.get(id).is_some_and(|delivery| delivery.kind == DeliveryKind::Prompt) {
            self.tell_delivery(types::PROMPT_SNOOZED, id, self.now);
        }
    }

    /// A nudge that was taken back while it was on its way: now it is known whether it counts as a contact.
    fn answered_too_late(&mut self, id: Option<EffectId>, happening: &Happening) {
        let state = fields::text(&happening.data, "state").unwrap_or_default();
        let known = id.and_then(|id| Some((*self.customer.taken_back.get(&id)?, id)));
        let Some((taken_back, id)) = known.filter(|_| !["held", "granted"].contains(&state)) else {
            return self.draft.trace("an answer about a delivery that is over changes nothing");
        };
        self.customer.taken_back.remove(&id);
        if !["sent", "confirmed", "snoozed"].contains(&state) {
            return self.look_at_held_again();
        }
        self.count_sending(taken_back.channel, happening.at);
        let told = data([("delivery", id.as_str()), ("reason", "it was on its way when it was taken back")]);
        self.draft.line(happening.at, types::NUDGE_SENT, told);
    }

    /// Ends a delivery without success; what waited for its sending waits no more, what it had reserved is free again.
    pub(super) fn came_to_nothing(&mut self, id: &DeliveryId, state: DeliveryState, reason: &str, facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get(id) else { return };
        let (kind, had_left) = (delivery.kind, delivery.state == DeliveryState::Sent);
        if !had_left {
            self.give_budget_back(id);
        }
        self.turn(id, state, reason, facts);
        match (kind, state) {
            (DeliveryKind::Nudge, DeliveryState::Failed) => self.tell_delivery(types::NUDGE_FAILED, id, self.now),
            (DeliveryKind::Nudge, _) => self.tell_delivery(types::NUDGE_DROPPED, id, self.now),
            (DeliveryKind::Prompt, _) if reason == reasons::DISMISSED => {
                self.tell_delivery(types::PROMPT_DISMISSED, id, self.now);
            }
            (DeliveryKind::Prompt | DeliveryKind::Welcome, _) => {}
        }
        match kind {
            DeliveryKind::Nudge => self.nudge_left(id, self.now),
            DeliveryKind::Prompt if !had_left => self.prompt_left(id, self.now),
            DeliveryKind::Prompt | DeliveryKind::Welcome => {}
        }
    }

    /// Lets the event of a delivery's turn follow.
    fn tell_delivery(&mut self, kind: &str, id: &DeliveryId, at: At) {
        let Some(delivery) = self.customer.deliveries.get(id).or_else(|| self.ended.get(id)) else { return };
        let mut told = data([("delivery", id.as_str()), ("reason", &delivery.reason)]);
        let also = [
            ("journey", delivery.journey.as_ref().map(ToString::to_string)),
            ("channel", delivery.channel.map(|channel| super::nudges::channel_name(channel).to_owned())),
            ("userid", delivery.staff.as_ref().map(ToString::to_string)),
        ];
        told.extend(also.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))));
        self.happen(kind, at, told);
    }
}

/// `nudge.sent:win_back:mass`, and what [`count_reason`] counts.
fn count_turn(draft: &mut Draft<'_, ()>, delivery: &Delivery, state: DeliveryState, new_reason: Option<&str>) {
    let journey = delivery.journey.as_ref().map_or("-", |journey| journey.as_str());
    let channel = delivery.channel.map_or("-", super::nudges::channel_name);
    draft.count(format!("{}.{}:{journey}:{channel}", kind_of(delivery.kind), state_of(state)), 1);
    if let Some(reason) = new_reason {
        count_reason(draft, delivery, state, reason);
    }
}

/// `nudge.held.reason:quiet hours`, once per delivery and reason.
fn count_reason(draft: &mut Draft<'_, ()>, delivery: &Delivery, state: DeliveryState, reason: &str) {
    if matches!(state, DeliveryState::Held | DeliveryState::Dropped | DeliveryState::Failed) {
        draft.count(format!("{}.{}.reason:{reason}", kind_of(delivery.kind), state_of(state)), 1);
    }
}

/// Nothing comes after a welcome that WeCom took.
fn is_over(kind: DeliveryKind, state: DeliveryState) -> bool {
    state.is_end() || (kind == DeliveryKind::Welcome && state == DeliveryState::Sent)
}

/// What WeCom answered, as facts.
fn answer_facts(data: &Map<String, Value>) -> Facts {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty() && text.len() <= 600),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let named = ["errcode", "message", "tries"].into_iter();
    named.filter_map(|name| Some((name.to_owned(), plain(data.get(name)?)?))).collect()
}

fn kind_of(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::Nudge => "nudge",
        DeliveryKind::Prompt => "prompt",
        DeliveryKind::Welcome => "welcome",
    }
}

fn state_of(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Wanted => "wanted",
        DeliveryState::Held => "held",
        DeliveryState::Sent => "sent",
        DeliveryState::Confirmed => "confirmed",
        DeliveryState::Failed => "failed",
        DeliveryState::Dropped => "dropped",
    }
}
