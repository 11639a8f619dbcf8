//! One staff member's world for tests: a record, its timers and what was asked of the outside, moved by events.
//!
//! A decision is given only what `needs` names, so that a test fails when `needs` names too little.

use std::collections::{BTreeMap, VecDeque};

use chrono::{NaiveDateTime, TimeZone};
use serde_json::{Map, Value, json};

use super::super::desk::moment;
use super::super::{Decision, Head, Record, TimerChange};
use super::{decide, needs};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::effect::{Call, Effect};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EffectId, EventId, UserId};
use crate::domain::staff::Staff;
use crate::playbook::load::from_text;
use crate::playbook::model::Playbook;

pub(super) const RULES: &str = r#"
playbook: { id: p, name: p }
guardrails:
  quiet_hours: "21:00-09:00"
  working_hours: "Mon-Fri 09:30-18:00"
  holidays: [2026-05-01]
  staff_budget: 2 per 1d
staff: { escalate: 48h, snooze: 4h }
"#;

pub(super) struct World {
    pub(super) playbook: Playbook,
    pub(super) now: At,
    pub(super) staff: Staff,
    pub(super) sides: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) timers: BTreeMap<String, At>,
    /// Calls that WeCom has not answered yet.
    pub(super) outbox: VecDeque<Effect>,
    pub(super) story: Vec<String>,
    pub(super) counters: BTreeMap<String, i64>,
    events: u32,
}

impl World {
    pub(super) fn new(rules: &str, begins: &str) -> Self {
        let mut playbook = from_text(rules).unwrap();
        playbook.staff.managers = vec![UserId::parse("boss").unwrap()];
        let mut world = Self {
            playbook,
            now: At::default(),
            staff: Staff::new(UserId::parse("lili").unwrap()),
            sides: BTreeMap::new(),
            timers: BTreeMap::new(),
            outbox: VecDeque::new(),
            story: Vec::new(),
            counters: BTreeMap::new(),
            events: 0,
        };
        world.now = world.at(begins);
        world
    }

    /// A moment of May 2026 or later in the company's zone: `05-06 10:00`.
    pub(super) fn at(&self, text: &str) -> At {
        let naive = NaiveDateTime::parse_from_str(&format!("2026-{text}"), "%Y-%m-%d %H:%M").unwrap();
        self.playbook.zone.from_local_datetime(&naive).unwrap().to_utc()
    }

    /// One event for the staff member; what it changes is applied.
    pub(super) fn happens(&mut self, kind: &str, data: Value) -> Decision {
        self.events += 1;
        let Value::Object(data) = data else { panic!("data is an object") };
        let event = Event {
            id: EventId::parse(format!("e{}", self.events)).unwrap(),
            kind: kind.to_owned(),
            actor: Actor::Staff(self.staff.id.clone()),
            at: self.now,
            data,
            hops: 0,
            trace: None,
        };
        let mut sides: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for need in needs(&event) {
            let all = self.sides.get(need.collection).cloned().unwrap_or_default();
            let wanted = all.into_iter().filter(|(field, _)| need.field.as_ref().is_none_or(|one| one == field));
            sides.entry(need.collection.to_owned()).or_default().extend(wanted);
        }
        let record = Record { head: Head::Staff(self.staff.clone()), sides };
        let again = decide(&self.playbook, record.clone(), &event, self.now).unwrap();
        let decision = decide(&self.playbook, record, &event, self.now).unwrap();
        assert_eq!(again, decision, "the same event decided again");
        self.apply(&decision);
        decision
    }

    fn apply(&mut self, decision: &Decision) {
        let Head::Staff(staff) = decision.head.clone() else { panic!("{:?}", decision.head) };
        self.staff = staff;
        for change in decision.sides.clone() {
            let fields = self.sides.entry(change.collection.to_owned()).or_default();
            match change.value {
                Some(value) => fields.insert(change.field, value),
                None => fields.remove(&change.field),
            };
        }
        for change in decision.timers.clone() {
            match change {
                TimerChange::Set { name, at } => self.timers.insert(name, at),
                TimerChange::Cancel { name } => self.timers.remove(&name),
            };
        }
        for (name, by) in &decision.counters {
            *self.counters.entry(name.clone()).or_default() += by;
        }
        let mut effects = decision.effects.clone();
        effects.sort_by_key(|effect| effect.not_before);
        for effect in effects {
            self.tell_story(&effect.call);
            if !matches!(effect.call, Call::Tell { .. }) {
                self.outbox.push_back(effect);
            }
        }
    }

    /// Lets time pass; timers fire in their order, each at its time.
    pub(super) fn until(&mut self, text: &str) {
        let until = self.at(text);
        loop {
            let next = self.timers.iter().map(|(name, at)| (*at, name.clone())).min();
            let Some((at, name)) = next.filter(|(at, _)| *at <= until) else { break };
            self.now = self.now.max(at);
            self.timers.remove(&name);
            self.happens("timer.fired", json!({ "name": name, "due": at.timestamp_millis() }));
        }
        self.now = until;
    }

    /// WeCom answers the next call of a kind.
    pub(super) fn wecom_takes(&mut self, kind: &str, answer: Value) -> EffectId {
        let effect = self.next_call(kind);
        self.happens("effect.done", json!({ "effect": effect.id, "call": kind, "answer": answer, "tries": 1 }));
        effect.id
    }

    /// The next call of a kind ends otherwise.
    pub(super) fn wecom_settles(&mut self, kind: &str, how: &str, with: Value) -> EffectId {
        let effect = self.next_call(kind);
        let mut data = json!({ "effect": effect.id, "call": kind, "tries": 1 });
        data.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        self.happens(how, data);
        effect.id
    }

    pub(super) fn next_call(&mut self, kind: &str) -> Effect {
        let place = self.outbox.iter().position(|effect| effect.call.kind() == kind);
        let place = place.unwrap_or_else(|| panic!("no {kind} waits: {:?}", self.outbox));
        self.outbox.remove(place).unwrap()
    }

    pub(super) fn customer_asks(&mut self, ask: Value) {
        self.happens("delivery.wanted", json!({ "ask": ask }));
    }

    pub(super) fn taps(&mut self, task: &EffectId, key: &str, code: &str) -> Decision {
        self.happens("staff.card", json!({ "task_id": task, "key": key, "response_code": code, "userid": "lili" }))
    }

    pub(super) fn side(&self, collection: &str) -> BTreeMap<String, Value> {
        self.sides.get(collection).cloned().unwrap_or_default()
    }

    pub(super) fn card_states(&self) -> Vec<String> {
        self.side("cards").values().map(|card| card["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The story so far, told once.
    pub(super) fn story(&mut self) -> String {
        std::mem::take(&mut self.story).join("\n")
    }

    fn tell_story(&mut self, call: &Call) {
        let text = match call {
            Call::Tell { event } => format!("→ {} {}", event.actor, answer(&event.data, &self.playbook)),
            Call::StaffCard { userid, card, .. } => {
                let lines: Vec<String> = card.lines.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                let buttons: Vec<String> = card.buttons.iter().map(|(label, key)| format!("{label}={key}")).collect();
                format!(
                    "card to {userid}: {} | {} | {} | {}",
                    card.title,
                    lines.join(" "),
                    card.text,
                    buttons.join(" ")
                )
            }
            Call::MassSend { sender, recipients, message, left_out: _ } => {
                let customers: Vec<&str> = recipients.iter().map(|one| one.customer.as_str()).collect();
                format!("mass by {sender} to {}: {}", customers.join(","), message.text)
            }
            Call::StaffText { userid, text } => format!("text to {userid}: {}", text.replace('\n', " / ")),
            Call::CardUpdate { response_code, replace_name, .. } => format!("update {response_code}: {replace_name}"),
            Call::MassResult { msgid, .. } => format!("ask after {msgid}"),
            Call::MassRemind { msgid } => format!("remind of {msgid}"),
            other => panic!("{other:?}"),
        };
        let at = self.now.with_timezone(&self.playbook.zone).format("%m-%d %H:%M");
        self.story.push(format!("{at} {text}"));
    }
}

fn answer(data: &Map<String, Value>, playbook: &Playbook) -> String {
    let text = |field: &str| data.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = |field: &str| {
        let at = moment(data.get(field))?;
        Some(format!(" {field} {}", at.with_timezone(&playbook.zone).format("%m-%d %H:%M")))
    };
    let facts = data["facts"].as_array().unwrap().iter();
    let facts: Vec<String> =
        facts.map(|fact| format!("{}={}", fact[0].as_str().unwrap(), fact[1].as_str().unwrap())).collect();
    let times = time("until").unwrap_or_default() + &time("due").unwrap_or_default();
    format!("{}: {}{times} [{}]", text("state"), text("reason"), facts.join(", "))
}

pub(super) fn delivery(number: u32) -> DeliveryId {
    let event = EventId::parse(format!("d{number}")).unwrap();
    EffectId::derive(&event, &Actor::Corp, "delivery")
}

/// An ask of customer `wm<number>`; `with` overrides fields.
pub(super) fn ask(world: &World, number: u32, with: Value) -> Value {
    let mut ask = json!({
        "delivery": delivery(number),
        "customer": format!("wm{number}"),
        "customer_name": format!("客户{number}"),
        "kind": "prompt",
        "channel": "staff",
        "journey": "win_back",
        "journey_name": "沉睡唤醒",
        "title": "高价值客户仍未回店",
        "why": "3 天未回店",
        "message": { "text": "好久不见" },
        "priority": 50,
        "wanted_at": world.now,
        "hold_until": world.now + chrono::TimeDelta::days(3),
        "collected": false,
    });
    ask.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    ask
}
