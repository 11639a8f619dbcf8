use std::time::Duration;

use touchpoint::sandbox::{Act, Adding, CallbackFaults};

use crate::helpers::{CORP, Receiver, Test};

async fn start() -> (Test, Receiver) {
    let receiver = Receiver::start().await;
    let test = Test::with_callback(Some(receiver.url.clone())).await;
    test.world.faults().callbacks(CallbackFaults { retry_after: Duration::ZERO, ..CallbackFaults::default() });
    (test, receiver)
}

#[tokio::test]
async fn each_act_of_a_customer_is_called_back_as_documented() {
    let (test, receiver) = start().await;
    let adding =
        Adding { customer: "wmAnna".into(), userid: "LILI".into(), state: Some("a]]>b".into()), ..Adding::default() };
    test.world.customer_adds(adding).await.unwrap();
    test.world
        .perform(&Act::StaffEdits {
            userid: "lili".into(),
            customer: "wmAnna".into(),
            remark: Some("x".into()),
            add_tags: vec![],
            remove_tags: vec![],
        })
        .await
        .unwrap();
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    test.customer_adds("wmAnna", "lili").await;
    test.world
        .perform(&Act::Transfers { customer: "wmAnna".into(), from: "lili".into(), to: "wangwei".into() })
        .await
        .unwrap();
    test.world.staff_deletes("wangwei", "wmAnna").await.unwrap();

    let heard = receiver.take();
    let changes: Vec<String> = heard.iter().map(|one| one.field("ChangeType").unwrap()).collect();
    assert_eq!(
        changes,
        [
            "add_external_contact",
            "edit_external_contact",
            "del_follow_user",
            "add_external_contact",
            "del_external_contact",
            "add_external_contact",
            "del_external_contact",
        ]
    );
    for one in &heard {
        assert_eq!(one.field("ToUserName").as_deref(), Some(CORP));
        assert_eq!(one.field("FromUserName").as_deref(), Some("sys"));
        assert_eq!(one.field("Event").as_deref(), Some("change_external_contact"));
        assert_eq!(one.field("ExternalUserID").as_deref(), Some("wmAnna"));
        assert!(!one.envelope.contains("AgentID"));
    }
    assert_eq!(heard[0].field("UserID").as_deref(), Some("lili"));
    assert!(heard[0].message.contains("<State><![CDATA[a]]]]><![CDATA[>b]]></State>"), "{}", heard[0].message);
    assert_eq!(heard[4].field("Source").as_deref(), Some("DELETE_BY_TRANSFER"));
    assert_eq!(heard[5].field("UserID").as_deref(), Some("WangWei"));
    assert_eq!(heard[6].field("Source"), None);
}

#[tokio::test]
async fn a_staff_members_words_reach_the_app_with_a_message_id() {
    let (test, receiver) = start().await;
    let act = Act::Writes { userid: "lili".into(), app: "assistant".into(), text: "待办".into() };
    test.world.perform(&act).await.unwrap();
    let heard = &receiver.take()[0];
    assert_eq!(heard.field("MsgType").as_deref(), Some("text"));
    assert_eq!(heard.field("Content").as_deref(), Some("待办"));
    assert_eq!(heard.field("FromUserName").as_deref(), Some("lili"));
    assert_eq!(heard.field("AgentID").as_deref(), Some("1000002"));
    assert!(heard.field("MsgId").unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn a_callback_is_tried_up_to_four_times_until_it_is_answered_200() {
    let (test, receiver) = start().await;
    receiver.answers(&[503, 302]);
    test.customer_adds("wmAnna", "lili").await;
    receiver.answers(&[500, 500, 500, 500, 500]);
    test.customer_adds("wmBea", "lili").await;
    let records = test.world.callbacks();
    let statuses = |index: usize| records[index].attempts.iter().filter_map(|try_| try_.status).collect::<Vec<_>>();
    assert_eq!((statuses(0), records[0].is_delivered()), (vec![503, 302, 200], true));
    assert_eq!((statuses(1), records[1].is_delivered()), (vec![500; 4], false));
    let heard = receiver.take();
    assert_eq!(heard.len(), 7);
    assert!(heard[..3].iter().all(|one| one.message == heard[0].message));
}

#[tokio::test]
async fn a_server_that_is_away_gets_its_tries_too() {
    let (test, _receiver) = start().await;
    // A port that nothing listens on.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    test.world.set_callback_url("assistant", format!("http://{gone}/")).unwrap();
    test.customer_adds("wmAnna", "lili").await;
    let record = &test.world.callbacks()[0];
    assert_eq!(record.attempts.len(), 4);
    assert!(record.attempts.iter().all(|attempt| attempt.status.is_none() && attempt.error.is_some()));
}

#[tokio::test]
async fn a_callback_may_come_twice_and_not_at_all() {
    let (test, receiver) = start().await;
    test.world.faults().callbacks(CallbackFaults { copies: 3, ..CallbackFaults::default() });
    test.customer_adds("wmAnna", "lili").await;
    let heard = receiver.take();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|one| one.message == heard[0].message));
    test.world.faults().callbacks(CallbackFaults { drop_rate: 1.0, ..CallbackFaults::default() });
    test.customer_adds("wmBea", "lili").await;
    assert!(receiver.take().is_empty());
    assert!(test.world.callbacks()[1].dropped);
}

#[tokio::test]
async fn callbacks_may_come_in_disorder() {
    let (test, receiver) = start().await;
    test.world.faults().callbacks(CallbackFaults { reorder: true, ..CallbackFaults::default() });
    test.customer_adds("wmAnna", "lili").await;
    assert!(receiver.take().is_empty()); // kept back until another comes
    test.world.customer_deletes("wmAnna", "lili").await.unwrap();
    let changes: Vec<String> = receiver.take().iter().map(|one| one.field("ChangeType").unwrap()).collect();
    assert_eq!(changes, ["del_follow_user", "add_external_contact"]);
    test.customer_adds("wmAnna", "lili").await;
    test.world.flush_callbacks().await;
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn only_apps_with_the_switch_and_an_address_get_customer_events() {
    let (test, receiver) = start().await;
    test.world.set_contacts("assistant", false).unwrap();
    test.customer_adds("wmAnna", "lili").await;
    assert!(receiver.take().is_empty());
    assert!(test.world.callbacks().is_empty());
    test.world.set_callback_url("other", receiver.url.clone()).unwrap();
    test.customer_adds("wmBea", "lili").await;
    assert_eq!(test.world.callbacks()[0].app, "other");
}

#[tokio::test]
async fn the_admin_console_verifies_an_address_before_it_saves_it() {
    let (test, receiver) = start().await;
    test.world.verify_callback("assistant").await.unwrap();
    test.world.set_callback_url("assistant", test.url("/nothing-here")).unwrap();
    assert!(test.world.verify_callback("assistant").await.is_err());
    assert!(test.world.verify_callback("nobody").await.is_err());
    drop(receiver);
}

#[tokio::test]
async fn callbacks_carry_business_time() {
    let (test, receiver) = start().await;
    test.advance(chrono::TimeDelta::days(30));
    test.customer_adds("wmAnna", "lili").await;
    let heard = &receiver.take()[0];
    let timestamp = heard.query.iter().find(|(name, _)| name == "timestamp").unwrap().1.parse::<i64>().unwrap();
    assert!((test.clock.now().timestamp() - timestamp).abs() <= 5);
    let created: i64 = heard.field("CreateTime").unwrap().parse().unwrap();
    assert!((timestamp - created).abs() <= 5);
}
