//! A staff member's record: a small head; asks, open cards and mass sends lie in side collections.
//!
//! A head is read at every event of the staff member, a side collection only by the events that need it, so that
//! a staff member with 10,000 customers costs no more than one with ten.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::At;
use super::delivery::{Channel, DeliveryKind};
use super::effect::Message;
use super::ids::{DeliveryId, EffectId, ExternalUserId, JourneyId, UserId};

/// The head of a staff member's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staff {
    /// Who it is.
    pub id: UserId,
    /// What `staff_budget` counts, by calendar day in the server's zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budget: BTreeMap<NaiveDate, u32>,
    /// When the asks that wait will be judged next, if any wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_at: Option<At>,
    /// When the collected mass sends will be flushed next, if any are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_at: Option<At>,
    /// When a digest that quiet hours held back goes out, if one waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<At>,
    /// When the latest digest went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digested_at: Option<At>,
}

impl Staff {
    /// A record that knows nothing yet.
    #[must_use]
    pub fn new(id: UserId) -> Self {
        Self { id, budget: BTreeMap::new(), judge_at: None, flush_at: None, digest_at: None, digested_at: None }
    }
}

/// What a customer asks a staff member to carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The delivery.
    pub delivery: DeliveryId,
    /// For whom, or about whom.
    pub customer: ExternalUserId,
    /// What to call them on a card.
    #[serde(default)]
    pub customer_name: String,
    /// What the staff member who is asked is called, when the customer's record knows it; for reports to managers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub staff_name: String,
    /// Nudge or prompt.
    pub kind: DeliveryKind,
    /// `mass` or `staff`; a prompt is always `staff`.
    pub channel: Channel,
    /// The journey that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<JourneyId>,
    /// The journey's name, for the card.
    #[serde(default)]
    pub journey_name: String,
    /// A prompt's title.
    #[serde(default)]
    pub title: String,
    /// Why now, in one sentence.
    #[serde(default)]
    pub why: String,
    /// What to say, rendered.
    #[serde(default)]
    pub message: Message,
    /// Who gets budget first.
    pub priority: i64,
    /// When it was wanted.
    pub wanted_at: At,
    /// Held longer than this it is refused.
    pub hold_until: At,
    /// A prompt's due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<At>,
    /// Granted and collected for the next flush (mass only).
    #[serde(default)]
    pub collected: bool,
}

/// An ask and how far it has come. Side collection `asks`, by delivery id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandingAsk {
    /// The ask.
    #[serde(flatten)]
    pub ask: Ask,
    /// The guardrail that holds it and until when, as the customer was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<(String, At)>,
    /// The mass send that carries it, until WeCom has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<EffectId>,
}

/// A card that stands open at a staff member. Side collection `cards`, by task id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCard {
    /// The ask it shows; its due time counts from the sending.
    pub ask: Ask,
    /// Where it stands.
    pub state: CardState,
    /// When it was sent last.
    pub sent_at: At,
    /// Since when the staff member has owed an answer: the first sending, or the return from a snooze.
    pub unanswered_since: At,
    /// Whether the customer's record knows that it was sent.
    #[serde(default)]
    pub told_sent: bool,
    /// Whether the reminder has gone out.
    #[serde(default)]
    pub reminded: bool,
    /// Whether the managers were told.
    #[serde(default)]
    pub escalated: bool,
    /// The calendar day whose staff budget this card counts against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_on: Option<NaiveDate>,
    /// WeCom's single-use code for an update, from the sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<String>,
    /// When something is to be done about it without being asked; a timer `card:<task>` is set for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakes_at: Option<At>,
    /// The card that took its place: a reminder, or the return from a snooze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<EffectId>,
    /// How it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
}

/// How a card was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// 已完成.
    Done,
    /// 已发送.
    Sent,
    /// 不需要 or 不发送.
    Dismissed,
    /// The customer's record took it back.
    Withdrawn,
    /// Nobody answered for too long.
    Expired,
}

/// Where a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    /// On its way to WeCom.
    Asked,
    /// With the staff member.
    Open,
    /// Put off until a timer.
    Snoozed,
    /// Closed; kept a while so that a second tap is understood.
    Closed,
}

/// A mass send that waits for its sender. Side collection `mass`, by effect id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenMass {
    /// The effect that made the task.
    pub effect: EffectId,
    /// WeCom's name of the task, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msgid: Option<String>,
    /// Who gets it and whose outcome is not known yet.
    pub recipients: BTreeMap<ExternalUserId, DeliveryId>,
    /// What it says, for the digest.
    #[serde(default)]
    pub text: String,
    /// When the task was made.
    pub made_at: At,
    /// How often it was asked after.
    #[serde(default)]
    pub polls: u32,
    /// The effect that asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<EffectId>,
    /// When it is asked after next.
    pub next_poll: At,
    /// How often the sender was reminded.
    #[serde(default)]
    pub reminders: u32,
    /// The sender is reminded once the answer under way shows that somebody still waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reminds_next: bool,
    /// When something is to be done about it; a timer `mass:<effect>` is set for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakes_at: Option<At>,
}
