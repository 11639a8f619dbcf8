//! Which shards are ours: leases taken, renewed each second, shared evenly among the living, given up.
//!
//! A shard whose lease could not be renewed for as long as it lives is let go and its calls are cancelled; the fence
//! refuses whatever might still be written. In a cluster shards of one server may be lost while others are kept.

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

/// A process that died under the same name is on the list this many looks at most.
const LOOKS_AT_A_DEAD_NAMESAKE: u32 = 5;

/// The shards of this process.
pub struct Supervisor {
    services: Services,
    node: Node,
    works: bool,
    owned: BTreeMap<u16, Owned>,
    leaving: Vec<(u16, Owned)>,
    count: Arc<AtomicUsize>,
    /// Looks in a row at which another living process had the same name.
    namesake_seen: u32,
}

struct Owned {
    fence: Fence,
    renewed_at: Instant,
    finish: CancellationToken,
    lost: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Owns nothing yet; `works` says whether it ever will. `count` is kept at the number of shards owned, for readiness.
    #[must_use]
    pub fn new(services: Services, node: Node, works: bool, count: Arc<AtomicUsize>) -> Self {
        let (owned, leaving) = (BTreeMap::new(), Vec::new());
        Self { services, node, works, owned, leaving, count, namesake_seen: 0 }
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
            // Renewing comes first: whatever else is not answered must not cost a shard.
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "leases could not be renewed");
            }
            self.give_up_what_is_stale();
            if let Err(error) = self.share().await {
                tracing::warn!(%error, "shards could not be shared out");
            }
            self.count.store(self.owned.len(), Ordering::Release);
        }
        self.retire().await;
    }

    /// Keeps to this process's share of the shards among the living.
    async fn share(&mut self) -> Result<(), Error> {
        let store = self.services.store.clone();
        let clock = &self.services.clock;
        clock.take_offset_ms(store.clock_offset().await?);
        let workers = store.announce(&self.node.owner, self.works).await?;
        self.look_for_namesakes(&workers);
        self.release_finished().await?;
        let share = if self.works { usize::from(store.shards()).div_ceil(workers.len().max(1)) } else { 0 };
        self.leave_surplus(share);
        self.take_up_to(share).await
    }

    /// Two processes of one name do no harm, since each has a boot id, but nobody can tell their logs apart.
    fn look_for_namesakes(&mut self, workers: &[String]) {
        let name = self.node.name();
        let has_one = workers.iter().any(|other| *other != self.node.owner && super::node::name_of(other) == name);
        self.namesake_seen = if has_one { self.namesake_seen.saturating_add(1) } else { 0 };
        if self.namesake_seen == LOOKS_AT_A_DEAD_NAMESAKE + 1 {
            tracing::warn!(node = name, "another process has the same name; give each its own server.node");
        }
    }

    /// Renews what is ours; what is lost is cancelled.
    async fn renew(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let all = self.owned.iter().map(|(shard, owned)| (*shard, owned.fence.clone()));
        let held: Vec<(u16, Fence)> =
            all.chain(self.leaving.iter().map(|(shard, owned)| (*shard, owned.fence.clone()))).collect();
        let renewed = self.services.store.renew(&self.node.owner, &held).await?;
        for ((shard, fence), renewed) in held.iter().zip(renewed) {
            match renewed {
                Ok(true) => self.renewed(*shard, fence, begun),
                Ok(false) => self.let_go(*shard, "the shard is not ours any more"),
                Err(error) => tracing::warn!(shard, %error, "a lease could not be renewed"),
            }
        }
        // Nobody works on a shard whose task has ended, by itself or by a panic: its lease runs out, and it is taken anew.
        let ended = self.owned.iter().filter(|(_, owned)| owned.lost.is_cancelled() || owned.task.is_finished());
        for shard in ended.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.let_go(shard, "the work on a shard ended; it is taken up anew");
        }
        Ok(())
    }

    fn renewed(&mut self, shard: u16, fence: &Fence, at: Instant) {
        let leaving = self.leaving.iter_mut().filter(|(leaving, _)| *leaving == shard).map(|(_, owned)| owned);
        for owned in leaving.chain(self.owned.get_mut(&shard)).filter(|owned| owned.fence == *fence) {
            owned.renewed_at = at;
        }
    }

    fn let_go(&mut self, shard: u16, why: &'static str) {
        let leaving = self.leaving.iter().filter(|(leaving, _)| *leaving == shard).map(|(_, owned)| &owned.lost);
        leaving.for_each(CancellationToken::cancel);
        if let Some(owned) = self.owned.remove(&shard) {
            tracing::warn!(shard, "{why}");
            owned.lost.cancel();
        }
    }

    /// Without a renewal for as long as a lease lives, somebody else may own a shard by now.
    fn give_up_what_is_stale(&mut self) {
        let is_stale = |owned: &Owned| owned.renewed_at.elapsed() >= Duration::from_millis(LEASE_MS);
        let held = self.owned.iter().chain(self.leaving.iter().map(|(shard, owned)| (shard, owned)));
        let stale: Vec<u16> = held.filter(|(_, owned)| is_stale(owned)).map(|(shard, _)| *shard).collect();
        for shard in stale {
            self.let_go(shard, "a lease could not be renewed in time; the shard is let go");
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
            let asked = Instant::now();
            if let Some(fence) = self.services.store.acquire(shard, &self.node.owner).await? {
                self.start(shard, fence, asked);
            }
        }
        Ok(())
    }

    fn start(&mut self, shard: u16, fence: Fence, renewed_at: Instant) {
        let (finish, lost) = (CancellationToken::new(), CancellationToken::new());
        let run = shard::run(self.services.clone(), shard, fence.clone(), finish.clone(), lost.clone());
        self.owned.insert(shard, Owned { fence, renewed_at, finish, lost, task: tokio::spawn(run) });
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
                self.leaving.iter().for_each(|(_, owned)| owned.lost.cancel());
                break;
            }
        }
        if let Err(error) = self.services.store.retire(&self.node.owner).await {
            tracing::warn!(%error, "this process could not be taken off the list; it runs out by itself");
        }
    }
}
