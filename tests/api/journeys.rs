//! Journeys: who enters, how a run goes from step to step, and how it ends.

use rstest::rstest;
use serde_json::{Value, json};
use touchpoint::sandbox::What;
use xxhash_rust::xxh3::xxh3_64;

use super::helpers::{Company, Setup, hours, minutes, rules};

const MAIN_JOB: &str = r#"
playbook: { id: shop, name: 女装店 }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  store_qr: { name: 门店扫码, on: contact.added, where: event.state.startsWith("store-"), tag: 触点/门店扫码 }
  visit: { name: 到店, on: visit.made, tag: 触点/到店 }
segments:
  newcomer: { name: 新客, when: customer.orders == 0 && days_since(customer.added_at) <= 14, tag: 分层/新客 }
messages:
  hello: { text: "{{ customer.name }}您好,我是{{ staff.name }}" }
  thanks: { text: "谢谢您的订单" }
  call: { text: "您好,衣服合身吗" }
welcome:
  - { touchpoint: store_qr, say: hello }
journeys:
  after_order:
    name: 订单关怀
    enter: { event: order.paid }
    goal: { touchpoint: visit, within: 14d }
    steps:
      - wait: 2h
      - nudge: { say: thanks, via: [mass, staff] }
      - wait: 1d
      - prompt: { title: 请回访, say: call, due: 4h }
guardrails: { quiet_hours: "21:00-09:00", customer_budget: 1 per 1d }
staff: { default: lili, escalate: 24h }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanned_code_brings_a_welcome_and_tags_and_an_order_a_nudge_and_a_prompt() {
    let company = Setup::new(MAIN_JOB).open().await;

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.orders("wmWang", "A1", "299.90").await;
    company.advance_to("2035-01-02 14:00").await;
    company.taps("lili", &company.latest_card("lili"), "done").await;

    assert_eq!(company.welcomes_of("wmWang"), ["客户wmWang您好,我是李丽"]);
    let tags = ["+分层/新客 lili", "+触点/门店扫码 lili", "-分层/新客 lili"];
    assert_eq!(company.tag_changes_of("wmWang"), tags);
    assert_eq!(company.mass_of("wmWang"), ["谢谢您的订单"]);
    assert_eq!(company.cards_of("lili"), ["请回访"]);
    let fates = ["nudge thanks: confirmed, confirmed", "prompt 请回访: confirmed, done"];
    assert_eq!(company.fates_of("wmWang").await, fates);
    let record = company.customer("wmWang").await;
    assert_eq!((record["orders"].as_i64(), record["spend"].as_str()), (Some(1), Some("299.90")), "{record}");
    company.close().await;
}

/// Why runs ended, by journey, newest of each.
async fn past_runs(company: &Company, customer: &str) -> Value {
    let record: String =
        company.redis(&format!("customer:{customer}"), &["HGET", &format!("@actor:customer:{customer}"), "past_runs"]);
    let runs: serde_json::Map<String, Value> = serde_json::from_str(&record).unwrap();
    runs.into_iter().map(|(journey, run)| (journey, run["reason"].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The public hash of `holdout`: which customers a journey leaves alone.
fn is_held_out(journey: &str, customer: &str, percent: u64) -> bool {
    xxh3_64(format!("holdout:{journey}:{customer}").as_bytes()) % 10_000 < percent * 100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_out_enters_and_reaches_the_goal_and_gets_nothing() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    holdout: 50
    goal: { touchpoint: visit, within: 14d }
    steps:
      - nudge: { say: thanks, via: [mass] }
      - tag: { add: [旅程/已关怀] }
      - prompt: { title: 请回访 }
"#,
    ))
    .open()
    .await;
    let names = || (1..).map(|number| format!("wmCustomer{number}"));
    let held_out = names().find(|name| is_held_out("care", name, 50)).unwrap();
    let treated = names().find(|name| !is_held_out("care", name, 50)).unwrap();

    for customer in [&held_out, &treated] {
        company.customer_adds(customer, "lili", "").await;
        company.orders(customer, &format!("of {customer}"), "100").await;
    }
    company.advance(hours(2)).await;
    for customer in [&held_out, &treated] {
        company.happens("visit.made", customer, json!({})).await;
    }

    assert_eq!(company.mass_of(&treated), ["谢谢您的订单"]);
    assert_eq!(company.mass_of(&held_out), Vec::<String>::new());
    let told = ["nudge thanks: dropped, held out", "prompt 请回访: dropped, held out"];
    assert_eq!(company.fates_of(&held_out).await, told);
    assert_eq!(company.tag_changes_of(&held_out), Vec::<String>::new());
    assert_eq!(company.cards_of("lili").len(), 1);
    assert_eq!(past_runs(&company, &held_out).await, json!({ "care": "goal" }));
    assert!(company.why(&held_out).await.contains("属于对照组"));
    assert!(company.why_in(&held_out, "en").await.contains("Holdout 50%: this customer is in it"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_ends_the_run_and_drops_its_pending_nudge() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    goal: { touchpoint: visit, within: 14d }
    steps: [ nudge: { say: thanks, via: [mass] }, wait: 1d, prompt: { title: 请回访 } ]
guardrails: { quiet_hours: "21:00-09:00" }
"#,
    ))
    .opening_at("2035-01-01 22:00")
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(1)).await;
    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: held, quiet hours"]);
    company.happens("visit.made", "wmWang", json!({})).await;
    company.advance(hours(72)).await;

    assert_eq!(company.fates_of("wmWang").await, ["nudge thanks: dropped, goal"]);
    assert_eq!((company.mass_task_times(), company.cards_of("lili")), (vec![], vec![]));
    assert_eq!(past_runs(&company, "wmWang").await, json!({ "care": "goal" }));
    let (chinese, english) = (company.why("wmWang").await, company.why_in("wmWang", "en").await);
    assert!(
        chinese.contains("旅程已达成目标") && english.contains("the journey reached its goal"),
        "{chinese}{english}"
    );
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_ends_the_run_at_once() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    exit: customer.orders == 0
    steps: [ wait: 1d, nudge: { say: thanks, via: [mass] } ]
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.happens("order.refunded", "wmWang", json!({ "order_id": "A1" })).await;
    company.advance(hours(48)).await;

    assert_eq!(past_runs(&company, "wmWang").await, json!({ "care": "exit" }));
    assert_eq!(company.fates_of("wmWang").await, Vec::<String>::new());
    assert!(company.why("wmWang").await.contains("满足旅程退出条件"));
    company.close().await;
}

#[rstest]
#[case::absent_it_is_entered_once("", 1, "该旅程只进入一次")]
#[case::of_3_days_it_is_entered_anew_after_them("again: 3d", 2, "之前不再进入")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_again(#[case] again: &str, #[case] entries: usize, #[case] refusal: &str) {
    let company = Setup::new(&rules(
        &format!(
            r#"
journeys:
  care: {{ name: 关怀, enter: {{ event: order.paid }}, {again}, steps: [ prompt: {{ title: 请回访 }} ] }}
"#
        )
        .replace(", ,", ","),
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(48)).await;
    company.orders("wmWang", "A2", "100").await;
    let why = company.why("wmWang").await;
    company.advance(hours(48)).await;
    company.orders("wmWang", "A3", "100").await;
    company.advance(hours(1)).await;

    assert!(why.contains(refusal), "{why}");
    assert_eq!(company.cards_of("lili").len(), entries);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_meet_the_condition_does_not_enter_and_why_tells_the_values() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, where: customer.spend >= 500, steps: [ prompt: { title: 请回访 } ] }
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "499.99").await;
    company.advance(hours(1)).await;

    assert_eq!(company.cards_of("lili"), Vec::<String>::new());
    let why = company.why("wmWang").await;
    assert!(why.contains("没有进入,条件不满足") && why.contains("customer.spend = 499.99"), "{why}");
    assert!(company.why_in("wmWang", "en").await.contains("not entered, the condition did not hold"));
    company.close().await;
}

const WAITS_FOR_A_VISIT: &str = r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    steps:
      - wait_for: { touchpoint: visit, within: 2d }
      - if: touched("visit") > 0
        prompt: { title: 来过了 }
      - if: touched("visit") == 0
        prompt: { title: 没有来 }
"#;

#[rstest]
#[case::goes_on_when_it_comes(Some(hours(5)), "来过了", "01-01 15:")]
#[case::goes_on_when_the_time_is_over(None, "没有来", "01-03 10:")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_visit(
    #[case] visits_after: Option<std::time::Duration>,
    #[case] title: &str,
    #[case] when: &str,
) {
    let company = Setup::new(&rules(WAITS_FOR_A_VISIT)).open().await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    if let Some(after) = visits_after {
        company.advance(after).await;
        company.happens("visit.made", "wmWang", json!({})).await;
    }
    company.advance(hours(72)).await;

    assert_eq!(company.cards_of("lili"), [title]);
    assert!(company.card_times()[0].starts_with(when), "{:?}", company.card_times());
    company.close().await;
}

#[rstest]
#[case::goes_on_when_it_is_done(true, "谢谢", "01-01 11:")]
#[case::goes_on_when_the_time_is_over(false, "还没有做", "01-02 10:")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_the_prompt_to_be_done(#[case] is_done: bool, #[case] second: &str, #[case] when: &str) {
    let company = Setup::new(
        &rules(
            r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    steps:
      - prompt: { title: 请回访 }
      - wait_for: { done: true, within: 24h }
      - branch:
          - { if: touched("thanked") > 0, steps: [ prompt: { title: 谢谢 } ] }
          - else: [ prompt: { title: 还没有做 } ]
"#,
        )
        .replace("touchpoints:\n", "touchpoints:\n  thanked: { name: 已回访, on: prompt.done }\n"),
    )
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(1)).await;
    if is_done {
        company.taps("lili", &company.latest_card("lili"), "done").await;
    }
    company.advance(hours(48)).await;

    assert_eq!(company.cards_of("lili"), ["请回访", second]);
    assert!(company.card_times()[1].starts_with(when), "{:?}", company.card_times());
    company.close().await;
}

#[rstest]
#[case::the_first_arm_that_holds("2500", "大客户")]
#[case::the_second("300", "老客户")]
#[case::the_rest("5", "其他")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_takes(#[case] amount: &str, #[case] title: &str) {
    let company = Setup::new(&rules(
        r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    steps:
      - branch:
          - { if: customer.spend >= 2000, steps: [ prompt: { title: 大客户 } ] }
          - { if: customer.spend >= 200, steps: [ prompt: { title: 老客户 } ] }
          - else: [ prompt: { title: 其他 } ]
      - wait: 1h
      - prompt: { title: 之后 }
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", amount).await;
    company.advance(hours(2)).await;

    assert_eq!(company.cards_of("lili"), [title, "之后"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_run_with_its_own_reason_and_a_step_makes_tags_and_events() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    steps:
      - tag: { add: [旅程/进行中] }
      - event: { type: care.begun, data: { note: "第 {{ customer.orders }} 单" } }
      - wait: 1h
      - tag: { remove: [旅程/进行中] }
      - if: customer.orders == 1
        stop: 只有一单
      - prompt: { title: 请回访 }
  follow: { name: 跟进, enter: { event: care.begun }, steps: [ prompt: { title: "{{ event.note }}" } ] }
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(2)).await;

    assert_eq!(past_runs(&company, "wmWang").await["care"], "只有一单");
    assert_eq!(company.cards_of("lili"), ["第 1 单"]);
    assert_eq!(company.tag_changes_of("wmWang"), ["+旅程/进行中 lili", "-旅程/进行中 lili"]);
    assert!(company.why_in("wmWang", "en").await.contains("只有一单"), "its reason is shown as it was written");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_the_next_such_time_of_day() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ wait_until: "09:30", prompt: { title: 早上 }, wait_until: Thu 18:00, prompt: { title: 周四 } ] }
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance(hours(24 * 5)).await;

    assert_eq!(company.cards_of("lili"), ["早上", "周四"]);
    // A card leaves at the end of the minute in which it was wanted.
    assert_eq!(company.card_times(), ["01-02 09:31", "01-04 18:01"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_behind_a_held_nudge_counts_from_its_sending() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ nudge: { say: thanks, via: [mass] }, wait: 2h, prompt: { title: 请回访 } ] }
guardrails: { quiet_hours: "21:00-09:00" }
"#,
    ))
    .opening_at("2035-01-01 22:00")
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;

    company.orders("wmWang", "A1", "100").await;
    company.advance_to("2035-01-02 12:00").await;

    let sent = company.mass_task_times();
    assert_eq!(sent, ["01-02 09:05"], "collected from 09:00 on, flushed at the full 5 minutes");
    assert_eq!(company.card_times(), ["01-02 11:06"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_step_a_reload_took_away_ends_with_that_reason() {
    let with = |steps: &str| {
        rules(&format!("journeys:\n  care: {{ name: 关怀, enter: {{ event: order.paid }}, steps: [ {steps} ] }}\n"))
    };
    let company = Setup::new(&with("{ id: pause, wait: 1d }, prompt: { title: 请回访 }")).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;

    company.changes_rules(&with("{ id: rest, wait: 1d }, prompt: { title: 请回访 }")).await;
    company.advance(hours(48)).await;

    assert_eq!(company.cards_of("lili"), Vec::<String>::new());
    assert_eq!(past_runs(&company, "wmWang").await, json!({ "care": "step removed" }));
    assert!(company.why("wmWang").await.contains("规则更新后该步骤已不存在"));
    assert!(company.why_in("wmWang", "en").await.contains("a change of the playbook removed the step"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_step_a_reload_kept_goes_on_under_the_new_rules() {
    let with = |title: &str| {
        rules(&format!(
            "journeys:\n  care: {{ name: 关怀, enter: {{ event: order.paid }}, steps: [ {{ id: pause, wait: 1d }}, prompt: {{ title: {title} }} ] }}\n"
        ))
    };
    let company = Setup::new(&with("旧的")).open().await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;

    company.changes_rules(&with("新的")).await;
    company.advance(hours(48)).await;

    assert_eq!(company.cards_of("lili"), ["新的"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_lets_in_whoever_meets_its_condition() {
    let company = Setup::new(&rules(
        r#"
journeys:
  monthly:
    name: 月度回访
    enter: { schedule: "0 0 11 2 * *", where: customer.orders > 0 }
    again: 20d
    steps: [ prompt: { title: 月度回访 } ]
"#,
    ))
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;
    company.customer_adds("wmLi", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;

    company.advance_to("2035-02-03 12:00").await;

    assert_eq!(company.cards_of("lili"), ["月度回访", "月度回访"]);
    assert_eq!(company.card_times(), ["01-02 11:01", "02-02 11:01"]);
    assert_eq!(company.fates_of("wmLi").await, Vec::<String>::new());
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opting_out_ends_pending_nudges_and_leaves_prompts() {
    let company = Setup::new(&rules(
        r#"
journeys:
  care: { name: 关怀, enter: { event: order.paid }, steps: [ prompt: { title: 请回访 }, nudge: { say: thanks, via: [mass] }, wait: 1d, prompt: { title: 再回访 } ] }
guardrails: { quiet_hours: "21:00-09:00" }
"#,
    ))
    .opening_at("2035-01-01 22:00")
    .open()
    .await;
    company.customer_adds("wmWang", "lili", "").await;
    company.orders("wmWang", "A1", "100").await;
    company.advance(minutes(10)).await;

    company.happens("customer.opted_out", "wmWang", json!({ "reason": "短信退订" })).await;
    company.advance(hours(72)).await;

    assert_eq!(company.mass_task_times(), Vec::<String>::new());
    assert_eq!(company.cards_of("lili"), ["请回访", "再回访"]);
    let fates = [
        "prompt 请回访: sent, taken by wecom",
        "nudge thanks: dropped, opted out",
        "prompt 再回访: sent, taken by wecom",
    ];
    assert_eq!(company.fates_of("wmWang").await, fates);
    let marked = company.pick(|what| match what {
        What::Card { card, .. } => Some(card.to_string().contains("客户已退订")),
        _ => None,
    });
    assert_eq!(marked, [false, true], "whoever acts on a prompt is to know");
    assert!(company.why("wmWang").await.contains("客户已退订"));
    assert!(company.why_in("wmWang", "en").await.contains("the customer has opted out"));
    company.close().await;
}
