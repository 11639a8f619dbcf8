//! Deliveries: the life of what was wanted, from the wish to its end, each turn with its reason.

use std::collections::BTreeMap;

use chrono::serde::ts_milliseconds;
use serde::{Deserialize, Serialize};

use super::At;
use super::ids::{DeliveryId, EventId, ExternalUserId, JourneyId, MessageId, StepId, UserId};

/// One nudge, prompt or welcome and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name; also the id of the first effect that serves it.
    pub id: DeliveryId,
    /// For whom, or about whom.
    pub customer: ExternalUserId,
    /// What it is.
    pub kind: DeliveryKind,
    /// The journey that wants it; none for a welcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<JourneyId>,
    /// The step that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The message it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<MessageId>,
    /// A prompt's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The channel it goes by, once one is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The staff member it goes through, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staff: Option<UserId>,
    /// Who gets budget first; from the journey.
    #[serde(default)]
    pub priority: i64,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it stands there, in a fixed vocabulary (`decide::reasons`).
    pub reason: String,
    /// When it came to stand there.
    #[serde(with = "ts_milliseconds")]
    pub at: At,
    /// When it was wanted.
    #[serde(with = "ts_milliseconds")]
    pub wanted_at: At,
    /// Held longer than this it is dropped.
    #[serde(with = "ts_milliseconds")]
    pub hold_until: At,
    /// When the customer judges it again; none while it is with staff or with WeCom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again: Option<At>,
    /// Channels that refused it, each with its reason; they are not tried again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<Channel, String>,
    /// A prompt's due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<At>,
    /// The calendar day whose customer budget it counts against, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_on: Option<chrono::NaiveDate>,
    /// The event that made the journey want it.
    pub event: EventId,
    /// Every turn so far, oldest first, at most [`Delivery::TURNS_KEPT`]; what `why` tells.
    #[serde(default)]
    pub turns: Vec<Turn>,
}

impl Delivery {
    /// A delivery that is held day after day does not grow without end.
    pub const TURNS_KEPT: usize = 40;
}

/// One turn in a delivery's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// When.
    #[serde(with = "ts_milliseconds")]
    pub at: At,
    /// The state it came to.
    pub state: DeliveryState,
    /// The reason, from the fixed vocabulary.
    pub reason: String,
    /// What the reason speaks of: condition values, guardrail verdicts, channels tried, WeCom's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
}

/// What a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// A message to the customer that a journey wants.
    Nudge,
    /// A card that asks staff to do something.
    Prompt,
    /// The message of an adding.
    Welcome,
}

/// Where a delivery stands. Confirmed, failed and dropped are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// A decision wants it.
    Wanted,
    /// A guardrail holds it back for now.
    Held,
    /// WeCom took it.
    Sent,
    /// The person who had to act did.
    Confirmed,
    /// WeCom refused it, or nobody knows what became of it.
    Failed,
    /// It will not go out.
    Dropped,
}

impl DeliveryState {
    /// Whether nothing more can come of it.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Dropped)
    }
}

/// How a nudge reaches a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Within 20 s of being added, once.
    Welcome,
    /// 微信客服.
    Kf,
    /// 企业群发, confirmed by the owner.
    Mass,
    /// A card to the owner with the text ready.
    Staff,
    /// A customer group.
    Group,
    /// 朋友圈.
    Moment,
}
