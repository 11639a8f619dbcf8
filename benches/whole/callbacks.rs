//! The callback path beside the bare server: the same requests to both, in turn, over the same number of connections,
//! with the same Redis. While this is measured the bench holds the shards, so what Touchpoint takes in is decided by
//! nobody: the CPU on its books is that of the callback path alone.

use std::time::Duration;

use secrecy::SecretString;
use touchpoint::wecom::crypto::CallbackKeys;

use crate::bare;
use crate::load::{self, Requests, Sent};
use crate::processes::{Process, Redis};
use crate::server::{AES_KEY, CORP, Folder, Server, TOKEN, fresh};
use crate::table::{self, median, percentile};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;
/// Before the first round, so that nobody is measured cold.
const WARMING: usize = 4_000;

/// A way of sending.
struct Load {
    name: &'static str,
    /// Requests in a round.
    requests: usize,
    /// Requests a second; none for as many as are answered.
    pace: Option<f64>,
}

const LOADS: [Load; 2] = [
    Load { name: "5000 a second", requests: 10_000, pace: Some(5_000.0) },
    Load { name: "as fast as they are answered", requests: 20_000, pace: None },
];

/// What one server did with one round.
struct Run {
    sent: Sent,
    /// Of the server, per request.
    cpu: f64,
    /// Of Redis, per request.
    redis: f64,
}

/// Measures and prints.
pub(crate) async fn measure(redis: &Redis) -> anyhow::Result<()> {
    let folder = Folder::make(Some(redis))?;
    let (_store, _held) = fresh(redis, &folder).await?;
    let keys = CallbackKeys::new(&SecretString::from(TOKEN), &SecretString::from(AES_KEY), CORP)?;
    let (bare, bare_addr) = bare::start(redis)?;
    let server = Server::start(folder.path())?;
    let (us, them) = ((&server.process, server.addr.as_str()), (&bare, bare_addr.as_str()));
    let mut number = 0;
    let mut prepare = |count| {
        number += count;
        load::callbacks(&keys, number - count, count)
    };
    let warming = prepare(WARMING);
    for server in [us, them] {
        run(redis, server, &warming, None).await?;
    }
    for load in LOADS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let requests = prepare(load.requests);
            // Whoever goes first finds a cooler machine.
            if round % 2 == 0 {
                ours.push(run(redis, us, &requests, load.pace).await?);
                theirs.push(run(redis, them, &requests, load.pace).await?);
            } else {
                theirs.push(run(redis, them, &requests, load.pace).await?);
                ours.push(run(redis, us, &requests, load.pace).await?);
            }
        }
        print(&load, &ours, &theirs);
    }
    Ok(())
}

async fn run(
    redis: &Redis,
    (process, addr): (&Process, &str),
    requests: &Requests,
    pace: Option<f64>,
) -> anyhow::Result<Run> {
    let before = (process.cpu()?, redis.process.cpu()?);
    let sent = load::send(addr, requests, CONNECTIONS, pace).await?;
    let after = (process.cpu()?, redis.process.cpu()?);
    let each = |used: Duration| used.as_secs_f64() * 1e6 / requests.len() as f64;
    Ok(Run { sent, cpu: each(after.0 - before.0), redis: each(after.1 - before.1) })
}

fn print(load: &Load, ours: &[Run], theirs: &[Run]) {
    let (name, requests) = (load.name, load.requests);
    table::section(
        "callbacks",
        &format!("{name}; medians of {ROUNDS} rounds of {requests} encrypted POSTs over {CONNECTIONS} connections"),
    );
    let row = |what, unit, of: fn(&Run) -> f64| {
        let middle = |runs: &[Run]| median(runs.iter().map(of).collect());
        let ratio = median(ours.iter().zip(theirs).map(|(us, them)| of(us) / of(them)).collect());
        table::compared(what, unit, middle(ours), middle(theirs), ratio);
    };
    row("CPU of the server per request", "µs", |run| run.cpu);
    row("CPU of Redis per request", "µs", |run| run.redis);
    row("requests answered 200", "/s", |run| run.sent.per_second());
    row("time to the answer, p50", "ms", |run| percentile(&run.sent.waits, 50.0).as_secs_f64() * 1e3);
    row("time to the answer, p99", "ms", |run| percentile(&run.sent.waits, 99.0).as_secs_f64() * 1e3);
}
