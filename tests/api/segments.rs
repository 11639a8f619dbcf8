//! Segments: entered and left by events and by the nightly sweep, also when the night was missed.

use rstest::rstest;
use serde_json::json;
use touchpoint::sandbox::What;

use super::helpers::{Company, Setup, at, hours};

const RULES: &str = r#"
playbook: { id: shop, name: 女装店 }
tags: { 分层: { order: 20 } }
segments:
  newcomer: { name: 新客, when: days_since(customer.added_at) <= 14, tag: 分层/新客 }
  vip: { name: 高价值, when: customer.spend >= 1000, tag: 分层/高价值 }
"#;

/// Segments that the record says the customer is in.
async fn inside(company: &Company, customer: &str) -> Vec<String> {
    let record = company.customer(customer).await;
    record["segments"].as_array().unwrap().iter().map(|segment| segment.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_lets_a_customer_in_and_another_one_out() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "600").await;
    let before = inside(&company, "wmWang").await;
    company.orders("wmWang", "A2", "400").await;
    let after = inside(&company, "wmWang").await;
    company.happens("order.refunded", "wmWang", json!({ "order_id": "A1", "amount": "0.01" })).await;

    assert_eq!((before, after), (vec!["newcomer".to_owned()], vec!["newcomer".to_owned(), "vip".to_owned()]));
    assert_eq!(inside(&company, "wmWang").await, ["newcomer"]);
    assert_eq!(company.tag_changes_of("wmWang"), ["+分层/新客 lili", "+分层/高价值 lili", "-分层/高价值 lili"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_time_changes_is_found_by_the_nightly_sweep() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.advance_to("2035-01-20 10:00").await;

    assert_eq!(inside(&company, "wmWang").await, Vec::<String>::new());
    let left = company.times(|what| matches!(what, What::Untagged { .. }));
    assert_eq!(left, ["01-17 03:00"], "the first night with 15 whole days behind it");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_runs_when_the_rules_say() {
    let company = Setup::new(&RULES.replace("name: 女装店 }", r#"name: 女装店, sweep: "0 30 4 * * *" }"#)).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.advance_to("2035-01-20 10:00").await;

    assert_eq!(company.times(|what| matches!(what, What::Untagged { .. })), ["01-17 04:30"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_definition_is_applied_by_the_next_sweep() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "600").await;

    company.changes_rules(&RULES.replace("customer.spend >= 1000", "customer.spend >= 500")).await;
    let at_once = inside(&company, "wmWang").await;
    company.advance_to("2035-01-02 04:00").await;

    assert_eq!(at_once, ["newcomer"]);
    assert_eq!(inside(&company, "wmWang").await, ["newcomer", "vip"]);
    company.close().await;
}

/// The night of the 17th, in which a customer of two weeks ago is due to leave, passes while the server is down.
#[rstest]
#[case::less_than_4_hours_runs_once("2035-01-17 06:50", &["01-17 06:50"])]
#[case::more_than_that_is_skipped("2035-01-17 07:01", &["01-18 03:00"])]
#[case::several_nights_runs_once_for_the_latest("2035-01-19 05:00", &["01-19 05:00"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_was_missed_by(#[case] comes_up: &str, #[case] left: &[&str]) {
    let mut company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.advance_to("2035-01-16 20:00").await;

    company.goes_down().await;
    company.time_leaps_to(at(comes_up)).await;
    company.comes_up().await;
    company.settle().await;
    company.advance(hours(48)).await;

    assert_eq!(company.times(|what| matches!(what, What::Untagged { .. })), left);
    company.close().await;
}

#[rstest]
#[case::without_backfill_stay_outside("", 0)]
#[case::with_backfill_enter_at_the_next_sweep(", backfill: true", 1)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_already_inside_a_new_journeys_segment(#[case] backfill: &str, #[case] cards: usize) {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    let journey = format!(
        "journeys:\n  care: {{ name: 关怀, enter: {{ segment: newcomer{backfill} }}, steps: [ prompt: {{ title: 请回访 }} ] }}\n"
    );
    company.changes_rules(&format!("{RULES}{journey}")).await;
    company.advance(hours(48)).await;

    assert_eq!(company.cards_of("lili").len(), cards);
    company.close().await;
}
