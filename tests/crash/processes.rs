//! Several processes share the work of one company: they come and go, freeze and come back.

use tempfile::TempDir;
use touchpoint::sandbox::What;

use super::company::pause;
use super::fleet::{Fleet, Node, Setup};

/// WeCom's limit for a welcome.
const WELCOME_WITHIN_MS: i64 = 20_000;

/// A Redis of one test, and its address.
async fn redis() -> (Node, String, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &["--save", "", "--appendonly", "no"]).await;
    let url = format!("redis://127.0.0.1:{}", node.port);
    (node, url, dir)
}

/// How many shards each process has that answers.
async fn shares(fleet: &Fleet, servers: &[usize]) -> Vec<u64> {
    let mut shares = Vec::new();
    for number in servers {
        shares.push(fleet.servers[*number].shards().await.unwrap_or_default());
    }
    shares
}

fn customers(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("wm{number:030}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_shared_evenly_as_processes_join_leave_and_die() {
    let (_redis, url, _dir) = redis().await;
    let mut fleet = Fleet::open(Setup { servers: 3, ..Setup::on(&url) }).await;
    fleet
        .until("three share eight", async || {
            let mut shares = shares(&fleet, &[0, 1, 2]).await;
            shares.sort_unstable();
            shares == [2, 3, 3]
        })
        .await;

    fleet.servers[2].stop().await;
    fleet.until("two share eight", async || shares(&fleet, &[0, 1]).await == [4, 4]).await;

    fleet.servers[1].kill();
    fleet.until("one has all", async || shares(&fleet, &[0]).await == [8]).await;

    fleet.servers[1].start().await;
    fleet.until("two share eight again", async || shares(&fleet, &[0, 1]).await == [4, 4]).await;
    fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_processes_are_restarted_in_turn_everybody_is_welcomed_within_20_seconds() {
    let (_redis, url, _dir) = redis().await;
    let mut fleet = Fleet::open(Setup { servers: 3, ..Setup::on(&url) }).await;
    let customers = customers(60);
    let mut coming = customers.iter();

    for number in 0..3 {
        for customer in coming.by_ref().take(10) {
            fleet.customer_adds(customer, "lili").await;
        }
        fleet.servers[number].stop().await;
        for customer in coming.by_ref().take(10) {
            fleet.customer_adds(customer, "lili").await;
        }
        fleet.servers[number].start().await;
    }

    fleet
        .until("everybody is welcomed", async || {
            let receipts = fleet.world.receipts();
            receipts.iter().filter(|receipt| matches!(receipt.what, What::Welcome { .. })).count() >= customers.len()
        })
        .await;
    let mut welcomed = std::collections::BTreeMap::<String, Vec<i64>>::new();
    for receipt in fleet.world.receipts() {
        if let What::Welcome { customer, after_ms, .. } = receipt.what {
            welcomed.entry(customer).or_default().push(after_ms);
        }
    }
    for customer in &customers {
        let waited = welcomed.get(customer).cloned().unwrap_or_default();
        assert!(
            matches!(waited.as_slice(), [ms] if *ms < WELCOME_WITHIN_MS),
            "{customer} is welcomed after {waited:?} ms"
        );
    }
    fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_and_worker_do_the_work_of_one_in_processes_of_their_own() {
    let (_redis, url, _dir) = redis().await;
    let roles = vec![&["--role", "web"][..], &["--role", "worker"][..]];
    let fleet = Fleet::open(Setup { roles, ..Setup::on(&url) }).await;
    fleet.until("the worker has all shards and the other none", async || shares(&fleet, &[0, 1]).await == [0, 8]).await;

    fleet.lead_to([0]);
    fleet.customer_adds("wm01", "lili").await;
    assert!(fleet.visit_at(0, "wm01", "visit-1").await);
    fleet.until_visits(&[("wm01".to_owned(), 1)]).await;
    fleet
        .until("the welcome is said", async || {
            fleet.world.receipts().iter().any(|receipt| matches!(receipt.what, What::Welcome { .. }))
        })
        .await;

    assert!(!fleet.visit_at(1, "wm01", "visit-2").await, "a worker takes nothing in");
    assert!(fleet.servers[1].readyz().await.is_some(), "and yet it says how it is");
    fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_process_that_comes_back_has_changed_nothing_and_nothing_is_lost() {
    let (_redis, url, _dir) = redis().await;
    let fleet = Fleet::open(Setup::on(&url)).await;
    let customers = customers(8);
    for customer in &customers {
        fleet.customer_adds(customer, "lili").await;
    }
    fleet.until("two share eight", async || shares(&fleet, &[0, 1]).await == [4, 4]).await;
    fleet.lead_to([1]);
    let shop = fleet.shop(customers.clone());

    // In the midst of its work, for as long as it takes the other one to notice.
    for _ in 0..2 {
        fleet.servers[0].freeze();
        fleet.until("the other has all", async || shares(&fleet, &[1]).await == [8]).await;
        let before = shop.told();
        fleet.until("work goes on without it", async || shop.told() > before + 20).await;
        fleet.servers[0].thaw();
        fleet.until("two share eight again", async || shares(&fleet, &[0, 1]).await == [4, 4]).await;
    }

    let told = shop.close().await;
    fleet.until_visits(&customers.iter().cloned().zip(told).collect::<Vec<_>>()).await;
    let log = fleet.servers[0].log();
    assert!(log.contains("the shard is not ours any more"), "it never lost a shard: {log}");
    fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_configuration_have_names_of_their_own() {
    let (redis, url, _dir) = redis().await;
    let fleet = Fleet::open(Setup::on(&url)).await;

    fleet
        .until("both are on the list", async || {
            let nodes: Vec<String> = redis.ask("HKEYS tp:nodes").await.unwrap();
            let names: std::collections::BTreeSet<&str> =
                nodes.iter().filter_map(|owner| owner.split('/').next()).collect();
            nodes.len() == 2 && names.len() == 2
        })
        .await;

    // Neither takes anything from the other.
    fleet.until("two share eight", async || shares(&fleet, &[0, 1]).await == [4, 4]).await;
    let fences = async || {
        let mut fences = Vec::new();
        for shard in 0..8 {
            fences.push(redis.ask::<String>(&format!("GET tp:{{s{shard}}}:fence")).await.unwrap());
        }
        fences
    };
    let before = fences().await;
    let mut heartbeats = std::collections::BTreeSet::new();
    while heartbeats.len() < 4 {
        heartbeats.insert(redis.ask::<Vec<String>>("HVALS tp:nodes").await.unwrap());
        pause().await;
    }
    assert_eq!(fences().await, before);
    fleet.close().await;
}
