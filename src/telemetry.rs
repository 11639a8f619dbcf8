//! Logs and metrics of the process.
//!
//! Logs go to standard error: lines for people on a terminal, JSON elsewhere; `RUST_LOG` picks what is shown. Personal
//! data, message texts, tokens and keys never go there.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

/// Seconds, for calls and lateness.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const COUNTERS: [(&str, &str); 12] = [
    ("touchpoint_callbacks_total", "Callbacks of WeCom, by app, event and what became of them"),
    ("touchpoint_api_events_total", "Business events, by the caller's token and the answer"),
    ("touchpoint_events_decided_total", "Events that took effect"),
    ("touchpoint_dead_letters_total", "Events and effects that were set aside"),
    ("touchpoint_timers_fired_total", "Timers that came due"),
    ("touchpoint_schedules_skipped_total", "Schedules missed by 4 hours or more, per shard"),
    ("touchpoint_effects_total", "Turns of effects, by kind: over, again, or refused by the fence"),
    ("touchpoint_playbook_reloads_total", "Reloads of the rules: swapped or refused"),
    ("touchpoint_wecom_calls_total", "Calls of WeCom's API, by api and what came of them"),
    ("touchpoint_wecom_malformed_total", "Requests whose JSON WeCom called malformed"),
    ("touchpoint_wecom_pauses_total", "Pauses of what an administrator must mend"),
    ("touchpoint_hops_exceeded_total", "Events between actors that were passed on too often"),
];
/// Counters without a label.
const UNLABELLED: [&str; 5] = [
    "touchpoint_events_decided_total",
    "touchpoint_dead_letters_total",
    "touchpoint_timers_fired_total",
    "touchpoint_schedules_skipped_total",
    "touchpoint_hops_exceeded_total",
];
const GAUGES: [(&str, &str); 12] = [
    ("touchpoint_shards_owned", "Shards that this process works on"),
    ("touchpoint_backlog_events", "Events still to be decided, over all shards, by lane"),
    ("touchpoint_backlog_timers", "Timers that are due, over all shards"),
    ("touchpoint_backlog_effects", "Effects that are due or under way, over all shards"),
    ("touchpoint_backlog_oldest_event_seconds", "How long the oldest event has waited to be decided, by lane"),
    ("touchpoint_shards_unowned", "Shards that no process works on"),
    ("touchpoint_ready", "1 while Redis can be written and the process is not stopping"),
    ("touchpoint_intake_closed", "1 while callbacks and events are refused for want of room"),
    ("touchpoint_redis_memory_bytes", "Memory that Redis uses, all servers together"),
    ("touchpoint_redis_memory_ratio", "Share of maxmemory that the fullest Redis uses, 0 without a limit"),
    ("touchpoint_wecom_paused", "1 while an API or a family of WeCom is paused, by scope and errcode"),
    ("touchpoint_wecom_secret_refused", "1 while WeCom is not asked for a token because it refused the secret"),
];
const HISTOGRAMS: [(&str, &str); 2] = [
    ("touchpoint_timer_lateness_seconds", "How late the earliest of the timers that came due was"),
    ("touchpoint_wecom_call_seconds", "How long WeCom took to answer"),
];

/// Begins to write logs and, where the environment asks for them, to send traces. A second call changes nothing.
///
/// Call it before there is a runtime.
pub fn start_logs(default: &str) {
    // What the HTTP server says of its own start is of no use to an operator.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{default},actix_server=warn")));
    // Tests start several servers in one process; the first one's logs serve them all.
    drop(started(filter));
}

#[cfg(not(feature = "otel"))]
fn started(filter: EnvFilter) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(filter).with(lines()).try_init()
}

#[cfg(feature = "otel")]
fn started(filter: EnvFilter) -> Result<(), TryInitError> {
    use crate::traces::sending;
    let (traces, refused) = match sending::layer() {
        Ok(layer) => (layer, None),
        Err(error) => (None, Some(error)),
    };
    let lines = lines().with_filter(sending::without_steps(filter));
    let started = tracing_subscriber::registry().with(lines).with(traces).try_init();
    if let Some(error) = refused {
        tracing::error!(%error, "no traces are sent; look at the OTEL_ variables");
    }
    started
}

/// Lines for people on a terminal, JSON elsewhere.
fn lines<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { lines.compact().boxed() } else { lines.json().flatten_event(true).boxed() }
}

/// The metrics of this process, in the text form of Prometheus. All servers of one process share them.
#[must_use]
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(PrometheusBuilder::install_recorder)
            .expect("the buckets are a constant list, and only this place installs a recorder");
        for (name, help) in COUNTERS {
            metrics::describe_counter!(name, help);
        }
        for (name, help) in GAUGES {
            metrics::describe_gauge!(name, help);
        }
        for (name, help) in HISTOGRAMS {
            metrics::describe_histogram!(name, help);
        }
        // What is counted once in a blue moon is there from the start: a first count must be seen as a growth.
        for name in UNLABELLED {
            metrics::counter!(name).increment(0);
        }
        handle
    })
}

/// The names of all metrics.
pub fn metric_names() -> impl Iterator<Item = &'static str> {
    let (counters, gauges, histograms) = (COUNTERS.iter(), GAUGES.iter(), HISTOGRAMS.iter());
    counters.chain(gauges).chain(histograms).map(|(name, _)| *name)
}

/// A text without phone numbers, for logs: actors and keys of people known by their phone alone carry it.
#[must_use]
pub fn discreet(text: &str) -> String {
    let mut parts = text.split("phone:");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("phone:…");
        kept.push_str(part.trim_start_matches(|c: char| c.is_ascii_graphic() && !matches!(c, ':' | '|' | '"')));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::discreet;

    #[test]
    fn a_phone_number_stays_out_of_logs() {
        for (text, told) in [
            ("timer:identity:phone:+86-13800000000:expire:1", "timer:identity:phone:…:expire:1"),
            ("tp:{s1}:actor:identity:phone:13800000000 in Redis", "tp:{s1}:actor:identity:phone:… in Redis"),
            ("identity:unionid:oAbc", "identity:unionid:oAbc"),
            ("", ""),
        ] {
            assert_eq!(discreet(text), told);
        }
    }
}
