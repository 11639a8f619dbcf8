//! What Redis refuses or cannot tell is set aside, and everything beside it goes on.

use serde_json::json;
use touchpoint::sandbox::FaultKind;
use touchpoint::store::streams::{InLane, Remember};

use super::helpers::{Company, Setup, hours, minutes, rules};

const RULES: &str = r#"
tags: { 分层: { order: 10 } }
segments:
  buyer: { name: 买家, when: customer.orders > 0, tag: 分层/买家 }
  regular: { name: 熟客, when: customer.orders > 0 && days_since(customer.last_order_at) > 1, tag: 分层/熟客 }
"#;

async fn with_customers(names: &[&str]) -> Company {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;
    for name in names {
        company.customer_adds(name, "lili", "").await;
    }
    company
}

/// A hand writes something else where a customer's timeline belongs, which only a commit finds out.
fn spoil_the_timeline_of(company: &Company, customer: &str) {
    let key = format!("@line:customer:{customer}");
    let () = company.redis("corp", &["DEL", &key]);
    let () = company.redis("corp", &["SET", &key, "x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_redis_refuses_is_decided_one_by_one_and_only_what_is_in_its_way_is_set_aside() {
    let mut company = with_customers(&["wmWang", "wmLi", "wmZhao"]).await;
    spoil_the_timeline_of(&company, "wmLi");
    // All of them wait when the server comes up, so that they are one batch.
    company.goes_down().await;
    let now = company.clock.now();
    for (number, customer) in ["wmWang", "wmLi", "wmZhao", "wmLi", "wmWang"].into_iter().enumerate() {
        let event = json!({ "id": format!("order {number}"), "type": "order.paid", "at": now.timestamp_millis(),
            "actor": format!("customer:{customer}"), "data": { "amount": "10", "order_id": number.to_string() } });
        let event = serde_json::from_value(event).unwrap();
        company.store.append(&event, InLane::In, Remember::Week).await.unwrap();
    }

    company.comes_up().await;
    company.settle().await;

    let letters = company.dead_letters().await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().all(|(event, error)| event.contains("wmLi") && error.contains("line:customer:wmLi")));
    assert_eq!(company.customer("wmWang").await["orders"], 2);
    assert_eq!(company.customer("wmZhao").await["orders"], 1);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_passes_by_a_customer_whom_redis_refuses() {
    let company = with_customers(&["wmWang", "wmLi", "wmZhao"]).await;
    for (number, customer) in ["wmWang", "wmLi", "wmZhao"].into_iter().enumerate() {
        company.orders(customer, &number.to_string(), "10").await;
    }
    spoil_the_timeline_of(&company, "wmLi");

    company.advance(hours(72)).await;

    assert!(!company.dead_letters().await.is_empty());
    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家", "分层/熟客"]);
    assert_eq!(company.world.tags("wmZhao", "lili"), ["分层/买家", "分层/熟客"]);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_cannot_be_read_is_set_aside_and_the_others_go_out() {
    let company = with_customers(&["wmWang"]).await;
    // Due before everything else, and of nobody knows what.
    let () = company.redis("corp", &["ZADD", "@out", "1", "aaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    let () = company.redis("corp", &["HSET", "@effect:aaaaaaaaaaaaaaaaaaaaaaaaaa", "json", "{\"half\":"]);

    company.orders("wmWang", "A1", "10").await;
    company.advance(minutes(1)).await;

    let letters = company.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].0, "{\"half\":");
    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家"]);
    let left: i64 = company.redis("corp", &["EXISTS", "@effect:aaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert_eq!(left, 0);
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_that_nobody_can_make_are_asked_for_less_and_less_often() {
    let mut company = with_customers(&["wmWang"]).await;
    // The tag's id is not known any more; the new process does not remember it either.
    company.goes_down().await;
    let () = company.redis("corp", &["DEL", "@side:tags:corp"]);
    company.comes_up().await;
    company.trouble("externalcontact/get_corp_tag_list", FaultKind::Errcode(-1), 10_000);

    company.orders("wmWang", "A1", "10").await;
    company.advance(hours(2)).await;

    let asked = company.calls_of("externalcontact/get_corp_tag_list").len();
    assert!((2..=100).contains(&asked), "asked {asked} times in two hours");
    company.goes_home().await;
}
