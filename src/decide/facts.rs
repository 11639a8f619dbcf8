//! What conditions and texts see of a customer, an event and the time.

use std::time::Duration;

use chrono_tz::Tz;
use serde_json::{Map, Value as Json, json};

use super::moments;
use crate::domain::At;
use crate::domain::customer::{Customer, Follower};
use crate::domain::ids::{SegmentId, TagName, TouchpointId, UserId};
use crate::domain::money::Fen;
use crate::playbook::expression::{CustomerField, Facts, Value};
use crate::playbook::model::{Journey, OwnerRule, Playbook};
use crate::playbook::template::Words;

/// A customer's record beside the fields of an event, at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The rules, for zone and owner.
    pub(super) playbook: &'a Playbook,
    /// The record.
    pub(super) customer: &'a Customer,
    /// What `event.` means.
    pub(super) event: &'a Map<String, Json>,
    /// Business time.
    pub(super) now: At,
}

/// Who answers for the customer: of those who follow, the latest or the first as the playbook says.
pub(super) fn owner<'a>(playbook: &Playbook, customer: &'a Customer) -> Option<(&'a UserId, &'a Follower)> {
    let following = customer.following();
    match playbook.staff.owner {
        // Of two in the same moment the first by name stands, whichever rule asks.
        OwnerRule::LastAdded => {
            following.reduce(|best, next| if next.1.added_at > best.1.added_at { next } else { best })
        }
        OwnerRule::FirstAdded => {
            following.reduce(|best, next| if next.1.added_at < best.1.added_at { next } else { best })
        }
    }
}

impl<'a> View<'a> {
    /// The staff member of the event's pair, else the owner.
    fn staff(&self) -> Option<(&'a UserId, &'a Follower)> {
        let named = self.event.get("userid").and_then(Json::as_str).and_then(|userid| UserId::parse(userid).ok());
        let named = named.and_then(|userid| self.customer.followers.get_key_value(&userid));
        named.or_else(|| owner(self.playbook, self.customer))
    }

    /// What texts may speak of; `staff` stands in for the staff member of the event or the owner when given.
    pub(super) fn words(&self, staff: Option<&UserId>, journey: Option<&Journey>) -> Words {
        let staff = match staff {
            Some(userid) => Some((userid, self.customer.followers.get(userid))),
            None => self.staff().map(|(userid, follower)| (userid, Some(follower))),
        };
        let staff = staff.map_or(Json::Null, |(userid, follower)| {
            json!({ "userid": userid.as_str(), "name": follower.and_then(|follower| follower.name.as_deref()) })
        });
        Words {
            customer: self.customer_words(),
            staff,
            event: Json::Object(self.event.clone()),
            journey: journey.map_or(Json::Null, |journey| json!({ "id": journey.id.as_str(), "name": journey.name })),
            corp: json!({ "name": self.playbook.name }),
        }
    }

    fn customer_words(&self) -> Json {
        let customer = self.customer;
        let zone = self.playbook.zone;
        let moment = |at: Option<At>| at.map(|at| moments::written(zone, at));
        let date = |at: Option<At>| at.map(|at| at.with_timezone(&zone).format("%Y-%m-%d").to_string());
        json!({
            "id": customer.id.as_str(),
            "name": customer.name,
            "type": customer.kind,
            "gender": customer.gender,
            "unionid": customer.unionid,
            "added_at": moment(customer.added_at),
            "owner": owner(self.playbook, customer).map(|(userid, _)| userid.as_str()),
            "state": customer.state,
            "add_way": customer.add_way,
            "tags": tags(customer).map(TagName::as_str).collect::<Vec<_>>(),
            "orders": customer.orders,
            "spend": customer.spend.to_string(),
            "first_order_at": date(customer.first_order_at),
            "last_order_at": date(customer.last_order_at),
            "last_visit_at": date(customer.last_visit_at),
            "last_inbound_at": date(customer.last_inbound_at),
            "last_outbound_at": date(customer.last_outbound_at),
            "visits": customer.visits,
            "renews_at": date(customer.renews_at),
            "csat": customer.csat,
            "nps": customer.nps,
            "referrals": 0,
            "referred_by": null,
            "opted_out": customer.opted_out,
            "lost": customer.is_lost(),
            "groups": customer.groups,
            "segments": customer.segments.keys().map(SegmentId::as_str).collect::<Vec<_>>(),
            "attrs": customer.attrs,
        })
    }
}

/// The tags on any pair, each once.
fn tags(customer: &Customer) -> impl Iterator<Item = &TagName> {
    let all: std::collections::BTreeSet<&TagName> =
        customer.following().flat_map(|(_, follower)| &follower.tags).collect();
    all.into_iter()
}

impl Facts for View<'_> {
    fn customer(&self, field: CustomerField) -> Value {
        let customer = self.customer;
        match field {
            CustomerField::Id => Value::Text(customer.id.as_str().to_owned()),
            CustomerField::Name => text(customer.name.as_deref()),
            CustomerField::Type => integer(customer.kind),
            CustomerField::Gender => integer(customer.gender),
            CustomerField::Unionid => text(customer.unionid.as_deref()),
            CustomerField::AddedAt => time(customer.added_at),
            CustomerField::Owner => text(owner(self.playbook, customer).map(|(userid, _)| userid.as_str())),
            CustomerField::State => text(customer.state.as_deref()),
            CustomerField::AddWay => integer(customer.add_way),
            CustomerField::Tags => list(tags(customer).map(TagName::as_str)),
            CustomerField::Orders => count(customer.orders),
            CustomerField::Spend => money(customer.spend),
            CustomerField::FirstOrderAt => time(customer.first_order_at),
            CustomerField::LastOrderAt => time(customer.last_order_at),
            CustomerField::LastVisitAt => time(customer.last_visit_at),
            CustomerField::LastInboundAt => time(customer.last_inbound_at),
            CustomerField::LastOutboundAt => time(customer.last_outbound_at),
            CustomerField::Visits => count(customer.visits),
            CustomerField::RenewsAt => time(customer.renews_at),
            CustomerField::Csat => integer(customer.csat),
            CustomerField::Nps => integer(customer.nps),
            CustomerField::Referrals => Value::Number(0.0),
            CustomerField::ReferredBy => Value::Null,
            CustomerField::OptedOut => Value::Bool(customer.opted_out),
            CustomerField::Lost => Value::Bool(customer.is_lost()),
            CustomerField::Groups => list(customer.groups.iter().map(String::as_str)),
            CustomerField::Segments => list(customer.segments.keys().map(SegmentId::as_str)),
        }
    }

    fn attr(&self, name: &str) -> Value {
        found(&self.customer.attrs, name)
    }

    fn event(&self, name: &str) -> Value {
        found(self.event, name)
    }

    fn staff_userid(&self) -> Value {
        text(self.staff().map(|(userid, _)| userid.as_str()))
    }

    fn staff_name(&self) -> Value {
        text(self.staff().and_then(|(_, follower)| follower.name.as_deref()))
    }

    fn touched(&self, touchpoint: &TouchpointId, within: Option<Duration>) -> u64 {
        let Some(touches) = self.customer.touches.get(touchpoint) else { return 0 };
        match within {
            None => touches.count,
            Some(within) => {
                let since = moments::before(self.now, within);
                touches.recent.iter().filter(|at| **at >= since).count() as u64
            }
        }
    }

    fn last_touch(&self, touchpoint: &TouchpointId) -> Option<At> {
        self.customer.touches.get(touchpoint).and_then(|touches| touches.recent.last().copied())
    }

    fn in_segment(&self, segment: &SegmentId) -> bool {
        self.customer.segments.contains_key(segment)
    }

    fn tagged(&self, tag: &TagName) -> bool {
        self.customer.following().any(|(_, follower)| follower.tags.contains(tag))
    }

    fn now(&self) -> At {
        self.now
    }

    fn zone(&self) -> Tz {
        self.playbook.zone
    }
}

/// A field, or a field inside a field as `outer.inner`.
fn found(fields: &Map<String, Json>, name: &str) -> Value {
    if let Some(value) = fields.get(name) {
        return from_json(value);
    }
    let mut path = name.split('.');
    let outer = path.next().and_then(|first| fields.get(first));
    path.fold(outer, |value, key| value.and_then(|value| value.get(key))).map_or(Value::Null, from_json)
}

fn from_json(value: &Json) -> Value {
    match value {
        // An object is nothing one can compare; its fields are asked for by their path.
        Json::Null | Json::Object(_) => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => number.as_f64().filter(|number| number.is_finite()).map_or(Value::Null, Value::Number),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(from_json).collect()),
    }
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}

fn time(at: Option<At>) -> Value {
    at.map_or(Value::Null, Value::Time)
}

#[expect(clippy::cast_precision_loss, reason = "codes and scores stay far below 2^53")]
fn integer(number: Option<i64>) -> Value {
    number.map_or(Value::Null, |number| Value::Number(number as f64))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn count(number: u64) -> Value {
    Value::Number(number as f64)
}

#[expect(clippy::cast_precision_loss, reason = "lifetime spend stays far below 2^53 fen")]
fn money(amount: Fen) -> Value {
    Value::Number(amount.0 as f64 / 100.0)
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::List(items.map(|item| Value::Text(item.to_owned())).collect())
}
