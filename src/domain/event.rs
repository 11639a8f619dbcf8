//! Events: the one envelope in which everything that happens travels.

use chrono::serde::ts_milliseconds;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::At;
use super::actor::Actor;
use super::ids::EventId;

/// The most decisions a chain of actor-to-actor events may pass through.
pub const MOST_HOPS: u8 = 8;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What makes two copies the same: a callback's SHA-256 of its decrypted body, a business event's
    /// `source` + `id`, a timer's actor, name and due time, an effect's id for results and messages between actors.
    pub id: EventId,
    /// What happened: `contact.added`, `order.paid`, `timer.fired`, … (see [`types`]) or any `x.y` of a business system.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whom it is for.
    pub actor: Actor,
    /// When it happened, in business time.
    #[serde(with = "ts_milliseconds")]
    pub at: At,
    /// The fields that expressions see as `event.<name>`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// How many decisions lie between this event and the outside; at most [`MOST_HOPS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hops: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
fn is_zero(hops: &u8) -> bool {
    *hops == 0
}

impl Event {
    /// A text field of `data`; absent, null and empty alike are `None`.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// The types that Touchpoint itself gives meaning to; `playbook.md` section 2 lists the public ones.
pub mod types {
    /// A staff member and a customer became contacts.
    pub const CONTACT_ADDED: &str = "contact.added";
    /// The customer added the staff member without verification; not yet mutual.
    pub const CONTACT_HALF_ADDED: &str = "contact.half_added";
    /// The customer's details arrived; the id is the effect's that asked.
    pub const CONTACT_PROFILE: &str = "contact.profile";
    /// A relation found by sync.
    pub const CONTACT_SYNCED: &str = "contact.synced";
    /// A staff member edited remark or tags in the client.
    pub const CONTACT_EDITED: &str = "contact.edited";
    /// A staff member removed the customer.
    pub const CONTACT_DELETED: &str = "contact.deleted";
    /// The customer removed the staff member.
    pub const CONTACT_LOST: &str = "contact.lost";
    /// The customer went over to another staff member.
    pub const CONTACT_TRANSFERRED: &str = "contact.transferred";
    /// A transfer did not come about.
    pub const CONTACT_TRANSFER_FAILED: &str = "contact.transfer_failed";
    /// The customer wants no more nudges.
    pub const CUSTOMER_OPTED_OUT: &str = "customer.opted_out";
    /// The customer wants nudges again.
    pub const CUSTOMER_OPTED_IN: &str = "customer.opted_in";
    /// Attributes sent by a business system.
    pub const CUSTOMER_UPDATED: &str = "customer.updated";
    /// An order was paid.
    pub const ORDER_PAID: &str = "order.paid";
    /// An order was refunded, in part or whole.
    pub const ORDER_REFUNDED: &str = "order.refunded";
    /// The customer came to a store.
    pub const VISIT_MADE: &str = "visit.made";
    /// A renewal falls due.
    pub const RENEWAL_DUE: &str = "renewal.due";
    /// A renewal was paid.
    pub const RENEWAL_PAID: &str = "renewal.paid";
    /// A kf visitor came in.
    pub const KF_ENTERED: &str = "kf.entered";
    /// A kf visitor wrote.
    pub const KF_MESSAGE: &str = "kf.message";
    /// A survey was answered.
    pub const SURVEY_ANSWERED: &str = "survey.answered";
    /// A customer joined a group.
    pub const GROUP_JOINED: &str = "group.joined";
    /// A customer left a group.
    pub const GROUP_LEFT: &str = "group.left";
    /// A staff member wrote to the app.
    pub const STAFF_MESSAGE: &str = "staff.message";
    /// A staff member tapped a card: `task_id`, `key`, `response_code`.
    pub const STAFF_CARD: &str = "staff.card";
    /// A staff member used the app's menu.
    pub const STAFF_MENU: &str = "staff.menu";
    /// A staff member opened the app.
    pub const STAFF_ENTERED: &str = "staff.entered";
    /// A callback that nothing handles: kept, counted, answered 200.
    pub const CALLBACK_UNKNOWN: &str = "callback.unknown";

    /// A segment's condition became true; derived.
    pub const SEGMENT_ENTERED: &str = "segment.entered";
    /// A segment's condition became false; derived.
    pub const SEGMENT_LEFT: &str = "segment.left";
    /// A touchpoint was met; derived.
    pub const TOUCHPOINT_MET: &str = "touchpoint.met";
    /// A run began; derived.
    pub const JOURNEY_ENTERED: &str = "journey.entered";
    /// A run reached its goal; derived.
    pub const JOURNEY_GOAL: &str = "journey.goal";
    /// A run ended; derived.
    pub const JOURNEY_ENDED: &str = "journey.ended";

    /// A timer came due: `name`, `due` (milliseconds).
    pub const TIMER_FIRED: &str = "timer.fired";
    /// A schedule came due for this actor: `schedule`, `due` (milliseconds).
    pub const SCHEDULE_DUE: &str = "schedule.due";
    /// An effect of this actor ended well: `effect`, `call`, `answer`, `tries`.
    pub const EFFECT_DONE: &str = "effect.done";
    /// An effect of this actor failed for good: `effect`, `call`, `reason`, `errcode`, `tries`.
    pub const EFFECT_FAILED: &str = "effect.failed";
    /// An effect of this actor was not attempted: `effect`, `call`, `reason`.
    pub const EFFECT_DROPPED: &str = "effect.dropped";
    /// An effect of this actor waits: `effect`, `call`, `reason`, `until` (milliseconds).
    pub const EFFECT_HELD: &str = "effect.held";
    /// A customer asks a staff member to carry a delivery; see `decide::prompts`.
    pub const DELIVERY_WANTED: &str = "delivery.wanted";
    /// A staff member's answer to a customer about a delivery.
    pub const DELIVERY_ANSWERED: &str = "delivery.answered";
    /// The playbook of the running server changed: `revision`.
    pub const PLAYBOOK_CHANGED: &str = "playbook.changed";
    /// A tag effect met names without a known id: `tags`, `refresh`.
    pub const TAGS_MISSING: &str = "tags.missing";
}
