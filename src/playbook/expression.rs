//! Conditions over a customer, an event and the time.
//!
//! The syntax is CEL's; the null rules are the playbook's: a comparison with null is false (`!=` and `in` too), a
//! function of null is null, `!null` is true, and where a truth value is wanted null counts as false. Conditions are
//! parsed and type-checked once, when the playbook is loaded (`typing`); here they are evaluated.
//!
//! What the contract leaves open is settled so: `days_since` and `hours_since` are whole days of 24 hours and whole
//! hours that have passed, rounded down; `weekday()` is `"Mon"` to `"Sun"` and `hour()` 0 to 23, both in the server's
//! zone; an event's text that reads as a number compares with numbers, and one in RFC 3339 is an instant to functions
//! of time.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, Timelike};
use regex::Regex;

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
    List(Vec<Self>),
}

/// Fields of `customer.` with a type of their own; `attrs.<any>` goes by [`Facts::attr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named exactly like the field it stands for")]
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
    /// `event.<name>`; a field inside a field is asked for as `outer.inner`.
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
    /// The server's zone, for `weekday()`, `hour()` and instants shown to people.
    fn zone(&self) -> chrono_tz::Tz;
}

/// A condition, parsed and checked.
#[derive(Debug, Clone)]
pub struct Condition {
    pub(super) source: String,
    pub(super) expression: Arc<Expression>,
    /// The fields and functions that are read, as written, in the order of the text.
    pub(super) reads: Arc<[(String, Expression)]>,
}

impl Condition {
    /// Whether it holds; null counts as false.
    #[must_use]
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        truth(&self.expression.value(facts))
    }

    /// The fields and functions it reads, each with its value now as a person would write it; for `why`.
    ///
    /// Instants are in the server's zone; what is not there is `none`.
    #[must_use]
    pub fn explain(&self, facts: &dyn Facts) -> Vec<(String, String)> {
        self.reads.iter().map(|(name, read)| (name.clone(), plain(&read.value(facts), facts))).collect()
    }

    /// As written in the playbook.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The segments it asks about, for finding segments that ask about each other in a circle.
    pub(super) fn segments(&self) -> impl Iterator<Item = &SegmentId> {
        self.reads.iter().filter_map(|(_, read)| match read {
            Expression::InSegment(segment) => Some(segment),
            _ => None,
        })
    }

    /// Whether it looks at the event.
    pub(super) fn reads_event(&self) -> bool {
        self.reads.iter().any(|(_, read)| matches!(read, Expression::Event(_)))
    }
}

/// A checked expression: names resolved, literal arguments parsed.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Literal(Value),
    List(Vec<Self>),
    Customer(CustomerField),
    Attr(String),
    Event(String),
    StaffUserid,
    StaffName,
    Touched(TouchpointId, Option<Duration>),
    LastTouch(TouchpointId),
    InSegment(SegmentId),
    Tagged(TagName),
    Now,
    Weekday,
    Hour,
    Since(Unit, Box<Self>),
    Has(Box<Self>),
    Size(Box<Self>),
    TextTest(TextTest, Box<Self>, Box<Self>),
    Matches(Box<Self>, Regex),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    In(Box<Self>, Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Days,
    Hours,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Expression {
    fn value(&self, facts: &dyn Facts) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::List(items) => Value::List(items.iter().map(|item| item.value(facts)).collect()),
            Self::Customer(field) => facts.customer(*field),
            Self::Attr(name) => facts.attr(name),
            Self::Event(name) => facts.event(name),
            Self::StaffUserid => facts.staff_userid(),
            Self::StaffName => facts.staff_name(),
            Self::Touched(touchpoint, within) => number(facts.touched(touchpoint, *within)),
            Self::LastTouch(touchpoint) => facts.last_touch(touchpoint).map_or(Value::Null, Value::Time),
            Self::InSegment(segment) => Value::Bool(facts.in_segment(segment)),
            Self::Tagged(tag) => Value::Bool(facts.tagged(tag)),
            Self::Now => Value::Time(facts.now()),
            Self::Weekday => Value::Text(facts.now().with_timezone(&facts.zone()).weekday().to_string()),
            Self::Hour => Value::Number(f64::from(facts.now().with_timezone(&facts.zone()).hour())),
            Self::Since(unit, instant) => since(*unit, &instant.value(facts), facts.now()),
            Self::Has(field) => Value::Bool(field.value(facts) != Value::Null),
            Self::Size(inner) => size(&inner.value(facts)),
            Self::TextTest(test, text, part) => text_test(*test, &text.value(facts), &part.value(facts)),
            Self::Matches(text, pattern) => match text.value(facts) {
                Value::Text(text) => Value::Bool(pattern.is_match(&text)),
                _ => Value::Null,
            },
            Self::Not(inner) => Value::Bool(!truth(&inner.value(facts))),
            Self::Negate(inner) => match as_number(&inner.value(facts)) {
                Some(value) => Value::Number(-value),
                None => Value::Null,
            },
            Self::And(left, right) => Value::Bool(truth(&left.value(facts)) && truth(&right.value(facts))),
            Self::Or(left, right) => Value::Bool(truth(&left.value(facts)) || truth(&right.value(facts))),
            Self::Compare(comparison, left, right) => {
                Value::Bool(compare(*comparison, &left.value(facts), &right.value(facts)))
            }
            Self::In(item, list) => Value::Bool(is_in(&item.value(facts), &list.value(facts))),
            Self::Arithmetic(operation, left, right) => calculate(*operation, &left.value(facts), &right.value(facts)),
            Self::If(condition, yes, no) => if truth(&condition.value(facts)) { yes } else { no }.value(facts),
        }
    }
}

fn truth(value: &Value) -> bool {
    *value == Value::Bool(true)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn number(count: u64) -> Value {
    Value::Number(count as f64)
}

/// Business systems send amounts as numbers and as decimal texts.
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Time(_) | Value::List(_) => None,
    }
}

fn as_time(value: &Value) -> Option<At> {
    match value {
        Value::Time(at) => Some(*at),
        Value::Text(text) => chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "hours of all of history stay far below 2^53")]
fn since(unit: Unit, instant: &Value, now: At) -> Value {
    let Some(instant) = as_time(instant) else { return Value::Null };
    let seconds = now.signed_duration_since(instant).num_milliseconds().div_euclid(1000);
    let whole = match unit {
        Unit::Days => seconds.div_euclid(86_400),
        Unit::Hours => seconds.div_euclid(3600),
    };
    Value::Number(whole as f64)
}

fn size(value: &Value) -> Value {
    match value {
        Value::Text(text) => number(text.chars().count() as u64),
        Value::List(items) => number(items.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Time(_) => Value::Null,
    }
}

fn text_test(test: TextTest, text: &Value, part: &Value) -> Value {
    let (Value::Text(text), Value::Text(part)) = (text, part) else { return Value::Null };
    Value::Bool(match test {
        TextTest::StartsWith => text.starts_with(part),
        TextTest::EndsWith => text.ends_with(part),
        TextTest::Contains => text.contains(part),
    })
}

/// Decimals that came out of arithmetic are equal when they differ by less than a hundred-millionth; whole numbers only
/// when they are the same.
fn order_numbers(left: f64, right: f64) -> Option<Ordering> {
    let is_decimal = left.fract() != 0.0 || right.fract() != 0.0;
    if is_decimal && (left - right).abs() < 1e-8 { Some(Ordering::Equal) } else { left.partial_cmp(&right) }
}

/// None when one of them is null or they are not alike.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Time(_), _) | (_, Value::Time(_)) => Some(as_time(left)?.cmp(&as_time(right)?)),
        (Value::Number(_), _) | (_, Value::Number(_)) => order_numbers(as_number(left)?, as_number(right)?),
        (Value::List(left), Value::List(right)) if left == right => Some(Ordering::Equal),
        _ => None,
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    if *left == Value::Null || *right == Value::Null {
        return false;
    }
    let order = order(left, right);
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn is_in(item: &Value, list: &Value) -> bool {
    match list {
        Value::List(items) => items.iter().any(|other| compare(Comparison::Equal, item, other)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Time(_) => false,
    }
}

fn calculate(operation: Arithmetic, left: &Value, right: &Value) -> Value {
    if let (Arithmetic::Add, Value::Text(left), Value::Text(right)) = (operation, left, right) {
        return Value::Text(format!("{left}{right}"));
    }
    let (Some(left), Some(right)) = (as_number(left), as_number(right)) else { return Value::Null };
    let result = match operation {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    };
    // A division by zero has no answer, and no answer is null.
    if result.is_finite() { Value::Number(result) } else { Value::Null }
}

fn plain(value: &Value, facts: &dyn Facts) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Time(at) => at.with_timezone(&facts.zone()).format("%Y-%m-%d %H:%M").to_string(),
        Value::List(items) => items.iter().map(|item| plain(item, facts)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
