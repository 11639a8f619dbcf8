//! Effects carried out: which call, and what its answer means.
//!
//! Each kind has a file of its own that builds the request and reads the answer; what is common to all kinds is here:
//! how often a try is repeated, and what a refusal means that no kind gives a meaning of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::effect::{Call, Effect};
use crate::domain::ids::TagName;
use crate::settings::Family;

use super::answer::{CallError, Calls, Refusal};
use super::app_message;
use super::body::Unfit;
use super::client::Wecom;
use super::errors::Action;
use super::external_contact;
use super::mass;
use super::reasons;
use super::tags;

/// What earlier tries of an effect left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// How many tries began before this one.
    pub tries: u32,
    /// One of them ended without an answer: WeCom may have taken it.
    pub unanswered: bool,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// WeCom took it, now or before; the fields of its answer that decisions read.
    Done(Map<String, Value>),
    /// It can never succeed.
    Failed {
        /// From the vocabulary of `decide::reasons`, such as `too late` or `wecom refused`.
        reason: String,
        /// WeCom's code, when it gave one.
        errcode: Option<i64>,
        /// WeCom's hint, without secrets.
        message: String,
    },
    /// Try again after a while.
    Again {
        /// How long to wait.
        after: Duration,
        /// Whether this counts as a try; a refused connection, a quota or a pause does not.
        counts: bool,
        /// Whether WeCom may have taken it.
        unanswered: bool,
        /// Why, for people.
        reason: String,
    },
}

impl Wecom {
    /// Carries out one WeCom effect. `tags` holds the ids of the tags that a tag effect names.
    ///
    /// Never used with [`crate::domain::effect::Call::Tell`], which needs no WeCom.
    pub async fn perform(&self, effect: &Effect, past: Past, tags: &BTreeMap<TagName, String>) -> Outcome {
        spread(perform(self, effect, past, tags).await)
    }
}

/// One try of one effect, over whatever makes the calls.
pub(crate) async fn perform(
    calls: &impl Calls,
    effect: &Effect,
    past: Past,
    ids: &BTreeMap<TagName, String>,
) -> Outcome {
    match &effect.call {
        Call::FetchProfile { customer, userid } => {
            external_contact::fetch_profile(calls, past, customer, userid.as_ref()).await
        }
        Call::Welcome { code, message, .. } => external_contact::welcome(calls, past, code, message).await,
        Call::Tag { userid, customer, add, remove } => {
            tags::mark(calls, past, &tags::Pair { userid, customer }, &tags::Change { add, remove, ids }).await
        }
        Call::EnsureTags { tags } => tags::ensure(calls, past, tags).await,
        Call::MassSend { sender, recipients, message, left_out: _ } => {
            let wanted = mass::Wanted { sender, recipients, message, not_before: effect.not_before };
            mass::send(calls, past, &wanted).await
        }
        Call::MassResult { sender, msgid } => mass::result(calls, past, sender, msgid).await,
        Call::MassRemind { msgid } => mass::remind(calls, past, msgid).await,
        Call::StaffCard { userid, card, .. } => app_message::card(calls, past, userid, card).await,
        Call::StaffText { userid, text } => app_message::text(calls, past, userid, text, effect.not_before).await,
        Call::CardUpdate { userid, response_code, replace_name } => {
            app_message::update(calls, past, userid, response_code, replace_name).await
        }
        Call::Tell { .. } => fail(reasons::REFUSED, "an event between actors is not WeCom's to carry"),
    }
}

/// Tries of one effect, at most; uncounted ones aside.
const TRIES: u32 = 3;
/// When to try again after the first counted try; each later wait is four times as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long to wait where two writes met at one record: 1 to 5 s with the spreading.
const SERIAL_WAIT: Duration = Duration::from_secs(3);
/// How long to wait when WeCom says slowly without a window.
const SLOW_WAIT: Duration = Duration::from_secs(60);

/// What a repeat of an effect would do at WeCom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Nothing: it reads.
    Reads,
    /// Nothing new: it sets what then already is so.
    Sets,
    /// Somebody could get a message twice; the kind itself sees to it that they do not.
    Speaks,
}

/// A failure with nothing of WeCom's in it.
pub(crate) fn fail(reason: &str, message: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), errcode: None, message: message.to_owned() }
}

/// A failure that WeCom gave a code for.
pub(crate) fn refuse(reason: &str, refusal: &Refusal) -> Outcome {
    Outcome::Failed {
        reason: reason.to_owned(),
        errcode: Some(refusal.errcode),
        message: format!("{} {}", refusal.errcode, refusal.message),
    }
}

/// Success with these fields.
pub(crate) fn done<const N: usize>(fields: [(&str, Value); N]) -> Outcome {
    Outcome::Done(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Again later, without having counted.
pub(crate) fn wait(past: Past, after: Duration, reason: &str) -> Outcome {
    Outcome::Again { after, counts: false, unanswered: past.unanswered, reason: reason.to_owned() }
}

impl From<Unfit> for Outcome {
    fn from(unfit: Unfit) -> Self {
        fail(unfit.reason, &unfit.message)
    }
}

/// What an error means that its kind gives no meaning of its own.
pub(crate) fn settle(nature: Nature, past: Past, error: &CallError) -> Outcome {
    match error {
        CallError::NotNow { after, reason } => wait(past, *after, reason),
        CallError::Unanswered => unanswered(nature, past),
        CallError::Refused(refusal) => refused(past, refusal),
        CallError::NotWecom { status } => fail(reasons::REFUSED, &format!("HTTP {status} instead of an answer")),
        CallError::Unserved(family) => {
            let reason = match family {
                Family::Contacts | Family::Kf => reasons::NO_APP_FOR_CONTACTS,
                Family::Messages => reasons::NO_APP_FOR_MESSAGES,
                Family::Directory => reasons::NO_APP_FOR_DIRECTORY,
            };
            fail(reason, "name the family under `serves` of an app in touchpoint.yaml")
        }
    }
}

fn unanswered(nature: Nature, past: Past) -> Outcome {
    let (unsure, at_last) = match nature {
        Nature::Reads => (past.unanswered, reasons::DID_NOT_ANSWER),
        Nature::Sets => (true, reasons::DID_NOT_ANSWER),
        Nature::Speaks => (true, reasons::OUTCOME_UNKNOWN),
    };
    let past = Past { unanswered: unsure, ..past };
    again(past, reasons::DID_NOT_ANSWER).unwrap_or_else(|| fail(at_last, "no answer came, or half of one"))
}

/// Another counted try, unless this was the last.
pub(crate) fn again(past: Past, reason: &str) -> Option<Outcome> {
    let begun = past.tries.saturating_add(1);
    let after = FIRST_WAIT.saturating_mul(4u32.saturating_pow(past.tries));
    let outcome = Outcome::Again { after, counts: true, unanswered: past.unanswered, reason: reason.to_owned() };
    (begun < TRIES).then_some(outcome)
}

fn refused(past: Past, refusal: &Refusal) -> Outcome {
    match refusal.action {
        Action::Retry => again(past, reasons::BUSY).unwrap_or_else(|| refuse(reasons::BUSY, refusal)),
        // A new token was refused as well.
        Action::Refresh => again(past, reasons::TOKEN_AWAITED).unwrap_or_else(|| refuse(reasons::REFUSED, refusal)),
        Action::Slow => wait(past, SLOW_WAIT, reasons::QUOTA),
        Action::Serial => wait(past, SERIAL_WAIT, reasons::RECORD_BUSY),
        // The client pauses what an admin must mend and never hands it on.
        Action::Admin => wait(past, SLOW_WAIT, reasons::PAUSED),
        Action::Done => Outcome::Done(Map::new()),
        Action::Skip | Action::Fix => refuse(reason_of(refusal.errcode), refusal),
    }
}

fn reason_of(errcode: i64) -> &'static str {
    match errcode {
        40003 | 40031 | 46004 | 50002 | 60011 | 60021 | 60030 | 60111 | 81013 => reasons::STAFF_UNREACHABLE,
        701_008 | 701_016 | 701_063 | 701_099 => reasons::STAFF_UNLICENSED,
        40096 | 84061 | 84083 | 84084 | 610_004 => reasons::NOT_A_CONTACT,
        40068 => reasons::TAG_UNKNOWN,
        40144 => reasons::TAGS_FULL,
        40201 | 40204 => reasons::CONTENT_BLOCKED,
        41047 => reasons::MASS_SEND_UNKNOWN,
        41048 => reasons::NO_RECIPIENT,
        41050 => reasons::TOO_LATE,
        41093 => reasons::MASS_SEND_CANCELLED,
        45002 => reasons::TEXT_TOO_LONG,
        60140 | 82101 | 82102 => reasons::CARD_CLOSED,
        _ => reasons::REFUSED,
    }
}

/// Spreads waits by up to two thirds to either side, so that what failed together does not come back together.
fn spread(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Again { after, counts, unanswered, reason } if after <= SERIAL_WAIT => {
            let after = after.mul_f64(rand::random_range(0.34..1.66));
            Outcome::Again { after, counts, unanswered, reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Past = Past { tries: 0, unanswered: false };

    fn refusal(errcode: i64) -> CallError {
        let action = super::super::errors::action(errcode);
        CallError::Refused(Refusal { errcode, action, message: "m".into() })
    }

    fn waits(error: &CallError, nature: Nature) -> Vec<Option<(u64, bool, bool)>> {
        (0..4)
            .map(|tries| match settle(nature, Past { tries, unanswered: false }, error) {
                Outcome::Again { after, counts, unanswered, .. } => {
                    Some((u64::try_from(after.as_millis()).unwrap(), counts, unanswered))
                }
                Outcome::Done(_) | Outcome::Failed { .. } => None,
            })
            .collect()
    }

    #[test]
    fn what_passes_by_itself_is_tried_three_times_each_wait_four_times_as_long() {
        let expected = [Some((500, true, false)), Some((2_000, true, false)), None, None];
        assert_eq!(waits(&refusal(-1), Nature::Sets), expected);
        let unsure = [Some((500, true, true)), Some((2_000, true, true)), None, None];
        assert_eq!(waits(&CallError::Unanswered, Nature::Speaks), unsure);
        assert_eq!(waits(&CallError::Unanswered, Nature::Sets), unsure);
        assert_eq!(waits(&CallError::Unanswered, Nature::Reads), expected, "reading changes nothing");
    }

    #[test]
    fn quotas_pauses_and_conflicts_burn_no_try() {
        let paused = CallError::NotNow { after: Duration::from_secs(7), reason: reasons::PAUSED };
        assert_eq!(waits(&paused, Nature::Sets), [Some((7_000, false, false)); 4]);
        assert_eq!(waits(&refusal(45035), Nature::Sets), [Some((3_000, false, false)); 4]);
        assert_eq!(waits(&refusal(45036), Nature::Sets), [Some((60_000, false, false)); 4]);
    }

    #[test]
    fn a_doubt_from_an_earlier_try_outlives_a_busy_answer() {
        let past = Past { tries: 1, unanswered: true };
        for error in [refusal(-1), CallError::NotNow { after: Duration::ZERO, reason: reasons::UNREACHABLE }] {
            let outcome = settle(Nature::Speaks, past, &error);
            assert!(matches!(outcome, Outcome::Again { unanswered: true, .. }), "{outcome:?}");
        }
    }

    #[test]
    fn the_last_try_says_whether_a_message_may_have_gone_out() {
        let last = Past { tries: 2, unanswered: false };
        let reason = |nature, error: &CallError| match settle(nature, last, error) {
            Outcome::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(Nature::Reads, &CallError::Unanswered), reasons::DID_NOT_ANSWER);
        assert_eq!(reason(Nature::Sets, &CallError::Unanswered), reasons::DID_NOT_ANSWER);
        assert_eq!(reason(Nature::Speaks, &CallError::Unanswered), reasons::OUTCOME_UNKNOWN);
        assert_eq!(reason(Nature::Speaks, &refusal(-1)), reasons::BUSY);
        assert_eq!(reason(Nature::Speaks, &refusal(40014)), reasons::REFUSED);
    }

    #[test]
    fn a_refusal_says_why_in_fixed_words_and_keeps_the_code() {
        for (errcode, expected) in [
            (81013, reasons::STAFF_UNREACHABLE),
            (60111, reasons::STAFF_UNREACHABLE),
            (84061, reasons::NOT_A_CONTACT),
            (40068, reasons::TAG_UNKNOWN),
            (41050, reasons::TOO_LATE),
            (40201, reasons::CONTENT_BLOCKED),
            (60140, reasons::CARD_CLOSED),
            (40058, reasons::REFUSED),
            (123_456, reasons::REFUSED),
        ] {
            let outcome = settle(Nature::Sets, FIRST, &refusal(errcode));
            let message = format!("{errcode} m");
            assert_eq!(outcome, Outcome::Failed { reason: expected.into(), errcode: Some(errcode), message });
        }
    }

    #[test]
    fn a_family_that_no_app_serves_is_named() {
        for (family, expected) in
            [(Family::Contacts, reasons::NO_APP_FOR_CONTACTS), (Family::Messages, reasons::NO_APP_FOR_MESSAGES)]
        {
            let outcome = settle(Nature::Sets, FIRST, &CallError::Unserved(family));
            assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == expected));
        }
    }

    #[test]
    fn waits_are_spread_and_a_conflict_waits_one_to_five_seconds() {
        for _ in 0..1_000 {
            let Outcome::Again { after, .. } = spread(wait(FIRST, SERIAL_WAIT, "")) else { panic!("again") };
            assert!((1.0..=5.0).contains(&after.as_secs_f64()), "{after:?}");
        }
        let minute = wait(FIRST, Duration::from_secs(60), "");
        assert_eq!(spread(minute.clone()), minute, "a window is never cut short");
    }
}
