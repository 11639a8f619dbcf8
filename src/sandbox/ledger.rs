//! The independent book: what was asked of WeCom, what people received, what was called back.
//!
//! All three lists only grow, and each is numbered from 1 without gaps.

use serde::Serialize;
use serde_json::Value;

use crate::domain::At;

/// One call of the API, in the order of acceptance. Access tokens and secrets are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogEntry {
    /// Its number.
    pub seq: u64,
    /// When it was decided, in business time.
    pub at: At,
    /// The path behind `/cgi-bin/`, such as `externalcontact/mark_tag`.
    pub api: String,
    /// Whose token it carried.
    pub app: Option<String>,
    /// The query's fields and, for a POST, `body`.
    pub request: Value,
    /// WeCom's verdict; 404 for a path that it does not have.
    pub errcode: i64,
    /// With its hint; `ok` when it was taken.
    pub errmsg: String,
    /// Real milliseconds from the request to the verdict.
    pub latency_ms: u64,
    /// What became of the answer.
    pub fate: Fate,
}

impl LogEntry {
    /// Whether WeCom took the call, answered or not.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.errcode == 0 && self.fate != Fate::Cut
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was sent.
    Answered,
    /// The call was taken and the connection cut.
    Lost,
    /// The call was taken and half an answer sent.
    Half,
    /// The call was taken and its answer held.
    Held,
    /// The connection was cut before the call was looked at; `errcode` means nothing.
    Cut,
}

/// Something that reached a person, or a tag that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receipt {
    /// Its number.
    pub seq: u64,
    /// When, in business time.
    pub at: At,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What reached whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A customer got the welcome of a staff member.
    Welcome {
        /// Who got it.
        customer: String,
        /// In whose name.
        userid: String,
        /// The words.
        text: String,
        /// WeCom's attachment objects.
        attachments: Vec<Value>,
        /// How long after the adding.
        after_ms: i64,
    },
    /// A staff member was asked to confirm a mass send.
    MassTask {
        /// Who has to confirm.
        userid: String,
        /// The task.
        msgid: String,
        /// The words.
        text: String,
        /// For whom.
        customers: Vec<String>,
    },
    /// A staff member was reminded of a mass send.
    MassReminder {
        /// Who was reminded.
        userid: String,
        /// The task.
        msgid: String,
    },
    /// A customer got a mass send that its sender confirmed.
    Mass {
        /// Who got it.
        customer: String,
        /// Who confirmed.
        userid: String,
        /// The task.
        msgid: String,
        /// The words.
        text: String,
        /// WeCom's attachment objects.
        attachments: Vec<Value>,
    },
    /// A confirmed mass send did not reach a customer.
    MassNotSent {
        /// Who did not get it.
        customer: String,
        /// Who confirmed.
        userid: String,
        /// The task.
        msgid: String,
        /// 2: no longer friends; 3: the customer's limit is reached.
        status: i64,
    },
    /// A tag came on a pair.
    Tagged {
        /// The pair's customer.
        customer: String,
        /// The pair's staff member.
        userid: String,
        /// `group/name`.
        tag: String,
    },
    /// A tag went off a pair.
    Untagged {
        /// The pair's customer.
        customer: String,
        /// The pair's staff member.
        userid: String,
        /// `group/name`.
        tag: String,
    },
    /// A staff member got a card.
    Card {
        /// Who got it.
        userid: String,
        /// The card.
        task_id: String,
        /// `main_title.title`.
        title: String,
        /// The whole card.
        card: Value,
    },
    /// A staff member's card changed.
    CardUpdated {
        /// Whose card.
        userid: String,
        /// The card.
        task_id: String,
        /// The words that stand where the buttons were, when only those changed.
        replace_name: Option<String>,
        /// The new card, when it was replaced.
        card: Option<Value>,
    },
    /// A staff member tapped a card.
    Tapped {
        /// Who tapped.
        userid: String,
        /// The card.
        task_id: String,
        /// The button.
        key: String,
    },
    /// A staff member got a text.
    Text {
        /// Who got it.
        userid: String,
        /// The words, cut at 2048 bytes as WeCom does.
        content: String,
    },
    /// A staff member got a markdown text.
    Markdown {
        /// Who got it.
        userid: String,
        /// The words.
        content: String,
    },
    /// A message to a staff member went over 30 a minute or 1000 an hour and was dropped without an error.
    Dropped {
        /// Who did not get it.
        userid: String,
        /// Its `msgtype`.
        msgtype: String,
    },
    /// An identical message came again within its interval and was not delivered again.
    Repeated {
        /// The `touser` of the call.
        touser: String,
        /// Its `msgtype`.
        msgtype: String,
    },
}

impl What {
    /// The customer it concerns.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        match self {
            Self::Welcome { customer, .. }
            | Self::Mass { customer, .. }
            | Self::MassNotSent { customer, .. }
            | Self::Tagged { customer, .. }
            | Self::Untagged { customer, .. } => Some(customer),
            Self::MassTask { .. }
            | Self::MassReminder { .. }
            | Self::Card { .. }
            | Self::CardUpdated { .. }
            | Self::Tapped { .. }
            | Self::Text { .. }
            | Self::Markdown { .. }
            | Self::Dropped { .. }
            | Self::Repeated { .. } => None,
        }
    }
}

/// One callback to one app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallbackRecord {
    /// Its number.
    pub seq: u64,
    /// When it happened, in business time.
    pub at: At,
    /// The app it goes to.
    pub app: String,
    /// `Event`, or `Event/ChangeType`, or the `MsgType`.
    pub event: String,
    /// The message inside, before encryption.
    pub body: String,
    /// Whether the drop switch swallowed it.
    pub dropped: bool,
    /// Every try.
    pub attempts: Vec<Attempt>,
}

impl CallbackRecord {
    /// Whether some try was answered 200.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.status == Some(200))
    }
}

/// One try to deliver a callback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// The HTTP status; none without an answer within 5 s.
    pub status: Option<u16>,
    /// Real milliseconds until the answer or the end of the try.
    pub ms: u64,
    /// Why there was no answer.
    pub error: Option<String>,
}
