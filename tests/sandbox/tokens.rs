use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::helpers::{CORP, SECRET, Test};

#[tokio::test]
async fn a_token_is_given_for_the_right_secret_and_nothing_else() {
    let test = Test::start().await;
    for (query, errcode) in [
        (vec![("corpsecret", SECRET)], 41002),
        (vec![("corpid", CORP)], 41004),
        (vec![("corpid", "ww-another"), ("corpsecret", SECRET)], 40013),
        (vec![("corpid", CORP), ("corpsecret", "wrong")], 40001),
        (vec![("corpid", CORP), ("corpsecret", SECRET), ("more", "1")], 40058),
    ] {
        assert_eq!(test.raw_get("gettoken", &query).await["errcode"], errcode, "{query:?}");
    }
    let reply = test.raw_get("gettoken", &[("corpid", CORP), ("corpsecret", SECRET)]).await;
    assert_eq!((&reply["errcode"], &reply["expires_in"]), (&json!(0), &json!(7200)));
}

#[tokio::test]
async fn several_wrong_secrets_ban_the_address_for_an_hour_of_business_time() {
    let test = Test::start().await;
    let (wrong, right) = ([("corpid", CORP), ("corpsecret", "wrong")], [("corpid", CORP), ("corpsecret", SECRET)]);
    for _ in 0..5 {
        assert_eq!(test.raw_get("gettoken", &wrong).await["errcode"], 40001);
    }
    assert_eq!(test.raw_get("gettoken", &right).await["errcode"], 45009);
    test.advance(TimeDelta::minutes(59));
    assert_eq!(test.raw_get("gettoken", &right).await["errcode"], 45009);
    test.advance(TimeDelta::minutes(2));
    assert_eq!(test.raw_get("gettoken", &right).await["errcode"], 0);
}

#[tokio::test]
async fn a_call_without_a_good_token_is_refused() {
    let test = Test::start().await;
    assert_eq!(test.raw_get("getcallbackip", &[]).await["errcode"], 41001);
    assert_eq!(test.raw_get("getcallbackip", &[("access_token", "made-up")]).await["errcode"], 40014);
    assert_eq!(test.get("getcallbackip", &[]).await["ip_list"], json!(["127.0.0.1"]));
    test.world.faults().expire_tokens(Some("other"));
    assert_eq!(test.get("getcallbackip", &[]).await["errcode"], 0);
    test.world.faults().expire_tokens(Some("assistant"));
    assert_eq!(test.get("getcallbackip", &[]).await["errcode"], 42001);
    test.world.faults().revoke_tokens(None);
    assert_eq!(test.get("getcallbackip", &[]).await["errcode"], 40014);
}

#[tokio::test]
async fn a_wrong_path_is_404_with_an_empty_body() {
    let test = Test::start().await;
    let response = test.http.get(test.url("/cgi-bin/externalcontact/list_everything")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
    assert_eq!(test.world.log().pop().unwrap().api, "externalcontact/list_everything");
}

#[tokio::test]
async fn the_body_must_be_an_object_of_raw_utf8_sent_with_the_right_method() {
    let test = Test::start().await;
    let token = test.new_token(SECRET).await;
    let post = async |body: &'static str| -> Value {
        let url = test.url("/cgi-bin/externalcontact/get_corp_tag_list");
        let request = test.http.post(url).query(&[("access_token", token.as_str())]).body(body);
        request.send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(post(r#"{"tag_id":["\u4f60"]}"#).await["errcode"], 40033);
    assert_eq!(post(r#"{"tag_id":["\\u4f60"]}"#).await["errcode"], 40068); // an escaped backslash is none
    for wrong in ["", "[]", "{"] {
        let reply = post(wrong).await;
        assert_eq!(reply["errcode"], 40058, "{wrong}");
        assert!(reply["errmsg"].as_str().unwrap().contains("Warning: wrong json format."));
    }
    assert_eq!(post("{}").await["errcode"], 0);
    assert_eq!(test.get("externalcontact/get_corp_tag_list", &[]).await["errcode"], 40058);
    assert_eq!(test.post("getcallbackip", json!({})).await["errcode"], 40058);
}

#[tokio::test]
async fn the_log_keeps_every_call_and_neither_token_nor_secret() {
    let test = Test::start().await;
    let before = test.world.log().len();
    test.get("user/get", &[("userid", "lili")]).await;
    test.post("externalcontact/get_corp_tag_list", json!({"tag_id": ["et-unknown"]})).await;
    let log = test.world.log_after(before as u64);
    assert_eq!(
        log.iter().map(|entry| (entry.api.as_str(), entry.errcode)).collect::<Vec<_>>(),
        [("user/get", 0), ("externalcontact/get_corp_tag_list", 40068)]
    );
    assert_eq!(log[0].app.as_deref(), Some("assistant"));
    assert_eq!(log[1].request, json!({"body": {"tag_id": ["et-unknown"]}}));
    let whole = serde_json::to_string(&test.world.log()).unwrap();
    assert!(whole.contains("gettoken") && !whole.contains(SECRET) && !whole.contains(&test.new_token(SECRET).await));
}

#[tokio::test]
async fn an_app_tells_about_itself_and_about_no_other() {
    let test = Test::start().await;
    let own = test.get("agent/get", &[("agentid", "1000002")]).await;
    assert_eq!((&own["errcode"], &own["close"]), (&json!(0), &json!(0)));
    assert_eq!(own["allow_userinfos"]["user"], json!([{"userid": "lili"}, {"userid": "WangWei"}]));
    assert_eq!(test.get("agent/get", &[("agentid", "1000003")]).await["errcode"], 301_002);
    assert_eq!(test.get("agent/get", &[]).await["errcode"], 40058);
    assert_eq!(test.get("get_api_domain_ip", &[]).await["ip_list"], json!(["127.0.0.1"]));
}

#[tokio::test]
async fn accounts_of_kf_are_asked_for_in_pages_of_at_most_100() {
    let test = Test::start().await;
    assert_eq!(test.post("kf/account/list", json!({"offset": 0, "limit": 100})).await["account_list"], json!([]));
    for wrong in [json!({"limit": 101}), json!({"offset": -1}), json!({"page": 1})] {
        assert_eq!(test.post("kf/account/list", wrong).await["errcode"], 40058);
    }
}
