//! `POST /v1/events`: business events, one CloudEvent a request (CloudEvents 1.0, structured mode).
//!
//! `source` + `id` make an event the same as an earlier one for 400 days; a repeat is answered `duplicate`.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tracing::Instrument as _;

use crate::decide::Head;
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::event::{Event, types};
use crate::domain::ids::{EventId, ExternalUserId};
use crate::domain::money::Fen;
use crate::runtime::services::Services;
use crate::store::streams::{Appended, InLane, Remember};
use crate::traces;

use super::auth::ApiTokens;
use super::intake::{Intake, Refused};
use super::problem::{other_method, problem, unavailable};

/// The largest body, in bytes.
pub const MOST_BYTES: usize = 10 * 1024 * 1024;
/// How long an answer waits to learn whether an event is parked.
const BINDING_WAIT: Duration = Duration::from_millis(400);
/// An event further ahead than this is a mistake of the sender's clock.
const MOST_AHEAD: TimeDelta = TimeDelta::minutes(5);
/// Families of types that callbacks, timers and decisions make; nobody else may send them.
const RESERVED: [&str; 22] = [
    "acquisition",
    "app",
    "callback",
    "contact",
    "delivery",
    "directory",
    "effect",
    "group",
    "identity",
    "journey",
    "kf",
    "nudge",
    "playbook",
    "prompt",
    "referral",
    "schedule",
    "segment",
    "staff",
    "tag",
    "tags",
    "timer",
    "touchpoint",
];

/// What the route needs.
pub struct EventsState {
    services: Services,
    intake: Intake,
    tokens: ApiTokens,
}

impl EventsState {
    /// Wires it.
    #[must_use]
    pub fn new(services: Services, intake: Intake, tokens: ApiTokens) -> Self {
        Self { services, intake, tokens }
    }
}

/// A `CloudEvent` as it is sent; extensions are ignored, as the specification asks.
#[derive(Debug, Deserialize)]
struct CloudEvent {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    #[serde(default)]
    data: Option<Value>,
    data_base64: Option<String>,
}

/// Registers the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/v1/events").route(web::post().to(accept)).default_service(web::to(other_method)));
}

/// The body is taken in only from a caller who is known.
async fn accept(state: web::Data<EventsState>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let caller = match state.tokens.name_of(&request) {
        Ok(caller) => caller,
        Err(refused) => return refused.into(),
    };
    if let Some(refused) = refuse_content_type(&request) {
        return refused;
    }
    let body = match body.to_bytes_limited(MOST_BYTES).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return problem(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")),
        Err(_too_long) => return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 10 MiB"),
    };
    let sent: CloudEvent = match serde_json::from_slice(&body) {
        Ok(sent) => sent,
        Err(error) => {
            count(caller, "rejected");
            return problem(StatusCode::BAD_REQUEST, format!("the body is no CloudEvent in JSON: {error}"));
        }
    };
    let id = sent.id.clone();
    let step = traces::begin("business event", traces::came_with(request.headers()));
    let mut event = match read(sent, state.services.clock.now()) {
        Ok(event) => event,
        Err(error) => {
            count(caller, "rejected");
            tracing::info!(api.token = caller, "a business event is rejected; the answer says why");
            return answer(StatusCode::BAD_REQUEST, id.as_deref(), "rejected", Some(&error));
        }
    };
    event.trace = traces::place(&step);
    step.record("event.kind", event.kind.as_str());
    let status = match append(&state, &event).instrument(step.clone()).await {
        Ok(status) => status,
        Err(error) => return unavailable(&error),
    };
    count(caller, status);
    step.record("result", status);
    tracing::info!(api.token = caller, event.id = %event.id, event.kind = %event.kind, status, "a business event came in");
    answer(StatusCode::ACCEPTED, id.as_deref(), status, None)
}

fn count(caller: &str, status: &'static str) {
    metrics::counter!("touchpoint_api_events_total", "token" => caller.to_owned(), "status" => status).increment(1);
}

async fn append(state: &EventsState, event: &Event) -> Result<&'static str, Refused> {
    if state.intake.take(event, InLane::In, Remember::Business).await? == Appended::Duplicate {
        return Ok("duplicate");
    }
    if !matches!(event.actor, Actor::Identity(_)) {
        return Ok("accepted");
    }
    // It is durable already: a Redis that falls silent now must not make a refusal of it.
    let wanted = [(event.actor.clone(), Vec::new())];
    let Ok(Ok(record)) = tokio::time::timeout(BINDING_WAIT, state.services.store.load(&wanted)).await else {
        return Ok("accepted");
    };
    let is_bound = record.into_iter().flatten().any(|record| match record.head {
        Head::Identity(identity) => identity.customer.is_some(),
        Head::Customer(_) | Head::Staff(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) => false,
    });
    Ok(if is_bound { "accepted" } else { "parked" })
}

fn answer(code: StatusCode, id: Option<&str>, status: &str, error: Option<&str>) -> HttpResponse {
    let mut result = Map::from_iter([("id".to_owned(), json!(id)), ("status".to_owned(), json!(status))]);
    if let Some(error) = error {
        result.insert("error".to_owned(), json!(error));
    }
    HttpResponse::build(code).json(json!({ "results": [result] }))
}

fn refuse_content_type(request: &HttpRequest) -> Option<HttpResponse> {
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if ["application/cloudevents+json", "application/json"].contains(&essence.as_str()) {
        return None;
    }
    let detail = match essence.as_str() {
        "application/cloudevents-batch+json" | "application/x-ndjson" | "application/ndjson" => {
            format!("{essence} is not supported yet: send one CloudEvent a request as application/cloudevents+json")
        }
        _ => "send one CloudEvent as application/cloudevents+json".to_owned(),
    };
    Some(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Turns a `CloudEvent` into an event, or says what is wrong with it.
fn read(sent: CloudEvent, now: At) -> Result<Event, String> {
    let required = |value: Option<String>, name: &str| {
        value.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{name}` is missing: CloudEvents requires it"))
    };
    let version = required(sent.specversion, "specversion")?;
    if version != "1.0" {
        return Err(format!("`specversion` is {version:?}; this server speaks 1.0"));
    }
    let (id, source) = (required(sent.id, "id")?, required(sent.source, "source")?);
    let kind = required(sent.kind, "type")?;
    check_type(&kind)?;
    if sent.data_base64.is_some() {
        return Err("`data_base64` is not read: send `data` as a JSON object".to_owned());
    }
    if sent.datacontenttype.as_deref().is_some_and(|kind| !kind.contains("json")) {
        return Err("`datacontenttype` must be application/json".to_owned());
    }
    let data = match sent.data {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(data)) => data,
        Some(_) => return Err("`data` must be a JSON object".to_owned()),
    };
    let actor = whose(sent.subject.as_deref(), &data)?;
    let at = match sent.time {
        None => now,
        Some(time) => instant(&time, now)?,
    };
    check_data(&kind, &data)?;
    Ok(Event { id: event_id(&source, &id), kind, actor, at, data, hops: 0, trace: None })
}

fn check_type(kind: &str) -> Result<(), String> {
    let words: Vec<&str> = kind.split('.').collect();
    let is_word = |word: &&str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if words.len() < 2 || !words.iter().all(is_word) || kind.len() > 64 {
        return Err(format!("`type` {kind:?} must be words of a-z, 0-9 and _ joined by points, such as order.paid"));
    }
    if words.first().is_some_and(|family| RESERVED.contains(family)) {
        return Err(format!("`type` {kind:?} is made by Touchpoint itself and cannot be sent"));
    }
    Ok(())
}

fn whose(subject: Option<&str>, data: &Map<String, Value>) -> Result<Actor, String> {
    let named = subject.or_else(|| data.get("customer").and_then(Value::as_str)).filter(|text| !text.is_empty());
    let Some(named) = named else {
        return Err("`subject` is missing: an external_userid, unionid:…, phone:… or member_id:…".to_owned());
    };
    for kind in ["unionid:", "phone:", "member_id:"] {
        if let Some(name) = named.strip_prefix(kind) {
            let fits = (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
            return if fits {
                Ok(Actor::Identity(named.to_owned()))
            } else {
                Err(format!("`subject` {named:?}: 1 to 128 visible ASCII characters must follow {kind}"))
            };
        }
    }
    ExternalUserId::parse(named).map(Actor::Customer).map_err(|error| format!("`subject`: {error}"))
}

fn instant(time: &str, now: At) -> Result<At, String> {
    let at =
        DateTime::parse_from_rfc3339(time).map_err(|error| format!("`time` {time:?} is no RFC 3339 time: {error}"))?;
    let at = at.to_utc();
    let at = DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at);
    if at > now + MOST_AHEAD {
        return Err(format!("`time` {time} is more than 5 minutes in the future (now is {})", now.to_rfc3339()));
    }
    Ok(at)
}

/// Fields that decisions count on are checked here, so that a mistake is told to its sender.
fn check_data(kind: &str, data: &Map<String, Value>) -> Result<(), String> {
    let money = |required: bool| match data.get("amount") {
        Some(amount) => Fen::from_json(amount).map(drop).map_err(|error| format!("`data.amount`: {error}")),
        None if required => Err("`data.amount` is missing: the amount as a decimal, such as 299.90".to_owned()),
        None => Ok(()),
    };
    let text = |field: &str| match data.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        Some(Value::Number(_)) => Ok(()),
        _ => Err(format!("`data.{field}` is missing")),
    };
    match kind {
        types::ORDER_PAID => money(true),
        types::ORDER_REFUNDED => text("order_id").and_then(|()| money(false)),
        types::RENEWAL_DUE | types::RENEWAL_PAID => text("renewal_id").and_then(|()| money(false)),
        types::CUSTOMER_UPDATED => match data.get("attrs") {
            None | Some(Value::Object(_)) => Ok(()),
            Some(_) => Err("`data.attrs` must be a JSON object".to_owned()),
        },
        _ => Ok(()),
    }
}

/// `source` + `id`, hashed when that is too long for a name.
fn event_id(source: &str, id: &str) -> EventId {
    let text = format!("{source} {id}");
    EventId::parse(text.clone()).unwrap_or_else(|_| {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&text));
        EventId::parse(hash).expect("64 hexadecimal digits are a valid id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Result<Event, String> {
        let now = DateTime::parse_from_rfc3339("2026-05-06T10:00:00+08:00").unwrap().to_utc();
        read(serde_json::from_str(json).unwrap(), now)
    }

    #[test]
    fn an_order_of_a_known_customer_is_for_that_customer() {
        let event = told(
            r#"{"specversion":"1.0","id":"1","source":"shop","type":"order.paid","subject":"wmAAA",
                "time":"2026-05-06T09:00:00+08:00","data":{"amount":"299.90","order_id":"A1"}}"#,
        )
        .unwrap();
        assert_eq!(event.id.as_str(), "shop 1");
        assert_eq!(event.actor.to_string(), "customer:wmAAA");
        assert_eq!(event.at.to_rfc3339(), "2026-05-06T01:00:00+00:00");
    }

    #[test]
    fn an_order_of_somebody_unknown_is_for_their_identity() {
        let event =
            told(r#"{"specversion":"1.0","id":"1","source":"shop","type":"visit.made","subject":"phone:13800000000"}"#);
        assert_eq!(event.unwrap().actor.to_string(), "identity:phone:13800000000");
    }

    #[test]
    fn each_mistake_is_named() {
        for (json, word) in [
            (r#"{"id":"1","source":"s","type":"order.paid"}"#, "specversion"),
            (r#"{"specversion":"0.3","id":"1","source":"s","type":"order.paid"}"#, "speaks 1.0"),
            (r#"{"specversion":"1.0","source":"s","type":"order.paid"}"#, "`id`"),
            (r#"{"specversion":"1.0","id":"1","type":"order.paid"}"#, "`source`"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"Order"}"#, "`type`"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"contact.added"}"#, "cannot be sent"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"visit.made"}"#, "`subject` is missing"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"visit.made","subject":"phone:"}"#, "visible ASCII"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"order.paid","subject":"wmA"}"#, "data.amount"),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"order.paid","subject":"wmA","data":{"amount":"1.234"}}"#,
                "two of them",
            ),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"visit.made","subject":"wmA","time":"2026-05-06T10:06:00+08:00"}"#,
                "in the future",
            ),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"visit.made","subject":"wmA","data":[]}"#, "object"),
        ] {
            let error = told(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn a_long_source_still_makes_a_name() {
        let long = "s".repeat(600);
        assert_eq!(event_id(&long, "1").as_str().len(), 64);
        assert_ne!(event_id(&long, "1"), event_id(&long, "2"));
    }
}
