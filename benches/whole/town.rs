//! Customers with a past, made by the real decisions and the real commit, only faster than they live: each event is
//! decided at its own moment. What they would have asked of WeCom is left out.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use futures_util::future::try_join_all;
use touchpoint::decide::guardrails::day_of;
use touchpoint::decide::{self, TimerChange};
use touchpoint::playbook::load;
use touchpoint::playbook::model::Playbook;
use touchpoint::store::Store;
use touchpoint::store::commit::{Batch, Change, Committed, Progress};
use touchpoint::store::records::Stored;
use touchpoint::store::walks::WalkState;

use crate::past::{At, Happened, customer, unknown};
use crate::server::{Folder, Held};

/// Changes in one commit.
const AT_ONCE: usize = 256;

/// Whoever makes customers while the shards are held.
pub(crate) struct Town<'a> {
    pub(crate) store: &'a Store,
    held: &'a Held,
    playbook: Playbook,
    /// Timers due before are those of a past that is over.
    timers_from: At,
    waiting: BTreeMap<u16, Vec<Change>>,
    walked: BTreeMap<u16, WalkState>,
    count: u64,
}

impl<'a> Town<'a> {
    pub(crate) fn new(folder: &Folder, store: &'a Store, held: &'a Held, timers_from: At) -> anyhow::Result<Self> {
        let context = folder.settings.playbook_context();
        let loaded = load::load(folder.path(), &context).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let playbook = loaded.playbook;
        let (waiting, walked) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { store, held, playbook, timers_from, waiting, walked, count: 0 })
    }

    /// Lets a customer live through these events.
    pub(crate) async fn lives(&mut self, number: usize, past: Vec<Happened>) -> anyhow::Result<()> {
        let actor = customer(number);
        let mut record = unknown(number);
        for (place, one) in past.into_iter().enumerate() {
            let event = one.to(number, place);
            let before = Stored::of(&record.head)?;
            let mut decision = decide::decide(&self.playbook, record.clone(), &event, event.at)?;
            decision.effects.clear();
            decision.timers.retain(|timer| !matches!(timer, TimerChange::Set { at, .. } if *at < self.timers_from));
            record.head = decision.head.clone();
            let change = Change { actor: actor.clone(), before, decision };
            self.waiting.entry(actor.shard(self.store.shards())).or_default().push(change);
        }
        self.count += 1;
        if self.count.is_multiple_of(1000) { self.settle().await } else { Ok(()) }
    }

    /// Commits what has been lived through.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        let day = day_of(self.playbook.zone, Utc::now());
        let mut batches = Vec::new();
        for (shard, mut changes) in std::mem::take(&mut self.waiting) {
            let mut of_shard = Vec::new();
            while !changes.is_empty() {
                let rest = changes.split_off(changes.len().min(AT_ONCE));
                let from = self.walked.get(&shard).cloned();
                let last = from.as_ref().map_or(At::UNIX_EPOCH, |from| from.due);
                let to = WalkState { due: last + TimeDelta::milliseconds(1), schedule: String::new(), after: None };
                self.walked.insert(shard, to.clone());
                let progress = Progress::Walk { name: "bench".to_owned(), from, to };
                let fence = self.held.fence(shard)?.clone();
                of_shard.push(Batch { shard, fence, progress, changes, dead: Vec::new(), day });
                changes = rest;
            }
            batches.push(of_shard);
        }
        let store = self.store;
        let commits = batches.into_iter().map(|of_shard| async move {
            for batch in of_shard {
                let committed = store.commit(&batch).await?;
                anyhow::ensure!(committed == Committed::Done, "the past was not written: {committed:?}");
            }
            Ok(())
        });
        try_join_all(commits).await.map(drop)
    }
}
