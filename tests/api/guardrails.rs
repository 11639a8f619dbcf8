//! Guardrails: what holds a nudge or prompt back, for how long, and what becomes of it.

use rstest::rstest;
use serde_json::json;
use touchpoint::sandbox::{FaultKind, What};

use super::helpers::{Company, Setup, hours, minutes, rules};

/// A nudge by mass at each order, and a prompt.
fn with_guardrails(guardrails: &str) -> String {
    rules(&format!(
        r#"
journeys:
  care: {{ name: 关怀, again: 1s, enter: {{ event: order.paid }}, steps: [ nudge: {{ say: thanks, via: [mass] }} ] }}
  call: {{ name: 回访, again: 1s, enter: {{ event: visit.made }}, steps: [ prompt: {{ title: 请回访 }} ] }}
guardrails: {{ {guardrails} }}
"#
    ))
}

async fn opened(rules: &str, at: &str) -> Company {
    let company = Setup::new(rules).opening_at(at).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_due_at_night_waits_until_morning() {
    let company = opened(&with_guardrails(r#"quiet_hours: "21:00-09:00""#), "2035-01-01 22:00").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(10)).await;
    let (held, chinese, english) =
        (company.fates_of("wmWang").await, company.why("wmWang").await, company.why_in("wmWang", "en").await);
    company.advance_to("2035-01-02 12:00").await;

    assert_eq!(held, ["nudge thanks: held, quiet hours"]);
    assert!(chinese.contains("暂缓:处于免打扰时段") && chinese.contains("等到:2035-01-02 09:00"), "{chinese}");
    assert!(english.contains("held: it was quiet hours") && english.contains("until: 2035-01-02 09:00"), "{english}");
    assert_eq!(company.mass_task_times(), ["01-02 09:05"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: confirmed, confirmed"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_out_on_a_holiday() {
    let company = opened(&with_guardrails("holidays: [2035-01-01, 2035-01-02]"), "2035-01-01 10:00").await;

    company.orders("wmWang", "A1", "100").await;
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(minutes(10)).await;
    let (held, why) = (company.fates_of("wmWang").await, company.why_in("wmWang", "en").await);
    company.advance_to("2035-01-03 12:00").await;

    assert_eq!(held, ["nudge thanks: held, holiday", "prompt 请回访: held, holiday"]);
    assert!(why.contains("held: it was a holiday"), "{why}");
    assert!(company.mass_task_times()[0].starts_with("01-03 00:0"), "{:?}", company.mass_task_times());
    assert!(company.card_times()[0].starts_with("01-03 00:0"), "{:?}", company.card_times());
    company.close().await;
}

#[rstest]
#[case::as_it_is_waits_for_monday("", "01-08 09:0")]
#[case::that_is_worked_on_gets_the_prompt_at_once(", workdays: [2035-01-06]", "01-06 10:0")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saturday(#[case] workdays: &str, #[case] when: &str) {
    let guardrails = format!(r#"working_hours: "Mon-Fri 09:00-18:00"{workdays}"#);
    let company = opened(&with_guardrails(&guardrails), "2035-01-06 10:00").await;

    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance_to("2035-01-08 12:00").await;

    assert_eq!(company.card_times().len(), 1);
    assert!(company.card_times()[0].starts_with(when), "{:?}", company.card_times());
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn working_hours_hold_prompts_and_not_mass_sends() {
    let company = opened(&with_guardrails(r#"working_hours: "Mon-Fri 09:00-18:00""#), "2035-01-01 19:00").await;

    company.orders("wmWang", "A1", "100").await;
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(minutes(10)).await;
    let why = company.why("wmWang").await;
    company.advance_to("2035-01-02 12:00").await;

    assert!(company.mass_task_times()[0].starts_with("01-01 19:"), "{:?}", company.mass_task_times());
    assert!(company.card_times()[0].starts_with("01-02 09:0"), "{:?}", company.card_times());
    assert!(why.contains("暂缓:不在工作时间"), "{why}");
    company.close().await;
}

const TWO_JOURNEYS: &str = r#"
journeys:
  common: { name: 普通, enter: { event: order.paid }, priority: 10, steps: [ wait: 2h, nudge: { say: thanks, via: [CHANNEL], hold: HOLD } ] }
  urgent: { name: 重要, enter: { event: visit.made }, priority: 90, steps: [ wait: 1h, nudge: { say: miss_you, via: [CHANNEL], hold: HOLD } ] }
guardrails: { customer_budget: BUDGET, quiet_hours: "21:00-09:00" }
"#;

fn two_journeys(channel: &str, budget: &str, hold: &str) -> String {
    rules(&TWO_JOURNEYS.replace("CHANNEL", channel).replace("BUDGET", budget).replace("HOLD", hold))
}

/// The texts on the cards that ask staff to send them.
fn texts(company: &Company) -> Vec<String> {
    company.pick(|what| match what {
        What::Card { card, .. } => card["sub_title_text"].as_str().map(str::to_owned),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nudges_of_one_minute_the_budget_goes_to_the_more_important() {
    let company = opened(&two_journeys("staff", "1 per 1d", "3d"), "2035-01-01 10:00").await;

    // The common one falls due some seconds before the urgent one, in the same minute.
    company.orders("wmWang", "A1", "100").await;
    company.advance_to("2035-01-01 11:00").await;
    company.advance(std::time::Duration::from_secs(20)).await;
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance_to("2035-01-01 13:00").await;
    let (first, held, why) = (texts(&company), company.fates_of("wmWang").await, company.why("wmWang").await);
    company.advance_to("2035-01-02 13:00").await;

    assert_eq!(first, ["好久不见"]);
    assert!(held.contains(&"nudge thanks: held, customer budget".to_owned()), "{held:?}");
    assert!(why.contains("该客户的触达次数已用完") && why.contains("1 天内已用 1/1 次"), "{why}");
    assert_eq!(texts(&company), ["好久不见", "谢谢您的订单"]);
    assert!(company.card_times()[1].starts_with("01-02 09:0"), "after the quiet hours: {:?}", company.card_times());
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_that_the_budget_holds_too_long_is_dropped() {
    let company = opened(&two_journeys("mass", "1 per 30d", "1d"), "2035-01-01 10:00").await;

    company.happens("visit.made", "wmWang", json!({})).await;
    company.orders("wmWang", "A1", "100").await;
    company.advance_to("2035-01-04 10:00").await;

    assert_eq!(company.mass_of("wmWang"), ["好久不见"]);
    let fates = ["nudge miss_you: confirmed, confirmed", "nudge thanks: dropped, held too long"];
    assert_eq!(company.fates_of("wmWang").await, fates);
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(chinese.contains("不发送:等待超过上限") && chinese.contains("受限于:该客户的触达次数已用完"), "{chinese}");
    assert!(english.contains("dropped: it was held too long"), "{english}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_staff_budget_does_not_let_through_goes_on_the_next_working_day() {
    let guardrails = r#"working_hours: "Mon-Fri 09:00-18:00", staff_budget: 1 per 1d"#;
    let company = opened(&with_guardrails(guardrails), "2035-01-05 10:00").await;
    company.customer_adds("wmLi", "lili", "").await;

    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(minutes(2)).await;
    company.happens("visit.made", "wmLi", json!({})).await;
    company.advance(minutes(2)).await;
    let why = company.why("wmLi").await;
    company.advance_to("2035-01-09 10:00").await;

    assert!(company.card_times()[0].starts_with("01-05 10:0"), "{:?}", company.card_times());
    assert!(company.card_times()[1].starts_with("01-08 09:0"), "the day after Friday: {:?}", company.card_times());
    assert!(why.contains("暂缓:该员工的卡片次数已用完") && why.contains("1 天内已用 1/1 次"), "{why}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wecom_takes_one_mass_send_a_day_so_the_second_nudge_goes_by_staff() {
    let company = opened(
        &rules(
            r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ nudge: { say: thanks, via: [kf, mass, staff] } ] }
  call: { name: 唤回, enter: { event: visit.made }, steps: [ nudge: { say: miss_you, via: [kf, mass, staff] } ] }
"#,
        ),
        "2035-01-01 10:00",
    )
    .await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(1)).await;
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(minutes(10)).await;

    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert_eq!(company.cards_of("lili"), ["请把这段话发给客户"]);
    let why = company.why("wmWang").await;
    assert!(why.contains("渠道 微信客服:不可用,暂不支持该渠道"), "{why}");
    assert!(why.contains("渠道 企业群发:不可用,企业微信的当日群发次数已用完"), "{why}");
    assert!(why.contains("渠道 员工代发:可用,经员工 李丽(lili)"), "{why}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_without_any_channel_is_dropped() {
    let company = Setup::new(&with_guardrails("")).open().await;

    company.orders("wmStranger", "A1", "100").await;
    company.advance(minutes(10)).await;

    assert_eq!(company.fates_of("wmStranger").await, ["nudge thanks: dropped, no owner"]);
    assert!(company.why("wmStranger").await.contains("客户没有归属员工"));
    assert!(company.why_in("wmStranger", "en").await.contains("nobody answers for the customer"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_lost_gets_no_nudge() {
    let company = opened(&with_guardrails(r#"quiet_hours: "21:00-09:00""#), "2035-01-01 22:00").await;
    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(10)).await;

    company.customer_deletes("wmWang", "lili").await;
    company.advance(hours(24)).await;

    assert_eq!(company.mass_task_times(), Vec::<String>::new());
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: dropped, lost"]);
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(chinese.contains("客户已流失") && english.contains("the customer is lost"), "{chinese}{english}");
    company.close().await;
}

// At the hand-over: WeCom says "slowly" once and is asked again a minute later; in between something changes.

const SLOWLY: FaultKind = FaultKind::Errcode(45036);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opts_out_between_planning_and_hand_over_gets_nothing() {
    let mut company = opened(&with_guardrails(""), "2035-01-01 10:00").await;
    company.trouble("externalcontact/add_msg_template", SLOWLY, 1);

    company.orders("wmWang", "A1", "100").await;
    company.first_call_of("externalcontact/add_msg_template").await;
    company.happens("customer.opted_out", "wmWang", json!({})).await;
    company.advance(hours(1)).await;

    assert_eq!(company.calls_of("externalcontact/add_msg_template").len(), 1, "the refused try is the only one");
    assert_eq!(company.mass_task_times(), Vec::<String>::new());
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: dropped, opted out"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_send_leaves_out_only_who_opted_out_before_the_hand_over() {
    let mut company = opened(&with_guardrails(""), "2035-01-01 10:00").await;
    company.customer_adds("wmLi", "lili", "").await;
    company.trouble("externalcontact/add_msg_template", SLOWLY, 1);

    company.orders("wmWang", "A1", "100").await;
    company.orders("wmLi", "A2", "100").await;
    company.first_call_of("externalcontact/add_msg_template").await;
    company.happens("customer.opted_out", "wmWang", json!({})).await;
    company.advance(hours(1)).await;

    let recipients = company.pick(|what| match what {
        What::MassTask { customers, .. } => Some(customers.clone()),
        _ => None,
    });
    assert_eq!(recipients, [["wmLi"]]);
    assert_eq!(company.fates_of("wmLi").await, ["nudge thanks: confirmed, confirmed"]);
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: dropped, opted out"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_that_begin_before_the_hand_over_hold_it_until_morning() {
    let mut company = opened(&with_guardrails(r#"quiet_hours: "21:00-09:00""#), "2035-01-01 20:44").await;
    // As long as the evening lasts.
    company.trouble("externalcontact/add_msg_template", SLOWLY, 100);

    company.orders("wmWang", "A1", "100").await;
    company.advance_to("2035-01-01 23:00").await;
    let held = company.fates_of("wmWang").await;
    company.world.faults().clear();
    company.advance_to("2035-01-02 12:00").await;

    assert_eq!(held, ["nudge thanks: held, quiet hours"]);
    let tries = company.calls_of("externalcontact/add_msg_template");
    let last_of_evening = tries.iter().rev().find(|call| call.errcode != 0).unwrap().at;
    assert!(super::helpers::local(last_of_evening).as_str() < "01-01 21:00", "{last_of_evening}");
    assert!(company.mass_task_times()[0].starts_with("01-02 09:"), "{:?}", company.mass_task_times());
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_whose_run_ended_before_the_hand_over_does_not_come() {
    let mut company = opened(
        &rules(
            r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, goal: { touchpoint: visit, within: 7d }, steps: [ prompt: { title: 请回访 } ] }
"#,
        ),
        "2035-01-01 10:00",
    )
    .await;
    company.trouble("message/send", SLOWLY, 1);

    company.orders("wmWang", "A1", "100").await;
    company.first_call_of("message/send").await;
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(hours(1)).await;

    assert_eq!(company.cards_of("lili"), Vec::<String>::new());
    assert_eq!(company.fates_of("wmWang").await, ["prompt 请回访: dropped, goal"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_whose_sender_is_deleted_before_the_hand_over_goes_through_the_other_follower() {
    let mut company = opened(&with_guardrails(""), "2035-01-01 10:00").await;
    company.advance(hours(1)).await;
    company.customer_adds("wmWang", "wangwei", "").await;
    company.trouble("externalcontact/add_msg_template", SLOWLY, 1);

    company.orders("wmWang", "A1", "100").await;
    company.first_call_of("externalcontact/add_msg_template").await;
    company.customer_deletes("wmWang", "wangwei").await;
    company.advance(hours(1)).await;

    let senders = company.pick(|what| match what {
        What::MassTask { userid, .. } => Some(userid.clone()),
        _ => None,
    });
    assert_eq!(senders, ["lili"]);
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert!(company.why("wmWang").await.contains("原归属员工已不再跟进"));
    company.close().await;
}
