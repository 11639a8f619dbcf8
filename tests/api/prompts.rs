//! Prompts: cards to staff, from the first to the last tap, and the morning to-do list.

use rstest::rstest;
use serde_json::json;
use touchpoint::sandbox::What;

use super::helpers::{Company, Setup, hours, minutes, rules};

fn with_staff_rules(staff: &str) -> String {
    rules(&format!(
        r#"
journeys:
  care: {{ name: 关怀, again: 1s, enter: {{ event: order.paid }}, steps: [ prompt: {{ title: 请回访, say: call, due: 24h }} ] }}
guardrails: {{ quiet_hours: "21:00-09:00" }}
staff: {{ {staff} }}
"#
    ))
}

/// A company with a customer who has just ordered, and the card about it.
async fn with_a_prompt(staff: &str) -> Company {
    let company = Setup::new(&with_staff_rules(staff)).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(2)).await;
    company
}

/// What stands where a card's buttons were, in the order of the updates.
fn closings(company: &Company) -> Vec<String> {
    company.pick(|what| match what {
        What::CardUpdated { replace_name, .. } => replace_name.clone(),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_shows_title_customer_why_now_due_time_and_the_text_to_send() {
    let company = with_a_prompt("escalate: 48h").await;

    let card = company.pick(|what| match what {
        What::Card { card, .. } => Some(card.clone()),
        _ => None,
    });

    assert_eq!(card[0]["main_title"], json!({ "title": "请回访", "desc": "关怀" }));
    assert_eq!(card[0]["sub_title_text"], "您好,衣服合身吗");
    let lines = card[0]["horizontal_content_list"].as_array().unwrap();
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line["keyname"].as_str().unwrap(), line["value"].as_str().unwrap()))
        .collect();
    assert_eq!(lines, ["客户 客户wmWang", "原因 客户发生「订单支付」", "截止 01-02 10:01"]);
    let buttons = card[0]["button_list"].as_array().unwrap().iter().map(|button| button["text"].clone());
    assert_eq!(buttons.collect::<Vec<_>>(), ["已完成", "稍后提醒", "不需要"]);
    company.close().await;
}

#[rstest]
#[case::done_ends_it("done", "prompt 请回访: confirmed, done", "已完成", "员工已完成", "the staff member did it")]
#[case::not_needed_ends_it(
    "dismiss",
    "prompt 请回访: dropped, dismissed",
    "不需要",
    "员工选择不处理",
    "the staff member declined"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_on(
    #[case] button: &str,
    #[case] fate: &str,
    #[case] closing: &str,
    #[case] chinese: &str,
    #[case] english: &str,
) {
    let company = with_a_prompt("escalate: 48h").await;

    company.taps("lili", &company.latest_card("lili"), button).await;
    company.advance(hours(72)).await;

    assert_eq!(company.fates_of("wmWang").await, [fate]);
    assert_eq!(closings(&company), [closing]);
    assert_eq!(company.cards_of("lili"), ["请回访"], "no reminder");
    assert_eq!(company.texts_of("boss"), Vec::<String>::new(), "no report");
    assert!(company.why("wmWang").await.contains(chinese));
    assert!(company.why_in("wmWang", "en").await.contains(english));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_put_off_comes_back_after_4_hours() {
    let company = with_a_prompt("escalate: 48h").await;

    company.taps("lili", &company.latest_card("lili"), "snooze").await;
    let (fate, why) = (company.fates_of("wmWang").await, company.why("wmWang").await);
    company.advance(hours(5)).await;
    company.taps("lili", &company.latest_card("lili"), "done").await;

    assert_eq!(fate, ["prompt 请回访: sent, snoozed"]);
    assert!(why.contains("员工选择稍后处理"), "{why}");
    assert_eq!(company.cards_of("lili"), ["请回访", "【稍后提醒】请回访"]);
    assert_eq!(company.card_times(), ["01-01 10:01", "01-01 14:02"]);
    assert_eq!(closings(&company), ["01-01 14:02 再提醒", "已完成"]);
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: confirmed, done"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_past_due_comes_once_more() {
    let company = with_a_prompt("escalate: 30d").await;

    company.advance(hours(24 * 4)).await;

    assert_eq!(company.cards_of("lili"), ["请回访", "【已到期】请回访"]);
    assert_eq!(company.card_times(), ["01-01 10:01", "01-02 10:01"]);
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: sent, reminded"]);
    assert!(company.why("wmWang").await.contains("已过截止时间,再次提醒"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_nobody_answers_is_reported_to_the_managers_once() {
    let company = with_a_prompt("escalate: 48h").await;

    company.advance(hours(24 * 10)).await;

    let reports = company.texts_of("boss");
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("【提醒无人处理】请回访\n客户:客户wmWang\n员工:李丽(lili)"), "{reports:?}");
    assert_eq!(company.times(|what| matches!(what, What::Text { .. })), ["01-03 10:01"]);
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: sent, escalated"]);
    assert!(company.why("wmWang").await.contains("无人处理,已上报管理者"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_nobody_answers_for_30_days_is_given_up() {
    let company = with_a_prompt("escalate: 48h").await;

    company.advance(hours(24 * 31)).await;

    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: failed, not answered"]);
    assert!(company.why("wmWang").await.contains("卡片三十天内无人处理"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_taps_on_one_card_the_first_counts() {
    let company = with_a_prompt("escalate: 48h").await;
    let card = company.latest_card("lili");

    // The second comes before WeCom has greyed the buttons out.
    company.world.tap("lili", &card, "done").await.unwrap();
    let second = company.world.tap("lili", &card, "dismiss").await;
    company.settle().await;

    assert_eq!(second, Ok(()));
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: confirmed, done"]);
    assert_eq!(closings(&company), ["已完成", "已完成"], "both taps are answered, and with the same word");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_on_a_card_whose_reminder_has_come_counts_for_the_prompt() {
    let company = with_a_prompt("escalate: 30d").await;
    let first = company.latest_card("lili");

    company.advance(hours(25)).await;
    company.taps("lili", &first, "done").await;

    assert_eq!(company.cards_of("lili").len(), 2);
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: confirmed, done"]);
    company.close().await;
}

#[rstest]
#[case::who_has_an_owner("owner", &["lili"])]
#[case::for_one_member_goes_to_that_member("wangwei", &["wangwei"])]
#[case::for_managers_goes_to_the_first_of_them("managers", &["boss"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_about_somebody(#[case] to: &str, #[case] asked: &[&str]) {
    let rules = with_staff_rules("escalate: 48h").replace("due: 24h", &format!("due: 24h, to: {to}"));
    let company = Setup::new(&rules).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(2)).await;

    let receivers = company.pick(|what| match what {
        What::Card { userid, .. } => Some(userid.clone()),
        _ => None,
    });
    assert_eq!(receivers, asked);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_about_a_customer_without_an_owner_goes_to_the_default() {
    let company = Setup::new(&with_staff_rules("default: wangwei")).open().await;

    company.orders("wmStranger", "A1", "100").await;
    company.advance(minutes(2)).await;

    assert_eq!(company.cards_of("wangwei"), ["请回访"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_whose_answer_was_lost_is_not_sent_twice() {
    let mut company = Setup::new(&with_staff_rules("escalate: 48h")).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.trouble("message/send", touchpoint::sandbox::FaultKind::LoseAnswer, 1);

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(5)).await;

    assert_eq!(company.calls_of("message/send").len(), 2, "tried again, since nobody knows");
    assert_eq!(company.cards_of("lili"), ["请回访"]);
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: sent, taken by wecom"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_wecom_cannot_give_to_the_member_fails_with_the_reason() {
    let mut company = Setup::new(&with_staff_rules("escalate: 48h")).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.trouble("message/send", touchpoint::sandbox::FaultKind::Errcode(81013), 1);

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(5)).await;

    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: failed, staff not reachable"]);
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(chinese.contains("该员工不在应用可见范围内") && chinese.contains("企业微信返回码:81013"), "{chinese}");
    assert!(english.contains("the app cannot write to that staff member"), "{english}");
    company.close().await;
}

// A staff nudge.

#[rstest]
#[case::sent_and_done("sent", "nudge thanks: confirmed, sent by staff", "已发送")]
#[case::declined("dismiss", "nudge thanks: dropped, dismissed", "不发送")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_by_staff_is(#[case] button: &str, #[case] fate: &str, #[case] closing: &str) {
    let rules = with_staff_rules("escalate: 48h")
        .replace("prompt: { title: 请回访, say: call, due: 24h }", "nudge: { say: thanks, via: [staff] }");
    let company = Setup::new(&rules).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(2)).await;
    let buttons = company.pick(|what| match what {
        What::Card { card, .. } => {
            Some(card["button_list"].as_array()?.iter().map(|one| one["text"].clone()).collect::<Vec<_>>())
        }
        _ => None,
    });
    company.taps("lili", &company.latest_card("lili"), button).await;

    assert_eq!(buttons, [["已发送", "稍后", "不发送"]]);
    assert_eq!(company.fates_of("wmWang").await, [fate]);
    assert_eq!(closings(&company), [closing]);
    company.close().await;
}

// The digest.

const MORNING: &str = r#"escalate: 30d, snooze: 2d, digest: "0 0 9 * * Mon-Fri""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_is_silent_when_nothing_is_open() {
    let company = with_a_prompt(MORNING).await;
    company.taps("lili", &company.latest_card("lili"), "done").await;

    company.advance(hours(24 * 7)).await;

    assert_eq!(company.texts_of("lili"), Vec::<String>::new());
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_lists_open_and_put_off_prompts_on_working_mornings() {
    let company = with_a_prompt(MORNING).await;
    company.customer_adds("wmLi", "lili", "").await;
    company.advance_to("2035-01-01 20:00").await;
    company.orders("wmLi", "A2", "100").await;
    company.advance(minutes(2)).await;
    company.taps("lili", &company.latest_card("lili"), "snooze").await;

    company.advance_to("2035-01-02 09:30").await;

    let lists = company.texts_of("lili");
    let expected = "今日待办 2 项\n1. 请回访 — 客户wmWang,截止 01-02 10:01\n2. 请回访 — 客户wmLi,截止 01-02 20:01,稍后提醒 01-03 20:02";
    assert!(lists.len() == 1 && lists[0] == expected, "{lists:?}");
    assert_eq!(company.times(|what| matches!(what, What::Text { .. })), ["01-02 09:00"]);
    company.close().await;
}
