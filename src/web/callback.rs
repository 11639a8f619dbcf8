//! `/wecom/callback/{app}`: WeCom calls us.
//!
//! A callback is verified, decrypted, read and appended, in this order, and only then answered 200. Whoever is not WeCom
//! learns nothing: a wrong signature, padding, receiveid or time are all the same 403. Bodies, codes and names never reach
//! a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tracing::Instrument;

use super::intake::Intake;
use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::event::Event;
use crate::domain::ids::AppId;
use crate::settings::{AppSettings, Family, WecomSettings};
use crate::store::streams::{Appended, InLane, Remember};
use crate::traces;
use crate::wecom::callback;
use crate::wecom::crypto::{CallbackKeys, Forged, InvalidKey};

/// A larger body is refused before it is read.
pub const MOST_BODY_BYTES: usize = 1 << 20;

/// What the handlers need; made once, and once more for each HTTP thread.
#[derive(Clone)]
pub struct CallbackState {
    apps: Arc<BTreeMap<AppId, AppCallback>>,
    window: Option<Duration>,
    clock: Clock,
    intake: Intake,
}

struct AppCallback {
    id: AppId,
    /// The same name for the counter, which keeps its labels.
    label: Arc<str>,
    keys: CallbackKeys,
    serves: BTreeSet<Family>,
}

impl CallbackState {
    /// Reads every app's keys.
    ///
    /// # Errors
    /// When an app's key cannot be used.
    pub fn new(settings: &WecomSettings, intake: Intake, clock: Clock) -> Result<Self, InvalidKey> {
        let app = |(id, app): (&AppId, &AppSettings)| {
            let keys = CallbackKeys::new(&app.token, &app.aes_key, &settings.corp_id)?;
            let callback = AppCallback { id: id.clone(), label: id.as_str().into(), keys, serves: app.serves.clone() };
            Ok((id.clone(), callback))
        };
        let apps = Arc::new(settings.apps.iter().map(app).collect::<Result<_, _>>()?);
        Ok(Self { apps, window: settings.timestamp_window, clock, intake })
    }

    /// The same for a thread that runs a runtime of its own.
    #[must_use]
    pub fn on_this_thread(&self) -> Self {
        Self { intake: self.intake.on_this_thread(), ..self.clone() }
    }
}

/// Puts the two handlers in place; the application must hold a `web::Data<CallbackState>`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/wecom/callback/{app}")
            .app_data(web::PayloadConfig::new(MOST_BODY_BYTES))
            .route(web::get().to(verify))
            .route(web::post().to(receive)),
    );
}

/// The values that sign a callback. What is missing is empty and signs nothing.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Signed {
    msg_signature: String,
    timestamp: String,
    nonce: String,
    echostr: String,
}

impl Signed {
    fn of(request: &HttpRequest) -> Self {
        web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default()
    }

    fn open(&self, keys: &CallbackKeys, encrypted: &str) -> Result<Vec<u8>, Forged> {
        keys.open(&self.msg_signature, &self.timestamp, &self.nonce, encrypted)
    }
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The callback URL is confirmed.
    Confirmed,
    /// Appended.
    Taken,
    /// Appended before.
    Duplicate,
    /// Another app feeds this family, or none does.
    NotServed,
    /// Genuine, but its inside cannot be read: appended to be set aside.
    Unreadable,
    /// Not WeCom's, or not for this company.
    Forged,
    /// WeCom's, but from another time.
    Stale,
    /// There is no such app.
    UnknownApp,
    /// The body is too large or broke off.
    Broken(StatusCode),
    /// Redis does not answer, or there must be room to drain first.
    Refused,
}

impl Ending {
    fn status(self) -> StatusCode {
        match self {
            Self::Confirmed | Self::Taken | Self::Duplicate | Self::NotServed | Self::Unreadable => StatusCode::OK,
            Self::Forged | Self::Stale => StatusCode::FORBIDDEN,
            Self::UnknownApp => StatusCode::NOT_FOUND,
            Self::Broken(status) => status,
            Self::Refused => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `result` of the counter.
    fn label(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Taken => "taken",
            Self::Duplicate => "duplicate",
            Self::NotServed => "not_served",
            Self::Unreadable => "unreadable",
            Self::Forged => "forged",
            Self::Stale => "stale",
            Self::UnknownApp => "unknown_app",
            Self::Broken(StatusCode::PAYLOAD_TOO_LARGE) => "too_large",
            Self::Broken(_) => "broken",
            Self::Refused => "refused",
        }
    }

    /// An answer without a body: forgeries of every kind look alike, and WeCom reads nothing of a 200.
    fn answer(self) -> HttpResponse {
        HttpResponse::new(self.status())
    }
}

/// Counts a callback. Every label is one of few: an app of the settings, a kind that `wecom::callback` gives.
fn count(app: Option<&AppCallback>, ending: Ending, kind: Option<&str>) {
    let app = app.map_or_else(|| Arc::from("-"), |app| Arc::clone(&app.label));
    let kind = kind.unwrap_or("-").to_owned();
    metrics::counter!("touchpoint_callbacks_total", "app" => app, "result" => ending.label(), "event" => kind)
        .increment(1);
}

/// The administrator saves the callback URL: WeCom wants the decrypted text back within 1 s, byte for byte.
async fn verify(request: HttpRequest, name: web::Path<String>, state: web::Data<CallbackState>) -> HttpResponse {
    let Some(app) = state.apps.get(name.as_str()) else {
        count(None, Ending::UnknownApp, None);
        return Ending::UnknownApp.answer();
    };
    let mut signed = Signed::of(&request);
    // A proxy that decodes and does not encode again leaves base64's plus to be read as a space.
    let echo = std::mem::take(&mut signed.echostr).replace(' ', "+");
    let Ok(message) = signed.open(&app.keys, &echo) else {
        count(Some(app), Ending::Forged, None);
        tracing::info!(app = app.id.as_str(), "a check of the callback URL is not genuine; see token and aes_key");
        return Ending::Forged.answer();
    };
    count(Some(app), Ending::Confirmed, None);
    tracing::info!(app = app.id.as_str(), "the callback URL is confirmed");
    HttpResponse::Ok().insert_header(ContentType::plaintext()).body(message)
}

async fn receive(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<CallbackState>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let Some(app) = state.apps.get(name.as_str()) else {
        count(None, Ending::UnknownApp, None);
        return Ending::UnknownApp.answer();
    };
    let step = traces::begin("callback", None);
    let mut opened = match body {
        Ok(body) => open(app, state.window, &Signed::of(&request), &body, state.clock.now()),
        Err(error) => Err(Ending::Broken(error.as_response_error().status_code())),
    };
    if let Ok((event, _)) = &mut opened {
        event.trace = traces::place(&step);
    }
    let event = opened.as_ref().ok().map(|(event, _)| event);
    step.record("app", app.id.as_str()).record("event.kind", event.map(|event| event.kind.as_str()));
    // A callback that goes well is no news; what is a warning names its ids itself.
    let span = tracing::debug_span!(
        "callback",
        app = app.id.as_str(),
        event.id = event.map(|event| event.id.as_str()),
        event.kind = event.map(|event| event.kind.as_str()),
        customer.id = event.and_then(customer_of),
        staff.id = event.and_then(staff_of),
    );
    let told = step.clone();
    async {
        let (ending, event) = match opened {
            Ok((event, ending)) => (take(app, &state.intake, &event, ending).await, Some(event)),
            Err(ending) => (ending, None),
        };
        count(Some(app), ending, event.as_ref().map(|event| event.kind.as_str()));
        told.record("result", ending.label());
        let (app, id) = (app.id.as_str(), event.as_ref().map(|event| event.id.as_str()));
        match ending {
            Ending::Stale => tracing::warn!(app, "a callback is older or newer than wecom.timestamp_window allows"),
            Ending::Unreadable => {
                tracing::warn!(app, event.id = id, "a genuine callback cannot be read and is set aside");
            }
            // Its cause is logged where it is met.
            Ending::Refused => {}
            _ => tracing::debug!(result = ending.label(), "a callback came"),
        }
        ending.answer()
    }
    .instrument(span)
    .instrument(step)
    .await
}

/// Verifies, decrypts and reads; gives the event, and how it ends when all goes well.
fn open(
    app: &AppCallback,
    window: Option<Duration>,
    signed: &Signed,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(Event, Ending), Ending> {
    // What holds nothing encrypted cannot be WeCom's either.
    let Ok(encrypted) = callback::encrypted_part(body) else { return Err(Ending::Forged) };
    let Ok(message) = signed.open(&app.keys, &encrypted) else { return Err(Ending::Forged) };
    let sent = signed.timestamp.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    // Replays inside the window are harmless by the event's id.
    let recent = |window: Duration| sent.is_some_and(|sent| (now - sent).abs().to_std().is_ok_and(|age| age <= window));
    if !window.is_none_or(recent) {
        return Err(Ending::Stale);
    }
    Ok(match callback::parse(&app.id, &message) {
        Ok(parsed) if parsed.family.is_none_or(|family| app.serves.contains(&family)) => (parsed.event, Ending::Taken),
        Ok(parsed) => (parsed.event, Ending::NotServed),
        Err(error) => (callback::unreadable(&app.id, &message, &error, sent.unwrap_or(now)), Ending::Unreadable),
    })
}

/// Makes the event durable, unless it is another app's to feed.
async fn take(app: &AppCallback, intake: &Intake, event: &Event, ending: Ending) -> Ending {
    if ending == Ending::NotServed {
        return ending;
    }
    match intake.take(event, InLane::In, Remember::Week).await {
        Ok(Appended::New) => ending,
        Ok(Appended::Duplicate) => Ending::Duplicate,
        Err(refused) => {
            tracing::warn!(
                app = app.id.as_str(),
                event.id = event.id.as_str(),
                event.kind = event.kind.as_str(),
                customer.id = customer_of(event),
                staff.id = staff_of(event),
                error = &refused as &dyn std::error::Error,
                "a callback is refused so that WeCom repeats it"
            );
            Ending::Refused
        }
    }
}

// Ids only: what the event says stays out of logs.

fn customer_of(event: &Event) -> Option<&str> {
    match &event.actor {
        Actor::Customer(id) => Some(id.as_str()),
        Actor::Staff(_) | Actor::Kf(_) | Actor::Identity(_) | Actor::Group(_) | Actor::Corp => None,
    }
}

fn staff_of(event: &Event) -> Option<&str> {
    match &event.actor {
        Actor::Staff(id) => Some(id.as_str()),
        Actor::Customer(_) | Actor::Kf(_) | Actor::Identity(_) | Actor::Group(_) | Actor::Corp => None,
    }
}

#[cfg(test)]
#[path = "callback_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "callback_http_tests.rs"]
mod http_tests;
