//! A customer's living record: what decisions read and write, nothing that can be worked out from it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::At;
use super::delivery::{Channel, Delivery};
use super::ids::{DeliveryId, EventId, ExternalUserId, JourneyId, SegmentId, StepId, TagName, TouchpointId, UserId};
use super::money::Fen;

/// One customer. Each field here is one readable field of the record's hash in Redis; absent means the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Who it is.
    pub id: ExternalUserId,
    /// WeChat nickname, once the profile is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// 1 WeChat user, 2 WeCom user (WeCom document 92114).
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<i64>,
    /// 0 unknown, 1 male, 2 female.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gender: Option<i64>,
    /// Known when the corp has bound a WeChat developer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unionid: Option<String>,
    /// As a business system sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The customer's number in a member system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// When first added by anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<At>,
    /// The contact way's state of the first adding that carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// WeCom's `add_way` of the first adding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_way: Option<i64>,
    /// The pairs this customer is part of, those that ended included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub followers: BTreeMap<UserId, Follower>,
    /// No nudges or surveys.
    #[serde(default, skip_serializing_if = "is_false")]
    pub opted_out: bool,
    /// Orders inside the longest window any rule looks at; fully refunded ones stay until they leave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_list: Vec<Order>,
    /// Orders ever paid and not fully refunded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub orders: u64,
    /// Sum ever paid less refunds.
    #[serde(default, skip_serializing_if = "is_no_money")]
    pub spend: Fen,
    /// Refunds whose order has not come yet, by order id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub early_refunds: BTreeMap<String, Fen>,
    /// First payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_order_at: Option<At>,
    /// Latest payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_order_at: Option<At>,
    /// Visits ever made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub visits: u64,
    /// Latest visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_visit_at: Option<At>,
    /// Latest inbound act: a kf entry or message, an order, a visit, a survey's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<At>,
    /// Latest nudge that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outbound_at: Option<At>,
    /// When the next renewal falls due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<At>,
    /// Latest satisfaction score, 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csat: Option<i64>,
    /// Latest recommendation score, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nps: Option<i64>,
    /// Customer groups the customer is in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Whatever business systems sent with `customer.updated`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attrs: Map<String, Value>,
    /// Touchpoints met.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub touches: BTreeMap<TouchpointId, Touches>,
    /// Segments the customer is in, each with the moment of entering.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<SegmentId, At>,
    /// Journeys under way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<JourneyId, Run>,
    /// The latest ended run of each journey, for `again` and for `why`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub past_runs: BTreeMap<JourneyId, PastRun>,
    /// Why a journey that was triggered last was or was not entered; for `why`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub considered: BTreeMap<JourneyId, Considered>,
    /// Deliveries that have not come to an end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Contacts that count against `customer_budget`, by calendar day in the server's zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contacts: BTreeMap<NaiveDate, u32>,
    /// Nudges that were taken back while they may have been on their way: each counts like a contact until staff say
    /// what became of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_back: BTreeMap<DeliveryId, TakenBack>,
    /// Mass sends of the last weeks, by calendar day in the server's zone: WeCom has a quota of its own for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mass_sends: BTreeMap<NaiveDate, u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
fn is_no_money(amount: &Fen) -> bool {
    amount.0 == 0
}

/// One (staff, customer) pair.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Follower {
    /// The staff member's name, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the pair was made; whichever of half-added and added came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<At>,
    /// The contact way's state of this adding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When and how the pair ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Corp tags on the pair as we believe them to be once everything asked for has happened.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<TagName>,
    /// Those of `tags` that Touchpoint set; only these does it ever take away.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ours: BTreeSet<TagName>,
    /// The latest adding's moment; an end that happened before it came late and ends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<At>,
    /// When both had added each other; absent while the pair is half-added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual_at: Option<At>,
    /// A welcome code of this adding was taken up, and nothing says that it came too late.
    #[serde(default, skip_serializing_if = "is_false")]
    pub greeted: bool,
    /// The welcome of this adding, until it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<PendingWelcome>,
}

/// A welcome that waits for the profile, at most until 8 s after the adding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingWelcome {
    /// WeCom's single-use code.
    pub code: String,
    /// The adding's `CreateTime`: the 20 s count from here.
    pub since: At,
    /// The adding's event id, from which the welcome's effect id is derived.
    pub event: EventId,
    /// Touchpoints that the adding met; the welcome rules look at these.
    pub touchpoints: BTreeSet<TouchpointId>,
}

/// How a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: At,
    /// By whom.
    pub by: EndedBy,
}

/// Who ended a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The staff member removed the customer.
    Staff,
    /// The customer removed the staff member.
    Customer,
    /// The customer went over to another staff member.
    Transfer,
}

/// A nudge that was taken back while it may have been on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The channel it was to go by.
    pub channel: Channel,
    /// After this moment it can no longer be on its way.
    pub until: At,
}

/// One paid order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The shop's number, or the event's id when it sent none.
    pub id: String,
    /// When it was paid.
    pub at: At,
    /// What was paid.
    pub amount: Fen,
    /// What was given back so far.
    #[serde(default, skip_serializing_if = "is_no_money")]
    pub refunded: Fen,
    /// What was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

/// How often and when a touchpoint was met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Touches {
    /// Times ever.
    pub count: u64,
    /// The latest times, oldest first, at most [`Touches::KEPT`].
    pub recent: Vec<At>,
}

impl Touches {
    /// How many times `touched(id, "3d")` can look back on.
    pub const KEPT: usize = 50;
}

/// A journey under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When the customer entered.
    pub entered_at: At,
    /// The event that let the customer in; ids of what the run wants are derived from it.
    pub event: EventId,
    /// That event's fields: what `event.` means to the run's steps and texts, however late they come.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger: Map<String, Value>,
    /// Treated, or left alone on purpose.
    pub arm: Arm,
    /// The step the run stands at.
    pub step: StepId,
    /// What it waits for there.
    pub waiting: Waiting,
    /// Deliveries the run wanted so far, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<DeliveryId>,
    /// Times round, to keep ids apart when a step is passed again.
    #[serde(default)]
    pub passed: u32,
}

/// Which side of the measurement a run is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Gets what the journey says.
    Treated,
    /// Left alone to measure against.
    HeldOut,
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Waiting {
    /// A moment; a timer `run:<journey>` is set for it.
    Until {
        /// The moment.
        at: At,
    },
    /// A nudge to leave before the `wait` behind it starts to count.
    Sent {
        /// The nudge.
        delivery: DeliveryId,
    },
    /// A touchpoint, event or done prompt; a timer is set for the latest moment.
    Something {
        /// The latest moment.
        at: At,
    },
    /// Nothing: the run only watches for its goal until then.
    Goal {
        /// When the goal's window closes.
        at: At,
    },
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastRun {
    /// When the customer entered.
    pub entered_at: At,
    /// When the run ended.
    pub ended_at: At,
    /// `goal`, `exit`, `finished`, `step removed`, or the reason of a `stop`.
    pub reason: String,
    /// Treated or held out.
    pub arm: Arm,
}

/// What became of the latest trigger of a journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Considered {
    /// When.
    pub at: At,
    /// The event that triggered it.
    pub event: EventId,
    /// `entered`, `held out`, or why not: `already inside`, `not again before …`, `where: …`.
    pub outcome: String,
}

impl Customer {
    /// A record that knows nothing yet.
    #[must_use]
    pub fn new(id: ExternalUserId) -> Self {
        Self {
            id,
            name: None,
            kind: None,
            gender: None,
            unionid: None,
            phone: None,
            member_id: None,
            added_at: None,
            state: None,
            add_way: None,
            followers: BTreeMap::new(),
            opted_out: false,
            order_list: Vec::new(),
            orders: 0,
            spend: Fen(0),
            early_refunds: BTreeMap::new(),
            first_order_at: None,
            last_order_at: None,
            visits: 0,
            last_visit_at: None,
            last_inbound_at: None,
            last_outbound_at: None,
            renews_at: None,
            csat: None,
            nps: None,
            groups: BTreeSet::new(),
            attrs: Map::new(),
            touches: BTreeMap::new(),
            segments: BTreeMap::new(),
            runs: BTreeMap::new(),
            past_runs: BTreeMap::new(),
            considered: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            contacts: BTreeMap::new(),
            taken_back: BTreeMap::new(),
            mass_sends: BTreeMap::new(),
        }
    }

    /// Pairs that have not ended.
    pub fn following(&self) -> impl Iterator<Item = (&UserId, &Follower)> {
        self.followers.iter().filter(|(_, follower)| follower.ended.is_none())
    }

    /// Had contacts, and has none any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !self.followers.is_empty() && self.following().next().is_none()
    }
}
