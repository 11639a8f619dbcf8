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
use serde_json::{Map, Value};

use crate::decide::{Head, Record, SideNeed};
use crate::domain::actor::Actor;

use super::keys::Keys;
use super::streams::from_json;
use super::{Error, Store};

/// What changed between two heads, as fields of the hash.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// The id as it is spelled, stored where none is yet.
    pub(super) spelled: Option<String>,
    /// Fields with their new values.
    pub(super) set: Vec<(String, String)>,
    /// Fields that are at their default now.
    pub(super) removed: Vec<String>,
}

/// A value as its field holds it.
pub(super) fn encode(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

/// The value a field holds.
fn decode(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn fields(key: &str, head: &Head) -> Result<Map<String, Value>, Error> {
    let value = match head {
        Head::Customer(customer) => serde_json::to_value(customer),
        Head::Staff(staff) => serde_json::to_value(staff),
        Head::Corp(corp) => serde_json::to_value(corp),
        Head::Group(group) => serde_json::to_value(group),
        Head::Kf(account) => serde_json::to_value(account),
        Head::Identity(identity) => serde_json::to_value(identity),
    };
    match value {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::unreadable(key, "the record is not made of fields")),
        Err(source) => Err(Error::Unreadable { key: key.to_owned(), source }),
    }
}

/// What has to be written at `key` so that `before` becomes `after`.
pub(super) fn difference(key: &str, before: &Head, after: &Head) -> Result<Difference, Error> {
    let spelled = match after {
        Head::Staff(staff) => Some(staff.id.to_string()),
        Head::Customer(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) | Head::Identity(_) => None,
    };
    let (mut before, mut after) = (fields(key, before)?, fields(key, after)?);
    before.remove("id");
    after.remove("id");
    let removed = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    let set = after.into_iter().filter(|(name, value)| before.get(name) != Some(value));
    Ok(Difference { spelled, set: set.map(|(name, value)| (name, encode(&value))).collect(), removed })
}

/// The head whose hash holds these fields; an empty one when it holds none.
fn head(key: &str, actor: &Actor, mut stored: BTreeMap<String, String>) -> Result<Head, Error> {
    let id = match actor {
        Actor::Customer(id) => Some(id.to_string()),
        Actor::Staff(id) => Some(stored.remove("id").unwrap_or_else(|| id.to_string())),
        Actor::Kf(_) | Actor::Identity(_) | Actor::Group(_) | Actor::Corp => None,
    };
    let mut fields: Map<String, Value> = stored.into_iter().map(|(name, text)| (name, decode(text))).collect();
    if let Some(id) = id {
        fields.insert("id".to_owned(), Value::String(id));
    }
    let fields = Value::Object(fields);
    let head = match actor {
        Actor::Customer(_) => serde_json::from_value(fields).map(|customer| Head::Customer(Box::new(customer))),
        Actor::Staff(_) => serde_json::from_value(fields).map(Head::Staff),
        Actor::Corp => serde_json::from_value(fields).map(Head::Corp),
        Actor::Group(_) => serde_json::from_value(fields).map(Head::Group),
        Actor::Kf(_) => serde_json::from_value(fields).map(Head::Kf),
        Actor::Identity(_) => serde_json::from_value(fields).map(Head::Identity),
    };
    head.map_err(|source| Error::Unreadable { key: key.to_owned(), source })
}

impl Store {
    /// Reads records, each with the side collections asked for; an actor not known yet gives an empty record.
    /// One round trip per slot.
    ///
    /// # Errors
    /// The outer one when Redis did not answer; the inner ones when a single record cannot be read.
    pub async fn load(&self, wanted: &[(Actor, Vec<SideNeed>)]) -> Result<Vec<Result<Record, Error>>, Error> {
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
            records.push(record(self.keys(), actor, stored, sides));
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

fn record(
    keys: &Keys,
    actor: &Actor,
    stored: RedisResult<Answer>,
    answers: Vec<(&SideNeed, RedisResult<Answer>)>,
) -> Result<Record, Error> {
    let key = keys.head(actor);
    let head = head(&key, actor, hash(&key, stored)?)?;
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
    Ok(Record { head, sides })
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
