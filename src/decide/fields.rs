//! Reading an event's fields: what has the wrong type is as good as absent.

use serde_json::{Map, Value};

use super::moments;
use crate::domain::At;
use crate::domain::ids::{TagName, UserId};
use crate::domain::money::Fen;

/// Texts longer than this are no names, states or ids.
const LONGEST_TEXT: usize = 2048;

/// A text that is not empty and not absurdly long.
pub(super) fn text<'a>(data: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    data.get(field).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT)
}

/// A text, or an integer as text: other systems send phone and member numbers as both.
pub(super) fn text_or_number(data: &Map<String, Value>, field: &str) -> Option<String> {
    let number = data.get(field).filter(|value| value.is_i64() || value.is_u64());
    let text = text(data, field).map(|text| text.trim().to_owned()).or_else(|| number.map(Value::to_string));
    text.filter(|text| !text.is_empty() && text.len() <= 128)
}

/// An integer.
pub(super) fn integer(data: &Map<String, Value>, field: &str) -> Option<i64> {
    data.get(field).and_then(Value::as_i64)
}

/// An amount that is not negative.
pub(super) fn amount(data: &Map<String, Value>, field: &str) -> Option<Fen> {
    data.get(field).and_then(|value| Fen::from_json(value).ok()).filter(|amount| amount.0 >= 0)
}

/// A userid.
pub(super) fn userid(data: &Map<String, Value>, field: &str) -> Option<UserId> {
    text(data, field).and_then(|userid| UserId::parse(userid).ok())
}

/// A list of tags; what is none is left out.
pub(super) fn tags(data: &Map<String, Value>, field: &str) -> Vec<TagName> {
    let names = data.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    names.iter().filter_map(Value::as_str).filter_map(|name| TagName::parse(name).ok()).collect()
}

/// A moment in milliseconds.
pub(super) fn moment(data: &Map<String, Value>, field: &str) -> Option<At> {
    integer(data, field).and_then(moments::from_millis)
}

/// Pairs of texts, as deliveries keep them.
pub(super) fn pairs(data: &Map<String, Value>, field: &str) -> Vec<(String, String)> {
    let items = data.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let pairs = items.iter().filter_map(|item| match item.as_array()?.as_slice() {
        [Value::String(name), Value::String(value)] => Some((name.clone(), value.clone())),
        _ => None,
    });
    pairs.take(20).collect()
}
