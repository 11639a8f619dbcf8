use serde_json::json;

use super::stage::{Stage, local, rules};
use super::{Verdict, at_send};

const JOURNEYS: &str = r#"
touchpoints:
  visit: { on: visit.made }
messages:
  hello: { text: "{{ customer.name }}您好,{{ event.product }}到了" }
  offer: { text: 优惠 }
  essay: { text: "{{ customer.attrs.essay }}" }
journeys:
  main:
    name: 主线
    enter: { event: order.paid }
    again: 1h
    goal: { touchpoint: visit, within: 20d }
    exit: customer.spend >= 1000
    steps:
      - nudge: { say: hello, via: [kf, mass, staff], hold: 2d }
      - wait: 1d
      - prompt: { title: 回访, say: hello, due: 24h }
      - wait_for: { done: true, within: 5d }
      - tag: { add: [a/done] }
  extra:
    enter: { event: order.paid }
    again: 1h
    priority: 80
    steps:
      - nudge: { say: offer, via: [mass, staff], hold: 0s }
  desk:
    enter: { event: desk.wanted }
    again: 1h
    steps:
      - nudge: { say: offer, via: [staff] }
  wordy:
    enter: { event: essay.wanted }
    again: 1h
    steps:
      - nudge: { say: essay, via: [mass] }
  managers:
    enter: { event: trouble.seen }
    steps:
      - prompt: { title: 上报, to: managers }
  kf_only:
    enter: { event: kf.wanted }
    steps:
      - nudge: { say: offer, via: [kf] }
"#;

fn stage(guardrails: &str) -> Stage {
    let mut stage = Stage::followed(&format!("{JOURNEYS}{guardrails}"));
    // `extra` is in most tests' way.
    stage.playbook.journeys.retain(|journey| journey.id.as_str() != "extra");
    stage
}

fn both(guardrails: &str) -> Stage {
    Stage::followed(&format!("{JOURNEYS}{guardrails}"))
}

fn buys(stage: &mut Stage) -> Vec<String> {
    stage.event("order.paid", json!({ "amount": 1, "product": "大衣" }))
}

#[test]
fn a_nudge_is_judged_at_the_end_of_its_minute_and_asked_of_the_owner() {
    let mut stage = stage("");
    stage.event("contact.profile", json!({ "name": "王芳", "follow_users": [] }));
    assert_eq!(buys(&mut stage), ["order.paid", "journey.entered main"]);
    assert_eq!((stage.stands("hello").as_str(), stage.timers["judge"]), ("wanted: wanted", local("2026-05-06 10:01")));
    assert_eq!(stage.until("2026-05-06 10:01"), ["> staff:lili asked: mass 王芳您好,大衣到了"]);
    assert_eq!(stage.stands("hello"), "wanted: asked staff");
    let facts = &stage.delivery("hello").turns.last().unwrap().facts;
    assert!(facts.contains(&("channel kf".to_owned(), "channel not supported yet".to_owned())), "{facts:?}");
    assert!(facts.contains(&("channel mass".to_owned(), "open, through lili".to_owned())), "{facts:?}");
}

#[test]
fn a_wait_behind_a_nudge_counts_from_its_sending() {
    let mut stage = stage("");
    buys(&mut stage);
    assert_eq!(stage.run("main"), "2 sent");
    stage.until("2026-05-06 15:00");
    stage.answer("hello", "held", "staff budget");
    stage.answer("hello", "granted", "granted");
    assert_eq!(stage.run("main"), "2 sent");
    stage.until("2026-05-07 09:05");
    let told = stage.answer("hello", "sent", "waits for the sender");
    assert_eq!(told, ["nudge.sent"]);
    assert_eq!(stage.run("main"), "2 until 2026-05-08 09:05");
    assert_eq!(stage.customer.last_outbound_at, Some(stage.now));
    assert_eq!(stage.answer("hello", "confirmed", "confirmed"), ["nudge.confirmed"]);
    assert_eq!(stage.until("2026-05-08 09:05"), ["> staff:lili asked: staff 回访您好,大衣到了"]);
}

#[test]
fn quiet_hours_and_holidays_hold_until_they_are_over() {
    let guardrails = "guardrails:\n  quiet_hours: \"21:00-09:00\"\n  holidays: [2026-05-07]\n";
    let mut stage = stage(guardrails);
    stage.until("2026-05-06 22:30");
    buys(&mut stage);
    assert_eq!(stage.until("2026-05-06 22:31"), Vec::<String>::new());
    assert_eq!(stage.stands("hello"), "held: quiet hours");
    assert_eq!(stage.until("2026-05-08 09:00"), Vec::<String>::new());
    assert_eq!(stage.until("2026-05-08 09:01").len(), 1);
    assert_eq!(stage.stands("hello"), "wanted: asked staff");
}

#[test]
fn working_hours_hold_staff_nudges_and_not_mass_sends() {
    let guardrails = "guardrails:\n  working_hours: \"Mon-Fri 09:00-18:00\"\n";
    let mut stage = stage(guardrails);
    stage.until("2026-05-08 19:00");
    stage.event("desk.wanted", json!({}));
    stage.until("2026-05-08 19:05");
    assert_eq!(stage.stands("offer"), "held: working hours");
    stage.until("2026-05-11 09:01");
    assert_eq!(stage.stands("offer"), "wanted: asked staff");
    let mut mass = self::stage(guardrails);
    mass.until("2026-05-08 19:00");
    buys(&mut mass);
    mass.until("2026-05-08 19:05");
    assert_eq!(mass.stands("hello"), "wanted: asked staff");
}

#[test]
fn the_order_of_a_minutes_nudges_is_the_journeys_priority() {
    for (priority, first, second) in [(80, "offer", "hello"), (10, "hello", "offer")] {
        let mut stage = both("guardrails:\n  customer_budget: 1 per 7d\n");
        stage
            .playbook
            .journeys
            .iter_mut()
            .filter(|one| one.id.as_str() == "extra")
            .for_each(|one| one.priority = priority);
        buys(&mut stage);
        stage.until("2026-05-06 10:01");
        let stands = (stage.stands(first), stage.deliveries[&stage.delivery(second).id].channel);
        assert_eq!(stands, ("wanted: asked staff".to_owned(), None), "priority {priority}");
    }
}

#[test]
fn the_more_important_nudge_of_a_minute_takes_the_budget() {
    let mut stage = both("guardrails:\n  customer_budget: 1 per 7d\n");
    buys(&mut stage);
    let told = stage.until("2026-05-06 10:01");
    assert_eq!(told, ["> staff:lili asked: mass 优惠"]);
    assert_eq!(stage.stands("hello"), "held: customer budget");
    let facts = &stage.delivery("hello").turns.last().unwrap().facts;
    assert!(facts.contains(&("customer budget".to_owned(), "1 of 1 per 7d used".to_owned())), "{facts:?}");
    // It may be held for two days only.
    stage.answer("offer", "sent", "waits for the sender");
    assert_eq!(stage.until("2026-05-08 10:01"), ["nudge.dropped"]);
    assert_eq!(stage.stands("hello"), "dropped: held too long");
    assert_eq!(stage.run("main"), "2 until 2026-05-09 10:01");
    assert_eq!(stage.counted("nudge.dropped.reason:held too long"), 1);
}

#[test]
fn a_refusal_gives_the_budget_back_and_what_it_held_is_judged_anew() {
    let mut stage = both("guardrails:\n  customer_budget: 1 per 7d\n");
    buys(&mut stage);
    stage.until("2026-05-06 10:10");
    assert_eq!(stage.customer.contacts.values().sum::<u32>(), 1);
    // `extra` has a second channel but may not be held a minute longer.
    assert_eq!(stage.answer("offer", "refused", "staff budget"), ["nudge.dropped", "journey.ended extra: finished"]);
    assert_eq!(stage.customer.contacts.len(), 0);
    assert_eq!(stage.until("2026-05-06 10:11").len(), 1);
    assert_eq!(stage.stands("hello"), "wanted: asked staff");
}

#[test]
fn a_refused_channel_is_not_tried_again() {
    let mut stage = stage("");
    buys(&mut stage);
    stage.until("2026-05-06 10:10");
    stage.answer("hello", "refused", "day quota");
    assert_eq!(stage.until("2026-05-06 10:11"), ["> staff:lili asked: staff 您好,大衣到了"]);
    stage.answer("hello", "refused", "staff not reachable");
    assert_eq!(stage.stands("hello"), "dropped: staff not reachable");
}

#[test]
fn the_budget_counts_the_day_of_the_sending() {
    let mut stage = stage("guardrails:\n  customer_budget: 1 per 1d\n");
    buys(&mut stage);
    stage.until("2026-05-07 12:00");
    stage.answer("hello", "sent", "waits for the sender");
    let days: Vec<String> = stage.customer.contacts.keys().map(ToString::to_string).collect();
    assert_eq!(days, ["2026-05-07"]);
    stage.event("desk.wanted", json!({}));
    stage.until("2026-05-07 12:05");
    assert_eq!(stage.stands("offer"), "held: customer budget");
    stage.until("2026-05-08 00:02");
    assert_eq!(stage.stands("offer"), "wanted: asked staff");
    // A staff nudge costs the budget when it is sent.
    assert_eq!(stage.customer.contacts.len(), 1);
    stage.answer("offer", "sent", "taken by wecom");
    assert_eq!(stage.customer.contacts.len(), 2);
}

#[test]
fn wecom_takes_one_mass_send_a_day() {
    let mut stage = both("");
    buys(&mut stage);
    assert_eq!(
        stage.until("2026-05-06 10:01"),
        ["> staff:lili asked: mass 优惠", "> staff:lili asked: staff 您好,大衣到了"]
    );
    let facts = &stage.delivery("hello").turns.last().unwrap().facts;
    assert!(facts.contains(&("channel mass".to_owned(), "day quota, until 2026-05-07 00:00".to_owned())), "{facts:?}");
}

#[test]
fn opting_out_drops_nudges_and_keeps_prompts() {
    let mut stage = stage("");
    buys(&mut stage);
    stage.until("2026-05-06 10:10");
    let told = stage.event("customer.opted_out", json!({}));
    assert_eq!(told, ["customer.opted_out", "nudge.dropped", "> staff:lili not any more: opted out"]);
    assert_eq!(stage.stands("hello"), "dropped: opted out");
    let told = stage.until("2026-05-07 10:10");
    assert_eq!(told, ["> staff:lili asked: staff 回访您好,大衣到了"]);
    let asked = format!("{:?}", stage.decisions.last().unwrap().effects);
    assert!(asked.contains("客户已退订") && asked.contains("客户发生「订单支付」"), "{asked}");
    stage.event("desk.wanted", json!({}));
    stage.until("2026-05-07 10:12");
    assert_eq!(stage.stands("offer"), "dropped: opted out");
    stage.event("customer.opted_in", json!({}));
    stage.until("2026-05-07 12:00");
    stage.event("desk.wanted", json!({}));
    stage.until("2026-05-07 12:01");
    assert_eq!(stage.stands("offer"), "wanted: asked staff");
}

#[test]
fn the_goal_takes_back_what_has_not_left() {
    let mut stage = stage("");
    buys(&mut stage);
    let told = stage.event("visit.made", json!({}));
    assert_eq!(told[2..], ["journey.goal main", "journey.ended main: goal", "nudge.dropped"]);
    assert_eq!((stage.stands("hello").as_str(), stage.timers.len()), ("dropped: goal", 0));

    let mut on_a_card = self::stage("");
    buys(&mut on_a_card);
    on_a_card.until("2026-05-06 10:10");
    on_a_card.answer("hello", "sent", "waits for the sender");
    on_a_card.until("2026-05-07 12:00");
    on_a_card.answer("回访", "sent", "taken by wecom");
    let told = on_a_card.event("visit.made", json!({}));
    assert_eq!(told.last().unwrap(), "> staff:lili not any more: goal");
    // A mass send that WeCom has is not to be called back; its result is still awaited.
    assert_eq!(
        (on_a_card.stands("回访").as_str(), on_a_card.stands("hello").as_str()),
        ("dropped: goal", "sent: waits for the sender")
    );
    on_a_card.answer("hello", "failed", "not confirmed");
    assert_eq!(on_a_card.stands("hello"), "failed: not confirmed");
}

#[test]
fn an_exit_says_in_the_delivery_what_held() {
    let mut stage = stage("");
    buys(&mut stage);
    stage.event("order.paid", json!({ "amount": 5000 }));
    assert_eq!(stage.stands("hello"), "dropped: exit");
    let facts = &stage.delivery("hello").turns.last().unwrap().facts;
    assert_eq!(facts, &[("customer.spend".to_owned(), "5001".to_owned())]);
}

#[test]
fn a_customer_without_pairs_is_not_nudged_and_one_whose_owner_left_goes_to_the_next() {
    let mut stage = stage("");
    buys(&mut stage);
    stage.event("contact.added", json!({ "userid": "wangwei" }));
    stage.until("2026-05-06 10:01");
    assert_eq!(stage.delivery("hello").staff.as_ref().unwrap().as_str(), "wangwei");
    let told = stage.event("contact.lost", json!({ "userid": "wangwei" }));
    assert_eq!(told, ["contact.lost", "> staff:wangwei not any more: owner left"]);
    // It may have left already: only wangwei knows.
    assert_eq!((stage.until("2026-05-06 10:05").len(), stage.stands("hello").as_str()), (0, "held: owner left"));
    stage.answer("hello", "refused", "owner left");
    assert_eq!(stage.until("2026-05-06 10:06"), ["> staff:lili asked: mass 您好,大衣到了"]);
    let told = stage.event("contact.deleted", json!({ "userid": "lili" }));
    assert_eq!(told, ["contact.deleted", "nudge.dropped", "> staff:lili not any more: lost"]);
}

#[test]
fn a_channel_that_is_not_there_yet_drops_with_its_reason() {
    let mut stage = stage("");
    stage.event("kf.wanted", json!({}));
    stage.until("2026-05-06 10:01");
    assert_eq!(stage.stands("offer"), "dropped: channel not supported yet");
    assert_eq!(stage.run("kf_only"), "finished");
    let mut nobody = Stage::new(JOURNEYS);
    nobody.event("essay.wanted", json!({}));
    nobody.until("2026-05-06 10:01");
    assert_eq!(nobody.stands("essay"), "dropped: no owner");
}

#[test]
fn a_text_that_is_too_long_fails_with_its_length() {
    let mut stage = stage("");
    stage.event("customer.updated", json!({ "attrs": { "essay": "长".repeat(1400) } }));
    stage.event("essay.wanted", json!({}));
    assert_eq!(stage.until("2026-05-06 10:01"), ["nudge.failed", "journey.ended wordy: finished"]);
    assert_eq!(stage.stands("essay"), "failed: text cannot be made");
    let facts = &stage.delivery("essay").turns.last().unwrap().facts;
    assert!(facts.contains(&("bytes".to_owned(), "4200".to_owned())), "{facts:?}");
}

#[test]
fn a_done_prompt_is_a_signal_and_a_dismissed_one_is_not() {
    let at_prompt = || {
        let mut stage = stage("");
        buys(&mut stage);
        stage.until("2026-05-06 10:10");
        stage.answer("hello", "sent", "waits for the sender");
        stage.until("2026-05-07 10:10");
        stage.answer("回访", "sent", "taken by wecom");
        stage
    };
    let mut done = at_prompt();
    assert_eq!(done.run("main"), "4 something until 2026-05-12 10:10");
    assert_eq!(done.delivery("回访").due, Some(local("2026-05-08 10:10")));
    assert_eq!(done.answer("回访", "snoozed", "snoozed"), ["prompt.snoozed"]);
    assert_eq!(done.stands("回访"), "sent: snoozed");
    assert_eq!(done.answer("回访", "escalated", "escalated"), Vec::<String>::new());
    assert_eq!(done.answer("回访", "confirmed", "done"), ["prompt.done", "> tag lili +a/done"]);
    let mut dismissed = at_prompt();
    assert_eq!(dismissed.answer("回访", "dismissed", "dismissed"), ["prompt.dismissed"]);
    assert_eq!(dismissed.run("main"), "4 something until 2026-05-12 10:10");
    assert_eq!(dismissed.until("2026-05-12 10:10"), ["> tag lili +a/done"]);
}

#[test]
fn a_prompt_asks_the_owner_the_default_or_the_manager() {
    let mut nobody = Stage::new(JOURNEYS);
    nobody.event("trouble.seen", json!({}));
    assert_eq!(nobody.stands("上报"), "dropped: no manager");
    let mut managed = Stage::new(JOURNEYS);
    managed.playbook.staff.managers = vec!["boss".parse().unwrap()];
    assert_eq!(managed.event("trouble.seen", json!({})).last().unwrap(), "> staff:boss asked: staff 上报");

    let prompt = "journeys:\n  p:\n    enter: { event: a.b }\n    steps:\n      - prompt: { title: 看看 }\n";
    let mut none = Stage::new(prompt);
    none.event("a.b", json!({}));
    assert_eq!(none.stands("看看"), "dropped: no owner");
    let mut default = Stage::new(&format!("{prompt}staff:\n  default: zhao\n"));
    assert_eq!(default.event("a.b", json!({})).last().unwrap(), "> staff:zhao asked: staff 看看");
}

#[test]
fn a_run_whose_last_step_is_a_nudge_stays_until_it_has_left() {
    let mut stage = stage("");
    stage.event("desk.wanted", json!({}));
    stage.until("2026-05-06 10:10");
    assert_eq!(stage.run("desk"), "1 sent");
    assert_eq!(stage.answer("offer", "sent", "taken by wecom"), ["nudge.sent", "journey.ended desk: finished"]);
    // The card stays with the staff member.
    assert_eq!(stage.answer("offer", "dismissed", "dismissed"), ["nudge.dropped"]);
}

#[test]
fn a_nudge_that_was_taken_back_counts_until_staff_say_that_it_has_not_left() {
    let taken_back = || {
        let mut stage = stage("guardrails:\n  customer_budget: 1 per 1d\n");
        buys(&mut stage);
        stage.until("2026-05-06 10:10");
        stage.event("visit.made", json!({}));
        assert_eq!((stage.stands("hello").as_str(), stage.customer.contacts.len()), ("dropped: goal", 0));
        stage.event("desk.wanted", json!({}));
        stage.until("2026-05-06 10:12");
        assert_eq!(stage.stands("offer"), "held: customer budget");
        stage
    };
    let mut left = taken_back();
    left.answer("hello", "sent", "waits for the sender");
    assert_eq!((left.customer.contacts.len(), left.customer.mass_sends.len()), (1, 1));
    assert_eq!((left.until("2026-05-06 20:00").len(), left.stands("offer").as_str()), (0, "held: customer budget"));
    let mut kept = taken_back();
    kept.answer("hello", "refused", "goal");
    assert_eq!(kept.until("2026-05-06 10:13").len(), 1);
    assert_eq!(kept.stands("offer"), "wanted: asked staff");
    // Without a word of staff it cannot be on its way for ever.
    let mut silent = taken_back();
    silent.until("2026-05-09 00:01");
    assert_eq!(silent.stands("offer"), "wanted: asked staff");
}

#[test]
fn a_nudge_whose_rules_are_gone_is_dropped() {
    let mut stage = stage("");
    buys(&mut stage);
    let before = stage.delivery("hello").clone();
    stage.playbook = rules("touchpoints:\n  visit: { on: visit.made }\n");
    assert_eq!(
        at_send(&stage.playbook, &stage.customer, &before.id, stage.now),
        Verdict::Drop { by: "journey removed".into() }
    );
    stage.until("2026-05-06 10:01");
    assert_eq!(stage.stands("hello"), "dropped: journey removed");
}

#[test]
fn the_last_look_sees_what_has_changed_since() {
    let asked = |guardrails: &str| {
        let mut stage = stage(guardrails);
        buys(&mut stage);
        stage.until("2026-05-06 10:10");
        let id = stage.delivery("hello").id.clone();
        (stage, id)
    };
    let dropped = |by: &str| Verdict::Drop { by: by.to_owned() };
    let (mut stage, id) = asked("guardrails:\n  quiet_hours: \"21:00-09:00\"\n");
    let verdict = |stage: &Stage, at: &str| at_send(&stage.playbook, &stage.customer, &id, local(at));
    assert_eq!(verdict(&stage, "2026-05-06 20:59"), Verdict::Go);
    let until = local("2026-05-07 09:00");
    assert_eq!(verdict(&stage, "2026-05-06 21:00"), Verdict::Hold { until, by: "quiet hours".to_owned() });
    // Whatever let the record miss it, the last look does not.
    stage.customer.opted_out = true;
    assert_eq!(verdict(&stage, "2026-05-06 12:00"), dropped("opted out"));
    stage.customer.opted_out = false;
    stage.customer.runs.get_mut("main").unwrap().arm = crate::domain::customer::Arm::HeldOut;
    assert_eq!(verdict(&stage, "2026-05-06 12:00"), dropped("held out"));
    stage.customer.runs.clear();
    assert_eq!(verdict(&stage, "2026-05-06 12:00"), Verdict::Go);
    stage.event("contact.lost", json!({ "userid": "lili" }));
    assert_eq!(verdict(&stage, "2026-05-06 12:00"), dropped("not wanted any more"));
}

#[test]
fn what_one_manager_has_done_is_taken_back_from_the_others() {
    let rules = "journeys:\n  trouble:\n    enter: { event: trouble.seen }\n    steps:\n      \
                 - prompt: { title: 上报, to: managers }\n      - wait_for: { done: true, within: 2d }\n      \
                 - tag: { add: [a/done] }\n";
    let mut stage = Stage::followed(rules);
    stage.playbook.staff.managers = vec!["boss".parse().unwrap(), "vice".parse().unwrap()];
    let asked = stage.event("trouble.seen", json!({}));
    assert_eq!(asked[2..], ["> staff:boss asked: staff 上报", "> staff:vice asked: staff 上报"]);
    let of = |stage: &Stage, userid: &str| {
        let mut all = stage.deliveries.values();
        all.find(|one| one.staff.as_ref().is_some_and(|staff| staff.as_str() == userid)).unwrap().clone()
    };
    let answer = |stage: &mut Stage, userid: &str, state: &str, reason: &str| {
        let id = of(stage, userid).id;
        stage.event("delivery.answered", json!({ "delivery": id, "state": state, "reason": reason, "facts": [] }))
    };
    answer(&mut stage, "boss", "sent", "taken by wecom");
    answer(&mut stage, "vice", "sent", "taken by wecom");
    let told = answer(&mut stage, "boss", "confirmed", "done");
    assert_eq!(
        told,
        [
            "prompt.done",
            "journey.ended trouble: finished",
            "> staff:vice not any more: done by another",
            "> tag lili +a/done"
        ]
    );
    assert_eq!(of(&stage, "vice").reason, "done by another");
    assert!(stage.customer.deliveries.is_empty());
}

/// A shop closes at night: who asks for an answer within eight hours means hours after the card has come.
#[test]
fn the_time_to_do_a_prompt_counts_from_its_sending() {
    let rules = "journeys:\n  care:\n    enter: { event: care.due }\n    steps:\n      \
                 - prompt: { title: 回访 }\n      - wait_for: { done: true, within: 8h }\n      - tag: { add: [a/late] }\n";
    let mut stage = Stage::followed(rules);
    stage.until("2026-05-06 21:00");
    stage.event("care.due", json!({}));
    assert_eq!(stage.until("2026-05-07 10:00"), Vec::<String>::new());
    stage.answer("回访", "sent", "taken by wecom");
    assert_eq!(stage.run("care"), "2 something until 2026-05-07 18:00");
    assert_eq!(stage.until("2026-05-07 18:00").last().unwrap(), "> tag lili +a/late");
    // One that never leaves is not waited for longer than one that does.
    let mut refused = Stage::followed(rules);
    refused.event("care.due", json!({}));
    refused.until("2026-05-06 12:00");
    refused.answer("回访", "refused", "held too long");
    assert_eq!(refused.run("care"), "2 something until 2026-05-06 20:00");
}

#[test]
fn who_is_lost_is_not_nudged_even_by_a_run_that_goes_on() {
    let rules = "messages:\n  hello: { text: 您好 }\njourneys:\n  back:\n    enter: { event: contact.lost }\n    \
                 steps:\n      - nudge: { say: hello, via: [mass] }\n";
    let mut stage = Stage::followed(rules);
    stage.event("contact.lost", json!({ "userid": "lili" }));
    stage.until("2026-05-06 10:01");
    assert_eq!(stage.stands("hello"), "dropped: lost");
}

#[test]
fn what_became_of_a_delivery_is_a_signal_for_its_own_journey_only() {
    let rules = "messages:\n  hello: { text: 您好 }\njourneys:\n  one:\n    enter: { event: a.b }\n    steps:\n      \
                 - nudge: { say: hello, via: [staff] }\n  two:\n    enter: { event: c.d }\n    \
                 goal: { event: nudge.sent, within: 9d }\n    steps:\n      - wait: 5d\n";
    let mut stage = Stage::followed(rules);
    stage.event("c.d", json!({}));
    stage.event("a.b", json!({}));
    stage.until("2026-05-06 10:01");
    stage.answer("hello", "sent", "taken by wecom");
    assert_eq!(stage.run("two"), "1 until 2026-05-11 10:00");
}

#[test]
fn wecom_takes_as_many_mass_sends_a_month_as_the_month_has_days() {
    use crate::domain::delivery::Channel;
    for (so_far, channel) in [(30, Channel::Mass), (31, Channel::Staff)] {
        let mut stage = stage("");
        stage.customer.mass_sends.insert("2026-05-05".parse().unwrap(), so_far);
        buys(&mut stage);
        stage.until("2026-05-06 10:01");
        let delivery = stage.delivery("hello");
        assert_eq!(delivery.channel, Some(channel), "{so_far} of 31");
        let closed = ("channel mass".to_owned(), "month quota, until 2026-06-01 00:00".to_owned());
        assert_eq!(delivery.turns.last().unwrap().facts.contains(&closed), so_far == 31);
    }
}
