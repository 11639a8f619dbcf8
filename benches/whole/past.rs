//! What customers of the bench have lived through.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use touchpoint::decide::{Head, Record};
use touchpoint::domain::actor::Actor;
use touchpoint::domain::customer::Customer;
use touchpoint::domain::event::{Event, types};
use touchpoint::domain::ids::{EventId, ExternalUserId};

pub(crate) type At = DateTime<Utc>;

/// Something that happened to a customer.
pub(crate) struct Happened {
    at: At,
    kind: &'static str,
    data: Value,
}

/// Shorthand.
pub(crate) fn happened(at: At, kind: &'static str, data: Value) -> Happened {
    Happened { at, kind, data }
}

impl Happened {
    /// The event that tells it, to customer `number` in the `place` of their life.
    pub(crate) fn to(self, number: usize, place: usize) -> Event {
        let Value::Object(data) = self.data else { panic!("an event's data is an object") };
        let id = EventId::parse(format!("past:{number}:{place}")).expect("two numbers are a short name");
        Event { id, kind: self.kind.to_owned(), actor: customer(number), at: self.at, data, hops: 0, trace: None }
    }
}

fn external_userid(number: usize) -> ExternalUserId {
    ExternalUserId::parse(format!("wm{number:030}")).expect("letters and digits are a customer's id")
}

/// A customer by number.
pub(crate) fn customer(number: usize) -> Actor {
    Actor::Customer(external_userid(number))
}

/// The record of a customer to whom nothing has happened yet.
pub(crate) fn unknown(number: usize) -> Record {
    Record { head: Head::from(Customer::new(external_userid(number))), sides: BTreeMap::new() }
}

/// Two months of a regular customer: added in a store, three orders, three visits, an appointment, a member's card.
pub(crate) fn regular(number: usize, now: At) -> Vec<Happened> {
    let day =
        |days: i64| now - TimeDelta::days(60 - days) + TimeDelta::seconds(i64::try_from(number % 3600).unwrap_or(0));
    let staff = ["lili", "wangwei", "zhaomin"].get(number % 3).copied().unwrap_or("lili");
    let order = |place: u32| json!({ "amount": "399.00", "order_id": format!("SO2026{number:07}{place}"), "product": "coat", "quantity": 1 });
    let added = json!({ "userid": staff, "state": "store-01", "welcome_code": format!("C{number:042}") });
    let profile = json!({ "name": format!("客户{number}"), "type": 1, "gender": 2, "unionid": format!("o{number:027}"),
        "userid": staff, "staff_name": "李丽", "effect": "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "follow_users": [{ "userid": staff, "state": "store-01", "add_way": 1, "createtime": day(0).timestamp_millis() }] });
    let card = json!({ "phone": format!("138{number:08}"), "member_id": format!("M{number:08}"),
        "attrs": { "level": "金卡", "city": "上海", "birthday": "05-20" } });
    vec![
        happened(day(0), types::CONTACT_ADDED, added),
        happened(day(0) + TimeDelta::seconds(2), types::CONTACT_PROFILE, profile),
        happened(day(1), types::VISIT_MADE, json!({ "store": "一号店", "userid": staff })),
        happened(day(1) + TimeDelta::hours(1), types::ORDER_PAID, order(1)),
        happened(day(2), types::CUSTOMER_UPDATED, card),
        happened(day(20), types::ORDER_PAID, order(2)),
        happened(day(21), types::VISIT_MADE, json!({ "store": "一号店", "userid": staff })),
        happened(day(44), "fitting.booked", json!({ "store": "一号店" })),
        happened(day(45), types::VISIT_MADE, json!({ "store": "一号店", "userid": staff })),
        happened(day(45) + TimeDelta::hours(1), types::ORDER_PAID, order(3)),
    ]
}
