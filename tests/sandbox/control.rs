use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use touchpoint::domain::At;
use touchpoint::sandbox::{Act, ServerClock};

use crate::helpers::{AGENT, PATIENCE, Receiver, Test};

#[tokio::test]
async fn people_act_over_http() {
    let receiver = Receiver::start().await;
    let test = Test::start().await;
    assert_eq!(test.control("apps/assistant", json!({"callback_url": receiver.url})).await.0, 200);
    assert_eq!(test.control("apps/assistant/verify", json!({})).await, (200, json!({"verified": true})));
    let chen = json!({"userid": "chen", "name": "陈晨", "confirms": {"after": "5m"}, "taps": [{"title": "", "button": "done", "after": "1h"}]});
    assert_eq!(test.control("staff", chen).await.0, 200);
    assert_eq!(
        test.control("customers/wmAnna/add", json!({"userid": "chen", "state": "store-01", "name": "小美"})).await.0,
        200
    );
    let body = json!({"touser": "chen", "msgtype": "template_card", "agentid": AGENT, "template_card": {
        "card_type": "button_interaction", "task_id": "task-1", "main_title": {"title": "回访"},
        "button_list": [{"text": "完成", "key": "done"}]}});
    assert_eq!(test.code("message/send", body).await, 0);
    assert_eq!(test.control("staff/chen/tap", json!({"task_id": "task-1", "key": "done"})).await.0, 200);
    let mass =
        test.post("externalcontact/add_msg_template", json!({"sender": "chen", "text": {"content": "上新"}})).await;
    assert_eq!(test.control("staff/chen/confirm", json!({"msgid": mass["msgid"]})).await.0, 200);
    assert_eq!(test.control("customers/wmAnna/delete", json!({"userid": "chen"})).await.0, 200);
    assert_eq!(test.received(), ["card", "tapped", "mass_task", "mass"]);
    assert_eq!(receiver.take().len(), 3);

    let state: Value = test.http.get(test.url("/control/state")).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["customers"][0]["name"], "小美");
    assert_eq!(state["customers"][0]["relations"][0]["left"], true);
    let after = test.world.receipts().len() - 1;
    let url = test.url(&format!("/control/receipts?after={after}"));
    let list: Value = test.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(list["entries"].as_array().unwrap().len(), 1);
    assert_eq!(list["entries"][0]["kind"], "mass");
}

#[tokio::test]
async fn a_mistake_is_answered_with_what_is_wanted() {
    let test = Test::start().await;
    for (path, body, status, words) in [
        ("customers/wmAnna/add", json!({"userid": "nobody"}), 404, "no staff member"),
        ("customers/wmAnna/add", json!({}), 400, "missing"),
        ("customers/wmAnna/add", json!({"user": "lili"}), 400, "unknown field"),
        ("customers/wmAnna/dance", json!({}), 400, "do not dance"),
        ("staff/lili/tap", json!({"task_id": "t", "key": "k"}), 404, "no card"),
        ("faults", json!({"kind": "errcode"}), 400, "with errcode"),
        ("faults", json!({"kind": "cut", "api": "message/sned"}), 404, "no API"),
        ("clock", json!({"advance": "a week"}), 400, "7d"),
        ("clock", json!({"set": "2000-01-01T00:00:00Z"}), 409, "past"),
        ("callbacks", json!({"copies": 0}), 400, "copies"),
        ("nothing", json!({}), 404, "there is no POST"),
    ] {
        let (got, answer) = test.control(path, body).await;
        let error = answer["error"].as_str().unwrap();
        assert!(got == status && error.contains(words), "{path}: {got} {answer}");
    }
    let form = test.http.post(test.url("/control/run")).body("{}").send().await.unwrap();
    assert_eq!(form.status(), 415); // what a page of another origin could send
}

#[tokio::test]
async fn planned_acts_happen_while_the_clock_moves() {
    let test = Test::start().await;
    let act = |act: Value, after: &str| json!({"after": after, "act": act});
    let add = json!({"act": "customer_adds", "customer": "wmAnna", "userid": "lili"});
    assert_eq!(test.control("plan", act(add, "1d")).await.0, 200);
    let leave = json!({"act": "customer_deletes", "customer": "wmAnna", "userid": "lili"});
    assert_eq!(test.control("plan", act(leave, "3d")).await.0, 200);
    let start = test.clock.now();
    let (status, answer) = test.control("clock", json!({"advance": "2d"})).await;
    assert_eq!(status, 200, "{answer}");
    assert!(test.clock.now() - start >= TimeDelta::days(2));
    let customer = test.world.customer("wmAnna").unwrap();
    assert!((customer.relations[0].since - start - TimeDelta::days(1)).abs() < TimeDelta::minutes(1));
    assert!(!customer.relations[0].left);
    assert_eq!(test.control("clock", json!({"advance": "2d"})).await.0, 200);
    assert!(test.world.customer("wmAnna").unwrap().relations[0].left);
    assert!(test.world.misfires().is_empty());
}

#[tokio::test]
async fn faults_and_holds_are_switched_over_http() {
    let test = Test::start().await;
    let fault = json!({"kind": "errcode", "errcode": 40014, "api": "user/get", "times": 1});
    assert_eq!(test.control("faults", fault).await.0, 200);
    assert_eq!(test.get("user/get", &[("userid", "lili")]).await["errcode"], 40014);
    assert_eq!(test.control("tokens", json!({"do": "revoke"})).await.0, 200);
    assert_eq!(test.get("user/get", &[("userid", "lili")]).await["errcode"], 40014);

    let held = test.control("hold", json!({"api": "gettoken"})).await.1["hold"].clone();
    let release = async {
        let url = test.url(&format!("/control/hold/{held}"));
        let answer: Value = test.http.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["accepted"], true);
        test.control(&format!("hold/{held}/release"), json!({})).await.0
    };
    let (token, status) = tokio::join!(test.new_token(crate::helpers::SECRET), release);
    assert!(!token.is_empty());
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_page_shows_names_and_words_as_text() {
    let receiver = Receiver::start().await;
    let test = Test::with_callback(Some(receiver.url.clone())).await;
    let evil = "<script>alert(1)</script>\"'";
    assert_eq!(
        test.control("customers/wm%3Cb%3E/add", json!({"userid": "lili", "name": evil, "state": evil})).await.0,
        200
    );
    let code = receiver.take()[0].field("WelcomeCode").unwrap();
    let welcome = json!({"welcome_code": code, "text": {"content": evil}});
    assert_eq!(test.code("externalcontact/send_welcome_msg", welcome).await, 0);
    let response = test.http.get(test.url("/")).send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'self'"));
    let page = response.text().await.unwrap();
    assert!(page.contains("<html lang=\"zh-CN\">") && page.contains("李丽"));
    assert!(!page.contains("<script>alert") && !page.contains("wm<b>"));
    assert_eq!(page.matches("alert(1)").count(), 3, "name, state and welcome are shown");
    for (path, kind) in [("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/live", "text/html")] {
        let response = test.http.get(test.url(path)).send().await.unwrap();
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(kind));
    }
    assert_eq!(test.http.get(test.url("/nothing")).send().await.unwrap().status(), 404);
}

/// A server whose clock goes where it is set; gives its address and the moments it was set to.
async fn server_with_clock() -> (String, Arc<Mutex<Vec<At>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/clock", listener.local_addr().unwrap());
    let moments = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&moments);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let list = Arc::clone(&list);
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let list = Arc::clone(&list);
                async move {
                    assert_eq!(request.headers()["authorization"], "Bearer shop-token");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    list.lock().unwrap().push(body["set"].as_str().unwrap().parse().unwrap());
                    let answer = json!({"now": body["set"]}).to_string();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, moments)
}

#[tokio::test]
async fn the_servers_clock_moves_first_and_stops_where_people_act() {
    let (url, moments) = server_with_clock().await;
    let server = ServerClock { url, bearer: "shop-token".into() };
    let test = Test::with(None, |options| options.server_clock = Some(server)).await;
    let start = test.clock.now();
    let act = start + TimeDelta::minutes(90);
    test.world.plan(act, Act::StaffDeletes { userid: "lili".into(), customer: "wmNobody".into() });
    assert_eq!(test.control("clock", json!({"advance": "3h"})).await.0, 200);
    let moments = moments.lock().unwrap().clone();
    assert!(moments.contains(&act), "{moments:?}");
    assert!(moments.is_sorted() && moments.windows(2).all(|two| two[1] - two[0] <= TimeDelta::hours(1)));
    assert!(test.clock.now() - start >= TimeDelta::hours(3));
    assert_eq!(test.world.misfires().len(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_follow_is_reported() {
    let server = ServerClock { url: "http://127.0.0.1:1/v1/clock".into(), bearer: "shop-token".into() };
    let test = Test::with(None, |options| options.server_clock = Some(server)).await;
    let (status, answer) = test.control("clock", json!({"advance": "1d"})).await;
    assert_eq!(status, 409);
    assert!(answer["error"].as_str().unwrap().contains("server's clock"), "{answer}");
}

#[tokio::test]
async fn planned_acts_happen_by_themselves_when_they_may() {
    let test = Test::with(None, |options| options.acts = true).await;
    let adding = touchpoint::sandbox::Adding { customer: "wmAnna".into(), userid: "lili".into(), ..Default::default() };
    test.world.plan(test.clock.now() + TimeDelta::hours(1), Act::CustomerAdds(adding));
    test.advance(TimeDelta::hours(2));
    test.world.wait_until("the adding", PATIENCE, |world| world.customer("wmAnna").is_some()).await.unwrap();
}
