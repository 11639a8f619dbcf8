//! One way to Redis: a server, a cluster, or whatever the sentinels say is the primary.
//!
//! Above this file nothing knows which it is: a [`Link`] takes commands and pipelines like any connection. In a cluster a
//! pipeline is parted by hash tag, so that each part stays in one slot; redirections, lost nodes and new primaries are
//! followed by the client, and what cannot be followed in time is an error like any other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, join_all, try_join_all};
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    Arg, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture,
    RedisResult, Value,
};
use secrecy::ExposeSecret as _;

use crate::settings::RedisUrl;

use super::guided::Guided;

/// A connection attempt that takes longer has failed; together with [`RESPONSE_TIMEOUT`] it keeps an answer to WeCom
/// within 4 s when Redis is away.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// An answer that takes longer is not waited for; what was asked may still happen.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// In a cluster an answer may need several nodes to be asked, one after the other.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(3);

/// How often a node of a cluster is asked again, or another one, within that time.
const CLUSTER_RETRIES: u32 = 12;

/// Between two of them, in milliseconds: from, to.
const CLUSTER_RETRY_WAIT: (u64, u64) = (20, 400);

/// Commands that may queue for the socket before a task has to wait for room.
const QUEUE: usize = 4096;

/// What `redis.url` leads to.
pub(super) enum Way {
    /// One server.
    Single(Box<Client>),
    /// A cluster, with some of its nodes by themselves.
    Cluster(Box<ClusterClient>, Vec<Client>),
    /// A primary that sentinels know.
    Guided(Arc<Guided>),
}

/// A connection in any of these forms. Clones share it.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    Single(ConnectionManager),
    /// To every primary of a cluster.
    Cluster(ClusterConnection),
    /// To the primary of the moment.
    Guided(Arc<Guided>),
}

impl Way {
    /// To a server at an address.
    pub(super) fn to(address: ConnectionInfo) -> RedisResult<Self> {
        Ok(Self::Single(Box::new(Client::open(address.set_tcp_settings(tcp_settings()))?)))
    }

    /// Reads `redis.url`, but for that of an embedded Redis.
    pub(super) fn read(url: &RedisUrl) -> RedisResult<Self> {
        match url {
            RedisUrl::Embedded(_) => Err((ErrorKind::InvalidClientConfig, "an embedded Redis has no address").into()),
            RedisUrl::Single(url) => Self::to(url.expose_secret().into_connection_info()?),
            RedisUrl::Cluster(url) => {
                let (list, _) = after_scheme(url.expose_secret());
                let nodes = addresses(list, "")?;
                let (least, most) = CLUSTER_RETRY_WAIT;
                let client = ClusterClientBuilder::new(nodes.clone())
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .overall_response_timeout(Some(CLUSTER_PATIENCE))
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(least)
                    .max_retry_wait(most)
                    .tcp_settings(tcp_settings())
                    .build()?;
                let nodes = nodes.into_iter().map(|node| Client::open(node.set_tcp_settings(tcp_settings())));
                Ok(Self::Cluster(Box::new(client), nodes.collect::<RedisResult<_>>()?))
            }
            RedisUrl::Sentinel(url) => {
                let (list, name) = after_scheme(url.expose_secret());
                Ok(Self::Guided(Arc::new(Guided::new(list, name)?)))
            }
        }
    }

    /// A connection.
    pub(super) async fn link(&self) -> RedisResult<Link> {
        Ok(match self {
            Self::Single(client) => Link::Single(manager(client).await?),
            Self::Cluster(client, _) => {
                let config = ClusterConfig::default().set_response_timeout(RESPONSE_TIMEOUT);
                let linking = client.get_async_connection_with_config(config);
                let link = tokio::time::timeout(CLUSTER_PATIENCE, linking).await.map_err(timed_out)??;
                Link::Cluster(link)
            }
            Self::Guided(guided) => {
                guided.find().await?;
                Link::Guided(Arc::clone(guided))
            }
        })
    }

    /// A connection of its own for a thread that runs a runtime of its own, made when it is first used.
    pub(super) fn link_of_this_thread(&self, shared: &Link) -> Link {
        match self {
            Self::Single(client) => {
                match ConnectionManager::new_lazy_with_config(Client::clone(client), manager_config()) {
                    Ok(own) => Link::Single(own),
                    Err(error) => {
                        tracing::warn!(%error, "a thread has no connection of its own and shares one");
                        shared.clone()
                    }
                }
            }
            Self::Cluster(client, _) => {
                let config = ClusterConfig::default().set_response_timeout(RESPONSE_TIMEOUT);
                Link::Cluster(client.get_pending_async_connection_with_config(config))
            }
            Self::Guided(_) => shared.clone(),
        }
    }

    /// A connection to listen on. Whatever is published anywhere in a cluster is heard at each of its nodes.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        match self {
            Self::Single(client) => listen_at(client).await,
            Self::Cluster(_, nodes) => {
                let mut refused = RedisError::from((ErrorKind::InvalidClientConfig, "a cluster has nodes"));
                for node in nodes {
                    match listen_at(node).await {
                        Ok(listening) => return Ok(listening),
                        Err(error) => refused = error,
                    }
                }
                Err(refused)
            }
            Self::Guided(guided) => listen_at(&guided.find().await?).await,
        }
    }
}

async fn listen_at(client: &Client) -> RedisResult<PubSub> {
    tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await.map_err(timed_out)?
}

pub(super) fn timed_out(elapsed: tokio::time::error::Elapsed) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed).into()
}

/// What stands behind `scheme://`, and behind the last slash of it.
fn after_scheme(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('/').unwrap_or((rest, ""))
}

/// The servers of a list `[user:password@]host[:port],host[:port]…`; the login is that of all of them.
pub(super) fn addresses(list: &str, default_port: &str) -> RedisResult<Vec<ConnectionInfo>> {
    let (login, hosts) = list.rsplit_once('@').map_or(("", list), |(login, hosts)| (login, hosts));
    let at = if login.is_empty() { "" } else { "@" };
    let address = |host: &str| {
        let port = if host.rsplit_once(':').is_none() { default_port } else { "" };
        format!("redis://{login}{at}{host}{port}").into_connection_info()
    };
    hosts.split(',').map(address).collect()
}

/// A server that vanished without a word is noticed by unanswered packets, not only by unanswered questions.
pub(super) fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT);
    settings
}

/// A connection to one server that is made anew when it breaks.
pub(super) async fn manager(client: &Client) -> RedisResult<ConnectionManager> {
    client.get_connection_manager_with_config(manager_config()).await
}

fn manager_config() -> ConnectionManagerConfig {
    // Each failed command starts one new attempt by itself; retries inside an attempt would make every caller wait.
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(QUEUE)
}

impl Link {
    /// Whether many servers answer together.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Many commands, each with its own outcome: in a cluster those of a server that does not answer fail, and only
    /// those.
    pub(super) async fn outcomes(&mut self, pipeline: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let Self::Cluster(link) = self else { return pipeline.ignore_errors().query_async(self).await };
        let asking = parted(pipeline).into_iter().map(|Part { mut pipeline, places, .. }| {
            let mut link = link.clone();
            async move {
                let answers: RedisResult<Vec<RedisResult<Value>>> =
                    pipeline.ignore_errors().query_async(&mut link).await;
                let answers = answers.unwrap_or_else(|error| vec![Err(error); places.len()]);
                places.into_iter().zip(answers).collect::<Vec<_>>()
            }
        });
        let mut answers: Vec<(usize, RedisResult<Value>)> = join_all(asking).await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(link) => link.req_packed_command(command),
            Self::Cluster(link) => link.req_packed_command(command),
            Self::Guided(guided) => guided.command(command).boxed(),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => match parted(pipeline) {
                // What is one transaction cannot be parted; nothing here asks for one over several slots.
                parts if offset == 0 && parts.len() > 1 => together(link.clone(), parts).boxed(),
                _ => link.req_packed_commands(pipeline, offset, count),
            },
            Self::Guided(guided) => guided.pipeline(pipeline, offset, count).boxed(),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Commands of one slot, and where each stood.
struct Part {
    tag: Vec<u8>,
    pipeline: Pipeline,
    places: Vec<usize>,
}

/// Parts a pipeline by hash tag, each part in the order of the whole.
fn parted(pipeline: &Pipeline) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut by_tag = std::collections::HashMap::new();
    for (place, command) in pipeline.cmd_iter().enumerate() {
        // What names no key goes wherever the commands before it go.
        let tag = tag(command).or_else(|| parts.last().map(|part| part.tag.clone())).unwrap_or_default();
        let part = *by_tag.entry(tag.clone()).or_insert_with(|| {
            parts.push(Part { tag, pipeline: Pipeline::new(), places: Vec::new() });
            parts.len() - 1
        });
        if let Some(part) = parts.get_mut(part) {
            part.pipeline.add_command(command.clone());
            part.places.push(place);
        }
    }
    parts
}

/// What decides about a command's slot: the part of its first key in braces, or all of it.
fn tag(command: &Cmd) -> Option<Vec<u8>> {
    let mut words = command.args_iter().filter_map(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    let key = match words.next()? {
        b"EVALSHA" | b"EVAL" => words.nth(2)?,
        b"WAIT" | b"TIME" => return None,
        _ => words.next()?,
    };
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        rest.get(..rest.iter().position(|byte| *byte == b'}')?).filter(|tag| !tag.is_empty())
    });
    Some(tagged.unwrap_or(key).to_vec())
}

/// Asks all parts at once and puts the answers back in order.
async fn together(link: ClusterConnection, parts: Vec<Part>) -> RedisResult<Vec<Value>> {
    let asking = parts.into_iter().map(|Part { pipeline, places, .. }| {
        let mut link = link.clone();
        async move {
            let answers = link.req_packed_commands(&pipeline, 0, places.len()).await?;
            Ok::<_, RedisError>(places.into_iter().zip(answers).collect::<Vec<_>>())
        }
    });
    let mut answers: Vec<(usize, Value)> = try_join_all(asking).await?.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// The address of a client's server, to tell whether two are the same.
pub(super) fn address_of(client: &Client) -> ConnectionAddr {
    client.get_connection_info().addr().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_parted_by_the_tag_of_its_keys_and_keeps_their_order() {
        let mut pipe = redis::pipe();
        pipe.cmd("XLEN").arg("tp:{s1}:in").cmd("XLEN").arg("tp:{s2}:in").cmd("ZCARD").arg("tp:{s1}:timers");
        pipe.cmd("EVALSHA").arg("0123").arg(2).arg("tp:{s2}:in").arg("tp:{s2}:seen:x").cmd("GET").arg("tp:clock");

        let places: Vec<(Vec<u8>, Vec<usize>)> =
            parted(&pipe).into_iter().map(|part| (part.tag, part.places)).collect();

        let expected =
            [("s1", vec![0, 2]), ("s2", vec![1, 3]), ("tp:clock", vec![4])].map(|(tag, at)| (tag.into(), at));
        assert_eq!(places, expected);
    }

    #[test]
    fn what_names_no_key_goes_with_the_command_before_it() {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("HGETALL").arg("tp:paused").cmd("SET").arg("tp:{s3}:in").arg("").cmd("WAIT").arg(1).arg(9);

        let places: Vec<Vec<usize>> = parted(&pipe).into_iter().map(|part| part.places).collect();

        assert_eq!(places, [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_list_of_servers_shares_its_login() {
        let read = addresses("shop:secret@10.0.0.1:7000,10.0.0.2", ":26379").unwrap();

        let addrs: Vec<String> = read.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(addrs, ["10.0.0.1:7000", "10.0.0.2:26379"]);
        assert!(read.iter().all(|info| info.redis_settings().username() == Some("shop")));
        assert_eq!(after_scheme("redis-sentinel://a,b:1/shop"), ("a,b:1", "shop"));
    }
}
