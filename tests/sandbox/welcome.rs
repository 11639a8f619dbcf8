use chrono::TimeDelta;
use serde_json::{Value, json};
use touchpoint::sandbox::{Act, Adding, Staff, What};

use crate::helpers::{Receiver, Test};

const SEND: &str = "externalcontact/send_welcome_msg";

/// A sandbox whose callbacks are heard, and the welcome code of a customer who has just added lili.
async fn with_code() -> (Test, Receiver, String) {
    let receiver = Receiver::start().await;
    let test = Test::with_callback(Some(receiver.url.clone())).await;
    test.customer_adds("wmAnna", "lili").await;
    let code = receiver.take()[0].field("WelcomeCode").unwrap();
    (test, receiver, code)
}

fn greeting(code: &str) -> Value {
    json!({"welcome_code": code, "text": {"content": "您好"}})
}

#[tokio::test]
async fn a_welcome_reaches_the_customer_once() {
    let (test, _receiver, code) = with_code().await;
    let link = json!({"msgtype": "link", "link": {"title": "客服", "url": "https://example.com/kf"}});
    let body = json!({"welcome_code": code, "text": {"content": "您好"}, "attachments": [link]});
    assert_eq!(test.code(SEND, body).await, 0);
    let receipts = test.world.receipts();
    let What::Welcome { customer, userid, text, attachments, after_ms } = &receipts[0].what else {
        panic!("{receipts:?}")
    };
    assert_eq!((customer.as_str(), userid.as_str(), text.as_str()), ("wmAnna", "lili", "您好"));
    assert_eq!(attachments.len(), 1);
    assert!(*after_ms < 20_000);

    assert_eq!(test.code(SEND, greeting(&code)).await, 41050);
    test.world.faults().consumed_welcome_answers(41051);
    assert_eq!(test.code(SEND, greeting(&code)).await, 41051);
    assert_eq!(test.received(), ["welcome"]);
}

#[tokio::test]
async fn a_welcome_code_works_for_20_seconds_of_business_time() {
    let (test, receiver, code) = with_code().await;
    test.advance(TimeDelta::seconds(21));
    assert_eq!(test.code(SEND, greeting(&code)).await, 41050);
    test.customer_adds("wmBea", "lili").await;
    let code = receiver.take()[0].field("WelcomeCode").unwrap();
    test.advance(TimeDelta::seconds(15));
    assert_eq!(test.code(SEND, greeting(&code)).await, 0);
}

#[tokio::test]
async fn a_welcome_of_the_wrong_form_is_refused() {
    let (test, _receiver, code) = with_code().await;
    let long = "好".repeat(1334); // 4002 bytes
    let link = |link: Value| json!({"welcome_code": code, "attachments": [{"msgtype": "link", "link": link}]});
    for (body, errcode) in [
        (json!({"text": {"content": "hi"}}), 41049),
        (json!({"welcome_code": "made-up", "text": {"content": "hi"}}), 41050),
        (json!({"welcome_code": code}), 40058),
        (json!({"welcome_code": code, "text": {"content": ""}}), 40058),
        (json!({"welcome_code": code, "text": {"content": long}}), 40058),
        (json!({"welcome_code": code, "text": "hi"}), 40058),
        (json!({"welcome_code": code, "text": {"content": "hi"}, "sender": "lili"}), 40058),
        (link(json!({"title": "a"})), 40058),
        (link(json!({"title": "a", "url": "example.com"})), 40058),
        (link(json!({"title": "长".repeat(43), "url": "https://example.com"})), 40058),
        (link(json!({"title": "a", "url": "https://example.com", "description": "b"})), 40058),
        (json!({"welcome_code": code, "attachments": [{"msgtype": "sticker", "sticker": {}}]}), 41065),
        (json!({"welcome_code": code, "attachments": [{"msgtype": "image", "image": {"media_id": "m1"}}]}), 40007),
        (
            json!({"welcome_code": code, "attachments": vec![json!({"msgtype": "image", "image": {"pic_url": "https://e.com/a"}}); 10]}),
            41064,
        ),
    ] {
        assert_eq!(test.code(SEND, body.clone()).await, errcode, "{body}");
    }
    // None of these used the code up.
    test.world.add_media("m1");
    let image = json!({"welcome_code": code, "attachments": [{"msgtype": "image", "image": {"media_id": "m1"}}]});
    assert_eq!(test.code(SEND, image).await, 0);
}

#[tokio::test]
async fn the_first_app_to_greet_wins_and_no_app_can_use_anothers_code() {
    let (test, receiver, _) = with_code().await;
    let other = test.new_token("other-secret").await;
    test.world.set_callback_url("other", receiver.url.clone()).unwrap();
    test.customer_adds("wmBea", "lili").await;
    let codes: Vec<String> = receiver.take().iter().map(|heard| heard.field("WelcomeCode").unwrap()).collect();
    assert_ne!(codes[0], codes[1]);
    assert_eq!(test.code(SEND, greeting(&codes[1])).await, 41050);
    assert_eq!(test.post_as(&other, SEND, greeting(&codes[1])).await["errcode"], 0);
    assert_eq!(test.code(SEND, greeting(&codes[0])).await, 41051);
}

#[tokio::test]
async fn no_code_is_given_where_wecom_gives_none() {
    let (test, receiver, _) = with_code().await;
    let mut console = Staff::new("chen", "陈晨");
    console.console_welcome = true;
    test.world.hire(console);
    test.customer_adds("wmBea", "chen").await;
    test.customer_adds("woPartner", "lili").await;
    test.world.perform(&Act::Chats { customer: "wmAnna".into(), userid: "lili".into() }).await.unwrap();
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    test.customer_adds("wmAnna", "lili").await;
    assert!(receiver.take().iter().all(|heard| heard.field("WelcomeCode").is_none()));
}

#[tokio::test]
async fn a_half_added_customer_is_greeted_once() {
    let (test, receiver, _) = with_code().await;
    let adding = Adding {
        customer: "wmBea".into(),
        userid: "lili".into(),
        half_first: Some(std::time::Duration::from_secs(60)),
        ..Adding::default()
    };
    test.world.customer_adds(adding).await.unwrap();
    let half = receiver.take();
    assert_eq!(half[0].field("ChangeType").unwrap(), "add_half_external_contact");
    assert_eq!(test.code(SEND, greeting(&half[0].field("WelcomeCode").unwrap())).await, 0);

    assert_eq!(test.world.run_due().await, 0);
    test.advance(TimeDelta::seconds(60));
    assert_eq!(test.world.run_due().await, 1);
    let whole = receiver.take();
    assert_eq!(whole[0].field("ChangeType").unwrap(), "add_external_contact");
    assert_eq!(whole[0].field("WelcomeCode"), None);
}
