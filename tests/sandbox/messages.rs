use chrono::TimeDelta;
use serde_json::{Value, json};
use touchpoint::sandbox::What;

use crate::helpers::{AGENT, Test};

const SEND: &str = "message/send";

fn text(to: &str, content: &str) -> Value {
    json!({"touser": to, "msgtype": "text", "agentid": AGENT, "text": {"content": content}})
}

#[tokio::test]
async fn a_text_reaches_those_who_exist_and_names_those_who_do_not() {
    let test = Test::start().await;
    let reply = test.post(SEND, text("lili|WANGWEI|Nobody", "早上好")).await;
    assert_eq!((&reply["errcode"], &reply["invaliduser"]), (&json!(0), &json!("nobody")));
    assert!(reply["msgid"].is_string());
    assert_eq!(reply.get("response_code"), None);
    assert_eq!(test.received(), ["text", "text"]);
    assert_eq!(test.post(SEND, text("@all", "大家好")).await["invaliduser"], "");
    assert_eq!(test.received().len(), 4);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_is_refused() {
    let test = Test::start().await;
    let many = (0..1001).map(|number| format!("u{number}")).collect::<Vec<_>>().join("|");
    let with = |field: &str, value: Value| {
        let mut body = text("lili", "hi");
        body[field] = value;
        body
    };
    for (body, errcode) in [
        (text("nobody", "hi"), 81013),
        (text("", "hi"), 82001),
        (text(&many, "hi"), 40032),
        (text("lili", ""), 44004),
        (with("touser", json!(["lili"])), 40058),
        (with("agentid", json!(1_000_003)), 301002),
        (with("agentid", json!("1000002")), 40058),
        (with("agentid", Value::Null), 40056),
        (with("msgtype", json!("sms")), 40008),
        (with("text", json!({"body": "hi"})), 44004),
        (with("enable_duplicate_check", json!(true)), 40058),
        (with("duplicate_check_interval", json!(14_401)), 40058),
        (with("urgent", json!(1)), 40058),
        (
            json!({"touser": "lili", "msgtype": "markdown", "agentid": AGENT, "markdown": {"content": "a".repeat(2049)}}),
            45002,
        ),
        (
            json!({"touser": "lili", "msgtype": "markdown", "agentid": AGENT, "markdown": {"content": "a"}, "safe": 0}),
            40058,
        ),
    ] {
        assert_eq!(test.code(SEND, body.clone()).await, errcode, "{body:.200}");
    }
    assert!(test.received().is_empty());
}

#[tokio::test]
async fn a_text_is_cut_at_2048_bytes_without_splitting_a_character() {
    let test = Test::start().await;
    assert_eq!(test.code(SEND, text("lili", &"好".repeat(700))).await, 0);
    let What::Text { content, .. } = test.world.receipts()[0].what.clone() else { panic!() };
    assert_eq!(content, "好".repeat(682)); // 2046 bytes
}

#[tokio::test]
async fn an_identical_message_is_not_delivered_again_within_its_interval() {
    let test = Test::start().await;
    let mut body = text("lili", "日报");
    body["enable_duplicate_check"] = json!(1);
    body["duplicate_check_interval"] = json!(14_400);
    for _ in 0..2 {
        assert_eq!(test.code(SEND, body.clone()).await, 0);
    }
    assert_eq!(test.received(), ["text", "repeated"]);
    body["text"]["content"] = json!("另一份日报");
    assert_eq!(test.code(SEND, body.clone()).await, 0);
    test.advance(TimeDelta::hours(5));
    assert_eq!(test.code(SEND, body).await, 0);
    assert_eq!(test.received(), ["text", "repeated", "text", "text"]);
}

#[tokio::test]
async fn the_thirty_first_message_of_a_minute_is_dropped_without_an_error() {
    let test = Test::start().await;
    for number in 0..31 {
        assert_eq!(test.code(SEND, text("lili", &number.to_string())).await, 0);
    }
    assert_eq!(test.received().last().unwrap(), "dropped");
    assert_eq!(test.received().iter().filter(|kind| *kind == "text").count(), 30);
    assert_eq!(test.code(SEND, text("wangwei", "hi")).await, 0);
    assert_eq!(test.received().last().unwrap(), "text");
    test.advance(TimeDelta::seconds(61));
    assert_eq!(test.code(SEND, text("lili", "later")).await, 0);
    assert_eq!(test.received().last().unwrap(), "text");
}
