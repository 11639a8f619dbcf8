use std::time::Duration;

use super::*;
use crate::domain::delivery::Channel;
use crate::playbook::model::{Enter, EventValue, PromptTo, Signal, Step, StepAction};

/// A small playbook with a bit of everything.
const WHOLE: &str = r##"
playbook:
  id: retail
  name: 女装零售
  north_star: return_visit_rate
  key_product: coat
tags:
  触点: { order: 10 }
  分层: { order: 20 }
touchpoints:
  store_qr:
    name: 门店扫码
    stage: know
    on: contact.added
    where: event.state.startsWith("store-")
    tag: 触点/门店扫码
  first_order:
    name: 首单
    stage: buy
    on: order.paid
    where: customer.orders == 1      # the record as it is after the event
    tag: 触点/首单
  visit:
    name: 到店
    stage: use
    on: visit.made
segments:
  newcomer:    { name: 新客,       when: customer.orders == 0 && days_since(customer.added_at) <= 14, tag: 分层/新客 }
  dormant_vip: { name: 沉睡高价值, when: customer.spend >= 2000 && days_since(customer.last_order_at) > 60, tag: 分层/沉睡高价值 }
  promoter:    { name: 推荐者,     when: customer.nps >= 9 }
messages:
  welcome_store:
    text: "{{ customer.name }}您好,我是{{ staff.name }},新品和订单都可以点下面的客服问。"
    attachments:
      - link: { title: 在线客服, desc: 查订单、看新品, url: "https://example.com/kf" }
  miss_you:
    text: "好久不见,给您留了一件本季新款。"
  hours: { text: "每天 10:00-22:00 营业。" }
welcome:
  - { touchpoint: store_qr, say: welcome_store }
  - { say: hours }
journeys:
  win_back:
    name: 沉睡唤醒
    kind: retention
    enter: { segment: dormant_vip }
    where: "!customer.lost"
    again: 90d
    holdout: 10
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
guardrails:
  quiet_hours: "21:00-09:00"
  holidays: [2026-10-01, 2026-10-02]
  workdays: [2026-10-10]
  working_hours: "Mon-Fri 09:00-18:00"
  customer_budget: [1 per 1d, 4 per 30d]
  staff_budget: 20 per 1d
staff:
  digest: "0 0 9 * * Mon-Fri"
  escalate: 48h
  snooze: 4h
  owner: last_added
  default: lili
"##;

fn loaded(yaml: &str) -> Playbook {
    from_text(yaml).unwrap_or_else(|faults| panic!("{faults}"))
}

fn journey(steps: &str) -> Vec<Step> {
    let indented: String = steps.lines().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "touchpoints:\n  visit: {{ on: visit.made }}\nmessages:\n  hello: {{ text: 您好 }}\njourneys:\n  trip:\n    \
         enter: {{ touchpoint: visit }}\n    steps:\n{indented}"
    );
    loaded(&yaml).journeys.remove(0).steps
}

/// `id -> id of the next`, for reading how steps are laid out.
fn layout(steps: &[Step]) -> Vec<String> {
    let name = |index: Option<usize>| index.map_or("end", |index| steps[index].id.as_str());
    let line = |step: &Step| {
        let arms = match &step.action {
            StepAction::Branch { arms } => {
                let arms: Vec<&str> =
                    arms.iter().map(|(_, first)| first.map_or("-", |first| name(Some(first)))).collect();
                format!(" [{}]", arms.join(" "))
            }
            _ => String::new(),
        };
        format!("{}{arms} -> {}", step.id, name(step.next))
    };
    steps.iter().map(line).collect()
}

#[test]
fn the_whole_small_playbook_compiles() {
    let playbook = loaded(WHOLE);
    assert_eq!((playbook.id.as_str(), playbook.name.as_str()), ("retail", "女装零售"));
    assert_eq!(playbook.north_star.as_deref(), Some("return_visit_rate"));
    assert_eq!(playbook.key_product.as_deref(), Some("coat"));
    assert_eq!(playbook.sweep.source, "0 0 3 * * *");
    assert_eq!(playbook.tag_groups.get("分层"), Some(&20));
    let touchpoints: Vec<&str> = playbook.touchpoints.iter().map(|touchpoint| touchpoint.id.as_str()).collect();
    assert_eq!(touchpoints, ["store_qr", "first_order", "visit"]);
    assert_eq!(playbook.touchpoints[0].tags[0].as_str(), "触点/门店扫码");
    assert_eq!(playbook.segments.len(), 3);
    assert_eq!(playbook.messages.len(), 3);
    assert_eq!(playbook.welcome.len(), 2);
    let journey = &playbook.journeys[0];
    assert_eq!(journey.enter, Enter::Segment(crate::domain::ids::SegmentId::parse("dormant_vip").unwrap()));
    assert_eq!((journey.holdout, journey.priority, journey.backfill), (1000, 50, false));
    assert_eq!(journey.again, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(layout(&journey.steps), ["1 -> 2", "2 -> 3", "3 -> 4", "4 -> 5", "5 -> 6", "6 -> end"]);
    let StepAction::Nudge { via, hold, .. } = &journey.steps[1].action else { panic!("{:?}", journey.steps[1]) };
    assert_eq!(via, &[Channel::Kf, Channel::Mass, Channel::Staff]);
    assert_eq!(*hold, Duration::from_secs(3 * 86_400));
    assert!(journey.steps[3].condition.is_some());
    assert_eq!(playbook.guardrails.customer_budget.len(), 2);
    assert_eq!(playbook.guardrails.customer_budget[1].days, 30);
    assert_eq!(playbook.staff.snooze, Duration::from_secs(4 * 3600));
    assert_eq!(playbook.revision.len(), 64);
}

#[test]
fn an_empty_playbook_has_the_defaults_of_the_contract() {
    let playbook = loaded("playbook: { id: tiny }");
    assert_eq!((playbook.id.as_str(), playbook.name.as_str()), ("tiny", "tiny"));
    assert_eq!(playbook.sweep.source, "0 0 3 * * *");
    assert_eq!(playbook.staff.snooze, Duration::from_secs(4 * 3600));
    assert_eq!(playbook.staff.owner, crate::playbook::model::OwnerRule::LastAdded);
    assert!(playbook.guardrails.quiet_hours.is_none());
}

#[test]
fn every_kind_of_step_compiles() {
    let steps = journey(
        "- { id: first, wait: 30s }\n- wait_until: Mon 10:00\n- wait_for: { done: true, within: 24h }\n\
         - wait_for: { event: order.paid, within: 2d }\n- nudge: { say: hello, via: staff, hold: 1d }\n\
         - prompt: { title: 请联系, say: hello, due: 4h, to: managers }\n- prompt: { title: 请看, to: WangWu }\n\
         - tag: { add: 甲/乙, remove: [甲/丙] }\n- event: { type: shop.asked, data: { n: 3, who: \"{{ customer.name }}\" } }\n\
         - { if: customer.lost, stop: gone }\n- stop: true",
    );
    assert_eq!(steps[0].id.as_str(), "first");
    assert!(matches!(&steps[1].action, StepAction::WaitUntil { day: Some(chrono::Weekday::Mon), .. }));
    assert!(matches!(&steps[2].action, StepAction::WaitFor { signal: Signal::Done, .. }));
    assert!(
        matches!(&steps[3].action, StepAction::WaitFor { signal: Signal::Event(kind), .. } if kind == "order.paid")
    );
    assert!(matches!(&steps[4].action, StepAction::Nudge { via, .. } if via == &[Channel::Staff]));
    assert!(matches!(&steps[5].action, StepAction::Prompt { to: PromptTo::Managers, .. }));
    assert!(
        matches!(&steps[6].action, StepAction::Prompt { to: PromptTo::User(user), say: None, .. } if user.as_str() == "WangWu")
    );
    assert!(matches!(&steps[7].action, StepAction::Tag { add, remove } if add.len() == 1 && remove.len() == 1));
    let StepAction::Event { data, .. } = &steps[8].action else { panic!("{:?}", steps[8]) };
    assert!(matches!(&data["n"], EventValue::Plain(serde_json::Value::Number(_))));
    assert!(matches!(&data["who"], EventValue::Text(_)));
    assert!(matches!(&steps[9].action, StepAction::Stop { reason } if reason == "gone"));
    assert_eq!(steps[9].next, Some(10), "a stop with a condition may be passed");
    assert_eq!(steps[10].next, None);
    assert_eq!(steps[10].place, "playbook.yaml:19");
}

#[test]
fn branches_are_flattened_and_lead_past_their_arms() {
    let steps = journey(
        "- wait: 1h\n- branch:\n    - if: customer.lost\n      steps:\n        - wait: 1h\n        - wait: 2h\n    \
         - if: customer.orders > 1\n      steps: []\n    - else:\n        - branch:\n            - if: customer.opted_out\n              \
         steps: [{ id: deep, wait: 3h }]\n- stop: done",
    );
    assert_eq!(
        layout(&steps),
        [
            "1 -> 2",
            "2 [2.1.1 - 2.3.1] -> 3",
            "2.1.1 -> 2.1.2",
            "2.1.2 -> 3",
            "2.3.1 [deep] -> 3",
            "deep -> 3",
            "3 -> end"
        ]
    );
}

#[test]
fn only_what_a_step_says_changes_the_hash_of_the_steps() {
    let hash = |yaml: &str| loaded(yaml).journeys[0].steps_hash.clone();
    let block = "touchpoints: { v: { on: visit.made } }\njourneys:\n  a:\n    enter: { touchpoint: v }\n    steps:\n      - wait: 1h # soon\n";
    let flow = "touchpoints: { v: { on: visit.made } }\njourneys: { a: { enter: { touchpoint: v }, steps: [{ wait: \"1h\" }] } }";
    assert_eq!(hash(block), hash(flow));
    assert_ne!(hash(block), hash(&block.replace("1h", "2h")));
}

#[test]
fn enter_backfill_and_where_may_stand_in_either_place() {
    let yaml = |rest: &str| {
        format!(
            "segments: {{ s: {{ when: customer.lost }} }}\njourneys:\n  a:\n    steps: [{{ wait: 1h }}]\n    {rest}"
        )
    };
    assert!(loaded(&yaml("enter: { segment: s, backfill: true }")).journeys[0].backfill);
    assert!(loaded(&yaml("enter: { segment: s }\n    backfill: true")).journeys[0].backfill);
    let scheduled = loaded(&yaml("enter: { schedule: \"0 0 9 1 * *\", where: customer.orders > 0 }"));
    assert!(scheduled.journeys[0].condition.is_some());
    assert!(matches!(&scheduled.journeys[0].enter, Enter::Schedule(schedule) if schedule.source == "0 0 9 1 * *"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_loaded_or_refused_without_a_panic(
        yaml in "(segments|journeys|tags|a|店|: |\\{|\\}|\\[|\\]|- |\n|  |\"|'|&a |\\*a|\\$\\{|\\$<|>|[|]|#|!|%|,|when|steps|wait|1h){0,40}"
    ) {
        if let Err(faults) = from_text(&yaml) {
            let _told = faults.to_string();
        }
    }
}
