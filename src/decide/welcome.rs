//! The welcome: asked for at the adding, sent when the name is known or 8 s have passed, never after 20 s.

use std::time::Duration;

use serde_json::{Map, Value};

use super::builder::Going;
use super::customer::{Deciding, Happening, data};
use super::{fields, messages, moments, reasons};
use crate::domain::actor::Actor;
use crate::domain::customer::PendingWelcome;
use crate::domain::delivery::{Channel, DeliveryKind, DeliveryState};
use crate::domain::effect::{Call, Lane};
use crate::domain::ids::{DeliveryId, EffectId, UserId};
use crate::playbook::model::WelcomeRule;

/// The timeline's word for an adding that cannot be greeted.
pub(super) const NONE: &str = "welcome.none";

/// A name is worth waiting for, but not longer than this.
const NAME_WAIT: Duration = Duration::from_secs(8);
/// WeCom document 92137: a code is good for 20 s; the last of them is left to the way.
const CODE_GOOD: Duration = Duration::from_secs(19);

impl<'a> Deciding<'a> {
    /// Takes up the adding's welcome code. Without one there is nothing to send, which the timeline says.
    pub(super) fn await_welcome(&mut self, userid: &UserId, happening: &Happening) {
        let Some(code) = fields::text(&happening.data, "welcome_code") else {
            if !self.playbook.welcome.is_empty() {
                let about = data([("userid", userid.as_str()), ("reason", reasons::NO_CODE)]);
                self.draft.line(happening.at, NONE, about);
            }
            return;
        };
        let pending = PendingWelcome {
            code: code.to_owned(),
            since: happening.at,
            event: happening.id.clone(),
            touchpoints: std::collections::BTreeSet::new(),
        };
        let waits_until = moments::after(happening.at, NAME_WAIT);
        let mut delivery = self.new_delivery(self.draft.id("welcome"), DeliveryKind::Welcome, &happening.id);
        delivery.channel = Some(Channel::Welcome);
        delivery.staff = Some(userid.clone());
        delivery.hold_until = moments::after(happening.at, CODE_GOOD);
        self.want(delivery, vec![("waits for".to_owned(), "profile".to_owned())]);
        if let Some(pair) = self.customer.followers.get_mut(userid) {
            pair.greeted = true;
            pair.welcome = Some(pending);
        }
        // Also when the moment is past: the touchpoints of this adding are to be met before a rule is chosen.
        self.draft.timer(timer_of(userid), waits_until.max(self.now));
    }

    /// The profile is there: whoever waits for it is greeted.
    pub(super) fn greet_with_profile(&mut self, profile: &Map<String, Value>) {
        match fields::userid(profile, "userid") {
            Some(userid) => self.greet(&userid),
            None => {
                let waiting = self.customer.followers.iter().filter(|(_, pair)| pair.welcome.is_some());
                let waiting: Vec<UserId> = waiting.map(|(userid, _)| userid.clone()).collect();
                waiting.iter().for_each(|userid| self.greet(userid));
            }
        }
    }

    /// The profile did not come in time; the welcome goes without the name.
    pub(super) fn greet_without_profile(&mut self, userid: &str) {
        // Nobody may wait any more: a timer that fires late or for an earlier adding finds nothing, or what is due.
        let Ok(userid) = UserId::parse(userid) else { return };
        let pending = self.customer.followers.get(&userid).and_then(|pair| pair.welcome.as_ref());
        if pending.is_some_and(|pending| moments::after(pending.since, NAME_WAIT) <= self.now) {
            self.greet(&userid);
        }
    }

    /// The profile will not come: there is nothing left to wait for.
    pub(super) fn profile_failed(&mut self, effect: &EffectId) {
        let actor = Actor::Customer(self.customer.id.clone());
        let asked = |pending: &PendingWelcome| EffectId::derive(&pending.event, &actor, "profile") == *effect;
        let found = self.customer.followers.iter().find(|(_, pair)| pair.welcome.as_ref().is_some_and(asked));
        if let Some(userid) = found.map(|(userid, _)| userid.clone()) {
            self.greet(&userid);
        }
    }

    fn greet(&mut self, userid: &UserId) {
        let Some(pending) = self.customer.followers.get_mut(userid).and_then(|pair| pair.welcome.take()) else {
            return;
        };
        self.draft.cancel(timer_of(userid));
        let until = moments::after(pending.since, CODE_GOOD);
        if self.now > until {
            return self.drop_welcome(userid, &pending, reasons::TOO_LATE);
        }
        match self.welcome_rule(userid, &pending) {
            Some((place, rule)) => self.say_welcome(userid, pending, place, rule),
            None => self.drop_welcome(userid, &pending, reasons::NO_RULE),
        }
    }

    /// The first rule that fits, with its place in the list.
    fn welcome_rule(&self, userid: &UserId, pending: &PendingWelcome) -> Option<(usize, &'a WelcomeRule)> {
        let event = self.adding_of(userid);
        let playbook = self.playbook;
        let view = self.view(&event);
        let fits = |rule: &&WelcomeRule| {
            rule.touchpoint.as_ref().is_none_or(|touchpoint| pending.touchpoints.contains(touchpoint))
                && rule.condition.as_ref().is_none_or(|condition| condition.holds(&view))
        };
        (1..).zip(&playbook.welcome).find(|(_, rule)| fits(rule))
    }

    /// The adding's fields as far as the pair remembers them.
    fn adding_of(&self, userid: &UserId) -> Map<String, Value> {
        let state = self.customer.followers.get(userid).and_then(|pair| pair.state.as_deref());
        let mut event = data([("userid", userid.as_str())]);
        event.insert("state".to_owned(), state.into());
        event
    }

    fn say_welcome(&mut self, userid: &UserId, pending: PendingWelcome, place: usize, rule: &WelcomeRule) {
        let id = self.welcome_of(&pending);
        let event = self.adding_of(userid);
        let words = self.view(&event).words(Some(userid), None);
        if let Some(delivery) = self.customer.deliveries.get_mut(&id) {
            delivery.say = Some(rule.say.clone());
        }
        let message = match messages::render(self.playbook, &rule.say, &words).and_then(messages::fits_wecom) {
            Ok(message) => message,
            Err(problem) => return self.turn(&id, DeliveryState::Failed, reasons::BAD_TEXT, problem.facts()),
        };
        let until = moments::after(pending.since, CODE_GOOD);
        let customer = self.customer.id.clone();
        let (userid, since) = (userid.clone(), pending.since);
        let call = Call::Welcome { customer, userid, code: pending.code, since, message };
        let going = Going { lane: Lane::Urgent, not_before: self.now, valid_until: until, serial: None };
        self.draft.effect_as(id.clone(), call, going);
        let name = if self.customer.name.is_some() { "known" } else { "not known in time" };
        let facts = [("rule", place.to_string()), ("say", rule.say.to_string()), ("name", name.to_owned())];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.turn(&id, DeliveryState::Wanted, reasons::HANDED_OVER, facts);
    }

    /// The welcome will not go out.
    pub(super) fn drop_welcome(&mut self, userid: &UserId, pending: &PendingWelcome, reason: &str) {
        let id = self.welcome_of(pending);
        let met: Vec<&str> = pending.touchpoints.iter().map(crate::domain::ids::TouchpointId::as_str).collect();
        let facts =
            vec![("touchpoints met".to_owned(), if met.is_empty() { "none".to_owned() } else { met.join(", ") })];
        self.draft.cancel(timer_of(userid));
        if reason == reasons::TOO_LATE {
            self.not_greeted(userid);
        }
        self.turn(&id, DeliveryState::Dropped, reason, facts);
    }

    /// The code came to nothing: should the adding's second word bring another, that one is taken up.
    pub(super) fn not_greeted(&mut self, userid: &UserId) {
        if let Some(pair) = self.customer.followers.get_mut(userid) {
            pair.greeted = false;
        }
    }

    fn welcome_of(&self, pending: &PendingWelcome) -> DeliveryId {
        EffectId::derive(&pending.event, &Actor::Customer(self.customer.id.clone()), "welcome")
    }
}

fn timer_of(userid: &UserId) -> String {
    format!("welcome:{}", userid.folded())
}
