//! Everything wired once: store, rules, WeCom, shards, HTTP. Knows its bound port, so that tests can ask for port 0.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context as _;
use serde_json::{Map, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::event::{Event, types};
use crate::domain::ids::EventId;
use crate::playbook::diagnostic::Faults;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::streams::{InLane, Remember};
use crate::web::intake::{Intake, Pressure};
use crate::web::routes;
use crate::wecom::client::Wecom;
use crate::wecom::limits::Limits;

use super::node::Node;
use super::reload::{Reloaded, Rules};
use super::server_key;
use super::services::Services;
use super::supervisor::Supervisor;

/// How often the store is asked whether it has room.
const PRESSURE: Duration = Duration::from_secs(1);

/// What a process does of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Takes callbacks and events in, answers the API.
    pub web: bool,
    /// Owns shards: decides, fires timers, makes calls.
    pub worker: bool,
}

impl Roles {
    /// Everything in one process.
    pub const ALL: Self = Self { web: true, worker: true };
}

/// A running server.
pub struct App {
    services: Services,
    addr: SocketAddr,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    working: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    stopping: Arc<AtomicBool>,
    boot: String,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// Settings or rules are faulty.
    #[error("the configuration cannot be used")]
    Faulty(Faults),
    /// Something else is in the way.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl App {
    /// Starts everything. `clock` is shared with whoever wants to see the same business time.
    ///
    /// # Errors
    /// When rules are faulty, Redis is unfit or away, or the address is taken.
    pub async fn start(settings: &Settings, clock: Clock) -> Result<Self, NotStarted> {
        Self::start_within(settings, clock, Limits::default()).await
    }

    /// The same with other quotas than WeCom's.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_within(settings: &Settings, clock: Clock, limits: Limits) -> Result<Self, NotStarted> {
        Self::start_as(settings, clock, limits, Roles::ALL).await
    }

    /// The same with a part of the work only; other processes on the same Redis do the rest.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_as(settings: &Settings, clock: Clock, limits: Limits, roles: Roles) -> Result<Self, NotStarted> {
        let _recorder = crate::telemetry::metrics();
        let (rules, warnings) =
            Rules::load(settings.config_dir.clone(), settings.playbook_context()).map_err(NotStarted::Faulty)?;
        for warning in warnings.warnings() {
            tracing::warn!(place = %format_args!("{}:{}", warning.file, warning.line), "{}", warning.message);
        }
        let store = Store::connect(&settings.redis).await.context("connecting to Redis")?;
        for warning in store.preflight().await.context("looking at how Redis is set up")? {
            tracing::warn!("{warning}");
        }
        let key = server_key::of(settings)?;
        let wecom = Wecom::with_limits(&settings.wecom, store.clone(), &key, limits);
        let wecom = wecom.context("setting up the HTTP client")?;
        // What the clock starts with is everybody's from now on, unless others are ahead of it already.
        clock.take_offset_ms(store.move_clock(clock.offset_ms()).await.context("setting the clock")?);
        let services = Services::new(store, wecom, rules, clock);
        Self::run(settings, services, roles).map_err(NotStarted::Other)
    }

    fn run(settings: &Settings, services: Services, roles: Roles) -> anyhow::Result<Self> {
        let (owned, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let wakes = services.wakes.clone();
        let pressure = Pressure::default();
        let woken = Arc::new(move |shard| wakes.appended(shard));
        let intake = Intake::new(services.store.clone(), woken, pressure.clone());
        let (server, addr) = routes::bind(settings, &services, &intake, &owned, &stopping, roles.web)?;
        let node = Node::claim(settings.server.node.as_deref());
        let boot = node.owner.clone();
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(services.clone(), node, roles.worker, owned);
        let working = vec![
            tokio::spawn(supervisor.run(stop.clone())),
            tokio::spawn(listen_for_wakes(services.clone(), stop.clone())),
            tokio::spawn(tell_others(services.clone(), stop.clone())),
            tokio::spawn(watch_pressure(services.clone(), pressure, stop.clone())),
        ];
        let handle = server.handle();
        let app = Self { services, addr, server: handle, serving: spawn(server), working, stop, stopping, boot };
        app.announce_rules();
        Ok(app)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What every moving part uses; for commands and tests.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Reloads the rules: swaps, or keeps those in force and says why.
    pub fn reload(&self) -> Reloaded {
        let reloaded = self.services.rules.reload(self.services.clock.now());
        match &reloaded {
            Reloaded::Swapped(warnings) => {
                let revision = &self.services.rules.current().revision;
                tracing::info!(revision, warnings = warnings.warnings().count(), "other rules are in force");
                self.announce_rules();
                self.services.wakes.all();
            }
            Reloaded::Unchanged => tracing::info!("the rules are unchanged"),
            Reloaded::Refused(faults) => {
                for fault in faults.errors() {
                    let (line, column) = (fault.line, fault.column);
                    tracing::error!(file = %fault.file, line, column, "the reload is refused: {}", fault.message);
                }
            }
        }
        reloaded
    }

    /// Tells the corp which rules are in force, so that their tags are made. A repeat changes nothing.
    fn announce_rules(&self) {
        let revision = self.services.rules.current().revision.clone();
        let (boot, now) = (self.boot.clone(), self.services.clock.now());
        let store = self.services.store.clone();
        let wakes = self.services.wakes.clone();
        tokio::spawn(async move {
            let event = Event {
                id: EventId::parse(format!("playbook:{revision}:{boot}:{}", now.timestamp_millis()))
                    .expect("a hash, a node's name and a number are short"),
                kind: types::PLAYBOOK_CHANGED.to_owned(),
                actor: Actor::Corp,
                at: now,
                data: Map::from_iter([("revision".to_owned(), json!(revision))]),
                hops: 0,
                trace: None,
            };
            match store.append(&event, InLane::In, Remember::Week).await {
                Ok(_) => wakes.appended(Actor::Corp.shard(store.shards())),
                Err(error) => tracing::error!(%error, "tags of the new rules are not made until the next reload"),
            }
        });
    }

    /// Stops in order: no new requests, batches and calls finished, shards given up, the private Redis closed.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        self.server.stop(true).await;
        self.stop.cancel();
        for task in self.working {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the server ended badly");
            }
        }
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server ended badly"),
            Err(error) => tracing::error!(%error, "the HTTP server ended badly"),
        }
        self.services.store.close().await;
    }
}

fn spawn(server: Server) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(server)
}

async fn tell_others(services: Services, stop: CancellationToken) {
    services.wakes.tell_others(stop).await;
}

/// Shards that other processes appended to. The connection is made anew whenever it breaks; polling goes on meanwhile.
async fn listen_for_wakes(services: Services, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let listening = async {
            let mut wakes = services.store.wakes().await?;
            while let Some(shard) = wakes.recv().await {
                services.wakes.woken_from_outside(shard);
            }
            Ok::<(), crate::store::Error>(())
        };
        tokio::select! {
            ended = listening => if let Err(error) = ended {
                tracing::debug!(%error, "wakes of other processes are not heard; the lanes are polled");
            },
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PRESSURE) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Closes the door while Redis has no room, so that what is there can drain.
async fn watch_pressure(services: Services, pressure: Pressure, stop: CancellationToken) {
    let mut second = tokio::time::interval(PRESSURE);
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = second.tick() => {}
            () = stop.cancelled() => return,
        }
        match services.store.pressure().await {
            Ok(Some(reason)) => pressure.refuse(reason),
            Ok(None) => pressure.admit(),
            Err(error) => tracing::debug!(%error, "the store's room is not known"),
        }
    }
}
