//! `/healthz`, `/readyz`, `/metrics`: public, without personal data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::runtime::services::Services;
use crate::store::Error;
use crate::telemetry;

/// What the routes need.
pub struct HealthState {
    /// Everything that can be asked.
    pub services: Services,
    /// Shards that this process owns.
    pub owned: Arc<AtomicUsize>,
    /// The process is on its way out.
    pub stopping: Arc<AtomicBool>,
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
    let degraded = degraded(&state.services).await;
    let status = if degraded.is_empty() { "ready" } else { "degraded" };
    let shards = state.owned.load(Ordering::Acquire);
    HttpResponse::Ok().json(json!({ "status": status, "degraded": degraded, "shards": shards, "playbook": playbook }))
}

async fn degraded(services: &Services) -> Vec<Value> {
    let mut troubles: Vec<Value> = services.wecom.troubles().await.into_iter().map(Value::from).collect();
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
    if let Err(error) = measure(&state).await {
        tracing::debug!(%error, "gauges could not be read for a scrape");
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(telemetry::metrics().render())
}

/// Gauges are read when they are asked for.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
async fn measure(state: &HealthState) -> Result<(), Error> {
    metrics::gauge!("touchpoint_shards_owned").set(state.owned.load(Ordering::Acquire) as f64);
    let backlog = state.services.store.backlog(state.services.clock.now()).await?;
    let sum = |of: fn(&crate::store::reading::Backlog) -> u64| backlog.iter().map(of).sum::<u64>() as f64;
    metrics::gauge!("touchpoint_backlog_events", "lane" => "in").set(sum(|left| left.now));
    metrics::gauge!("touchpoint_backlog_events", "lane" => "bulk").set(sum(|left| left.bulk));
    metrics::gauge!("touchpoint_backlog_timers").set(sum(|left| left.timers));
    metrics::gauge!("touchpoint_backlog_effects").set(sum(|left| left.effects));
    Ok(())
}
