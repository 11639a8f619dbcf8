//! Nudges (触达): wanted by journeys, judged together minute by minute, asked of staff when a channel is open, held or
//! dropped when none is.

use std::time::Duration;

use super::customer::{Deciding, root_of};
use super::deliveries::Facts;
use super::guardrails::{self, Outgoing};
use super::{facts, moments, reasons};
use crate::domain::At;
use crate::domain::customer::{Arm, Run};
use crate::domain::delivery::{Channel, Delivery, DeliveryKind, DeliveryState};
use crate::domain::ids::{DeliveryId, MessageId, UserId};
use crate::playbook::model::{Journey, Step, StepAction};

/// What a channel says when it is asked.
enum Door {
    /// It may go, through this staff member.
    Open(UserId),
    /// Not before that moment.
    Later(&'static str, At),
    /// Not at all.
    Never(String),
}

/// A nudge that is judged: its rules, looked up.
struct Judged<'a> {
    journey: &'a Journey,
    say: &'a MessageId,
    via: &'a [Channel],
}

/// The channel as the playbook writes it.
pub(super) fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Welcome => "welcome",
        Channel::Kf => "kf",
        Channel::Mass => "mass",
        Channel::Staff => "staff",
        Channel::Group => "group",
        Channel::Moment => "moment",
    }
}

/// Asked of a staff member and not answered yet, or held by them.
pub(super) fn is_asked(delivery: &Delivery) -> bool {
    let is_under_way = matches!(delivery.state, DeliveryState::Wanted | DeliveryState::Held);
    is_under_way && delivery.staff.is_some() && delivery.kind != DeliveryKind::Welcome
}

/// Neither with WeCom nor over.
pub(super) fn is_pending(delivery: &Delivery) -> bool {
    matches!(delivery.state, DeliveryState::Wanted | DeliveryState::Held)
}

fn text(name: impl Into<String>, value: impl Into<String>) -> (String, String) {
    (name.into(), value.into())
}

impl<'a> Deciding<'a> {
    /// Wants a nudge for a run. A held-out run's nudge is wanted too, and dropped at once, so that `why` can tell.
    pub(super) fn want_nudge(&mut self, run: &Run, journey: &Journey, step: &Step, facts: Facts) -> Option<DeliveryId> {
        let StepAction::Nudge { say, hold, .. } = &step.action else { return None };
        let mut delivery = self.delivery_of((run, journey, step), 0, DeliveryKind::Nudge, *hold);
        delivery.say = Some(say.clone());
        let id = delivery.id.clone();
        if run.arm == Arm::HeldOut {
            self.want(delivery, facts);
            self.turn(&id, DeliveryState::Dropped, reasons::HELD_OUT, Vec::new());
        } else {
            delivery.look_again = Some(moments::end_of_minute(self.now));
            self.want(delivery, facts);
        }
        Some(id)
    }

    /// A delivery of a run's step, under the id that the run's event and the step give it; a step that asks several
    /// people wants a copy for each.
    pub(super) fn delivery_of(
        &self,
        (run, journey, step): (&Run, &Journey, &Step),
        copy: usize,
        kind: DeliveryKind,
        hold: Duration,
    ) -> Delivery {
        let copy = if copy == 0 { String::new() } else { format!(":{copy}") };
        let position = format!("run:{}:{}:{}{copy}", journey.id, step.id, run.passed);
        let actor = crate::domain::actor::Actor::Customer(self.customer.id.clone());
        let id = DeliveryId::derive(&run.event, &actor, &position);
        let mut delivery = self.new_delivery(id, kind, &root_of(&run.event));
        delivery.journey = Some(journey.id.clone());
        delivery.step = Some(step.id.clone());
        delivery.priority = journey.priority;
        // Judged by the minute, so held to the end of one.
        delivery.hold_until = moments::end_of_minute(moments::after(self.now, hold));
        delivery
    }

    /// Judges every nudge that is due, the most important first: they share one budget.
    pub(super) fn judge_nudges(&mut self) {
        let due = self.customer.deliveries.values().filter(|one| one.look_again.is_some_and(|at| at <= self.now));
        let mut due: Vec<(i64, At, DeliveryId)> =
            due.map(|one| (-one.priority, one.wanted_at, one.id.clone())).collect();
        due.sort();
        for (_, _, id) in due {
            self.judge(&id);
        }
    }

    fn judge(&mut self, id: &DeliveryId) {
        let Some(delivery) = self.customer.deliveries.get_mut(id) else { return };
        delivery.look_again = None;
        let (hold_until, wanted_at) = (delivery.hold_until, delivery.wanted_at);
        let held = (delivery.state == DeliveryState::Held).then(|| delivery.reason.clone());
        let Some(judged) = self.rules_of(id) else {
            return self.came_to_nothing(id, DeliveryState::Dropped, reasons::STEP_REMOVED, Vec::new());
        };
        if self.customer.opted_out {
            return self.came_to_nothing(id, DeliveryState::Dropped, reasons::OPTED_OUT, Vec::new());
        }
        if self.customer.is_lost() {
            return self.came_to_nothing(id, DeliveryState::Dropped, reasons::LOST, Vec::new());
        }
        if self.now > hold_until {
            // A timer is always a little late, so this is how most of them end: `why` names what held it last.
            let facts = held.map_or_else(Vec::new, |by| held_by(&by, wanted_at, self.playbook.zone));
            return self.came_to_nothing(id, DeliveryState::Dropped, reasons::HELD_TOO_LONG, facts);
        }
        let (mut facts, doors) = self.doors(id, judged.via);
        let open = doors.iter().find_map(|(channel, door)| match door {
            Door::Open(userid) => Some((*channel, userid.clone())),
            Door::Later(..) | Door::Never(_) => None,
        });
        match open {
            Some((channel, userid)) => match self.budget_in_the_way(&mut facts) {
                Some(day) => {
                    let opens = moments::start_of(self.playbook.zone, day);
                    let until = self.past_hours(Outgoing::Nudge, opens);
                    self.hold(id, reasons::CUSTOMER_BUDGET, until, facts);
                }
                None => self.send_through(id, &judged, channel, &userid, facts),
            },
            None => self.hold_or_drop(id, &doors, facts),
        }
    }

    /// The rules behind a nudge, if the playbook still has them.
    fn rules_of(&self, id: &DeliveryId) -> Option<Judged<'a>> {
        let delivery = self.customer.deliveries.get(id)?;
        let journey = self.journey(delivery.journey.as_ref()?)?;
        let step = journey.steps.get(journey.position(delivery.step.as_ref()?)?)?;
        match &step.action {
            StepAction::Nudge { say, via, .. } => Some(Judged { journey, say, via }),
            _ => None,
        }
    }

    /// Asks every channel, in order of preference; what closed ones say goes into the facts.
    fn doors(&self, id: &DeliveryId, via: &[Channel]) -> (Facts, Vec<(Channel, Door)>) {
        let mut facts = Vec::new();
        let mut doors = Vec::new();
        for channel in via {
            let door = self.door(id, *channel);
            let name = format!("channel {}", channel_name(*channel));
            match &door {
                Door::Open(userid) => facts.push(text(name, format!("open, through {userid}"))),
                Door::Later(by, until) => {
                    let until = moments::written(self.playbook.zone, *until);
                    facts.push(text(name, format!("{by}, until {until}")));
                }
                Door::Never(reason) => facts.push(text(name, reason.clone())),
            }
            let is_open = matches!(door, Door::Open(_));
            doors.push((*channel, door));
            if is_open {
                break;
            }
        }
        (facts, doors)
    }

    fn door(&self, id: &DeliveryId, channel: Channel) -> Door {
        let outgoing = match channel {
            Channel::Kf | Channel::Group | Channel::Moment => return Door::Never(reasons::NOT_SUPPORTED.to_owned()),
            Channel::Welcome => return Door::Never(reasons::ONLY_AT_ADDING.to_owned()),
            Channel::Mass => Outgoing::Nudge,
            Channel::Staff => Outgoing::ToStaff,
        };
        let refused = self.customer.deliveries.get(id).and_then(|delivery| delivery.refused.get(&channel));
        if let Some(reason) = refused {
            return Door::Never(reason.clone());
        }
        let Some((owner, _)) = facts::owner(self.playbook, &self.customer) else {
            return Door::Never(reasons::NO_OWNER.to_owned());
        };
        let closed = guardrails::closed(&self.playbook.guardrails, self.playbook.zone, outgoing, self.now);
        if let Some(closed) = closed {
            return Door::Later(closed.by, closed.until);
        }
        match self.mass_quota_in_the_way().filter(|_| channel == Channel::Mass) {
            Some((by, day)) => {
                let opens = moments::start_of(self.playbook.zone, day);
                Door::Later(by, self.past_hours(outgoing, opens))
            }
            None => Door::Open(owner.clone()),
        }
    }

    /// That moment, or when hours let it through after it.
    fn past_hours(&self, outgoing: Outgoing, at: At) -> At {
        let closed = guardrails::closed(&self.playbook.guardrails, self.playbook.zone, outgoing, at);
        closed.map_or(at, |closed| closed.until)
    }

    /// No channel is open now: held for the first that will be, dropped when none ever will.
    fn hold_or_drop(&mut self, id: &DeliveryId, doors: &[(Channel, Door)], facts: Facts) {
        let first = doors.iter().filter_map(|(_, door)| match door {
            Door::Later(by, until) => Some((*until, *by)),
            Door::Open(_) | Door::Never(_) => None,
        });
        match first.min_by_key(|(until, _)| *until) {
            Some((until, by)) => self.hold(id, by, until, facts),
            None => {
                // With a single channel its own reason says more than that none is open.
                let reason = match doors {
                    [(_, Door::Never(reason))] => reason.clone(),
                    _ => reasons::NO_CHANNEL.to_owned(),
                };
                self.came_to_nothing(id, DeliveryState::Dropped, &reason, facts);
            }
        }
    }

    /// Holds a nudge until a moment, at most as long as its step allows.
    fn hold(&mut self, id: &DeliveryId, by: &str, until: At, mut facts: Facts) {
        let Some(delivery) = self.customer.deliveries.get_mut(id) else { return };
        if self.now >= delivery.hold_until {
            let facts = [held_by(by, delivery.wanted_at, self.playbook.zone), facts].concat();
            return self.came_to_nothing(id, DeliveryState::Dropped, reasons::HELD_TOO_LONG, facts);
        }
        // What falls due within one minute is judged at its end, the held beside the new.
        delivery.look_again = Some(moments::end_of_minute(until).min(delivery.hold_until));
        facts.insert(0, text("until", moments::written(self.playbook.zone, until)));
        self.turn(id, DeliveryState::Held, by, facts);
    }

    fn send_through(&mut self, id: &DeliveryId, judged: &Judged<'a>, channel: Channel, userid: &UserId, facts: Facts) {
        let message = match self.rendered(judged.journey, judged.say, userid, channel) {
            Ok(message) => message,
            Err(problem) => {
                let facts = facts.into_iter().chain(problem.facts()).collect();
                return self.came_to_nothing(id, DeliveryState::Failed, reasons::BAD_TEXT, facts);
            }
        };
        if channel == Channel::Mass {
            let today = guardrails::day_of(self.playbook.zone, self.now);
            self.reserve(id, today);
        }
        if let Some(delivery) = self.customer.deliveries.get_mut(id) {
            delivery.channel = Some(channel);
            delivery.staff = Some(userid.clone());
        }
        self.ask_staff(id, message, facts);
    }

    /// Ends what is pending and what stands open on a card: the customer is not to be spoken to.
    pub(super) fn drop_nudges(&mut self, reason: &str) {
        let open = self.customer.deliveries.values().filter(|one| one.kind == DeliveryKind::Nudge);
        let open: Vec<DeliveryId> = open.map(|one| one.id.clone()).collect();
        for id in open {
            self.withdraw(&id, reason, &[]);
        }
    }
}

/// What held a nudge too long, and since when.
fn held_by(by: &str, since: At, zone: chrono_tz::Tz) -> Facts {
    vec![text("guardrail", by), text("held since", moments::written(zone, since))]
}
