//! Several servers that share one Redis are killed again and again while a company works with them: nothing may be lost
//! and nothing doubled.
//!
//! What goes in is noted by the load (`load`), what comes out by the sandbox's own book and by the server's records; what
//! must come out is worked out by counting alone (`expected`). `TORTURE_ARGS` sets seed, kills and processes
//! (`options`); `make torture` runs the long form.
//!
//! The seed decides inputs, repeats, victims and moments (`schedule`). When exactly a thread runs is decided by the
//! machine: the same seed gives the same plan, not the same nanosecond.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod book;
mod company;
mod door;
mod expected;
mod killer;
mod load;
mod nurse;
mod options;
#[path = "../crash/protocol.rs"]
mod protocol;
mod proxy;
mod schedule;
mod table;

use std::time::Instant;

use company::Company;
use options::Options;

#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_servers_lose_nothing_and_double_nothing() {
    let options = Options::of_the_environment();
    let begun = Instant::now();
    let company = Company::open(&options).await;
    let killing = tokio::spawn(killer::kill_by_plan(company.ward(), options));
    let given = load::work_until(&company, &options, || killing.is_finished()).await;
    let kills = killing.await.unwrap();
    company.calm_down().await;
    load::let_everything_end(&company).await;
    let found = book::read(&company, &given).await;
    let judged = expected::of(&given).compared_with(&found);
    let report = table::report(&options, &given, &kills, &judged, begun.elapsed());
    println!("{report}");
    let troubles = company.close().await;
    assert!(troubles.is_empty(), "a server ended by itself or panicked:\n{}\n{report}", troubles.join("\n"));
    assert!(judged.is_clean(), "lost or doubled:\n{}\n{report}", judged.faults.join("\n"));
    assert!(kills.is_complete(&options), "fewer kills than planned\n{report}");
}
