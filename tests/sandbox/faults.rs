use std::time::{Duration, Instant};

use serde_json::json;
use touchpoint::sandbox::{Fate, Fault, FaultKind};

use crate::helpers::{AGENT, PATIENCE, Test};

const SEND: &str = "message/send";

fn text(content: &str) -> serde_json::Value {
    json!({"touser": "lili", "msgtype": "text", "agentid": AGENT, "text": {"content": content}})
}

#[tokio::test]
async fn the_next_calls_are_answered_with_an_error_code_and_do_nothing() {
    let test = Test::start().await;
    test.world.faults().inject(Fault::new(FaultKind::Errcode(-1)).of("/cgi-bin/message/send").times(2)).unwrap();
    assert_eq!(test.get("user/get", &[("userid", "lili")]).await["errcode"], 0);
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(test.code(SEND, text("hi")).await);
    }
    assert_eq!(codes, [-1, -1, 0]);
    assert_eq!(test.received(), ["text"]);
}

#[tokio::test]
async fn a_share_of_the_calls_fails_the_same_way_for_the_same_seed() {
    let codes = async || {
        let test = Test::start().await;
        test.world.faults().inject(Fault::new(FaultKind::Errcode(45009)).of(SEND).rate(0.5)).unwrap();
        let mut codes = Vec::new();
        for number in 0..20 {
            codes.push(test.code(SEND, text(&number.to_string())).await);
        }
        codes
    };
    let first = codes().await;
    assert!(first.contains(&0) && first.contains(&45009));
    assert_eq!(first, codes().await);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_call_taken() {
    let test = Test::start().await;
    for (kind, fate) in [(FaultKind::LoseAnswer, Fate::Lost), (FaultKind::HalfAnswer, Fate::Half)] {
        test.world.faults().inject(Fault::new(kind).times(1)).unwrap();
        assert!(test.try_post(SEND, &text("hi")).await.is_err());
        let entry = test.world.log().pop().unwrap();
        assert_eq!((entry.fate, entry.errcode, entry.is_accepted()), (fate, 0, true));
    }
    assert_eq!(test.received(), ["text", "text"]);
}

#[tokio::test]
async fn half_an_answer_is_half() {
    let test = Test::start().await;
    test.world.faults().inject(Fault::new(FaultKind::HalfAnswer).times(1)).unwrap();
    let mut response = test.http.get(test.url("/cgi-bin/getcallbackip")).send().await.unwrap();
    let promised = usize::try_from(response.content_length().unwrap()).unwrap();
    let mut got = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(error.is_some());
    assert_eq!(got, promised / 2);
}

#[tokio::test]
async fn a_connection_that_is_cut_at_once_leaves_nothing_done() {
    let test = Test::start().await;
    test.world.faults().inject(Fault::new(FaultKind::Cut).times(1)).unwrap();
    assert!(test.try_post(SEND, &text("hi")).await.is_err());
    assert_eq!(test.world.log().pop().unwrap().fate, Fate::Cut);
    test.world.faults().inject(Fault::new(FaultKind::Status(502)).times(1)).unwrap();
    let response = test.http.post(test.url("/cgi-bin/message/send")).json(&text("hi")).send().await.unwrap();
    assert_eq!(response.status(), 502);
    assert!(test.received().is_empty());
    assert_eq!(test.code(SEND, text("hi")).await, 0);
}

#[tokio::test]
async fn a_call_waits_before_it_is_looked_at() {
    let test = Test::start().await;
    test.world.faults().inject(Fault::new(FaultKind::Latency(Duration::from_millis(120))).times(1)).unwrap();
    let started = Instant::now();
    assert_eq!(test.code(SEND, text("hi")).await, 0);
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert!(test.world.log().pop().unwrap().latency_ms >= 120);
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let test = Test::start().await;
    let held = test.world.hold_next(SEND).unwrap();
    let body = text("hi");
    let call = test.try_post(SEND, &body);
    let watch = async {
        held.accepted().await;
        assert_eq!(test.world.log().pop().unwrap().fate, Fate::Held);
        assert_eq!(test.received(), ["text"]);
        held.release();
    };
    let (reply, ()) = tokio::join!(call, watch);
    assert_eq!(reply.unwrap()["errcode"], 0);
}

#[tokio::test]
async fn a_caller_may_go_away_from_a_held_answer() {
    let test = Test::start().await;
    let held = test.world.hold_next(SEND).unwrap();
    assert!(!held.is_accepted());
    let body = text("hi");
    tokio::select! {
        reply = test.try_post(SEND, &body) => panic!("answered: {reply:?}"),
        () = held.accepted() => {}
    }
    assert!(held.is_accepted());
    assert_eq!(test.code(SEND, text("again")).await, 0);
    assert_eq!(test.received(), ["text", "text"]);
}

#[tokio::test]
async fn connections_are_refused_until_the_door_opens_again() {
    let test = Test::start().await;
    assert_eq!(test.code(SEND, text("before")).await, 0);
    test.world.faults().refuse_connections(true).await;
    let error = test.try_post(SEND, &text("meanwhile")).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    test.world.faults().refuse_connections(false).await;
    assert_eq!(test.code(SEND, text("after")).await, 0);
    assert_eq!(test.received(), ["text", "text"]);
}

#[tokio::test]
async fn an_unknown_api_is_no_fault_to_switch_on() {
    let test = Test::start().await;
    assert!(test.world.faults().inject(Fault::new(FaultKind::Cut).of("message/sned")).is_err());
    assert!(test.world.hold_next("message/sned").is_err());
}

#[tokio::test]
async fn faults_end_when_they_are_cleared() {
    let test = Test::start().await;
    test.world.faults().inject(Fault::new(FaultKind::Errcode(-1))).unwrap();
    assert_eq!(test.code(SEND, text("hi")).await, -1);
    test.world.faults().clear();
    assert_eq!(test.code(SEND, text("hi")).await, 0);
}

#[tokio::test]
async fn one_can_wait_for_something_to_be_received() {
    let test = Test::start().await;
    let body = text("hi");
    let (wait, reply) = tokio::join!(
        test.world.wait_until("a text", PATIENCE, |world| !world.receipts().is_empty()),
        test.try_post(SEND, &body)
    );
    wait.unwrap();
    reply.unwrap();
    let stuck = test.world.wait_until("a second text", Duration::from_millis(20), |world| world.receipts().len() > 1);
    assert_eq!(stuck.await.unwrap_err().to_string(), "not within 20ms: a second text");
}
