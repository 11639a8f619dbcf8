//! Pauses: families and calls that WeCom will refuse for a while, known to all processes through Redis.
//!
//! After a pause one call alone tries; when it is refused for the same reason, the next pause is twice as long. A pause
//! is read from Redis at most once a second, so another process notices within a second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Error, Store};

/// How long what was read from Redis holds.
const FRESH: Duration = Duration::from_secs(1);
/// When to look again while another call tries.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// The pauses as this process knows them.
pub(crate) struct Pauses {
    store: Store,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    read_at: Option<Instant>,
    scopes: HashMap<String, Scope>,
}

/// What is paused, or was a short while ago.
#[derive(Debug)]
struct Scope {
    until: Instant,
    /// How many pauses in a row there were.
    steps: u32,
    /// Whether a call is trying whether it is over.
    on_trial: bool,
}

/// How long a kind of pause lasts: at first, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length {
    /// At first.
    pub(crate) first: Duration,
    /// After many in a row.
    pub(crate) most: Duration,
}

/// While a permission is missing: an admin has to act, so look again slowly.
pub(crate) const FOR_ADMIN: Length = Length { first: Duration::from_secs(60), most: Duration::from_secs(600) };
/// While a quota is overstepped: WeCom blocks for the window, a minute or an hour (WeCom document 90312).
pub(crate) const FOR_QUOTA: Length = Length { first: Duration::from_secs(60), most: Duration::from_secs(3600) };

/// Leave to make a call; for scopes that were paused it is the one call that tries.
pub(crate) struct Trial<'a> {
    pauses: &'a Pauses,
    scopes: Vec<String>,
}

/// Why a call may not be made.
#[derive(Debug)]
pub(crate) enum NotNow {
    /// Paused for so long.
    Paused(Duration),
    /// Redis did not answer.
    Store(Error),
}

impl Pauses {
    /// Nothing is paused that this process knows of.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to make a call that belongs to these scopes.
    pub(crate) async fn admit(&self, scopes: &[&str]) -> Result<Trial<'_>, NotNow> {
        let stale = self.known().read_at.is_none_or(|at| at.elapsed() >= FRESH);
        if stale {
            let paused = self.store.paused_families().await.map_err(NotNow::Store)?;
            self.known().take_over(paused, Instant::now());
        }
        let scopes = self.known().admit(scopes, Instant::now()).map_err(NotNow::Paused)?;
        Ok(Trial { pauses: self, scopes })
    }

    /// Pauses a scope in all processes; gives how long, and whether it was not paused before.
    ///
    /// # Errors
    /// When Redis did not answer; this process keeps the pause all the same.
    pub(crate) async fn pause(&self, scope: &str, reason: &str, length: Length) -> (Duration, bool, Result<(), Error>) {
        let (lives, new) = self.known().pause(scope, length, Instant::now());
        (lives, new, self.store.pause_family(scope, reason, lives).await)
    }
}

impl Known {
    fn take_over(&mut self, paused: Vec<(String, String, Duration)>, now: Instant) {
        for (name, _, left) in paused {
            let until = now + left;
            let scope = self.scopes.entry(name).or_insert(Scope { until, steps: 1, on_trial: false });
            scope.until = scope.until.max(until);
        }
        self.read_at = Some(now);
    }

    /// The scopes that are on trial with this call.
    fn admit(&mut self, scopes: &[&str], now: Instant) -> Result<Vec<String>, Duration> {
        let met: Vec<&str> = scopes.iter().copied().filter(|name| self.scopes.contains_key(*name)).collect();
        for scope in met.iter().filter_map(|name| self.scopes.get(*name)) {
            if now < scope.until {
                return Err(scope.until - now);
            }
            if scope.on_trial {
                return Err(TRIAL_WAIT);
            }
        }
        for name in &met {
            if let Some(scope) = self.scopes.get_mut(*name) {
                scope.on_trial = true;
            }
        }
        Ok(met.into_iter().map(str::to_owned).collect())
    }

    fn pause(&mut self, name: &str, length: Length, now: Instant) -> (Duration, bool) {
        let scope = self.scopes.entry(name.to_owned()).or_insert(Scope { until: now, steps: 0, on_trial: false });
        // Calls that were under way together fail together; that is one pause, not many.
        if now < scope.until {
            return (scope.until - now, false);
        }
        let lives = length.first.saturating_mul(2u32.saturating_pow(scope.steps)).min(length.most);
        scope.steps = scope.steps.saturating_add(1);
        scope.until = now + lives;
        (lives, true)
    }
}

impl Trial<'_> {
    /// The call was not refused for what its scopes were paused for: they are open again.
    pub(crate) fn succeeded(mut self) {
        let (mut known, now) = (self.pauses.known(), Instant::now());
        for name in std::mem::take(&mut self.scopes) {
            // Another call may have found it refused again meanwhile.
            if known.scopes.get(&name).is_some_and(|scope| scope.until <= now) {
                known.scopes.remove(&name);
            }
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.scopes.is_empty() {
            return;
        }
        let mut known = self.pauses.known();
        for name in &self.scopes {
            if let Some(scope) = known.scopes.get_mut(name) {
                scope.on_trial = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_paused_family_lets_nothing_through_and_others_go_on() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.pause("contacts", FOR_ADMIN, now);
        assert_eq!(known.admit(&["contacts", "user/get"], now), Err(seconds(60)));
        assert_eq!(known.admit(&["messages"], now), Ok(vec![]));
    }

    #[test]
    fn after_a_pause_one_call_alone_tries() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.pause("contacts", FOR_ADMIN, now);
        let later = now + seconds(60);
        assert_eq!(known.admit(&["contacts"], later), Ok(vec!["contacts".to_owned()]));
        assert_eq!(known.admit(&["contacts"], later), Err(TRIAL_WAIT));
    }

    #[test]
    fn each_pause_in_a_row_is_twice_as_long_up_to_a_limit() {
        for (length, expected) in [
            (FOR_ADMIN, [60, 120, 240, 480, 600, 600, 600, 600]),
            (FOR_QUOTA, [60, 120, 240, 480, 960, 1920, 3600, 3600]),
        ] {
            let (mut known, mut now) = (Known::default(), Instant::now());
            let lengths: Vec<u64> = (0..8)
                .map(|_| {
                    let (lives, new) = known.pause("x", length, now);
                    assert!(new);
                    now += lives;
                    lives.as_secs()
                })
                .collect();
            assert_eq!(lengths, expected);
        }
    }

    #[test]
    fn calls_that_fail_together_are_one_pause() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert_eq!(known.pause("x", FOR_QUOTA, now), (seconds(60), true));
        assert_eq!(known.pause("x", FOR_QUOTA, now + seconds(1)), (seconds(59), false));
    }

    #[test]
    fn a_pause_of_another_process_counts_like_ones_own() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.take_over(vec![("messages".into(), "60020".into(), seconds(40))], now);
        assert_eq!(known.admit(&["messages"], now), Err(seconds(40)));
        let later = now + seconds(40);
        known.take_over(vec![], later);
        assert!(known.admit(&["messages"], later).is_ok());
        assert_eq!(known.pause("messages", FOR_ADMIN, later), (seconds(120), true));
    }
}
