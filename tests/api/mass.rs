//! Mass sends (企业群发): made by the server, confirmed by staff, asked after until every outcome is known.

use rstest::rstest;
use serde_json::{Value, json};
use touchpoint::sandbox::{Confirm, FaultKind, MassLimit, Staff, What};

use super::helpers::{CORP, Company, Setup, hours, minutes, rules};

fn nudges() -> String {
    rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ nudge: { say: thanks, via: [mass] } ] }
staff: { digest: "0 0 9 * * *" }
"#,
    )
}

async fn with_a_sender(confirms: Confirm) -> Company {
    let lili = Staff::new("lili", "李丽").confirming(confirms);
    let company = Setup::new(&nudges()).with_staff(lili).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company
}

fn reminders(company: &Company) -> Vec<String> {
    company.times(|what| matches!(what, What::MassReminder { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sender_confirms_reaches_the_customer_and_is_known_within_half_an_hour() {
    let company = with_a_sender(Confirm::After(minutes(10))).await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(8)).await;
    let (made, why) = (company.fates_of("wmWang").await, company.why("wmWang").await);
    company.advance(minutes(30)).await;

    assert_eq!(made, ["nudge thanks: sent, waits for the sender"]);
    assert!(why.contains("群发任务已创建,等待员工确认") && why.contains("等员工 李丽(lili) 处理"), "{why}");
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: confirmed, confirmed"]);
    assert!(company.why_in("wmWang", "en").await.contains("the sender confirmed the mass send"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_of_one_sender_and_one_text_share_a_task() {
    let company = with_a_sender(Confirm::After(minutes(10))).await;
    company.customer_adds("wmLi", "lili", "").await;
    company.customer_adds("wmZhao", "wangwei", "").await;

    for (number, customer) in ["wmWang", "wmLi", "wmZhao"].iter().enumerate() {
        company.orders(customer, &format!("A{number}"), "100").await;
    }
    company.advance(minutes(10)).await;

    let mut tasks = company.pick(|what| match what {
        What::MassTask { userid, customers, .. } => Some((userid.clone(), customers.len())),
        _ => None,
    });
    tasks.sort();
    assert_eq!(tasks, [("lili".to_owned(), 2), ("wangwei".to_owned(), 1)]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_who_does_not_confirm_is_reminded_after_24_and_48_hours_and_after_7_days_it_is_over() {
    let company = with_a_sender(Confirm::Never).await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(24 * 6)).await;
    let open = company.fates_of("wmWang").await;
    company.advance(hours(24 * 3)).await;

    assert_eq!(company.mass_task_times(), ["01-01 10:05"]);
    assert_eq!(reminders(&company), ["01-02 10:05", "01-03 10:05"]);
    assert_eq!(open, ["nudge thanks: sent, waits for the sender"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: failed, not confirmed"]);
    assert_eq!(company.mass_of("wmWang"), Vec::<String>::new());
    let digests = company.texts_of("lili");
    assert_eq!(digests.len(), 7, "each morning while it is open: {digests:?}");
    assert!(digests[0].contains("群发待确认 — “谢谢您的订单”,1 位客户"), "{digests:?}");
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(chinese.contains("员工七天内未确认群发"), "{chinese}");
    assert!(english.contains("the sender did not confirm within 7 days"), "{english}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_who_confirms_after_the_reminder_is_not_reminded_again() {
    let company = with_a_sender(Confirm::AfterReminder(hours(1))).await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(24 * 4)).await;

    assert_eq!(reminders(&company), ["01-02 10:05"]);
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: confirmed, confirmed"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_is_no_friend_any_more_when_it_is_confirmed_did_not_get_it() {
    let company = with_a_sender(Confirm::After(minutes(10))).await;
    company.customer_adds("wmLi", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.orders("wmLi", "A2", "100").await;
    company.advance(minutes(8)).await;
    company.customer_deletes("wmWang", "lili").await;
    company.advance(hours(4)).await;

    assert_eq!(company.mass_of("wmLi"), ["谢谢您的订单"]);
    assert_eq!(company.mass_of("wmWang"), Vec::<String>::new());
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: failed, no longer a friend"]);
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(chinese.contains("客户已不是好友") && english.contains("no longer a friend"), "{chinese}{english}");
    company.close().await;
}

/// Another tool of the company makes a mass send, which its sender confirms like any other.
async fn another_tool_sends(company: &Company, customer: &str, sender: &str) {
    let url = |api: &str| format!("{}/cgi-bin/{api}", company.sandbox.base_url());
    let secret = [("corpid", CORP), ("corpsecret", &company.setup.apps[0].secret)];
    let token = company.http.get(url("gettoken")).query(&secret).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let body = json!({ "chat_type": "single", "external_userid": [customer], "sender": sender, "text": { "content": "别的" } });
    let request = company.http.post(url("externalcontact/add_msg_template")).json(&body);
    let answer = request.query(&[("access_token", token["access_token"].as_str().unwrap())]).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["errcode"], 0, "{answer}");
    company.advance(minutes(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_has_had_enough_mass_sends_did_not_get_it() {
    let company = with_a_sender(Confirm::After(minutes(10))).await;
    company.world.set_mass_limit(MassLimit::Day);
    another_tool_sends(&company, "wmWang", "lili").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(1)).await;

    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: failed, receive limit reached"]);
    assert!(company.why("wmWang").await.contains("客户接收群发已达上限"));
    company.close().await;
}

#[rstest]
#[case::is_refused_for_its_content(FaultKind::Errcode(40201), 1, "content blocked")]
#[case::is_refused_by_a_busy_wecom_thrice(FaultKind::Errcode(-1), 3, "wecom busy")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_send_that(#[case] fault: FaultKind, #[case] times: u32, #[case] reason: &str) {
    let mut company = with_a_sender(Confirm::Never).await;
    company.trouble("externalcontact/add_msg_template", fault, times);

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(1)).await;

    assert_eq!(company.fates_of("wmWang").await, [format!("nudge thanks: failed, {reason}")]);
    assert_eq!(company.mass_task_times(), Vec::<String>::new());
    company.close().await;
}

#[rstest]
#[case::was_lost(FaultKind::LoseAnswer)]
#[case::broke_off(FaultKind::HalfAnswer)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_send_whose_answer(#[case] fault: FaultKind) {
    let mut company = with_a_sender(Confirm::After(minutes(30))).await;
    company.trouble("externalcontact/add_msg_template", fault, 1);

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(4)).await;

    assert_eq!(company.mass_task_times().len(), 1, "it is found in WeCom's list and not made again");
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: confirmed, confirmed"]);
    company.close().await;
}

/// Guarantee 7: what was true when it was first tried may be true no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_send_that_got_lost_on_its_way_is_not_made_again_for_somebody_who_opted_out_since() {
    let mut company = with_a_sender(Confirm::After(minutes(30))).await;
    company.customer_adds("wmLi", "lili", "").await;
    company.trouble("externalcontact/add_msg_template", FaultKind::Cut, 1);
    company.orders("wmWang", "A1", "100").await;
    company.orders("wmLi", "A2", "100").await;

    company.first_call_of("externalcontact/add_msg_template").await;
    company.happens("customer.opted_out", "wmWang", json!({})).await;
    company.advance(hours(4)).await;

    assert_eq!(company.mass_task_times().len(), 1);
    assert_eq!(company.mass_of("wmWang"), Vec::<String>::new());
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: dropped, opted out"]);
    assert_eq!(company.mass_of("wmLi"), ["谢谢您的订单"]);
    assert_eq!(company.fates_of("wmLi").await, ["nudge thanks: confirmed, confirmed"]);
    company.close().await;
}
