//! Actors: whom an event is for, and the unit of state, order and ownership.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::ids::{ChatId, ExternalUserId, InvalidId, OpenKfId, UserId};

/// Whom an event is for. As text: `customer:wm…`, `staff:lili`, `kf:wk…`, `identity:unionid:o…`, `group:wr…`, `corp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Actor {
    /// An external contact, or a 微信客服 visitor.
    Customer(ExternalUserId),
    /// A member of the company.
    Staff(UserId),
    /// An account of 微信客服.
    Kf(OpenKfId),
    /// A person known by an outside name only: `unionid:…`, `phone:…`, `member_id:…`.
    Identity(String),
    /// A customer group.
    Group(ChatId),
    /// The company: tags, schedules, alerts.
    Corp,
}

/// The kinds of actor, for whoever walks an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// [`Actor::Customer`].
    Customer,
    /// [`Actor::Staff`].
    Staff,
    /// [`Actor::Kf`].
    Kf,
    /// [`Actor::Identity`].
    Identity,
    /// [`Actor::Group`].
    Group,
    /// [`Actor::Corp`].
    Corp,
}

impl Actor {
    /// What kind of actor this is.
    #[must_use]
    pub fn kind(&self) -> ActorKind {
        match self {
            Self::Customer(_) => ActorKind::Customer,
            Self::Staff(_) => ActorKind::Staff,
            Self::Kf(_) => ActorKind::Kf,
            Self::Identity(_) => ActorKind::Identity,
            Self::Group(_) => ActorKind::Group,
            Self::Corp => ActorKind::Corp,
        }
    }

    /// The shard that owns this actor, of `shards` in all; the same in every process and for ever.
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        let hash = xxhash_rust::xxh3::xxh3_64(self.to_string().as_bytes());
        u16::try_from(hash % u64::from(shards.max(1))).expect("a remainder of a u16 fits a u16")
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(id) => write!(f, "customer:{id}"),
            Self::Staff(id) => write!(f, "staff:{}", id.folded()),
            Self::Kf(id) => write!(f, "kf:{id}"),
            Self::Identity(id) => write!(f, "identity:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
            Self::Corp => f.write_str("corp"),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Actor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "corp" {
            return Ok(Self::Corp);
        }
        match text.split_once(':') {
            Some(("customer", id)) => ExternalUserId::parse(id).map(Self::Customer),
            Some(("staff", id)) => UserId::parse(id).map(Self::Staff),
            Some(("kf", id)) => OpenKfId::parse(id).map(Self::Kf),
            Some(("identity", id)) if !id.is_empty() => Ok(Self::Identity(id.to_owned())),
            Some(("group", id)) => ChatId::parse(id).map(Self::Group),
            _ => Err(InvalidId {
                kind: "actor",
                text: text.to_owned(),
                rule: "customer:…, staff:…, kf:…, identity:…, group:… or corp",
            }),
        }
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}
impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}
