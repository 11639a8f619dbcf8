//! HTTP: what comes in, and what can be read. Status codes are decided here alone.
//!
//! In reading order:

/// WeCom's callbacks.
pub mod callback;

/// The one door through which events from outside are appended.
pub mod intake;

/// Who may call the API.
pub mod auth;

/// Business events as CloudEvents.
pub mod events;

/// Customers, and why.
pub mod api;

/// The adjustable clock.
pub mod clock;

/// Figures that are read when they are asked for.
mod gauges;

/// Liveness, readiness, metrics.
pub mod health;

/// Errors as every route answers them.
pub mod problem;

/// All routes together.
pub mod routes;
