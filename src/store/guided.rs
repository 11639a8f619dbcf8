//! The primary of the moment, as sentinels know it.
//!
//! They are asked when a connection is made, when it breaks, when a server says that it is a replica, and otherwise about
//! once a second, so that a primary which was replaced without noticing it is left within a second or two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionLike as _, ConnectionManager};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;

use super::link::{CONNECT_TIMEOUT, address_of, addresses, manager, tcp_settings, timed_out};

/// A primary that was confirmed longer ago is looked for again, beside the work.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Sentinels listen there unless told otherwise.
const SENTINEL_PORT: &str = ":26379";

/// Whoever is primary right now, and the connection to it.
pub(super) struct Guided {
    /// Asked by one at a time.
    sentinels: Mutex<SentinelClient>,
    primary: ArcSwapOption<Primary>,
    looking: AtomicBool,
}

struct Primary {
    client: Client,
    link: ConnectionManager,
    confirmed: Instant,
}

impl Guided {
    /// Reads `[user:password@]host[:port],…` and the primary's name. The login is that of the servers; sentinels are
    /// asked without one.
    pub(super) fn new(list: &str, name: &str) -> RedisResult<Self> {
        let named = addresses(list, SENTINEL_PORT)?;
        let login = named.first().map(|info| info.redis_settings().clone()).unwrap_or_default();
        let sentinels = named.into_iter().map(|info| info.set_redis_settings(RedisConnectionInfo::default()));
        let sentinels = sentinels.map(|info| info.set_tcp_settings(tcp_settings())).collect();
        let servers =
            SentinelNodeConnectionInfo::default().set_redis_connection_info(login).set_tcp_settings(tcp_settings());
        let client = SentinelClient::build(sentinels, name, Some(servers), SentinelServerType::Master)?;
        Ok(Self { sentinels: Mutex::new(client), primary: ArcSwapOption::empty(), looking: AtomicBool::new(false) })
    }

    /// Asks the sentinels; connects when the primary is another one than before.
    pub(super) async fn find(&self) -> RedisResult<Client> {
        let asked = Instant::now();
        let mut sentinels = self.sentinels.lock().await;
        // Somebody else asked while this one waited for its turn.
        if let Some(primary) = self.primary.load_full().filter(|primary| primary.confirmed > asked) {
            return Ok(primary.client.clone());
        }
        let looking = sentinels.async_get_client();
        let client = tokio::time::timeout(CONNECT_TIMEOUT, looking).await.map_err(timed_out)??;
        let known = self.primary.load_full();
        let same = known.filter(|known| address_of(&known.client) == address_of(&client));
        let link = match &same {
            Some(known) => known.link.clone(),
            None => {
                tracing::info!(redis = %address_of(&client), "the sentinels name the primary");
                manager(&client).await?
            }
        };
        self.primary.store(Some(Arc::new(Primary { client: client.clone(), link, confirmed: Instant::now() })));
        Ok(client)
    }

    /// One command, at the primary of the moment.
    pub(super) async fn command(self: &Arc<Self>, command: &Cmd) -> RedisResult<Value> {
        let answer = self.link().await?.req_packed_command(command).await;
        match self.moved_away(answer.as_ref().err()).await {
            true => self.link().await?.req_packed_command(command).await,
            false => answer,
        }
    }

    /// Many commands, at the primary of the moment.
    pub(super) async fn pipeline(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let answers = self.link().await?.req_packed_commands(pipeline, offset, count).await;
        let refused = answers.as_ref().map_or_else(|error| Some(error.clone()), |answers| first_error(answers));
        match self.moved_away(refused.as_ref()).await {
            true => self.link().await?.req_packed_commands(pipeline, offset, count).await,
            false => answers,
        }
    }

    async fn link(self: &Arc<Self>) -> RedisResult<ConnectionManager> {
        let Some(primary) = self.primary.load_full() else {
            self.find().await?;
            let primary = self.primary.load_full();
            let found = primary.ok_or_else(|| RedisError::from((ErrorKind::Io, "the sentinels know no primary")))?;
            return Ok(found.link.clone());
        };
        if primary.confirmed.elapsed() > LOOK_AGAIN && !self.looking.swap(true, Ordering::AcqRel) {
            let guided = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = guided.find().await {
                    tracing::debug!(%error, "the sentinels were asked in vain");
                }
                guided.looking.store(false, Ordering::Release);
            });
        }
        Ok(primary.link.clone())
    }

    /// Whether what was refused should be asked again, because another server is primary now and this one has done
    /// nothing. A connection that broke may have done something: then the primary is found, and the caller decides.
    async fn moved_away(&self, refused: Option<&RedisError>) -> bool {
        let Some(refused) = refused else { return false };
        let is_replica = refused.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if !is_replica && !refused.is_connection_dropped() && !refused.is_timeout() {
            return false;
        }
        let before = self.primary.load_full();
        let found = self.find().await;
        let is_other = match (&found, before) {
            (Ok(found), Some(before)) => address_of(found) != address_of(&before.client),
            (Ok(_), None) => true,
            (Err(_), _) => false,
        };
        is_other && (is_replica || refused.is_connection_refusal())
    }
}

fn first_error(answers: &[Value]) -> Option<RedisError> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(RedisError::from(error.clone())),
        _ => None,
    })
}
