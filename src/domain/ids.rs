//! Names, each its own type, so that one can never stand where another is meant.
//!
//! The field is private and the parser is the only door; `Deserialize` goes through the same door.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::actor::Actor;

/// A text that is not a valid name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// What the text was meant to name.
    pub kind: &'static str,
    /// The text as it was given.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Written without a copy, which `into = "String"` would make.
macro_rules! written_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        written_as_text!($name);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// When the text breaks the rule of this kind of name; the caller reports it to whoever wrote it.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(InvalidId { kind: $kind, text, rule: $rule }) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_plain(text: &str, longest_bytes: usize) -> bool {
    !text.is_empty() && text.len() <= longest_bytes && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn is_rule_id(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

id!(
    /// A customer as WeCom names them (`external_userid`); case-sensitive.
    ExternalUserId, "external_userid", "1 to 128 bytes without spaces", |t| is_plain(t, 128));
id!(
    /// A customer group (`chat_id`).
    ChatId, "chat_id", "1 to 128 bytes without spaces", |t| is_plain(t, 128));
id!(
    /// An account of 微信客服 (`open_kfid`).
    OpenKfId, "open_kfid", "1 to 128 bytes without spaces", |t| is_plain(t, 128));
id!(
    /// A tag as WeCom names it (`et…`).
    TagId, "tag id", "1 to 128 bytes without spaces", |t| is_plain(t, 128));
id!(
    /// An app of `wecom.apps`.
    AppId, "app name", "a lower-case letter, then lower-case letters, digits or _", is_rule_id);
id!(
    /// A touchpoint (触点) of the playbook.
    TouchpointId, "touchpoint id", "a lower-case letter, then lower-case letters, digits or _", is_rule_id);
id!(
    /// A segment (分层) of the playbook.
    SegmentId, "segment id", "a lower-case letter, then lower-case letters, digits or _", is_rule_id);
id!(
    /// A journey (旅程) of the playbook.
    JourneyId, "journey id", "a lower-case letter, then lower-case letters, digits or _", is_rule_id);
id!(
    /// A message of the playbook.
    MessageId, "message id", "a lower-case letter, then lower-case letters, digits or _", is_rule_id);
id!(
    /// A step of a journey: its `id:`, or its position (`3`, inside a branch `3.1.2`).
    StepId, "step id", "letters, digits, _ and .", |t| is_plain(t, 64));
id!(
    /// What makes two copies of one event the same; see [`crate::domain::event::Event::id`].
    EventId, "event id", "1 to 512 bytes", |t| !t.is_empty() && t.len() <= 512);
id!(
    /// An effect, and the delivery it serves: 26 characters of base32.
    ///
    /// It fits kf `msgid`, card `task_id` and WeCom's other limits.
    EffectId, "effect id", "26 characters of base32", |t| t.len() == 26
        && t.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));

/// A delivery is named like the first effect that serves it.
pub type DeliveryId = EffectId;

impl EffectId {
    /// The id of what `event` asks for at `position` in the decision for `actor`.
    ///
    /// The same event decided again gives the same ids; that is what makes a repeat recognisable.
    #[must_use]
    pub fn derive(event: &EventId, actor: &Actor, position: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(event.as_str())
            .chain_update([0])
            .chain_update(actor.to_string())
            .chain_update([0])
            .chain_update(position)
            .finalize();
        let text = data_encoding::BASE32_NOPAD.encode(&hash).to_ascii_lowercase();
        Self(text.chars().take(26).collect())
    }
}

/// A member of the company (成员), as WeCom spelled it; compared without regard to case, as WeCom does.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(String);

written_as_text!(UserId);

impl UserId {
    /// Parses a `userid`: 1 to 64 bytes of letters, digits, `_`, `.`, `-` and `@` (WeCom document 90195).
    ///
    /// # Errors
    /// When the text breaks that rule.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b));
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidId { kind: "userid", text, rule: "1 to 64 letters, digits, _ . - @" })
        }
    }

    /// The userid as it was spelled where it was first met.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The userid in lower case: the form that keys use.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for UserId {}
impl PartialOrd for UserId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for UserId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (left, right) = (self.0.bytes(), other.0.bytes());
        left.map(|b| b.to_ascii_lowercase()).cmp(right.map(|b| b.to_ascii_lowercase()))
    }
}
impl std::hash::Hash for UserId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}
impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for UserId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}
impl TryFrom<String> for UserId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}
impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

/// A tag as people write it: `group/name`; WeCom allows 30 characters for each half (WeCom document 92117).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TagName {
    text: String,
    slash: usize,
}

written_as_text!(TagName);

impl TagName {
    /// Parses `group/name`.
    ///
    /// # Errors
    /// When there is no slash, a half is empty, or a half is longer than 30 characters.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let rule = "group/name, each of 1 to 30 characters";
        let Some((group, name)) = text.split_once('/') else {
            return Err(InvalidId { kind: "tag", text, rule });
        };
        let fits = [group, name].iter().all(|half| (1..=30).contains(&half.chars().count()));
        let slash = group.len();
        if fits { Ok(Self { text, slash }) } else { Err(InvalidId { kind: "tag", text, rule }) }
    }

    /// The whole `group/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tag group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.text.get(..self.slash).unwrap_or_default()
    }

    /// The tag inside its group.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl FromStr for TagName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}
impl TryFrom<String> for TagName {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}
impl From<TagName> for String {
    fn from(tag: TagName) -> Self {
        tag.text
    }
}
