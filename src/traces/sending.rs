//! OpenTelemetry: spans become traces and go to the collector.

use std::collections::HashMap;
use std::env;
use std::sync::OnceLock;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use super::TARGET;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The header, and so the field, in which the place travels.
const PLACE: &str = "traceparent";

pub(super) fn step(name: &'static str, parent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "step",
        otel.name = name,
        app = Empty,
        event.kind = Empty,
        effect.id = Empty,
        effect.kind = Empty,
        result = Empty,
    );
    if let Some(parent) = parent {
        let told = HashMap::from([(PLACE.to_owned(), parent.to_owned())]);
        // A place that cannot be read is none; and without a collector there is no span to set it on.
        drop(span.set_parent(TraceContextPropagator::new().extract(&told)));
    }
    span
}

pub(super) fn place(step: &Span) -> Option<String> {
    let mut told = HashMap::new();
    TraceContextPropagator::new().inject_context(&step.context(), &mut told);
    told.remove(PLACE)
}

/// Whether the environment asks for traces.
fn is_wanted() -> bool {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let off = |name: &str, word: &str| set(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let endpoint = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    endpoint.iter().any(|name| set(name).is_some())
        && !off("OTEL_SDK_DISABLED", "true")
        && !off("OTEL_TRACES_EXPORTER", "none")
}

/// What becomes a span of a trace: steps, and calls of WeCom.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && (metadata.target() == TARGET || metadata.name() == "wecom call")
}

/// The layer that makes traces; none when the environment names no collector, or an exporter cannot be made of it.
///
/// Call it outside any runtime: the exporter blocks on a thread of its own.
pub(crate) fn layer<S>() -> Result<Option<impl Layer<S>>, ExporterBuildError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if !is_wanted() {
        return Ok(None);
    }
    let exporter = exporter()?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() && env::var_os("OTEL_RESOURCE_ATTRIBUTES").is_none() {
        resource = resource.with_service_name("touchpoint");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = PROVIDER.get_or_init(|| provider).tracer("touchpoint");
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    Ok(Some(layer.with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::DEBUG))))
}

/// Protobuf, unless the environment asks for JSON.
fn exporter() -> Result<SpanExporter, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_http();
    let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    if protocol.iter().any(|name| env::var_os(name).is_some()) {
        return exporter.build();
    }
    exporter.with_protocol(Protocol::HttpBinary).build()
}

/// A filter of log lines that leaves the steps out.
pub(crate) fn without_steps(filter: EnvFilter) -> EnvFilter {
    match format!("{TARGET}=off").parse() {
        Ok(off) => filter.add_directive(off),
        Err(_) => filter,
    }
}

/// Sends what is left, as the process ends.
pub fn finish() {
    if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
        tracing::warn!(%error, "the last traces were not sent");
    }
}
