use chrono::TimeDelta;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{RULES, World, ask, delivery};

/// A prompt that is with the staff member since 05-06 10:01, due a day later.
fn with_an_open_prompt() -> (World, crate::domain::ids::EffectId) {
    let mut world = World::new(RULES, "05-06 10:00");
    let due = world.now + TimeDelta::hours(24);
    world.customer_asks(ask(&world, 1, json!({ "due": due })));
    world.until("05-06 10:01");
    let task = world.wecom_takes("staff_card", json!({ "msgid": "m1", "response_code": "rc-sent" }));
    (world, task)
}

#[test]
fn cards_are_granted_by_priority_within_the_budget_and_the_rest_goes_on_the_next_working_day() {
    let mut world = World::new(RULES, "05-08 10:00");
    for (number, priority) in [(1, 10), (2, 50), (3, 30)] {
        world.customer_asks(ask(&world, number, json!({ "priority": priority })));
    }
    world.until("05-11 10:00");
    assert_snapshot!("budget", world.story());
    assert_eq!(world.side("asks").len(), 0);
}

#[test]
fn asks_of_one_priority_go_in_the_order_in_which_they_were_wanted() {
    let mut world = World::new(RULES, "05-08 10:00");
    let earlier = world.now - TimeDelta::hours(1);
    world.customer_asks(ask(&world, 1, json!({})));
    world.customer_asks(ask(&world, 2, json!({ "wanted_at": earlier })));
    world.customer_asks(ask(&world, 3, json!({ "wanted_at": earlier - TimeDelta::hours(1) })));
    world.until("05-08 10:01");
    let held: Vec<String> = world.story().lines().filter(|line| line.contains("held")).map(str::to_owned).collect();
    assert_eq!(held.len(), 1);
    assert!(held[0].contains("customer:wm1"), "{held:?}");
}

#[test]
fn an_ask_at_night_waits_for_working_hours_and_is_told_so_once() {
    let mut world = World::new(RULES, "05-06 22:00");
    world.customer_asks(ask(&world, 1, json!({})));
    world.until("05-06 22:05");
    // Another ask has all of them judged again; nothing has changed for the first.
    world.customer_asks(ask(&world, 2, json!({})));
    world.until("05-07 09:30");
    assert_snapshot!("night", world.story());
}

#[test]
fn an_ask_held_longer_than_it_may_be_is_refused() {
    let mut world = World::new(RULES, "05-06 22:00");
    let hold_until = world.now + TimeDelta::hours(6);
    world.customer_asks(ask(&world, 1, json!({ "hold_until": hold_until })));
    world.until("05-07 12:00");
    assert_snapshot!("refused", world.story());
    assert_eq!(world.side("asks").len(), 0);
    assert!(world.timers.is_empty(), "{:?}", world.timers);
}

#[test]
fn a_done_prompt_is_confirmed_once_however_often_it_is_tapped() {
    let (mut world, task) = with_an_open_prompt();
    world.until("05-06 11:00");
    world.taps(&task, "done", "rc1");
    world.until("05-06 11:05");
    world.taps(&task, "done", "rc2");
    world.taps(&task, "dismiss", "rc3");
    assert_snapshot!("done", world.story());
    world.until("05-10 12:00");
    assert_eq!((world.side("cards").len(), world.story()), (0, String::new()), "it is forgotten in the end");
}

#[test]
fn a_staff_nudge_is_sent_or_refused_by_its_own_buttons() {
    let mut world = World::new(RULES, "05-06 10:00");
    for (number, priority) in [(1, 60), (2, 50)] {
        let nudge = json!({ "kind": "nudge", "title": "", "priority": priority });
        world.customer_asks(ask(&world, number, nudge));
    }
    world.until("05-06 10:01");
    let first = world.wecom_takes("staff_card", json!({}));
    let second = world.wecom_takes("staff_card", json!({}));
    let unknown = world.taps(&first, "done", "rc0");
    assert_eq!(unknown.effects, [], "a nudge's card has no such button");
    world.taps(&first, "sent", "rc1");
    world.taps(&second, "dismiss", "rc2");
    assert_snapshot!("staff_nudge", world.story());
}

#[test]
fn a_tap_that_overtakes_wecoms_answer_counts_as_sent_and_done() {
    let mut world = World::new(RULES, "05-06 10:00");
    world.customer_asks(ask(&world, 1, json!({})));
    world.until("05-06 10:01");
    let task = world.outbox[0].id.clone();
    world.taps(&task, "done", "rc1");
    world.wecom_takes("staff_card", json!({ "msgid": "m1" }));
    assert_snapshot!("overtaken", world.story());
    assert_eq!(world.card_states(), ["closed"]);
}

#[test]
fn a_snoozed_card_comes_back_as_a_new_card_and_costs_no_budget() {
    let (mut world, task) = with_an_open_prompt();
    world.until("05-06 11:00");
    world.taps(&task, "snooze", "rc1");
    world.taps(&task, "snooze", "rc2");
    let budget = world.staff.budget.clone();
    world.until("05-06 15:00");
    let again = world.wecom_takes("staff_card", json!({ "msgid": "m2" }));
    assert_ne!(again, task, "a task id is never used twice");
    assert_eq!(world.staff.budget, budget);
    world.taps(&again, "done", "rc3");
    assert_snapshot!("snoozed", world.story());
}

#[test]
fn a_card_snoozed_into_the_evening_comes_back_on_the_next_working_day() {
    let (mut world, task) = with_an_open_prompt();
    // A Friday afternoon.
    world.until("05-08 09:40");
    world.until("05-08 16:00");
    world.story();
    let task = world
        .side("cards")
        .iter()
        .find(|(_, card)| card["state"] != "closed")
        .map(|(id, _)| id.clone())
        .unwrap_or(task.to_string());
    let task = crate::domain::ids::EffectId::parse(task).unwrap();
    world.taps(&task, "snooze", "rc1");
    world.until("05-11 09:29");
    assert!(!world.story().contains("card to"));
    world.until("05-11 09:30");
    assert!(world.story().contains("【稍后提醒】"));
}

#[test]
fn a_prompt_past_due_is_reminded_of_once_then_reported_to_the_managers_once() {
    let (mut world, task) = with_an_open_prompt();
    world.until("05-07 10:02");
    world.wecom_takes("staff_card", json!({ "msgid": "m2" }));
    world.until("05-15 12:00");
    assert_snapshot!("reminded_and_reported", world.story());
    assert_eq!(world.counters.get("staff.escalated"), Some(&1));
    // The first card still hangs in the chat; a tap on it is as good as one on the reminder.
    world.taps(&task, "done", "rc1");
    assert_snapshot!("first_card_tapped_late", world.story());
}

#[test]
fn a_prompt_that_was_reported_before_it_is_due_is_not_reported_again_with_its_reminder() {
    let mut world = World::new(RULES, "05-04 10:00");
    let due = world.now + TimeDelta::hours(72);
    world.customer_asks(ask(&world, 1, json!({ "due": due })));
    world.until("05-04 10:01");
    world.wecom_takes("staff_card", json!({ "msgid": "m1" }));
    world.until("05-07 10:02");
    world.wecom_takes("staff_card", json!({ "msgid": "m2" }));
    world.until("05-08 12:00");
    let counted = ["staff.escalated", "staff.reminded"].map(|key| world.counters.get(key).copied());
    assert_eq!(counted, [Some(1), Some(1)]);
}

#[test]
fn a_reminder_waits_for_working_hours_and_for_the_budget() {
    let mut world = World::new(RULES, "05-06 10:00");
    let due = world.now + TimeDelta::hours(9);
    world.customer_asks(ask(&world, 1, json!({ "due": due })));
    world.until("05-06 10:01");
    world.wecom_takes("staff_card", json!({}));
    world.until("05-07 09:29");
    assert!(!world.story().contains("【已到期】"));
    // Two prompts of the morning take what the budget has.
    for number in [2, 3] {
        world.customer_asks(ask(&world, number, json!({ "priority": 99 })));
    }
    world.staff.budget.insert("2026-05-07".parse().unwrap(), 2);
    world.until("05-07 18:00");
    assert!(!world.story().contains("【已到期】"));
    world.until("05-08 09:30");
    assert!(world.story().contains("【已到期】"));
}

#[test]
fn a_withdrawn_ask_is_forgotten_and_its_open_card_is_closed() {
    let (mut world, task) = with_an_open_prompt();
    world.customer_asks(ask(&world, 2, json!({})));
    for number in [1, 2] {
        world.happens("delivery.withdrawn", json!({ "delivery": delivery(number), "reason": "goal" }));
    }
    world.until("05-06 12:00");
    world.taps(&task, "done", "rc9");
    assert_snapshot!("withdrawn", world.story());
    assert_eq!(world.side("asks").len(), 0);
}

#[test]
fn a_tap_on_a_card_that_nobody_remembers_is_answered_politely() {
    let mut world = World::new(RULES, "05-06 10:00");
    world.taps(&delivery(77), "done", "rc1");
    assert_eq!(world.story(), "05-06 10:00 update rc1: 此卡片已过期,谢谢");
}

#[test]
fn a_card_that_wecom_refuses_gives_its_budget_back() {
    let mut world = World::new(RULES, "05-06 10:00");
    for (number, priority) in [(1, 60), (2, 50), (3, 40)] {
        world.customer_asks(ask(&world, number, json!({ "priority": priority })));
    }
    world.until("05-06 10:01");
    world.wecom_settles(
        "staff_card",
        "effect.failed",
        json!({ "reason": "wecom refused", "errcode": 40003, "message": "invalid" }),
    );
    world.wecom_takes("staff_card", json!({ "invaliduser": "lili" }));
    assert_eq!(world.staff.budget.len(), 0, "{:?}", world.staff.budget);
    assert_snapshot!("refused_by_wecom", world.story());
}

#[test]
fn a_card_held_or_dropped_at_the_hand_over_is_told_to_the_customer() {
    let mut world = World::new(RULES, "05-06 10:00");
    for (number, priority) in [(1, 60), (2, 50)] {
        world.customer_asks(ask(&world, number, json!({ "priority": priority })));
    }
    world.until("05-06 10:01");
    let until = world.now + TimeDelta::hours(1);
    world.wecom_settles(
        "staff_card",
        "effect.held",
        json!({ "reason": "quiet hours", "until": until.timestamp_millis() }),
    );
    world.wecom_settles("staff_card", "effect.dropped", json!({ "reason": "opted out" }));
    let told: Vec<String> = world.story().lines().filter(|line| !line.contains("granted")).map(str::to_owned).collect();
    assert_eq!(
        told.iter().filter(|line| line.contains('→')).collect::<Vec<_>>(),
        [
            "05-06 10:01 → customer:wm1 held: quiet hours until 05-06 11:01 []",
            "05-06 10:01 → customer:wm2 refused: opted out []",
        ]
    );
}

#[test]
fn a_card_that_nobody_ever_taps_ends_with_a_reason() {
    let (mut world, _) = with_an_open_prompt();
    world.playbook.staff.managers.clear();
    world.until("05-07 10:02");
    world.wecom_takes("staff_card", json!({}));
    world.story();
    world.until("06-20 12:00");
    assert!(world.story().contains("failed: not answered"));
    assert_eq!(world.side("cards").len(), 0);
    assert!(world.timers.is_empty(), "{:?}", world.timers);
}

#[test]
fn the_digest_lists_what_is_open_by_due_time_and_is_silent_otherwise() {
    let mut world = World::new(RULES, "05-06 10:00");
    world.happens("schedule.due", json!({ "schedule": "digest", "due": 0 }));
    assert_eq!(world.story(), "");
    for (number, hours, title) in [(1, 48, "回访"), (2, 20, "跟进")] {
        let due = world.now + TimeDelta::hours(hours);
        world.customer_asks(ask(&world, number, json!({ "due": due, "title": title })));
    }
    world.customer_asks(ask(&world, 3, json!({ "kind": "nudge", "channel": "mass" })));
    world.until("05-06 10:05");
    let task = world.wecom_takes("staff_card", json!({}));
    world.wecom_takes("staff_card", json!({}));
    world.wecom_takes("mass_send", json!({ "msgid": "mm1" }));
    world.taps(&task, "snooze", "rc");
    world.story();
    // In the morning, before working hours: it waits for them, and the one by schedule does not repeat it.
    world.until("05-07 09:00");
    world.happens("schedule.due", json!({ "schedule": "digest", "due": 0 }));
    world.until("05-07 09:30");
    world.happens("schedule.due", json!({ "schedule": "digest", "due": 0 }));
    let digests: Vec<String> =
        world.story().lines().filter(|line| line.contains("text to")).map(str::to_owned).collect();
    assert_snapshot!("digest", digests.join("\n"));
}

#[test]
fn a_digest_does_not_come_on_top_of_a_budget_that_is_used_up_and_takes_nothing_from_it() {
    let mut world = World::new(RULES, "05-06 10:00");
    for number in [1, 2] {
        world.customer_asks(ask(&world, number, json!({})));
    }
    world.until("05-06 10:01");
    world.wecom_takes("staff_card", json!({}));
    world.wecom_takes("staff_card", json!({}));
    world.until("05-06 12:00");
    world.story();
    world.happens("schedule.due", json!({ "schedule": "digest", "due": 0 }));
    world.until("05-07 09:29");
    assert_eq!(world.story(), "");
    world.until("05-07 09:30");
    assert!(world.story().contains("text to"), "it comes when there is room");
    assert_eq!(world.staff.budget.values().sum::<u32>(), 2);
}

#[test]
fn mass_sends_leave_at_the_next_full_five_minutes_by_equal_message() {
    let mut world = World::new(RULES, "05-06 10:01");
    let nudge = |world: &World, number, text: &str| {
        ask(world, number, json!({ "kind": "nudge", "channel": "mass", "message": { "text": text } }))
    };
    for (number, text) in [(1, "新款到店"), (2, "好久不见"), (3, "新款到店")] {
        let ask = nudge(&world, number, text);
        world.customer_asks(ask);
    }
    world.until("05-06 10:05");
    assert_snapshot!("flushed", world.story());
    assert_eq!(world.staff.budget.len(), 0, "mass sends cost no staff budget");
    assert_eq!(world.side("asks").len(), 3, "they are kept until WeCom has answered");
}

#[test]
fn one_customer_is_never_twice_in_one_task() {
    let mut world = World::new(RULES, "05-06 10:01");
    for number in [1, 2] {
        let ask = ask(&world, number, json!({ "kind": "nudge", "channel": "mass", "customer": "wm1" }));
        world.customer_asks(ask);
    }
    world.until("05-06 10:05");
    assert_eq!(world.outbox.iter().filter(|effect| effect.call.kind() == "mass_send").count(), 2);
}

/// Mass sends to five customers whose task was just made.
fn with_a_mass_send(answer: Value) -> World {
    let mut world = World::new(RULES, "05-06 10:01");
    for number in 1..=5 {
        let ask = ask(&world, number, json!({ "kind": "nudge", "channel": "mass" }));
        world.customer_asks(ask);
    }
    world.until("05-06 10:05");
    world.story();
    world.wecom_takes("mass_send", answer);
    world
}

#[test]
fn what_becomes_of_a_mass_send_is_told_recipient_by_recipient() {
    let mut world = with_a_mass_send(json!({
        "msgid": "mm1", "fail_list": ["wm1"],
        "dropped": [{ "customer": "wm2", "delivery": delivery(2), "reason": "opted out" }],
    }));
    world.until("05-06 10:10");
    world.wecom_takes(
        "mass_result",
        json!({ "results": [
        { "customer": "wm3", "status": 0 }, { "customer": "wm4", "status": 2 }, { "customer": "wm9", "status": 1 },
    ] }),
    );
    world.until("05-06 10:35");
    world.wecom_takes(
        "mass_result",
        json!({ "results": [
        { "customer": "wm3", "status": 1, "send_time": 1_778_034_600 }, { "customer": "wm5", "status": 3 },
    ] }),
    );
    assert_snapshot!("mass_results", world.story());
    assert_eq!((world.side("mass").len(), world.side("asks").len()), (0, 0));
    assert!(world.timers.is_empty(), "{:?}", world.timers);
}

#[test]
fn an_unconfirmed_mass_send_is_asked_after_reminded_of_and_expires() {
    let mut world = with_a_mass_send(json!({ "msgid": "mm1", "fail_list": ["wm2", "wm3", "wm4", "wm5"] }));
    world.story();
    for time in
        ["05-06 10:10", "05-06 10:35", "05-06 13:05", "05-07 09:30", "05-07 10:05", "05-08 09:30", "05-08 10:05"]
    {
        world.until(time);
        world.wecom_takes("mass_result", json!({ "results": [{ "customer": "wm1", "status": 0 }] }));
    }
    world.until("05-20 12:00");
    assert_snapshot!("unconfirmed", world.story());
    assert!(world.timers.is_empty() && world.side("mass").is_empty());
}

#[test]
fn nobody_is_reminded_of_a_mass_send_that_was_confirmed_since_the_last_look() {
    let mut world = with_a_mass_send(json!({ "msgid": "mm1", "fail_list": ["wm2", "wm3", "wm4", "wm5"] }));
    for time in ["05-06 10:10", "05-06 10:35", "05-06 13:05", "05-07 09:30"] {
        world.until(time);
        world.wecom_takes("mass_result", json!({ "results": [{ "customer": "wm1", "status": 0 }] }));
    }
    world.until("05-07 10:05");
    world.wecom_takes("mass_result", json!({ "results": [{ "customer": "wm1", "status": 1 }] }));
    world.until("05-20 12:00");
    let story = world.story();
    assert!(story.contains("confirmed") && !story.contains("remind of"), "{story}");
}

#[test]
fn a_recipient_held_at_the_hand_over_goes_with_a_later_task() {
    let mut world = World::new(RULES, "05-06 20:56");
    let ask = ask(&world, 1, json!({ "kind": "nudge", "channel": "mass" }));
    world.customer_asks(ask);
    world.until("05-06 20:59");
    // Granted before quiet hours; the flush would be inside them.
    world.until("05-06 21:00");
    world.until("05-07 09:00");
    world.until("05-07 09:05");
    let until = world.now + TimeDelta::hours(1);
    let held = json!([{ "customer": "wm1", "delivery": delivery(1), "reason": "quiet hours", "until": until.timestamp_millis() }]);
    world.wecom_takes("mass_send", json!({ "held": held }));
    world.until("05-07 09:45");
    assert_snapshot!("held_at_the_flush", world.story());
}

#[test]
fn a_mass_send_that_fails_ends_all_its_deliveries() {
    for (how, with, expected) in [
        ("effect.failed", json!({ "reason": "outcome unknown" }), "failed: outcome unknown"),
        ("effect.dropped", json!({ "reason": "too late" }), "refused: too late"),
        ("effect.done", json!({ "answer": {} }), "failed: outcome unknown"),
    ] {
        let mut world = World::new(RULES, "05-06 10:01");
        let ask = ask(&world, 1, json!({ "kind": "nudge", "channel": "mass" }));
        world.customer_asks(ask);
        world.until("05-06 10:05");
        world.story();
        world.wecom_settles("mass_send", how, with);
        assert!(world.story().contains(expected), "{how}");
        assert!(world.side("asks").is_empty() && world.side("mass").is_empty() && world.timers.is_empty(), "{how}");
    }
}

#[test]
fn cards_speak_the_servers_language() {
    let mut world = World::new(RULES, "05-06 10:00");
    world.playbook.locale = crate::settings::Locale::En;
    let due = world.now + TimeDelta::hours(1);
    world.customer_asks(ask(&world, 1, json!({ "due": due })));
    let nudge = ask(&world, 2, json!({ "kind": "nudge" }));
    world.customer_asks(nudge);
    world.until("05-06 10:01");
    assert_snapshot!("english", world.story());
}

#[test]
fn a_timer_that_the_record_does_not_wait_for_changes_nothing() {
    let (mut world, task) = with_an_open_prompt();
    world.story();
    for (name, due) in
        [("judge".to_owned(), 1), ("flush".to_owned(), 1), (format!("card:{task}"), 1), ("x".to_owned(), 1)]
    {
        let decision = world.happens("timer.fired", json!({ "name": name, "due": due }));
        assert!(decision.effects.is_empty() && decision.timers.is_empty() && decision.sides.is_empty(), "{name}");
    }
}

#[test]
fn a_side_collection_that_cannot_be_read_is_an_impossible_record() {
    let (mut world, task) = with_an_open_prompt();
    world.sides.get_mut("cards").unwrap().insert(task.to_string(), json!({ "state": 7 }));
    let event = crate::domain::event::Event {
        id: crate::domain::ids::EventId::parse("e").unwrap(),
        kind: "staff.card".to_owned(),
        actor: crate::domain::actor::Actor::Staff(world.staff.id.clone()),
        at: world.now,
        data: serde_json::Map::new(),
        hops: 0,
        trace: None,
    };
    let record = super::Record { head: world.staff.clone().into(), sides: world.sides.clone() };
    let error = super::decide(&world.playbook, record, &event, world.now).unwrap_err();
    assert!(error.what.starts_with(&format!("cards {task}")), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_comes_in_whatever_order_leaves_a_record_that_can_be_read(
        steps in prop::collection::vec(
            (0usize..9, 0usize..4, 0usize..5, prop::sample::select(vec![json!({}), json!(7), json!([null]), json!("x")])),
            1..25,
        ),
    ) {
        let (mut world, _) = with_an_open_prompt();
        for number in [2, 3] {
            let nudge = ask(&world, number, json!({ "kind": "nudge", "channel": "mass" }));
            world.customer_asks(nudge);
        }
        for (what, which, how, junk) in steps {
            let ids: Vec<String> = ["cards", "mass", "asks"]
                .iter()
                .flat_map(|side| world.side(side).into_keys())
                .chain([delivery(1).to_string()])
                .collect();
            let id = &ids[which % ids.len()];
            let kind = ["effect.done", "effect.failed", "effect.dropped", "effect.held", "-"][how];
            let key = ["done", "sent", "snooze", "dismiss", "-"][how];
            let minutes = i64::try_from(which * 700).unwrap();
            match what {
                0 => drop(world.happens("staff.card", json!({ "task_id": id, "key": key, "response_code": junk }))),
                1 => drop(world.happens(kind, json!({ "effect": id, "call": "staff_card", "answer": junk }))),
                2 => drop(world.happens(kind, json!({ "effect": id, "call": "mass_send", "answer": junk }))),
                3 => drop(world.happens(kind, json!({ "effect": id, "call": "mass_send", "answer": { "msgid": "m" } }))),
                4 => drop(world.happens(kind, json!({ "effect": id, "call": "mass_result", "answer": { "results": junk } }))),
                5 => drop(world.happens("delivery.withdrawn", json!({ "delivery": id, "reason": junk }))),
                6 => drop(world.happens("schedule.due", json!({ "schedule": "digest", "due": junk }))),
                _ => {
                    let at = world.now + TimeDelta::minutes(minutes);
                    let text = at.with_timezone(&world.playbook.zone).format("%m-%d %H:%M").to_string();
                    world.until(&text);
                }
            }
        }
        // A timer that is set is one that the record waits for: firing them all ends.
        world.until("09-01 00:00");
        prop_assert!(world.side("asks").len() <= 2 && world.timers.len() <= 4, "{:?}", world.timers);
    }

    #[test]
    fn the_staff_budget_holds_for_any_sequence_of_asks_and_days(
        wishes in prop::collection::vec((0i64..6 * 1440, 0i64..100, any::<bool>(), 0u8..4), 1..40),
    ) {
        let mut world = World::new(RULES, "05-04 08:00");
        let begins = world.now;
        let mut wishes = wishes;
        wishes.sort_unstable();
        let mut cards: std::collections::BTreeMap<chrono::NaiveDate, u32> = std::collections::BTreeMap::new();
        for (number, (minute, priority, has_due, answer)) in wishes.into_iter().enumerate() {
            let at = begins + TimeDelta::minutes(minute);
            let text = at.with_timezone(&world.playbook.zone).format("%m-%d %H:%M").to_string();
            world.until(&text);
            let due = has_due.then(|| world.now + TimeDelta::hours(5));
            let number = u32::try_from(number).unwrap();
            world.customer_asks(ask(&world, number, json!({ "priority": priority, "due": due })));
            while world.outbox.iter().any(|effect| effect.call.kind() == "staff_card") {
                let task = world.outbox.iter().find(|effect| effect.call.kind() == "staff_card").unwrap().id.clone();
                world.wecom_takes("staff_card", json!({}));
                let key = ["done", "snooze", "dismiss", "-"][usize::from(answer)];
                world.taps(&task, key, "rc");
            }
        }
        world.until("05-20 12:00");
        for line in world.story().lines() {
            let is_card = line.contains("card to") && !line.contains("【稍后提醒】");
            let day = format!("2026-{}", line.split_whitespace().next().unwrap());
            if is_card {
                *cards.entry(day.parse().unwrap()).or_default() += 1;
            }
            let time = line.split_whitespace().nth(1).unwrap();
            prop_assert!(!line.contains("card to") || ("09:30".."18:00").contains(&time), "{line}");
        }
        for (day, count) in cards {
            prop_assert!(count <= 2, "{count} on {day}");
        }
        prop_assert_eq!(world.side("asks").len(), 0, "nothing that was wanted vanishes or stays");
    }
}
