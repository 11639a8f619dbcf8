use chrono::DateTime;

use super::*;
use crate::domain::effect::Attachment;
use crate::domain::ids::{EffectId, ExternalUserId};
use crate::wecom::script::{FIRST, Script, UNSURE, refused};

/// What an effect wants, owned.
struct Case {
    sender: UserId,
    recipients: Vec<Recipient>,
    message: Message,
}

impl Case {
    fn new() -> Self {
        let recipient = |customer: &str| Recipient {
            customer: ExternalUserId::parse(customer).unwrap(),
            delivery: EffectId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        };
        Self {
            sender: UserId::parse("LiLi").unwrap(),
            recipients: vec![recipient("wm1"), recipient("wm2"), recipient("wm3")],
            message: Message {
                text: "好久不见".into(),
                attachments: vec![Attachment::Link {
                    title: "新款".into(),
                    desc: "d".into(),
                    url: "https://shop".into(),
                    picurl: String::new(),
                }],
            },
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        let Self { sender, recipients, message } = self;
        Wanted { sender, recipients, message, not_before: at(1_700_000_000) }
    }
}

fn at(seconds: i64) -> At {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn task(msgid: &str, text: &str) -> Value {
    json!({ "msgid": msgid, "create_time": "1700000100", "create_type": 0, "text": { "content": text },
        "attachments": [ { "msgtype": "link", "link": { "title": "新款", "desc": "d", "url": "https://shop", "picurl": "" } } ] })
}

fn tasks<const N: usize>(tasks: [Value; N]) -> Value {
    json!({ "group_msg_list": Vec::from(tasks), "next_cursor": "" })
}

fn senders(userid: &str) -> Value {
    json!({ "task_list": [ { "userid": userid, "status": 0 } ] })
}

fn results<const N: usize>(customers: [&str; N]) -> Value {
    let rows: Vec<Value> =
        customers.iter().map(|c| json!({ "external_userid": c, "userid": "lili", "status": 0 })).collect();
    json!({ "send_list": rows })
}

fn unsure() -> Script {
    Script::new().at(at(1_700_000_600))
}

fn made(outcome: &Outcome) -> (Option<&str>, Value) {
    let Outcome::Done(answer) = outcome else { panic!("{outcome:?}") };
    (answer.get("msgid").and_then(Value::as_str), answer["fail_list"].clone())
}

#[tokio::test]
async fn a_task_names_its_customers_its_sender_and_what_it_says() {
    let case = Case::new();
    let script = Script::new().answers(Api::AddMassSend, json!({ "msgid": "M1", "fail_list": ["wm3"] }));
    assert_eq!(made(&send(&script, FIRST, &case.wanted()).await), (Some("M1"), json!(["wm3"])));
    let body = json!({
        "chat_type": "single",
        "external_userid": ["wm1", "wm2", "wm3"],
        "sender": "LiLi",
        "text": { "content": "好久不见" },
        "attachments": [
            { "msgtype": "link", "link": { "title": "新款", "desc": "d", "url": "https://shop" } } ],
    });
    assert_eq!(script.asked(), [(Api::AddMassSend, body)]);
}

#[tokio::test]
async fn a_task_without_customers_or_with_too_many_is_never_made() {
    let mut case = Case::new();
    case.recipients = vec![case.recipients[0].clone(); 10_001];
    let many = send(&Script::new(), FIRST, &case.wanted()).await;
    assert!(matches!(many, Outcome::Failed { reason, .. } if reason == reasons::TOO_MANY_PARTS));
    case.recipients.clear();
    let none = send(&Script::new(), FIRST, &case.wanted()).await;
    assert!(matches!(none, Outcome::Failed { reason, .. } if reason == reasons::NO_RECIPIENT));
}

#[tokio::test]
async fn a_task_that_an_unanswered_try_made_is_found_and_not_made_again() {
    let case = Case::new();
    let script = unsure()
        .answers(Api::ListMassSends, tasks([task("OTHER", "别的"), task("M1", "好久不见")]))
        .answers(Api::GetMassSendTask, senders("lili"))
        .answers(Api::GetMassSendResult, results(["wm1", "wm2"]));
    assert_eq!(made(&send(&script, UNSURE, &case.wanted()).await), (Some("M1"), json!(["wm3"])));
    assert_eq!(
        script.asked(),
        [
            (
                Api::ListMassSends,
                json!({ "chat_type": "single", "start_time": 1_699_999_700, "end_time": 1_700_000_900,
                    "filter_type": 0, "limit": 100 })
            ),
            (Api::GetMassSendTask, json!({ "msgid": "M1", "limit": 1000 })),
            (Api::GetMassSendResult, json!({ "msgid": "M1", "userid": "LiLi", "limit": 1000 })),
        ]
    );
}

#[tokio::test]
async fn a_task_of_another_sender_or_for_other_customers_is_not_ours() {
    let case = Case::new();
    let script = unsure()
        .answers(Api::ListMassSends, tasks([task("A", "好久不见"), task("B", "好久不见")]))
        .answers(Api::GetMassSendTask, senders("wangwei"))
        .answers(Api::GetMassSendTask, senders("lili"))
        .answers(Api::GetMassSendResult, results(["wm1", "wm9"]));
    assert_eq!(send(&script, UNSURE, &case.wanted()).await, not_made());
}

/// The next turn is one like the first: guardrails are asked, and then it is made.
fn not_made() -> Outcome {
    let reason = reasons::MASS_SEND_NOT_MADE.to_owned();
    Outcome::Again { after: Duration::ZERO, counts: false, unanswered: false, reason }
}

#[tokio::test]
async fn a_task_that_a_person_made_or_that_says_something_else_is_not_looked_at() {
    let case = Case::new();
    let mut by_hand = task("A", "好久不见");
    by_hand["creator"] = "lili".into();
    let mut other_link = task("B", "好久不见");
    other_link["attachments"][0]["link"]["url"] = "https://other".into();
    let script = unsure().answers(Api::ListMassSends, tasks([by_hand, other_link, task("C", "您好")]));
    assert_eq!(send(&script, UNSURE, &case.wanted()).await, not_made());
}

#[tokio::test]
async fn nothing_is_made_again_while_a_task_that_may_be_ours_is_being_distributed() {
    let case = Case::new();
    let listed = || unsure().answers(Api::ListMassSends, tasks([task("M1", "好久不见")]));
    let sender_known = || listed().answers(Api::GetMassSendTask, senders("lili"));
    for script in [
        listed().fails(Api::GetMassSendTask, refused(41063)),
        listed().answers(Api::GetMassSendTask, json!({ "task_list": [] })),
        sender_known().fails(Api::GetMassSendResult, refused(41063)),
        sender_known().answers(Api::GetMassSendResult, json!({ "send_list": [] })),
    ] {
        let outcome = send(&script, UNSURE, &case.wanted()).await;
        assert!(matches!(outcome, Outcome::Again { counts: false, unanswered: true, .. }), "{outcome:?}");
        assert!(script.asked().iter().all(|(api, _)| *api != Api::AddMassSend));
    }
}

#[tokio::test]
async fn when_the_list_cannot_be_read_nothing_is_made_and_in_the_end_the_outcome_is_unknown() {
    let case = Case::new();
    let script = unsure().fails(Api::ListMassSends, CallError::Unanswered);
    let outcome = send(&script, UNSURE, &case.wanted()).await;
    assert!(matches!(outcome, Outcome::Again { unanswered: true, .. }), "{outcome:?}");
    let last = Past { tries: 2, unanswered: true };
    let script = unsure().fails(Api::ListMassSends, CallError::Unanswered);
    let outcome = send(&script, last, &case.wanted()).await;
    assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::OUTCOME_UNKNOWN));
}

#[tokio::test]
async fn a_task_without_an_answer_gets_time_to_show_in_the_list() {
    let case = Case::new();
    let script = Script::new().fails(Api::AddMassSend, CallError::Unanswered);
    let outcome = send(&script, FIRST, &case.wanted()).await;
    let Outcome::Again { after, counts: true, unanswered: true, .. } = outcome else { panic!("{outcome:?}") };
    assert!(after >= SETTLE);
}

#[tokio::test]
async fn results_come_from_every_page_with_wecoms_status() {
    let script = Script::new()
        .answers(
            Api::GetMassSendResult,
            json!({ "send_list": [ { "external_userid": "wm1", "userid": "lili", "status": 1, "send_time": 1_700_000_000 } ],
                "next_cursor": "c2" }),
        )
        .answers(Api::GetMassSendResult, json!({ "send_list": [ { "external_userid": "wm2", "status": 3 } ] }));
    let sender = UserId::parse("lili").unwrap();
    let Outcome::Done(answer) = result(&script, FIRST, &sender, "M1").await else { panic!("done") };
    assert_eq!(
        Value::from(answer),
        json!({ "results": [
            { "customer": "wm1", "status": 1, "send_time": 1_700_000_000 }, { "customer": "wm2", "status": 3 } ] })
    );
    let second = json!({ "msgid": "M1", "userid": "lili", "limit": 1000, "cursor": "c2" });
    assert_eq!(script.asked()[1], (Api::GetMassSendResult, second));
}

#[tokio::test]
async fn results_of_a_task_still_being_distributed_come_later_without_burning_a_try() {
    let script = Script::new().fails(Api::GetMassSendResult, refused(41063));
    let outcome = result(&script, FIRST, &UserId::parse("lili").unwrap(), "M1").await;
    assert!(matches!(outcome, Outcome::Again { counts: false, .. }));
}

#[tokio::test]
async fn a_reminder_goes_out_once_and_a_doubtful_one_is_not_repeated() {
    let script = Script::new().answers(Api::RemindMassSend, json!({}));
    assert_eq!(remind(&script, FIRST, "M1").await, Outcome::Done(Map::new()));
    assert_eq!(script.asked(), [(Api::RemindMassSend, json!({ "msgid": "M1" }))]);

    let lost = Script::new().fails(Api::RemindMassSend, CallError::Unanswered);
    for (script, past) in [(lost, FIRST), (Script::new(), UNSURE)] {
        let outcome = remind(&script, past, "M1").await;
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::OUTCOME_UNKNOWN));
    }
    let often = Script::new().fails(Api::RemindMassSend, refused(41094));
    let outcome = remind(&often, FIRST, "M1").await;
    assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::REMINDED_TOO_OFTEN));
}
