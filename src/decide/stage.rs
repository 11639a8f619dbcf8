//! A stage for tests: one customer, a clock that tests move, timers that fire in order.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeZone};
use serde_json::{Value, json};

use super::{Decision, Head, Record, TimerChange, decide};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::effect::{Call, Effect};
use crate::domain::event::{Event, types};
use crate::domain::ids::{DeliveryId, EventId, ExternalUserId};
use crate::playbook::load::from_text;
use crate::playbook::model::Playbook;

/// One customer and the rules.
pub(super) struct Stage {
    pub(super) playbook: Playbook,
    pub(super) customer: Customer,
    pub(super) now: At,
    /// Every decision so far.
    pub(super) decisions: Vec<Decision>,
    /// Timers that are set.
    pub(super) timers: BTreeMap<String, At>,
    /// Every delivery as it stood last.
    pub(super) deliveries: BTreeMap<DeliveryId, Delivery>,
    events: u64,
}

/// A moment by the clock of Shanghai.
pub(super) fn local(text: &str) -> At {
    let text = if text.len() == 16 { format!("{text}:00") } else { text.to_owned() };
    let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").unwrap();
    chrono_tz::Asia::Shanghai.from_local_datetime(&naive).unwrap().to_utc()
}

/// Rules from their text.
pub(super) fn rules(yaml: &str) -> Playbook {
    from_text(yaml).unwrap_or_else(|faults| panic!("{faults}"))
}

impl Stage {
    /// A customer whom nobody knows, on Wednesday 2026-05-06 at 10:00.
    pub(super) fn new(yaml: &str) -> Self {
        Self {
            playbook: rules(yaml),
            customer: Customer::new(ExternalUserId::parse("wm1").unwrap()),
            now: local("2026-05-06 10:00"),
            decisions: Vec::new(),
            timers: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            events: 0,
        }
    }

    /// The same with `lili` following since a month ago.
    pub(super) fn followed(yaml: &str) -> Self {
        let mut stage = Self::new(yaml);
        stage.now = local("2026-04-06 10:00");
        stage.event("contact.added", json!({ "userid": "lili" }));
        stage.now = local("2026-05-06 10:00");
        stage.decisions.clear();
        stage
    }

    /// Something happens now.
    pub(super) fn event(&mut self, kind: &str, data: Value) -> Vec<String> {
        self.event_at(self.now, kind, data)
    }

    /// Something that happened then is heard of now.
    pub(super) fn event_at(&mut self, at: At, kind: &str, data: Value) -> Vec<String> {
        self.events += 1;
        let id = EventId::parse(format!("e{}", self.events)).unwrap();
        let Value::Object(data) = data else { panic!("an event's data is an object") };
        let actor = Actor::Customer(self.customer.id.clone());
        self.take(&Event { id, kind: kind.to_owned(), actor, at, data, hops: 0, trace: None })
    }

    /// Decides an event and keeps what it changes; gives the story of it.
    pub(super) fn take(&mut self, event: &Event) -> Vec<String> {
        let record = Record { head: self.customer.clone().into(), sides: BTreeMap::new() };
        let decision = decide(&self.playbook, record, event, self.now).unwrap();
        let Head::Customer(customer) = &decision.head else { panic!("a customer stays one") };
        self.customer = (**customer).clone();
        for change in &decision.timers {
            match change {
                TimerChange::Set { name, at } => self.timers.insert(name.clone(), *at),
                TimerChange::Cancel { name } => self.timers.remove(name),
            };
        }
        for delivery in &decision.deliveries {
            self.deliveries.insert(delivery.id.clone(), delivery.clone());
        }
        let told = story(&decision);
        self.decisions.push(decision);
        told
    }

    /// Goes to that moment; timers fire on the way, each at its own.
    pub(super) fn go_to(&mut self, until: At) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((name, at)) = self.next_timer().filter(|(_, at)| *at <= until) {
            self.timers.remove(&name);
            self.now = self.now.max(at);
            let due = at.timestamp_millis();
            told.extend(self.event_at(at, types::TIMER_FIRED, json!({ "name": name, "due": due })));
        }
        self.now = until;
        told
    }

    /// The same by the clock of Shanghai.
    pub(super) fn until(&mut self, moment: &str) -> Vec<String> {
        self.go_to(local(moment))
    }

    pub(super) fn next_timer(&self) -> Option<(String, At)> {
        let first = self.timers.iter().min_by_key(|(name, at)| (**at, (*name).clone()));
        first.map(|(name, at)| (name.clone(), *at))
    }

    /// A sweep reaches the customer.
    pub(super) fn sweep(&mut self, schedule: &str) -> Vec<String> {
        let due = self.now.timestamp_millis();
        self.event("schedule.due", json!({ "schedule": schedule, "due": due }))
    }

    /// Staff answer about the latest delivery of this message or title.
    pub(super) fn answer(&mut self, what: &str, state: &str, reason: &str) -> Vec<String> {
        let id = self.delivery(what).id.clone();
        let data = json!({ "delivery": id.as_str(), "state": state, "reason": reason, "facts": [], "staff": "lili" });
        self.event(types::DELIVERY_ANSWERED, data)
    }

    /// The latest delivery of this message or title.
    #[track_caller]
    pub(super) fn delivery(&self, what: &str) -> &Delivery {
        let found = self.deliveries.values().filter(|one| is_it(one, what)).max_by_key(|one| one.wanted_at);
        found.unwrap_or_else(|| panic!("nothing of {what} was wanted"))
    }

    /// `state: reason` of the latest delivery of this message or title.
    #[track_caller]
    pub(super) fn stands(&self, what: &str) -> String {
        let delivery = self.delivery(what);
        format!("{:?}: {}", delivery.state, delivery.reason).to_lowercase()
    }

    /// Whether a delivery of this message or title was ever wanted.
    pub(super) fn was_wanted(&self, what: &str) -> bool {
        self.deliveries.values().any(|one| is_it(one, what))
    }

    /// A counter over all decisions.
    pub(super) fn counted(&self, key: &str) -> i64 {
        self.decisions.iter().filter_map(|decision| decision.counters.get(key)).sum()
    }

    /// `waits until …` or the like, of a run.
    pub(super) fn run(&self, journey: &str) -> String {
        use crate::domain::customer::Waiting;
        let written = |at: &At| super::moments::written(self.playbook.zone, *at);
        match self.customer.runs.get(journey).map(|run| (run, &run.waiting)) {
            Some((run, Waiting::Until { at })) => format!("{} until {}", run.step, written(at)),
            Some((run, Waiting::Something { at })) => format!("{} something until {}", run.step, written(at)),
            Some((run, Waiting::Sent { .. })) => format!("{} sent", run.step),
            Some((run, Waiting::Goal { at })) => format!("{} goal until {}", run.step, written(at)),
            None => self.customer.past_runs.get(journey).map_or("never".to_owned(), |past| past.reason.clone()),
        }
    }
}

/// A prompt goes by its title, everything else by its message.
fn is_it(delivery: &Delivery, what: &str) -> bool {
    match &delivery.title {
        Some(title) => title == what,
        None => delivery.say.as_ref().is_some_and(|say| say.as_str() == what),
    }
}

/// What a decision does to the outside and to deliveries, one line each.
pub(super) fn story(decision: &Decision) -> Vec<String> {
    let events = decision.lines.iter().map(|line| match line.kind.as_str() {
        "segment.entered" | "segment.left" => format!("{} {}", line.kind, shown(&line.data, "segment")),
        "touchpoint.met" => format!("{} {}", line.kind, shown(&line.data, "touchpoint")),
        "journey.ended" => format!("{} {}: {}", line.kind, shown(&line.data, "journey"), shown(&line.data, "reason")),
        kind if kind.starts_with("journey.") => format!("{kind} {}", shown(&line.data, "journey")),
        kind => kind.to_owned(),
    });
    events.chain(decision.effects.iter().map(effect_line)).collect()
}

fn shown<'a>(data: &'a serde_json::Map<String, Value>, field: &str) -> &'a str {
    data.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn effect_line(effect: &Effect) -> String {
    match &effect.call {
        Call::FetchProfile { .. } => "> profile".to_owned(),
        Call::Welcome { userid, message, .. } => format!("> welcome by {userid}: {}", message.text),
        Call::Tag { userid, add, remove, .. } => {
            let add = add.iter().map(|tag| format!(" +{tag}"));
            let remove = remove.iter().map(|tag| format!(" -{tag}"));
            format!("> tag {userid}{}", add.chain(remove).collect::<String>())
        }
        Call::Tell { event } => {
            let ask = event.data.get("ask");
            let of_ask = |field: &str| ask.and_then(|ask| ask.get(field)).and_then(Value::as_str).unwrap_or_default();
            let text = ask.and_then(|ask| ask.pointer("/message/text")).and_then(Value::as_str).unwrap_or_default();
            match event.kind.as_str() {
                types::DELIVERY_WANTED => {
                    format!("> {} asked: {} {}{text}", event.actor, of_ask("channel"), of_ask("title"))
                }
                types::DELIVERY_WITHDRAWN => {
                    format!("> {} not any more: {}", event.actor, shown(&event.data, "reason"))
                }
                kind => format!("> {} told {kind}", event.actor),
            }
        }
        call => format!("> {}", call.kind()),
    }
}
