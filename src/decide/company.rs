//! A small company for tests: customers and staff with their real decisions, a clock, an outbox, and a WeCom that takes
//! what it is given, or not. What WeCom has taken is written down apart from any record, as WeCom's own log would be.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::stage::local;
use super::{Decision, Head, Record, TimerChange, Verdict, at_send, decide, needs};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::delivery::{Channel, Delivery, DeliveryKind};
use crate::domain::effect::{Call, Effect};
use crate::domain::event::{Event, types};
use crate::domain::ids::{DeliveryId, EffectId, EventId, ExternalUserId, UserId};
use crate::domain::staff::Staff;
use crate::playbook::model::Playbook;

/// A contact with a customer, as WeCom saw it.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    pub(super) customer: ExternalUserId,
    pub(super) delivery: DeliveryId,
    pub(super) channel: Channel,
    pub(super) at: At,
    /// Whether the customer's record said at that moment that no nudges are wanted.
    pub(super) opted_out: bool,
}

/// The company.
pub(super) struct Company {
    pub(super) playbook: Playbook,
    pub(super) now: At,
    pub(super) records: BTreeMap<Actor, Record>,
    /// What WeCom took as nudges.
    pub(super) contacts: Vec<Contact>,
    /// Every delivery as it stood last.
    pub(super) deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Cards with staff, by the delivery they serve.
    pub(super) cards: BTreeMap<DeliveryId, (UserId, EffectId)>,
    timers: BTreeMap<(Actor, String), At>,
    outbox: BTreeMap<(At, u64), Effect>,
    tasks: BTreeMap<String, Vec<ExternalUserId>>,
    /// Milliseconds that WeCom takes to answer, and how many of ten calls it refuses.
    pub(super) latency: i64,
    pub(super) refuses: u64,
    /// How long calls to WeCom may have to wait.
    pub(super) pause_seconds: u64,
    count: u64,
}

impl Company {
    pub(super) fn new(playbook: Playbook) -> Self {
        Self {
            playbook,
            now: local("2026-05-06 10:00"),
            records: BTreeMap::new(),
            contacts: Vec::new(),
            deliveries: BTreeMap::new(),
            cards: BTreeMap::new(),
            timers: BTreeMap::new(),
            outbox: BTreeMap::new(),
            tasks: BTreeMap::new(),
            latency: 0,
            refuses: 0,
            pause_seconds: 0,
            count: 0,
        }
    }

    pub(super) fn customer(&self, id: &ExternalUserId) -> Option<&Customer> {
        match &self.records.get(&Actor::Customer(id.clone()))?.head {
            Head::Customer(customer) => Some(customer),
            _ => None,
        }
    }

    /// Something happens to an actor now.
    pub(super) fn happens(&mut self, actor: &Actor, kind: &str, data: Value) {
        self.count += 1;
        let id = EventId::parse(format!("e{}", self.count)).unwrap();
        let Value::Object(data) = data else { panic!("an event's data is an object") };
        self.take(&Event { id, kind: kind.to_owned(), actor: actor.clone(), at: self.now, data, hops: 0, trace: None });
    }

    fn take(&mut self, event: &Event) {
        let head = match &event.actor {
            Actor::Customer(id) => Head::from(Customer::new(id.clone())),
            Actor::Staff(id) => Head::from(Staff::new(id.clone())),
            // Nobody else matters here.
            _ => return,
        };
        let whole = self.records.entry(event.actor.clone()).or_insert(Record { head, sides: BTreeMap::new() });
        let decision = decide(&self.playbook, asked_for(whole, event), event, self.now).unwrap();
        let again = decide(&self.playbook, asked_for(whole, event), event, self.now).unwrap();
        assert_eq!(decision, again, "the same event decided again is decided the same");
        whole.head = decision.head.clone();
        for change in &decision.sides {
            let fields = whole.sides.entry(change.collection.to_owned()).or_default();
            match &change.value {
                Some(value) => fields.insert(change.field.clone(), value.clone()),
                None => fields.remove(&change.field),
            };
        }
        self.keep(&event.actor, decision);
    }

    fn keep(&mut self, actor: &Actor, decision: Decision) {
        for change in decision.timers {
            match change {
                TimerChange::Set { name, at } => self.timers.insert((actor.clone(), name), at),
                TimerChange::Cancel { name } => self.timers.remove(&(actor.clone(), name)),
            };
        }
        for delivery in decision.deliveries {
            self.deliveries.insert(delivery.id.clone(), delivery);
        }
        for effect in decision.effects {
            let is_for_wecom = matches!(effect.call, Call::StaffCard { .. } | Call::MassSend { .. });
            // A pause or a quota makes calls to WeCom wait; messages between actors go at once and in their order.
            let waits = if is_for_wecom { chance(effect.id.as_str(), self.pause_seconds.max(1)) } else { 0 };
            let waits = TimeDelta::seconds(i64::try_from(waits).unwrap());
            self.put(effect.not_before.max(self.now) + waits, effect);
        }
    }

    fn put(&mut self, at: At, effect: Effect) {
        self.count += 1;
        self.outbox.insert((at, self.count), effect);
    }

    /// Lets time pass; timers and effects do their work in order, each at its moment.
    pub(super) fn passes(&mut self, time: TimeDelta) {
        let until = self.now + time;
        loop {
            let timer = self.timers.iter().map(|(name, at)| (*at, name.clone())).min();
            let effect = self.outbox.keys().next().copied();
            match (timer, effect) {
                (_, Some(key)) if key.0 <= until && timer_is_later(self.timers.values().min(), key.0) => {
                    let effect = self.outbox.remove(&key).unwrap();
                    self.now = self.now.max(key.0);
                    self.perform(effect);
                }
                (Some((at, name)), _) if at <= until => {
                    self.timers.remove(&name);
                    self.now = self.now.max(at);
                    self.happens(&name.0, types::TIMER_FIRED, json!({ "name": name.1, "due": at.timestamp_millis() }));
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn perform(&mut self, effect: Effect) {
        if self.now > effect.valid_until {
            return self.result(&effect, types::EFFECT_DROPPED, json!({ "reason": "too late" }));
        }
        match effect.call.clone() {
            Call::Tell { event } => self.take(&event),
            Call::StaffCard { userid, delivery: Some((customer, delivery)), card } => {
                match self.verdict(&customer, &delivery) {
                    Verdict::Go if self.refuses_now(&effect.id) => self.refused(&effect),
                    Verdict::Go => {
                        self.cards.insert(delivery.clone(), (userid, card.task_id.clone()));
                        self.note_contact(&customer, &delivery, Channel::Staff);
                        self.done(&effect, json!({ "msgid": effect.id.as_str(), "response_code": "code" }));
                    }
                    Verdict::Hold { until, by } => {
                        let until_ms = until.timestamp_millis();
                        self.result(&effect, types::EFFECT_HELD, json!({ "reason": by, "until": until_ms }));
                        self.put(until, effect);
                    }
                    Verdict::Drop { by } => self.result(&effect, types::EFFECT_DROPPED, json!({ "reason": by })),
                }
            }
            Call::MassSend { recipients, .. } => {
                if self.refuses_now(&effect.id) {
                    return self.refused(&effect);
                }
                let (mut held, mut dropped, mut taken) = (Vec::new(), Vec::new(), Vec::new());
                for one in recipients {
                    let named = json!({ "customer": one.customer, "delivery": one.delivery });
                    match self.verdict(&one.customer, &one.delivery) {
                        Verdict::Go => {
                            self.note_contact(&one.customer, &one.delivery, Channel::Mass);
                            taken.push(one.customer);
                        }
                        Verdict::Hold { until, by } => {
                            held.push(with(named, json!({ "reason": by, "until": until.timestamp_millis() })));
                        }
                        Verdict::Drop { by } => dropped.push(with(named, json!({ "reason": by }))),
                    }
                }
                let msgid = (!taken.is_empty()).then(|| effect.id.to_string());
                self.tasks.extend(msgid.clone().map(|msgid| (msgid, taken)));
                self.done(&effect, json!({ "msgid": msgid, "held": held, "dropped": dropped, "fail_list": [] }));
            }
            Call::MassResult { msgid, .. } => {
                let of_task = self.tasks.get(&msgid).cloned().unwrap_or_default();
                let results =
                    of_task.iter().map(|customer| json!({ "customer": customer, "status": self.status(customer) }));
                let results: Vec<Value> = results.collect();
                self.done(&effect, json!({ "results": results }));
            }
            Call::FetchProfile { userid, .. } => {
                let data = json!({ "name": "王芳", "userid": userid, "staff_name": "李丽", "follow_users": [] });
                self.result_event(&effect, types::CONTACT_PROFILE, data);
            }
            _ => self.done(&effect, json!({})),
        }
    }

    fn verdict(&self, customer: &ExternalUserId, delivery: &DeliveryId) -> Verdict {
        let customer = self.customer(customer).expect("who asked has a record");
        at_send(&self.playbook, customer, delivery, self.now)
    }

    fn note_contact(&mut self, customer: &ExternalUserId, delivery: &DeliveryId, channel: Channel) {
        let is_nudge = self.deliveries.get(delivery).is_some_and(|one| one.kind == DeliveryKind::Nudge);
        // A card that comes again after a snooze is no second contact.
        if is_nudge && !self.contacts.iter().any(|contact| contact.delivery == *delivery) {
            let opted_out = self.customer(customer).is_some_and(|customer| customer.opted_out);
            let (customer, delivery) = (customer.clone(), delivery.clone());
            self.contacts.push(Contact { customer, delivery, channel, at: self.now, opted_out });
        }
    }

    /// 0 not yet, 1 sent, 2 no friend, 3 limit reached: the same for a customer in one hour.
    fn status(&self, customer: &ExternalUserId) -> u64 {
        let hour = self.now.timestamp() / 3600;
        chance(&format!("{customer}{hour}"), 4)
    }

    fn refuses_now(&self, effect: &EffectId) -> bool {
        chance(effect.as_str(), 10) < self.refuses
    }

    fn refused(&mut self, effect: &Effect) {
        self.result(effect, types::EFFECT_FAILED, json!({ "reason": "wecom refused", "errcode": 40001, "tries": 1 }));
    }

    fn done(&mut self, effect: &Effect, answer: Value) {
        self.result(effect, types::EFFECT_DONE, json!({ "answer": answer, "tries": 1 }));
    }

    fn result(&mut self, effect: &Effect, kind: &str, data: Value) {
        let data = with(data, json!({ "effect": effect.id, "call": effect.call.kind() }));
        self.result_event(effect, kind, data);
    }

    /// The result comes back a while later, as a message to the actor itself would.
    fn result_event(&mut self, effect: &Effect, kind: &str, data: Value) {
        self.count += 1;
        let Value::Object(data) = data else { return };
        let id = EventId::parse(format!("{}:{}", effect.id, self.count)).unwrap();
        let event =
            Event { id, kind: kind.to_owned(), actor: effect.actor.clone(), at: self.now, data, hops: 0, trace: None };
        let at = self.now + TimeDelta::milliseconds(self.latency);
        let call = Call::Tell { event: Box::new(event) };
        self.put(at, Effect { call, valid_until: At::MAX_UTC, ..effect.clone() });
    }
}

/// A number below `of` that is always the same for this text.
fn chance(text: &str, of: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes()) % of
}

fn timer_is_later(timer: Option<&At>, at: At) -> bool {
    timer.is_none_or(|timer| *timer >= at)
}

fn with(value: Value, more: Value) -> Value {
    let whole: Map<String, Value> = [value, more]
        .into_iter()
        .filter_map(|value| match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        })
        .flatten()
        .collect();
    Value::Object(whole)
}

/// The record as a worker hands it over: of the side collections only what was asked for.
fn asked_for(whole: &Record, event: &Event) -> Record {
    let mut sides: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for need in needs(event) {
        let Some(fields) = whole.sides.get(need.collection) else { continue };
        let chosen = fields.iter().filter(|(field, _)| need.field.as_ref().is_none_or(|one| one == *field));
        let chosen = chosen.map(|(field, value)| (field.clone(), value.clone()));
        sides.entry(need.collection.to_owned()).or_default().extend(chosen);
    }
    Record { head: whole.head.clone(), sides }
}
