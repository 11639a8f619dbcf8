//! Events decided and committed: business events of regular customers wait in all shards, then a server is let at them.

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use touchpoint::domain::event::{Event, types};
use touchpoint::domain::ids::EventId;
use touchpoint::store::Store;
use touchpoint::store::streams::{InLane, Remember};

use crate::past::{customer, regular};
use crate::processes::{PATIENCE, Redis};
use crate::server::{Folder, Server, fresh};
use crate::table;
use crate::town::Town;

/// What an event of a customer says.
type Data = fn(usize) -> Value;

const CUSTOMERS: usize = 6_000;
/// What each of them does, one event after the other, none of which leads to a call to WeCom.
const ACTS: [(&str, Data); 8] = [
    (types::VISIT_MADE, visit),
    (types::ORDER_PAID, first_order),
    (types::CUSTOMER_UPDATED, update),
    (types::VISIT_MADE, visit),
    ("fitting.booked", visit),
    (types::VISIT_MADE, visit),
    (types::ORDER_PAID, second_order),
    (types::CUSTOMER_UPDATED, update),
];
/// Looking more often would be work for Redis too.
const LOOK: Duration = Duration::from_millis(10);
/// Events appended in one round trip.
const AT_ONCE: usize = 500;

/// Measures and prints.
pub(crate) async fn measure(redis: &Redis) -> anyhow::Result<()> {
    let folder = Folder::make(Some(redis))?;
    let (store, held) = fresh(redis, &folder).await?;
    let server = Server::start(folder.path())?;
    let now = Utc::now();
    let mut town = Town::new(&folder, &store, &held, now + chrono::TimeDelta::hours(1))?;
    let before = redis.stored_bytes().await?;
    for number in 0..CUSTOMERS {
        town.lives(number, regular(number, now)).await?;
    }
    town.settle().await?;
    let per_customer = (redis.stored_bytes().await? - before) as f64 / CUSTOMERS as f64;

    let events = append(&store).await?;
    let used = (server.process.cpu()?, redis.process.cpu()?);
    held.release().await?;
    let took = drained(redis, &store).await?;
    let now = (server.process.cpu()?, redis.process.cpu()?);
    let each = |after: Duration, before: Duration| (after - before).as_secs_f64() * 1e6 / events as f64;

    table::section(
        "events",
        &format!("{events} orders, visits, appointments and updates of {CUSTOMERS} customers, waiting in all shards"),
    );
    table::figure("decided and committed", "/s", events as f64 / took.as_secs_f64());
    table::figure("CPU of the server per event", "µs", each(now.0, used.0));
    table::figure("CPU of Redis per event", "µs", each(now.1, used.1));
    table::figure("Redis memory per customer, 3 orders and 3 visits", "B", per_customer);
    table::figure("memory of the server afterwards", "MB", server.process.memory()? as f64 / 1e6);
    Ok(())
}

fn visit(_: usize) -> Value {
    json!({ "store": "一号店" })
}

fn first_order(number: usize) -> Value {
    json!({ "amount": "299.00", "order_id": format!("SP{number}a"), "product": "knit", "quantity": 1 })
}

fn second_order(number: usize) -> Value {
    json!({ "amount": "299.00", "order_id": format!("SP{number}b"), "product": "knit", "quantity": 1 })
}

fn update(number: usize) -> Value {
    json!({ "attrs": { "level": "金卡", "points": number } })
}

/// What a shop would send, through the door by which it comes.
async fn append(store: &Store) -> anyhow::Result<usize> {
    let mut events = Vec::with_capacity(AT_ONCE);
    let mut count = 0;
    for (place, (kind, data)) in ACTS.iter().enumerate() {
        for number in 0..CUSTOMERS {
            let Value::Object(data) = data(number) else { anyhow::bail!("an event's data is an object") };
            let id = EventId::parse(format!("shop:{place}:{number}"))?;
            events.push(Event {
                id,
                kind: (*kind).to_owned(),
                actor: customer(number),
                at: Utc::now(),
                data,
                hops: 0,
                trace: None,
            });
            if events.len() == AT_ONCE || number + 1 == CUSTOMERS {
                for appended in store.append_many(&events, InLane::In, Remember::Business).await? {
                    appended?;
                }
                count += events.len();
                events.clear();
            }
        }
    }
    Ok(count)
}

/// Waits until nothing is left to decide; gives how long that took from the moment that the first shard was taken up.
async fn drained(redis: &Redis, store: &Store) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    let mut begun = None;
    let all = left(redis, store).await?;
    loop {
        let now = Instant::now();
        let left = left(redis, store).await?;
        if left < all {
            begun.get_or_insert(now);
        }
        if let (0, Some(begun)) = (left, begun) {
            return Ok(begun.elapsed());
        }
        anyhow::ensure!(asked.elapsed() < PATIENCE, "the events were not decided in time");
        tokio::time::sleep(LOOK).await;
    }
}

async fn left(redis: &Redis, store: &Store) -> anyhow::Result<u64> {
    let mut pipe = redis::pipe();
    for shard in 0..store.shards() {
        pipe.cmd("XLEN").arg(store.keys().of_shard(shard, "in"));
    }
    let lengths: Vec<u64> = pipe.query_async(&mut redis.link()).await?;
    Ok(lengths.iter().sum())
}
