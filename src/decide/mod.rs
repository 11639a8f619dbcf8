//! Decisions: `(playbook, record, event, now) -> Decision`, pure.
//!
//! No clock, network, Redis or randomness; chance is a hash of the customer and a salt. The same event decided again
//! over the same record gives the same decision, byte for byte. In reading order:

// What every decision is made of.

/// Decisions in the making.
mod builder;

/// Reading an event's fields.
mod fields;

/// Moments.
mod moments;

/// Every reason a delivery can stand with.
pub mod reasons;

/// Guardrails (护栏) as pure predicates.
pub mod guardrails;

// A customer's event, in the order in which it does its work.

/// One customer's event, decided from end to end.
mod customer;

/// What each event changes in a customer's record.
mod fold;

/// Pairs of staff and customer.
mod contacts;

/// Orders and refunds.
mod orders;

/// What conditions and texts see.
mod facts;

/// Touchpoints (触点).
mod touchpoints;

/// Segments (分层).
mod segments;

/// Tags.
mod tags;

/// The welcome.
mod welcome;

/// Journeys (旅程).
mod journeys;

/// A journey's steps.
mod steps;

/// Nudges (触达).
mod nudges;

/// Budgets of contacts per customer.
mod budgets;

/// What is asked of staff, from the customer's side.
mod asking;

/// Messages with their words put in.
mod messages;

/// Deliveries and their turns.
mod deliveries;

/// The last look before an effect is handed to WeCom.
mod hand_over;

// A staff member's event.

/// What a staff member's record makes of an event.
mod staff;

/// A staff member's record laid out for one decision.
mod desk;

/// What customers want a staff member to carry.
mod asks;

/// Cards to staff, from sending to closing.
mod cards;

/// What cards and texts to staff say.
mod card_words;

/// A staff member's answers on cards.
mod taps;

/// Mass sends, from collecting to the last recipient's outcome.
mod mass;

/// The morning to-do list.
mod digest;

// Everybody else's.

/// The company's record: tags and alerts.
mod corp;

/// Events of people who are not known yet.
mod identity;

/// Customer groups.
mod group;

/// Accounts of 微信客服.
mod kf;

// What people are told of it.

/// The chain from event to send or non-send, in words.
pub mod why;

/// The words of that chain.
mod why_words;

#[cfg(test)]
mod journeys_tests;

#[cfg(test)]
mod nudges_tests;

#[cfg(test)]
mod properties;

#[cfg(test)]
mod record_tests;

#[cfg(test)]
mod segments_tests;

#[cfg(test)]
mod welcome_tests;

#[cfg(test)]
mod whole_tests;

#[cfg(test)]
mod wrong_types_tests;

/// One customer and a clock, for tests.
#[cfg(test)]
mod stage;

/// Customers, staff and a WeCom whose answers a test chooses, for stories.
#[cfg(test)]
mod town;

/// Customers, staff and a WeCom that delays and refuses, for properties.
#[cfg(test)]
mod company;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::At;
use crate::domain::actor::{Actor, ActorKind};
use crate::domain::corp::{Corp, Group, Identity, KfAccount};
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, ExternalUserId, JourneyId, SegmentId, UserId};
use crate::domain::staff::Staff;
use crate::domain::timeline::Line;
use crate::playbook::model::{Enter, Journey, Playbook, Schedule};

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

impl Head {
    /// Whose head it can be.
    #[must_use]
    pub fn kind(&self) -> ActorKind {
        match self {
            Self::Customer(_) => ActorKind::Customer,
            Self::Staff(_) => ActorKind::Staff,
            Self::Corp(_) => ActorKind::Corp,
            Self::Group(_) => ActorKind::Group,
            Self::Kf(_) => ActorKind::Kf,
            Self::Identity(_) => ActorKind::Identity,
        }
    }
}

impl From<Customer> for Head {
    fn from(customer: Customer) -> Self {
        Self::Customer(Box::new(customer))
    }
}
impl From<Staff> for Head {
    fn from(staff: Staff) -> Self {
        Self::Staff(staff)
    }
}
impl From<Corp> for Head {
    fn from(corp: Corp) -> Self {
        Self::Corp(corp)
    }
}
impl From<Group> for Head {
    fn from(group: Group) -> Self {
        Self::Group(group)
    }
}
impl From<KfAccount> for Head {
    fn from(account: KfAccount) -> Self {
        Self::Kf(account)
    }
}
impl From<Identity> for Head {
    fn from(identity: Identity) -> Self {
        Self::Identity(identity)
    }
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
pub fn needs(event: &Event) -> Vec<SideNeed> {
    match event.actor.kind() {
        ActorKind::Customer => Vec::new(),
        ActorKind::Staff => staff::needs(event),
        ActorKind::Corp => corp::needs(event),
        ActorKind::Group => group::needs(event),
        ActorKind::Kf => kf::needs(event),
        ActorKind::Identity => identity::needs(event),
    }
}

/// Decides what an event changes.
///
/// `now` is business time. A repeat of the same event is the caller's to prevent.
///
/// # Errors
/// When the record contradicts itself; the caller sets the event aside.
pub fn decide(playbook: &Playbook, record: Record, event: &Event, now: At) -> Result<Decision, ImpossibleRecord> {
    match event.actor.kind() {
        ActorKind::Customer => customer::decide(playbook, record, event, now),
        ActorKind::Staff => staff::decide(playbook, record, event, now),
        ActorKind::Corp => corp::decide(playbook, record, event, now),
        ActorKind::Group => group::decide(playbook, record, event, now),
        ActorKind::Kf => kf::decide(playbook, record, event, now),
        ActorKind::Identity => identity::decide(playbook, record, event, now),
    }
}

/// Who answers for a customer, as the playbook says; none for somebody whom nobody follows.
#[must_use]
pub fn owner_of<'a>(playbook: &Playbook, customer: &'a Customer) -> Option<&'a UserId> {
    facts::owner(playbook, customer).map(|(userid, _)| userid)
}

/// Whether a journey leaves a customer alone on purpose, to measure what it changes: chance, but the same for ever.
#[must_use]
pub fn is_held_out(journey: &Journey, customer: &ExternalUserId) -> bool {
    journeys::is_held_out(&journey.id, journey.holdout, customer)
}

/// Judges a delivery at the moment its effect is handed to WeCom, over the customer's record of that moment.
#[must_use]
pub fn at_send(playbook: &Playbook, customer: &Customer, delivery: &DeliveryId, now: At) -> Verdict {
    hand_over::judge(playbook, customer, delivery, now)
}

/// The schedules that walk over all actors of a kind.
#[must_use]
pub fn sweeps(playbook: &Playbook) -> Vec<Sweep> {
    let segments =
        Sweep { name: SEGMENT_SWEEP.to_owned(), schedule: playbook.sweep.clone(), over: ActorKind::Customer };
    let digest = playbook.staff.digest.iter().map(|schedule| Sweep {
        name: "digest".to_owned(),
        schedule: schedule.clone(),
        over: ActorKind::Staff,
    });
    let journeys = playbook.journeys.iter().filter_map(|journey| match &journey.enter {
        Enter::Schedule(schedule) => {
            Some(Sweep { name: journey_sweep(&journey.id), schedule: schedule.clone(), over: ActorKind::Customer })
        }
        Enter::Segment(_) | Enter::Touchpoint(_) | Enter::Event(_) => None,
    });
    std::iter::once(segments).chain(digest).chain(journeys).collect()
}

/// The sweep that looks at segments for what only time changes.
const SEGMENT_SWEEP: &str = "segments";

/// The timer at which a customer's nudges are judged.
const JUDGE: &str = "judge";

/// The sweep that lets customers into a scheduled journey.
fn journey_sweep(journey: &JourneyId) -> String {
    format!("journey:{journey}")
}
