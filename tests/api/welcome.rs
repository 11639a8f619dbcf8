//! The welcome: once per adding, with the name when it is there in time, never too late.

use std::time::Duration;

use rstest::rstest;
use touchpoint::sandbox::{Act, Adding, CallbackFaults, FaultKind, Staff, What};

use super::helpers::{Setup, adding, hours, minutes};

const RULES: &str = r#"
playbook: { id: shop, name: 女装店 }
touchpoints:
  store_qr: { name: 门店扫码, on: contact.added, where: event.state.startsWith("store-") }
  left_by_customer: { name: 客户删除, on: contact.lost }
  left_by_staff: { name: 员工删除, on: contact.deleted }
messages:
  hello: { text: "{{ customer.name }}您好,我是{{ staff.name }}" }
  hours: { text: "每天 10:00-22:00 营业" }
welcome:
  - { touchpoint: store_qr, say: hello }
  - { where: event.state == "web", say: hours }
"#;

/// How often a touchpoint was met.
async fn met(company: &super::helpers::Company, customer: &str, touchpoint: &str) -> i64 {
    let record = company.customer(customer).await;
    let touchpoints = record["touchpoints"].as_array().unwrap();
    touchpoints.iter().find(|one| one["touchpoint"] == touchpoint).map_or(0, |one| one["count"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_names_the_customer_and_the_staff_member() {
    let company = Setup::new(RULES).open().await;

    company.customer_adds("wmWang", "lili", "store-01").await;

    assert_eq!(company.welcomes_of("wmWang"), ["客户wmWang您好,我是李丽"]);
    assert_eq!(company.welcome_fates_of("wmWang").await, ["welcome hello: sent, taken by wecom"]);
    let why = company.why("wmWang").await;
    assert!(why.contains("欢迎语 hello:已发送") && why.contains("门店扫码 1 次"), "{why}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_welcome_rule_that_fits_speaks_and_without_one_why_says_so() {
    let company = Setup::new(RULES).open().await;

    company.customer_adds("wmWeb", "lili", "web").await;
    company.customer_adds("wmPlain", "lili", "").await;

    assert_eq!(company.welcomes_of("wmWeb"), ["每天 10:00-22:00 营业"]);
    assert_eq!(company.welcomes_of("wmPlain"), Vec::<String>::new());
    assert_eq!(company.welcome_fates_of("wmPlain").await, ["welcome : dropped, no rule"]);
    assert!(company.why("wmPlain").await.contains("没有匹配的欢迎语规则"));
    assert!(company.why_in("wmPlain", "en").await.contains("no welcome rule fits"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_is_not_there_8_seconds_after_the_adding_is_not_waited_for() {
    let company = Setup::new(RULES).open().await;
    let profile = company.world.hold_next("externalcontact/get").unwrap();
    company.adds(adding("wmWang", "lili", "store-01")).await;
    profile.accepted().await;

    let added_at = company.clock.now();
    company.time_leaps_to(added_at + Duration::from_secs(8)).await;
    let greeted = |world: &touchpoint::sandbox::World| {
        world.receipts().iter().any(|receipt| matches!(receipt.what, What::Welcome { .. }))
    };
    company.world.wait_until("the welcome goes out", minutes(1), greeted).await.unwrap();
    profile.release();
    company.settle().await;

    assert_eq!(company.welcomes_of("wmWang"), ["您好,我是"], "neither name is known yet");
    let after = company.pick(|what| match what {
        What::Welcome { after_ms, .. } => Some(*after_ms),
        _ => None,
    });
    // WeCom dates a callback in whole seconds, and from there the 8 s count.
    assert!(after[0] >= 7_000 && after[0] < 15_000, "{after:?}");
    assert_eq!(company.customer("wmWang").await["name"], "客户wmWang", "the profile came later and is kept");
    assert!(company.why_in("wmWang", "en").await.contains("name: not known in time"));
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_wecom_refuses_is_not_waited_for() {
    let mut company = Setup::new(RULES).open().await;
    company.trouble("externalcontact/get", FaultKind::Errcode(84061), 1);

    company.customer_adds("wmWang", "lili", "store-01").await;

    assert_eq!(company.welcomes_of("wmWang"), ["您好,我是"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adding_that_comes_more_than_20_seconds_late_is_not_greeted() {
    let company = Setup::new(RULES).open().await;
    company.world.faults().callbacks(CallbackFaults { reorder: true, ..CallbackFaults::default() });

    company.adds(adding("wmWang", "lili", "store-01")).await;
    company.advance(Duration::from_secs(21)).await;
    company.world.flush_callbacks().await;
    company.settle().await;

    assert_eq!(company.calls_of("externalcontact/send_welcome_msg"), [], "WeCom is not even asked");
    assert_eq!(company.welcome_fates_of("wmWang").await, ["welcome : dropped, too late"]);
    assert!(company.why("wmWang").await.contains("已错过时限"));
    assert_eq!(met(&company, "wmWang", "store_qr").await, 1, "the adding itself counts all the same");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_that_wecom_does_not_take_within_20_seconds_is_dropped() {
    let mut company = Setup::new(RULES).open().await;
    company.trouble("externalcontact/send_welcome_msg", FaultKind::Errcode(41096), 1000);

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(minutes(1)).await;

    assert_eq!(company.welcome_fates_of("wmWang").await, ["welcome hello: dropped, too late"]);
    let tries = company.calls_of("externalcontact/send_welcome_msg");
    let (first, last) = (tries.first().unwrap().at, tries.last().unwrap().at);
    assert!(tries.len() > 5 && (last - first).num_seconds() < 20, "{} tries in {}", tries.len(), last - first);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_added_and_added_are_one_adding() {
    let company = Setup::new(RULES).open().await;

    let halfway = Adding { half_first: Some(minutes(5)), ..adding("wmWang", "lili", "store-01") };
    company.adds(halfway).await;
    company.advance(minutes(10)).await;

    let told: Vec<String> = company.world.callbacks().into_iter().map(|callback| callback.event).collect();
    let kinds = ["add_half_external_contact", "add_external_contact"];
    assert_eq!(told, kinds.map(|kind| format!("change_external_contact/{kind}")));
    assert_eq!(company.welcomes_of("wmWang"), ["客户wmWang您好,我是李丽"]);
    assert_eq!(met(&company, "wmWang", "store_qr").await, 1);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_staff_member_who_is_added_greets_too() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(hours(24)).await;

    company.customer_adds("wmWang", "wangwei", "store-02").await;

    assert_eq!(company.welcomes_of("wmWang"), ["客户wmWang您好,我是李丽", "客户wmWang您好,我是王伟"]);
    let record = company.customer("wmWang").await;
    assert_eq!((record["owner"].as_str(), record["state"].as_str()), (Some("wangwei"), Some("store-01")), "{record}");
    assert!(record["added_at"].as_str().unwrap().starts_with("2035-01-01"), "{record}");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_after_deleting_is_greeted_again_and_is_lost_no_more() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;

    company.advance(hours(24)).await;
    company.customer_deletes("wmWang", "lili").await;
    assert_eq!(company.customer("wmWang").await["lost"], true);
    company.advance(hours(24)).await;
    company.customer_adds("wmWang", "lili", "store-01").await;

    assert_eq!(company.customer("wmWang").await["lost"], false);
    assert_eq!(company.welcomes_of("wmWang").len(), 2);
    assert_eq!(met(&company, "wmWang", "store_qr").await, 2);
    assert_eq!(met(&company, "wmWang", "left_by_customer").await, 1);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_is_handed_over_to_a_colleague_is_no_loss() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(hours(24)).await;

    let (customer, from, to) = ("wmWang".to_owned(), "lili".to_owned(), "wangwei".to_owned());
    company.does(Act::Transfers { customer, from, to }).await;

    let record = company.customer("wmWang").await;
    assert_eq!((record["lost"].as_bool(), record["owner"].as_str()), (Some(false), Some("wangwei")), "{record}");
    assert_eq!(met(&company, "wmWang", "left_by_staff").await, 0, "no rule takes it for a loss");
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whom_a_staff_member_deletes_is_a_loss() {
    let company = Setup::new(RULES).open().await;
    company.customer_adds("wmWang", "lili", "store-01").await;

    company.does(Act::StaffDeletes { userid: "lili".to_owned(), customer: "wmWang".to_owned() }).await;

    assert_eq!(company.customer("wmWang").await["lost"], true);
    assert_eq!(met(&company, "wmWang", "left_by_staff").await, 1);
    company.close().await;
}

/// Another app of the company may be at the same adding.
#[rstest]
#[case::had_greeted_already(41051, 1, "sent, taken by wecom", 0)]
#[case::had_used_the_code_up(41050, 1, "failed, too late", 0)]
#[case::is_at_it_and_leaves_it_to_us(41096, 3, "sent, taken by wecom", 1)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_app_that(#[case] errcode: i64, #[case] times: u32, #[case] fate: &str, #[case] welcomes: usize) {
    let mut company = Setup::new(RULES).open().await;
    company.trouble("externalcontact/send_welcome_msg", FaultKind::Errcode(errcode), times);

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(minutes(1)).await;

    assert_eq!(company.welcome_fates_of("wmWang").await, [format!("welcome hello: {fate}")]);
    assert_eq!(company.welcomes_of("wmWang").len(), welcomes);
    company.close().await;
}

#[rstest]
#[case::the_code_is_used_up(41050)]
#[case::the_customer_is_welcomed(41051)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_whose_answer_was_lost_is_not_said_twice(#[case] errcode: i64) {
    let mut company = Setup::new(RULES).open().await;
    company.trouble("externalcontact/send_welcome_msg", FaultKind::LoseAnswer, 1);
    company.world.faults().consumed_welcome_answers(errcode);

    company.customer_adds("wmWang", "lili", "store-01").await;
    company.advance(minutes(1)).await;

    assert_eq!(company.calls_of("externalcontact/send_welcome_msg").len(), 2, "tried again, since nobody knows");
    assert_eq!(company.welcomes_of("wmWang").len(), 1);
    assert_eq!(company.welcome_fates_of("wmWang").await, ["welcome hello: sent, taken by wecom"]);
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_no_welcome_code_gets_no_welcome() {
    let lili = Staff { console_welcome: true, ..Staff::new("lili", "李丽") };
    let company = Setup::new(RULES).with_staff(lili).open().await;

    company.customer_adds("wmWang", "lili", "store-01").await;

    assert_eq!(company.calls_of("externalcontact/send_welcome_msg"), []);
    assert_eq!(company.customer("wmWang").await["name"], "客户wmWang");
    company.close().await;
}
