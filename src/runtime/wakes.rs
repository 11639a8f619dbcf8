//! Waking: a hint that a shard has something to do. Polling finds it too, only later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Events for shards of other processes gather this long, so that a thousand of them are told in one breath.
const GATHER: Duration = Duration::from_millis(1);

/// The bells of all shards. Clones ring the same ones.
#[derive(Clone)]
pub struct Wakes {
    bells: Arc<[Bell]>,
    /// Some shard of another process is to be told of.
    others: Arc<Notify>,
    store: Store,
}

/// Work of this process on one shard; over when dropped, by a panic too.
pub struct Working {
    bells: Arc<[Bell]>,
    shard: u16,
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(bell) = self.bells.get(usize::from(self.shard)) {
            bell.workers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[derive(Default)]
struct Bell {
    lanes: Notify,
    outbox: Notify,
    /// How many tasks of this process work on the shard: for a moment a lost one may still end while another begins.
    workers: AtomicUsize,
    /// Its owner, another process, is to be told.
    untold: AtomicBool,
}

impl Wakes {
    /// Nobody is woken yet, and no shard is ours.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let bells = (0..store.shards()).map(|_| Bell::default()).collect();
        Self { bells, others: Arc::default(), store }
    }

    /// Something was appended to a shard's lanes: its owner is told, in this process or another.
    pub fn appended(&self, shard: u16) {
        let Some(bell) = self.bells.get(usize::from(shard)) else { return };
        if bell.workers.load(Ordering::Acquire) > 0 {
            bell.lanes.notify_one();
            return;
        }
        if !bell.untold.swap(true, Ordering::AcqRel) {
            self.others.notify_one();
        }
    }

    /// Tells the other processes of their shards, until `stop`.
    pub async fn tell_others(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.others.notified() => {}
                () = stop.cancelled() => return,
            }
            tokio::time::sleep(GATHER).await;
            let untold = |(_, bell): &(u16, &Bell)| bell.untold.swap(false, Ordering::AcqRel);
            let shards: Vec<u16> = (0..).zip(self.bells.iter()).filter(untold).map(|(shard, _)| shard).collect();
            if let Err(error) = self.store.publish_wakes(&shards).await {
                tracing::debug!(?shards, %error, "wakes were not published; the owners poll");
            }
        }
    }

    /// Another process appended to a shard.
    pub fn woken_from_outside(&self, shard: u16) {
        if let Some(bell) = self.bells.get(usize::from(shard)) {
            bell.lanes.notify_one();
        }
    }

    /// Effects were added to a shard's outbox, or one that stood in the way of others is over.
    pub fn outbox_changed(&self, shard: u16) {
        if let Some(bell) = self.bells.get(usize::from(shard)) {
            bell.outbox.notify_one();
        }
    }

    /// The clock moved: everything of ours may be due.
    pub fn all(&self) {
        for bell in self.bells.iter() {
            bell.lanes.notify_one();
            bell.outbox.notify_one();
        }
    }

    /// This process works on a shard until the guard is dropped; decides between a bell here and a message to others.
    #[must_use]
    pub fn working_on(&self, shard: u16) -> Working {
        if let Some(bell) = self.bells.get(usize::from(shard)) {
            bell.workers.fetch_add(1, Ordering::AcqRel);
        }
        Working { bells: Arc::clone(&self.bells), shard }
    }

    /// Waits until a shard's lanes are rung for.
    pub async fn lanes(&self, shard: u16) {
        match self.bells.get(usize::from(shard)) {
            Some(bell) => bell.lanes.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until a shard's outbox is rung for.
    pub async fn outbox(&self, shard: u16) {
        match self.bells.get(usize::from(shard)) {
            Some(bell) => bell.outbox.notified().await,
            None => std::future::pending().await,
        }
    }
}
