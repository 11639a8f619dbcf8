//! Staff and customers, their habits, and what they can do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spans;

/// How a staff member treats mass sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// Confirms that long after being asked.
    After(#[serde(with = "spans")] Duration),
    /// Confirms that long after the first reminder.
    AfterReminder(#[serde(with = "spans")] Duration),
    /// Leaves them.
    Never,
}

/// How a staff member treats cards of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapHabit {
    /// Part of the card's title; empty for every card.
    #[serde(default)]
    pub title: String,
    /// The button: its key, the part of its key before a `:`, or its text.
    pub button: String,
    /// How long after the card came.
    #[serde(with = "spans")]
    pub after: Duration,
}

/// A member of the company with habits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staff {
    /// The member's account.
    pub userid: String,
    /// What colleagues read.
    pub name: String,
    /// Mass sends.
    #[serde(default = "Staff::never")]
    pub confirms: Confirm,
    /// Cards; the first that fits counts, and a card that none fits stays untouched.
    #[serde(default)]
    pub taps: Vec<TapHabit>,
    /// Whether the member may have customers (客户联系 使用范围).
    #[serde(default = "Staff::yes")]
    pub customer_contact: bool,
    /// The admin console has a welcome message for this member, so no welcome code is given.
    #[serde(default)]
    pub console_welcome: bool,
}

impl Staff {
    /// A member who may have customers and touches nothing.
    #[must_use]
    pub fn new(userid: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            userid: userid.into(),
            name: name.into(),
            confirms: Confirm::Never,
            taps: Vec::new(),
            customer_contact: true,
            console_welcome: false,
        }
    }

    /// The same, confirming mass sends like this.
    #[must_use]
    pub fn confirming(mut self, confirms: Confirm) -> Self {
        self.confirms = confirms;
        self
    }

    /// The same, with one more habit about cards.
    #[must_use]
    pub fn tapping(mut self, title: impl Into<String>, button: impl Into<String>, after: Duration) -> Self {
        self.taps.push(TapHabit { title: title.into(), button: button.into(), after });
        self
    }

    const fn never() -> Confirm {
        Confirm::Never
    }

    const fn yes() -> bool {
        true
    }
}

/// A customer who adds a staff member.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adding {
    /// Who adds (`wm…`; `wo…` is a WeCom user of another company).
    pub customer: String,
    /// Whom.
    pub userid: String,
    /// The customer's name; a number is given to one that has none.
    #[serde(default)]
    pub name: Option<String>,
    /// The state of the code that was scanned.
    #[serde(default)]
    pub state: Option<String>,
    /// 1 (a QR code) unless given; WeCom document 92114.
    #[serde(default)]
    pub add_way: Option<i64>,
    /// Comes as `add_half_external_contact` first and as `add_external_contact` that much later.
    #[serde(default, with = "spans::maybe")]
    pub half_first: Option<Duration>,
    /// Stands in the profile from now on, as it does when the corp has bound a WeChat developer id.
    #[serde(default)]
    pub unionid: Option<String>,
}

/// Something that a person does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are named after what they hold, and each variant says what happens")]
pub enum Act {
    /// A customer adds a staff member, for the first time or again.
    CustomerAdds(Adding),
    /// A half-added customer becomes a friend.
    Befriends { customer: String, userid: String },
    /// A customer deletes a staff member.
    CustomerDeletes { customer: String, userid: String },
    /// A staff member deletes a customer.
    StaffDeletes { userid: String, customer: String },
    /// A staff member edits remark and tags (`group/name`) in the client.
    StaffEdits {
        userid: String,
        customer: String,
        #[serde(default)]
        remark: Option<String>,
        #[serde(default)]
        add_tags: Vec<String>,
        #[serde(default)]
        remove_tags: Vec<String>,
    },
    /// The pair has chatted; no welcome code is given after that.
    Chats { customer: String, userid: String },
    /// An in-service transfer moves a customer.
    Transfers { customer: String, from: String, to: String },
    /// A staff member confirms a mass send.
    Confirms { userid: String, msgid: String },
    /// A staff member taps a card.
    Taps { userid: String, task_id: String, key: String },
    /// A staff member writes to an app.
    Writes { userid: String, app: String, text: String },
    /// An admin deletes a corp tag (`group/name`) in the console; every pair loses it.
    DeletesTag { tag: String },
}

/// An act, or a control request, that makes no sense in this world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// No such member.
    #[error("there is no staff member {0:?}: hire one with POST /control/staff")]
    NoStaff(String),
    /// No such customer.
    #[error("there is no customer {0:?}: let one come with POST /control/customers/{{id}}/add")]
    NoCustomer(String),
    /// Staff member and customer are not in contact.
    #[error("{customer:?} is no contact of {userid:?}")]
    NoRelation {
        /// The staff member.
        userid: String,
        /// The customer.
        customer: String,
    },
    /// They are in contact already.
    #[error("{customer:?} has added {userid:?} already")]
    Related {
        /// The staff member.
        userid: String,
        /// The customer.
        customer: String,
    },
    /// No such app.
    #[error("there is no app {0:?}")]
    NoApp(String),
    /// No such tag.
    #[error("there is no tag {0:?}; tags are written group/name")]
    NoTag(String),
    /// No such mass send for that member.
    #[error("{userid:?} has no mass send {msgid:?} to confirm")]
    NoMassTask {
        /// The staff member.
        userid: String,
        /// The task.
        msgid: String,
    },
    /// No such card for that member.
    #[error("{userid:?} has no card {task_id:?}")]
    NoCard {
        /// The staff member.
        userid: String,
        /// The card.
        task_id: String,
    },
    /// The card has no such button now.
    #[error("the card has no button {key:?} now; it has {live:?}")]
    NoButton {
        /// What was tapped.
        key: String,
        /// The keys that can be tapped.
        live: Vec<String>,
    },
    /// Not an API of this sandbox.
    #[error("there is no API {0:?}; one is externalcontact/mark_tag")]
    NoApi(String),
    /// The app's token or key cannot be used.
    #[error("the callback settings of app {0:?} cannot be used: {1}")]
    BadKeys(String, String),
}
