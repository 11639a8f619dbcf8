//! Decisions: `(playbook, record, event, now) -> Decision`, pure.
//!
//! No clock, network, Redis or randomness; chance is a hash of the customer and a salt. The same event decided again
//! over the same record gives the same decision, byte for byte.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::At;
use crate::domain::actor::{Actor, ActorKind};
use crate::domain::corp::{Corp, Group, Identity, KfAccount};
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, SegmentId};
use crate::domain::staff::Staff;
use crate::domain::timeline::Line;
use crate::playbook::model::{Playbook, Schedule};

/// An actor's record: the head of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// A customer.
    Customer(Box<Customer>),
    /// A staff member.
    Staff(Staff),
    /// The company.
    Corp(Corp),
    /// A customer group.
    Group(Group),
    /// A kf account.
    Kf(KfAccount),
    /// A person known by an outside name.
    Identity(Identity),
}

/// A record as it is handed to a decision: its head, and of its side collections what [`needs`] asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The head.
    pub head: Head,
    /// `collection -> field -> value`.
    pub sides: BTreeMap<String, BTreeMap<String, Value>>,
}

/// What a decision needs of a side collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideNeed {
    /// The collection: `asks`, `cards`, `mass`, `parked`, `tags`.
    pub collection: &'static str,
    /// One field, or all of them.
    pub field: Option<String>,
}

/// A change to a side collection.
#[derive(Debug, Clone, PartialEq)]
pub struct SideChange {
    /// The collection.
    pub collection: &'static str,
    /// The field.
    pub field: String,
    /// The new value; none removes the field.
    pub value: Option<Value>,
}

/// A change to the actor's timers. A timer is known by its name; setting it again moves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// Fire a `timer.fired` with this name at that moment.
    Set {
        /// Name within the actor.
        name: String,
        /// When.
        at: At,
    },
    /// Do not fire it.
    Cancel {
        /// Name within the actor.
        name: String,
    },
}

/// What an event changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The head after the event.
    pub head: Head,
    /// Changes to side collections.
    pub sides: Vec<SideChange>,
    /// Changes to timers.
    pub timers: Vec<TimerChange>,
    /// Calls to make.
    pub effects: Vec<Effect>,
    /// Deliveries that took a turn, whole.
    pub deliveries: Vec<Delivery>,
    /// Segments entered (true) and left (false).
    pub memberships: Vec<(SegmentId, bool)>,
    /// Counters of the day to add to: `event:order.paid`, `nudge.sent:win_back:mass`, …
    pub counters: BTreeMap<String, i64>,
    /// Lines for the actor's timeline, oldest first.
    pub lines: Vec<Line>,
    /// What was weighed, for logs at debug and for `why`.
    pub trace: Vec<String>,
}

/// A schedule that walks over all actors of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// `segments`, `digest`, `journey:<id>`; `schedule.due` events carry it as `schedule`.
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// Over whom.
    pub over: ActorKind,
}

/// A judgement over a delivery at the moment its effect is handed to WeCom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Go,
    /// Not before that moment.
    Hold {
        /// The earliest moment worth another look.
        until: At,
        /// The guardrail, from the vocabulary of reasons.
        by: String,
    },
    /// It may not go any more.
    Drop {
        /// Why, from the vocabulary of reasons.
        by: String,
    },
}

/// A record that cannot be what it says: the event is set aside, the shard goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of {actor} is impossible: {what}")]
pub struct ImpossibleRecord {
    /// Whose.
    pub actor: Actor,
    /// What is wrong with it.
    pub what: String,
}

/// What `decide` will look up of the actor's side collections for this event.
#[must_use]
pub fn needs(_event: &Event) -> Vec<SideNeed> {
    todo!()
}

/// Decides what an event changes.
///
/// `now` is business time. A repeat of the same event is the caller's to prevent.
///
/// # Errors
/// When the record contradicts itself; the caller sets the event aside.
pub fn decide(_playbook: &Playbook, _record: Record, _event: &Event, _now: At) -> Result<Decision, ImpossibleRecord> {
    todo!()
}

/// Judges a delivery at the moment its effect is handed to WeCom, over the customer's record of that moment.
#[must_use]
pub fn at_send(_playbook: &Playbook, _customer: &Customer, _delivery: &DeliveryId, _now: At) -> Verdict {
    todo!()
}

/// The schedules that walk over all actors of a kind.
#[must_use]
pub fn sweeps(_playbook: &Playbook) -> Vec<Sweep> {
    todo!()
}
