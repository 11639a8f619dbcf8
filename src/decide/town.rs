//! A town for tests: customers, staff, a company and a WeCom that answers, moved by one clock.
//!
//! Messages between actors arrive at once, timers fire in their order, and each decision is given only what `needs` names.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::stage::{local, rules};
use super::why::{About, Known, tell};
use super::{Head, Record, TimerChange, Verdict, at_send, decide, needs};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::corp::{Corp, Group, Identity, KfAccount};
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::effect::{Call, Effect};
use crate::domain::event::{Event, types};
use crate::domain::ids::{DeliveryId, EffectId, EventId, ExternalUserId};
use crate::domain::staff::Staff;
use crate::domain::timeline::Line;
use crate::playbook::model::Playbook;
use crate::settings::Locale;

type Sides = BTreeMap<String, BTreeMap<String, Value>>;

pub(super) struct Town {
    pub(super) playbook: Playbook,
    pub(super) now: At,
    /// WeCom's status of every mass-send recipient: 0 not yet, 1 sent, 2 no friend, 3 limit reached.
    pub(super) mass_status: i64,
    /// The latest card to staff.
    pub(super) card: Option<EffectId>,
    /// Calls that reached WeCom, by kind and time.
    pub(super) calls: Vec<String>,
    pub(super) counters: BTreeMap<String, i64>,
    heads: BTreeMap<Actor, Head>,
    sides: BTreeMap<Actor, Sides>,
    timers: BTreeMap<(Actor, String), At>,
    queue: VecDeque<Event>,
    outbox: Vec<Effect>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    lines: Vec<Line>,
    events: u32,
}

/// The head of an actor who is met for the first time.
pub(super) fn new_head(actor: &Actor) -> Head {
    match actor {
        Actor::Customer(id) => Customer::new(id.clone()).into(),
        Actor::Staff(id) => Staff::new(id.clone()).into(),
        Actor::Corp => Corp::default().into(),
        Actor::Group(_) => Group::default().into(),
        Actor::Kf(_) => KfAccount::default().into(),
        Actor::Identity(_) => Identity::default().into(),
    }
}

impl Town {
    pub(super) fn new(yaml: &str, begins: &str) -> Self {
        let mut playbook = rules(yaml);
        playbook.staff.managers = vec![crate::domain::ids::UserId::parse("boss").unwrap()];
        Self {
            playbook,
            now: local(begins),
            mass_status: 0,
            card: None,
            calls: Vec::new(),
            counters: BTreeMap::new(),
            heads: BTreeMap::new(),
            sides: BTreeMap::new(),
            timers: BTreeMap::new(),
            queue: VecDeque::new(),
            outbox: Vec::new(),
            deliveries: BTreeMap::new(),
            lines: Vec::new(),
            events: 0,
        }
    }

    /// An event for `customer:wm1`, `staff:lili`, …; everything that follows from it at once.
    pub(super) fn happens(&mut self, actor: &str, kind: &str, data: Value) {
        self.happens_at(self.now, actor, kind, data);
    }

    /// The same, of something that happened at `at`.
    pub(super) fn happens_at(&mut self, at: At, actor: &str, kind: &str, data: Value) {
        self.events += 1;
        let Value::Object(data) = data else { panic!("an event's data is an object") };
        let id = EventId::parse(format!("e{}", self.events)).unwrap();
        self.queue.push_back(Event {
            id,
            kind: kind.to_owned(),
            actor: actor.parse().unwrap(),
            at,
            data,
            hops: 0,
            trace: None,
        });
        self.settle();
    }

    pub(super) fn taps(&mut self, key: &str) {
        let task = self.card.clone().expect("a card was sent");
        let tap = json!({ "task_id": task, "key": key, "response_code": "rc", "userid": "lili" });
        self.happens("staff:lili", types::STAFF_CARD, tap);
    }

    /// Goes to that moment; timers and waiting effects come on the way, each at its time.
    pub(super) fn until(&mut self, moment: &str) {
        let until = local(moment);
        loop {
            let timer = self.timers.iter().map(|(name, at)| (*at, name.clone())).min();
            let effect = self.outbox.iter().map(|effect| effect.not_before).min();
            match (timer, effect) {
                (timer, Some(at)) if at <= until && timer.as_ref().is_none_or(|(due, _)| at <= *due) => {
                    self.now = self.now.max(at);
                }
                (Some((at, (actor, name))), _) if at <= until => {
                    self.now = self.now.max(at);
                    self.timers.remove(&(actor.clone(), name.clone()));
                    let due = json!({ "name": name, "due": at.timestamp_millis() });
                    self.happens_at(at, &actor.to_string(), types::TIMER_FIRED, due);
                }
                _ => break,
            }
            self.settle();
        }
        self.now = until;
    }

    /// Decides what waits and lets WeCom answer, until nothing is left for now.
    fn settle(&mut self) {
        loop {
            if let Some(event) = self.queue.pop_front() {
                self.decided(&event);
            } else if let Some(place) = self.outbox.iter().position(|effect| effect.not_before <= self.now) {
                let effect = self.outbox.remove(place);
                self.hand_over(effect);
            } else {
                break;
            }
        }
    }

    fn decided(&mut self, event: &Event) {
        let head = self.heads.get(&event.actor).cloned().unwrap_or_else(|| new_head(&event.actor));
        let all = self.sides.entry(event.actor.clone()).or_default();
        let mut sides = Sides::new();
        for need in needs(event) {
            let fields = all.get(need.collection).cloned().unwrap_or_default().into_iter();
            let wanted = fields.filter(|(field, _)| need.field.as_ref().is_none_or(|one| one == field));
            sides.entry(need.collection.to_owned()).or_default().extend(wanted);
        }
        let decision = decide(&self.playbook, Record { head, sides }, event, self.now).unwrap();
        for change in decision.sides {
            let fields = all.entry(change.collection.to_owned()).or_default();
            match change.value {
                Some(value) => fields.insert(change.field, value),
                None => fields.remove(&change.field),
            };
        }
        self.heads.insert(event.actor.clone(), decision.head);
        for change in decision.timers {
            match change {
                TimerChange::Set { name, at } => self.timers.insert((event.actor.clone(), name), at),
                TimerChange::Cancel { name } => self.timers.remove(&(event.actor.clone(), name)),
            };
        }
        self.deliveries.extend(decision.deliveries.into_iter().map(|delivery| (delivery.id.clone(), delivery)));
        for (name, by) in decision.counters {
            *self.counters.entry(name).or_default() += by;
        }
        if matches!(event.actor, Actor::Customer(_)) {
            self.lines.extend(decision.lines);
        }
        self.outbox.extend(decision.effects);
        // Nobody promises an order beyond the earliest moment.
        self.outbox.sort_by_key(|effect| (effect.not_before, effect.id.clone()));
    }

    /// The dispatcher's part: guardrails once more, then WeCom.
    fn hand_over(&mut self, effect: Effect) {
        if let Call::Tell { event } = effect.call {
            self.queue.push_back(*event);
            return;
        }
        let delivery = match &effect.call {
            Call::StaffCard { delivery: Some((customer, delivery)), .. } => Some((customer.clone(), delivery.clone())),
            Call::MassSend { recipients, .. } => {
                recipients.first().map(|one| (one.customer.clone(), one.delivery.clone()))
            }
            _ => None,
        };
        match delivery.map_or(Verdict::Go, |(customer, delivery)| self.asked_again(&customer, &delivery)) {
            Verdict::Go => self.wecom(&effect),
            Verdict::Hold { until, by } => {
                self.result(&effect, types::EFFECT_HELD, json!({ "reason": by, "until": until.timestamp_millis() }));
                self.outbox.push(Effect { not_before: until, ..effect });
            }
            Verdict::Drop { by } => self.result(&effect, types::EFFECT_DROPPED, json!({ "reason": by })),
        }
    }

    fn asked_again(&self, customer: &ExternalUserId, delivery: &DeliveryId) -> Verdict {
        let Some(Head::Customer(customer)) = self.heads.get(&Actor::Customer(customer.clone())) else {
            panic!("{customer} is nobody")
        };
        at_send(&self.playbook, customer, delivery, self.now)
    }

    fn wecom(&mut self, effect: &Effect) {
        self.calls.push(format!("{} {}", super::moments::written(self.playbook.zone, self.now), effect.call.kind()));
        let answer = match &effect.call {
            Call::FetchProfile { .. } => {
                let profile = json!({
                    "name": "王芳", "type": 1, "userid": "lili", "staff_name": "李丽", "effect": effect.id,
                    "follow_users": [{ "userid": "lili" }],
                });
                let Value::Object(data) = profile else { unreachable!() };
                let (actor, at) = (effect.actor.clone(), self.now);
                let id = EventId::parse(effect.id.as_str()).unwrap();
                self.queue.push_back(Event {
                    id,
                    kind: types::CONTACT_PROFILE.to_owned(),
                    actor,
                    at,
                    data,
                    hops: 0,
                    trace: None,
                });
                return;
            }
            Call::StaffCard { .. } => {
                self.card = Some(effect.id.clone());
                json!({ "msgid": "m1" })
            }
            Call::MassSend { .. } => json!({ "msgid": "mm1", "fail_list": [], "dropped": [], "held": [] }),
            Call::MassResult { .. } => {
                let customers = self.heads.keys().filter_map(|actor| match actor {
                    Actor::Customer(id) => Some(json!({ "customer": id, "status": self.mass_status })),
                    _ => None,
                });
                json!({ "results": customers.collect::<Vec<_>>() })
            }
            _ => json!({}),
        };
        self.result(effect, types::EFFECT_DONE, json!({ "answer": answer }));
    }

    fn result(&mut self, effect: &Effect, kind: &str, with: Value) {
        self.events += 1;
        let id = EventId::parse(format!("r{}", self.events)).unwrap();
        let mut data = json!({ "effect": effect.id, "call": effect.call.kind(), "tries": 1 });
        data.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let Value::Object(data) = data else { unreachable!() };
        let (actor, at) = (effect.actor.clone(), self.now);
        self.queue.push_back(Event { id, kind: kind.to_owned(), actor, at, data, hops: effect.hops, trace: None });
    }

    /// Deliveries of all customers, newest first.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let mut all: Vec<Delivery> = self.deliveries.values().cloned().collect();
        all.sort_by(|left, right| (right.wanted_at, &right.id).cmp(&(left.wanted_at, &left.id)));
        all
    }

    /// `state: reason` of the only delivery, or of the latest.
    pub(super) fn stands(&self) -> String {
        let delivery = self.deliveries().into_iter().next().expect("something was wanted");
        format!("{:?}: {}", delivery.state, delivery.reason).to_lowercase()
    }

    /// What `why` tells of customer wm1, as text; the delivery ids are put out of the way.
    pub(super) fn why(&self, about: &About, locale: Locale) -> String {
        let wm1 = Actor::Customer(ExternalUserId::parse("wm1").unwrap());
        let Some(Head::Customer(customer)) = self.heads.get(&wm1) else { panic!("wm1 is nobody") };
        let mut deliveries = self.deliveries();
        deliveries.retain(|delivery| delivery.customer == customer.id);
        let lines: Vec<Line> = self.lines.iter().rev().cloned().collect();
        let known = Known { customer, deliveries: &deliveries, lines: &lines };
        let story = tell(&self.playbook, known, about, locale, self.now);
        let sections =
            story.sections.iter().map(|section| format!("# {}\n{}\n", section.title, section.lines.join("\n")));
        let mut text = sections.collect::<Vec<_>>().join("\n");
        for (number, delivery) in deliveries.iter().rev().enumerate() {
            text = text.replace(delivery.id.as_str(), &format!("<{}>", number + 1));
        }
        text
    }
}
