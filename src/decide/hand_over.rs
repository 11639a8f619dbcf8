//! The last look: a delivery is judged once more at the moment its effect is handed to WeCom.

use super::Verdict;
use super::guardrails::{self, Outgoing};
use super::reasons;
use crate::domain::At;
use crate::domain::customer::{Arm, Customer};
use crate::domain::delivery::{Channel, Delivery, DeliveryKind, DeliveryState};
use crate::domain::ids::DeliveryId;
use crate::playbook::model::Playbook;

/// Judges a delivery over the customer's record of this moment. Its budget was reserved when it was asked for.
pub(super) fn judge(playbook: &Playbook, customer: &Customer, id: &DeliveryId, now: At) -> Verdict {
    // A mass send is made once; a card may come again when it was put off.
    let is_over = |one: &&Delivery| {
        one.state.is_end() || (one.state == DeliveryState::Sent && one.channel == Some(Channel::Mass))
    };
    let Some(delivery) = customer.deliveries.get(id).filter(|one| !is_over(one)) else {
        // A run that ended took its deliveries along, so that this covers opt-out, goal and exit as well.
        return drop(reasons::OVER);
    };
    if let Some(reason) = in_the_way_for_good(playbook, customer, delivery) {
        return drop(reason);
    }
    let outgoing = match (delivery.kind, delivery.channel) {
        (DeliveryKind::Welcome, _) => return Verdict::Go,
        (DeliveryKind::Nudge, Some(Channel::Mass | Channel::Kf)) => Outgoing::Nudge,
        (DeliveryKind::Nudge | DeliveryKind::Prompt, _) => Outgoing::ToStaff,
    };
    match guardrails::closed(&playbook.guardrails, playbook.zone, outgoing, now) {
        Some(closed) => Verdict::Hold { until: closed.until, by: closed.by.to_owned() },
        None => Verdict::Go,
    }
}

fn in_the_way_for_good(playbook: &Playbook, customer: &Customer, delivery: &Delivery) -> Option<&'static str> {
    if let Some(id) = &delivery.journey {
        if !playbook.journeys.iter().any(|journey| journey.id == *id) {
            return Some(reasons::JOURNEY_REMOVED);
        }
        if customer.runs.get(id).is_some_and(|run| run.arm == Arm::HeldOut && run.deliveries.contains(&delivery.id)) {
            return Some(reasons::HELD_OUT);
        }
    }
    if delivery.kind != DeliveryKind::Nudge {
        return None;
    }
    let follows = delivery.staff.as_ref().and_then(|userid| customer.followers.get(userid));
    if customer.opted_out {
        Some(reasons::OPTED_OUT)
    } else if customer.is_lost() {
        Some(reasons::LOST)
    } else if follows.is_none_or(|pair| pair.ended.is_some()) {
        Some(reasons::NOT_FOLLOWED)
    } else {
        None
    }
}

fn drop(reason: &str) -> Verdict {
    Verdict::Drop { by: reason.to_owned() }
}
