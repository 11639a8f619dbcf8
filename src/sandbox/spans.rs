//! Spans of time as people write them: `300ms`, `10s`, `5m`, `2h`, `7d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a span; the error says what is wanted.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is no span of time: write 300ms, 10s, 5m, 2h or 7d");
    let (unit, per) = UNITS
        .into_iter()
        .find(|(unit, _)| text.strip_suffix(unit).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())))
        .ok_or_else(wanted)?;
    let count: u64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wanted)?;
    count.checked_mul(per).map(Duration::from_millis).ok_or_else(wanted)
}

/// Writes a span with the largest unit that divides it.
pub(super) fn format(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (unit, per) = UNITS.into_iter().rev().find(|(_, per)| ms >= *per && ms % per == 0).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / per)
}

pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format(*span))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// The same for a span that may be absent.
pub(super) mod maybe {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error as _;

    pub(in crate::sandbox) fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| super::parse(&text)).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let check = |text: &str, ms: u64| assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        check("300ms", 300);
        check("10s", 10_000);
        check("5m", 300_000);
        check("2h", 7_200_000);
        check("7d", 604_800_000);
        for wrong in ["", "s", "10", "10 s", "-1s", "1w", "99999999999999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for text in ["1ms", "90s", "3m", "1d", "25h"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
