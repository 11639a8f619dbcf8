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
const REQUESTS: usize = 20_000;
/// Before the first round, so that nobody is measured cold.
const WARMING: usize = 4_000;
const CONNECTIONS: usize = 32;

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
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let count = if round == 0 { WARMING } else { REQUESTS };
        let requests = load::callbacks(&keys, round * REQUESTS, count);
        // Whoever goes first finds a cooler machine.
        let (us, them) = if round % 2 == 0 {
            let us = run(redis, &server.process, &server.addr, &requests).await?;
            (us, run(redis, &bare, &bare_addr, &requests).await?)
        } else {
            let them = run(redis, &bare, &bare_addr, &requests).await?;
            (run(redis, &server.process, &server.addr, &requests).await?, them)
        };
        if round > 0 {
            ours.push(us);
            theirs.push(them);
        }
    }
    print(&ours, &theirs);
    Ok(())
}

async fn run(redis: &Redis, process: &Process, addr: &str, requests: &Requests) -> anyhow::Result<Run> {
    let before = (process.cpu()?, redis.process.cpu()?);
    let sent = load::send(addr, requests, CONNECTIONS).await?;
    let after = (process.cpu()?, redis.process.cpu()?);
    let each = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(u32::try_from(requests.len()).unwrap_or(u32::MAX));
    Ok(Run { sent, cpu: each(after.0 - before.0), redis: each(after.1 - before.1) })
}

fn print(ours: &[Run], theirs: &[Run]) {
    table::section(
        "callbacks",
        &format!(
            "{ROUNDS} rounds of {REQUESTS} encrypted POSTs, {CONNECTIONS} connections, medians; ratio to the bare server"
        ),
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
