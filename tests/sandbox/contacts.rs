use serde_json::json;
use touchpoint::sandbox::{Act, Adding};

use crate::helpers::Test;

#[tokio::test]
async fn a_member_is_read_by_userid_without_regard_to_case() {
    let test = Test::start().await;
    let reply = test.get("user/get", &[("userid", "LILI")]).await;
    assert_eq!((&reply["userid"], &reply["name"]), (&json!("lili"), &json!("李丽")));
    assert_eq!(test.get("user/get", &[("userid", "nobody")]).await["errcode"], 60111);
    assert_eq!(test.get("user/get", &[("userid", "not an id")]).await["errcode"], 40003);
    assert_eq!(test.get("user/get", &[]).await["errcode"], 40058);
    let list = test.get("externalcontact/get_follow_user_list", &[]).await;
    assert_eq!(list["follow_user"], json!(["lili", "WangWei"]));
}

#[tokio::test]
async fn a_customer_is_read_with_every_follower_and_their_tags() {
    let test = Test::start().await;
    let adding = Adding {
        customer: "wmAnna".into(),
        userid: "lili".into(),
        name: Some("小美".into()),
        state: Some("store-01".into()),
        ..Adding::default()
    };
    test.world.customer_adds(adding).await.unwrap();
    test.customer_adds("wmAnna", "wangwei").await;
    let tags = test.tags(&["首单"]).await;
    let mark = json!({"userid": "lili", "external_userid": "wmAnna", "add_tag": tags});
    assert_eq!(test.code("externalcontact/mark_tag", mark).await, 0);

    let reply = test.get("externalcontact/get", &[("external_userid", "wmAnna")]).await;
    assert_eq!(reply["external_contact"]["name"], "小美");
    assert_eq!(reply["external_contact"]["type"], 1);
    let lili = &reply["follow_user"][0];
    assert_eq!((&lili["userid"], &lili["state"], &lili["add_way"]), (&json!("lili"), &json!("store-01"), &json!(1)));
    assert_eq!(lili["tags"][0]["group_name"], "触点");
    assert_eq!(lili["tags"][0]["tag_id"], tags[0]);
    assert_eq!(reply["follow_user"][1]["userid"], "WangWei");
}

#[tokio::test]
async fn a_customer_who_left_stays_readable_and_one_whom_staff_deleted_does_not() {
    let test = Test::start().await;
    assert_eq!(test.get("externalcontact/get", &[]).await["errcode"], 41035);
    assert_eq!(test.get("externalcontact/get", &[("external_userid", "wmNobody")]).await["errcode"], 40096);
    test.customer_adds("wmAnna", "lili").await;
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    assert_eq!(test.get("externalcontact/get", &[("external_userid", "wmAnna")]).await["errcode"], 0);
    test.customer_adds("wmAnna", "lili").await;
    test.world.staff_deletes("lili", "wmAnna").await.unwrap();
    assert_eq!(test.get("externalcontact/get", &[("external_userid", "wmAnna")]).await["errcode"], 84061);
}

#[tokio::test]
async fn remark_and_tags_survive_a_customer_who_comes_back() {
    let test = Test::start().await;
    test.customer_adds("wmAnna", "lili").await;
    test.tags(&["首单"]).await;
    let edit = Act::StaffEdits {
        userid: "lili".into(),
        customer: "wmAnna".into(),
        remark: Some("老客".into()),
        add_tags: vec!["触点/首单".into()],
        remove_tags: vec![],
    };
    test.world.perform(&edit).await.unwrap();
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    test.customer_adds("wmAnna", "lili").await;
    let reply = test.get("externalcontact/get", &[("external_userid", "wmAnna")]).await;
    assert_eq!(reply["follow_user"][0]["remark"], "老客");
    assert_eq!(test.world.tags("wmAnna", "lili"), ["触点/首单"]);
}
