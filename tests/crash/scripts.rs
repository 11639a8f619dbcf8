//! Kills at each script between the server and Redis.

use rstest::rstest;

use super::calls::{judge, play};
use super::company::Company;
use super::protocol::sha_of;
use super::proxy::{Kill, Moment};

#[rstest]
#[case::an_event_is_appended("append", include_str!("../../src/store/append.lua"))]
#[case::a_batch_is_committed("commit", include_str!("../../src/store/commit.lua"))]
#[case::timers_fire("fire", include_str!("../../src/store/fire.lua"))]
#[case::a_try_begins("begin_try", include_str!("../../src/store/begin_try.lua"))]
#[case::a_try_is_settled("settle", include_str!("../../src/store/settle.lua"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_a_script_loses_nothing_and_doubles_nothing(
    #[case] name: &str,
    #[case] source: &str,
    #[values(Moment::Before, Moment::After)] moment: Moment,
    #[values(0, 7)] after_calls: usize,
) {
    let company = Company::open().await;
    company.proxy.plan(Kill { script: sha_of(source), holding: "", after_calls, moment }, company.pid());
    play(&company).await;
    assert!(company.proxy.has_killed(), "{name} was called fewer than {after_calls} times: nothing was tried");
    assert_eq!(company.starts(), 2);
    judge(&company).await;
    company.close().await;
}

/// Whoever does not get an answer says it again: the company's shop its order, WeCom its callback, the next owner a message
/// between actors.
#[rstest]
#[case::an_order(r#""type":"order.paid""#)]
#[case::a_visit(r#""type":"visit.made""#)]
#[case::an_adding(r#""type":"contact.added""#)]
#[case::a_message_between_actors(r#""type":"delivery.wanted""#)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_when_an_event_is_appended_loses_nothing_and_doubles_nothing(
    #[case] event: &'static str,
    #[values(Moment::Before, Moment::After)] moment: Moment,
) {
    let company = Company::open().await;
    let script = sha_of(include_str!("../../src/store/append.lua"));
    company.proxy.plan(Kill { script, holding: event, after_calls: 0, moment }, company.pid());
    play(&company).await;
    assert!(company.proxy.has_killed(), "{event} was never appended: nothing was tried");
    assert_eq!(company.starts(), 2);
    judge(&company).await;
    company.close().await;
}

/// A result and the removal of its effect are one: whoever dies around that moment leaves both or neither.
#[rstest]
#[case::a_profile("contact.profile")]
#[case::a_welcome(r#""call":"welcome""#)]
#[case::a_tag(r#""call":"tag""#)]
#[case::a_mass_send(r#""call":"mass_send""#)]
#[case::the_outcome_of_a_mass_send(r#""call":"mass_result""#)]
#[case::a_card(r#""call":"staff_card""#)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_when_a_result_is_written_down_loses_nothing_and_doubles_nothing(
    #[case] result: &'static str,
    #[values(Moment::Before, Moment::After)] moment: Moment,
) {
    let company = Company::open().await;
    let script = sha_of(include_str!("../../src/store/settle.lua"));
    company.proxy.plan(Kill { script, holding: result, after_calls: 0, moment }, company.pid());
    play(&company).await;
    assert!(company.proxy.has_killed(), "{result} was never written down: nothing was tried");
    assert_eq!(company.starts(), 2);
    judge(&company).await;
    company.close().await;
}
