//! Kills after WeCom accepted a call and before its answer arrived, for each kind of call.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use touchpoint::domain::At;
use touchpoint::domain::delivery::Delivery;
use touchpoint::sandbox::What;

use super::company::Company;

/// Two customers, one order each, a visit, three days: every kind of effect happens.
pub(crate) async fn play(company: &Company) {
    let start = play_the_first_day(company).await;
    play_the_other_days(company, start).await;
}

async fn play_the_first_day(company: &Company) -> At {
    company.customer_adds("wmWangFang", "lili").await;
    company.customer_adds("wmLiNa", "wangwei").await;
    company.orders("wmWangFang", "order-1").await;
    company.orders("wmLiNa", "order-2").await;
    company.visits("wmWangFang", "visit-1").await;
    let start = company.clock.now();
    for hours in [1, 3, 8] {
        company.advance_to(start + Duration::from_secs(hours * 3600)).await;
    }
    start
}

async fn play_the_other_days(company: &Company, start: At) {
    for hours in [24, 26, 48] {
        company.advance_to(start + Duration::from_secs(hours * 3600)).await;
    }
    // The prompts were left alone until now; one is answered.
    let card = company.world.receipts().into_iter().rev().find_map(|receipt| match receipt.what {
        What::Card { userid, task_id, .. } if userid == "lili" => Some(task_id),
        _ => None,
    });
    company.world.tap("lili", &card.expect("lili got a card"), "done").await.unwrap();
    company.advance_to(start + Duration::from_secs(72 * 3600)).await;
}

/// What WeCom's own book and the server's records must hold after `play`, however often the server died.
pub(crate) async fn judge(company: &Company) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for receipt in company.world.receipts() {
        let line = match receipt.what {
            What::Welcome { customer, .. } => format!("welcome to {customer}"),
            What::Tagged { customer, tag, .. } => format!("tag {tag} on {customer}"),
            What::Untagged { customer, tag, .. } => format!("tag {tag} off {customer}"),
            What::MassTask { userid, text, .. } => format!("mass task for {userid}: {text}"),
            What::Mass { customer, text, .. } => format!("mass to {customer}: {text}"),
            What::MassNotSent { customer, .. } => format!("mass not sent to {customer}"),
            What::Card { userid, title, .. } => format!("card to {userid}: {title}"),
            What::Text { userid, .. } => format!("text to {userid}"),
            What::CardUpdated { userid, .. } => format!("card updated at {userid}"),
            What::Dropped { userid, .. } => format!("dropped for {userid}"),
            What::MassReminder { .. } | What::Tapped { .. } | What::Markdown { .. } | What::Repeated { .. } => continue,
        };
        *seen.entry(line).or_default() += 1;
    }
    let lines: Vec<String> = seen.iter().map(|(line, count)| format!("{count} × {line}")).collect();
    // One snapshot for every test: whatever was killed, WeCom's book is the same.
    insta::assert_snapshot!("what_wecom_received", lines.join("\n"));
    let mut records = Vec::new();
    for customer in ["wmWangFang", "wmLiNa"] {
        let record = company.record(customer).await;
        let [orders, spend, visits, tags] = ["orders", "spend", "visits", "tags"].map(|name| &record[name]);
        records.push(format!("{customer}: {orders} orders, {spend}, {visits} visits, tags {tags}"));
        let mut fates: Vec<String> = company.deliveries(customer).await.iter().map(fate).collect();
        fates.sort();
        records.extend(fates);
    }
    insta::assert_snapshot!("what_the_records_say", records.join("\n"));
}

fn fate(delivery: &Delivery) -> String {
    format!("  {:?} by {:?}: {:?}, {}", delivery.kind, delivery.channel, delivery.state, delivery.reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_kill_everything_arrives_once() {
    let company = Company::open().await;
    play(&company).await;
    assert_eq!(company.starts(), 1);
    judge(&company).await;
    company.close().await;
}

#[rstest]
#[case::a_token_is_fetched("gettoken")]
#[case::a_profile_is_read("externalcontact/get")]
#[case::a_welcome_goes_out("externalcontact/send_welcome_msg")]
#[case::tags_are_looked_up("externalcontact/get_corp_tag_list")]
#[case::tags_are_made("externalcontact/add_corp_tag")]
#[case::a_pair_is_tagged("externalcontact/mark_tag")]
#[case::a_mass_send_is_made("externalcontact/add_msg_template")]
#[case::a_mass_send_is_asked_after("externalcontact/get_groupmsg_send_result")]
#[case::a_sender_is_reminded("externalcontact/remind_groupmsg_send")]
#[case::a_card_is_sent("message/send")]
#[case::a_card_is_updated("message/update_template_card")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_after_wecom_accepted_a_call_loses_nothing_and_doubles_nothing(#[case] api: &str) {
    let company = Company::open_and_kill_at(Some(api)).await;
    play(&company).await;
    assert_eq!(company.starts(), 2, "{api} was never called");
    judge(&company).await;
    company.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_a_text_is_on_its_way_sends_it_once() {
    let company = Company::open().await;
    let start = play_the_first_day(&company).await;
    // The next message to anybody is a text: the digest of the second morning.
    company.kill_at_next("message/send");
    play_the_other_days(&company, start).await;
    assert_eq!(company.starts(), 2);
    judge(&company).await;
    company.close().await;
}
