//! One customer's event, decided: folded into the record, then settled to the last event that follows from it.
//!
//! Order within one event: the record changes, touchpoints are met, segments are entered and left, runs reach their goal
//! or exit, timers and answers do their work, waiting runs go on, journeys are entered. What follows from it is an event
//! of its own and goes the same way, in order, a bounded number of times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::builder::Draft;
use super::facts::View;
use super::{Decision, Head, ImpossibleRecord, Record, fields, fold, moments};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::delivery::Delivery;
use crate::domain::event::{Event, types};
use crate::domain::ids::{DeliveryId, EventId, InvalidId, JourneyId, SegmentId, TagName, UserId};
use crate::playbook::model::{Journey, Playbook};

/// The most events that may follow from one. Rules that chase each other in a circle stop here.
const MOST_DERIVED: usize = 200;

/// What stands between an event's id and the number of what followed from it.
const FOLLOWS: char = '→';

/// The event that came, of one that followed from it.
pub(super) fn root_of(event: &EventId) -> EventId {
    let root = event.as_str().rsplit_once(FOLLOWS).and_then(|(root, _)| EventId::parse(root).ok());
    root.unwrap_or_else(|| event.clone())
}

/// An event on its way through the rules: the one that came, or one that follows from it.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    /// What runs that it lets in are named after.
    pub(super) id: EventId,
    /// Its type.
    pub(super) kind: String,
    /// When it happened, within what a calendar holds.
    pub(super) at: At,
    /// Its fields.
    pub(super) data: Map<String, Value>,
    /// The types that rules may take it for; none for what only Touchpoint itself understands.
    pub(super) counts_as: Vec<String>,
    /// Its place: 0 for the one that came, then in the order in which they followed.
    pub(super) number: usize,
}

impl Happening {
    /// Whether it is the one that came.
    pub(super) fn is_root(&self) -> bool {
        self.number == 0
    }

    /// Whether rules may take it for this type.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.counts_as.iter().any(|one| one == kind)
    }
}

/// A customer's decision in the making.
pub(super) struct Deciding<'a> {
    /// The rules.
    pub(super) playbook: &'a Playbook,
    /// The record, changed in place.
    pub(super) customer: Customer,
    /// Everything else that changes.
    pub(super) draft: Draft<'a, ()>,
    /// Business time.
    pub(super) now: At,
    /// Something changed that a segment may look at.
    pub(super) dirty: bool,
    /// How often each segment was entered or left in this decision.
    pub(super) flips: BTreeMap<SegmentId, u32>,
    /// Tags to put on (true) or take off, by pair.
    pub(super) tag_changes: BTreeMap<UserId, BTreeMap<TagName, bool>>,
    /// The latest event that had followed when a run began, and when it began to wait for something: what came before
    /// is not what it looks out for.
    pub(super) began: BTreeMap<JourneyId, usize>,
    /// The same for the wait of a run.
    pub(super) waits_since: BTreeMap<JourneyId, usize>,
    /// Pairs that began with this event.
    pub(super) new_pairs: BTreeSet<UserId>,
    /// Deliveries that took a turn.
    pub(super) turned: BTreeSet<DeliveryId>,
    /// Deliveries that came to an end, taken out of the record.
    pub(super) ended: BTreeMap<DeliveryId, Delivery>,
    /// How many events have followed from the one that came.
    pub(super) derived: usize,
    queue: VecDeque<Happening>,
}

/// Decides an event of a customer.
///
/// # Errors
/// When the record is not that customer's.
pub(super) fn decide(
    playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let impossible = |what: String| ImpossibleRecord { actor: event.actor.clone(), what };
    let Head::Customer(customer) = record.head else {
        return Err(impossible("it is no customer's record".to_owned()));
    };
    if event.actor != Actor::Customer(customer.id.clone()) {
        return Err(impossible(format!("it is the record of {}", customer.id)));
    }
    let customer = *customer;
    let due_before = customer.deliveries.values().filter_map(|delivery| delivery.look_again).min();
    let mut deciding = Deciding {
        playbook,
        customer,
        draft: Draft::new((), event, now),
        now,
        dirty: true,
        flips: BTreeMap::new(),
        tag_changes: BTreeMap::new(),
        began: BTreeMap::new(),
        waits_since: BTreeMap::new(),
        new_pairs: BTreeSet::new(),
        turned: BTreeSet::new(),
        ended: BTreeMap::new(),
        queue: VecDeque::new(),
        derived: 0,
    };
    deciding.begin();
    deciding.settle();
    if event.kind == types::SCHEDULE_DUE && fields::text(&event.data, "schedule") == Some(super::SEGMENT_SWEEP) {
        deciding.sweep();
        deciding.settle();
    }
    Ok(deciding.finish(due_before))
}

impl<'a> Deciding<'a> {
    fn begin(&mut self) {
        let event = self.draft.event;
        let latest = moments::after(self.now, std::time::Duration::from_secs(86_400));
        // A moment beyond what business systems may send would carry arithmetic over the ends of the calendar.
        let at = event.at.clamp(At::UNIX_EPOCH, latest);
        self.queue.push_back(Happening {
            id: event.id.clone(),
            kind: event.kind.clone(),
            at,
            data: event.data.clone(),
            counts_as: Vec::new(),
            number: 0,
        });
    }

    fn settle(&mut self) {
        while let Some(mut happening) = self.queue.pop_front() {
            self.draft.count(format!("event:{}", happening.kind), 1);
            happening.counts_as =
                if happening.is_root() { self.fold(&happening) } else { vec![happening.kind.clone()] };
            self.note(&happening);
            self.touchpoints(&happening);
            self.segments();
            self.judge_runs(&happening);
            if happening.is_root() {
                self.work(&happening);
            }
            self.signals(&happening);
            self.enter_journeys(&happening);
        }
    }

    /// What only Touchpoint itself understands: timers, results of effects, answers of staff.
    fn work(&mut self, happening: &Happening) {
        match happening.kind.as_str() {
            types::TIMER_FIRED => self.timer_fired(&happening.data),
            types::EFFECT_DONE | types::EFFECT_FAILED | types::EFFECT_DROPPED | types::EFFECT_HELD => {
                self.effect_settled(happening);
            }
            types::DELIVERY_ANSWERED => self.delivery_answered(happening),
            types::CONTACT_PROFILE => self.greet_with_profile(&happening.data),
            _ => {}
        }
    }

    /// A timer that the record does not await any more changes nothing.
    fn timer_fired(&mut self, data: &Map<String, Value>) {
        let (Some(name), Some(due)) = (fields::text(data, "name"), fields::moment(data, "due")) else {
            return self.draft.trace("a timer without name or due moment");
        };
        match name.split_once(':') {
            None if name == super::JUDGE => self.judge_nudges(),
            Some(("welcome", userid)) => self.greet_without_profile(userid),
            Some(("run", journey)) => self.run_timer(journey, due),
            _ => self.draft.trace(format!("nothing knows the timer {name}")),
        }
    }

    /// Lets an event follow from this one.
    pub(super) fn happen(&mut self, kind: &str, at: At, data: Map<String, Value>) {
        self.derived += 1;
        if self.derived > MOST_DERIVED {
            self.draft.count("derived.exceeded", 1);
            return self.draft.trace(format!("{kind} is left out: {MOST_DERIVED} events follow from this one already"));
        }
        let Ok(id) = self.derived_id() else { return };
        let kind = kind.to_owned();
        self.queue.push_back(Happening { id, kind, at, data, counts_as: Vec::new(), number: self.derived });
    }

    /// The id of an event that follows: `<root>→<number>`, so that people find the event it came from.
    fn derived_id(&self) -> Result<EventId, InvalidId> {
        let readable = EventId::parse(format!("{}{FOLLOWS}{}", self.draft.event.id, self.derived));
        readable.or_else(|_too_long| EventId::parse(self.draft.id(&format!("derived:{}", self.derived)).as_str()))
    }

    /// What conditions see, with these fields as the event's.
    pub(super) fn view<'v>(&'v self, event: &'v Map<String, Value>) -> View<'v> {
        View { playbook: self.playbook, customer: &self.customer, event, now: self.now }
    }

    /// The rules of a journey, if the playbook still has it.
    pub(super) fn journey(&self, id: &JourneyId) -> Option<&'a Journey> {
        self.playbook.journeys.iter().find(|journey| journey.id == *id)
    }

    /// A line in the timeline for everything that people may want to read about.
    fn note(&mut self, happening: &Happening) {
        if fold::is_internal(&happening.kind) && happening.kind != types::EFFECT_FAILED {
            return;
        }
        let data = happening.data.iter().filter(|(name, value)| is_worth_keeping(name, value));
        let data = data.map(|(name, value)| (name.clone(), value.clone())).collect();
        self.draft.line(happening.at, happening.kind.clone(), data);
    }

    fn finish(mut self, due_before: Option<At>) -> Decision {
        self.tag_effects();
        self.set_judge_timer(due_before);
        for id in std::mem::take(&mut self.turned) {
            let delivery = self.ended.remove(&id).or_else(|| self.customer.deliveries.get(&id).cloned());
            if let Some(delivery) = delivery {
                self.draft.delivery(delivery);
            }
        }
        self.draft.with_head(self.customer).finish()
    }

    fn set_judge_timer(&mut self, due_before: Option<At>) {
        let due = self.customer.deliveries.values().filter_map(|delivery| delivery.look_again).min();
        let fired = self.draft.event.kind == types::TIMER_FIRED && self.draft.event.text("name") == Some(super::JUDGE);
        match due {
            Some(due) if due_before != Some(due) || fired => self.draft.timer(super::JUDGE, due),
            None if due_before.is_some() && !fired => self.draft.cancel(super::JUDGE),
            Some(_) | None => {}
        }
    }
}

/// A timeline is for reading: single values of moderate length, no codes.
fn is_worth_keeping(name: &str, value: &Value) -> bool {
    let is_short = match value {
        Value::Null | Value::Array(_) | Value::Object(_) => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= 600,
    };
    is_short && name != "welcome_code"
}

/// Fields of an event that follows, from pairs of texts.
pub(super) fn data<const N: usize>(pairs: [(&str, &str); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}
