use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use touchpoint::sandbox::{Misuse, Staff, What};

use crate::helpers::{AGENT, CORP, Receiver, Test};

const SEND: &str = "message/send";
const UPDATE: &str = "message/update_template_card";

fn card(task_id: &str) -> Value {
    json!({"touser": "lili", "msgtype": "template_card", "agentid": AGENT, "template_card": {
        "card_type": "button_interaction", "task_id": task_id,
        "main_title": {"title": "回访小美", "desc": "7 天未回店"},
        "horizontal_content_list": [{"keyname": "客户", "value": "小美"}],
        "button_list": [{"text": "已联系", "style": 1, "key": "done:1"}, {"text": "稍后", "key": "snooze:1"}]}})
}

async fn start() -> (Test, Receiver) {
    let receiver = Receiver::start().await;
    let test = Test::with_callback(Some(receiver.url.clone())).await;
    (test, receiver)
}

#[tokio::test]
async fn a_tap_is_called_back_with_the_documented_fields() {
    let (test, receiver) = start().await;
    let sent = test.post(SEND, card("task-1")).await;
    assert!(sent["response_code"].is_string(), "{sent}");
    assert_eq!(test.received(), ["card"]);
    test.world.tap("lili", "task-1", "done:1").await.unwrap();
    let heard = &receiver.take()[0];
    for (field, value) in [
        ("ToUserName", CORP),
        ("FromUserName", "lili"),
        ("MsgType", "event"),
        ("Event", "template_card_event"),
        ("EventKey", "done:1"),
        ("TaskId", "task-1"),
        ("CardType", "button_interaction"),
        ("AgentID", "1000002"),
    ] {
        assert_eq!(heard.field(field).as_deref(), Some(value), "{field}");
    }
    assert!(heard.envelope.contains("<AgentID><![CDATA[1000002]]></AgentID>"));
    let created: i64 = heard.field("CreateTime").unwrap().parse().unwrap();
    assert!((test.clock.now().timestamp() - created).abs() <= 5);

    let code = heard.field("ResponseCode").unwrap();
    let update =
        json!({"userids": ["lili"], "agentid": AGENT, "response_code": code, "button": {"replace_name": "已联系"}});
    assert_eq!(test.post(UPDATE, update.clone()).await["invaliduser"], json!([]));
    assert_eq!(test.received(), ["card", "tapped", "card_updated"]);
    assert_eq!(test.code(UPDATE, update).await, 60140); // a code works once
    let dead = test.world.tap("lili", "task-1", "done:1").await.unwrap_err();
    assert_eq!(dead, Misuse::NoButton { key: "done:1".into(), live: vec![] });
}

#[tokio::test]
async fn a_card_is_replaced_by_another() {
    let (test, _receiver) = start().await;
    let code = test.post(SEND, card("task-1")).await["response_code"].clone();
    let mut new = card("ignored")["template_card"].clone();
    new.as_object_mut().unwrap().remove("task_id");
    new["button_list"] = json!([{"text": "撤销", "key": "undo:1"}]);
    let body = json!({"userids": ["lili", "wangwei"], "agentid": AGENT, "response_code": code, "template_card": new});
    assert_eq!(test.post(UPDATE, body).await["invaliduser"], json!(["wangwei"]));
    test.world.tap("lili", "task-1", "undo:1").await.unwrap();
    assert!(test.world.tap("lili", "task-1", "done:1").await.is_err());
}

#[tokio::test]
async fn a_task_id_is_never_taken_twice() {
    let (test, _receiver) = start().await;
    let mut body = card("task-1");
    body["touser"] = json!("nobody");
    assert_eq!(test.code(SEND, body).await, 81013); // nobody got it, so the id is still free
    assert_eq!(test.code(SEND, card("task-1")).await, 0);
    assert_eq!(test.code(SEND, card("task-1")).await, 42014);
    test.advance(TimeDelta::days(30));
    assert_eq!(test.code(SEND, card("task-1")).await, 42014);
    assert_eq!(test.received(), ["card"]);
}

#[tokio::test]
async fn a_card_of_the_wrong_form_is_refused() {
    let (test, _receiver) = start().await;
    let with = |pointer: &str, value: Value| {
        let mut body = card("task-1");
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body["template_card"].pointer_mut(parent).unwrap()[field] = value;
        body
    };
    for (body, errcode) in [
        (with("/task_id", json!("")), 42014),
        (with("/task_id", json!("with space")), 42014),
        (with("/task_id", json!("a".repeat(129))), 42014),
        (with("/card_type", json!("poster")), 42031),
        (with("/card_type", json!("vote_interaction")), 42031),
        (with("/main_title", json!({"desc": "only"})), 42033),
        (with("/button_list", json!([])), 42037),
        (with("/button_list", json!(vec![json!({"text": "a", "key": "k"}); 7])), 42037),
        (with("/button_list", json!([{"text": "a"}])), 42017),
        (with("/button_list", json!([{"key": "a"}])), 42020),
        (with("/button_list", json!([{"text": "a", "key": "k".repeat(1025)}])), 42018),
        (with("/button_list", json!([{"text": "a", "key": "k"}, {"text": "b", "key": "k"}])), 42019),
        (with("/button_list", json!([{"text": "a", "type": 1}])), 42028),
        (with("/horizontal_content_list", json!([{"value": "a"}])), 42027),
        (with("/horizontal_content_list", json!([{"keyname": "a", "type": 1}])), 42028),
        (with("/horizontal_content_list", json!([{"keyname": "a", "type": 3}])), 42050),
        (with("/horizontal_content_list", json!(vec![json!({"keyname": "a"}); 7])), 42036),
        (with("/card_action", json!({"url": "https://example.com"})), 42045),
        (with("/colour", json!("red")), 40058),
        (with("/main_title/subtitle", json!("a")), 40058),
    ] {
        assert_eq!(test.code(SEND, body.clone()).await, errcode, "{body:.300}");
    }
    assert!(test.received().is_empty());
}

#[tokio::test]
async fn an_app_without_a_callback_address_may_send_no_cards() {
    let test = Test::start().await;
    assert_eq!(test.code(SEND, card("task-1")).await, 43012);
}

#[tokio::test]
async fn an_update_that_cannot_be_made_is_refused() {
    let (test, receiver) = start().await;
    let code = test.post(SEND, card("task-1")).await["response_code"].clone();
    let button = json!({"replace_name": "完成"});
    for (body, errcode) in [
        (json!({"userids": ["lili"], "agentid": AGENT, "button": button}), 60140),
        (json!({"userids": ["lili"], "agentid": AGENT, "response_code": "made-up", "button": button}), 60140),
        (json!({"userids": ["lili"], "agentid": 1_000_003, "response_code": code, "button": button}), 301002),
        (json!({"userids": [], "agentid": AGENT, "response_code": code, "button": button}), 82101),
        (json!({"userids": ["wangwei"], "agentid": AGENT, "response_code": code, "button": button}), 82102),
        (json!({"userids": ["lili"], "agentid": AGENT, "response_code": code}), 40058),
        (json!({"userids": ["lili"], "agentid": AGENT, "response_code": code, "button": {}}), 40058),
        (
            json!({"userids": ["lili"], "agentid": AGENT, "response_code": code, "button": button, "task_id": "task-1"}),
            40058,
        ),
    ] {
        assert_eq!(test.code(UPDATE, body.clone()).await, errcode, "{body}");
    }
    let other = test.new_token("other-secret").await;
    let foreign = json!({"userids": ["lili"], "agentid": 1_000_003, "response_code": code, "button": button});
    assert_eq!(test.post_as(&other, UPDATE, foreign).await["errcode"], 42015);

    test.world.tap("lili", "task-1", "snooze:1").await.unwrap();
    let click = receiver.take()[0].field("ResponseCode").unwrap();
    test.advance(TimeDelta::hours(73));
    let late = json!({"userids": ["lili"], "agentid": AGENT, "response_code": click, "button": button});
    assert_eq!(test.code(UPDATE, late).await, 60140);
}

#[tokio::test]
async fn a_staff_member_taps_by_habit_and_leaves_other_cards() {
    let (test, receiver) = start().await;
    let habits = Staff::new("lili", "李丽").tapping("回访", "done", Duration::from_secs(300));
    test.world.hire(habits);
    assert_eq!(test.code(SEND, card("task-1")).await, 0);
    let mut other = card("task-2");
    other["template_card"]["main_title"]["title"] = json!("生日祝福");
    assert_eq!(test.code(SEND, other).await, 0);
    test.advance(TimeDelta::seconds(301));
    assert_eq!(test.world.run_due().await, 1);
    let heard = receiver.take();
    assert_eq!(heard[0].field("EventKey").as_deref(), Some("done:1"));
    let taps: Vec<What> = test.world.receipts().into_iter().map(|receipt| receipt.what).collect();
    assert!(taps.contains(&What::Tapped { userid: "lili".into(), task_id: "task-1".into(), key: "done:1".into() }));
}

#[tokio::test]
async fn a_habit_that_finds_its_button_gone_is_kept_as_a_misfire() {
    let (test, _receiver) = start().await;
    test.world.hire(Staff::new("lili", "李丽").tapping("", "稍后", Duration::from_secs(300)));
    let code = test.post(SEND, card("task-1")).await["response_code"].clone();
    let update = json!({"atall": 1, "agentid": AGENT, "response_code": code, "button": {"replace_name": "已过期"}});
    assert_eq!(test.code(UPDATE, update).await, 0);
    test.advance(TimeDelta::seconds(301));
    assert_eq!(test.world.run_due().await, 1);
    assert_eq!(test.world.misfires().len(), 1);
}
