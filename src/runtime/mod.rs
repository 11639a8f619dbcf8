//! The moving parts: what happens between an event's arrival and the calls it leads to.
//!
//! In reading order:

/// Everything wired once: store, rules, WeCom, shards, HTTP.
pub mod app;

/// What every moving part needs.
pub mod services;

/// The name of this process among the living.
pub mod node;

/// The key of the settings, or the one made at the first start.
pub mod server_key;

/// Which shards are ours: leases taken, renewed, shared evenly, given up.
pub mod supervisor;

/// One owned shard: timers moved, lanes drained, sweeps walked, in turn.
pub mod shard;

/// A batch of events decided and committed.
pub mod worker;

/// Schedules that walk over all actors of a kind.
pub mod sweeper;

/// Effects carried out and settled.
pub mod dispatcher;

/// What is asked just before an effect is handed over: guardrails, recipients, tag ids.
pub mod handover;

/// Who is told that a shard has something to do.
pub mod wakes;

/// The rules in force, and reloading them.
pub mod reload;

/// Moving an adjustable clock through everything that comes due on the way.
pub mod travel;
