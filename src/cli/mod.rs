//! The commands: one file each. They alone print.
//!
//! Exit codes: 0 fine, 1 faults found, 2 usage, 3 could not run.

/// What can be said on the command line.
mod arguments;

/// `touchpoint serve`.
pub mod serve;

/// `touchpoint demo`.
pub mod demo;
/// WeCom's own book of the month, counted.
mod demo_book;
/// Whether WeCom received what the playbook promised.
mod demo_checks;
/// The figures worked out by hand.
mod demo_golden;
/// Rules that hold for any month.
mod demo_invariants;
/// Who does what in that month.
mod demo_month;
/// `demo --script`: the month is played.
mod demo_script;
/// Where a demo plays: folder, Redis, sandbox, server.
mod demo_stage;
/// The month told as tables.
mod demo_story;
/// The interactive demo: people, and five things to try.
mod demo_tour;

/// `touchpoint check [DIR]`.
pub mod check;

/// `touchpoint why CUSTOMER`.
pub mod why;

/// `touchpoint doctor`.
pub mod doctor;
/// Whether the callback can be reached.
mod doctor_callback;
/// Whether WeCom's host can be reached, and what time it is there.
mod doctor_host;
/// Disk, files and permissions of this machine.
mod doctor_machine;
/// How Redis is set up, and whether it takes writes.
mod doctor_redis;
/// What was found: how bad it is, and the fix, in two languages.
mod doctor_report;
/// What the server that runs here says of itself.
mod doctor_server;
/// What WeCom lets the apps do.
mod doctor_wecom;
/// Processes, shards, and what waits in Redis.
mod doctor_work;

/// `touchpoint sandbox`.
pub mod sandbox;

pub use arguments::{Arguments, run};
