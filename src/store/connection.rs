//! The connection to Redis.

use std::sync::Arc;

use redis::{Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Pipeline, RedisResult, Value};

use crate::settings::{RedisSettings, RedisUrl};
use crate::telemetry::discreet;

use super::embedded::Embedded;
use super::folder;
use super::keys::Keys;
use super::link::{Link, Way};

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
    way: Arc<Way>,
    link: Link,
    /// Appends that wait for copies have a connection of their own, since `WAIT` holds up whatever stands behind it.
    copies: Option<Copies>,
    embedded: Option<Arc<Embedded>>,
}

/// How many copies an append waits for, and on which connection.
#[derive(Clone)]
pub(super) struct Copies {
    pub(super) link: Link,
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
                Self::by(settings, Way::to(socket.into_connection_info()?)?, Some(embedded)).await
            }
            url @ (RedisUrl::Single(_) | RedisUrl::Cluster(_) | RedisUrl::Sentinel(_)) => {
                Self::by(settings, Way::read(url)?, None).await
            }
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
            return Self::by(settings, Way::to(ConnectionAddr::Unix(socket).into_connection_info()?)?, None).await;
        }
        Self::connect(settings).await
    }

    async fn by(settings: &RedisSettings, way: Way, embedded: Option<Embedded>) -> Result<Self, Error> {
        let link = way.link().await?;
        let copies = match settings.wait_replicas {
            0 => None,
            wanted => Some(Copies { link: way.link().await?, wanted }),
        };
        let keys = Keys::new(&settings.prefix, settings.shards);
        let (way, embedded) = (Arc::new(way), embedded.map(Arc::new));
        Ok(Self { inner: Arc::new(Inner { keys, way, link, copies, embedded }) })
    }

    /// The same Redis over a connection of its own, made when it is first used, and read and written by the runtime of
    /// this thread.
    ///
    /// For threads that run a runtime each: a command on a connection of another thread wakes that thread, and its answer
    /// wakes this one again, which costs more than the command.
    #[must_use]
    pub fn on_this_thread(&self) -> Self {
        let Inner { keys, way, link, copies, embedded } = &*self.inner;
        let own = way.link_of_this_thread(link);
        let (keys, way, copies, embedded) = (keys.clone(), Arc::clone(way), copies.clone(), embedded.clone());
        Self { inner: Arc::new(Inner { keys, way, link: own, copies, embedded }) }
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

    /// What each server that is written to says of itself in a section of `INFO`.
    pub(super) async fn infos(&self, section: &str) -> Result<Vec<String>, Error> {
        let answer: Value = self.query(redis::cmd("INFO").arg(section)).await?;
        if !self.inner.link.is_cluster() {
            return Ok(vec![redis::from_redis_value(answer)?]);
        }
        let by_server: std::collections::BTreeMap<String, String> = redis::from_redis_value(answer)?;
        Ok(by_server.into_values().collect())
    }

    /// Stops the private server, if one was started. Other connections are just dropped.
    pub async fn close(&self) {
        if let Some(embedded) = &self.inner.embedded {
            embedded.stop().await;
        }
    }

    pub(super) fn link(&self) -> Link {
        self.inner.link.clone()
    }

    pub(super) fn way(&self) -> &Way {
        &self.inner.way
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
    /// how they are parted by slot in a cluster.
    pub(super) async fn outcomes(&self, pipe: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, Error> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.link().outcomes(pipe).await?)
    }
}
