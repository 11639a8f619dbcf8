use chrono::TimeDelta;
use serde_json::{Value, json};
use touchpoint::sandbox::{Confirm, MassLimit, Staff};

use crate::helpers::Test;

const ADD: &str = "externalcontact/add_msg_template";
const LIST: &str = "externalcontact/get_groupmsg_list_v2";
const TASK: &str = "externalcontact/get_groupmsg_task";
const RESULT: &str = "externalcontact/get_groupmsg_send_result";
const REMIND: &str = "externalcontact/remind_groupmsg_send";

fn mass(customers: &[&str], sender: &str) -> Value {
    json!({"chat_type": "single", "external_userid": customers, "sender": sender, "text": {"content": "上新了"}})
}

async fn with_customers(customers: &[&str]) -> Test {
    let test = Test::start().await;
    for customer in customers {
        test.customer_adds(customer, "lili").await;
    }
    test
}

async fn made(test: &Test, body: Value) -> String {
    let reply = test.post(ADD, body).await;
    assert_eq!(reply["errcode"], 0, "{reply}");
    reply["msgid"].as_str().unwrap().to_owned()
}

async fn results(test: &Test, msgid: &str) -> Vec<(String, i64)> {
    let reply = test.post(RESULT, json!({"msgid": msgid, "userid": "lili"})).await;
    let row = |row: &Value| (row["external_userid"].as_str().unwrap().to_owned(), row["status"].as_i64().unwrap());
    reply["send_list"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn nothing_reaches_customers_until_the_sender_confirms() {
    let test = with_customers(&["wmAnna", "wmBea"]).await;
    let reply = test.post(ADD, mass(&["wmAnna", "wmBea", "wmNobody"], "lili")).await;
    assert_eq!(reply["fail_list"], json!(["wmNobody"]));
    let msgid = reply["msgid"].as_str().unwrap();
    assert_eq!(test.received(), ["mass_task"]);
    assert_eq!(test.post(TASK, json!({"msgid": msgid})).await["task_list"], json!([{"userid": "lili", "status": 0}]));
    assert_eq!(results(&test, msgid).await, [("wmAnna".into(), 0), ("wmBea".into(), 0)]);

    assert_eq!(test.world.run_due().await, 0);
    test.advance(TimeDelta::seconds(600));
    assert_eq!(test.world.run_due().await, 1);
    assert_eq!(test.received(), ["mass_task", "mass", "mass"]);
    let task = test.post(TASK, json!({"msgid": msgid})).await;
    assert_eq!(task["task_list"][0]["status"], 2);
    assert!(task["task_list"][0]["send_time"].is_i64());
    assert_eq!(results(&test, msgid).await, [("wmAnna".into(), 1), ("wmBea".into(), 1)]);
}

#[tokio::test]
async fn a_customer_who_left_meanwhile_is_status_2_and_one_who_had_too_many_status_3() {
    let test = with_customers(&["wmAnna", "wmBea"]).await;
    test.world.set_mass_limit(MassLimit::Day);
    let first = made(&test, mass(&["wmAnna"], "lili")).await;
    test.world.confirm("lili", &first).await.unwrap();
    let second = made(&test, mass(&["wmAnna", "wmBea"], "lili")).await;
    test.world.customer_deletes("wmBea", "lili").await.unwrap();
    test.world.confirm("lili", &second).await.unwrap();
    assert_eq!(results(&test, &second).await, [("wmAnna".into(), 3), ("wmBea".into(), 2)]);
    test.advance(TimeDelta::days(1));
    let third = made(&test, mass(&["wmAnna"], "lili")).await;
    test.world.confirm("lili", &third).await.unwrap();
    assert_eq!(results(&test, &third).await, [("wmAnna".into(), 1)]);
}

#[tokio::test]
async fn a_customer_gets_as_many_in_a_month_as_the_month_has_days() {
    let test = with_customers(&["wmAnna"]).await;
    // A week into a month, so that the whole test falls into one; the month may have 28 to 31 days.
    let today = test.clock.now() + TimeDelta::hours(8);
    test.advance(TimeDelta::days(38 - i64::from(chrono::Datelike::day(&today))));
    let mut statuses = Vec::new();
    for _ in 0..32 {
        let msgid = made(&test, mass(&["wmAnna"], "lili")).await;
        test.world.confirm("lili", &msgid).await.unwrap();
        statuses.push(results(&test, &msgid).await[0].1);
    }
    let sent = statuses.iter().take_while(|status| **status == 1).count();
    assert!((28..=31).contains(&sent), "{statuses:?}");
    assert!(statuses[sent..].iter().all(|status| *status == 3));
}

#[tokio::test]
async fn a_mass_send_that_cannot_be_made_is_refused() {
    let test = with_customers(&["wmAnna"]).await;
    let many: Vec<String> = (0..10_001).map(|number| format!("wm{number}")).collect();
    for (body, errcode) in [
        (json!({"text": {"content": "a"}}), 40058),
        (json!({"external_userid": ["wmAnna"], "sender": "lili"}), 40058),
        (json!({"external_userid": ["wmAnna"], "sender": "nobody", "text": {"content": "a"}}), 60111),
        (json!({"external_userid": ["wmAnna"], "sender": "wangwei", "text": {"content": "a"}}), 41048),
        (json!({"external_userid": ["wmNobody"], "sender": "lili", "text": {"content": "a"}}), 41048),
        (json!({"external_userid": many, "sender": "lili", "text": {"content": "a"}}), 40058),
        (json!({"chat_type": "all", "sender": "lili", "text": {"content": "a"}}), 40058),
        (json!({"chat_type": "group", "text": {"content": "a"}}), 40058),
        (json!({"sender": "lili", "text": {"content": "a"}, "allow_select": 1}), 40058),
        (json!({"sender": "lili", "text": {"content": "a"}, "priority": 1}), 40058),
        (
            json!({"sender": "lili", "text": {"content": "a"}, "tag_filter": {"group_list": [{"tag_list": ["et-x"]}]}}),
            40068,
        ),
    ] {
        assert_eq!(test.code(ADD, body.clone()).await, errcode, "{body:.200}");
    }
    assert!(test.received().is_empty());
    for (api, body, errcode) in [
        (TASK, json!({}), 41046),
        (TASK, json!({"msgid": "made-up"}), 41047),
        (TASK, json!({"msgid": "made-up", "userid": "lili"}), 40058),
        (RESULT, json!({"msgid": "made-up"}), 40058),
        (RESULT, json!({"msgid": "made-up", "userid": "lili"}), 41047),
        (REMIND, json!({}), 41046),
        (REMIND, json!({"msgid": "made-up"}), 41047),
        (LIST, json!({"chat_type": "single"}), 40058),
        (LIST, json!({"chat_type": "single", "start_time": 0, "end_time": 3_000_000}), 40058),
        (LIST, json!({"chat_type": "single", "start_time": 0, "end_time": 1, "cursor": "made-up"}), 50100),
    ] {
        assert_eq!(test.code(api, body.clone()).await, errcode, "{api} {body}");
    }
}

#[tokio::test]
async fn the_customers_of_a_sender_are_chosen_by_tags() {
    let test = with_customers(&["wmAnna", "wmBea", "wmCleo"]).await;
    let tags = test.tags(&["首单", "到店"]).await;
    for (customer, tags) in [("wmAnna", &tags[..]), ("wmBea", &tags[..1])] {
        let body = json!({"userid": "lili", "external_userid": customer, "add_tag": tags});
        assert_eq!(test.code("externalcontact/mark_tag", body).await, 0);
    }
    let both = json!({"group_list": [{"tag_list": [tags[0]]}, {"tag_list": [tags[1]]}]});
    let msgid = made(&test, json!({"sender": "lili", "tag_filter": both, "text": {"content": "a"}})).await;
    assert_eq!(results(&test, &msgid).await, [("wmAnna".into(), 0)]);
    let everyone = made(&test, json!({"sender": "lili", "text": {"content": "a"}})).await;
    assert_eq!(results(&test, &everyone).await.len(), 3);
}

#[tokio::test]
async fn mass_sends_are_listed_page_by_page() {
    let test = with_customers(&["wmAnna"]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(made(&test, mass(&["wmAnna"], "lili")).await);
    }
    let now = test.clock.now().timestamp();
    let body = |cursor: &str| json!({"chat_type": "single", "start_time": now - 60, "end_time": now + 60, "limit": 2, "cursor": cursor});
    let first = test.post(LIST, body("")).await;
    let second = test.post(LIST, body(first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(second["next_cursor"], "");
    let pages = [&first, &second].map(|page| page["group_msg_list"].as_array().unwrap().clone()).concat();
    assert_eq!(pages.iter().map(|task| task["msgid"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    assert_eq!(pages[0]["text"]["content"], "上新了");
    assert_eq!(pages[0].get("creator"), None);
    let old = json!({"chat_type": "single", "start_time": now - 120, "end_time": now - 60});
    assert_eq!(test.post(LIST, old).await["group_msg_list"], json!([]));
}

#[tokio::test]
async fn a_sender_is_reminded_three_times_a_day_and_may_confirm_then() {
    let test = Test::start().await;
    test.world.hire(Staff::new("chen", "陈晨").confirming(Confirm::AfterReminder(std::time::Duration::from_secs(60))));
    test.customer_adds("wmAnna", "chen").await;
    let msgid = made(&test, mass(&["wmAnna"], "chen")).await;
    assert_eq!(test.world.next_act(), None);
    let remind = json!({"msgid": msgid});
    for _ in 0..3 {
        assert_eq!(test.code(REMIND, remind.clone()).await, 0);
    }
    assert_eq!(test.code(REMIND, remind.clone()).await, 41094);
    test.advance(TimeDelta::seconds(61));
    assert_eq!(test.world.run_due().await, 1);
    assert_eq!(test.received(), ["mass_task", "mass_reminder", "mass_reminder", "mass_reminder", "mass"]);
    test.advance(TimeDelta::hours(24));
    assert_eq!(test.code(REMIND, remind).await, 0);
}
