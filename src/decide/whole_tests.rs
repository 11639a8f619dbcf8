//! Whole decisions of a typical shop, word for word: whatever changes one is to be looked at.

use serde_json::{Value, json};

use super::stage::{Stage, local};
use super::{Decision, Head, TimerChange, sweeps};
use crate::domain::actor::ActorKind;

/// Women's wear.
const SHOP: &str = r#"
playbook: { id: retail, name: 女装零售, north_star: return_visit_rate, key_product: coat }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  store_qr: { name: 门店扫码, stage: know, on: contact.added, where: 'event.state.startsWith("store-")', tag: 触点/门店扫码 }
  first_order: { name: 首单, stage: buy, on: order.paid, where: customer.orders == 1, tag: 触点/首单 }
  visit: { name: 到店, stage: use, on: visit.made }
segments:
  newcomer: { name: 新客, when: customer.orders == 0 && days_since(customer.added_at) <= 14, tag: 分层/新客 }
  dormant_vip: { name: 沉睡高价值, when: customer.spend >= 2000 && days_since(customer.last_order_at) > 60, tag: 分层/沉睡高价值 }
messages:
  welcome_store:
    text: "{{ customer.name }}您好,我是{{ staff.name }},新品和订单都可以点下面的客服问。"
    attachments: [{ link: { title: 在线客服, desc: 查订单、看新品, url: "https://example.com/kf" } }]
  miss_you: { text: "好久不见,给您留了一件本季新款。" }
  hours: { text: "每天 10:00-22:00 营业。" }
welcome: [{ touchpoint: store_qr, say: welcome_store }, { say: hours }]
journeys:
  win_back:
    name: 沉睡唤醒
    kind: retention
    enter: { segment: dormant_vip }
    where: "!customer.lost"
    again: 90d
    priority: 50
    goal: { touchpoint: visit, within: 14d }
    exit: customer.lost || customer.opted_out
    steps:
      - wait: 2h
      - nudge: { say: miss_you, via: [kf, mass, staff] }
      - wait: 3d
      - if: touched("visit") == 0
        prompt: { title: 高价值客户仍未回店, say: miss_you, due: 24h }
      - wait_until: "10:00"
      - tag: { add: [分层/流失预警] }
  birthday:
    name: 生日关怀
    enter: { schedule: "0 0 9 * * *", where: "customer.attrs.birthday == true" }
    steps: [{ nudge: { say: hours } }]
guardrails:
  quiet_hours: "21:00-09:00"
  customer_budget: [1 per 1d, 4 per 30d]
staff: { digest: "0 0 9 * * Mon-Fri", default: lili }
"#;

fn whole(decision: &Decision) -> String {
    let timers = decision.timers.iter().map(|change| match change {
        TimerChange::Set { name, at } => format!("{name} at {at}"),
        TimerChange::Cancel { name } => format!("{name} taken back"),
    });
    let Head::Customer(customer) = &decision.head else { panic!("a customer stays one") };
    let members = decision.memberships.iter().map(|(id, is_in)| format!("{id}: {is_in}"));
    let whole = json!({
        "customer": customer,
        "timers": timers.collect::<Vec<_>>(),
        "effects": decision.effects,
        "deliveries": decision.deliveries,
        "memberships": members.collect::<Vec<_>>(),
        "counters": decision.counters,
        "lines": decision.lines,
        "trace": decision.trace,
    });
    serde_json::to_string_pretty(&without_nothing(whole)).unwrap()
}

/// What is empty says nothing.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_nothing(value)));
            Value::Object(fields.filter(|(_, value)| *value != json!([]) && *value != json!({})).collect())
        }
        other => other,
    }
}

#[test]
fn an_adding_and_its_welcome() {
    let mut stage = Stage::new(SHOP);
    stage.event("contact.added", json!({ "userid": "lili", "state": "store-01", "welcome_code": "W1" }));
    insta::assert_snapshot!("adding", whole(&stage.decisions[0]));
    let profile = json!({
        "name": "王芳", "type": 1, "gender": 2, "unionid": "o1", "userid": "lili", "staff_name": "李丽",
        "follow_users": [{ "userid": "lili", "createtime": stage.now.timestamp_millis(), "add_way": 1, "tags": [] }],
    });
    stage.event("contact.profile", profile);
    insta::assert_snapshot!("welcome", whole(&stage.decisions[1]));
}

#[test]
fn a_sleeping_customer_is_nudged_and_a_prompt_follows() {
    let mut stage = Stage::followed(SHOP);
    stage.event(
        "contact.profile",
        json!({ "name": "王芳", "userid": "lili", "staff_name": "李丽", "follow_users": [] }),
    );
    stage.event("order.paid", json!({ "order_id": "A1", "amount": "3000.00", "product": "coat" }));
    stage.now = local("2026-07-07 03:00");
    stage.decisions.clear();
    stage.sweep("segments");
    insta::assert_snapshot!("sweep", whole(&stage.decisions[0]));
    // 03:00 and two hours: the night holds it until nine.
    stage.until("2026-07-07 08:00");
    assert_eq!(stage.stands("miss_you"), "held: quiet hours");
    stage.decisions.clear();
    stage.until("2026-07-07 09:01");
    insta::assert_snapshot!("judged", whole(stage.decisions.last().unwrap()));
    stage.until("2026-07-07 09:05");
    stage.answer("miss_you", "sent", "waits for the sender");
    insta::assert_snapshot!("sent", whole(stage.decisions.last().unwrap()));
    stage.decisions.clear();
    stage.until("2026-07-10 09:05");
    insta::assert_snapshot!("prompt", whole(stage.decisions.last().unwrap()));
    assert_eq!(stage.run("win_back"), "5 until 2026-07-10 10:00");
    stage.event("visit.made", json!({ "store": "一号店" }));
    insta::assert_snapshot!("goal", whole(stage.decisions.last().unwrap()));
}

#[test]
fn the_shops_schedules_walk_over_customers_and_staff() {
    let stage = Stage::new(SHOP);
    let walks: Vec<(String, String, ActorKind)> =
        sweeps(&stage.playbook).into_iter().map(|sweep| (sweep.name, sweep.schedule.source, sweep.over)).collect();
    let expected = [
        ("segments", "0 0 3 * * *", ActorKind::Customer),
        ("digest", "0 0 9 * * Mon-Fri", ActorKind::Staff),
        ("journey:birthday", "0 0 9 * * *", ActorKind::Customer),
    ];
    assert_eq!(walks, expected.map(|(name, schedule, over)| (name.to_owned(), schedule.to_owned(), over)));
}
