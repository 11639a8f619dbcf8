//! `GET /v1/customers/{external_userid}` and `…/why`: what is known of a customer, and why.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decide;
use crate::decide::why::{self, About, Known, Story};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::ids::{DeliveryId, ExternalUserId, InvalidId, JourneyId};
use crate::domain::timeline::Line;
use crate::playbook::model::Playbook;
use crate::runtime::services::Services;
use crate::runtime::worker;
use crate::settings::Locale;
use crate::store::{Error, Store};

use super::auth::{ApiTokens, Unauthorized};
use super::problem::{other_method, problem, unavailable};

/// The most deliveries and timeline lines that an answer looks back on.
const LOOK_BACK: usize = 200;

/// What the routes need.
pub struct ApiState {
    services: Services,
    tokens: ApiTokens,
    locale: Locale,
}

impl ApiState {
    /// Wires it.
    #[must_use]
    pub fn new(services: Services, tokens: ApiTokens, locale: Locale) -> Self {
        Self { services, tokens, locale }
    }
}

/// Registers the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    let of = |path| web::resource(path).default_service(web::to(other_method));
    config
        .service(of("/v1/customers/{id}").route(web::get().to(customer)))
        .service(of("/v1/customers/{id}/why").route(web::get().to(why)));
}

async fn customer(state: web::Data<ApiState>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let id = match allowed(&state, &request, &id) {
        Ok(id) => id,
        Err(refused) => return refused.into(),
    };
    match file_of(&state.services.store, &id).await {
        Ok(Some(file)) => HttpResponse::Ok().json(as_json(&file.customer, &state.services.rules.current())),
        Ok(None) => nobody(&id),
        Err(error) => unavailable(&error),
    }
}

/// What may be asked of `why`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    delivery: Option<String>,
    journey: Option<String>,
    /// `zh-CN` or `en`; default: the server's locale.
    lang: Option<String>,
}

async fn why(state: web::Data<ApiState>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let id = match allowed(&state, &request, &id) {
        Ok(id) => id,
        Err(refused) => return refused.into(),
    };
    let question = web::Query::from_query(request.query_string()).map_err(|error| error.to_string());
    let (about, locale) =
        match question.and_then(|asked: web::Query<Question>| understood(asked.into_inner(), state.locale)) {
            Ok(understood) => understood,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
        };
    let file = match file_of(&state.services.store, &id).await {
        Ok(Some(file)) => file,
        Ok(None) => return nobody(&id),
        Err(error) => return unavailable(&error),
    };
    let story = file.why(&state.services.rules.current(), &about, locale, state.services.clock.now());
    if wants_text(&request) {
        return HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(story.to_string());
    }
    HttpResponse::Ok().json(json!({ "customer": id, "sections": story.sections }))
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
enum NotAsked {
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    #[error(transparent)]
    NoSuchName(#[from] InvalidId),
}

impl From<NotAsked> for HttpResponse {
    fn from(refused: NotAsked) -> Self {
        match refused {
            NotAsked::Unauthorized(refused) => refused.into(),
            NotAsked::NoSuchName(error) => problem(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
}

fn allowed(state: &ApiState, request: &HttpRequest, id: &str) -> Result<ExternalUserId, NotAsked> {
    let caller = state.tokens.name_of(request)?;
    let id = ExternalUserId::parse(id)?;
    tracing::info!(api.token = caller, customer.id = %id, "a customer's record was read");
    Ok(id)
}

fn nobody(id: &ExternalUserId) -> HttpResponse {
    problem(StatusCode::NOT_FOUND, format!("nothing is known of a customer {id}"))
}

fn wants_text(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.starts_with("text/plain"))
}

fn understood(question: Question, locale: Locale) -> Result<(About, Locale), String> {
    let delivery = question.delivery.map(DeliveryId::parse).transpose().map_err(|error| error.to_string())?;
    let journey = question.journey.map(JourneyId::parse).transpose().map_err(|error| error.to_string())?;
    let locale = match question.lang.as_deref() {
        None => locale,
        Some("zh-CN") => Locale::ZhCn,
        Some("en") => Locale::En,
        Some(other) => return Err(format!("`lang` is {other:?}; known: zh-CN en")),
    };
    Ok((About { delivery, journey }, locale))
}

/// All that the store holds about one customer, for people.
pub struct CustomerFile {
    /// The record.
    pub customer: Customer,
    deliveries: Vec<Delivery>,
    lines: Vec<Line>,
}

impl CustomerFile {
    /// Tells why.
    #[must_use]
    pub fn why(&self, playbook: &Playbook, about: &About, locale: Locale, now: At) -> Story {
        let known = Known { customer: &self.customer, deliveries: &self.deliveries, lines: &self.lines };
        why::tell(playbook, known, about, locale, now)
    }
}

/// Reads a customer's file; none when nothing was ever heard of that customer.
///
/// # Errors
/// When Redis did not answer, or the record cannot be read.
pub async fn file_of(store: &Store, id: &ExternalUserId) -> Result<Option<CustomerFile>, Error> {
    let actor = Actor::Customer(id.clone());
    if !store.knows(&actor).await? {
        return Ok(None);
    }
    let record = store.load(&[(actor.clone(), Vec::new())]).await?.pop().transpose()?;
    let Some(customer) = record.and_then(worker::customer_of) else { return Ok(None) };
    let deliveries = store.deliveries(&actor, LOOK_BACK).await?;
    let lines = store.timeline(&actor, LOOK_BACK).await?;
    Ok(Some(CustomerFile { customer, deliveries, lines }))
}

/// A record with its fields named as in expressions; money as decimal texts, instants in the server's zone.
fn as_json(customer: &Customer, playbook: &Playbook) -> Value {
    let instant = |at: At| at.with_timezone(&playbook.zone).to_rfc3339();
    let instants = |at: Option<At>| at.map(instant);
    let followers = customer.followers.iter().map(|(userid, follower)| {
        json!({ "userid": userid, "name": follower.name, "added_at": instants(follower.added_at), "state": follower.state,
            "tags": follower.tags, "ended": follower.ended.map(|ended| json!({ "at": instant(ended.at), "by": ended.by })) })
    });
    let tags: std::collections::BTreeSet<_> = customer.following().flat_map(|(_, follower)| &follower.tags).collect();
    let runs = customer.runs.iter().map(|(journey, run)| {
        json!({ "journey": journey, "entered_at": instant(run.entered_at), "step": run.step, "arm": run.arm })
    });
    let touches = customer.touches.iter().map(|(touchpoint, touches)| {
        json!({ "touchpoint": touchpoint, "count": touches.count, "last": touches.recent.last().copied().map(instant) })
    });
    let deliveries = customer.deliveries.values().map(|delivery| {
        json!({ "id": delivery.id, "kind": delivery.kind, "journey": delivery.journey, "channel": delivery.channel,
            "state": delivery.state, "reason": delivery.reason, "at": instant(delivery.at) })
    });
    json!({
        "id": customer.id, "name": customer.name, "type": customer.kind, "gender": customer.gender,
        "unionid": customer.unionid, "phone": customer.phone, "member_id": customer.member_id,
        "added_at": instants(customer.added_at), "owner": decide::owner_of(playbook, customer), "state": customer.state,
        "add_way": customer.add_way, "tags": tags, "orders": customer.orders, "spend": customer.spend.to_string(),
        "first_order_at": instants(customer.first_order_at), "last_order_at": instants(customer.last_order_at),
        "visits": customer.visits, "last_visit_at": instants(customer.last_visit_at),
        "last_inbound_at": instants(customer.last_inbound_at), "last_outbound_at": instants(customer.last_outbound_at),
        "renews_at": instants(customer.renews_at), "csat": customer.csat, "nps": customer.nps,
        "opted_out": customer.opted_out, "lost": customer.is_lost(), "groups": customer.groups, "attrs": customer.attrs,
        "segments": customer.segments.keys().collect::<Vec<_>>(),
        "touchpoints": touches.collect::<Vec<_>>(), "followers": followers.collect::<Vec<_>>(),
        "journeys": runs.collect::<Vec<_>>(), "deliveries": deliveries.collect::<Vec<_>>(),
    })
}
