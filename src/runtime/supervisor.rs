//! Which shards are ours: leases taken, renewed each second, shared evenly among the living, given up.
//!
//! A process that cannot renew for as long as a lease lives cancels its calls and lets go; the fence refuses whatever
//! it might still try to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::Error;
use crate::store::leases::{Fence, LEASE_MS};

use super::node::Node;
use super::services::Services;
use super::shard;

const RENEW: Duration = Duration::from_secs(1);

/// The shards of this process.
pub struct Supervisor {
    services: Services,
    node: Node,
    owned: BTreeMap<u16, Owned>,
    leaving: Vec<(u16, Owned)>,
    renewed_at: Instant,
    count: Arc<AtomicUsize>,
}

struct Owned {
    fence: Fence,
    finish: CancellationToken,
    lost: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Owns nothing yet. `count` is kept at the number of shards owned, for readiness.
    #[must_use]
    pub fn new(services: Services, node: Node, count: Arc<AtomicUsize>) -> Self {
        Self { services, node, owned: BTreeMap::new(), leaving: Vec::new(), renewed_at: Instant::now(), count }
    }

    /// Keeps this process's share of the shards until `stop`; then finishes batches and calls, and gives all up.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut second = tokio::time::interval(RENEW);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                _ = second.tick() => {}
                () = stop.cancelled() => break,
            }
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "leases could not be renewed");
                self.give_up_when_stale();
            }
            self.count.store(self.owned.len(), Ordering::Release);
        }
        self.retire().await;
    }

    async fn tick(&mut self) -> Result<(), Error> {
        let store = self.services.store.clone();
        let clock = &self.services.clock;
        clock.take_offset_ms(store.clock_offset().await?);
        let living = store.announce(&self.node.owner, true).await?;
        self.renew().await?;
        self.release_finished().await?;
        let share = usize::from(store.shards()).div_ceil(living.len().max(1));
        self.leave_surplus(share);
        self.take_up_to(share).await
    }

    /// Renews what is ours; what is lost is cancelled.
    async fn renew(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let all = self.owned.iter().map(|(shard, owned)| (*shard, owned.fence.clone()));
        let held: Vec<(u16, Fence)> =
            all.chain(self.leaving.iter().map(|(shard, owned)| (*shard, owned.fence.clone()))).collect();
        let renewed = self.services.store.renew(&self.node.owner, &held).await?;
        self.renewed_at = begun;
        for ((shard, _), is_ours) in held.iter().zip(renewed) {
            if !is_ours {
                self.let_go(*shard, "the shard is not ours any more");
            }
        }
        // Nobody works on a shard whose task has ended, by itself or by a panic: its lease runs out, and it is taken anew.
        let ended = self.owned.iter().filter(|(_, owned)| owned.lost.is_cancelled() || owned.task.is_finished());
        for shard in ended.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.let_go(shard, "the work on a shard ended; it is taken up anew");
        }
        Ok(())
    }

    fn let_go(&mut self, shard: u16, why: &'static str) {
        let leaving = self.leaving.iter().filter(|(leaving, _)| *leaving == shard).map(|(_, owned)| &owned.lost);
        leaving.for_each(CancellationToken::cancel);
        if let Some(owned) = self.owned.remove(&shard) {
            tracing::warn!(shard, "{why}");
            owned.lost.cancel();
        }
    }

    /// Without a renewal for as long as a lease lives, somebody else may own every shard by now.
    fn give_up_when_stale(&mut self) {
        if self.renewed_at.elapsed() < Duration::from_millis(LEASE_MS) {
            return;
        }
        for (_, owned) in std::mem::take(&mut self.owned) {
            owned.lost.cancel();
        }
        for (_, owned) in std::mem::take(&mut self.leaving) {
            owned.lost.cancel();
        }
    }

    /// Lets shards beyond our share finish their batch.
    fn leave_surplus(&mut self, share: usize) {
        while self.owned.len() > share {
            let Some((shard, owned)) = self.owned.pop_last() else { return };
            owned.finish.cancel();
            self.leaving.push((shard, owned));
        }
    }

    async fn release_finished(&mut self) -> Result<(), Error> {
        let (finished, leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(|(_, owned)| owned.task.is_finished());
        self.leaving = leaving;
        for (shard, owned) in finished {
            self.services.store.release(shard, &owned.fence).await?;
        }
        Ok(())
    }

    async fn take_up_to(&mut self, share: usize) -> Result<(), Error> {
        let free = if self.owned.len() < share { self.services.store.unowned().await? } else { Vec::new() };
        for shard in free {
            if self.owned.len() >= share {
                break;
            }
            if self.leaving.iter().any(|(leaving, _)| *leaving == shard) {
                continue;
            }
            if let Some(fence) = self.services.store.acquire(shard, &self.node.owner).await? {
                self.start(shard, fence);
            }
        }
        Ok(())
    }

    fn start(&mut self, shard: u16, fence: Fence) {
        let (finish, lost) = (CancellationToken::new(), CancellationToken::new());
        let run = shard::run(self.services.clone(), shard, fence.clone(), finish.clone(), lost.clone());
        self.owned.insert(shard, Owned { fence, finish, lost, task: tokio::spawn(run) });
    }

    /// Finishes everything, in parallel, renewing meanwhile; then the shards are free at once for others.
    async fn retire(mut self) {
        self.leave_surplus(0);
        self.count.store(0, Ordering::Release);
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut last_renewal = Instant::now();
        while !self.leaving.is_empty() {
            ticks.tick().await;
            let result = self.release_finished().await;
            if last_renewal.elapsed() >= RENEW && result.is_ok() {
                last_renewal = Instant::now();
                if let Err(error) = self.renew().await {
                    tracing::warn!(%error, "leases could not be renewed while stopping");
                }
            }
            if let Err(error) = result {
                tracing::warn!(%error, "shards could not be given up; their leases run out by themselves");
                self.give_up_when_stale();
                break;
            }
        }
        if let Err(error) = self.services.store.retire(&self.node.owner).await {
            tracing::warn!(%error, "this process could not be taken off the list; it runs out by itself");
        }
    }
}
