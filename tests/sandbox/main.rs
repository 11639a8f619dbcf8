//! The sandbox as a server meets it: over HTTP.

#![expect(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod helpers;

mod callbacks;
mod cards;
mod contacts;
mod control;
mod faults;
mod mass;
mod messages;
mod tags;
mod tokens;
mod welcome;
