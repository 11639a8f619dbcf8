//! Timers: each belongs to a customer whose journey waits for it, and is done when the decision that it led to is
//! committed. So many come due one after the other, to see how late they are; then so many in one moment, to see how
//! many are done in a second.
//!
//! A shard works its timers in the order in which they are due. So it is enough to look every few milliseconds how many
//! are left: what is gone since is as late as the moment of looking.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use touchpoint::domain::event::types;
use touchpoint::store::Store;

use crate::past::{At, customer, happened};
use crate::processes::{PATIENCE, Redis};
use crate::server::{Folder, Held, Server, fresh};
use crate::table::{self, percentile};
use crate::town::Town;

const STEADY: usize = 20_000;
const STEADY_FOR: TimeDelta = TimeDelta::seconds(10);
const BURST: usize = 20_000;
/// From the last of the steady ones to the burst.
const BREATH: TimeDelta = TimeDelta::seconds(3);
/// From now to the first of them, before the clock is moved.
const AHEAD: TimeDelta = TimeDelta::minutes(3);
/// From the moving of the clock to the first of them.
const RUN_UP: TimeDelta = TimeDelta::seconds(3);
const LOOK: Duration = Duration::from_millis(2);
/// How long the journey after a visit waits before it goes on.
const WAIT: TimeDelta = TimeDelta::hours(12);

/// Measures and prints.
pub(crate) async fn measure(redis: &Redis) -> anyhow::Result<()> {
    let folder = Folder::make(Some(redis))?;
    let (store, held) = fresh(redis, &folder).await?;
    let server = Server::start(folder.path())?;
    // Making the customers takes a while, so their timers lie far enough ahead, and the clock is moved there afterwards.
    let first = Utc::now() + AHEAD;
    let burst = first + STEADY_FOR + BREATH;
    let due = customers(&folder, &store, &held, first, burst).await?;
    held.release().await?;
    server.complete(store.shards()).await?;
    let ahead = first - RUN_UP - Utc::now();
    anyhow::ensure!(ahead > TimeDelta::zero(), "making the customers took too long");
    // Servers look at the shared clock each second.
    let offset = TimeDelta::milliseconds(store.move_clock(ahead.num_milliseconds()).await?);

    let mut watch = Watch { redis, store: &store, due, offset, until: burst };
    watch.sleep_until(first - TimeDelta::milliseconds(20)).await;
    let before = server.process.cpu()?;
    let late = watch.look_until(STEADY).await?;
    let used = (server.process.cpu()? - before).as_secs_f64();
    table::section(
        "timers",
        &format!("{STEADY} due evenly within {} s, then {BURST} due in one moment", STEADY_FOR.num_seconds()),
    );
    let ms = |late: Duration| late.as_secs_f64() * 1e3;
    table::figure("load", "/s", STEADY as f64 / STEADY_FOR.as_seconds_f64());
    table::figure("from due to committed, p50", "ms", ms(percentile(&late, 50.0)));
    table::figure("from due to committed, p99", "ms", ms(percentile(&late, 99.0)));
    table::figure("from due to committed, latest", "ms", ms(percentile(&late, 100.0)));
    table::figure("CPU of the server per timer", "µs", used * 1e6 / STEADY as f64);

    watch.sleep_until(burst - TimeDelta::milliseconds(20)).await;
    let late = watch.look_until(BURST).await?;
    let latest = percentile(&late, 100.0);
    table::figure("fired, decided and committed when all are due at once", "/s", BURST as f64 / latest.as_secs_f64());
    table::figure("from due to committed then, p50", "ms", ms(percentile(&late, 50.0)));
    table::figure("from due to committed then, latest", "ms", ms(latest));
    Ok(())
}

/// Customers whose journey waits after a visit: the first ones until moments from `first` on, the others until `burst`.
/// Gives those moments for each shard, in order.
async fn customers(
    folder: &Folder,
    store: &Store,
    held: &Held,
    first: At,
    burst: At,
) -> anyhow::Result<Vec<VecDeque<At>>> {
    let mut due = vec![Vec::new(); usize::from(store.shards())];
    let mut town = Town::new(folder, store, held, first)?;
    for number in 0..STEADY + BURST {
        let place = STEADY_FOR.as_seconds_f64() * number as f64 / STEADY as f64;
        let place = Duration::try_from_secs_f64(place).context("a place in a few seconds")?;
        let at = if number < STEADY { first + place } else { burst };
        let at = DateTime::from_timestamp_millis(at.timestamp_millis()).context("a moment of today")?;
        let past = vec![
            happened(at - TimeDelta::days(9), types::CONTACT_ADDED, json!({ "userid": "lili", "state": "store-01" })),
            happened(at - WAIT, types::VISIT_MADE, json!({ "store": "一号店" })),
        ];
        town.lives(number, past).await?;
        let shard = usize::from(customer(number).shard(store.shards()));
        due.get_mut(shard).context("there is no such shard")?.push(at);
    }
    town.settle().await?;
    due.iter_mut().for_each(|due| due.sort_unstable());
    Ok(due.into_iter().map(VecDeque::from).collect())
}

/// Looks how many timers are done.
struct Watch<'a> {
    redis: &'a Redis,
    store: &'a Store,
    /// Of each shard, those that are not done, in order.
    due: Vec<VecDeque<At>>,
    /// How far the clock is ahead.
    offset: TimeDelta,
    /// Later timers are those that the journeys have set since.
    until: At,
}

impl Watch<'_> {
    fn now(&self) -> At {
        Utc::now() + self.offset
    }

    async fn sleep_until(&self, moment: At) {
        tokio::time::sleep((moment - self.now()).to_std().unwrap_or_default()).await;
    }

    /// Looks until so many more are done; gives how late each was, the earliest first.
    async fn look_until(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let begun = Instant::now();
        let mut late = Vec::with_capacity(count);
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while late.len() < count {
            ticks.tick().await;
            let left = self.left().await?;
            let now = self.now();
            for (due, left) in self.due.iter_mut().zip(left) {
                let done = due.drain(..due.len().saturating_sub(left));
                late.extend(done.map(|due| (now - due).to_std().unwrap_or_default()));
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the timers were not done in time");
        }
        late.sort_unstable();
        Ok(late)
    }

    /// Timers that wait or whose event waits, shard by shard, all in one moment.
    async fn left(&self) -> anyhow::Result<Vec<usize>> {
        let keys = self.store.keys();
        let mut pipe = redis::pipe();
        pipe.atomic();
        for shard in 0..self.store.shards() {
            pipe.cmd("ZCOUNT").arg(keys.of_shard(shard, "timers")).arg("-inf").arg(self.until.timestamp_millis());
            pipe.cmd("XLEN").arg(keys.of_shard(shard, "in"));
        }
        let counts: Vec<usize> = pipe.query_async(&mut self.redis.link()).await?;
        Ok(counts.chunks(2).map(|counts| counts.iter().sum()).collect())
    }
}
