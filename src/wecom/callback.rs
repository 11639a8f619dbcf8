//! Callbacks: envelope, decrypted body, events.
//!
//! A callback's kind is the pair of `Event` and `ChangeType` (WeCom documents 90240, 92130, 90970, 97299, 94670): the same
//! change name means different things in different families. What it tells becomes one event for one actor. Every
//! business field is optional; only what names the actor and the moment must be there.

use chrono::DateTime;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::event::{Event, types};
use crate::domain::ids::{AppId, EventId, InvalidId};
use crate::settings::Family;

use super::callback_body::{self, Element};
use super::{callback_contacts, callback_directory, callback_staff};

/// How much of a body is kept for people to read when nothing handles it.
const MOST_RAW_BYTES: usize = 64 * 1024;
/// WeCom's names are far shorter; a longer one is kept in part.
const LONGEST_NAME_BYTES: usize = 64;
/// The end of the year 9999: later moments cannot be written as RFC 3339.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a callback's envelope holds: `Encrypt`, XML or JSON.
///
/// # Errors
/// When there is none, or the text uses a DTD or entities of its own.
pub fn encrypted_part(body: &[u8]) -> Result<String, Unreadable> {
    let envelope = callback_body::read(body)?;
    envelope.text("Encrypt").map(str::to_owned).ok_or_else(|| missing("Encrypt"))
}

/// Something that claims to be a callback and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the callback cannot be read: {0}")]
pub struct Unreadable(pub String);

impl From<InvalidId> for Unreadable {
    fn from(invalid: InvalidId) -> Self {
        Self(invalid.to_string())
    }
}

/// A decrypted callback, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Which `serves` family it belongs to; none for what belongs to no family and is always taken.
    pub family: Option<Family>,
    /// The event for its actor. `callback.unknown` for what nothing handles: kept and counted.
    pub event: Event,
}

/// Reads a decrypted callback. The event's id is the SHA-256 of the body.
///
/// `app` is the app it came to. A body that nothing handles is an event of type `callback.unknown` for the corp.
///
/// # Errors
/// When a genuine callback's inside is no XML or JSON at all, or lacks what its kind must have; it is set aside.
pub fn parse(app: &AppId, body: &[u8]) -> Result<Parsed, Unreadable> {
    let root = callback_body::read(body)?;
    let at = moment(&root)?;
    let (kind, actor, data) = match known(app, &root)? {
        Some(known) => known,
        None => (types::CALLBACK_UNKNOWN, Actor::Corp, unknown(app, &root, body)),
    };
    let event = Event { id: id(body), kind: kind.to_owned(), actor, at, data, hops: 0, trace: None };
    Ok(Parsed { family: family(&root), event })
}

/// The event that sets a genuine callback aside whose inside cannot be read.
///
/// `at` is when it came; the body keeps WeCom's retries from being set aside again.
#[must_use]
pub fn unreadable(app: &AppId, body: &[u8], error: &Unreadable, at: At) -> Event {
    let data = Map::from_iter([
        ("app".to_owned(), Value::from(app.as_str())),
        ("error".to_owned(), Value::from(error.to_string())),
        ("raw".to_owned(), Value::from(raw(body))),
    ]);
    Event {
        id: id(body),
        kind: types::CALLBACK_UNREADABLE.to_owned(),
        actor: Actor::Corp,
        at,
        data,
        hops: 0,
        trace: None,
    }
}

/// `InfoType` stands in for `Event` in the envelope of third-party apps (WeCom document 92277).
fn event_name<'e>(root: &'e Element<'_>) -> Option<&'e str> {
    root.text("Event").or_else(|| root.text("InfoType"))
}

/// An event without a name is no message.
fn is_message(root: &Element<'_>) -> bool {
    root.text("MsgType").is_some_and(|kind| kind != "event")
}

fn family(root: &Element<'_>) -> Option<Family> {
    match event_name(root) {
        Some("change_external_contact" | "change_external_chat" | "change_external_tag" | "customer_acquisition") => {
            Some(Family::Contacts)
        }
        Some("change_contact") => Some(Family::Directory),
        Some("kf_msg_or_event" | "kf_account_auth_change") => Some(Family::Kf),
        Some(event) => callback_staff::is_staff_event(event).then_some(Family::Messages),
        None => is_message(root).then_some(Family::Messages),
    }
}

/// A kind, whom it is for, and its fields.
pub(super) type Known = (&'static str, Actor, Map<String, Value>);

fn known(app: &AppId, root: &Element<'_>) -> Result<Option<Known>, Unreadable> {
    let change = root.text("ChangeType").unwrap_or_default();
    match event_name(root) {
        Some("change_external_contact") => callback_contacts::contact(root, change),
        Some("change_external_chat") => callback_contacts::group(root, change),
        Some("change_external_tag") => Ok(callback_contacts::tag(root, change)),
        Some("customer_acquisition") => callback_contacts::acquisition(root, change),
        Some("change_contact") => Ok(callback_directory::change(root, change)),
        Some("kf_msg_or_event") => callback_staff::kf(root).map(Some),
        Some(event) => callback_staff::event(app, root, event),
        None => is_message(root).then(|| callback_staff::message(root)).transpose(),
    }
}

fn unknown(app: &AppId, root: &Element<'_>, body: &[u8]) -> Map<String, Value> {
    let mut data =
        Map::from_iter([("app".to_owned(), Value::from(app.as_str())), ("raw".to_owned(), Value::from(raw(body)))]);
    for (field, name) in [("event", event_name(root)), ("change", root.text("ChangeType"))] {
        if let Some(name) = name {
            data.insert(field.to_owned(), Value::from(bounded(name, LONGEST_NAME_BYTES)));
        }
    }
    data
}

/// The text that a kind must have.
pub(super) fn required<'e>(root: &'e Element<'_>, name: &'static str) -> Result<&'e str, Unreadable> {
    root.text(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Unreadable {
    Unreadable(format!("{name} is missing"))
}

fn moment(root: &Element<'_>) -> Result<At, Unreadable> {
    let seconds =
        root.number("CreateTime").or_else(|| root.number("TimeStamp")).ok_or_else(|| missing("CreateTime"))?;
    if !(0..=LAST_SECOND).contains(&seconds) {
        return Err(Unreadable(format!("CreateTime {seconds} is no moment")));
    }
    DateTime::from_timestamp(seconds, 0).ok_or_else(|| missing("CreateTime"))
}

/// Not of the ciphertext: its random bytes may differ from one delivery to the next.
fn id(body: &[u8]) -> EventId {
    EventId::parse(HEXLOWER.encode(&Sha256::digest(body))).expect("64 characters are an event id")
}

fn raw(body: &[u8]) -> String {
    let (start, _) = body.split_at(body.len().min(MOST_RAW_BYTES));
    match std::str::from_utf8(body) {
        Ok(text) => bounded(text, MOST_RAW_BYTES).to_owned(),
        Err(_) => bounded(&String::from_utf8_lossy(start), MOST_RAW_BYTES).to_owned(),
    }
}

/// The beginning of the text, never half a character.
fn bounded(text: &str, most_bytes: usize) -> &str {
    let end = (0..=most_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[path = "callback_tests.rs"]
mod tests;
