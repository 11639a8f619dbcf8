//! Records of actors: the head as a hash with one readable field per field, side collections as hashes beside it.
//!
//! A field holds its value as JSON, except that a text which no JSON parser would take for something else stands there
//! without quotes: `name` is `张三`, `orders` is `3`, and a member number `007` is `007`, but `7` is `"7"`. So each value
//! reads back as exactly what it was. Fields at their default are absent.
//!
//! A customer's id is not stored: the key says it. A staff member's is, as it was spelled first, because the key folds
//! it to lower case.

use std::collections::BTreeMap;

use redis::{RedisError, RedisResult, Value as Answer};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decide::{Head, Record, SideNeed};
use crate::domain::actor::Actor;

use super::keys::Keys;
use super::streams::{from_json, to_json};
use super::{Error, Store};

/// What the hash of a head holds, field by field as it is written there; empty when there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored(BTreeMap<String, String>);

/// A record, and what is stored of its head.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// As decisions see it.
    pub record: Record,
    /// As it stands in Redis, for the difference.
    pub stored: Stored,
}

/// What changed between a hash and a head.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// The id as it is spelled, stored where none is yet.
    pub(super) spelled: Option<String>,
    /// Fields with their new values.
    pub(super) set: Vec<(String, String)>,
    /// Fields that are at their default now.
    pub(super) removed: Vec<String>,
}

impl Stored {
    /// What is stored of this head.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the head cannot be written.
    pub fn of(head: &Head) -> Result<Self, Error> {
        let json = match head {
            Head::Customer(customer) => to_json("a customer", customer),
            Head::Staff(staff) => to_json("a staff member", staff),
            Head::Corp(corp) => to_json("the corp", corp),
            Head::Group(group) => to_json("a group", group),
            Head::Kf(account) => to_json("a kf account", account),
            Head::Identity(identity) => to_json("an identity", identity),
        }?;
        let fields: BTreeMap<&str, &RawValue> = from_json("a record", &json)?;
        let fields = fields.into_iter().filter(|(name, _)| *name != "id");
        Ok(Self(fields.map(|(name, value)| (name.to_owned(), written(value.get()))).collect()))
    }

    /// The head that this is stored of; one that knows nothing when nothing is.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the fields are not those of such a record.
    pub fn head(&self, key: &str, actor: &Actor) -> Result<Head, Error> {
        // The key says who it is, except how a staff member is spelled.
        let id = match actor {
            Actor::Customer(id) => Some(id.as_str()),
            Actor::Staff(id) => Some(self.0.get("id").map_or(id.as_str(), String::as_str)),
            Actor::Kf(_) | Actor::Identity(_) | Actor::Group(_) | Actor::Corp => None,
        };
        let mut json = String::with_capacity(self.0.iter().map(|(name, text)| name.len() + text.len() + 8).sum());
        json.push('{');
        let mut push = |name: &str, value: &str| -> Result<(), Error> {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&to_json(key, name)?);
            json.push(':');
            json.push_str(value);
            Ok(())
        };
        if let Some(id) = id {
            push("id", &to_json(key, id)?)?;
        }
        for (name, text) in self.0.iter().filter(|(name, _)| *name != "id") {
            if is_json(text) { push(name, text)? } else { push(name, &to_json(key, text)?)? }
        }
        json.push('}');
        Ok(match actor {
            Actor::Customer(_) => Head::Customer(from_json(key, &json)?),
            Actor::Staff(_) => Head::Staff(from_json(key, &json)?),
            Actor::Corp => Head::Corp(from_json(key, &json)?),
            Actor::Group(_) => Head::Group(from_json(key, &json)?),
            Actor::Kf(_) => Head::Kf(from_json(key, &json)?),
            Actor::Identity(_) => Head::Identity(from_json(key, &json)?),
        })
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has to be written so that the hash holds `after`.
    pub(super) fn difference(&self, after: &Head) -> Result<Difference, Error> {
        let spelled = match after {
            Head::Staff(staff) => Some(staff.id.to_string()).filter(|_| !self.0.contains_key("id")),
            Head::Customer(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) | Head::Identity(_) => None,
        };
        let Self(after) = Self::of(after)?;
        let is_gone = |name: &&String| *name != "id" && !after.contains_key(*name);
        let removed = self.0.keys().filter(is_gone).cloned().collect();
        let set = after.into_iter().filter(|(name, text)| self.0.get(name) != Some(text)).collect();
        Ok(Difference { spelled, set, removed })
    }
}

/// A value's JSON as its field holds it.
pub(super) fn written(json: &str) -> String {
    let text = if json.starts_with('"') { serde_json::from_str(json).ok() } else { None };
    text.filter(|text: &String| !is_json(text)).unwrap_or_else(|| json.to_owned())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

impl Store {
    /// Reads records, each with the side collections asked for; an actor not known yet gives an empty record.
    /// One round trip per slot.
    ///
    /// # Errors
    /// The outer one when Redis did not answer; the inner ones when a single record cannot be read.
    pub async fn load(&self, wanted: &[(Actor, Vec<SideNeed>)]) -> Result<Vec<Result<Record, Error>>, Error> {
        let loaded = self.load_to_change(wanted).await?;
        Ok(loaded.into_iter().map(|loaded| Ok(loaded?.record)).collect())
    }

    /// Reads records as [`Store::load`] does, with what a commit needs to know of each.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn load_to_change(&self, wanted: &[(Actor, Vec<SideNeed>)]) -> Result<Vec<Result<Loaded, Error>>, Error> {
        let mut pipe = redis::pipe();
        for (actor, needs) in wanted {
            pipe.cmd("HGETALL").arg(self.keys().head(actor));
            for need in needs {
                let side = self.keys().side(actor, need.collection);
                match &need.field {
                    Some(field) => pipe.cmd("HGET").arg(side).arg(field),
                    None => pipe.cmd("HGETALL").arg(side),
                };
            }
        }
        let mut answers = self.outcomes(&mut pipe).await?;
        // A key of another type spoils one record; any other refusal (loading, say) is about Redis, not about records.
        if let Some(place) = answers.iter().position(|answer| answer.as_ref().is_err_and(|error| !is_wrong_type(error)))
        {
            return answers.swap_remove(place).map(|_| Vec::new()).map_err(Error::from);
        }
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Answer::Nil));
        let mut records = Vec::with_capacity(wanted.len());
        for (actor, needs) in wanted {
            let stored = next();
            let sides: Vec<_> = needs.iter().map(|need| (need, next())).collect();
            records.push(loaded(self.keys(), actor, stored, sides));
        }
        Ok(records)
    }

    /// Whether the actor has a record.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn knows(&self, actor: &Actor) -> Result<bool, Error> {
        let index = self.keys().index(self.keys().shard_of(actor));
        let score: Option<String> = self.query(redis::cmd("ZSCORE").arg(index).arg(actor.to_string())).await?;
        Ok(score.is_some())
    }
}

fn loaded(
    keys: &Keys,
    actor: &Actor,
    stored: RedisResult<Answer>,
    answers: Vec<(&SideNeed, RedisResult<Answer>)>,
) -> Result<Loaded, Error> {
    let key = keys.head(actor);
    let stored = Stored(hash(&key, stored)?);
    let head = stored.head(&key, actor)?;
    let mut sides: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (need, answer) in answers {
        let key = keys.side(actor, need.collection);
        let side = sides.entry(need.collection.to_owned()).or_default();
        let found: BTreeMap<String, String> = match &need.field {
            None => hash(&key, answer)?,
            Some(field) => field_of(&key, answer)?.into_iter().map(|text| (field.clone(), text)).collect(),
        };
        for (field, text) in found {
            let value = from_json(&key, &text)?;
            side.insert(field, value);
        }
    }
    Ok(Loaded { record: Record { head, sides }, stored })
}

pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

fn hash(key: &str, answer: RedisResult<Answer>) -> Result<BTreeMap<String, String>, Error> {
    let answer = answer.map_err(|error| Error::unreadable(key, error))?;
    redis::from_redis_value(answer).map_err(|error| Error::unreadable(key, error))
}

fn field_of(key: &str, answer: RedisResult<Answer>) -> Result<Option<String>, Error> {
    let answer = answer.map_err(|error| Error::unreadable(key, error))?;
    redis::from_redis_value(answer).map_err(|error| Error::unreadable(key, error))
}
