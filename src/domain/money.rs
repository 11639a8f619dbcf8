//! Money: whole fen, written as plain decimals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in the corp's currency, in fen (1/100); may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fen(pub i64);

/// A text or number that is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount of money: digits, at most two of them after the point")]
pub struct InvalidMoney(pub String);

impl Fen {
    /// Reads a JSON number or string such as `299`, `299.9` or `"299.90"`.
    ///
    /// # Errors
    /// When it is neither, has more than two decimals, or does not fit 64 bits of fen.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, InvalidMoney> {
        match value {
            serde_json::Value::Number(number) => number.to_string().parse(),
            serde_json::Value::String(text) => text.parse(),
            other => Err(InvalidMoney(other.to_string())),
        }
    }
}

impl FromStr for Fen {
    type Err = InvalidMoney;
    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let invalid = || InvalidMoney(text.to_owned());
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        // A number such as 299.0 arrives with zeros that say nothing.
        let part = part.trim_end_matches('0');
        if whole.is_empty() || !all_digits(whole) || !all_digits(part) || part.len() > 2 {
            return Err(invalid());
        }
        let whole: i64 = whole.parse().ok().ok_or_else(invalid)?;
        let part: i64 = format!("{part:0<2}").parse().ok().ok_or_else(invalid)?;
        let fen = whole.checked_mul(100).and_then(|fen| fen.checked_add(part)).ok_or_else(invalid)?;
        Ok(Self(if negative { -fen } else { fen }))
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", fen / 100, fen % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_fen_and_printed_back() {
        for (text, fen, printed) in [
            ("0", 0, "0.00"),
            ("299", 29900, "299.00"),
            ("299.9", 29990, "299.90"),
            ("-0.05", -5, "-0.05"),
            ("1.00", 100, "1.00"),
        ] {
            let amount: Fen = text.parse().unwrap();
            assert_eq!((amount, amount.to_string().as_str()), (Fen(fen), printed));
        }
        for text in ["", ".5", "1.234", "1e3", "١", "9999999999999999999"] {
            assert!(text.parse::<Fen>().is_err(), "{text}");
        }
    }
}
