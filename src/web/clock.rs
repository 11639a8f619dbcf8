//! `/v1/clock`: the adjustable clock of sandboxes and tests.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::domain::At;
use crate::playbook::times::parse_duration;
use crate::runtime::services::Services;
use crate::runtime::travel::{self, NotThere};

use super::auth::ApiTokens;
use super::problem::{other_method, problem, unavailable};

/// The largest body, in bytes.
const MOST_BYTES: usize = 1024;

/// What the clock's routes need.
pub struct ClockState {
    services: Services,
    tokens: ApiTokens,
    /// One traveller at a time.
    travel: Mutex<()>,
}

impl ClockState {
    /// Nobody travels yet.
    #[must_use]
    pub fn new(services: Services, tokens: ApiTokens) -> Self {
        Self { services, tokens, travel: Mutex::new(()) }
    }
}

/// `{"advance":"7d"}` or `{"set":"2026-05-06T10:00:00+08:00"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance: Option<String>,
    set: Option<String>,
}

/// Registers the routes; only with `clock: adjustable`.
pub fn routes(config: &mut web::ServiceConfig) {
    let clock = web::resource("/v1/clock").default_service(web::to(other_method));
    config.service(clock.route(web::get().to(read)).route(web::post().to(adjust)));
}

async fn read(state: web::Data<ClockState>, request: HttpRequest) -> HttpResponse {
    if let Err(refused) = state.tokens.name_of(&request) {
        return refused.into();
    }
    now(state.services.clock.now())
}

async fn adjust(state: web::Data<ClockState>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let caller = match state.tokens.name_of(&request) {
        Ok(caller) => caller,
        Err(refused) => return refused.into(),
    };
    let Ok(Ok(body)) = body.to_bytes_limited(MOST_BYTES).await else {
        return problem(StatusCode::BAD_REQUEST, "the body broke off or is too large");
    };
    let _turn = state.travel.lock().await;
    let target = match target(&body, state.services.clock.now()) {
        Ok(target) => target,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
    };
    tracing::info!(api.token = caller, %target, "the clock is moved");
    match travel::travel_to(&state.services, target).await {
        Ok(at) => now(at),
        Err(error @ NotThere::Restless { .. }) => problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(NotThere::Store(error)) => unavailable(&error),
    }
}

fn now(at: At) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "now": at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true) }))
}

fn target(body: &[u8], now: At) -> Result<At, String> {
    const FORMS: &str = r#"send {"advance":"7d"} or {"set":"2026-05-06T10:00:00+08:00"}"#;
    let wanted: Move = serde_json::from_slice(body).map_err(|error| format!("{error}; {FORMS}"))?;
    match (wanted.advance, wanted.set) {
        (Some(text), None) => {
            let ahead =
                parse_duration(&text).map_err(|_bad| format!("{text:?} is no duration such as 30s 10m 2h 7d"))?;
            let ahead = TimeDelta::from_std(ahead).map_err(|error| format!("{text}: {error}"))?;
            now.checked_add_signed(ahead).ok_or_else(|| format!("{text} is too far ahead"))
        }
        (None, Some(text)) => {
            let at = DateTime::parse_from_rfc3339(&text)
                .map_err(|error| format!("{text:?} is no RFC 3339 time: {error}"))?;
            let at = at.to_utc();
            if at < now {
                return Err(format!("the clock is at {} already and only goes forwards", now.to_rfc3339()));
            }
            Ok(at)
        }
        (Some(_), Some(_)) | (None, None) => Err(FORMS.to_owned()),
    }
}
