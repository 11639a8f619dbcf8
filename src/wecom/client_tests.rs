//! The call path over real HTTP and a real Redis.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Map, json};

use super::*;
use crate::domain::actor::Actor;
use crate::domain::effect::{Call, Effect, Lane, Message};
use crate::domain::ids::{EffectId, ExternalUserId, TagName, UserId};
use crate::wecom::effects::{Outcome, Past};
use crate::wecom::seal::{Opened, Seal};
use crate::wecom::stand_in::{SECRET, Say, StandIn, TOKEN, app, server_key};

const FIRST: Past = Past { tries: 0, unanswered: false };
const UNSURE: Past = Past { tries: 1, unanswered: true };

fn effect(call: Call) -> Effect {
    let lili = UserId::parse("lili").unwrap();
    let now = chrono::Utc::now();
    Effect {
        id: EffectId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        actor: Actor::Staff(lili),
        lane: Lane::Normal,
        not_before: now,
        valid_until: now + chrono::TimeDelta::days(1),
        serial: None,
        hops: 0,
        trace: None,
        call,
    }
}

fn text_to(userid: &str, text: &str) -> Effect {
    effect(Call::StaffText { userid: UserId::parse(userid).unwrap(), text: text.into() })
}

fn welcome(text: &str) -> Effect {
    effect(Call::Welcome {
        customer: ExternalUserId::parse("wm1").unwrap(),
        userid: UserId::parse("lili").unwrap(),
        code: "CODE".into(),
        since: chrono::Utc::now(),
        message: Message { text: text.into(), attachments: vec![] },
    })
}

fn tag() -> (Effect, BTreeMap<TagName, String>) {
    let name = TagName::parse("分层/新客").unwrap();
    let call = Call::Tag {
        userid: UserId::parse("lili").unwrap(),
        customer: ExternalUserId::parse("wm1").unwrap(),
        add: vec![name.clone()],
        remove: vec![],
    };
    (effect(call), [(name, "et1".to_owned())].into())
}

async fn perform(wecom: &Wecom, effect: &Effect, past: Past) -> Outcome {
    wecom.perform(effect, past, &BTreeMap::new()).await
}

fn again(outcome: &Outcome) -> (&str, bool, bool) {
    match outcome {
        Outcome::Again { counts, unanswered, reason, .. } => (reason, *counts, *unanswered),
        Outcome::Done(_) | Outcome::Failed { .. } => panic!("{outcome:?}"),
    }
}

fn refusing(errcode: i64, errmsg: &str) -> Say {
    Say::Json(json!({ "errcode": errcode, "errmsg": errmsg }))
}

#[actix_web::test]
async fn many_calls_of_two_processes_ask_for_one_token_and_carry_it_in_the_query() {
    let stand_in = StandIn::start().await;
    let (one, other) = (stand_in.process(), stand_in.process());
    let texts: Vec<Effect> = (0..12).map(|n| text_to(&format!("u{n}"), "您好🙂\u{1b}")).collect();
    let calls = texts.iter().flat_map(|text| [perform(&one, text, FIRST), perform(&other, text, FIRST)]);
    for outcome in join_all(calls).await {
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    let asked = stand_in.came("gettoken");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].query, format!("corpid=ww1&corpsecret={SECRET}"));
    let sent = stand_in.came("message/send");
    assert_eq!(sent.len(), 24);
    for request in sent {
        assert_eq!(request.query, format!("access_token={TOKEN}-1"));
        assert!(request.body.contains("您好🙂") && !request.body.contains("\\u"), "{}", request.body);
        assert!(!request.body.contains(TOKEN));
    }
    stand_in.end().await;
}

/// Puts a token into Redis as if it had been asked for a good while ago.
async fn with_an_older_token(stand_in: &StandIn, text: &str) {
    with_a_token(stand_in, text, i64::MAX).await;
}

async fn with_a_token(stand_in: &StandIn, text: &str, refresh_at: i64) {
    let turn = stand_in.store.take_refresh_turn(&app(), Duration::from_millis(1)).await.unwrap().unwrap();
    let opened = Opened { token: text.to_owned().into(), refresh_at, dies_at: i64::MAX };
    let sealed = Seal::new(&server_key()).seal(&app(), &opened).unwrap();
    assert!(stand_in.store.put_token(&app(), turn, &sealed, Duration::from_secs(600)).await.unwrap());
}

#[actix_web::test]
async fn a_token_that_wecom_refuses_is_replaced_once_and_the_call_repeated_once() {
    let stand_in = StandIn::start().await;
    with_an_older_token(&stand_in, "OLD").await;
    stand_in.says("message/send", [refusing(42001, "expired")]);
    let wecom = stand_in.process();
    assert!(matches!(perform(&wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
    let queries: Vec<String> = stand_in.came("message/send").into_iter().map(|came| came.query).collect();
    assert_eq!(queries, ["access_token=OLD".to_owned(), format!("access_token={TOKEN}-1")]);
    assert_eq!(stand_in.came("gettoken").len(), 1);
    stand_in.end().await;
}

#[actix_web::test]
async fn a_token_past_85_percent_of_its_life_is_replaced_early_and_serves_while_no_new_one_comes() {
    let stand_in = StandIn::start().await;
    with_a_token(&stand_in, "OLD", 0).await;
    stand_in.says("gettoken", [refusing(-1, "system busy")]);
    for wecom in [stand_in.process(), stand_in.process()] {
        for _ in 0..2 {
            assert!(matches!(perform(&wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
        }
    }
    assert_eq!(stand_in.came("gettoken").len(), 1, "within 5 s nobody asks again");
    assert!(stand_in.came("message/send").iter().all(|came| came.query == "access_token=OLD"));

    let fresh = StandIn::start().await;
    with_a_token(&fresh, "OLD", 0).await;
    assert!(matches!(perform(&fresh.process(), &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
    assert_eq!(fresh.came("message/send")[0].query, format!("access_token={TOKEN}-1"));
    stand_in.end().await;
    fresh.end().await;
}

#[actix_web::test]
async fn a_second_refusal_of_the_token_is_not_followed_by_a_third_call() {
    let stand_in = StandIn::start().await;
    with_an_older_token(&stand_in, "OLD").await;
    stand_in.says("message/send", [refusing(40014, "invalid"), refusing(40014, "invalid")]);
    let wecom = stand_in.process();
    let outcome = perform(&wecom, &text_to("lili", "早"), FIRST).await;
    assert_eq!(again(&outcome), (reasons::TOKEN_AWAITED, true, false));
    assert_eq!(stand_in.came("message/send").len(), 2);
    stand_in.end().await;
}

#[actix_web::test]
async fn a_token_that_another_process_replaced_is_taken_over_without_asking_for_one() {
    let stand_in = StandIn::start().await;
    with_an_older_token(&stand_in, "OLD").await;
    let (one, other) = (stand_in.process(), stand_in.process());
    for wecom in [&one, &other] {
        assert!(matches!(perform(wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
    }
    stand_in.says("message/send", [refusing(42001, "expired"), Say::Json(json!({})), refusing(42001, "expired")]);
    for wecom in [&one, &other] {
        assert!(matches!(perform(wecom, &text_to("lili", "晚"), FIRST).await, Outcome::Done(_)));
    }
    assert_eq!(stand_in.came("gettoken").len(), 1);
    let last = stand_in.came("message/send").pop().unwrap();
    assert_eq!(last.query, format!("access_token={TOKEN}-1"));
    stand_in.end().await;
}

#[actix_web::test]
async fn a_refused_secret_is_not_tried_again_by_any_process() {
    let stand_in = StandIn::start().await;
    stand_in.says("gettoken", [refusing(40001, &format!("invalid credential {SECRET}"))]);
    for wecom in [stand_in.process(), stand_in.process()] {
        for text in [text_to("lili", "早"), welcome("您好")] {
            assert_eq!(again(&perform(&wecom, &text, FIRST).await), (reasons::SECRET_REFUSED, false, false));
        }
        let troubles = wecom.troubles().await;
        assert!(troubles.iter().any(|t| t.contains("app assistant") && t.contains("touchpoint.yaml")), "{troubles:?}");
    }
    assert_eq!(stand_in.came("gettoken").len(), 1);
    assert!(stand_in.came("message/send").is_empty());
    stand_in.end().await;
}

#[actix_web::test]
async fn an_untrusted_address_pauses_the_family_everywhere_and_says_which_address() {
    let stand_in = StandIn::start().await;
    stand_in.says("externalcontact/send_welcome_msg", [refusing(60020, "not allow to access, from ip: 1.2.3.4")]);
    let (one, other) = (stand_in.process(), stand_in.process());
    let (tag, ids) = tag();
    assert_eq!(again(&perform(&one, &welcome("您好"), FIRST).await), (reasons::PAUSED, false, false));
    for wecom in [&one, &other] {
        assert_eq!(again(&wecom.perform(&tag, FIRST, &ids).await), (reasons::PAUSED, false, false));
        let troubles = wecom.troubles().await.join("\n");
        for part in ["wecom contacts is paused", "60020", "1.2.3.4", "企业可信IP"] {
            assert!(troubles.contains(part), "{troubles}");
        }
        assert!(matches!(perform(wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)), "messages go on");
    }
    assert!(stand_in.came("externalcontact/mark_tag").is_empty());
    stand_in.end().await;
}

#[actix_web::test]
async fn a_call_made_too_often_is_paused_for_the_window_and_burns_no_try() {
    let stand_in = StandIn::start().await;
    stand_in.says("externalcontact/mark_tag", [refusing(45009, "api freq out of limit")]);
    let wecom = stand_in.process();
    let (tag, ids) = tag();
    for _ in 0..2 {
        let outcome = wecom.perform(&tag, UNSURE, &ids).await;
        let Outcome::Again { after, counts: false, unanswered: true, .. } = outcome else { panic!("{outcome:?}") };
        assert!(after > Duration::from_secs(55) && after <= Duration::from_secs(60), "{after:?}");
    }
    assert_eq!(stand_in.came("externalcontact/mark_tag").len(), 1);
    assert!(matches!(perform(&wecom, &welcome("您好"), FIRST).await, Outcome::Done(_)), "other calls go on");
    stand_in.end().await;
}

#[actix_web::test]
async fn an_answer_that_is_lost_leaves_it_open_and_the_next_try_finds_out() {
    let stand_in = StandIn::start().await;
    let wecom = stand_in.process();
    let path = "externalcontact/send_welcome_msg";
    for lost in [Say::Half, Say::Raw(502, "<html>Bad Gateway"), Say::Raw(200, "<html>"), Say::Raw(200, "")] {
        stand_in.says(path, [lost.clone(), Say::Json(json!({ "errcode": 41050, "errmsg": "code used" }))]);
        let outcome = perform(&wecom, &welcome("您好"), FIRST).await;
        assert_eq!(again(&outcome), (reasons::DID_NOT_ANSWER, true, true), "{lost:?}");
        assert_eq!(perform(&wecom, &welcome("您好"), UNSURE).await, Outcome::Done(Map::new()));
    }
    stand_in.end().await;
}

#[actix_web::test]
async fn a_refused_connection_burns_no_try_and_soon_nothing_is_attempted() {
    let stand_in = StandIn::start().await;
    let wecom = stand_in.process();
    assert!(matches!(perform(&wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
    stand_in.hang_up().await;
    for _ in 0..6 {
        let outcome = perform(&wecom, &text_to("lili", "早"), FIRST).await;
        assert_eq!(again(&outcome), (reasons::UNREACHABLE, false, false));
    }
    assert!(wecom.inner.host.breaker.closed_for(Instant::now()).is_some());
    assert!(wecom.troubles().await.iter().any(|trouble| trouble.starts_with("wecom cannot be reached")));
    stand_in.end().await;
}

#[actix_web::test]
async fn a_wrong_address_pauses_the_family_and_asks_to_check_it() {
    let stand_in = StandIn::start().await;
    stand_in.says("message/send", [Say::Raw(404, "")]);
    let wecom = stand_in.process();
    let outcome = perform(&wecom, &text_to("lili", "早"), FIRST).await;
    assert_eq!(again(&outcome), (reasons::PAUSED, false, false));
    let troubles = wecom.troubles().await.join("\n");
    assert!(troubles.contains("HTTP 404") && troubles.contains("wecom.api_base"), "{troubles}");
    stand_in.end().await;
}

#[actix_web::test]
async fn a_member_gets_thirty_messages_a_minute_and_the_next_one_waits() {
    let stand_in = StandIn::start().await;
    let (one, other) = (stand_in.process(), stand_in.process());
    for n in 0..30 {
        let wecom = if n % 2 == 0 { &one } else { &other };
        let outcome = perform(wecom, &text_to("LiLi", &n.to_string()), FIRST).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{n}: {outcome:?}");
    }
    let outcome = perform(&one, &text_to("lili", "31"), FIRST).await;
    assert_eq!(again(&outcome), (reasons::QUOTA, false, false));
    assert!(matches!(perform(&one, &text_to("wangwei", "1"), FIRST).await, Outcome::Done(_)));
    assert_eq!(stand_in.came("message/send").len(), 31);
    stand_in.end().await;
}

#[actix_web::test]
async fn too_many_calls_at_once_makes_the_lane_narrower() {
    let stand_in = StandIn::start().await;
    stand_in.says("externalcontact/mark_tag", [refusing(45033, "concurrent"), refusing(45033, "concurrent")]);
    let wecom = stand_in.process();
    let (tag, ids) = tag();
    for _ in 0..2 {
        assert_eq!(again(&wecom.perform(&tag, FIRST, &ids).await), (reasons::BUSY, false, false));
    }
    let mut places = Vec::new();
    while let Some(Some(place)) = futures_util::FutureExt::now_or_never(wecom.inner.lanes.enter(Api::MarkTag)) {
        places.push(place);
    }
    assert_eq!(places.len(), 2, "8, then 4, then 2");
    drop(places);
    stand_in.end().await;
}

/// Everything that is logged, at the finest level, dependencies included.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged until it is read.
fn listen() -> (Logged, impl Drop) {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("touchpoint=trace,reqwest=trace,hyper=trace,hyper_util=trace")
        .with_writer(move || writer.clone())
        .finish();
    (logged, tracing::subscriber::set_default(subscriber))
}

#[actix_web::test]
async fn no_secret_and_no_token_reaches_a_log_an_outcome_or_a_trouble() {
    // With only one subscriber in the process, tracing asks the thread that happens to log first, which may be another
    // test's and have none, and then takes the place in the code for silent everywhere.
    let second = tracing::Dispatch::new(tracing_subscriber::registry());
    let (logged, listening) = listen();
    let mut shown = Vec::new();
    let echo = |errcode| refusing(errcode, &format!("secret {SECRET} token {TOKEN}-1"));
    let echo_secret = |errcode| refusing(errcode, &format!("secret {SECRET}"));
    for errcode in [-1, 0, 40001, 40014, 40058, 41050, 45009, 45033, 45035, 48002, 60020, 81013, 123_456] {
        let stand_in = StandIn::start().await;
        with_an_older_token(&stand_in, &format!("{TOKEN}-1")).await;
        stand_in.says("message/send", [echo(errcode), echo(errcode)]);
        let wecom = stand_in.process();
        shown.push(format!("{:?}", perform(&wecom, &text_to("lili", "私密内容"), FIRST).await));
        shown.extend(wecom.troubles().await);
        stand_in.end().await;
    }
    let bad_tokens = [Say::Half, Say::Raw(500, SECRET), Say::Raw(404, SECRET)];
    let codes = [40001, 45009, -1, 50003, 123_456].map(echo_secret);
    for say in bad_tokens.into_iter().chain(codes) {
        let stand_in = StandIn::start().await;
        stand_in.says("gettoken", [say]);
        let wecom = stand_in.process();
        shown.push(format!("{:?}", perform(&wecom, &text_to("lili", "私密内容"), FIRST).await));
        shown.extend(wecom.troubles().await);
        stand_in.end().await;
    }
    let stand_in = StandIn::start().await;
    stand_in.hang_up().await;
    shown.push(format!("{:?}", perform(&stand_in.process(), &text_to("lili", "私密内容"), FIRST).await));
    stand_in.end().await;
    drop((listening, second));
    let log = logged.text();
    assert!(log.contains("wecom.errcode") && log.contains("duration_ms"), "something was logged");
    for text in shown.iter().chain([&log]) {
        for hidden in [SECRET, TOKEN, "私密内容"] {
            let line = text.lines().find(|line| line.contains(hidden));
            assert_eq!(line, None, "{hidden} is shown");
        }
    }
}

#[actix_web::test]
async fn a_warning_about_our_json_is_an_alarm_also_when_the_call_went_well() {
    let second = tracing::Dispatch::new(tracing_subscriber::registry());
    let (logged, listening) = listen();
    let stand_in = StandIn::start().await;
    stand_in.says("message/send", [refusing(0, "ok. Warning: wrong json format. ")]);
    let wecom = stand_in.process();
    assert!(matches!(perform(&wecom, &text_to("lili", "早"), FIRST).await, Outcome::Done(_)));
    stand_in.end().await;
    drop((listening, second));
    let log = logged.text();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("malformed")), "{log}");
}

#[test]
fn performing_an_effect_can_be_spawned() {
    fn is_send<T: Send>(_: fn(Wecom, Effect) -> T) {}
    is_send(|wecom, effect| async move { wecom.perform(&effect, FIRST, &BTreeMap::new()).await });
}
