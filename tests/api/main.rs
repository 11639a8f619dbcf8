//! The whole server against a real Redis and a WeCom of our own, in product language.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail with the test")]

mod helpers;
mod process;
mod redis_server;

mod callbacks;
mod doctor;
mod effects;
mod endings;
mod events;
mod guardrails;
mod heart;
mod journeys;
mod mass;
mod prompts;
mod reload;
mod same_again;
mod secrets;
mod segments;
mod set_aside;

mod tags;
mod welcome;
