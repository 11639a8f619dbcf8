//! Trouble on purpose: what may go wrong between a server and WeCom, switched on and off.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::sync::watch;

use super::callbacks::Outgoing;
use super::people::Misuse;
use super::world::World;

/// A fault in the way of calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// The API it stands in the way of, such as `externalcontact/mark_tag`; any when absent.
    pub api: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many calls it meets; until cleared when absent.
    pub times: Option<u32>,
    /// The share of calls it meets, by seeded chance; all when absent.
    pub rate: Option<f64>,
}

impl Fault {
    /// A fault of every call until cleared.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self { api: None, kind, times: None, rate: None }
    }

    /// The same for one API.
    #[must_use]
    pub fn of(mut self, api: impl Into<String>) -> Self {
        self.api = Some(api.into());
        self
    }

    /// The same for the next calls only.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same for a share of the calls.
    #[must_use]
    pub const fn rate(mut self, rate: f64) -> Self {
        self.rate = Some(rate);
        self
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// WeCom answers this code and does nothing.
    Errcode(i64),
    /// Something before WeCom answers this HTTP status and WeCom hears nothing.
    Status(u16),
    /// The call waits this long, in real time, before WeCom looks at it.
    Latency(Duration),
    /// WeCom takes the call and the connection is cut without an answer.
    LoseAnswer,
    /// WeCom takes the call and the connection is cut after half an answer.
    HalfAnswer,
    /// The connection is cut before WeCom looks at the call.
    Cut,
}

/// What goes wrong with callbacks.
#[derive(Debug, Clone, PartialEq)]
pub struct CallbackFaults {
    /// How often each is sent; 1 when all is well.
    pub copies: u32,
    /// Whether they come in disorder.
    pub reorder: bool,
    /// The share that is never sent, by seeded chance.
    pub drop_rate: f64,
    /// The pause before a retry, in real time.
    pub retry_after: Duration,
}

impl Default for CallbackFaults {
    fn default() -> Self {
        Self { copies: 1, reorder: false, drop_rate: 0.0, retry_after: Duration::from_secs(1) }
    }
}

/// The switches as they stand.
pub(super) struct Switches {
    pub faults: Vec<Fault>,
    pub callbacks: CallbackFaults,
    pub kept_back: Vec<Outgoing>,
    pub consumed_welcome: i64,
    /// How far the `Date` of answers is ahead of the time.
    pub date_ahead: TimeDelta,
    holds: Vec<(String, Arc<Latch>)>,
    pub rng: StdRng,
}

/// What one call will meet.
#[derive(Default)]
pub(super) struct Trouble {
    pub delay: Duration,
    pub cut: bool,
    pub status: Option<u16>,
    pub errcode: Option<i64>,
    pub after: After,
}

/// What becomes of the answer of a call that was taken.
#[derive(Default)]
pub(super) enum After {
    #[default]
    Answer,
    Lose,
    Half,
    Hold(Arc<Latch>),
}

/// Two gates: the call was accepted; the answer may go.
pub(super) struct Latch {
    pub accepted: watch::Sender<bool>,
    pub released: watch::Sender<bool>,
}

impl Switches {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            faults: Vec::new(),
            callbacks: CallbackFaults::default(),
            kept_back: Vec::new(),
            consumed_welcome: 41050,
            date_ahead: TimeDelta::zero(),
            holds: Vec::new(),
            // A stream of its own, so that switching a fault on does not change the ids that are given out.
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
        }
    }

    /// Uses up what stands in the way of this call.
    pub(super) fn meet(&mut self, api: &str) -> Trouble {
        let mut trouble = Trouble::default();
        if let Some(place) = self.holds.iter().position(|(held, _)| held == api) {
            trouble.after = After::Hold(self.holds.remove(place).1);
        }
        for fault in &mut self.faults {
            let meets = fault.times != Some(0)
                && fault.api.as_deref().is_none_or(|of| of == api)
                && fault.rate.is_none_or(|rate| self.rng.random_bool(rate.clamp(0.0, 1.0)));
            if !meets || !trouble.add(fault.kind) {
                continue;
            }
            fault.times = fault.times.map(|left| left - 1);
        }
        self.faults.retain(|fault| fault.times != Some(0));
        trouble
    }

    pub(super) fn drops_callback(&mut self) -> bool {
        self.callbacks.drop_rate > 0.0 && self.rng.random_bool(self.callbacks.drop_rate.clamp(0.0, 1.0))
    }
}

impl Trouble {
    /// Adds a fault unless one of its kind is there; says whether it was added.
    fn add(&mut self, kind: FaultKind) -> bool {
        // What is refused before WeCom looks leaves no answer to lose.
        let is_refused = self.cut || self.status.is_some() || self.errcode.is_some();
        let is_answered = matches!(self.after, After::Answer);
        match kind {
            FaultKind::Latency(wait) => {
                self.delay += wait;
                true
            }
            _ if is_refused || !is_answered => false,
            FaultKind::Cut => {
                self.cut = true;
                true
            }
            FaultKind::Status(status) => {
                self.status = Some(status);
                true
            }
            FaultKind::Errcode(errcode) => {
                self.errcode = Some(errcode);
                true
            }
            FaultKind::LoseAnswer => {
                self.after = After::Lose;
                true
            }
            FaultKind::HalfAnswer => {
                self.after = After::Half;
                true
            }
        }
    }
}

/// A call whose answer is held: WeCom takes it and says nothing until it is released or the caller goes away.
pub struct Held {
    pub(super) latch: Arc<Latch>,
}

impl Held {
    /// Waits until WeCom has taken the call. It is in the log then.
    pub async fn accepted(&self) {
        let mut accepted = self.latch.accepted.subscribe();
        // The latch holds the sender, so the wait cannot end with an error while we are here.
        drop(accepted.wait_for(|yes| *yes).await);
    }

    /// Whether WeCom has taken the call.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        *self.latch.accepted.borrow()
    }

    /// Lets the answer go.
    pub fn release(&self) {
        self.latch.released.send_replace(true);
    }
}

/// The fault switches of a world.
#[derive(Clone)]
pub struct Faults {
    pub(super) world: World,
}

impl Faults {
    /// Switches a fault on.
    ///
    /// # Errors
    /// When it names an API that this sandbox does not have.
    pub fn inject(&self, mut fault: Fault) -> Result<(), Misuse> {
        if let Some(api) = &fault.api {
            fault.api = Some(super::api::known(api)?.to_owned());
        }
        self.world.lock().switches.faults.push(fault);
        Ok(())
    }

    /// Ends all faults and callback switches. Holds stay, as someone waits for them.
    pub fn clear(&self) {
        let switches = &mut self.world.lock().switches;
        switches.faults.clear();
        switches.callbacks = CallbackFaults::default();
        switches.consumed_welcome = 41050;
        switches.date_ahead = TimeDelta::zero();
    }

    /// Says what goes wrong with callbacks from now on.
    pub fn callbacks(&self, faults: CallbackFaults) {
        self.world.lock().switches.callbacks = faults;
    }

    /// Makes every token of the app (of all apps when `None`) invalid before its time: 40014.
    pub fn revoke_tokens(&self, app: Option<&str>) {
        let mut state = self.world.lock();
        let tokens = state.tokens.values_mut().filter(|token| app.is_none_or(|app| app == token.app));
        tokens.for_each(|token| token.revoked = true);
    }

    /// Lets every token of the app (of all apps when `None`) expire now: 42001.
    pub fn expire_tokens(&self, app: Option<&str>) {
        let mut state = self.world.lock();
        let tokens = state.tokens.values_mut().filter(|token| app.is_none_or(|app| app == token.app));
        tokens.for_each(|token| token.expires = std::time::Instant::now());
    }

    /// Makes the `Date` of answers so far ahead of the time; behind it when negative.
    pub fn dates_are_ahead(&self, by: TimeDelta) {
        self.world.lock().switches.date_ahead = by;
    }

    /// The answer to a welcome code that was used: 41050, as documented for the code, or 41051, for the welcome.
    pub fn consumed_welcome_answers(&self, errcode: i64) {
        self.world.lock().switches.consumed_welcome = errcode;
    }

    /// Closes the listener and all connections, or opens it again at the same address; done when this returns.
    ///
    /// The control routes are gone too meanwhile.
    pub async fn refuse_connections(&self, refuse: bool) {
        self.world.gate().refuse(refuse).await;
    }
}

impl World {
    /// Holds the answer of the next call of this API.
    ///
    /// # Errors
    /// When this sandbox has no such API.
    pub fn hold_next(&self, api: &str) -> Result<Held, Misuse> {
        let api = super::api::known(api)?;
        let latch = Arc::new(Latch { accepted: watch::Sender::new(false), released: watch::Sender::new(false) });
        self.lock().switches.holds.push((api.to_owned(), Arc::clone(&latch)));
        Ok(Held { latch })
    }
}
