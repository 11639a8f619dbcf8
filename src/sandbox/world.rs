//! The handle by which tests, the demo and the control routes reach the world.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::At;

use super::faults::{Faults, Held};
use super::ledger::{CallbackRecord, LogEntry, Receipt};
use super::options::{Options, ServerClock};
use super::people::{Act, Adding, Misuse, Staff};
use super::server::Gate;
use super::state::{MassLimit, State, fold};

/// The company and its people. Clones share everything.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    /// Never held across an await.
    state: Mutex<State>,
    clock: Clock,
    http: reqwest::Client,
    /// Counts changes, so that one can wait for something to be true.
    version: watch::Sender<u64>,
    /// One at a time does the acts that are due, so that they happen in their order.
    acting: tokio::sync::Mutex<()>,
    gate: Gate,
    server_clock: Option<ServerClock>,
    /// Holds that were asked for over HTTP.
    holds: Mutex<Vec<Arc<Held>>>,
}

/// The clock could not be moved, or something that was waited for did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The server under test did not take the new time.
    #[error("the server's clock cannot be moved")]
    ServerClock(#[source] reqwest::Error),
    /// The server under test gave no time that can be read.
    #[error("the server's clock answered {0}")]
    BadAnswer(Value),
    /// Time only runs forwards.
    #[error("{0} is in the past: business time only moves forwards")]
    Past(At),
    /// What was waited for did not happen.
    #[error("not within {within:?}: {what}")]
    Waited {
        /// What was waited for.
        what: String,
        /// How long, in real time.
        within: Duration,
    },
}

/// A longer step would let people act too late on what the server does on the way.
const LONGEST_STEP: TimeDelta = TimeDelta::hours(1);

/// Nearer than this, one waits for a moment and does not move the clock to it.
const SOON: Duration = Duration::from_millis(100);

impl World {
    pub(super) fn new(options: &Options) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(8)
            .build()?;
        let inner = Inner {
            state: Mutex::new(State::new(options)),
            clock: options.clock.clone(),
            http,
            version: watch::Sender::new(0),
            acting: tokio::sync::Mutex::new(()),
            gate: Gate::default(),
            server_clock: options.server_clock.clone(),
            holds: Mutex::new(Vec::new()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held is a fault of the sandbox; the next caller sees the world as it stands.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(super) fn holds(&self) -> MutexGuard<'_, Vec<Arc<Held>>> {
        self.inner.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for something to be true.
    pub(super) fn changed(&self) {
        self.inner.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Now, in business time.
    #[must_use]
    pub fn now(&self) -> At {
        self.inner.clock.now()
    }

    /// The fault switches.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults { world: self.clone() }
    }

    // Settings.

    /// Says where an app's callbacks go.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn set_callback_url(&self, app: &str, url: impl Into<String>) -> Result<(), Misuse> {
        let mut state = self.lock();
        let known = state.app_mut(app).ok_or_else(|| Misuse::NoApp(app.to_owned()))?;
        known.settings.callback_url = Some(url.into());
        Ok(())
    }

    /// Says whether an app gets customer events (外部联系人变更回调); every app does at first.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn set_contacts(&self, app: &str, gets: bool) -> Result<(), Misuse> {
        self.lock().app_mut(app).ok_or_else(|| Misuse::NoApp(app.to_owned()))?.contacts = gets;
        Ok(())
    }

    /// Says how many mass sends a customer may get.
    pub fn set_mass_limit(&self, limit: MassLimit) {
        self.lock().mass_limit = limit;
    }

    /// Makes a `media_id` known; uploads are no part of this sandbox.
    pub fn add_media(&self, media_id: impl Into<String>) {
        self.lock().media.insert(media_id.into());
    }

    // People.

    /// Makes a staff member exist, or gives them new habits.
    pub fn hire(&self, staff: Staff) {
        self.lock().staff.insert(fold(&staff.userid), staff);
        self.changed();
    }

    /// Does an act now and delivers the callbacks that follow; returns when each was answered or given up.
    ///
    /// # Errors
    /// When the act makes no sense in this world.
    pub async fn perform(&self, act: &Act) -> Result<(), Misuse> {
        let outgoing = self.lock().act(act, self.now())?;
        self.changed();
        self.deliver(outgoing).await;
        Ok(())
    }

    /// A customer adds a staff member now.
    ///
    /// # Errors
    /// When there is no such staff member, or they are in contact already.
    pub async fn customer_adds(&self, adding: Adding) -> Result<(), Misuse> {
        self.perform(&Act::CustomerAdds(adding)).await
    }

    /// A customer deletes a staff member now.
    ///
    /// # Errors
    /// When they are not in contact.
    pub async fn customer_deletes(&self, customer: &str, userid: &str) -> Result<(), Misuse> {
        self.perform(&Act::CustomerDeletes { customer: customer.to_owned(), userid: userid.to_owned() }).await
    }

    /// A staff member deletes a customer now.
    ///
    /// # Errors
    /// When they are not in contact.
    pub async fn staff_deletes(&self, userid: &str, customer: &str) -> Result<(), Misuse> {
        self.perform(&Act::StaffDeletes { userid: userid.to_owned(), customer: customer.to_owned() }).await
    }

    /// A staff member confirms a mass send now.
    ///
    /// # Errors
    /// When none of that name awaits them.
    pub async fn confirm(&self, userid: &str, msgid: &str) -> Result<(), Misuse> {
        self.perform(&Act::Confirms { userid: userid.to_owned(), msgid: msgid.to_owned() }).await
    }

    /// A staff member taps a card's button now.
    ///
    /// # Errors
    /// When they have no such card, or it has no such button now.
    pub async fn tap(&self, userid: &str, task_id: &str, key: &str) -> Result<(), Misuse> {
        let (userid, task_id, key) = (userid.to_owned(), task_id.to_owned(), key.to_owned());
        self.perform(&Act::Taps { userid, task_id, key }).await
    }

    /// Lets an act happen at a moment of business time.
    pub fn plan(&self, at: At, act: Act) {
        self.lock().plan(at, act);
        self.changed();
    }

    /// When the next planned act is due.
    #[must_use]
    pub fn next_act(&self) -> Option<At> {
        self.lock().acts.keys().next().map(|(at, _)| *at)
    }

    /// Does every planned act that is due, in order, and delivers its callbacks; gives their number.
    ///
    /// An act that has become impossible is kept as a misfire, see [`World::misfires`].
    pub async fn run_due(&self) -> usize {
        let _turn = self.inner.acting.lock().await;
        let mut done = 0;
        while let Some(act) = self.take_due() {
            if let Err(misuse) = self.perform(&act).await {
                let now = self.now();
                self.lock().misfires.push((now, act, misuse.to_string()));
            }
            done += 1;
        }
        done
    }

    fn take_due(&self) -> Option<Act> {
        let now = self.now();
        let mut state = self.lock();
        let entry = state.acts.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Moves business time to a moment, act by act, the server's clock too when there is one.
    ///
    /// Steps are an hour at most, so that people react in time to what the server does on the way.
    ///
    /// # Errors
    /// When the moment is past, or the server does not follow.
    pub async fn advance_to(&self, target: At) -> Result<At, Stuck> {
        if target < self.now() {
            return Err(Stuck::Past(target));
        }
        loop {
            self.run_due().await;
            let now = self.now();
            if now >= target {
                return Ok(now);
            }
            let step = target.min(now + LONGEST_STEP);
            let to = self.next_act().map_or(step, |act| act.clamp(now, step));
            match (to - now).to_std() {
                // So near that it may be past when the server hears of it: it comes by itself.
                Ok(wait) if wait < SOON => tokio::time::sleep(wait).await,
                _ => self.move_clock(to).await?,
            }
        }
    }

    async fn move_clock(&self, to: At) -> Result<(), Stuck> {
        let mut reached = to;
        if let Some(server) = &self.inner.server_clock {
            let request = self.http().post(&server.url).bearer_auth(&server.bearer);
            let response = request.json(&json!({"set": to.to_rfc3339()})).send().await.map_err(Stuck::ServerClock)?;
            let response = response.error_for_status().map_err(Stuck::ServerClock)?;
            let answer: Value = response.json().await.map_err(Stuck::ServerClock)?;
            let now = answer.get("now").and_then(Value::as_str).and_then(|now| now.parse().ok());
            reached = now.map_or_else(|| Err(Stuck::BadAnswer(answer.clone())), Ok)?;
        }
        let clock = &self.inner.clock;
        let behind = (reached - clock.now()).num_milliseconds();
        // With a clock that is shared with the server this changes nothing: it has moved already.
        clock.take_offset_ms(clock.offset_ms().saturating_add(behind));
        self.changed();
        Ok(())
    }

    // What happened.

    /// Every call so far, in the order of acceptance.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.lock().log.clone()
    }

    /// The calls after number `seq`.
    #[must_use]
    pub fn log_after(&self, seq: u64) -> Vec<LogEntry> {
        after(&self.lock().log, seq)
    }

    /// Everything that reached people so far.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.lock().receipts.clone()
    }

    /// What reached people after number `seq`.
    #[must_use]
    pub fn receipts_after(&self, seq: u64) -> Vec<Receipt> {
        after(&self.lock().receipts, seq)
    }

    /// Every callback so far, with its tries.
    #[must_use]
    pub fn callbacks(&self) -> Vec<CallbackRecord> {
        self.lock().callbacks.clone()
    }

    /// The callbacks after number `seq`.
    #[must_use]
    pub fn callbacks_after(&self, seq: u64) -> Vec<CallbackRecord> {
        after(&self.lock().callbacks, seq)
    }

    /// Planned acts that could not be done when they were due, with the reason.
    #[must_use]
    pub fn misfires(&self) -> Vec<(At, Act, String)> {
        self.lock().misfires.clone()
    }

    /// The tags (`group/name`) of a pair, sorted.
    #[must_use]
    pub fn tags(&self, customer: &str, userid: &str) -> Vec<String> {
        let state = self.lock();
        let ids = state.relation(userid, customer).into_iter().flat_map(|relation| &relation.tags);
        let mut names: Vec<String> = ids.filter_map(|id| state.tag_name(id)).collect();
        names.sort();
        names
    }

    /// Waits until something is true of this world; looks again after every call, receipt, callback and act.
    ///
    /// # Errors
    /// When it is not true within that much real time; `what` says what was waited for.
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<(), Stuck> {
        let mut version = self.inner.version.subscribe();
        let watch = async {
            while !is_so(self) {
                // The sender lives in this world, so the wait cannot end with an error.
                drop(version.changed().await);
            }
        };
        tokio::time::timeout(within, watch).await.map_err(|_elapsed| Stuck::Waited { what: what.to_owned(), within })
    }
}

/// The entries of an append-only list after number `seq`: the first is number 1.
fn after<T: Clone>(list: &[T], seq: u64) -> Vec<T> {
    let start = usize::try_from(seq).unwrap_or(usize::MAX).min(list.len());
    list.get(start..).map(<[T]>::to_vec).unwrap_or_default()
}
