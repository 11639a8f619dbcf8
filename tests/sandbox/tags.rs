use std::time::Duration;

use serde_json::json;
use touchpoint::sandbox::{Fault, FaultKind};

use crate::helpers::Test;

const MARK: &str = "externalcontact/mark_tag";
const ADD: &str = "externalcontact/add_corp_tag";
const LIST: &str = "externalcontact/get_corp_tag_list";

#[tokio::test]
async fn tags_are_made_in_groups_and_listed() {
    let test = Test::start().await;
    let body = json!({"group_name": "分层", "order": 20, "tag": [{"name": "新客", "order": 1}, {"name": "新客"}, {"name": "老客"}]});
    let made = test.post(ADD, body).await;
    assert_eq!(made["tag_group"]["order"], 20);
    assert_eq!(made["tag_group"]["tag"].as_array().unwrap().len(), 2); // twice the same name is once
    let group = &made["tag_group"]["group_id"];
    let more = test.post(ADD, json!({"group_id": group, "tag": [{"name": "沉睡"}]})).await;
    assert_eq!(more["tag_group"]["tag"].as_array().unwrap().len(), 1);

    let all = test.post(LIST, json!({})).await;
    assert_eq!(all["tag_group"][0]["tag"].as_array().unwrap().len(), 3);
    assert_eq!(all["tag_group"][0].get("deleted"), None);
    let one = test.post(LIST, json!({"tag_id": [more["tag_group"]["tag"][0]["id"]]})).await;
    assert_eq!(one["tag_group"][0]["tag"][0]["name"], "沉睡");
    assert_eq!(one["tag_group"][0]["tag"][0]["deleted"], false);
}

#[tokio::test]
async fn a_tag_that_cannot_be_made_is_refused() {
    let test = Test::start().await;
    test.tags(&["首单"]).await;
    for (body, errcode) in [
        (json!({"group_name": "触点", "tag": [{"name": "首单"}]}), 40071),
        (json!({"group_name": "触点", "tag": []}), 40058),
        (json!({"group_name": "触点"}), 40058),
        (json!({"tag": [{"name": "a"}]}), 40058),
        (json!({"group_id": "et-unknown", "tag": [{"name": "a"}]}), 40068),
        (json!({"group_name": "触点", "tag": [{"name": "长".repeat(31)}]}), 40072),
        (json!({"group_name": "触点", "tag": [{"name": "a", "order": -1}]}), 40058),
        (json!({"group_name": "触点", "tag": [{"name": "a"}], "agentid": 1}), 40058),
        (json!({"group_name": "触点", "tag": [{"name": "a", "colour": "red"}]}), 40058),
    ] {
        assert_eq!(test.code(ADD, body.clone()).await, errcode, "{body}");
    }
    assert_eq!(test.code(LIST, json!({"tag_id": ["et-unknown"]})).await, 40068);
}

#[tokio::test]
async fn a_pair_is_tagged_and_only_what_changes_is_received() {
    let test = Test::start().await;
    test.customer_adds("wmAnna", "lili").await;
    let tags = test.tags(&["首单", "到店"]).await;
    let body = json!({"userid": "LiLi", "external_userid": "wmAnna", "add_tag": tags});
    assert_eq!(test.code(MARK, body.clone()).await, 0);
    assert_eq!(test.code(MARK, body).await, 0);
    assert_eq!(test.received(), ["tagged", "tagged"]);
    let remove = json!({"userid": "lili", "external_userid": "wmAnna", "remove_tag": [tags[0]]});
    assert_eq!(test.code(MARK, remove).await, 0);
    assert_eq!(test.world.tags("wmAnna", "lili"), ["触点/到店"]);
    assert_eq!(test.received(), ["tagged", "tagged", "untagged"]);
}

#[tokio::test]
async fn a_pair_that_cannot_be_tagged_is_refused() {
    let test = Test::start().await;
    test.customer_adds("wmAnna", "lili").await;
    let tags = test.tags(&["首单"]).await;
    for (body, errcode) in [
        (json!({"external_userid": "wmAnna", "add_tag": tags}), 40058),
        (json!({"userid": "lili", "add_tag": tags}), 41035),
        (json!({"userid": "lili", "external_userid": "wmAnna"}), 40058),
        (json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": [], "remove_tag": []}), 40058),
        (json!({"userid": "not an id", "external_userid": "wmAnna", "add_tag": tags}), 40003),
        (json!({"userid": "nobody", "external_userid": "wmAnna", "add_tag": tags}), 60111),
        (json!({"userid": "lili", "external_userid": "wmNobody", "add_tag": tags}), 40096),
        (json!({"userid": "wangwei", "external_userid": "wmAnna", "add_tag": tags}), 84061),
        (json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": ["et-unknown"]}), 40068),
        (json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": tags[0]}), 40058),
        (json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": tags, "agentid": 1}), 40058),
    ] {
        assert_eq!(test.code(MARK, body.clone()).await, errcode, "{body}");
    }
    assert!(test.received().is_empty());
    // The customer deleted the member: one-sided, and calls still work.
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    assert_eq!(test.code(MARK, json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": tags})).await, 0);
}

#[tokio::test]
async fn two_changes_of_one_pair_at_once_collide_and_two_pairs_do_not() {
    let test = Test::start().await;
    test.customer_adds("wmAnna", "lili").await;
    test.customer_adds("wmBea", "lili").await;
    let tags = test.tags(&["首单"]).await;
    test.world.faults().inject(Fault::new(FaultKind::Latency(Duration::from_millis(300))).of(MARK)).unwrap();
    let body = |customer: &str| json!({"userid": "lili", "external_userid": customer, "add_tag": tags});
    let (one, two, three) =
        tokio::join!(test.code(MARK, body("wmAnna")), test.code(MARK, body("wmAnna")), test.code(MARK, body("wmBea")));
    let mut codes = [one, two];
    codes.sort_unstable();
    assert_eq!((codes, three), ([0, 45035], 0));
    assert_eq!(test.code(MARK, body("wmAnna")).await, 0);
}
