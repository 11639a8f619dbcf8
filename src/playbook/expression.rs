//! Conditions over a customer, an event and the time.
//!
//! The syntax is CEL's; the null rules are the playbook's: a comparison with null is false (`!=` too), a function of
//! null is null, `!null` is true. Conditions are parsed and type-checked once, when the playbook is loaded.

use std::time::Duration;

use crate::domain::At;
use crate::domain::ids::{SegmentId, TagName, TouchpointId};

/// A value in a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not there.
    Null,
    /// True or false.
    Bool(bool),
    /// Integers and decimals alike.
    Number(f64),
    /// A text.
    Text(String),
    /// An instant.
    Time(At),
    /// A list.
    List(Vec<Value>),
}

/// Fields of `customer.` with a type of their own; `attrs.<any>` goes by [`Facts::attr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named exactly like its field in playbook.md section 3")]
pub enum CustomerField {
    Id,
    Name,
    Type,
    Gender,
    Unionid,
    AddedAt,
    Owner,
    State,
    AddWay,
    Tags,
    Orders,
    Spend,
    FirstOrderAt,
    LastOrderAt,
    LastVisitAt,
    LastInboundAt,
    LastOutboundAt,
    Visits,
    RenewsAt,
    Csat,
    Nps,
    Referrals,
    ReferredBy,
    OptedOut,
    Lost,
    Groups,
    Segments,
}

/// What a condition may ask about. `decide` implements it over a record, an event and a moment.
pub trait Facts {
    /// `customer.<field>`.
    fn customer(&self, field: CustomerField) -> Value;
    /// `customer.attrs.<name>`.
    fn attr(&self, name: &str) -> Value;
    /// `event.<name>`.
    fn event(&self, name: &str) -> Value;
    /// `staff.userid`.
    fn staff_userid(&self) -> Value;
    /// `staff.name`.
    fn staff_name(&self) -> Value;
    /// `touched(id)` and `touched(id, "3d")`.
    fn touched(&self, touchpoint: &TouchpointId, within: Option<Duration>) -> u64;
    /// `last_touch(id)`.
    fn last_touch(&self, touchpoint: &TouchpointId) -> Option<At>;
    /// `in_segment(id)`.
    fn in_segment(&self, segment: &SegmentId) -> bool;
    /// `tagged("group/name")`, on any pair.
    fn tagged(&self, tag: &TagName) -> bool;
    /// `now()`.
    fn now(&self) -> At;
    /// The server's zone, for `days_since`, `weekday()` and `hour()`.
    fn zone(&self) -> chrono_tz::Tz;
}

/// A condition, parsed and checked.
#[derive(Debug, Clone)]
pub struct Condition {
    source: String,
}

impl Condition {
    /// Whether it holds; null counts as false.
    #[must_use]
    pub fn holds(&self, _facts: &dyn Facts) -> bool {
        todo!()
    }

    /// The fields and functions it reads, each with its value now as a person would write it; for `why`.
    #[must_use]
    pub fn explain(&self, _facts: &dyn Facts) -> Vec<(String, String)> {
        todo!()
    }

    /// As written in the playbook.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
