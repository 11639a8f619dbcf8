use super::leases::Fence;
use super::outbox::{Settled, Waiting};
use super::streams::InLane;
use super::trial::{Trial, at, customer_of, effect, event, no_change};
use crate::domain::actor::Actor;
use crate::domain::effect::{Effect, Lane};

async fn want(trial: &Trial, fence: &Fence, actor: &Actor, effects: &[&Effect]) {
    let mut change = no_change(actor);
    change.decision.effects = effects.iter().map(|effect| (*effect).clone()).collect();
    trial.take_effect(fence, change).await;
}

/// How the effect stands: its tries, and whether the latest is unanswered; none when it is gone.
async fn standing(trial: &Trial, effect: &Effect) -> Option<(u32, bool)> {
    let found = trial.store.effects(1, std::slice::from_ref(&effect.id)).await.unwrap().pop().unwrap();
    found.ok().map(|waiting| (waiting.tries, waiting.unanswered))
}

async fn told(trial: &Trial) -> Vec<String> {
    let from = trial.store.cursor(1).await.unwrap().now;
    let entries = trial.store.read(1, InLane::In, &from, 100).await.unwrap();
    entries.into_iter().map(|entry| entry.event.unwrap().id.as_str().to_owned()).collect()
}

fn again(ms: i64, counts: bool, unanswered: bool, told: Option<&str>, actor: &Actor) -> Settled {
    Settled::Again { at: at(ms), unanswered, counts, event: told.map(|id| event(id, actor)) }
}

#[tokio::test]
async fn due_effects_come_in_order_from_their_lane() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let [late, early, urgent, future] = [
        effect("late", &lin, Lane::Normal, at(20)),
        effect("early", &lin, Lane::Normal, at(10)),
        effect("urgent", &lin, Lane::Urgent, at(0)),
        effect("future", &lin, Lane::Normal, at(99)),
    ];
    want(&trial, &fence, &lin, &[&late, &early, &urgent, &future]).await;

    let due = |lane, most| trial.store.due_effects(1, lane, at(20), most);
    assert_eq!(due(Lane::Normal, 10).await.unwrap(), [early.id.clone(), late.id.clone()]);
    assert_eq!(due(Lane::Normal, 1).await.unwrap(), std::slice::from_ref(&early.id));
    assert_eq!(due(Lane::Urgent, 10).await.unwrap(), [urgent.id]);
    let read = trial.store.effects(1, std::slice::from_ref(&early.id)).await.unwrap();
    assert_eq!(read, [Ok(Waiting { effect: early, tries: 0, unanswered: false })]);
}

#[tokio::test]
async fn a_try_is_noted_before_the_call_and_its_result_takes_the_effect_away() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;

    assert!(trial.store.begin_try(1, &fence, &card.id, None).await.unwrap());
    assert_eq!(standing(&trial, &card).await, Some((1, true)));

    let over = Settled::Over { event: Some(event("done", &lin)) };
    // The answer to the first was lost, say.
    for _ in 0..2 {
        assert!(trial.store.settle(1, &fence, &card, &over).await.unwrap());
    }
    assert_eq!(told(&trial).await, ["done"]);
    assert_eq!(standing(&trial, &card).await, None);
    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(99), 10).await.unwrap(), []);
    assert!(!trial.store.begin_try(1, &fence, &card.id, None).await.unwrap());
}

#[tokio::test]
async fn a_try_that_ended_without_an_answer_is_remembered_and_due_again() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;

    trial.store.begin_try(1, &fence, &card.id, None).await.unwrap();
    trial.store.settle(1, &fence, &card, &again(50, true, true, None, &lin)).await.unwrap();
    assert_eq!(standing(&trial, &card).await, Some((1, true)));
    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(49), 10).await.unwrap(), []);
    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(50), 10).await.unwrap(), std::slice::from_ref(&card.id));

    trial.store.begin_try(1, &fence, &card.id, None).await.unwrap();
    trial.store.settle(1, &fence, &card, &again(90, true, false, None, &lin)).await.unwrap();
    assert_eq!(standing(&trial, &card).await, Some((2, false)));
}

#[tokio::test]
async fn a_refused_connection_burns_no_try_even_when_it_is_settled_twice() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;
    trial.store.begin_try(1, &fence, &card.id, None).await.unwrap();
    trial.store.settle(1, &fence, &card, &again(10, true, false, None, &lin)).await.unwrap();

    trial.store.begin_try(1, &fence, &card.id, None).await.unwrap();
    for _ in 0..2 {
        trial.store.settle(1, &fence, &card, &again(20, false, false, None, &lin)).await.unwrap();
    }

    assert_eq!(standing(&trial, &card).await, Some((1, false)));
}

#[tokio::test]
async fn a_hold_is_told_once_per_moment_and_keeps_what_is_known_of_earlier_tries() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;
    trial.store.begin_try(1, &fence, &card.id, None).await.unwrap();
    trial.store.settle(1, &fence, &card, &again(10, true, true, None, &lin)).await.unwrap();

    for until in [50, 50, 90] {
        let held = again(until, false, false, Some(&format!("held:{until}")), &lin);
        trial.store.settle(1, &fence, &card, &held).await.unwrap();
    }

    assert_eq!(told(&trial).await, ["held:50", "held:90"]);
    assert_eq!(standing(&trial, &card).await, Some((1, true)));
}

#[tokio::test]
async fn a_body_with_fewer_recipients_replaces_the_frozen_one() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;
    let mut smaller = card.clone();
    smaller.valid_until = at(7);

    trial.store.begin_try(1, &fence, &card.id, Some(&smaller)).await.unwrap();

    assert_eq!(trial.store.effects(1, &[card.id]).await.unwrap()[0].as_ref().unwrap().effect, smaller);
}

#[tokio::test]
async fn a_process_that_lost_the_shard_begins_and_settles_nothing() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let old = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &old, &lin, &[&card]).await;
    trial.own(1).await;

    assert!(!trial.store.begin_try(1, &old, &card.id, None).await.unwrap());
    let over = Settled::Over { event: Some(event("done", &lin)) };
    assert!(!trial.store.settle(1, &old, &card, &over).await.unwrap());

    assert_eq!(standing(&trial, &card).await, Some((0, false)));
    assert_eq!(told(&trial).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_result_that_cannot_be_told_keeps_its_effect() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let card = effect("card", &lin, Lane::Normal, at(0));
    want(&trial, &fence, &lin, &[&card]).await;
    let elsewhere = customer_of(2, "wmElse");

    let foreign = Settled::Over { event: Some(event("done", &elsewhere)) };
    assert!(trial.store.settle(1, &fence, &card, &foreign).await.is_err());
    trial.cli::<()>(&format!("DEL {}", trial.key(1, "in"))).await;
    trial.cli::<()>(&format!("SET {} x", trial.key(1, "in"))).await;
    let over = Settled::Over { event: Some(event("done", &lin)) };
    assert!(trial.store.settle(1, &fence, &card, &over).await.is_err());

    assert_eq!(standing(&trial, &card).await, Some((0, false)));
    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(0), 10).await.unwrap(), [card.id]);
}

#[tokio::test]
async fn effects_with_one_serial_go_one_after_another_in_the_order_in_which_they_were_decided() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let of_pair = |name, lane, ms| Effect { serial: Some("pair".to_owned()), ..effect(name, &lin, lane, at(ms)) };
    // Neither their names nor their moments tell the order.
    let [first, second, third] =
        [of_pair("c", Lane::Normal, 30), of_pair("a", Lane::Urgent, 10), of_pair("b", Lane::Normal, 20)];
    want(&trial, &fence, &lin, &[&first, &second]).await;
    want(&trial, &fence, &lin, &[&third]).await;
    let due = async || {
        let normal = trial.store.due_effects(1, Lane::Normal, at(99), 9).await.unwrap();
        let urgent = trial.store.due_effects(1, Lane::Urgent, at(99), 9).await.unwrap();
        [normal, urgent].concat()
    };
    assert_eq!(due().await, std::slice::from_ref(&first.id));

    // One that waits for another try is not overtaken, whoever owns the shard meanwhile.
    trial.store.begin_try(1, &fence, &first.id, None).await.unwrap();
    trial.store.settle(1, &fence, &first, &again(50, true, true, None, &lin)).await.unwrap();
    let fence = trial.own(1).await;
    assert_eq!(due().await, std::slice::from_ref(&first.id));

    let over = Settled::Over { event: None };
    for (ended, next) in [(&first, vec![second.id.clone()]), (&second, vec![third.id.clone()]), (&third, vec![])] {
        for _ in 0..2 {
            trial.store.settle(1, &fence, ended, &over).await.unwrap();
            assert_eq!(due().await, next, "also when the answer was lost and it is settled again");
        }
    }
    assert!(!trial.cli::<bool>(&format!("EXISTS {}", trial.key(1, "queue:pair"))).await);
}

#[tokio::test]
async fn an_effect_that_cannot_be_read_is_set_aside_and_the_next_of_its_serial_goes() {
    let trial = Trial::start().await;
    let lin = customer_of(1, "wmLin");
    let fence = trial.own(1).await;
    let of_pair = |name| Effect { serial: Some("pair".to_owned()), ..effect(name, &lin, Lane::Normal, at(0)) };
    let (broken, next) = (of_pair("broken"), of_pair("next"));
    let [gone, typed] = ["gone", "typed"].map(|name| effect(name, &lin, Lane::Normal, at(0)));
    want(&trial, &fence, &lin, &[&broken, &next, &gone, &typed]).await;
    let key = |effect: &Effect| trial.key(1, &format!("effect:{}", effect.id));
    trial.cli::<()>(&format!("HSET {} json {{", key(&broken))).await;
    trial.cli::<()>(&format!("DEL {}", key(&gone))).await;
    trial.cli::<()>(&format!("DEL {}", key(&typed))).await;
    trial.cli::<()>(&format!("SET {} x", key(&typed))).await;

    let ids = trial.store.due_effects(1, Lane::Normal, at(0), 9).await.unwrap();
    assert_eq!(ids.len(), 3);
    for spoiled in trial.store.effects(1, &ids).await.unwrap() {
        let spoiled = spoiled.unwrap_err();
        for _ in 0..2 {
            assert!(trial.store.set_effect_aside(1, &fence, Lane::Normal, &spoiled).await.unwrap());
        }
    }

    assert_eq!(trial.store.due_effects(1, Lane::Normal, at(0), 9).await.unwrap(), [next.id]);
    let letters = trial.store.dead_letters(1, 9).await.unwrap();
    assert_eq!(letters.len(), 3, "once each: {letters:?}");
    assert!(letters.iter().any(|(event, error)| event == "{" && error.contains(broken.id.as_str())), "{letters:?}");
}
