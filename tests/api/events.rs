//! Business events: CloudEvents that are accepted, known already, parked or rejected, and what they change.

use rstest::rstest;
use serde_json::{Value, json};
use touchpoint::sandbox::Adding;

use super::helpers::{Company, Setup, TOKEN, adding, rules};

const CARE: &str = r#"
journeys:
  care: { name: 关怀, again: 1s, enter: { event: order.paid }, steps: [ prompt: { title: "第 {{ customer.orders }} 单" } ] }
"#;

async fn opened() -> Company {
    let company = Setup::new(&rules(CARE)).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company
}

/// Orders and spend as the record shows them.
async fn figures(company: &Company, customer: &str) -> (i64, String) {
    let record = company.customer(customer).await;
    (record["orders"].as_i64().unwrap(), record["spend"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_accepted_and_its_money_is_a_decimal_text_in_the_record() {
    let company = opened().await;

    let event =
        company.event("1", "order.paid", "wmWang", json!({ "amount": 299.9, "order_id": 17, "product": "coat" }));
    let (status, answer) = company.posts_event(event).await;
    company.settle().await;

    assert_eq!((status, answer), (202, json!({ "results": [{ "id": "1", "status": "accepted" }] })));
    assert_eq!(figures(&company, "wmWang").await, (1, "299.90".to_owned()));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_sent_three_times_counts_once() {
    let company = opened().await;

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(company.sends("1", "order.paid", "wmWang", json!({ "amount": "100", "order_id": "A1" })).await);
    }
    company.settle().await;

    assert_eq!(statuses, ["accepted", "duplicate", "duplicate"]);
    assert_eq!(figures(&company, "wmWang").await, (1, "100.00".to_owned()));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_different_events_of_one_second_both_count() {
    let company = opened().await;
    let order = |id: &str| company.event(id, "order.paid", "wmWang", json!({ "amount": "100", "order_id": id }));
    let (mut first, mut second) = (order("1"), order("2"));
    let now = company.clock.now().to_rfc3339();
    (first["time"], second["time"]) = (json!(now), json!(now));

    let (one, other) = tokio::join!(company.posts_event(first), company.posts_event(second));
    company.settle().await;

    assert_eq!((one.0, other.0), (202, 202));
    assert_eq!(figures(&company, "wmWang").await, (2, "200.00".to_owned()));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_number_from_another_system_is_another_event_and_the_same_order_is_not_another_order() {
    let company = opened().await;
    let visit = |source: &str| {
        let mut event = company.event("1", "visit.made", "wmWang", json!({}));
        event["source"] = json!(source);
        company.posts_event(event)
    };

    let (shop, till) = (visit("shop").await, visit("till").await);
    company.orders("wmWang", "A1", "100").await;
    company.orders("wmWang", "A1", "100").await;

    assert_eq!(
        (&shop.1["results"][0]["status"], &till.1["results"][0]["status"]),
        (&json!("accepted"), &json!("accepted"))
    );
    assert_eq!(company.customer("wmWang").await["visits"], 2);
    assert_eq!(figures(&company, "wmWang").await, (1, "100.00".to_owned()));
    company.close().await;
}

#[rstest]
#[case::a_visit_next_week("visit.made", json!({}), "time", json!("2035-01-08T10:00:00+08:00"), "more than 5 minutes in the future")]
#[case::no_version("visit.made", json!({}), "specversion", Value::Null, "`specversion` is missing")]
#[case::another_version("visit.made", json!({}), "specversion", json!("0.3"), "this server speaks 1.0")]
#[case::no_id("visit.made", json!({}), "id", json!(""), "`id` is missing")]
#[case::no_source("visit.made", json!({}), "source", Value::Null, "`source` is missing")]
#[case::nobody("visit.made", json!({}), "subject", Value::Null, "`subject` is missing")]
#[case::an_odd_type("Visit", json!({}), "id", json!("1"), "words of a-z")]
#[case::what_only_wecom_says("contact.added", json!({}), "id", json!("1"), "cannot be sent")]
#[case::an_order_without_amount("order.paid", json!({ "order_id": "A1" }), "id", json!("1"), "`data.amount` is missing")]
#[case::an_order_in_words("order.paid", json!({ "amount": "viel" }), "id", json!("1"), "data.amount")]
#[case::a_refund_of_nothing("order.refunded", json!({}), "id", json!("1"), "`data.order_id` is missing")]
#[case::no_time("visit.made", json!({}), "time", json!("yesterday"), "no RFC 3339 time")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_is_rejected_and_named(
    #[case] kind: &str,
    #[case] data: Value,
    #[case] field: &str,
    #[case] value: Value,
    #[case] error: &str,
) {
    let company = opened().await;
    let mut event = company.event("1", kind, "wmWang", data);
    event[field] = value;

    let (status, answer) = company.posts_event(event).await;
    company.settle().await;

    assert_eq!((status, &answer["results"][0]["status"]), (400, &json!("rejected")), "{answer}");
    assert!(answer["results"][0]["error"].as_str().unwrap().contains(error), "{answer}");
    let record = company.customer("wmWang").await;
    assert_eq!((record["visits"].as_i64(), record["orders"].as_i64()), (Some(0), Some(0)));
    company.close().await;
}

#[rstest]
#[case::is_nobody(None, "application/json", 401)]
#[case::has_a_wrong_token(Some("guessed"), "application/json", 401)]
#[case::sends_a_form(Some(TOKEN), "application/x-www-form-urlencoded", 415)]
#[case::sends_a_batch(Some(TOKEN), "application/cloudevents-batch+json", 415)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who(#[case] token: Option<&str>, #[case] content_type: &str, #[case] expected: u16) {
    let company = opened().await;
    let event = company.event("1", "visit.made", "wmWang", json!({}));

    let request = company.http.post(company.url("/v1/events")).header("content-type", content_type);
    let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let answer = request.body(event.to_string()).send().await.unwrap();
    let (status, problem) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    company.settle().await;

    assert_eq!(status, expected);
    assert_eq!(problem["status"], expected);
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("send") || detail.contains("token")),
        "{problem}"
    );
    assert_eq!(company.customer("wmWang").await["visits"], 0);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_comes_before_its_order_waits_for_it() {
    let company = opened().await;

    company.happens("order.refunded", "wmWang", json!({ "order_id": "A1", "amount": "30" })).await;
    let before = figures(&company, "wmWang").await;
    company.orders("wmWang", "A1", "100").await;
    let part = figures(&company, "wmWang").await;
    company.happens("order.refunded", "wmWang", json!({ "order_id": "A1", "amount": "70" })).await;

    assert_eq!((before.0, part), (0, (1, "70.00".to_owned())));
    assert_eq!(figures(&company, "wmWang").await, (0, "0.00".to_owned()), "given back in full it is no order");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_the_past_is_applied_by_its_own_time() {
    let company = opened().await;
    let mut order = company.event("1", "order.paid", "wmWang", json!({ "amount": "100" }));
    order["time"] = json!("2034-12-24T18:00:00+08:00");

    let (status, _) = company.posts_event(order).await;
    company.settle().await;

    assert_eq!(status, 202);
    let record = company.customer("wmWang").await;
    assert_eq!(record["last_order_at"], "2034-12-24T18:00:00+08:00");
    company.close().await;
}

#[rstest]
#[case::by_unionid("unionid:o6_bmjrPTlm6")]
#[case::by_phone("phone:13800000000")]
#[case::by_member_number("member_id:M-1")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_somebody_unknown_wait_and_take_effect_in_order(#[case] name: &str) {
    let company = Setup::new(&rules(CARE)).open().await;
    let amounts = ["1", "20", "300"];

    let mut statuses = Vec::new();
    for amount in amounts {
        statuses.push(company.sends(amount, "order.paid", name, json!({ "amount": amount, "order_id": amount })).await);
    }
    let again = company.sends("20", "order.paid", name, json!({ "amount": "20", "order_id": "20" })).await;
    let (kind, value) = name.split_once(':').unwrap();
    let unionid = Some(value.to_owned()).filter(|_| kind == "unionid");
    company.adds(Adding { unionid, ..adding("wmWang", "lili", "") }).await;
    company.settle().await;
    if kind != "unionid" {
        let told = if kind == "phone" { json!({ "phone": value }) } else { json!({ "member_id": value }) };
        company.happens("customer.updated", "wmWang", told).await;
    }
    let later = company.happens("order.paid", name, json!({ "amount": "4000", "order_id": "4000" })).await;
    company.advance(super::helpers::minutes(2)).await;

    assert_eq!((statuses, again), (vec!["parked".to_owned(); 3], "duplicate".to_owned()));
    assert_eq!(later, "accepted", "by now it is known whose it is");
    assert_eq!(figures(&company, "wmWang").await, (4, "4321.00".to_owned()));
    let list: String = company.redis("customer:wmWang", &["HGET", "@actor:customer:wmWang", "order_list"]);
    let orders: Vec<Value> = serde_json::from_str(&list).unwrap();
    let ids: Vec<&str> = orders.iter().map(|order| order["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "20", "300", "4000"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_merged_and_null_takes_one_away() {
    let company = opened().await;

    company.happens("customer.updated", "wmWang", json!({ "attrs": { "size": "M", "city": "杭州" } })).await;
    company.happens("customer.updated", "wmWang", json!({ "attrs": { "size": "L", "city": null } })).await;

    assert_eq!(company.customer("wmWang").await["attrs"], json!({ "size": "L" }));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_customer_nobody_has_heard_of_nothing_is_known() {
    let company = opened().await;

    let (status, answer) = company.get("/v1/customers/wmNobody").await;
    let (why, _) = company.get("/v1/customers/wmNobody/why").await;

    assert_eq!((status, why), (404, 404), "{answer}");
    company.close().await;
}

#[rstest]
#[case::another_method("PUT", "/v1/events", "", 405)]
#[case::another_method_on_a_customer("DELETE", "/v1/customers/wmWang/why", "", 405)]
#[case::no_json("POST", "/v1/events", "{", 400)]
#[case::an_unknown_question("GET", "/v1/customers/wmWang/why?language=en", "", 400)]
#[case::the_same_question_twice("GET", "/v1/customers/wmWang/why?lang=en&lang=en", "", 400)]
#[case::no_such_address("GET", "/v1/nothing", "", 404)]
#[case::no_move_of_the_clock("POST", "/v1/clock", "{}", 400)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_a_problem_in_json_and_says_why(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &'static str,
    #[case] expected: u16,
) {
    let company = opened().await;

    let request = company.http.request(method.parse().unwrap(), company.url(path)).bearer_auth(TOKEN);
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();

    assert_eq!(answer.status(), expected);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], expected);
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    company.close().await;
}

#[rstest]
#[case::from_a_known_caller(Some(TOKEN), 413)]
#[case::from_a_stranger(None, 401)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_above_10_mib_is_refused(#[case] token: Option<&str>, #[case] expected: u16) {
    let company = opened().await;

    let mut request = company.http.post(company.url("/v1/events")).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.body(vec![b' '; 10 * 1024 * 1024 + 1]).send().await.unwrap();

    assert_eq!(answer.status(), expected);
    company.close().await;
}
