//! One owned shard: due timers moved into its stream, its lanes drained, its sweeps walked, one after the other.
//!
//! One task does all three, so that one actor's events take effect in order without a lock.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::At;
use crate::playbook::model::Playbook;
use crate::store::Error;
use crate::store::commit::{Committed, Cursor};
use crate::store::leases::Fence;
use crate::store::streams::{Entry, InLane, StreamId};

use super::dispatcher::Dispatcher;
use super::services::Services;
use super::sweeper::{self, Sweeper};
use super::worker::{self, BATCH};

/// A look at the lanes that makes every wake a mere hint.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait after Redis did not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Rounds of batches after which a sweep that is due gets a turn, however much there is to do.
const ROUNDS_BETWEEN_SLICES: u32 = 16;

/// Runs a shard until `finish` (the batch under way is committed first) or `lost`.
pub async fn run(services: Services, shard: u16, fence: Fence, finish: CancellationToken, lost: CancellationToken) {
    let _working = services.wakes.working_on(shard);
    let dispatcher = Dispatcher::new(services.clone(), shard, fence.clone());
    let dispatching = dispatcher.run(finish.clone(), lost.clone());
    let draining = drain(&services, shard, &fence, &finish, &lost);
    tokio::join!(dispatching, draining);
}

/// Opens the shard and works on it; opens it anew whenever Redis refused or did not answer.
async fn drain(services: &Services, shard: u16, fence: &Fence, finish: &CancellationToken, lost: &CancellationToken) {
    let over = || finish.is_cancelled() || lost.is_cancelled();
    while !over() {
        let worked = match Worker::open(services, shard, fence.clone()).await {
            Ok(mut worker) => worker.run(&over, finish, lost).await,
            Err(error) => Err(error),
        };
        match worked {
            Ok(()) if over() => return,
            Ok(()) => lost.cancel(),
            Err(error) => {
                let error = worker::said(&error);
                tracing::warn!(shard, error, "a step was refused or not answered; the shard is opened anew");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

struct Worker<'a> {
    services: &'a Services,
    shard: u16,
    fence: Fence,
    cursor: Cursor,
    sweeper: Sweeper,
    /// Entries that are decided one by one, because Redis refused a batch with all of them.
    singly: usize,
    /// Rounds since a sweep had its turn.
    rounds: u32,
    /// No timer is due earlier; only this task's commits set any.
    next_timer: Option<At>,
    /// What stood behind the last batch while that was decided.
    ahead: Option<Next>,
}

/// What a lane has next.
type Next = (InLane, Vec<Entry>);

/// What one round of work found.
enum Round {
    Worked,
    Idle,
    Lost,
}

impl<'a> Worker<'a> {
    async fn open(services: &'a Services, shard: u16, fence: Fence) -> Result<Self, Error> {
        let store = &services.store;
        Ok(Self {
            services,
            shard,
            fence,
            cursor: store.cursor(shard).await?,
            sweeper: Sweeper::open(store, shard).await?,
            singly: 0,
            rounds: 0,
            next_timer: store.next_timer(shard).await?,
            ahead: None,
        })
    }

    /// Works until it is over; `Ok` when the shard is not ours any more or the work shall end.
    async fn run(
        &mut self,
        over: &impl Fn() -> bool,
        finish: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), Error> {
        while !over() {
            let step = self.services.busy.begin();
            let round = self.round().await?;
            drop(step);
            match round {
                Round::Worked => {}
                Round::Lost => return Ok(()),
                Round::Idle => {
                    tokio::select! {
                        () = self.services.wakes.lanes(self.shard) => {}
                        () = tokio::time::sleep(self.idle_for()) => {}
                        () = finish.cancelled() => {}
                        () = lost.cancelled() => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn idle_for(&self) -> Duration {
        let now = self.services.clock.now();
        let until = |at: At| (at - now).to_std().unwrap_or(Duration::ZERO);
        self.next_timer.map_or(POLL, |at| until(at).clamp(Duration::from_millis(1), POLL))
    }

    async fn round(&mut self) -> Result<Round, Error> {
        let playbook = self.services.rules.current();
        let now = self.services.clock.now();
        let has_fired = self.fire_timers(now).await?;
        let (lane, entries) = match self.ahead.take() {
            // An empty one was read before the timers fired.
            Some(ahead) if !ahead.1.is_empty() || !has_fired => ahead,
            Some(_) | None => self.read_next(&self.cursor).await?,
        };
        let last = entries.last().map(|entry| entry.id.clone());
        let worked = match last {
            Some(last) => match self.decide(&playbook, entries, moved(&self.cursor, lane, last), now).await? {
                Round::Lost => return Ok(Round::Lost),
                Round::Worked | Round::Idle => true,
            },
            None => has_fired,
        };
        self.rounds += 1;
        if worked && self.rounds < ROUNDS_BETWEEN_SLICES {
            return Ok(Round::Worked);
        }
        self.rounds = 0;
        match self.sweep(&playbook, now).await? {
            Round::Idle if worked => Ok(Round::Worked),
            round => Ok(round),
        }
    }

    async fn fire_timers(&mut self, now: At) -> Result<bool, Error> {
        if self.next_timer.is_none_or(|due| due > now) {
            return Ok(false);
        }
        let fired = self.services.store.fire_due(self.shard, &self.fence, now, BATCH).await?;
        for due in &fired.due {
            let late = (now - *due).to_std().unwrap_or_default();
            metrics::histogram!("touchpoint_timer_lateness_seconds").record(late.as_secs_f64());
        }
        metrics::counter!("touchpoint_timers_fired_total").increment(fired.moved as u64);
        self.next_timer = fired.next;
        Ok(fired.moved > 0)
    }

    async fn read_next(&self, behind: &Cursor) -> Result<Next, Error> {
        let most = if self.singly > 0 { 1 } else { BATCH };
        self.services.store.read_next(self.shard, behind, most).await
    }

    async fn decide(
        &mut self,
        playbook: &Arc<Playbook>,
        entries: Vec<Entry>,
        to: Cursor,
        now: At,
    ) -> Result<Round, Error> {
        let from_to = (self.cursor.clone(), to.clone());
        let (store, count) = (&self.services.store, entries.len());
        let deciding = worker::decide_entries(store, playbook, self.shard, &self.fence, entries, from_to, now);
        // What comes next does not hang on how this batch ends, so it is asked for in the same round trip.
        let (outcome, ahead) = tokio::join!(deciding, self.read_next(&to));
        if count > 1 && matches!(outcome, Err(Error::Unreadable { .. })) {
            // One of them stands in the way of all; taken alone it will be set aside.
            self.singly = count;
            return Ok(Round::Worked);
        }
        let outcome = outcome?;
        match outcome.committed {
            Committed::Done | Committed::Already => {
                self.cursor = to;
                self.singly = self.singly.saturating_sub(count);
                self.ahead = Some(ahead?);
                self.after_commit(outcome.has_effects, outcome.next_timer);
                Ok(Round::Worked)
            }
            Committed::Fenced => Ok(Round::Lost),
            Committed::Moved => {
                self.cursor = store.cursor(self.shard).await?;
                Ok(Round::Worked)
            }
        }
    }

    async fn sweep(&mut self, playbook: &Arc<Playbook>, now: At) -> Result<Round, Error> {
        if self.sweeper.next_due(playbook).is_none_or(|due| due > now) {
            return Ok(Round::Idle);
        }
        match self.sweeper.step(&self.services.store, playbook, &self.fence, now).await? {
            sweeper::Step::Idle => Ok(Round::Idle),
            sweeper::Step::Moved { has_effects, next_timer } => {
                self.after_commit(has_effects, next_timer);
                Ok(Round::Worked)
            }
            sweeper::Step::Lost => Ok(Round::Lost),
        }
    }

    fn after_commit(&mut self, has_effects: bool, next_timer: Option<At>) {
        if has_effects {
            self.services.wakes.outbox_changed(self.shard);
        }
        self.next_timer = self.next_timer.into_iter().chain(next_timer).min();
    }
}

fn moved(cursor: &Cursor, lane: InLane, to: StreamId) -> Cursor {
    match lane {
        InLane::In => Cursor { now: to, bulk: cursor.bulk.clone() },
        InLane::Bulk => Cursor { now: cursor.now.clone(), bulk: to },
    }
}
