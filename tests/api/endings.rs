//! Guarantee 8: nothing that was wanted vanishes.

use chrono::{Datelike, NaiveDate};
use serde_json::json;
use touchpoint::decide::reasons;
use touchpoint::domain::delivery::DeliveryKind;
use touchpoint::sandbox::{Confirm, FaultKind, Staff};
use touchpoint::settings::Locale;

use super::helpers::{Company, Setup, hours, minutes, rules};

const RULES: &str = r#"
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    again: 1s
    holdout: 20
    goal: { touchpoint: visit, within: 14d }
    steps:
      - nudge: { say: thanks, via: [mass, staff], hold: 2d }
      - wait: 2h
      - prompt: { title: 请回访, say: call, due: 4h }
      - nudge: { say: miss_you, via: [staff, mass], hold: 1d }
  quick: { name: 快, enter: { event: order.paid }, again: 1s, priority: 90, steps: [ nudge: { say: miss_you, via: [kf, mass], hold: 1d } ] }
guardrails:
  quiet_hours: "21:00-09:00"
  holidays: [2035-01-03]
  working_hours: "Mon-Fri 09:00-18:00"
  customer_budget: [1 per 1d, 3 per 7d]
  staff_budget: 3 per 1d
staff: { escalate: 24h, default: wangwei, digest: "0 0 9 * * Mon-Fri" }
"#;

/// How many nudges and prompts were wanted, by the counters of each day.
async fn wanted(company: &Company, days: NaiveDate) -> i64 {
    let mut sum = 0;
    for day in days.iter_days().take(60) {
        let counters = company.store.counters(day).await.unwrap();
        let wanted =
            counters.iter().filter(|(name, _)| name.starts_with("nudge.wanted:") || name.starts_with("prompt.wanted:"));
        sum += wanted.map(|(_, count)| count).sum::<i64>();
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_it_everything_that_was_wanted_ends_with_a_state_and_a_reason() {
    let lili = Staff::new("lili", "李丽").confirming(Confirm::Never);
    let lili = lili.tapping("【稍后提醒】", "done", hours(2)).tapping("请回访", "snooze", hours(1));
    let wangwei =
        Staff::new("wangwei", "王伟").confirming(Confirm::After(minutes(10))).tapping("", "dismiss", hours(30));
    let mut company = Setup::new(&rules(RULES)).with_staff(lili).with_staff(wangwei).without_quotas().open().await;

    // Customers of either staff member who order, order again, opt out, leave, come to the shop; and trouble.
    let customers: Vec<String> = (0..12).map(|number| format!("wm{number}")).collect();
    for (number, customer) in customers.iter().enumerate() {
        company.customer_adds(customer, if number % 2 == 0 { "lili" } else { "wangwei" }, "").await;
    }
    company.orders("wmStranger", "A0", "100").await;
    for round in 0..3 {
        for (number, customer) in customers.iter().enumerate() {
            company.orders(customer, &format!("A{round}-{number}"), "100").await;
            company.advance(minutes(7)).await;
        }
        match round {
            0 => {
                company.trouble("externalcontact/add_msg_template", FaultKind::Errcode(40058), 1);
                company.trouble("message/send", FaultKind::Errcode(81013), 1);
                company.happens("visit.made", "wm0", json!({})).await;
            }
            1 => {
                company.happens("customer.opted_out", "wm1", json!({})).await;
                company.happens("customer.opted_out", "wm2", json!({})).await;
                company.customer_deletes("wm3", "wangwei").await;
                company.customer_deletes("wm4", "lili").await;
            }
            _ => {
                company.trouble("message/send", FaultKind::LoseAnswer, 2);
                company.changes_rules(&rules(&RULES.replace("say: call, due: 4h", "say: call, due: 2h"))).await;
            }
        }
        company.advance(hours(30)).await;
    }
    company.changes_rules(&rules(&RULES.replace("  quick:", "  quicker:"))).await;
    company.advance(hours(24 * 45)).await;

    let first_day = company.clock.now().date_naive().with_month(1).unwrap().with_day(1).unwrap();
    let (mut found, mut endings) = (0, std::collections::BTreeSet::new());
    for customer in customers.iter().map(String::as_str).chain(["wmStranger"]) {
        let (chinese, english) = (company.why(customer).await, company.why_in(customer, "en").await);
        for delivery in company.deliveries_of(customer).await {
            if delivery.kind == DeliveryKind::Welcome {
                continue;
            }
            found += 1;
            assert!(delivery.state.is_end() && !delivery.reason.is_empty(), "{delivery:#?}");
            let words = |locale| reasons::in_words(&delivery.reason, locale);
            assert!(chinese.contains(delivery.id.as_str()) && chinese.contains(&words(Locale::ZhCn)), "{chinese}");
            assert!(english.contains(delivery.id.as_str()) && english.contains(&words(Locale::En)), "{english}");
            endings.insert(format!("{:?}: {}", delivery.state, delivery.reason));
        }
    }
    assert_eq!(found, wanted(&company, first_day).await, "each wish of the counters is found as a delivery");
    assert!(found > 60 && endings.len() >= 10, "{found} deliveries: {endings:#?}");
    company.close().await;
}
