use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decide::TimerChange;
use crate::domain::effect::{Call, Effect};
use crate::playbook::load::from_text;

/// Somebody with a phone number, and what waits for them.
struct Person {
    playbook: Playbook,
    head: Identity,
    parked: BTreeMap<String, Value>,
    timer: Option<At>,
    counters: BTreeMap<String, i64>,
    now: At,
    events: u32,
}

impl Person {
    fn new() -> Self {
        Self {
            playbook: from_text("playbook: { id: p, name: p }").unwrap(),
            head: Identity::default(),
            parked: BTreeMap::new(),
            timer: None,
            counters: BTreeMap::new(),
            now: DateTime::from_timestamp_millis(1_778_061_600_000).unwrap(),
            events: 0,
        }
    }

    fn happens(&mut self, kind: &str, data: Value) -> Vec<Effect> {
        self.events += 1;
        let event: Event = serde_json::from_value(json!({
            "id": format!("e{}", self.events), "type": kind, "actor": "identity:phone:1",
            "at": (self.now - TimeDelta::hours(2)).timestamp_millis(), "data": data,
        }))
        .unwrap();
        let sides = BTreeMap::from([(PARKED.to_owned(), self.parked.clone())]);
        let record = Record { head: self.head.clone().into(), sides };
        let decision = decide(&self.playbook, record, &event, self.now).unwrap();
        let Head::Identity(head) = decision.head else { panic!() };
        self.head = head;
        for change in decision.sides {
            match change.value {
                Some(value) => self.parked.insert(change.field, value),
                None => self.parked.remove(&change.field),
            };
        }
        for change in decision.timers {
            self.timer = match change {
                TimerChange::Set { at, .. } => Some(at),
                TimerChange::Cancel { .. } => None,
            };
        }
        for (name, by) in decision.counters {
            *self.counters.entry(name).or_default() += by;
        }
        decision.effects
    }

    fn timer_fires(&mut self) {
        self.now = self.timer.take().unwrap();
        self.happens("timer.fired", json!({ "name": "expire", "due": self.now.timestamp_millis() }));
    }
}

/// The order numbers in the order in which the effects go, all for one customer.
fn arrived(effects: &[Effect]) -> Vec<i64> {
    let mut effects = effects.to_vec();
    effects.sort_by_key(|effect| effect.not_before);
    assert!(effects.windows(2).all(|pair| pair[0].not_before < pair[1].not_before && pair[0].serial == pair[1].serial));
    let number = |effect: &Effect| {
        let Call::Tell { event } = &effect.call else { panic!("{effect:?}") };
        assert_eq!((event.actor.to_string().as_str(), event.kind.as_str()), ("customer:wm1", "order.paid"));
        event.data["n"].as_i64().unwrap()
    };
    effects.iter().map(number).collect()
}

#[test]
fn what_waited_goes_on_in_its_order_once_the_customer_is_known_and_later_events_behind_it() {
    let mut person = Person::new();
    for n in 0..30 {
        if n % 3 == 0 {
            person.now += TimeDelta::milliseconds(1);
        }
        assert_eq!(person.happens("order.paid", json!({ "n": n })), []);
    }
    assert_eq!(person.parked.len(), 30);
    let mut effects = person.happens("identity.bound", json!({ "customer": "wm1" }));
    assert_eq!((person.parked.len(), person.timer), (0, None));
    effects.extend(person.happens("order.paid", json!({ "n": 30 })));
    assert_eq!(arrived(&effects), (0..=30).collect::<Vec<i64>>());
    let Call::Tell { event } = &effects[0].call else { panic!() };
    assert!(event.at < person.now - TimeDelta::hours(1), "an event keeps the moment at which it happened");
}

#[test]
fn at_most_a_thousand_wait_and_the_oldest_gives_way() {
    let mut person = Person::new();
    for n in 0..1_002 {
        person.now += TimeDelta::seconds(1);
        person.happens("order.paid", json!({ "n": n }));
    }
    assert_eq!((person.parked.len(), person.counters["parked.dropped"]), (1_000, 2));
    let effects = person.happens("identity.bound", json!({ "customer": "wm1" }));
    assert_eq!(arrived(&effects), (2..1_002).collect::<Vec<i64>>());
}

#[test]
fn nothing_waits_longer_than_ninety_days() {
    let mut person = Person::new();
    let begins = person.now;
    person.happens("order.paid", json!({ "n": 0 }));
    person.now += TimeDelta::days(40);
    person.happens("order.paid", json!({ "n": 1 }));
    person.happens("timer.fired", json!({ "name": "expire", "due": 1 }));
    assert_eq!(person.parked.len(), 2, "a timer that nothing waits for changes nothing");
    person.timer_fires();
    assert_eq!((person.now, person.parked.len()), (begins + TimeDelta::days(90), 1));
    person.timer_fires();
    assert_eq!((person.now, person.parked.len(), person.timer), (begins + TimeDelta::days(130), 0, None));
}

#[test]
fn a_number_that_changes_hands_belongs_to_the_latest_customer() {
    let mut person = Person::new();
    for customer in ["wm7", "wm1"] {
        person.happens("identity.bound", json!({ "customer": customer }));
    }
    assert_eq!(arrived(&person.happens("order.paid", json!({ "n": 1 }))), [1]);
}

proptest! {
    #[test]
    fn names_of_parked_events_sort_by_arrival(steps in prop::collection::vec(0i64..3, 1..60)) {
        let mut person = Person::new();
        let mut names = Vec::new();
        for step in steps {
            person.now += TimeDelta::milliseconds(step);
            let before: Vec<String> = person.parked.keys().cloned().collect();
            person.happens("order.paid", json!({}));
            names.extend(person.parked.keys().find(|name| !before.contains(name)).cloned());
        }
        let mut sorted = names.clone();
        sorted.sort();
        prop_assert_eq!(names, sorted);
    }
}
