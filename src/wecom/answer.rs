//! What a call can come to: a good answer, or one of the errors between which a caller can choose.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::At;
use crate::settings::Family;
use crate::store::Error;

use super::api::Api;
use super::body;
use super::errors::{self, Action};
use super::host::{NoReply, Reply};
use super::pauses::{FOR_ADMIN, FOR_QUOTA, Length};
use super::reasons;

/// The fields of a good answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer(pub(crate) Map<String, Value>);

impl Answer {
    /// A text field; absent, null and empty alike are none.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The elements of a list field; none when it is absent.
    pub(crate) fn list(&self, field: &str) -> impl Iterator<Item = &Value> {
        self.0.get(field).and_then(Value::as_array).into_iter().flatten()
    }
}

/// Why a call gave no good answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CallError {
    /// WeCom did not take it and a later try may go well; this one does not count.
    NotNow {
        /// When to try again.
        after: Duration,
        /// From [`reasons`].
        reason: &'static str,
    },
    /// It was sent and nobody knows what became of it.
    Unanswered,
    /// WeCom refused it.
    Refused(Refusal),
    /// Something that is not WeCom's API answered with this HTTP status.
    NotWecom {
        /// The status.
        status: u16,
    },
    /// No app serves the family.
    Unserved(Family),
}

/// A code of WeCom's that is not success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The code.
    pub(crate) errcode: i64,
    /// What to do about it.
    pub(crate) action: Action,
    /// WeCom's own text, without secrets, and what the code means.
    pub(crate) message: String,
}

/// The most characters of WeCom's text that are kept.
const LONGEST_MESSAGE: usize = 300;

impl Refusal {
    /// Reads a refusal; `secrets` are taken out of its text should WeCom repeat them.
    pub(crate) fn new(action: Action, reply: Reply, secrets: &[&str]) -> Self {
        let mut text = reply.errmsg;
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "…");
        }
        let text: String = body::cleaned(&text).chars().take(LONGEST_MESSAGE).collect();
        let message = match errors::meaning(reply.errcode) {
            Some(meaning) => format!("{meaning}: {text}"),
            None => text,
        };
        Self { errcode: reply.errcode, action, message }
    }

    /// What an admin reads: code, meaning, fix.
    pub(crate) fn for_admin(&self) -> String {
        let fix = match self.action {
            Action::Admin => format!("; {}", errors::remedy(self.errcode)),
            Action::Retry
            | Action::Refresh
            | Action::Slow
            | Action::Serial
            | Action::Skip
            | Action::Fix
            | Action::Done => String::new(),
        };
        format!("{} {}{fix}", self.errcode, self.message)
    }
}

/// A later try may go well.
pub(crate) fn not_now(after: Duration, reason: &'static str) -> CallError {
    CallError::NotNow { after, reason }
}

/// Redis did not answer, so nothing was attempted.
pub(crate) fn redis_away(error: Error) -> CallError {
    tracing::warn!("a call to WeCom waits for Redis: {error}");
    not_now(Duration::from_secs(1), reasons::REDIS_AWAY)
}

impl From<NoReply> for CallError {
    fn from(no_reply: NoReply) -> Self {
        match no_reply {
            NoReply::Closed(wait) => not_now(wait, reasons::UNREACHABLE),
            NoReply::Unsent => not_now(Duration::from_millis(500), reasons::UNREACHABLE),
            NoReply::Unanswered => Self::Unanswered,
            NoReply::NotWecom(429) => not_now(FOR_QUOTA.first, reasons::QUOTA),
            NoReply::NotWecom(status) => Self::NotWecom { status },
        }
    }
}

/// What the single effects need of WeCom. Tests put a script in its place.
pub(crate) trait Calls: Sync {
    /// Makes one call; `body` holds its fields, for a GET as texts.
    fn call(&self, api: Api, body: Value) -> impl Future<Output = Result<Answer, CallError>> + Send;

    /// WeCom's number of the app that serves messages.
    fn agent_id(&self) -> Result<i64, CallError>;

    /// Now, in business time.
    fn business_now(&self) -> impl Future<Output = Result<At, CallError>> + Send;
}

/// Something that stays as it is until somebody acts or a window ends.
pub(crate) struct Lasting {
    /// For an admin.
    pub(crate) why: String,
    /// How long to leave it alone.
    pub(crate) length: Length,
}

impl Lasting {
    /// A refusal that will be repeated for so long.
    pub(crate) fn of(refusal: &Refusal, length: Length) -> Self {
        Self { why: refusal.for_admin(), length }
    }
}

/// Whether a status says that this is not WeCom at all: a wrong address, or a gateway in between.
pub(crate) fn is_wrong_place(status: u16) -> bool {
    matches!(status, 300..=399 | 401 | 403 | 404 | 407)
}

/// What such a status means for an admin.
pub(crate) fn wrong_place(status: u16) -> Lasting {
    let why =
        format!("HTTP {status} instead of an answer; check wecom.api_base in touchpoint.yaml and what lies between");
    Lasting { why, length: FOR_ADMIN }
}
