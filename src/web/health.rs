//! `/healthz`, `/readyz`, `/metrics`: public, without personal data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::runtime::services::Services;
use crate::telemetry;

use super::gauges::{self, Told};
use super::intake::Intake;

/// What the routes need.
pub struct HealthState {
    /// Everything that can be asked.
    pub services: Services,
    /// The door, which may be closed.
    pub intake: Intake,
    /// Shards that this process owns.
    pub owned: Arc<AtomicUsize>,
    /// The process is on its way out.
    pub stopping: Arc<AtomicBool>,
    /// What earlier scrapes told.
    pub told: Told,
}

/// Registers the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(HttpResponse::Ok))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// 503 only when Redis cannot be written or the process is stopping; everything else that is wrong is `degraded`.
async fn ready(state: web::Data<HealthState>) -> HttpResponse {
    let rules = &state.services.rules;
    let playbook = json!({ "revision": rules.current().revision, "refused_reload": rules.refused() });
    if state.stopping.load(Ordering::Acquire) {
        return HttpResponse::ServiceUnavailable().json(json!({ "status": "stopping", "playbook": playbook }));
    }
    if let Err(error) = state.services.store.probe().await {
        tracing::warn!(%error, "redis cannot be written");
        let reason = "redis cannot be written";
        return HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "unready", "reason": reason, "playbook": playbook }));
    }
    let degraded = degraded(&state).await;
    let status = if degraded.is_empty() { "ready" } else { "degraded" };
    let shards = state.owned.load(Ordering::Acquire);
    HttpResponse::Ok().json(json!({ "status": status, "degraded": degraded, "shards": shards, "playbook": playbook }))
}

async fn degraded(HealthState { services, intake, .. }: &HealthState) -> Vec<Value> {
    let mut troubles: Vec<Value> = services.wecom.troubles().await.into_iter().map(Value::from).collect();
    if let Some(reason) = intake.closed() {
        troubles.push(json!(format!("callbacks and business events are answered 503 until there is room: {reason}")));
    }
    match services.store.unowned().await {
        Ok(unowned) if unowned.is_empty() => {}
        Ok(unowned) => troubles.push(json!(format!("{} shards have no owner yet", unowned.len()))),
        Err(error) => troubles.push(json!(format!("shards could not be counted: {error}"))),
    }
    if let Some(refused) = services.rules.refused() {
        troubles.push(json!(format!("the last reload of the playbook was refused: {}", refused.first)));
    }
    troubles
}

async fn metrics(state: web::Data<HealthState>) -> HttpResponse {
    gauges::measure(&state).await;
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(telemetry::metrics().render())
}
