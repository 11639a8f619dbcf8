//! Errors as every route answers them: problem details (RFC 9457).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

/// An error for whoever called: what was wrong and what to do.
#[must_use]
pub fn problem(status: StatusCode, detail: impl Into<String>) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("error");
    HttpResponse::build(status)
        .content_type("application/problem+json")
        .body(json!({ "title": title, "status": status.as_u16(), "detail": detail.into() }).to_string())
}

/// The route exists, but not for this method.
pub(super) async fn other_method() -> HttpResponse {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this address answers other methods; README.md lists them")
}

/// Redis is away, slow or without room: the caller tries again, and a repeat is harmless.
#[must_use]
pub fn unavailable(error: &dyn std::error::Error) -> HttpResponse {
    tracing::warn!(error = %error, cause = error.source().map(tracing::field::display), "a request could not be answered");
    let detail = "this cannot be stored or read at the moment; try again in a few seconds";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    let retry = actix_web::http::header::HeaderValue::from_static("2");
    response.headers_mut().insert(actix_web::http::header::RETRY_AFTER, retry);
    response
}
