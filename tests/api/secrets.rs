//! Guarantee 12: no secret, token or personal word reaches a log, a metric, `/readyz` or an error.

use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use touchpoint::sandbox::{Act, Adding, CallbackFaults, Fault, FaultKind, World};

use super::helpers::{AES_KEY, CALLBACK_TOKEN, Company, Setup, TOKEN, adding, rules};
use super::process::RealProcess;

const RULES: &str = r#"
tags: { 触点: { order: 10 } }
segments:
  buyer: { name: 买家, when: customer.orders > 0, tag: 触点/买家 }
welcome: [ { say: greeting } ]
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ nudge: { say: thanks, via: [mass] }, prompt: { title: 请回访, say: call } ] }
staff: { escalate: 1h }
"#;
const NAME: &str = "欧阳秘密";
const PHONE: &str = "13912345678";
const WORDS: &str = "悄悄告诉你一件事";

/// A minute with everything that may go wrong between server and WeCom.
async fn a_busy_minute(company: &Company) -> Vec<String> {
    let faults = company.world.faults();
    let troubles = [
        ("externalcontact/get", FaultKind::Cut),
        ("externalcontact/send_welcome_msg", FaultKind::LoseAnswer),
        ("externalcontact/mark_tag", FaultKind::Errcode(-1)),
        ("externalcontact/mark_tag", FaultKind::HalfAnswer),
        ("externalcontact/add_msg_template", FaultKind::Errcode(40058)),
        ("message/send", FaultKind::Status(502)),
        ("message/update_template_card", FaultKind::Errcode(88_888)),
    ];
    for (api, kind) in troubles {
        faults.inject(Fault::new(kind).of(api).times(1)).unwrap();
    }
    for (number, customer) in ["wmWang", "wmLi", "wmZhao"].into_iter().enumerate() {
        if number == 1 {
            // A new token is asked for at most every 5 s, so once is enough for a test.
            faults.revoke_tokens(None);
        }
        company.adds(Adding { name: Some(NAME.to_owned()), ..adding(customer, "lili", "store-01") }).await;
        company.settle().await;
        company.happens("customer.updated", customer, json!({ "phone": PHONE, "attrs": { "note": WORDS } })).await;
        company.orders(customer, &format!("A{number}"), "100").await;
    }
    let (userid, app, text) = ("lili".to_owned(), "assistant".to_owned(), WORDS.to_owned());
    company.world.perform(&Act::Writes { userid, app, text }).await.unwrap();
    company.leaps_by_http(Duration::from_secs(7 * 60)).await;
    let card = company.latest_card("lili");
    company.taps("lili", &card, "done").await;
    faults.callbacks(CallbackFaults { copies: 2, ..CallbackFaults::default() });
    company.customer_deletes("wmZhao", "lili").await;
    errors(company).await
}

/// Answers to requests that are refused.
async fn errors(company: &Company) -> Vec<String> {
    let forged = company.http.post(company.url("/wecom/callback/assistant?msg_signature=1&timestamp=1&nonce=1"));
    let stranger = company.http.post(company.url("/v1/events")).bearer_auth("guessed");
    let broken =
        company.http.post(company.url("/v1/events")).bearer_auth(TOKEN).header("content-type", "application/json");
    let no_money = company.event("1", "order.paid", &format!("phone:{PHONE}"), json!({ "amount": "many" }));
    let wrong =
        company.http.post(company.url("/v1/events")).bearer_auth(TOKEN).header("content-type", "application/json");
    let nobody = company.http.get(company.url("/v1/customers/wmNobody")).bearer_auth(TOKEN);
    let sent = [
        forged.body(format!("<xml><Encrypt>{WORDS}</Encrypt></xml>")),
        stranger.body(WORDS),
        broken.body(format!("{{\"data\": \"{WORDS}")),
        wrong.body(no_money.to_string()),
        nobody,
        company.http.get(company.url("/v1/customers/wmWang")).bearer_auth(WORDS),
        company.http.post(company.url("/v1/clock")).bearer_auth(TOKEN).body(WORDS),
    ];
    let mut answers = Vec::new();
    for request in sent {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_client_error());
        answers.push(answer.text().await.unwrap());
    }
    answers
}

/// Codes that WeCom gave with its callbacks.
fn codes(world: &World) -> Vec<(&'static str, String)> {
    let mut codes = Vec::new();
    for (what, element) in [("a welcome code", "WelcomeCode"), ("a response code", "ResponseCode")] {
        let pattern = Regex::new(&format!(r"<{element}><!\[CDATA\[(.+?)\]\]>")).unwrap();
        for callback in world.callbacks() {
            codes.extend(pattern.captures(&callback.body).map(|found| (what, found[1].to_owned())));
        }
    }
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_personal_word_leaves_the_server_even_at_the_finest_log_level() {
    // The second app's secret is not the one that WeCom knows.
    let setup = Setup::new(
        &rules(RULES).replace("messages:\n", "messages:\n  greeting: { text: \"{{ customer.name }}您好\" }\n"),
    )
    .with_app("typo", "");
    let mut company = Company::prepare(setup).await;
    company.misspells_the_secret_of("typo", "directory");
    let process = RealProcess::serve(company.dir.path(), "trace");
    company.is_served_at(&process.address);
    company.settle().await;

    let mut said = a_busy_minute(&company).await;
    said.push(company.get("/metrics").await.1);
    said.push(company.get("/readyz").await.1);
    let ready: Value = serde_json::from_str(&said[said.len() - 1]).unwrap();
    process.signal("TERM");
    let mut process = process;
    assert_eq!(process.ended(), Some(0));
    said.push(process.log());

    let codes = codes(&company.world);
    let kinds: Vec<&str> = codes.iter().map(|(what, _)| *what).collect();
    assert!(kinds.contains(&"a welcome code") && kinds.contains(&"a response code"), "{kinds:?}");
    let secret = company.setup.apps[0].secret.clone();
    let known = [
        ("the app's secret", secret.as_str()),
        ("a misspelt secret", "misspelt-secret"),
        ("the callback token", CALLBACK_TOKEN),
        ("the AES key", AES_KEY),
        ("the API token", TOKEN),
        ("the server's key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        ("a customer's name", NAME),
        ("a phone number", PHONE),
        ("words of a person", WORDS),
        ("a message", "谢谢您的订单"),
        ("a message", "衣服合身吗"),
        ("a welcome", "您好"),
        ("an access token in an address", "access_token="),
    ];
    let known = known.into_iter().chain(codes.iter().map(|(what, code)| (*what, code.as_str())));
    let log = said[said.len() - 1].clone();
    for (what, text) in known {
        for page in &said {
            let line = page.lines().find(|line| line.contains(text));
            assert_eq!(line, None, "{what} is told");
        }
    }
    // WeCom's access tokens have 214 letters and digits in a row; nothing else has.
    let token = Regex::new("[A-Za-z0-9]{200}").unwrap();
    for page in &said {
        assert_eq!(page.lines().find(|line| token.is_match(line)), None, "an access token is told");
    }
    // The log is not empty for all that, and the trouble is in it.
    assert!(log.lines().count() > 200, "{log}");
    assert!(log.contains("88888") && log.contains("TRACE"), "the finest level is on");
    assert!(ready["degraded"].as_array().is_some_and(|troubles| !troubles.is_empty()), "{ready}");
    company.sandbox.stop().await;
}
