//! The connection to Redis.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, RedisResult, Value,
};
use secrecy::ExposeSecret;

use crate::settings::{RedisSettings, RedisUrl};
use crate::telemetry::discreet;

use super::embedded::Embedded;
use super::folder;
use super::keys::Keys;

/// A connection attempt that takes longer has failed; together with [`RESPONSE_TIMEOUT`] it keeps an answer to WeCom
/// within 4 s when Redis is away.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// An answer that takes longer is not waited for; what was asked may still happen.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Commands that may queue for the socket before a task has to wait for room.
const QUEUE: usize = 4096;

/// What can go wrong with Redis.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away, refuses, or does not answer in time; try again later.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Something in Redis is not what it should be; set the event aside.
    #[error("{} in Redis cannot be read", discreet(key))]
    Unreadable {
        /// Where.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The settings do not fit what is stored, or Redis is set up so that it would lose data; do not start.
    #[error("{0}")]
    Unfit(String),
}

impl Error {
    /// What stands at `key` is not what belongs there, for a reason of ours.
    pub(super) fn unreadable(key: &str, why: impl std::fmt::Display) -> Self {
        Self::Unreadable { key: key.to_owned(), source: serde::de::Error::custom(why) }
    }
}

impl From<redis::ParsingError> for Error {
    fn from(error: redis::ParsingError) -> Self {
        Self::Redis(error.into())
    }
}

/// Redis, as everything else sees it. Clones share one multiplexed connection; see also [`Store::on_this_thread`].
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    client: Client,
    link: ConnectionManager,
    /// Appends that wait for copies have a connection of their own, since `WAIT` holds up whatever stands behind it.
    copies: Option<Copies>,
    embedded: Option<Arc<Embedded>>,
}

/// How many copies an append waits for, and on which connection.
#[derive(Clone)]
pub(super) struct Copies {
    pub(super) link: ConnectionManager,
    pub(super) wanted: u32,
}

impl Store {
    /// Connects; starts the private server first when the settings say `embedded:DIR`.
    ///
    /// # Errors
    /// When Redis cannot be reached or started.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, Error> {
        match &settings.url {
            RedisUrl::Embedded(dir) => {
                let embedded = Embedded::start(dir).await?;
                let socket = ConnectionAddr::Unix(embedded.socket().to_owned());
                Self::at(settings, socket.into_connection_info()?, Some(embedded)).await
            }
            RedisUrl::Single(url) => Self::at(settings, url.expose_secret().into_connection_info()?, None).await,
            RedisUrl::Cluster(_) => Err(not_yet("redis-cluster://")),
            RedisUrl::Sentinel(_) => Err(not_yet("redis-sentinel://")),
        }
    }

    /// Connects beside a server that may be running: its private Redis is shared, and one that nobody runs is started.
    /// For commands that look on.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_beside(settings: &RedisSettings) -> Result<Self, Error> {
        if let RedisUrl::Embedded(dir) = &settings.url
            && let Some(socket) = folder::answering_socket(dir)
        {
            return Self::at(settings, ConnectionAddr::Unix(socket).into_connection_info()?, None).await;
        }
        Self::connect(settings).await
    }

    async fn at(settings: &RedisSettings, address: ConnectionInfo, embedded: Option<Embedded>) -> Result<Self, Error> {
        let client = Client::open(with_tcp_settings(address))?;
        let link = manager(&client).await?;
        let copies = match settings.wait_replicas {
            0 => None,
            wanted => Some(Copies { link: manager(&client).await?, wanted }),
        };
        let keys = Keys::new(&settings.prefix, settings.shards);
        let embedded = embedded.map(Arc::new);
        Ok(Self { inner: Arc::new(Inner { keys, client, link, copies, embedded }) })
    }

    /// The same Redis over a connection of its own, made when it is first used, and read and written by the runtime of
    /// this thread.
    ///
    /// For threads that run a runtime each: a command on a connection of another thread wakes that thread, and its answer
    /// wakes this one again, which costs more than the command.
    #[must_use]
    pub fn on_this_thread(&self) -> Self {
        let Inner { keys, client, link, copies, embedded } = &*self.inner;
        let own = ConnectionManager::new_lazy_with_config(client.clone(), configured()).unwrap_or_else(|error| {
            tracing::warn!(%error, "a thread has no connection of its own and shares one");
            link.clone()
        });
        let (keys, client, copies, embedded) = (keys.clone(), client.clone(), copies.clone(), embedded.clone());
        Self { inner: Arc::new(Inner { keys, client, link: own, copies, embedded }) }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.inner.keys.shards()
    }

    /// The keys, for whoever looks at Redis directly.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Whether Redis can be written to right now; for readiness.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe(&self) -> Result<(), Error> {
        self.query(redis::cmd("SET").arg(self.keys().probe()).arg("").arg("EX").arg(60)).await
    }

    /// Stops the private server, if one was started. Other connections are just dropped.
    pub async fn close(&self) {
        if let Some(embedded) = &self.inner.embedded {
            embedded.stop().await;
        }
    }

    pub(super) fn link(&self) -> ConnectionManager {
        self.inner.link.clone()
    }

    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(super) fn copies(&self) -> Option<&Copies> {
        self.inner.copies.as_ref()
    }

    /// One command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        Ok(command.query_async(&mut self.link()).await?)
    }

    /// Many commands in one round trip; the first refusal is the outcome of all. An empty pipeline asks nothing.
    pub(super) async fn query_all<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<Vec<T>, Error> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        Ok(pipe.query_async(&mut self.link()).await?)
    }

    /// Many commands in one round trip; each has its own outcome. Each names its key first and a script its keys, which is
    /// what parting them by slot will need.
    pub(super) async fn outcomes(&self, pipe: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, Error> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        Ok(pipe.ignore_errors().query_async(&mut self.link()).await?)
    }
}

fn not_yet(scheme: &str) -> Error {
    Error::Unfit(format!("redis.url: {scheme} is not supported yet; use redis://, rediss://, unix:// or embedded:DIR"))
}

/// A server that vanished without a word is noticed by unanswered packets, not only by unanswered questions.
fn with_tcp_settings(address: ConnectionInfo) -> ConnectionInfo {
    let settings = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT);
    address.set_tcp_settings(settings)
}

async fn manager(client: &Client) -> Result<ConnectionManager, Error> {
    Ok(client.get_connection_manager_with_config(configured()).await?)
}

fn configured() -> ConnectionManagerConfig {
    // Each failed command starts one new attempt by itself; retries inside an attempt would make every caller wait.
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(QUEUE)
}
