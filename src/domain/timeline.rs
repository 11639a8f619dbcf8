//! The timeline: what happened to an actor, newest first, bounded.

use chrono::serde::ts_milliseconds;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::At;
use super::ids::EventId;

/// The most lines kept per actor.
pub const LINES_KEPT: usize = 500;

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    #[serde(with = "ts_milliseconds")]
    pub at: At,
    /// The event's type, derived ones included.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event it came from.
    pub event: EventId,
    /// The fields worth keeping.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}
