//! What a sandbox is started with.

use std::net::SocketAddr;

use crate::clock::Clock;

/// What a sandbox is started with.
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Business time; give a clone of the server's clock when both live in one process.
    pub clock: Clock,
    /// The company (`ww…`).
    pub corp_id: String,
    /// Its self-built apps.
    pub apps: Vec<SandboxApp>,
    /// Ids, codes and the chance of faults follow from it.
    pub seed: u64,
    /// Whether planned acts are done without being asked, every 100 ms of real time.
    pub acts: bool,
    /// The server's clock, moved together with this one.
    pub server_clock: Option<ServerClock>,
}

/// One self-built app of the company (自建应用).
#[derive(Clone)]
pub struct SandboxApp {
    /// How this sandbox calls it.
    pub name: String,
    /// WeCom's number for it.
    pub agent_id: i64,
    /// What `gettoken` wants.
    pub secret: String,
    /// Signs callbacks.
    pub token: String,
    /// Encrypts callbacks: 43 characters.
    pub aes_key: String,
    /// Where callbacks go; without one the app gets none and may send no cards.
    pub callback_url: Option<String>,
}

/// Where the server's clock can be moved.
#[derive(Clone)]
pub struct ServerClock {
    /// The whole address, such as `http://127.0.0.1:8080/v1/clock`.
    pub url: String,
    /// A token of its API.
    pub bearer: String,
}
