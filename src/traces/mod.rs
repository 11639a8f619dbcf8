//! Traces: one from a callback to the calls of WeCom that it leads to, sent to a collector by OTLP over HTTP.
//!
//! The place in a trace travels with an event and with an effect as a W3C `traceparent`, through stream and outbox, and so
//! from process to process. Only with the cargo feature `otel`, and only when the environment names a collector; otherwise
//! no step is noted and nothing is added to an event. The variables are those of OpenTelemetry.
//!
//! A step names kinds, results and hashes. Whom it concerned stays out, as do all texts.

use std::borrow::Cow;

use actix_web::http::header::HeaderMap;
use tracing::Span;

use crate::domain::event::{Event, types};

/// OpenTelemetry: spans become traces and go to the collector.
#[cfg(feature = "otel")]
pub(crate) mod sending;

#[cfg(feature = "otel")]
pub use sending::finish;

/// What the spans of traces are called by, so that logs leave them out.
#[cfg(feature = "otel")]
const TARGET: &str = "touchpoint::traces";

/// A step that begins a trace, or goes on with the one that the sender told.
#[must_use]
pub fn begin(name: &'static str, parent: Option<&str>) -> Span {
    #[cfg(feature = "otel")]
    return sending::step(name, parent);
    #[cfg(not(feature = "otel"))]
    {
        let _ = (name, parent);
        Span::none()
    }
}

/// A step of a trace; none where there is no trace to go on with.
#[must_use]
pub fn going_on(name: &'static str, parent: Option<&str>) -> Span {
    if parent.is_none() { Span::none() } else { begin(name, parent) }
}

/// A step within the one that is under way; none when none is.
#[must_use]
pub fn inside(name: &'static str) -> Span {
    going_on(name, here().as_deref())
}

/// The step of a decision. What nobody sent, such as a timer, begins a trace; a sweep over all actors begins none.
#[must_use]
pub fn deciding(event: &Event) -> Span {
    if event.trace.is_none() && event.kind == types::SCHEDULE_DUE {
        return Span::none();
    }
    let step = begin("decide", event.trace.as_deref());
    step.record("event.kind", event.kind.as_str());
    step
}

/// The event as it stands within a step, so that what is decided goes on from there.
#[must_use]
pub fn placed<'e>(event: &'e Event, step: &Span) -> Cow<'e, Event> {
    match place(step) {
        Some(trace) => Cow::Owned(Event { trace: Some(trace), ..event.clone() }),
        None => Cow::Borrowed(event),
    }
}

/// The place of a step in its trace.
#[must_use]
pub fn place(step: &Span) -> Option<String> {
    #[cfg(feature = "otel")]
    return sending::place(step);
    #[cfg(not(feature = "otel"))]
    {
        let _ = step;
        None
    }
}

/// The place of the step that is under way.
#[must_use]
pub fn here() -> Option<String> {
    place(&Span::current())
}

/// The place in a trace that a request came with.
#[must_use]
pub fn came_with(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// Sends what is left.
#[cfg(not(feature = "otel"))]
pub fn finish() {}
