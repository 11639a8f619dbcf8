//! State in Redis: the only place that knows Redis.
//!
//! All keys of a shard carry the hash tag `{sN}`, so that every script stays inside one slot. In reading order:

/// Every key, its type, its lifetime and who writes it.
pub mod keys;

/// The store: a Redis of one's own in any form, or the private one.
pub mod connection;

/// One way to Redis: a server, a cluster, or whatever the sentinels say is the primary.
mod link;

/// The primary of the moment, as sentinels know it.
mod guided;

/// A private child `redis-server` for `embedded:DIR`: started, watched, stopped.
mod embedded;

/// Which server program there is for that, and whose data it can read.
mod engine;

/// The folder it lives in: lock, socket, log.
mod folder;

/// The scripts, and how they are run.
mod scripts;

/// What is checked before anything is written: shards, eviction policy, append-only file.
pub mod preflight;

/// Appending events to shard streams, and reading them back.
pub mod streams;

/// Who owns a shard, and which processes live.
pub mod leases;

/// Records of actors.
pub mod records;

/// One atomic, fenced commit per batch.
pub mod commit;

/// What a batch writes, as Redis commands.
mod writing;

/// Timers that come due.
pub mod timers;

/// Effects that wait for their call.
pub mod outbox;

/// Walks over a shard's actors (sweeps), and how far each has come.
pub mod walks;

/// Access tokens, quotas, the clock's offset: what all processes share.
pub mod shared;

/// Reading for people: timelines, deliveries, counters, what is set aside.
pub mod reading;

/// How Redis is set up, how full it is, and what waits in it: for `doctor`.
pub mod health;

/// Figures for whoever watches: how full Redis is, how long the oldest event waits.
pub mod gauges;

pub use connection::{Error, Store};

#[cfg(test)]
mod append_tests;
#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod embedded_tests;
#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod leases_tests;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod records_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod timers_tests;
#[cfg(test)]
mod trial;
