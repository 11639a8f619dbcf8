//! Callbacks of a busy day, of another app, and while Redis is away.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use touchpoint::sandbox::CallbackFaults;
use touchpoint::wecom::crypto::CallbackKeys;

use super::helpers::{AES_KEY, CALLBACK_TOKEN, CORP, Company, Setup, adding, rules};
use super::redis_server::OwnRedis;

const RULES: &str = r#"
tags: { 触点: { order: 10 } }
journeys:
  care: { name: 关怀, enter: { event: contact.added }, steps: [ prompt: { title: 请回访 } ] }
"#;

/// WeCom calls back with this inside, now; gives the status of the answer.
async fn calls_back(company: &Company, app: &str, inside: &str) -> u16 {
    let keys = CallbackKeys::new(&SecretString::from(CALLBACK_TOKEN), &SecretString::from(AES_KEY), CORP).unwrap();
    let now = company.clock.now().timestamp();
    let body = format!("<xml><CreateTime>{now}</CreateTime>{inside}</xml>");
    let sealed = keys.seal(body.as_bytes(), [7; 16]);
    let (timestamp, nonce) = (now.to_string(), "nonce".to_owned());
    let signature = keys.sign(&timestamp, &nonce, &sealed);
    let url = company.url(&format!("/wecom/callback/{app}"));
    let query = [("msg_signature", signature), ("timestamp", timestamp), ("nonce", nonce)];
    let envelope = format!("<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>");
    company.http.post(url).query(&query).body(envelope).send().await.unwrap().status().as_u16()
}

/// What WeCom may say on any day (documents 90240, 92130, 97299, 92005, 90970, 94670), and something it never said.
const A_BUSY_DAY: [&str; 24] = [
    "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>edit_external_contact</ChangeType><UserID>lili</UserID><ExternalUserID>wmWang</ExternalUserID>",
    "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>add_external_contact</ChangeType><UserID>lili</UserID><ExternalUserID>wmNew</ExternalUserID><State>s</State>",
    "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>transfer_fail</ChangeType><UserID>lili</UserID><ExternalUserID>wmWang</ExternalUserID><FailReason>customer_refused</FailReason>",
    "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>msg_audit_approved</ChangeType><UserID>lili</UserID><ExternalUserID>wmWang</ExternalUserID>",
    "<MsgType>event</MsgType><Event>change_external_chat</Event><ChatId>wrChat</ChatId><ChangeType>create</ChangeType>",
    "<MsgType>event</MsgType><Event>change_external_chat</Event><ChatId>wrChat</ChatId><ChangeType>update</ChangeType><UpdateDetail>add_member</UpdateDetail><JoinScene>1</JoinScene><MemChangeCnt>1</MemChangeCnt><MemChangeList><Item>wmWang</Item></MemChangeList>",
    "<MsgType>event</MsgType><Event>change_external_chat</Event><ChatId>wrChat</ChatId><ChangeType>dismiss</ChangeType>",
    "<MsgType>event</MsgType><Event>change_external_tag</Event><Id>etTag</Id><TagType>tag</TagType><ChangeType>create</ChangeType>",
    "<MsgType>event</MsgType><Event>change_external_tag</Event><Id>etTag</Id><TagType>tag</TagType><ChangeType>update</ChangeType>",
    "<MsgType>event</MsgType><Event>change_external_tag</Event><TagType>tag_group</TagType><ChangeType>shuffle</ChangeType>",
    "<MsgType>event</MsgType><Event>customer_acquisition</Event><ChangeType>balance_low</ChangeType>",
    "<MsgType>event</MsgType><Event>customer_acquisition</Event><ChangeType>friend_request</ChangeType><LinkId>cawcde</LinkId>",
    "<MsgType>event</MsgType><Event>kf_msg_or_event</Event><Token>ENCtoken</Token><OpenKfId>wkAccount</OpenKfId>",
    "<MsgType>event</MsgType><Event>change_contact</Event><ChangeType>create_user</ChangeType><UserID>zhao</UserID>",
    "<MsgType>event</MsgType><Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>zhao</UserID><Status>5</Status>",
    "<MsgType>event</MsgType><Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>zhao</UserID>",
    "<MsgType>event</MsgType><Event>change_contact</Event><ChangeType>update_party</ChangeType><Id>2</Id>",
    "<FromUserName>lili</FromUserName><MsgType>text</MsgType><Content>今天有谁</Content><MsgId>1</MsgId><AgentID>1000002</AgentID>",
    "<FromUserName>lili</FromUserName><MsgType>location</MsgType><Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><MsgId>2</MsgId><AgentID>1000002</AgentID>",
    "<FromUserName>lili</FromUserName><MsgType>event</MsgType><Event>enter_agent</Event><AgentID>1000002</AgentID>",
    "<FromUserName>lili</FromUserName><MsgType>event</MsgType><Event>click</Event><EventKey>today</EventKey><AgentID>1000002</AgentID>",
    "<FromUserName>lili</FromUserName><MsgType>event</MsgType><Event>template_card_event</Event><EventKey>done</EventKey><TaskId>NOBODYKNOWSTHISTASK234567A</TaskId><CardType>button_interaction</CardType><AgentID>1000002</AgentID>",
    "<MsgType>event</MsgType><Event>low_active</Event><AgentID>1000002</AgentID>",
    "<MsgType>event</MsgType><Event>brand_new</Event><ChangeType>never_heard_of</ChangeType><Whatever><Inner>1</Inner></Whatever>",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_callback_of_a_busy_day_is_answered_200_and_what_nothing_handles_is_counted() {
    let mut company = Setup::new(&rules(RULES)).with_app_named("busy").open().await;
    company.customer_adds("wmWang", "lili", "").await;
    // Of a customer whom only a callback speaks of, WeCom's API knows nothing.
    company.expects_trouble();

    let mut statuses = Vec::new();
    for inside in A_BUSY_DAY {
        statuses.push(calls_back(&company, "busy", inside).await);
    }
    company.settle().await;

    assert_eq!(statuses, [200; 24]);
    let counted = |event: &str| format!(r#"touchpoint_callbacks_total{{app="busy",result="taken",event="{event}"}}"#);
    assert_eq!(company.metric(&counted("callback.unknown")).await, 2.0, "{}", company.get("/metrics").await.1);
    assert_eq!(company.metric(&counted("directory.staff_left")).await, 2.0);
    let today = super::helpers::at("2035-01-01 10:00").date_naive();
    let counters = company.store.counters(today).await.unwrap();
    assert_eq!(counters.get("callback.unknown:brand_new/never_heard_of"), Some(&1), "{counters:?}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_callback_that_cannot_be_read_is_set_aside_once_and_the_rest_goes_on() {
    let company = Setup::new(&rules(RULES)).with_shards(1).open().await;

    for _ in 0..3 {
        assert_eq!(calls_back(&company, "assistant", "<Event>change_external_contact").await, 200);
    }
    company.customer_adds("wmWang", "lili", "").await;

    let letters = company.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].0.contains("<Event>change_external_contact</xml>"), "the body is kept: {letters:?}");
    assert!(letters[0].1.contains("the callback cannot be read"), "{letters:?}");
    assert_eq!(company.customer("wmWang").await["name"], "客户wmWang");
    company.goes_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_comes_three_times_counts_once() {
    let company = Setup::new(&rules(RULES)).with_app_named("thrice").open().await;
    company.world.faults().callbacks(CallbackFaults { copies: 3, ..CallbackFaults::default() });

    company.customer_adds("wmWang", "lili", "").await;
    company.advance(Duration::from_secs(120)).await;
    company.taps("lili", &company.latest_card("lili"), "done").await;
    company.customer_deletes("wmWang", "lili").await;

    let today = super::helpers::at("2035-01-01 10:00").date_naive();
    let counters = company.store.counters(today).await.unwrap();
    for event in ["contact.added", "contact.lost", "staff.card"] {
        assert_eq!(counters.get(&format!("event:{event}")), Some(&1), "{event}: {counters:?}");
        let repeats = format!(r#"touchpoint_callbacks_total{{app="thrice",result="duplicate",event="{event}"}}"#);
        assert_eq!(company.metric(&repeats).await, 2.0, "{event}");
    }
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_apps_copy_is_answered_200_counted_and_feeds_nothing() {
    let company = Setup::new(&rules(RULES)).with_app("desk", "").open().await;

    company.customer_adds("wmWang", "lili", "").await;
    company.advance(Duration::from_secs(120)).await;

    let told: Vec<(String, bool)> =
        company.world.callbacks().iter().map(|callback| (callback.app.clone(), callback.is_delivered())).collect();
    assert_eq!(told, [("assistant".to_owned(), true), ("desk".to_owned(), true)]);
    assert_eq!(company.cards_of("lili"), ["请回访"], "the customer was added once");
    let counter = r#"touchpoint_callbacks_total{app="desk",result="not_served",event="contact.added"}"#;
    assert_eq!(company.metric(counter).await, 1.0);
    let today = super::helpers::at("2035-01-01 10:00").date_naive();
    assert_eq!(company.store.counters(today).await.unwrap().get("event:contact.added"), Some(&1));
    company.close().await;
}

/// The answer must come within 4 s, so that WeCom, which waits 5 s, repeats the callback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_the_answer_is_503_within_4_seconds_and_the_repeat_is_taken() {
    let redis = OwnRedis::start();
    let company = Setup::new(&rules(RULES)).on_redis(&redis.url).open().await;
    let kind =
        "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>add_external_contact</ChangeType>";
    let inside = format!("{kind}<UserID>lili</UserID><ExternalUserID>wmWang</ExternalUserID>");

    redis.freeze();
    let asked = Instant::now();
    let (refused, waited) = (calls_back(&company, "assistant", &inside).await, asked.elapsed());
    redis.thaw();
    company.adds(adding("wmLi", "lili", "")).await;
    let repeated = calls_back(&company, "assistant", &inside).await;
    company.settle().await;

    assert_eq!((refused, repeated), (503, 200));
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    company.settle().await;
    assert_eq!(company.customer("wmWang").await["lost"], false);
    assert_eq!(company.customer("wmLi").await["lost"], false);
    company.goes_home().await;
}
