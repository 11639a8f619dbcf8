//! Effects: calls to the outside that a decision asks for, as data.
//!
//! An effect's body is frozen when it is decided. Names are resolved and guardrails asked again when it is sent.

use chrono::serde::ts_milliseconds;
use serde::{Deserialize, Serialize};

use super::At;
use super::actor::Actor;
use super::event::Event;
use super::ids::{DeliveryId, EffectId, ExternalUserId, TagName, UserId};

/// One call that a decision wants made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Its name; the id of its result event, `task_id` and the like are made from it.
    pub id: EffectId,
    /// Who asked; the effect lives in this actor's shard and its result comes back there.
    pub actor: Actor,
    /// Which outbox it waits in.
    pub lane: Lane,
    /// Not before this moment, in business time.
    #[serde(with = "ts_milliseconds")]
    pub not_before: At,
    /// After this moment it is dropped as too late.
    #[serde(with = "ts_milliseconds")]
    pub valid_until: At,
    /// Effects with the same text are never under way at once, and go in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// How far this is from the outside; see [`super::event::MOST_HOPS`].
    #[serde(default)]
    pub hops: u8,
    /// Its place in a trace; see [`super::event::Event::trace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The call.
    pub call: Call,
}

/// Which outbox an effect waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Welcomes and what they need, and messages between actors.
    Urgent,
    /// Everything else.
    Normal,
}

impl Lane {
    /// As Redis names its outbox.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "out",
        }
    }
}

/// What to call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Call {
    /// Read the customer and the staff member's name; the answer is a `contact.profile`.
    FetchProfile {
        /// Whom to read.
        customer: ExternalUserId,
        /// The pair's staff member, whose name is read too when given.
        userid: Option<UserId>,
    },
    /// Send the welcome of an adding.
    Welcome {
        /// Whom it greets.
        customer: ExternalUserId,
        /// Who added them.
        userid: UserId,
        /// WeCom's single-use code.
        code: String,
        /// The adding's `CreateTime`.
        #[serde(with = "ts_milliseconds")]
        since: At,
        /// What to say.
        message: Message,
    },
    /// Change the corp tags of one pair.
    Tag {
        /// The pair's staff member.
        userid: UserId,
        /// The pair's customer.
        customer: ExternalUserId,
        /// Tags to put on.
        add: Vec<TagName>,
        /// Tags to take off.
        remove: Vec<TagName>,
    },
    /// Look these tags up by group and name, and make those that are missing.
    EnsureTags {
        /// The tags, each with its group's and its own order (0 when the playbook says nothing).
        tags: Vec<WantedTag>,
    },
    /// Make one mass-send task (企业群发) for one sender.
    MassSend {
        /// Who will have to confirm.
        sender: UserId,
        /// Who gets it, with the delivery each serves.
        recipients: Vec<Recipient>,
        /// What it says.
        message: Message,
        /// Who was taken out by a guardrail when it was handed over; told with the result.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<LeftOut>,
    },
    /// Ask what became of a mass send.
    MassResult {
        /// Who had to confirm.
        sender: UserId,
        /// WeCom's name of the task.
        msgid: String,
    },
    /// Remind the sender of an unconfirmed mass send.
    MassRemind {
        /// WeCom's name of the task.
        msgid: String,
    },
    /// Send a staff member a card with buttons.
    StaffCard {
        /// Who gets it.
        userid: UserId,
        /// The delivery it serves, judged again when it is sent; none for a report or alert.
        delivery: Option<(ExternalUserId, DeliveryId)>,
        /// What it shows.
        card: Card,
    },
    /// Send a staff member a text.
    StaffText {
        /// Who gets it.
        userid: UserId,
        /// At most 2048 bytes.
        text: String,
    },
    /// Grey out a card's buttons and say what was chosen.
    CardUpdate {
        /// Whose copy.
        userid: UserId,
        /// The code that came with the tap.
        response_code: String,
        /// What stands in place of the buttons.
        replace_name: String,
    },
    /// Tell another actor something.
    Tell {
        /// The event it will receive; its id is this effect's id.
        event: Box<Event>,
    },
}

impl Call {
    /// The kind as it is written in records, metrics and `effect.*` events.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FetchProfile { .. } => "fetch_profile",
            Self::Welcome { .. } => "welcome",
            Self::Tag { .. } => "tag",
            Self::EnsureTags { .. } => "ensure_tags",
            Self::MassSend { .. } => "mass_send",
            Self::MassResult { .. } => "mass_result",
            Self::MassRemind { .. } => "mass_remind",
            Self::StaffCard { .. } => "staff_card",
            Self::StaffText { .. } => "staff_text",
            Self::CardUpdate { .. } => "card_update",
            Self::Tell { .. } => "tell",
        }
    }
}

/// A corp tag that the playbook wants to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedTag {
    /// Group and name.
    pub tag: TagName,
    /// The group's place in the list; larger first.
    #[serde(default)]
    pub group_order: u32,
}

/// One recipient of a mass send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Who.
    pub customer: ExternalUserId,
    /// The delivery this serves.
    pub delivery: DeliveryId,
}

/// A recipient whom a guardrail took out at the hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Who, and which delivery.
    #[serde(flatten)]
    pub recipient: Recipient,
    /// The guardrail, from the vocabulary of reasons.
    pub reason: String,
    /// When it is worth another look; none when it may not go any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<At>,
}

/// A rendered message to a customer (WeCom document 92137: text at most 4000 bytes, at most 9 attachments).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The text; may be empty when there are attachments.
    #[serde(default)]
    pub text: String,
    /// What comes with it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// Something that comes with a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// A link card.
    Link {
        /// At most 128 bytes.
        title: String,
        /// At most 512 bytes.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        desc: String,
        /// At most 2048 bytes.
        url: String,
        /// At most 2048 bytes.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        picurl: String,
    },
    /// An image by permanent URL.
    Image {
        /// From WeCom's permanent image upload.
        pic_url: String,
    },
    /// A mini program page.
    Miniprogram {
        /// At most 64 bytes.
        title: String,
        /// A temporary media id of the cover.
        pic_media_id: String,
        /// The mini program.
        appid: String,
        /// The page.
        page: String,
    },
}

/// A button card for staff (WeCom document 90236, `button_interaction`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Never reused within an app.
    pub task_id: EffectId,
    /// About 36 characters.
    pub title: String,
    /// About 44 characters.
    #[serde(default)]
    pub desc: String,
    /// Name and value, at most 6 lines.
    #[serde(default)]
    pub lines: Vec<(String, String)>,
    /// The text ready to send, shown under the lines; about 160 characters.
    #[serde(default)]
    pub text: String,
    /// Label and key, 1 to 6.
    pub buttons: Vec<(String, String)>,
}
