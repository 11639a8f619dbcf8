//! Customers: their profile, and the welcome of an adding (WeCom documents 92114 and 92137).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::effect::Message;
use crate::domain::ids::{ExternalUserId, UserId};

use super::answer::{Answer, CallError, Calls};
use super::api::Api;
use super::body::{self, Unfit};
use super::directory;
use super::effects::{Nature, Outcome, Past, settle, wait};
use super::reasons;

/// How soon to try a welcome again while another app is at it.
const WELCOME_AGAIN: Duration = Duration::from_millis(700);
/// The most pages of one customer: 500 followers each.
const PAGES: usize = 40;
/// A tag that the corp made; the other types are a member's own and those of rule groups.
const CORP_TAG: i64 = 1;

/// Reads a customer, all followers included, and one member's name. Without that name it is a profile too.
pub(crate) async fn fetch_profile(
    calls: &impl Calls,
    past: Past,
    customer: &ExternalUserId,
    userid: Option<&UserId>,
) -> Outcome {
    let staff = async {
        match userid {
            Some(userid) => directory::name_of(calls, userid).await,
            None => None,
        }
    };
    let (pages, staff_name) = tokio::join!(pages(calls, customer), staff);
    match pages {
        Ok(pages) => Outcome::Done(profile(&pages, userid, staff_name)),
        Err(error) => settle(Nature::Reads, past, &error),
    }
}

async fn pages(calls: &impl Calls, customer: &ExternalUserId) -> Result<Vec<Answer>, CallError> {
    let mut pages: Vec<Answer> = Vec::new();
    let mut body = json!({ "external_userid": customer.as_str() });
    loop {
        let answer = calls.call(Api::GetCustomer, body.clone()).await?;
        let next = answer.text("next_cursor").map(str::to_owned);
        pages.push(answer);
        match next {
            Some(cursor) if pages.len() < PAGES => body["cursor"] = cursor.into(),
            Some(_) | None => return Ok(pages),
        }
    }
}

/// What decisions read of a customer. Fields that WeCom withholds are absent; times are in milliseconds.
fn profile(pages: &[Answer], userid: Option<&UserId>, staff_name: Option<String>) -> Map<String, Value> {
    let mut profile = Map::new();
    let contact = pages.first().and_then(|page| page.0.get("external_contact"));
    for field in ["name", "type", "gender", "unionid"] {
        let value = contact.and_then(|contact| contact.get(field));
        if let Some(value) = value.filter(|value| !value.is_null() && value.as_str() != Some("")) {
            profile.insert(field.to_owned(), value.clone());
        }
    }
    let followers: Vec<Value> = pages.iter().flat_map(|page| page.list("follow_user")).filter_map(follower).collect();
    profile.insert("follow_users".to_owned(), followers.into());
    if let Some(userid) = userid {
        profile.insert("userid".to_owned(), userid.as_str().into());
    }
    if let Some(name) = staff_name {
        profile.insert("staff_name".to_owned(), name.into());
    }
    profile
}

fn follower(follower: &Value) -> Option<Value> {
    let userid = follower.get("userid")?.as_str()?;
    let mut read = json!({ "userid": userid });
    if let Some(state) = follower.get("state").and_then(Value::as_str).filter(|state| !state.is_empty()) {
        read["state"] = state.into();
    }
    if let Some(way) = follower.get("add_way").and_then(Value::as_i64) {
        read["add_way"] = way.into();
    }
    if let Some(seconds) = follower.get("createtime").and_then(Value::as_i64) {
        read["createtime"] = seconds.saturating_mul(1000).into();
    }
    let tags = follower.get("tags").and_then(Value::as_array).into_iter().flatten();
    read["tags"] = tags.filter_map(corp_tag).collect();
    Some(read)
}

/// A corp tag as `group/name`. One whose group has a slash in its name cannot be written so and is left out.
fn corp_tag(tag: &Value) -> Option<Value> {
    let (group, name) = (tag.get("group_name")?.as_str()?, tag.get("tag_name")?.as_str()?);
    let is_ours = tag.get("type").and_then(Value::as_i64).is_none_or(|kind| kind == CORP_TAG);
    (is_ours && !group.contains('/')).then(|| format!("{group}/{name}").into())
}

/// Sends the welcome of an adding. A code works once, so a repeat is harmless.
pub(crate) async fn welcome(calls: &impl Calls, past: Past, code: &str, message: &Message) -> Outcome {
    match welcome_body(code, message) {
        Ok(body) => welcomed(past, calls.call(Api::SendWelcome, body).await),
        Err(unfit) => unfit.into(),
    }
}

fn welcome_body(code: &str, message: &Message) -> Result<Value, Unfit> {
    let mut body = json!({ "welcome_code": code });
    body::put_message(&mut body, message)?;
    Ok(body)
}

fn welcomed(past: Past, answer: Result<Answer, CallError>) -> Outcome {
    let error = match answer {
        Ok(_) => return Outcome::Done(Map::new()),
        Err(error) => error,
    };
    match &error {
        CallError::Refused(refusal) => match refusal.errcode {
            // The code is used up. If a try of ours ended without an answer, that try used it.
            41050 if past.unanswered => Outcome::Done(Map::new()),
            // Another app is at it, which says nothing about how that will end; the 20 s bound the tries.
            41096 => wait(past, WELCOME_AGAIN, reasons::WELCOME_ELSEWHERE),
            _ => settle(Nature::Speaks, past, &error),
        },
        CallError::NotNow { .. } | CallError::Unanswered | CallError::NotWecom { .. } | CallError::Unserved(_) => {
            settle(Nature::Speaks, past, &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wecom::script::{FIRST, Script, UNSURE, refused};

    fn customer() -> ExternalUserId {
        ExternalUserId::parse("wmAbc").unwrap()
    }
    fn lili() -> UserId {
        UserId::parse("LiLi").unwrap()
    }

    #[tokio::test]
    async fn a_profile_holds_every_page_of_followers_their_corp_tags_and_the_staff_members_name() {
        let script = Script::new()
            .answers(
                Api::GetCustomer,
                json!({ "external_contact": { "external_userid": "wmAbc", "name": "王小姐", "type": 1, "gender": 2,
                    "unionid": "un1", "avatar": "https://a" },
                  "follow_user": [ { "userid": "lili", "remark": "r", "createtime": 1_700_000_000, "state": "store-01",
                    "add_way": 1, "tags": [
                      { "group_name": "分层", "tag_name": "新客", "tag_id": "et1", "type": 1 },
                      { "group_name": "自己", "tag_name": "私人", "type": 2 },
                      { "group_name": "规则", "tag_name": "组", "tag_id": "st1", "type": 3 },
                      { "group_name": "a/b", "tag_name": "c", "tag_id": "et2", "type": 1 } ] } ],
                  "next_cursor": "c2" }),
            )
            .answers(
                Api::GetCustomer,
                json!({ "external_contact": { "name": "王小姐" }, "follow_user": [ { "userid": "wangwei", "state": "" } ] }),
            )
            .answers(Api::GetUser, json!({ "userid": "lili", "name": "李丽", "department": [1] }));
        let outcome = fetch_profile(&script, FIRST, &customer(), Some(&lili())).await;
        assert_eq!(
            outcome,
            Outcome::Done(
                json!({ "name": "王小姐", "type": 1, "gender": 2, "unionid": "un1", "userid": "LiLi", "staff_name": "李丽",
                  "follow_users": [
                    { "userid": "lili", "state": "store-01", "add_way": 1, "createtime": 1_700_000_000_000_i64,
                      "tags": ["分层/新客"] },
                    { "userid": "wangwei", "tags": [] } ] })
                .as_object()
                .unwrap()
                .clone()
            )
        );
        let asked = script.asked();
        assert!(asked.contains(&(Api::GetCustomer, json!({ "external_userid": "wmAbc" }))));
        assert!(asked.contains(&(Api::GetCustomer, json!({ "external_userid": "wmAbc", "cursor": "c2" }))));
        assert!(asked.contains(&(Api::GetUser, json!({ "userid": "LiLi" }))));
    }

    #[tokio::test]
    async fn a_profile_without_the_staff_members_name_is_a_profile_all_the_same() {
        for error in [refused(60111), CallError::Unanswered, CallError::NotNow { after: Duration::ZERO, reason: "x" }] {
            let script = Script::new()
                .answers(Api::GetCustomer, json!({ "external_contact": { "name": "王" }, "follow_user": [] }))
                .fails(Api::GetUser, error);
            let Outcome::Done(profile) = fetch_profile(&script, FIRST, &customer(), Some(&lili())).await else {
                panic!("a profile")
            };
            assert_eq!((profile["name"].as_str(), profile.get("staff_name")), (Some("王"), None));
        }
    }

    #[tokio::test]
    async fn without_a_relation_there_is_no_profile() {
        let script = Script::new().fails(Api::GetCustomer, refused(84061));
        let outcome = fetch_profile(&script, FIRST, &customer(), None).await;
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::NOT_A_CONTACT));
    }

    #[tokio::test]
    async fn a_welcome_carries_code_text_and_attachments() {
        let script = Script::new().answers(Api::SendWelcome, json!({}));
        let message = Message { text: "您好\u{7}".into(), attachments: vec![] };
        assert_eq!(welcome(&script, FIRST, "CODE", &message).await, Outcome::Done(Map::new()));
        let body = json!({ "welcome_code": "CODE", "text": { "content": "您好" } });
        assert_eq!(script.asked(), [(Api::SendWelcome, body)]);
    }

    #[test]
    fn a_welcome_that_was_given_before_is_done_and_one_that_is_too_late_is_not() {
        let done = Outcome::Done(Map::new());
        assert_eq!(welcomed(FIRST, Err(refused(41051))), done);
        assert_eq!(welcomed(UNSURE, Err(refused(41050))), done, "the try without an answer used the code");
        let late = welcomed(FIRST, Err(refused(41050)));
        assert!(matches!(late, Outcome::Failed { reason, .. } if reason == reasons::TOO_LATE));
    }

    #[test]
    fn a_welcome_that_another_app_is_sending_is_tried_again_at_once_without_counting() {
        for past in [FIRST, UNSURE] {
            let outcome = welcomed(past, Err(refused(41096)));
            let Outcome::Again { after, counts: false, unanswered, .. } = outcome else { panic!("{outcome:?}") };
            assert!(after < Duration::from_secs(1));
            assert_eq!(unanswered, past.unanswered);
        }
    }

    #[tokio::test]
    async fn a_welcome_that_is_too_long_is_never_sent() {
        let script = Script::new();
        let message = Message { text: "好".repeat(2000), attachments: vec![] };
        let outcome = welcome(&script, FIRST, "CODE", &message).await;
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::TEXT_TOO_LONG));
        assert!(script.asked().is_empty());
    }
}
