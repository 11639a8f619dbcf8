//! A breaker: after a few calls that could not be made, nothing is attempted for a while, then one call tries again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures in a row open the breaker.
const PATIENCE: u32 = 3;
/// How long it stays open at first; doubled at each probe that fails.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long it stays open at most.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// When to look again while another call is the probe.
const PROBE_WAIT: Duration = Duration::from_millis(250);

/// The breaker of one host. A refused connection or a timeout is a failure; any answer at all is a success.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    wait: Duration,
    probing: bool,
}

/// Leave to make one call. Dropped without a verdict (the call was cancelled) it says nothing.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host did not answer lately; it stays so until a probe succeeds.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// How long nothing will be attempted; none when a call may be made.
    pub(crate) fn closed_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        let open = state.open.as_ref()?;
        if now < open.until { Some(open.until - now) } else { open.probing.then_some(PROBE_WAIT) }
    }

    /// Leave to make a call.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn admit(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.state();
        match &mut state.open {
            None => Ok(Pass { breaker: self, probe: false }),
            Some(open) if now < open.until => Err(open.until - now),
            Some(open) if open.probing => Err(PROBE_WAIT),
            Some(open) => {
                open.probing = true;
                Ok(Pass { breaker: self, probe: true })
            }
        }
    }
}

impl Pass<'_> {
    /// The host answered.
    pub(crate) fn answered(mut self) {
        let mut state = self.breaker.state();
        if state.open.is_none() || self.probe {
            *state = State::default();
        }
        drop(state);
        self.probe = false;
    }

    /// The host could not be reached or did not answer in time.
    pub(crate) fn failed(mut self, now: Instant) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        let wait = match &state.open {
            Some(open) if self.probe => Some((open.wait * 2).min(LONGEST_WAIT)),
            Some(_) => None,
            None => (state.failures >= PATIENCE).then_some(FIRST_WAIT),
        };
        if let Some(wait) = wait {
            state.open = Some(Open { until: now + wait, wait, probing: false });
        }
        drop(state);
        self.probe = false;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = &mut self.breaker.state().open
        {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..PATIENCE {
            breaker.admit(now).unwrap().failed(now);
        }
        breaker
    }

    #[test]
    fn a_few_failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..10 {
            breaker.admit(now).unwrap().failed(now);
            breaker.admit(now).unwrap().failed(now);
            breaker.admit(now).unwrap().answered();
        }
        assert_eq!(breaker.closed_for(now), None);
        assert_eq!(opened(now).closed_for(now), Some(FIRST_WAIT));
    }

    #[test]
    fn after_a_while_one_call_alone_tries_and_its_answer_closes_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now).unwrap_err(), FIRST_WAIT);
        let later = now + FIRST_WAIT;
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later).unwrap_err(), PROBE_WAIT);
        probe.answered();
        assert!(breaker.admit(later).is_ok() && breaker.admit(later).is_ok());
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_up_to_a_limit() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            now += breaker.closed_for(now).unwrap();
            breaker.admit(now).unwrap().failed(now);
            waits.push(breaker.closed_for(now).unwrap().as_millis());
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    }

    #[test]
    fn a_probe_that_is_cancelled_lets_the_next_call_try() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + FIRST_WAIT;
        drop(breaker.admit(later).unwrap());
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_call_from_before_it_opened_neither_closes_nor_prolongs_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        let (early, late) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        for _ in 0..PATIENCE {
            breaker.admit(now).unwrap().failed(now);
        }
        early.answered();
        late.failed(now);
        assert_eq!(breaker.closed_for(now), Some(FIRST_WAIT));
    }
}
