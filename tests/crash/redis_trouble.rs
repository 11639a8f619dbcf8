//! A Redis that is full, forgets everything, cuts its connections or says nothing for a while: what was
//! answered counts once, what cannot be kept is refused, and everything goes on by itself afterwards.

use tempfile::TempDir;

use super::fleet::{Fleet, Node, Setup};

struct Shop {
    redis: Node,
    fleet: Fleet,
    customers: Vec<String>,
    _dir: TempDir,
}

impl Shop {
    async fn open(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = Node::start(&dir.path().join("redis"), arguments).await;
        let fleet = Fleet::open(Setup::on(&format!("redis://127.0.0.1:{}", redis.port))).await;
        let customers: Vec<String> = (0..6).map(|number| format!("wm{number:030}")).collect();
        for customer in &customers {
            fleet.customer_adds(customer, "lili").await;
        }
        Self { redis, fleet, customers, _dir: dir }
    }

    async fn redis(&self, command: &str) {
        self.redis.ask::<redis::Value>(command).await.unwrap();
    }

    /// Whether a visit is taken right now; each is told under a name of its own, and once more when it was.
    async fn takes(&self, id: &str) -> bool {
        self.fleet.visit_at(0, &self.customers[0], id).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_nearly_full_the_door_is_closed_and_opens_again_by_itself() {
    let shop = Shop::open(&["--save", "", "--appendonly", "no"]).await;
    assert!(shop.takes("before").await);
    shop.fleet.until_visits(&[(shop.customers[0].clone(), 1)]).await;

    let memory: String = shop.redis.ask("INFO memory").await.unwrap();
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim();
    let used: u64 = used.parse().unwrap();
    shop.redis(&format!("CONFIG SET maxmemory {}", used * 100 / 96)).await;
    shop.fleet.until("the door is closed", async || !shop.takes("during").await).await;
    shop.fleet
        .until("readiness says so", async || {
            shop.fleet.servers[0]
                .readyz()
                .await
                .is_some_and(|state| state["degraded"].to_string().contains("maxmemory"))
        })
        .await;

    shop.redis("CONFIG SET maxmemory 0").await;
    shop.fleet.until("the door is open", async || shop.takes("after").await).await;
    // What was told while the door was about to close counts once, if it was taken.
    assert!(shop.takes("during").await);
    shop.fleet.until_visits(&[(shop.customers[0].clone(), 3)]).await;
    shop.fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_everything_is_used_on_and_those_who_come_are_welcomed() {
    let shop = Shop::open(&["--save", "", "--appendonly", "no"]).await;
    shop.fleet.until_visits(&shop.customers.iter().map(|customer| (customer.clone(), 0)).collect::<Vec<_>>()).await;

    shop.redis("FLUSHALL").await;
    shop.redis("SCRIPT FLUSH").await;

    shop.fleet
        .until("all shards have an owner again", async || {
            let mut owned = 0;
            for server in &shop.fleet.servers {
                owned += server.shards().await.unwrap_or_default();
            }
            owned == 8
        })
        .await;
    shop.fleet.customer_adds("wmNewcomer", "lili").await;
    shop.fleet
        .until("the newcomer is welcomed and tagged", async || {
            shop.fleet.world.tags("wmNewcomer", "lili").contains(&"触点/扫码".to_owned())
        })
        .await;
    shop.fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_and_stalls_of_two_seconds_lose_and_double_nothing() {
    let shop = Shop::open(&["--save", "", "--appendonly", "no"]).await;
    let work = shop.fleet.shop(shop.customers.clone());
    for trouble in [
        "CLIENT KILL TYPE normal",
        "CLIENT KILL TYPE pubsub",
        "CLIENT PAUSE 2000 ALL",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 2000 WRITE",
    ] {
        let before = work.told();
        // The one who asks may be cut off too.
        drop(shop.redis.ask::<redis::Value>(trouble).await);
        shop.fleet.until("work goes on", async || work.told() > before + 30).await;
    }
    let told = work.close().await;
    shop.fleet.until_visits(&shop.customers.iter().cloned().zip(told).collect::<Vec<_>>()).await;
    shop.fleet.close().await;
}
