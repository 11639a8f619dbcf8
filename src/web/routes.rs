//! All routes together, on one address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::{App, HttpServer, web};
use anyhow::Context as _;

use crate::runtime::services::Services;
use crate::settings::Settings;

use super::api::{self, ApiState};
use super::auth::ApiTokens;
use super::callback::{self, CallbackState};
use super::clock::{self, ClockState};
use super::events::{self, EventsState};
use super::gauges::Told;
use super::health::{self, HealthState};
use super::intake::Intake;
use super::problem::problem;

/// The most HTTP threads; more only take turns on the few cores that this work needs.
const MOST_THREADS: usize = 4;
/// How long requests under way may take when the process stops, in seconds.
const LAST_REQUESTS: u64 = 5;

/// Binds the address of the settings and wires every route.
///
/// # Errors
/// When the address is taken or a callback key cannot be used.
pub fn bind(
    settings: &Settings,
    services: &Services,
    intake: &Intake,
    owned: &Arc<AtomicUsize>,
    stopping: &Arc<AtomicBool>,
    takes_in: bool,
) -> anyhow::Result<(Server, SocketAddr)> {
    let tokens = ApiTokens::new(&settings.api_tokens);
    let callback = CallbackState::new(&settings.wecom, intake.clone(), services.clock.clone())?;
    let (services_of_events, intake, tokens_of_events) = (services.clone(), intake.clone(), tokens.clone());
    let api = web::Data::new(ApiState::new(services.clone(), tokens.clone(), settings.server.locale));
    let health = web::Data::new(HealthState {
        services: services.clone(),
        intake: intake.clone(),
        owned: Arc::clone(owned),
        stopping: Arc::clone(stopping),
        told: Told::default(),
    });
    let clock = settings.adjustable_clock.then(|| web::Data::new(ClockState::new(services.clone(), tokens)));
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
    let server = HttpServer::new(move || {
        // Each HTTP thread runs a runtime of its own.
        let callback = callback.on_this_thread();
        let intake = intake.on_this_thread();
        let events = EventsState::new(services_of_events.clone(), intake, tokens_of_events.clone());
        let app = App::new()
            .app_data(web::Data::new(callback))
            .app_data(web::Data::new(events))
            .app_data(api.clone())
            .app_data(health.clone())
            .configure(health::routes)
            .default_service(web::to(|| async { problem(StatusCode::NOT_FOUND, "there is nothing at this address") }));
        if !takes_in {
            return app;
        }
        let app = app.configure(callback::routes).configure(events::routes).configure(api::routes);
        match &clock {
            Some(clock) => app.app_data(clock.clone()).configure(clock::routes),
            None => app,
        }
    })
    .workers(threads)
    .shutdown_timeout(LAST_REQUESTS)
    .disable_signals()
    .bind(settings.server.listen)
    .with_context(|| format!("listening on {}", settings.server.listen))?;
    let addr = server.addrs().first().copied().context("no address was bound")?;
    Ok((server.run(), addr))
}
