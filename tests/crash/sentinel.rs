//! A company on a Redis with a replica, watched by three sentinels.

use std::time::Instant;

use tempfile::TempDir;

use super::company::{PATIENCE, pause};
use super::fleet::{Fleet, Node, Setup};

/// A primary, its replica, and who watches them.
struct Watched {
    nodes: Vec<Node>,
    sentinels: Vec<Node>,
    _dir: TempDir,
}

impl Watched {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let common = ["--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
        let primary = Node::start(&dir.path().join("primary"), &common).await;
        let replicaof = primary.port.to_string();
        let mut arguments = common.to_vec();
        arguments.extend(["--replicaof", "127.0.0.1", &replicaof]);
        let replica = Node::start(&dir.path().join("replica"), &arguments).await;
        let mut sentinels = Vec::new();
        for number in 0..3 {
            let folder = dir.path().join(format!("sentinel-{number}"));
            std::fs::create_dir_all(&folder).unwrap();
            let config = folder.join("sentinel.conf");
            let settings = format!(
                "sentinel monitor shop 127.0.0.1 {} 2\nsentinel down-after-milliseconds shop 1000\n\
                 sentinel failover-timeout shop 3000\nsentinel parallel-syncs shop 1\n",
                primary.port
            );
            std::fs::write(&config, settings).unwrap();
            sentinels.push(Node::start(&folder, &[config.to_str().unwrap(), "--sentinel"]).await);
        }
        let watched = Self { nodes: vec![primary, replica], sentinels, _dir: dir };
        watched
            .until("the sentinels know each other and the replica", async || {
                for sentinel in &watched.sentinels {
                    let Ok(info) = sentinel.ask::<String>("INFO sentinel").await else { return false };
                    if !info.contains("status=ok") || !info.contains("slaves=1,sentinels=3") {
                        return false;
                    }
                }
                true
            })
            .await;
        watched
            .until("the replica is up to date", async || {
                watched.nodes[1]
                    .ask::<String>("INFO replication")
                    .await
                    .is_ok_and(|info| info.contains("master_link_status:up"))
            })
            .await;
        watched
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-sentinel://{}/shop", hosts.join(","))
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < PATIENCE, "it never came to this: {what}");
            pause().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_watched_by_sentinels_loses_and_doubles_nothing_while_its_primary_dies() {
    let mut watched = Watched::start().await;
    let fleet = Fleet::open(Setup { wait_replicas: 1, ..Setup::on(&watched.url()) }).await;
    let customers: Vec<String> = (0..12).map(|number| format!("wm{number:030}")).collect();
    for customer in &customers {
        fleet.customer_adds(customer, "lili").await;
    }
    let shop = fleet.shop(customers.clone());
    fleet.until("the shop is at work", async || shop.told() > 40).await;

    watched.nodes[0].kill();
    watched
        .until("the replica takes over", async || {
            watched.nodes[1].ask::<String>("INFO replication").await.is_ok_and(|info| info.contains("role:master"))
        })
        .await;
    watched.nodes[0].start_again().await;
    let before = shop.told();
    fleet.until("work goes on after the failover", async || shop.told() > before + 40).await;

    let told = shop.close().await;
    let expected: Vec<(String, u64)> = customers.iter().cloned().zip(told).collect();
    fleet.until_visits(&expected).await;
    fleet.close().await;
}
