//! A company on a Redis Cluster: three masters, each with a replica.

use std::time::Instant;

use tempfile::TempDir;

use super::company::{PATIENCE, pause};
use super::fleet::{Fleet, Node, Setup};

const MASTERS: usize = 3;

/// The servers of a cluster: masters first, then a replica of each.
struct Cluster {
    nodes: Vec<Node>,
    _dir: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for number in 0..2 * MASTERS {
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--save",
                "",
                "--appendonly",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
                "--maxmemory-policy",
                "noeviction",
            ];
            nodes.push(Node::start(&dir.path().join(format!("node-{number}")), &arguments).await);
        }
        let cluster = Self { nodes, _dir: dir };
        let slots = [0..=5460, 5461..=10922, 10923..=16383];
        for (node, slots) in cluster.nodes.iter().zip(slots) {
            node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.start(), slots.end())).await.unwrap();
        }
        let first = &cluster.nodes[0];
        for (epoch, node) in cluster.nodes.iter().enumerate() {
            node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1)).await.unwrap();
            if node.port != first.port {
                node.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", first.port)).await.unwrap();
            }
        }
        for number in 0..MASTERS {
            let master: String = cluster.nodes[number].ask("CLUSTER MYID").await.unwrap();
            let replica = &cluster.nodes[MASTERS + number];
            cluster
                .until("a replica knows its master", async || {
                    replica.ask::<()>(&format!("CLUSTER REPLICATE {master}")).await.is_ok()
                })
                .await;
        }
        cluster.until("everything is served and copied", async || cluster.is_whole().await).await;
        cluster
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// Whether each node that lives sees all slots served, and each master has a replica that is up to date.
    async fn is_whole(&self) -> bool {
        let mut copies = 0;
        for node in self.nodes.iter().filter(|node| node.is_alive()) {
            let Ok(info) = node.ask::<String>("CLUSTER INFO").await else { return false };
            let Ok(replication) = node.ask::<String>("INFO replication").await else { return false };
            if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:6") {
                return false;
            }
            copies += usize::from(replication.contains("master_link_status:up"));
        }
        copies == MASTERS
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < PATIENCE, "the cluster never came to this: {what}");
            pause().await;
        }
    }

    /// Moves the slot of a shard to another master, key by key, as `redis-cli --cluster reshard` does.
    async fn move_shard(&self, shard: u16) {
        let slot: u16 = self.nodes[0].ask(&format!("CLUSTER KEYSLOT {{s{shard}}}")).await.unwrap();
        let mut masters = Vec::new();
        for node in &self.nodes[..MASTERS] {
            let id: String = node.ask("CLUSTER MYID").await.unwrap();
            let served: String = node.ask("CLUSTER NODES").await.unwrap();
            let mine = served.lines().find(|line| line.contains("myself")).unwrap().to_owned();
            let has = mine.split(' ').skip(8).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                (from.parse().unwrap_or(1)..=to.parse().unwrap_or(0)).contains(&slot)
            });
            masters.push((node, id, has));
        }
        let (from, from_id, _) = masters.iter().find(|(_, _, has)| *has).unwrap();
        let (to, to_id, _) = masters.iter().find(|(_, _, has)| !*has).unwrap();
        to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await.unwrap();
        from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await.unwrap();
        loop {
            let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 3")).await.unwrap();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                from.ask::<String>(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", to.port)).await.unwrap();
            }
        }
        for (node, _, _) in [&masters[0], &masters[1], &masters[2]] {
            node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await.unwrap();
        }
    }
}

fn customers() -> Vec<String> {
    (0..12).map(|number| format!("wm{number:030}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_on_a_cluster_loses_and_doubles_nothing_while_slots_move_and_a_master_dies() {
    let mut cluster = Cluster::start().await;
    let fleet = Fleet::open(Setup { wait_replicas: 1, ..Setup::on(&cluster.url()) }).await;
    let customers = customers();
    for customer in &customers {
        fleet.customer_adds(customer, "lili").await;
    }
    let shop = fleet.shop(customers.clone());

    // Slots move under load, and a server forgets its scripts.
    for shard in [0, 3, 5] {
        cluster.move_shard(shard).await;
    }
    for node in &cluster.nodes[..MASTERS] {
        node.ask::<()>("SCRIPT FLUSH").await.unwrap();
    }
    let before = shop.told();
    fleet.until("work goes on after slots moved", async || shop.told() > before + 40).await;

    // A master dies. Until it is back as a replica, nothing is promised in its slots: one copy was asked for.
    cluster.nodes[1].kill();
    let replica = &cluster.nodes[MASTERS + 1];
    cluster
        .until("its replica takes over", async || {
            replica.ask::<String>("INFO replication").await.is_ok_and(|info| info.contains("role:master"))
        })
        .await;
    cluster.nodes[1].start_again().await;
    let before = shop.told();
    fleet.until("work goes on after a failover", async || shop.told() > before + 40).await;

    let told = shop.close().await;
    let expected: Vec<(String, u64)> = customers.iter().cloned().zip(told).collect();
    fleet.until_visits(&expected).await;
    fleet
        .until("everybody is welcomed once and tagged", async || {
            customers.iter().all(|customer| {
                let tags = fleet.world.tags(customer, "lili");
                tags.contains(&"触点/扫码".to_owned())
            })
        })
        .await;
    fleet.close().await;
}
