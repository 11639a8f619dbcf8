//! The heart: order, exactly once, setting aside, leases, and a Redis that lost everything.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};
use touchpoint::domain::actor::Actor;
use touchpoint::runtime::app::App;

use super::helpers::{Company, Setup, adding, minutes, rules};
use super::process::{RealProcess, eventually};
use super::redis_server::OwnRedis;

const RULES: &str = r#"
tags: { 触点: { order: 10 } }
segments:
  buyer: { name: 买家, when: customer.orders > 0, tag: 触点/买家 }
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ prompt: { title: 请回访 } ] }
"#;

// Guarantee 3.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_customer_take_effect_in_the_order_in_which_they_came() {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;
    let customers = ["wmWang", "wmLi", "wmZhao"];

    let walk = |customer: &'static str| {
        let company = &company;
        async move {
            for step in 0..50 {
                company.sends(&format!("{customer} {step}"), "step.taken", customer, json!({ "step": step })).await;
            }
        }
    };
    tokio::join!(walk(customers[0]), walk(customers[1]), walk(customers[2]));
    company.settle().await;

    for customer in customers {
        let actor: Actor = format!("customer:{customer}").parse().unwrap();
        let lines = company.store.timeline(&actor, 200).await.unwrap();
        let steps: Vec<i64> = lines.iter().rev().filter_map(|line| line.data.get("step")?.as_i64()).collect();
        assert_eq!(steps, (0..50).collect::<Vec<_>>(), "{customer}");
    }
    company.close().await;
}

// Guarantee 9.

#[rstest]
#[case::is_no_number("orders", "\"many\"", "cannot be read")]
#[case::is_no_json("followers", "{", "cannot be read")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_set_aside_when_a_field_of_its_record(
    #[case] field: &str,
    #[case] value: &str,
    #[case] error: &str,
) {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.customer_adds("wmLi", "lili", "").await;
    let key = "@actor:customer:wmWang";
    let sound: Option<String> = company.redis("customer:wmWang", &["HGET", key, field]);

    let () = company.redis("customer:wmWang", &["HSET", key, field, value]);
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "1", "order_id": "A1" })).await;
    company.orders("wmLi", "A2", "20").await;
    let letters = company.dead_letters().await;
    match &sound {
        Some(sound) => company.redis::<()>("customer:wmWang", &["HSET", key, field, sound]),
        None => company.redis::<()>("customer:wmWang", &["HDEL", key, field]),
    }
    company.orders("wmWang", "A3", "300").await;

    assert_eq!(letters.len(), 1, "{letters:?}");
    let event: Value = serde_json::from_str(&letters[0].0).unwrap();
    assert_eq!((&event["type"], &event["data"]["order_id"]), (&json!("order.paid"), &json!("A1")), "it can be read");
    assert!(letters[0].1.contains(error), "{letters:?}");
    assert_eq!(company.customer("wmLi").await["spend"], "20.00", "the shard goes on");
    assert_eq!(company.customer("wmWang").await["spend"], "300.00", "so does the customer once the record is mended");
    company.goes_home().await;
}

/// The day after which no calendar goes on stands in the record, so that counting on from it panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_deciding_panics_is_set_aside() {
    let nudges = rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ nudge: { say: thanks, via: [staff] } ] }
guardrails: { customer_budget: 1 per 1d }
"#,
    );
    let company = Setup::new(&nudges).with_shards(1).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.customer_adds("wmLi", "lili", "").await;

    let contacts = r#"{"2035-01-01":1,"+262142-12-31":1}"#;
    let () = company.redis("customer:wmWang", &["HSET", "@actor:customer:wmWang", "contacts", contacts]);
    company.orders("wmWang", "A1", "100").await;
    company.orders("wmLi", "A2", "20").await;
    company.advance(minutes(5)).await;
    company.orders("wmWang", "A3", "300").await;

    let letters = company.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let event: Value = serde_json::from_str(&letters[0].0).unwrap();
    assert_eq!((&event["type"], &event["data"]["name"]), (&json!("timer.fired"), &json!("judge")));
    assert!(letters[0].1.contains("deciding it panicked"), "{letters:?}");
    assert_eq!(company.cards_of("lili"), ["请把这段话发给客户"], "the shard goes on");
    assert_eq!(company.customer("wmWang").await["spend"], "400.00", "and so does the customer");
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_no_event_is_set_aside() {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;

    let _: String = company.redis("customer:wmWang", &["XADD", "@in", "*", "e", "{\"id\":\"half an ev"]);
    company.orders("wmWang", "A1", "100").await;

    let letters = company.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, "{\"id\":\"half an ev");
    assert!(letters[0].1.starts_with("the event cannot be read"), "{letters:?}");
    assert_eq!(company.customer("wmWang").await["orders"], 1);
    company.goes_home().await;
}

// Guarantee 6.

/// Somebody else takes the company's only shard: its lease and its fence are theirs now.
fn another_process_takes_the_shard(company: &Company) {
    let () = company.redis("corp", &["SET", "@fence", "1000000:another"]);
    let () = company.redis("corp", &["SET", "@lease", "another", "PX", "60000"]);
}

async fn shards_of(company: &Company, address: &str) -> i64 {
    let answer = company.http.get(format!("{address}/readyz")).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["shards"].as_i64().unwrap_or(-1)
}

async fn notices_that_it_lost_the_shard(company: &Company) {
    let address = company.url("");
    eventually("the shard is given up", || async { shards_of(company, &address).await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_lost_its_lease_decides_nothing_more() {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    another_process_takes_the_shard(&company);
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;
    notices_that_it_lost_the_shard(&company).await;
    let meanwhile = company.customer("wmWang").await["orders"].clone();
    let waiting: i64 = company.redis("corp", &["XLEN", "@in"]);
    let () = company.redis("corp", &["DEL", "@lease"]);
    company.settle().await;

    assert_eq!((meanwhile, waiting), (json!(0), 1), "it waits for the owner");
    assert_eq!(company.customer("wmWang").await["orders"], 1);
    assert_eq!(company.world.tags("wmWang", "lili"), ["触点/买家"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_comes_after_the_lease_was_lost_is_refused_and_the_next_owner_asks_again() {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    let marking = company.world.hold_next("externalcontact/mark_tag").unwrap();
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;
    marking.accepted().await;

    another_process_takes_the_shard(&company);
    marking.release();
    notices_that_it_lost_the_shard(&company).await;
    let waiting: Vec<String> = company.redis("corp", &["ZRANGE", "@out", "0", "-1"]);
    let () = company.redis("corp", &["DEL", "@lease"]);
    company.settle().await;

    assert_eq!(waiting.len(), 1, "its effect is still there for the owner");
    assert_eq!(company.calls_of("externalcontact/mark_tag").len(), 2);
    assert_eq!(company.tag_changes_of("wmWang"), ["+触点/买家 lili"], "a repeat is harmless");
    company.close().await;
}

// Two processes.

async fn with_a_second_process() -> (Company, App) {
    let company = Setup::new(&rules(RULES)).open().await;
    let second = company.second_process().await;
    let (first, other) = (company.url(""), format!("http://{}", second.addr()));
    let is_even = || async { (shards_of(&company, &first).await, shards_of(&company, &other).await) == (2, 2) };
    eventually("the shards are shared evenly", is_even).await;
    (company, second)
}

/// How often an event type was decided today.
async fn decided(company: &Company, kind: &str) -> i64 {
    let today = super::helpers::at("2035-01-01 10:00").date_naive();
    company.store.counters(today).await.unwrap().get(&format!("event:{kind}")).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_shards_evenly_and_decide_each_event_once() {
    let (company, second) = with_a_second_process().await;

    for number in 0..24 {
        company.sends(&number.to_string(), "order.paid", &format!("wm{number}"), json!({ "amount": "1" })).await;
    }
    company.settle().await;

    assert_eq!(decided(&company, "order.paid").await, 24);
    for number in 0..24 {
        assert_eq!(company.customer(&format!("wm{number}")).await["spend"], "1.00");
    }
    second.stop().await;
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_hands_its_shards_over_within_5_seconds_and_nothing_is_lost() {
    let (company, second) = with_a_second_process().await;
    let address = company.url("");

    let stopping = Instant::now();
    let orders = async {
        for number in 0..24 {
            company.sends(&number.to_string(), "order.paid", &format!("wm{number}"), json!({ "amount": "1" })).await;
        }
    };
    let ((), ()) = tokio::join!(second.stop(), orders);
    eventually("the first owns all shards", || async { shards_of(&company, &address).await == 4 }).await;
    let took = stopping.elapsed();
    company.settle().await;

    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(decided(&company, "order.paid").await, 24);
    company.close().await;
}

// Guarantees 4 and 6, with processes of their own.

async fn served_by_a_process(setup: Setup) -> (Company, RealProcess) {
    let mut company = Company::prepare(setup).await;
    let process = RealProcess::serve(company.dir.path(), "info");
    company.is_served_at(&process.address);
    company.settle().await;
    (company, process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_undone_the_next_one_does() {
    let (mut company, first) = served_by_a_process(Setup::new(&rules(RULES))).await;
    let profile = company.world.hold_next("externalcontact/get").unwrap();
    company.adds(adding("wmWang", "lili", "")).await;
    profile.accepted().await;
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;

    first.signal("KILL");
    drop(first);
    let second = RealProcess::serve(company.dir.path(), "info");
    company.is_served_at(&second.address);
    company.settle().await;
    company.leaps_by_http(minutes(2)).await;

    let record = company.customer("wmWang").await;
    assert_eq!(record["name"], "客户wmWang", "the answer that came to nobody was asked for again");
    assert_eq!(record["orders"], 1, "the event was not lost");
    assert_eq!(company.world.tags("wmWang", "lili"), ["触点/买家"], "nor an effect");
    assert_eq!(company.cards_of("lili"), ["请回访"], "nor a timer");
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: sent, taken by wecom"]);
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_and_continued_disturbs_nobody() {
    let (mut company, first) = served_by_a_process(Setup::new(&rules(RULES))).await;
    company.customer_adds("wmWang", "lili", "").await;
    let marking = company.world.hold_next("externalcontact/mark_tag").unwrap();
    company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await;
    marking.accepted().await;

    first.signal("STOP");
    let second = RealProcess::serve(company.dir.path(), "info");
    company.is_served_at(&second.address);
    eventually("the second owns all", || async { shards_of(&company, &second.address).await == 4 }).await;
    company.orders("wmWang", "A2", "50").await;
    first.signal("CONT");
    marking.release();
    let is_even =
        || async { (shards_of(&company, &first.address).await, shards_of(&company, &second.address).await) == (2, 2) };
    eventually("the shards are shared evenly", is_even).await;
    company.orders("wmWang", "A3", "7").await;

    assert_eq!(company.customer("wmWang").await["spend"], "157.00");
    assert_eq!(decided(&company, "order.paid").await, 3);
    assert_eq!(company.tag_changes_of("wmWang"), ["+触点/买家 lili"]);
    assert_eq!(company.dead_letters().await, []);
    company.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_finishes_and_ends_with_0() {
    let (company, mut process) = served_by_a_process(Setup::new(&rules(RULES))).await;
    company.customer_adds("wmWang", "lili", "").await;

    process.signal("TERM");

    assert_eq!(process.ended(), Some(0), "{}", process.log());
    let () = company.sandbox.stop().await;
}

// A Redis that lost everything.

async fn is_ready(company: &Company) {
    let ready = || async {
        let answer = company.http.get(company.url("/readyz")).send().await.unwrap();
        let (status, page) = (answer.status(), answer.json::<Value>().await.unwrap());
        status == 200 && page["shards"] == 4 && page["status"] == "ready"
    };
    eventually("the server is ready", ready).await;
}

#[rstest]
#[case::was_emptied(false)]
#[case::was_restarted_empty(true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_redis(#[case] restarts: bool) {
    let mut redis = OwnRedis::start();
    let company = Setup::new(&rules(RULES)).on_redis(&redis.url).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;

    if restarts {
        redis.restart_empty();
    } else {
        redis.run(&["FLUSHALL"]);
        redis.run(&["SCRIPT", "FLUSH"]);
    }
    // The connection of the test itself is made anew, too.
    drop(company.store.probe().await);
    is_ready(&company).await;
    company.adds(adding("wmLi", "lili", "")).await;
    company.orders("wmLi", "A2", "100").await;
    company.advance(minutes(2)).await;

    assert_eq!(company.customer("wmLi").await["spend"], "100.00");
    assert_eq!(company.world.tags("wmLi", "lili"), ["触点/买家"]);
    assert_eq!(company.fates_of("wmLi").await, ["prompt 请回访: sent, taken by wecom"]);
    company.close().await;
}
