//! Tags: on the right pair, taken away again, never a person's, and made when WeCom does not have them.

use serde_json::json;
use touchpoint::sandbox::{Act, CallbackFaults, FaultKind};

use super::helpers::{Company, Setup, adding, hours, minutes};

const RULES: &str = r#"
playbook: { id: shop, name: 女装店 }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  store_qr: { name: 门店扫码, on: contact.added, where: event.state.startsWith("store-"), tag: 触点/门店扫码 }
  bought: { name: 下单, on: order.paid, tag: 触点/下单 }
segments:
  buyer: { name: 买家, when: customer.orders > 0, tag: 分层/买家 }
"#;

async fn refunds(company: &Company, customer: &str, order: &str) {
    assert_eq!(company.happens("order.refunded", customer, json!({ "order_id": order })).await, "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touchpoints_tag_is_on_the_pair_of_its_event_and_a_segments_tag_on_every_follower() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(hours(1)).await;
    company.customer_adds("wmWang", "wangwei", "web").await;

    company.orders("wmWang", "A1", "100").await;

    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家", "触点/门店扫码"]);
    assert_eq!(company.world.tags("wmWang", "wangwei"), ["分层/买家", "触点/下单"], "an order is the owner's");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_later_finds_the_tags_of_the_customers_segments() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.orders("wmWang", "A1", "100").await;

    company.customer_adds("wmWang", "wangwei", "web").await;

    assert_eq!(company.world.tags("wmWang", "wangwei"), ["分层/买家"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_a_segment_takes_its_tag_off_every_follower() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.advance(hours(1)).await;
    company.customer_adds("wmWang", "wangwei", "").await;
    company.orders("wmWang", "A1", "100").await;

    refunds(&company, "wmWang", "A1").await;

    assert_eq!(company.world.tags("wmWang", "lili"), Vec::<String>::new());
    assert_eq!(company.world.tags("wmWang", "wangwei"), ["触点/下单"], "what was met stays met");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_a_person_set_is_never_taken_away() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    let by_hand = Act::StaffEdits {
        userid: "lili".to_owned(),
        customer: "wmWang".to_owned(),
        remark: None,
        add_tags: vec!["分层/买家".to_owned()],
        remove_tags: Vec::new(),
    };
    company.does(by_hand).await;

    company.orders("wmWang", "A1", "100").await;
    refunds(&company, "wmWang", "A1").await;

    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家", "触点/下单"]);
    let changes = company.tag_changes_of("wmWang");
    assert_eq!(changes, ["+触点/下单 lili"], "nothing was asked for that was so already");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_tags_are_made_at_the_start_each_group_with_its_order() {
    let company = Setup::new(RULES).open().await;

    let mut made: Vec<_> =
        company.calls_of("externalcontact/add_corp_tag").into_iter().map(|call| call.request).collect();

    made.sort_by_key(|request| request["body"]["order"].as_i64());
    let bodies = made.iter().map(|request| request["body"].clone()).collect::<Vec<_>>();
    let touchpoints = json!({ "group_name": "触点", "order": 10, "tag": [{ "name": "下单" }, { "name": "门店扫码" }] });
    let segments = json!({ "group_name": "分层", "order": 20, "tag": [{ "name": "买家" }] });
    assert_eq!(bodies, [touchpoints, segments]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_was_deleted_in_wecom_is_made_anew() {
    let mut company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.expects_trouble();
    company.does(Act::DeletesTag { tag: "触点/门店扫码".to_owned() }).await;

    company.customer_adds("wmLi", "lili", "store-01").await;
    company.advance(minutes(1)).await;

    let codes: Vec<i64> = company.calls_of("externalcontact/mark_tag").iter().map(|call| call.errcode).collect();
    assert_eq!(codes, [0, 40068, 0], "the id that was known is not known to WeCom any more");
    assert_eq!(company.world.tags("wmLi", "lili"), ["触点/门店扫码"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writes_that_meet_at_one_record_are_written_one_after_the_other() {
    let mut company = Setup::new(RULES).open().await;
    company.trouble("externalcontact/mark_tag", FaultKind::Errcode(45035), 5);

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(minutes(2)).await;

    assert_eq!(company.calls_of("externalcontact/mark_tag").len(), 6, "a conflict burns no try");
    assert_eq!(company.world.tags("wmWang", "lili"), ["触点/门店扫码"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_right_when_callbacks_come_several_times() {
    let company = Setup::new(RULES).open().await;
    company.world.faults().callbacks(CallbackFaults { copies: 3, ..CallbackFaults::default() });

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.customer_deletes("wmWang", "lili").await;
    company.advance(hours(1)).await;
    company.customer_adds("wmWang", "wangwei", "store-02").await;

    assert_eq!(company.tag_changes_of("wmWang"), ["+触点/门店扫码 lili", "+触点/门店扫码 wangwei"]);
    let record = company.customer("wmWang").await;
    assert_eq!(record["touchpoints"][0]["count"], 2, "{record}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_comes_after_the_return_it_preceded_ends_nothing() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(hours(1)).await;

    company.world.faults().callbacks(CallbackFaults { reorder: true, ..CallbackFaults::default() });
    company.customer_deletes("wmWang", "lili").await;
    company.advance(hours(1)).await;
    company.adds(adding("wmWang", "lili", "store-02")).await;
    company.settle().await;
    company.orders("wmWang", "A1", "100").await;

    let told: Vec<String> = company.world.callbacks().into_iter().skip(1).map(|callback| callback.event).collect();
    assert_eq!(told, ["change_external_contact/add_external_contact", "change_external_contact/del_follow_user"]);
    assert_eq!(company.customer("wmWang").await["lost"], false);
    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家", "触点/下单", "触点/门店扫码"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_wecom_refuses_is_asked_for_again_by_the_nightly_sweep() {
    let mut company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.trouble("externalcontact/mark_tag", FaultKind::Errcode(40144), 1);

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(10)).await;
    assert_eq!(company.world.tags("wmWang", "lili"), [] as [&str; 0]);
    assert_eq!(company.calls_of("externalcontact/mark_tag").len(), 1, "what is refused is not asked for without end");
    company.advance(hours(24)).await;

    assert_eq!(company.world.tags("wmWang", "lili"), ["分层/买家"]);
    company.close().await;
}
