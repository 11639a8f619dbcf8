//! Messages to staff in the app's chat (WeCom documents 90236 and 94888).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::At;
use crate::domain::effect::Card;
use crate::domain::ids::UserId;

use super::answer::{Answer, CallError, Calls};
use super::api::Api;
use super::body::{self, Unfit};
use super::effects::{Nature, Outcome, Past, fail, settle};
use super::reasons;

/// How long WeCom remembers a text, so that the same one is not delivered twice: the longest it offers.
const REMEMBERED: Duration = Duration::from_secs(14_400);
/// The most lines of a card.
const LINES: usize = 6;
/// The most buttons of a card.
const BUTTONS: usize = 6;
/// The most bytes of a button's key.
const KEY: usize = 1024;

/// Sends a card. Its `task_id` is never used twice, so a repeat is harmless.
pub(crate) async fn card(calls: &impl Calls, past: Past, userid: &UserId, card: &Card) -> Outcome {
    let agent_id = match calls.agent_id() {
        Ok(agent_id) => agent_id,
        Err(error) => return settle(Nature::Speaks, past, &error),
    };
    match card_body(agent_id, userid, card) {
        Ok(body) => carded(past, calls.call(Api::SendMessage, body).await),
        Err(unfit) => unfit.into(),
    }
}

fn card_body(agent_id: i64, userid: &UserId, card: &Card) -> Result<Value, Unfit> {
    body::at_most("lines on a card", card.lines.len(), LINES)?;
    body::at_most("buttons on a card", card.buttons.len(), BUTTONS)?;
    let mut buttons = Vec::new();
    for (label, key) in &card.buttons {
        body::fits("a button's key", key, KEY)?;
        // The first button is the one that moves things on; it alone stands out.
        let style = if buttons.is_empty() { 1 } else { 2 };
        buttons.push(json!({ "text": label, "style": style, "key": key }));
    }
    let mut title = json!({ "title": card.title });
    body::put_unless_empty(&mut title, "desc", &card.desc);
    let mut inner = json!({
        "card_type": "button_interaction",
        "task_id": card.task_id.as_str(),
        "main_title": title,
        "button_list": buttons,
    });
    body::put_unless_empty(&mut inner, "sub_title_text", &card.text);
    if !card.lines.is_empty() {
        inner["horizontal_content_list"] = card.lines.iter().map(line).collect();
    }
    Ok(json!({ "touser": userid.as_str(), "msgtype": "template_card", "agentid": agent_id, "template_card": inner }))
}

fn line((name, value): &(String, String)) -> Value {
    let mut line = json!({ "keyname": name });
    body::put_unless_empty(&mut line, "value", value);
    line
}

fn carded(past: Past, answer: Result<Answer, CallError>) -> Outcome {
    match answer {
        Ok(answer) => taken(&answer, &["msgid", "response_code"]),
        // The task_id is taken: by our own try that ended without an answer.
        Err(CallError::Refused(refusal)) if refusal.errcode == 42014 && past.unanswered => Outcome::Done(Map::new()),
        Err(error) => settle(Nature::Speaks, past, &error),
    }
}

/// What a good answer says of the one receiver: WeCom answers 0 also when it left somebody out.
fn taken(answer: &Answer, kept: &[&str]) -> Outcome {
    if answer.text("unlicenseduser").is_some() {
        return fail(reasons::STAFF_UNLICENSED, "the staff member has no licence for messages of apps (基础接口许可)");
    }
    if answer.text("invaliduser").is_some() {
        return fail(reasons::STAFF_UNREACHABLE, "the staff member is not in the app's visible range (应用可见范围)");
    }
    let kept = kept.iter().filter_map(|field| Some(((*field).to_owned(), answer.text(field)?.into())));
    Outcome::Done(kept.collect())
}

/// Sends a text. WeCom does not deliver the same body twice within four hours; after that nobody can tell.
pub(crate) async fn text(calls: &impl Calls, past: Past, userid: &UserId, text: &str, not_before: At) -> Outcome {
    if past.unanswered {
        match calls.business_now().await {
            Ok(now) if is_forgotten(not_before, now) => {
                return fail(
                    reasons::OUTCOME_UNKNOWN,
                    "an earlier try was not answered, and it is too long ago to repeat",
                );
            }
            Ok(_) => {}
            Err(error) => return settle(Nature::Speaks, past, &error),
        }
    }
    let agent_id = match calls.agent_id() {
        Ok(agent_id) => agent_id,
        Err(error) => return settle(Nature::Speaks, past, &error),
    };
    match text_body(agent_id, userid, text) {
        Ok(body) => match calls.call(Api::SendMessage, body).await {
            Ok(answer) => taken(&answer, &["msgid"]),
            Err(error) => settle(Nature::Speaks, past, &error),
        },
        Err(unfit) => unfit.into(),
    }
}

/// Whether WeCom may have forgotten a text that was first tried at or after `not_before`.
fn is_forgotten(not_before: At, now: At) -> bool {
    (now - not_before).to_std().is_ok_and(|age| age >= REMEMBERED)
}

fn text_body(agent_id: i64, userid: &UserId, text: &str) -> Result<Value, Unfit> {
    if text.is_empty() {
        return Err(Unfit { reason: reasons::NOTHING_TO_SAY, message: "an empty text".into() });
    }
    body::fits("the text", text, body::STAFF_TEXT)?;
    Ok(json!({
        "touser": userid.as_str(),
        "msgtype": "text",
        "agentid": agent_id,
        "text": { "content": text },
        "enable_duplicate_check": 1,
        "duplicate_check_interval": REMEMBERED.as_secs(),
    }))
}

/// Greys out a card's buttons. A code works once; the next tap brings a new one.
pub(crate) async fn update(
    calls: &impl Calls,
    past: Past,
    userid: &UserId,
    response_code: &str,
    replace_name: &str,
) -> Outcome {
    let agent_id = match calls.agent_id() {
        Ok(agent_id) => agent_id,
        Err(error) => return settle(Nature::Sets, past, &error),
    };
    let body = json!({
        "userids": [userid.as_str()],
        "agentid": agent_id,
        "response_code": response_code,
        "button": { "replace_name": replace_name },
    });
    updated(past, calls.call(Api::UpdateCard, body).await)
}

fn updated(past: Past, answer: Result<Answer, CallError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Done(Map::new()),
        // The code is used up: by our own try that ended without an answer.
        Err(CallError::Refused(refusal)) if refusal.errcode == 60140 && past.unanswered => Outcome::Done(Map::new()),
        Err(error) => settle(Nature::Sets, past, &error),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::domain::ids::EffectId;
    use crate::wecom::script::{FIRST, Script, UNSURE, refused};

    fn lili() -> UserId {
        UserId::parse("lili").unwrap()
    }

    fn a_card() -> Card {
        Card {
            task_id: EffectId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
            title: "高价值客户仍未回店".into(),
            desc: "王小姐".into(),
            lines: vec![("客户".into(), "王小姐".into()), ("到期".into(), String::new())],
            text: "好久不见".into(),
            buttons: vec![("已完成".into(), "done".into()), ("稍后提醒".into(), "snooze".into())],
        }
    }

    #[test]
    fn a_card_is_written_as_wecom_names_its_fields() {
        assert_eq!(
            card_body(1_000_002, &lili(), &a_card()).unwrap(),
            json!({
                "touser": "lili", "msgtype": "template_card", "agentid": 1_000_002,
                "template_card": {
                    "card_type": "button_interaction",
                    "task_id": "abcdefghijklmnopqrstuvwxyz",
                    "main_title": { "title": "高价值客户仍未回店", "desc": "王小姐" },
                    "sub_title_text": "好久不见",
                    "horizontal_content_list": [ { "keyname": "客户", "value": "王小姐" }, { "keyname": "到期" } ],
                    "button_list": [
                        { "text": "已完成", "style": 1, "key": "done" }, { "text": "稍后提醒", "style": 2, "key": "snooze" } ],
                },
            })
        );
        let bare = Card { desc: String::new(), lines: vec![], text: String::new(), ..a_card() };
        let body = card_body(1, &lili(), &bare).unwrap();
        let keys: Vec<&String> = body["template_card"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["button_list", "card_type", "main_title", "task_id"]);
    }

    #[test]
    fn a_card_with_more_lines_than_wecom_takes_is_refused_with_the_numbers() {
        let long = Card { lines: vec![("a".into(), "b".into()); 7], ..a_card() };
        let unfit = card_body(1, &lili(), &long).unwrap_err();
        assert_eq!(
            (unfit.reason, unfit.message.as_str()),
            (reasons::TOO_MANY_PARTS, "7 lines on a card, WeCom takes 6")
        );
    }

    #[tokio::test]
    async fn a_card_that_was_taken_gives_msgid_and_response_code() {
        let answer = json!({ "msgid": "m1", "response_code": "r1", "invaliduser": "" });
        let script = Script::new().answers(Api::SendMessage, answer);
        let Outcome::Done(kept) = card(&script, FIRST, &lili(), &a_card()).await else { panic!("done") };
        assert_eq!(Value::from(kept), json!({ "msgid": "m1", "response_code": "r1" }));
    }

    #[test]
    fn a_card_whose_task_id_is_taken_went_out_only_if_a_try_of_ours_was_not_answered() {
        assert_eq!(carded(UNSURE, Err(refused(42014))), Outcome::Done(Map::new()));
        let outcome = carded(FIRST, Err(refused(42014)));
        assert!(matches!(outcome, Outcome::Failed { reason, errcode: Some(42014), .. } if reason == reasons::REFUSED));
    }

    #[test]
    fn a_staff_member_whom_wecom_left_out_was_not_reached() {
        for (field, expected) in
            [("invaliduser", reasons::STAFF_UNREACHABLE), ("unlicenseduser", reasons::STAFF_UNLICENSED)]
        {
            let answer = Answer(json!({ "msgid": "m", field: "lili" }).as_object().unwrap().clone());
            assert!(matches!(carded(FIRST, Ok(answer)), Outcome::Failed { reason, .. } if reason == expected));
        }
        let outcome = carded(FIRST, Err(refused(81013)));
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::STAFF_UNREACHABLE));
    }

    #[test]
    fn a_text_asks_wecom_to_deliver_the_same_body_once_in_four_hours() {
        assert_eq!(
            text_body(7, &lili(), "早上好").unwrap(),
            json!({ "touser": "lili", "msgtype": "text", "agentid": 7, "text": { "content": "早上好" },
                "enable_duplicate_check": 1, "duplicate_check_interval": 14_400 })
        );
        let unfit = text_body(7, &lili(), &"好".repeat(683)).unwrap_err();
        assert_eq!(unfit.message, "the text has 2049 bytes, WeCom takes 2048");
    }

    #[tokio::test]
    async fn an_uncertain_text_is_repeated_within_four_hours_and_given_up_after() {
        let not_before = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let within = not_before + TimeDelta::minutes(239);
        let script = Script::new().at(within).answers(Api::SendMessage, json!({ "msgid": "m" }));
        assert!(matches!(text(&script, UNSURE, &lili(), "早", not_before).await, Outcome::Done(_)));

        let script = Script::new().at(not_before + TimeDelta::minutes(240));
        let outcome = text(&script, UNSURE, &lili(), "早", not_before).await;
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::OUTCOME_UNKNOWN));
        assert!(script.asked().is_empty());

        let script = Script::new().at(not_before + TimeDelta::days(1)).answers(Api::SendMessage, json!({}));
        let outcome = text(&script, FIRST, &lili(), "早", not_before).await;
        assert!(matches!(outcome, Outcome::Done(_)), "a text that only waited was never tried");
    }

    #[tokio::test]
    async fn a_card_update_names_the_receiver_the_code_and_what_stands_there_now() {
        let script = Script::new().answers(Api::UpdateCard, json!({ "invaliduser": [] }));
        assert_eq!(update(&script, FIRST, &lili(), "rc", "已完成").await, Outcome::Done(Map::new()));
        let body = json!({ "userids": ["lili"], "agentid": 1_000_002, "response_code": "rc",
            "button": { "replace_name": "已完成" } });
        assert_eq!(script.asked(), [(Api::UpdateCard, body)]);
    }

    #[test]
    fn a_used_code_means_that_the_card_was_changed_only_if_a_try_of_ours_was_not_answered() {
        assert_eq!(updated(UNSURE, Err(refused(60140))), Outcome::Done(Map::new()));
        let outcome = updated(FIRST, Err(refused(60140)));
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::CARD_CLOSED));
    }
}
