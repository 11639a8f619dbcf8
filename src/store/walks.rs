//! Walks over a shard's actors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::At;
use crate::domain::actor::{Actor, ActorKind};

use super::streams::from_json;
use super::{Error, Store};

/// How far a sweep has come in one shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WalkState {
    /// The latest due moment that is done or under way; later ones are to come.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub due: At,
    /// The schedule it follows, as the rules write it.
    #[serde(default)]
    pub schedule: String,
    /// The last actor done; none when the walk is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Place>,
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before the first actor.
    Start,
    /// Behind this one.
    Behind(Actor),
}

impl Store {
    /// How far every sweep of a shard has come, by name.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn walks(&self, shard: u16) -> Result<BTreeMap<String, WalkState>, Error> {
        let key = self.keys().walks(shard);
        walk_states(&key, self.query(redis::cmd("HGETALL").arg(&key)).await?)
    }

    /// Actors of one kind behind a place, in the order of their names, at most `most`.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn actors(
        &self,
        shard: u16,
        kind: ActorKind,
        behind: Option<&Actor>,
        most: usize,
    ) -> Result<Vec<Actor>, Error> {
        let index = self.keys().index(shard);
        let (first, end) = bounds(kind);
        let mut first = behind.map_or(first, |actor| format!("({actor}"));
        let mut actors = Vec::new();
        while actors.len() < most {
            let page = most - actors.len();
            let mut range = redis::cmd("ZRANGE");
            range.arg(&index).arg(&first).arg(&end).arg("BYLEX").arg("LIMIT").arg(0).arg(page);
            let names: Vec<String> = self.query(&range).await?;
            // A name that is nobody's is passed over; it must not end the walk.
            actors.extend(names.iter().filter_map(|name| name.parse::<Actor>().ok()));
            match names.last() {
                Some(last) if names.len() == page => first = format!("({last}"),
                _ => break,
            }
        }
        Ok(actors)
    }
}

/// The range of names of one kind: `customer:` up to, not including, `customer;`, the character behind the colon.
fn bounds(kind: ActorKind) -> (String, String) {
    let name = match kind {
        ActorKind::Customer => "customer",
        ActorKind::Staff => "staff",
        ActorKind::Kf => "kf",
        ActorKind::Identity => "identity",
        ActorKind::Group => "group",
        ActorKind::Corp => return ("[corp".to_owned(), "[corp".to_owned()),
    };
    (format!("[{name}:"), format!("({name};"))
}

/// The states that a shard's hash of walks holds.
pub(super) fn walk_states(key: &str, stored: BTreeMap<String, String>) -> Result<BTreeMap<String, WalkState>, Error> {
    stored.into_iter().map(|(name, json)| Ok((name, from_json(key, &json)?))).collect()
}
