//! What is asked of staff: prompts, and nudges that a person sends; taken back when they are not wanted any more.

use std::time::Duration;

use serde_json::Map;

use super::customer::{Deciding, data};
use super::deliveries::Facts;
use super::messages::{self, Problem};
use super::nudges::{is_asked, is_pending};
use super::why_words::event_in_chinese;
use super::{facts, moments, reasons};
use crate::domain::actor::Actor;
use crate::domain::customer::{Arm, Run, TakenBack};
use crate::domain::delivery::{Channel, Delivery, DeliveryKind, DeliveryState};
use crate::domain::effect::Message;
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, MessageId, UserId};
use crate::domain::staff::Ask;
use crate::playbook::model::{Enter, Journey, PromptTo, Step, StepAction};
use crate::settings::Locale;

/// WeCom may still be at work on a call when its delivery is taken back, at most this long after it may be held.
const ON_ITS_WAY: Duration = Duration::from_secs(2 * 3600);

impl Deciding<'_> {
    /// Wants a prompt for a run and asks the staff member it is for; of several managers each gets one, and when the
    /// first of them has done it the others are taken back.
    pub(super) fn want_prompt(
        &mut self,
        run: &Run,
        journey: &Journey,
        step: &Step,
        facts: &[(String, String)],
    ) -> Vec<DeliveryId> {
        let StepAction::Prompt { to, .. } = &step.action else { return Vec::new() };
        let asked: Vec<Result<UserId, &'static str>> = match self.asked_by(to) {
            Ok(staff) => staff.into_iter().map(Ok).collect(),
            Err(reason) => vec![Err(reason)],
        };
        let wanted = asked.into_iter().enumerate();
        wanted.filter_map(|(copy, staff)| self.want_prompt_of((run, journey, step), copy, staff, facts)).collect()
    }

    fn want_prompt_of(
        &mut self,
        (run, journey, step): (&Run, &Journey, &Step),
        copy: usize,
        staff: Result<UserId, &'static str>,
        facts: &[(String, String)],
    ) -> Option<DeliveryId> {
        let StepAction::Prompt { title, say, due, hold, .. } = &step.action else { return None };
        let mut delivery = self.delivery_of((run, journey, step), copy, DeliveryKind::Prompt, *hold);
        let id = delivery.id.clone();
        delivery.say.clone_from(say);
        delivery.channel = Some(Channel::Staff);
        delivery.due = due.map(|due| moments::after(self.now, due));
        let words = self.view(&run.trigger).words(staff.as_ref().ok(), Some(journey));
        let title = title.render(&words).map_err(Problem::from);
        let message = match say {
            Some(say) => messages::render(self.playbook, say, &words),
            None => Ok(Message::default()),
        };
        delivery.title = title.as_ref().ok().cloned();
        self.want(delivery, facts.to_vec());
        if run.arm == Arm::HeldOut {
            self.turn(&id, DeliveryState::Dropped, reasons::HELD_OUT, Vec::new());
            return Some(id);
        }
        match (staff, title.and(message)) {
            (Err(reason), _) => self.came_to_nothing(&id, DeliveryState::Dropped, reason, Vec::new()),
            (Ok(_), Err(problem)) => {
                self.came_to_nothing(&id, DeliveryState::Failed, reasons::BAD_TEXT, problem.facts());
            }
            (Ok(userid), Ok(message)) => {
                if let Some(delivery) = self.customer.deliveries.get_mut(&id) {
                    delivery.staff = Some(userid);
                }
                self.ask_staff(&id, message, Vec::new());
            }
        }
        Some(id)
    }

    /// Whom a prompt asks.
    fn asked_by(&self, to: &PromptTo) -> Result<Vec<UserId>, &'static str> {
        match to {
            PromptTo::User(userid) => Ok(vec![userid.clone()]),
            PromptTo::Managers if self.playbook.staff.managers.is_empty() => Err(reasons::NO_MANAGER),
            PromptTo::Managers => Ok(self.playbook.staff.managers.clone()),
            PromptTo::Owner => {
                let owner = facts::owner(self.playbook, &self.customer).map(|(userid, _)| userid.clone());
                let owner = owner.or_else(|| self.playbook.staff.default.clone()).ok_or(reasons::NO_OWNER)?;
                Ok(vec![owner])
            }
        }
    }

    /// The other managers need not do what one of them has done.
    pub(super) fn take_back_copies(&mut self, of: &DeliveryId) {
        let Some(done) = self.ended.get(of).filter(|one| one.kind == DeliveryKind::Prompt && one.journey.is_some())
        else {
            return;
        };
        let is_copy = |one: &&Delivery| {
            one.kind == done.kind
                && (&one.journey, &one.step) == (&done.journey, &done.step)
                && (&one.event, one.wanted_at) == (&done.event, done.wanted_at)
        };
        let by = done.staff.as_ref().map(|userid| ("staff".to_owned(), userid.to_string()));
        let by: Facts = by.into_iter().collect();
        let copies: Vec<DeliveryId> =
            self.customer.deliveries.values().filter(is_copy).map(|one| one.id.clone()).collect();
        copies.iter().for_each(|copy| self.withdraw(copy, reasons::DONE_BY_ANOTHER, &by));
    }

    /// A nudge's message with its words, as the channel carries it: a card shows it, mass sending is up to WeCom.
    pub(super) fn rendered(
        &self,
        journey: &Journey,
        say: &MessageId,
        userid: &UserId,
        channel: Channel,
    ) -> Result<Message, Problem> {
        let none = Map::new();
        let trigger = self.customer.runs.get(&journey.id).map_or(&none, |run| &run.trigger);
        let words = self.view(trigger).words(Some(userid), Some(journey));
        let message = messages::render(self.playbook, say, &words)?;
        if channel == Channel::Mass { messages::fits_wecom(message) } else { Ok(message) }
    }

    /// Asks the delivery's staff member to carry it.
    pub(super) fn ask_staff(&mut self, id: &DeliveryId, message: Message, mut facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get(id) else { return };
        let Some((userid, ask)) = self.ask_of(delivery, message) else { return };
        facts.push(("staff".to_owned(), userid.to_string()));
        let Ok(ask) = serde_json::to_value(ask) else { return };
        let asked = Map::from_iter([("ask".to_owned(), ask)]);
        match self.draft.tell(&format!("ask:{id}"), Actor::Staff(userid), types::DELIVERY_WANTED, asked) {
            Some(_) => self.turn(id, DeliveryState::Wanted, reasons::ASKED_STAFF, facts),
            None => self.came_to_nothing(id, DeliveryState::Dropped, reasons::CHAIN_TOO_LONG, facts),
        }
    }

    fn ask_of(&self, delivery: &Delivery, message: Message) -> Option<(UserId, Ask)> {
        let journey = delivery.journey.as_ref().and_then(|journey| self.journey(journey));
        let customer = &self.customer;
        let staff = delivery.staff.clone()?;
        let follower = customer.followers.get(&staff);
        let ask = Ask {
            staff_name: follower.and_then(|pair| pair.name.clone()).unwrap_or_default(),
            delivery: delivery.id.clone(),
            customer: customer.id.clone(),
            customer_name: customer.name.clone().unwrap_or_default(),
            kind: delivery.kind,
            channel: delivery.channel?,
            journey: delivery.journey.clone(),
            journey_name: journey.map(|journey| journey.name.clone()).unwrap_or_default(),
            title: delivery.title.clone().unwrap_or_default(),
            why: journey.map(|journey| self.why_now(journey)).unwrap_or_default(),
            message,
            priority: delivery.priority,
            wanted_at: delivery.wanted_at,
            hold_until: delivery.hold_until,
            due: delivery.due,
            collected: false,
        };
        Some((staff, ask))
    }

    /// Why now, in one sentence for the card.
    fn why_now(&self, journey: &Journey) -> String {
        let named = |name: Option<&str>, id: &str| name.unwrap_or(id).to_owned();
        let playbook = self.playbook;
        let is_chinese = playbook.locale == Locale::ZhCn;
        let because = match &journey.enter {
            Enter::Segment(id) => {
                let segment = playbook.segments.iter().find(|segment| segment.id == *id);
                let name = named(segment.map(|segment| segment.name.as_str()), id.as_str());
                if is_chinese {
                    format!("客户进入分层「{name}」")
                } else {
                    format!("the customer entered the segment {name}")
                }
            }
            Enter::Touchpoint(id) => {
                let touchpoint = playbook.touchpoints.iter().find(|touchpoint| touchpoint.id == *id);
                let name = named(touchpoint.map(|touchpoint| touchpoint.name.as_str()), id.as_str());
                if is_chinese {
                    format!("客户到达触点「{name}」")
                } else {
                    format!("the customer met the touchpoint {name}")
                }
            }
            Enter::Event(kind) if is_chinese => format!("客户发生「{}」", event_in_chinese(kind).unwrap_or(kind)),
            Enter::Event(kind) => format!("the event {kind}"),
            Enter::Schedule(_) if is_chinese => "按计划定期触发".to_owned(),
            Enter::Schedule(_) => "it is scheduled".to_owned(),
        };
        // Prompts stay when a customer opts out, but whoever acts on one is to know.
        match (self.customer.opted_out, is_chinese) {
            (false, _) => because,
            (true, true) => format!("{because}(注意:客户已退订)"),
            (true, false) => format!("{because} (mind: the customer has opted out)"),
        }
    }

    /// Ends a delivery that is not wanted any more. A mass send that WeCom has already is not to be called back, and its
    /// result is still awaited.
    pub(super) fn withdraw(&mut self, id: &DeliveryId, reason: &str, because: &[(String, String)]) {
        let Some(delivery) = self.customer.deliveries.get(id) else { return };
        let is_with_wecom = delivery.state == DeliveryState::Sent && delivery.channel == Some(Channel::Mass);
        if is_with_wecom || delivery.kind == DeliveryKind::Welcome {
            return;
        }
        if delivery.kind == DeliveryKind::Nudge && is_asked(delivery) {
            let until = moments::after(delivery.hold_until.max(self.now), ON_ITS_WAY);
            let taken_back = delivery.channel.map(|channel| (id.clone(), TakenBack { channel, until }));
            self.customer.taken_back.extend(taken_back);
        }
        self.tell_withdrawn(id, reason);
        self.came_to_nothing(id, DeliveryState::Dropped, reason, because.to_vec());
    }

    fn tell_withdrawn(&mut self, id: &DeliveryId, reason: &str) {
        let Some(delivery) = self.customer.deliveries.get(id) else { return };
        if !is_asked(delivery) && delivery.state != DeliveryState::Sent {
            return;
        }
        if let Some(userid) = delivery.staff.clone() {
            let told = data([("delivery", id.as_str()), ("reason", reason)]);
            // When the chain is too long to tell, the guardrails at the hand-over find the delivery gone.
            let _told =
                self.draft.tell(&format!("withdraw:{id}"), Actor::Staff(userid), types::DELIVERY_WITHDRAWN, told);
        }
    }

    /// What a staff member who does not follow any more was asked to send is taken back from them; their answer says
    /// whether it had left already, and if not it is judged again.
    pub(super) fn take_back_from(&mut self, userid: &UserId) {
        let asked = self.customer.deliveries.values().filter(|one| one.kind == DeliveryKind::Nudge && is_asked(one));
        let asked: Vec<DeliveryId> =
            asked.filter(|one| one.staff.as_ref() == Some(userid)).map(|one| one.id.clone()).collect();
        for id in asked {
            self.tell_withdrawn(&id, reasons::OWNER_LEFT);
            self.turn(&id, DeliveryState::Held, reasons::OWNER_LEFT, vec![("staff".to_owned(), userid.to_string())]);
        }
    }

    /// A staff member, or WeCom, would not carry it: a nudge tries its next channel, a prompt has none.
    pub(super) fn refused_by_staff(&mut self, id: &DeliveryId, reason: &str, facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get_mut(id).filter(|one| is_pending(one)) else {
            return self.came_to_nothing(id, DeliveryState::Dropped, reason, facts);
        };
        let is_nudge = delivery.kind == DeliveryKind::Nudge;
        let is_of_channel = ![reasons::OWNER_LEFT, reasons::NOT_FOLLOWED].contains(&reason);
        if let Some(channel) = delivery.channel.filter(|_| is_nudge && is_of_channel) {
            delivery.refused.insert(channel, reason.to_owned());
        }
        if is_nudge && self.now < delivery.hold_until && self.has_another_channel(id) {
            self.judge_again(id, reason, facts);
        } else {
            self.came_to_nothing(id, DeliveryState::Dropped, reason, facts);
        }
    }

    fn has_another_channel(&self, id: &DeliveryId) -> bool {
        let Some(delivery) = self.customer.deliveries.get(id) else { return false };
        let journey = delivery.journey.as_ref().and_then(|journey| self.journey(journey));
        let step = journey
            .zip(delivery.step.as_ref())
            .and_then(|(journey, step)| journey.position(step).and_then(|position| journey.steps.get(position)));
        let Some(StepAction::Nudge { via, .. }) = step.map(|step| &step.action) else { return false };
        let is_left = |channel: &&Channel| !delivery.refused.contains_key(channel);
        via.iter().filter(is_left).any(|channel| matches!(channel, Channel::Mass | Channel::Staff))
    }

    fn judge_again(&mut self, id: &DeliveryId, reason: &str, facts: Facts) {
        self.give_budget_back(id);
        let soon = moments::end_of_minute(self.now);
        if let Some(delivery) = self.customer.deliveries.get_mut(id) {
            delivery.channel = None;
            delivery.staff = None;
            delivery.look_again = Some(soon);
        }
        self.turn(id, DeliveryState::Wanted, reason, facts);
    }
}
