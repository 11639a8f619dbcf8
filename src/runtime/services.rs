//! What every moving part needs; clones share everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::store::Store;
use crate::wecom::client::Wecom;

use super::handover::TagBook;
use super::reload::Rules;
use super::wakes::Wakes;

/// The most WeCom calls of one process under way at once, per lane.
const CALLS_AT_ONCE: usize = 48;

/// What every moving part needs.
#[derive(Clone)]
pub struct Services {
    /// Redis.
    pub store: Store,
    /// WeCom.
    pub wecom: Wecom,
    /// The rules in force.
    pub rules: Rules,
    /// Business time.
    pub clock: Clock,
    /// Who is told of work.
    pub wakes: Wakes,
    /// Ids of tags, as far as they are known here.
    pub tags: TagBook,
    /// Leave to call WeCom for urgent effects.
    pub urgent_calls: Arc<Semaphore>,
    /// Leave to call WeCom for all others.
    pub normal_calls: Arc<Semaphore>,
    /// Steps of work under way in this process: batches, calls.
    pub busy: Busy,
}

impl Services {
    /// Wires them.
    #[must_use]
    pub fn new(store: Store, wecom: Wecom, rules: Rules, clock: Clock) -> Self {
        Self {
            wakes: Wakes::new(store.clone()),
            store,
            wecom,
            rules,
            clock,
            tags: TagBook::default(),
            urgent_calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            normal_calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            busy: Busy::default(),
        }
    }
}

/// How many steps of work are under way; what an adjustable clock waits for before it moves on.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicUsize>);

/// One step of work; over when dropped.
#[derive(Debug)]
pub struct Step(Arc<AtomicUsize>);

impl Busy {
    /// Begins a step.
    #[must_use]
    pub fn begin(&self) -> Step {
        self.0.fetch_add(1, Ordering::AcqRel);
        Step(Arc::clone(&self.0))
    }

    /// Steps under way.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
