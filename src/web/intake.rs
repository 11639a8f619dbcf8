//! The door through which events come in: durable in Redis, or refused.
//!
//! It knows neither callbacks nor business events, only whether there is room and whether Redis answered in time.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tracing::Instrument as _;

use crate::domain::event::Event;
use crate::store::streams::{Appended, InLane, Remember};
use crate::store::{self, Store};
use crate::traces;

/// WeCom closes the connection after 5 s; the refusal must be back within 4 s.
const PATIENCE: Duration = Duration::from_millis(3500);

/// Called with the shard that has something new to do.
pub type Woken = Arc<dyn Fn(u16) + Send + Sync>;

/// Where events come in. Clones share the connection and the pressure.
#[derive(Clone)]
pub struct Intake {
    store: Store,
    woken: Woken,
    pressure: Pressure,
}

/// Why nothing more is taken in right now, if so: Redis nearly full, a shard far behind, the process stopping.
///
/// Clones share the reason; whoever watches sets it and takes it back.
#[derive(Clone, Default)]
pub struct Pressure(Arc<ArcSwapOption<String>>);

impl Pressure {
    /// From now on events are refused; `reason` is for logs and pages.
    pub fn refuse(&self, reason: impl Into<String>) {
        self.0.store(Some(Arc::new(reason.into())));
    }

    /// From now on events are taken in.
    pub fn admit(&self) {
        self.0.store(None);
    }

    /// Why events are refused; none when they are taken in.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}

/// Why an event was not taken in. The sender must send it again.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There must be room to drain first.
    #[error("nothing is taken in right now: {0}")]
    Pressed(Arc<String>),
    /// Redis is away or refuses.
    #[error("the event could not be stored")]
    Away(#[from] store::Error),
    /// Redis did not answer in time; the event may be stored, and a repeat is harmless.
    #[error("Redis did not answer in time")]
    Slow,
}

impl Intake {
    /// `woken` is called after each event that is new.
    #[must_use]
    pub fn new(store: Store, woken: Woken, pressure: Pressure) -> Self {
        Self { store, woken, pressure }
    }

    /// The same door with a connection of its own, for a thread that runs a runtime of its own.
    #[must_use]
    pub fn on_this_thread(&self) -> Self {
        Self { store: self.store.on_this_thread(), ..self.clone() }
    }

    /// Why nothing is taken in right now; none when it is.
    #[must_use]
    pub fn closed(&self) -> Option<Arc<String>> {
        self.pressure.reason()
    }

    /// Makes the event durable in its actor's shard and wakes the shard.
    ///
    /// Taking the same event again gives [`Appended::Duplicate`] and changes nothing.
    ///
    /// # Errors
    /// When it is not known to be durable; within 3.5 s.
    pub async fn take(&self, event: &Event, lane: InLane, remember: Remember) -> Result<Appended, Refused> {
        if let Some(reason) = self.pressure.reason() {
            return Err(Refused::Pressed(reason));
        }
        let appending = self.store.append(event, lane, remember).instrument(traces::inside("append"));
        let appending = tokio::time::timeout(PATIENCE, appending);
        let Ok(appended) = appending.await else { return Err(Refused::Slow) };
        let appended = appended?;
        if appended == Appended::New {
            (self.woken)(event.actor.shard(self.store.shards()));
        }
        Ok(appended)
    }
}
