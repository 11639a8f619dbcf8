//! Figures that are read when they are asked for: what waits, what is closed, what WeCom refuses.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::Error;
use crate::store::reading::Backlog;
use crate::store::streams::InLane;

use super::health::HealthState;

/// How long a scrape waits for Redis; what it says of a Redis that is silent is that it is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was told by a label at an earlier scrape and must be taken back when it is over.
#[derive(Debug, Default)]
pub struct Told {
    paused: Mutex<BTreeSet<(String, String)>>,
    refused: Mutex<BTreeSet<String>>,
}

/// Sets every gauge. Those that Redis knows keep their last figure while it does not answer.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) async fn measure(state: &HealthState) {
    metrics::gauge!("touchpoint_shards_owned").set(state.owned.load(Ordering::Acquire) as f64);
    metrics::gauge!("touchpoint_intake_closed").set(yes(state.intake.closed().is_some()));
    let read = tokio::time::timeout(PATIENCE, read(state)).await;
    if let Ok(Err(error)) = &read {
        tracing::debug!(%error, "gauges could not be read for a scrape");
    }
    let is_ready = matches!(read, Ok(Ok(()))) && !state.stopping.load(Ordering::Acquire);
    metrics::gauge!("touchpoint_ready").set(yes(is_ready));
}

fn yes(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
async fn read(state: &HealthState) -> Result<(), Error> {
    let services = &state.services;
    services.store.probe().await?;
    let backlog = services.store.backlog(services.clock.now()).await?;
    let sum = |of: fn(&Backlog) -> u64| backlog.iter().map(of).sum::<u64>() as f64;
    metrics::gauge!("touchpoint_backlog_events", "lane" => "in").set(sum(|left| left.now));
    metrics::gauge!("touchpoint_backlog_events", "lane" => "bulk").set(sum(|left| left.bulk));
    metrics::gauge!("touchpoint_backlog_timers").set(sum(|left| left.timers));
    metrics::gauge!("touchpoint_backlog_effects").set(sum(|left| left.effects));
    for (lane, name) in [(InLane::In, "in"), (InLane::Bulk, "bulk")] {
        let oldest = services.store.oldest_wait(lane).await?.unwrap_or_default();
        metrics::gauge!("touchpoint_backlog_oldest_event_seconds", "lane" => name).set(oldest.as_secs_f64());
    }
    metrics::gauge!("touchpoint_shards_unowned").set(services.store.unowned().await?.len() as f64);
    let fullness = services.store.fullness().await?;
    metrics::gauge!("touchpoint_redis_memory_bytes").set(fullness.used_bytes as f64);
    metrics::gauge!("touchpoint_redis_memory_ratio").set(fullness.share);
    let paused = services.store.paused_families().await?;
    tell_paused(&state.told, paused.into_iter().map(|(scope, why, _)| (scope, errcode_of(&why))).collect());
    tell_refused(&state.told, services.wecom.refused_secrets().await?.into_iter().collect());
    Ok(())
}

/// The code with which a pause's reason begins; `-` for one that is no answer of WeCom.
fn errcode_of(why: &str) -> String {
    let first = why.split(' ').next().unwrap_or_default();
    if first.parse::<i64>().is_ok() { first.to_owned() } else { "-".to_owned() }
}

fn tell_paused(told: &Told, now: BTreeSet<(String, String)>) {
    let set = |(scope, errcode): &(String, String), value: f64| {
        metrics::gauge!("touchpoint_wecom_paused", "scope" => scope.clone(), "errcode" => errcode.clone()).set(value);
    };
    let mut before = told.paused.lock().unwrap_or_else(PoisonError::into_inner);
    before.difference(&now).for_each(|over| set(over, 0.0));
    now.iter().for_each(|paused| set(paused, 1.0));
    *before = now;
}

fn tell_refused(told: &Told, now: BTreeSet<String>) {
    let set = |app: &String, value: f64| {
        metrics::gauge!("touchpoint_wecom_secret_refused", "app" => app.clone()).set(value);
    };
    let mut before = told.refused.lock().unwrap_or_else(PoisonError::into_inner);
    before.difference(&now).for_each(|over| set(over, 0.0));
    now.iter().for_each(|refused| set(refused, 1.0));
    *before = now;
}

#[cfg(test)]
mod tests {
    use super::errcode_of;

    #[test]
    fn a_pause_is_told_by_the_code_of_its_reason() {
        for (why, errcode) in [
            ("60020 not allow to access from your ip; add it", "60020"),
            ("HTTP 404 instead of an answer", "-"),
            ("", "-"),
        ] {
            assert_eq!(errcode_of(why), errcode, "{why}");
        }
    }
}
