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
    /// Its place in a trace, as a W3C `traceparent`. Decisions pass it on and read nothing from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
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

/// The types that Touchpoint itself gives meaning to.
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
    /// People joined a group.
    ///
    /// For the group: `chat_id`, `mem_change_list` (staff and customers mixed), `join_scene`, `last_mem_ver`,
    /// `cur_mem_ver`; for a customer who is one of them: `chat_id`, `join_scene`, `state`.
    pub const GROUP_JOINED: &str = "group.joined";
    /// People left a group; as [`GROUP_JOINED`], with `quit_scene`.
    pub const GROUP_LEFT: &str = "group.left";
    /// A group was made, dissolved, renamed or got another owner: `chat_id`, `change`, `update_detail`.
    pub const GROUP_CHANGED: &str = "group.changed";
    /// A kf account has news: `token`, `open_kfid`.
    pub const KF_WOKEN: &str = "kf.woken";
    /// A corp tag or tag group was made: `id`, `tag_type`.
    pub const TAG_CREATED: &str = "tag.created";
    /// A corp tag or tag group was renamed or moved: `change`, `id` (absent: the groups' own order), `tag_type`.
    pub const TAG_CHANGED: &str = "tag.changed";
    /// A corp tag was deleted, or a tag group with all its tags: `id`, `tag_type`.
    pub const TAG_DELETED: &str = "tag.deleted";
    /// The acquisition assistant (获客助手) needs an operator: `change`, `link_id`, `expire_time`, `expire_quota_num`.
    pub const ACQUISITION_ALERT: &str = "acquisition.alert";
    /// Somebody uses an acquisition link: `change`, `link_id`, `state`, `userid`; for the customer where one is named.
    pub const ACQUISITION_ACTIVITY: &str = "acquisition.activity";
    /// A member joined the company or was changed: `change`, `userid`, `new_userid`, `department`, `status`.
    pub const DIRECTORY_STAFF_CHANGED: &str = "directory.staff_changed";
    /// A member left the company: `userid`.
    pub const DIRECTORY_STAFF_LEFT: &str = "directory.staff_left";
    /// A department or a member tag was changed: `change`, `id` or `tag_id`.
    pub const DIRECTORY_CHANGED: &str = "directory.changed";
    /// An app is or may soon be cut off for want of use, or is back: `change`, `app`, `agent_id`, `effect_time`.
    pub const APP_INACTIVE: &str = "app.inactive";
    /// A staff member wrote to the app.
    pub const STAFF_MESSAGE: &str = "staff.message";
    /// A staff member tapped a card: `task_id`, `key`, `response_code`.
    pub const STAFF_CARD: &str = "staff.card";
    /// A staff member used the app's menu.
    pub const STAFF_MENU: &str = "staff.menu";
    /// A staff member opened the app.
    pub const STAFF_ENTERED: &str = "staff.entered";
    /// A callback that nothing handles: kept, counted, answered 200. `app`, `event`, `change`, `raw`.
    pub const CALLBACK_UNKNOWN: &str = "callback.unknown";
    /// A genuine callback whose inside cannot be read; to be set aside. `app`, `error`, `raw`.
    pub const CALLBACK_UNREADABLE: &str = "callback.unreadable";

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

    /// A nudge left; derived.
    pub const NUDGE_SENT: &str = "nudge.sent";
    /// The person who had to send a nudge did; derived.
    pub const NUDGE_CONFIRMED: &str = "nudge.confirmed";
    /// A nudge failed; derived.
    pub const NUDGE_FAILED: &str = "nudge.failed";
    /// A nudge will not go out; derived.
    pub const NUDGE_DROPPED: &str = "nudge.dropped";
    /// A prompt reached its staff member; derived.
    pub const PROMPT_SENT: &str = "prompt.sent";
    /// A staff member did what a prompt asked; derived.
    pub const PROMPT_DONE: &str = "prompt.done";
    /// A staff member put a prompt off; derived.
    pub const PROMPT_SNOOZED: &str = "prompt.snoozed";
    /// A staff member will not do what a prompt asked; derived.
    pub const PROMPT_DISMISSED: &str = "prompt.dismissed";

    /// A timer came due: `name`, `due` (milliseconds).
    pub const TIMER_FIRED: &str = "timer.fired";
    /// A schedule came due for this actor: `schedule`, `due` (milliseconds).
    pub const SCHEDULE_DUE: &str = "schedule.due";
    /// An effect of this actor ended well: `effect`, `call`, `answer`, `tries`.
    pub const EFFECT_DONE: &str = "effect.done";
    /// An effect of this actor failed for good: `effect`, `call`, `reason`, `errcode`, `tries`; of a change of tags also
    /// `userid`, `add`, `remove`.
    pub const EFFECT_FAILED: &str = "effect.failed";
    /// An effect of this actor was not attempted: `effect`, `call`, `reason`; of a change of tags as above.
    pub const EFFECT_DROPPED: &str = "effect.dropped";
    /// An effect of this actor waits: `effect`, `call`, `reason`, `until` (milliseconds).
    pub const EFFECT_HELD: &str = "effect.held";
    /// A customer asks a staff member to carry a delivery; `ask`, see `domain::staff::Ask`.
    pub const DELIVERY_WANTED: &str = "delivery.wanted";
    /// A staff member's answer to a customer about a delivery.
    pub const DELIVERY_ANSWERED: &str = "delivery.answered";
    /// A customer takes back what it asked a staff member to carry: `delivery`, `reason`.
    pub const DELIVERY_WITHDRAWN: &str = "delivery.withdrawn";
    /// A customer goes by this outside name: `customer`.
    pub const IDENTITY_BOUND: &str = "identity.bound";
    /// The playbook of the running server changed: `revision`.
    pub const PLAYBOOK_CHANGED: &str = "playbook.changed";
    /// A tag effect met names without a known id: `tags`, `refresh`.
    pub const TAGS_MISSING: &str = "tags.missing";
}
