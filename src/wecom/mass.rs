//! Mass sends 企业群发 (WeCom documents 92135, 93338 and 97610): a task that its sender has to confirm.
//!
//! Making a task has no key that would make a repeat harmless. So after a try without an answer WeCom's list of tasks is
//! read first: a task of that time with the same content, the same sender and none but our customers is ours. When there
//! is none, the next turn makes it, after the guardrails were asked anew.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use crate::domain::At;
use crate::domain::effect::{Message, Recipient};
use crate::domain::ids::UserId;

use super::answer::{Answer, CallError, Calls};
use super::api::Api;
use super::body::{self, Unfit};
use super::effects::{Nature, Outcome, Past, done, fail, refuse, settle, wait};
use super::reasons;

/// The most customers of one task.
const RECIPIENTS: usize = 10_000;
/// The most pages read of any list; at 100 tasks or 1000 customers each it is far above what one effect can need.
const PAGES: usize = 100;
/// How long before an effect's own time a task of it may have been made, should WeCom's clock differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);
/// The longest span that the list may be asked for; WeCom says a month.
const LONGEST_SPAN: TimeDelta = TimeDelta::days(28);
/// When to look again for a task that WeCom is still distributing.
const DISTRIBUTING: Duration = Duration::from_secs(30);
/// How long to leave a task that was not answered before the list is read: it must have had time to get there.
const SETTLE: Duration = Duration::from_secs(5);

/// One task as it is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Who will have to confirm.
    pub(crate) sender: &'a UserId,
    /// Who gets it.
    pub(crate) recipients: &'a [Recipient],
    /// What it says.
    pub(crate) message: &'a Message,
    /// No try was made before this moment of business time.
    pub(crate) not_before: At,
}

/// Makes the task; after a try without an answer only looks whether it was made.
pub(crate) async fn send(calls: &impl Calls, past: Past, wanted: &Wanted<'_>) -> Outcome {
    let body = match send_body(wanted) {
        Ok(body) => body,
        Err(unfit) => return unfit.into(),
    };
    if past.unanswered {
        return match find(calls, wanted, &body).await {
            Ok(Found::Task { msgid, fail_list }) => done([("msgid", msgid.into()), ("fail_list", fail_list.into())]),
            Ok(Found::NotYet) => wait(past, DISTRIBUTING, reasons::DISTRIBUTING),
            // What the guardrails said when it was first tried may be long ago.
            Ok(Found::Nothing) => wait(Past { unanswered: false, ..past }, Duration::ZERO, reasons::MASS_SEND_NOT_MADE),
            Err(error) => settle(Nature::Speaks, past, &error),
        };
    }
    match calls.call(Api::AddMassSend, body).await {
        Ok(answer) => sent(&answer),
        Err(error) => patient(settle(Nature::Speaks, past, &error)),
    }
}

fn send_body(wanted: &Wanted<'_>) -> Result<Value, Unfit> {
    body::at_most("customers in one mass send", wanted.recipients.len(), RECIPIENTS)?;
    if wanted.recipients.is_empty() {
        // Without customers WeCom would send it to every customer of the sender.
        return Err(Unfit { reason: reasons::NO_RECIPIENT, message: "no customer is left".into() });
    }
    let customers: Vec<&str> = wanted.recipients.iter().map(|recipient| recipient.customer.as_str()).collect();
    let mut body = json!({
        "chat_type": "single",
        "external_userid": customers,
        "sender": wanted.sender.as_str(),
    });
    body::put_message(&mut body, wanted.message)?;
    Ok(body)
}

fn sent(answer: &Answer) -> Outcome {
    let mut kept = Map::new();
    if let Some(msgid) = answer.text("msgid") {
        kept.insert("msgid".to_owned(), msgid.into());
    }
    kept.insert("fail_list".to_owned(), answer.list("fail_list").cloned().collect());
    Outcome::Done(kept)
}

/// Gives a task that may have been made the time to show in the list.
fn patient(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Again { after, counts: true, unanswered: true, reason } => {
            Outcome::Again { after: after + SETTLE, counts: true, unanswered: true, reason }
        }
        other => other,
    }
}

/// What the list of tasks says about one that may have been made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// It was made.
    Task { msgid: String, fail_list: Vec<String> },
    /// A task that may be it is still being distributed.
    NotYet,
    /// It was not made.
    Nothing,
}

async fn find(calls: &impl Calls, wanted: &Wanted<'_>, body: &Value) -> Result<Found, CallError> {
    let mut unclear = false;
    for msgid in alike(calls, wanted, body).await? {
        match verify(calls, wanted, &msgid).await {
            Ok(Found::Nothing) => {}
            Ok(Found::NotYet) => unclear = true,
            Ok(found @ Found::Task { .. }) => return Ok(found),
            Err(CallError::Refused(refusal)) if refusal.errcode == 41063 => unclear = true,
            Err(error) => return Err(error),
        }
    }
    Ok(if unclear { Found::NotYet } else { Found::Nothing })
}

/// Tasks of the time in question with the same content, newest first as WeCom lists them.
async fn alike(calls: &impl Calls, wanted: &Wanted<'_>, body: &Value) -> Result<Vec<String>, CallError> {
    let now = calls.business_now().await?;
    let start = (wanted.not_before - CLOCKS_DIFFER).max(now - LONGEST_SPAN);
    let span = json!({
        "chat_type": "single",
        "start_time": start.timestamp(),
        "end_time": (now + CLOCKS_DIFFER).timestamp(),
        "filter_type": 0,
        "limit": 100,
    });
    let tasks = pages(calls, Api::ListMassSends, span, "group_msg_list").await?;
    let ours = tasks.iter().filter(|task| has_content(task, body));
    Ok(ours.filter_map(|task| task.get("msgid")?.as_str().map(str::to_owned)).collect())
}

/// Whether a task says what we wanted said. One made through the API has no creator.
fn has_content(task: &Value, body: &Value) -> bool {
    let content = |value: &Value| {
        let text = value.get("text").and_then(|text| text.get("content")).and_then(Value::as_str).unwrap_or_default();
        body::cleaned(text).trim().to_owned()
    };
    let attachments = |value: &Value| {
        let list = value.get("attachments").and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().map(mark_of).collect::<Vec<_>>()
    };
    let creator = task.get("creator").and_then(Value::as_str).unwrap_or_default();
    creator.is_empty() && content(task) == content(body) && attachments(task) == attachments(body)
}

/// What is the same in an attachment as sent and as listed: of an image only that it is one.
fn mark_of(attachment: &Value) -> Value {
    let kind = attachment.get("msgtype").and_then(Value::as_str).unwrap_or_default();
    let inner = |field: &str| attachment.get(kind).and_then(|inner| inner.get(field)).cloned();
    json!([kind, inner("title"), inner("url"), inner("appid"), inner("page")])
}

/// Whether a task is for our sender and for none but our customers.
async fn verify(calls: &impl Calls, wanted: &Wanted<'_>, msgid: &str) -> Result<Found, CallError> {
    let body = json!({ "msgid": msgid, "limit": 1000 });
    let senders = pages(calls, Api::GetMassSendTask, body, "task_list").await?;
    if senders.is_empty() {
        return Ok(Found::NotYet);
    }
    let is_sender = |task: &Value| {
        task.get("userid").and_then(Value::as_str).is_some_and(|userid| userid.to_lowercase() == wanted.sender.folded())
    };
    if !senders.iter().any(is_sender) {
        return Ok(Found::Nothing);
    }
    let results = results_of(calls, wanted.sender, msgid).await?;
    let listed: BTreeSet<&str> = results.iter().filter_map(customer_of).collect();
    let ours: BTreeSet<&str> = wanted.recipients.iter().map(|recipient| recipient.customer.as_str()).collect();
    if listed.is_empty() {
        return Ok(Found::NotYet);
    }
    if !listed.is_subset(&ours) {
        return Ok(Found::Nothing);
    }
    let fail_list = ours.difference(&listed).map(|customer| (*customer).to_owned()).collect();
    Ok(Found::Task { msgid: msgid.to_owned(), fail_list })
}

/// What became of a task, customer by customer, with WeCom's status: 0 not yet, 1 sent, 2 no contact, 3 limit reached.
/// `send_time` is in seconds, as WeCom writes it.
pub(crate) async fn result(calls: &impl Calls, past: Past, sender: &UserId, msgid: &str) -> Outcome {
    match results_of(calls, sender, msgid).await {
        Ok(rows) => done([("results", rows.iter().filter_map(result_row).collect())]),
        Err(CallError::Refused(refusal)) if refusal.errcode == 41063 => wait(past, DISTRIBUTING, reasons::DISTRIBUTING),
        Err(error) => settle(Nature::Reads, past, &error),
    }
}

async fn results_of(calls: &impl Calls, sender: &UserId, msgid: &str) -> Result<Vec<Value>, CallError> {
    let body = json!({ "msgid": msgid, "userid": sender.as_str(), "limit": 1000 });
    pages(calls, Api::GetMassSendResult, body, "send_list").await
}

fn customer_of(row: &Value) -> Option<&str> {
    row.get("external_userid").and_then(Value::as_str).filter(|customer| !customer.is_empty())
}

fn result_row(row: &Value) -> Option<Value> {
    let mut read = json!({ "customer": customer_of(row)?, "status": row.get("status")?.as_i64()? });
    if let Some(seconds) = row.get("send_time").and_then(Value::as_i64).filter(|seconds| *seconds > 0) {
        read["send_time"] = seconds.into();
    }
    Some(read)
}

/// Every element of a list that comes in pages.
async fn pages(calls: &impl Calls, api: Api, mut body: Value, field: &str) -> Result<Vec<Value>, CallError> {
    let mut all = Vec::new();
    for _ in 0..PAGES {
        let answer = calls.call(api, body.clone()).await?;
        all.extend(answer.list(field).cloned());
        match answer.text("next_cursor") {
            Some(cursor) => body["cursor"] = cursor.into(),
            None => break,
        }
    }
    Ok(all)
}

/// Reminds the sender. A repeat would be a second reminder of the three a day, so a doubtful one is not repeated.
pub(crate) async fn remind(calls: &impl Calls, past: Past, msgid: &str) -> Outcome {
    let doubt = || fail(reasons::OUTCOME_UNKNOWN, "a try to remind was not answered; it is not repeated");
    if past.unanswered {
        return doubt();
    }
    match calls.call(Api::RemindMassSend, json!({ "msgid": msgid })).await {
        Ok(_) => Outcome::Done(Map::new()),
        Err(CallError::Unanswered) => doubt(),
        Err(CallError::Refused(refusal)) if refusal.errcode == 41094 => refuse(reasons::REMINDED_TOO_OFTEN, &refusal),
        Err(error) => settle(Nature::Speaks, past, &error),
    }
}

#[cfg(test)]
#[path = "mass_tests.rs"]
mod tests;
