//! Journeys (旅程): who enters, who is left alone, and when a run ends.

use serde_json::{Map, Value};

use super::customer::{Deciding, Happening, data, root_of};
use super::deliveries::Facts;
use super::{fields, guardrails, moments, reasons};
use crate::domain::At;
use crate::domain::customer::{Arm, Considered, PastRun, Run, Waiting};
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, EventId, ExternalUserId, JourneyId, StepId};
use crate::playbook::model::{Enter, Journey, Signal};

/// A trigger larger than this is not carried along by the run it lets in.
const MOST_TRIGGER_BYTES: usize = 4096;

/// The side of the measurement a customer is on: chance, but the same for ever.
fn arm(journey: &Journey, customer: &ExternalUserId) -> Arm {
    if is_held_out(&journey.id, journey.holdout, customer) { Arm::HeldOut } else { Arm::Treated }
}

/// Whether a journey leaves a customer alone on purpose; `holdout` in hundredths of a percent.
pub(super) fn is_held_out(journey: &JourneyId, holdout: u32, customer: &ExternalUserId) -> bool {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("holdout:{journey}:{customer}").as_bytes());
    hash % 10_000 < u64::from(holdout)
}

fn arm_name(arm: Arm) -> &'static str {
    match arm {
        Arm::Treated => "treated",
        Arm::HeldOut => "held_out",
    }
}

impl Deciding<'_> {
    /// Enters every journey that this event lets the customer into.
    pub(super) fn enter_journeys(&mut self, happening: &Happening) {
        let playbook = self.playbook;
        for journey in &playbook.journeys {
            if lets_in(journey, happening) {
                self.enter(journey, &happening.id, &happening.data);
            }
        }
    }

    /// Enters a journey, or notes why not.
    pub(super) fn enter(&mut self, journey: &Journey, event: &EventId, trigger: &Map<String, Value>) {
        let refusal = self.refusal(journey, trigger);
        let arm = arm(journey, &self.customer.id);
        let outcome = match (&refusal, arm) {
            (Some(refusal), _) => refusal.as_str(),
            (None, Arm::Treated) => reasons::ENTERED,
            (None, Arm::HeldOut) => reasons::HELD_OUT,
        };
        self.draft.trace(format!("journey {}: {outcome}", journey.id));
        // A schedule asks about every customer each time; a record that says no each time would be written for nothing.
        if refusal.is_none() || !matches!(journey.enter, Enter::Schedule(_)) {
            let considered = Considered { at: self.now, event: root_of(event), outcome: outcome.to_owned() };
            self.customer.considered.insert(journey.id.clone(), considered);
        }
        if refusal.is_some() {
            return;
        }
        let run = Run {
            entered_at: self.now,
            event: event.clone(),
            trigger: carried(trigger),
            arm,
            step: first_step(journey),
            waiting: Waiting::Until { at: self.now },
            deliveries: Vec::new(),
            passed: 0,
        };
        self.customer.runs.insert(journey.id.clone(), run);
        self.began.insert(journey.id.clone(), self.derived);
        self.draft.count(format!("journey.entered:{}:{}", journey.id, arm_name(arm)), 1);
        let told = data([("journey", journey.id.as_str()), ("arm", arm_name(arm))]);
        self.happen(types::JOURNEY_ENTERED, self.now, told);
        self.advance(journey, (!journey.steps.is_empty()).then_some(0));
    }

    /// Why the customer may not enter now.
    fn refusal(&self, journey: &Journey, trigger: &Map<String, Value>) -> Option<String> {
        if self.customer.runs.contains_key(&journey.id) {
            return Some(reasons::ALREADY_INSIDE.to_owned());
        }
        if let Some(past) = self.customer.past_runs.get(&journey.id) {
            let Some(again) = journey.again else { return Some(reasons::NEVER_AGAIN.to_owned()) };
            let earliest = moments::after(past.entered_at, again);
            if self.now < earliest {
                return Some(format!("not again before {}", moments::written(self.playbook.zone, earliest)));
            }
        }
        let view = self.view(trigger);
        let values = |condition: &crate::playbook::expression::Condition| {
            let values = condition.explain(&view).into_iter().map(|(name, value)| format!("{name} = {value}"));
            values.collect::<Vec<_>>().join(", ")
        };
        match (&journey.condition, &journey.exit) {
            (Some(condition), _) if !condition.holds(&view) => {
                Some(format!("where: {} ({})", condition.source(), values(condition)))
            }
            // Whoever would leave at once does not enter.
            (_, Some(exit)) if exit.holds(&view) => Some(format!("exit: {} ({})", exit.source(), values(exit))),
            _ => None,
        }
    }

    /// Judges goal and exit of every run; a run whose rules a reload took away ends.
    pub(super) fn judge_runs(&mut self, happening: &Happening) {
        let runs: Vec<JourneyId> = self.customer.runs.keys().cloned().collect();
        for id in runs {
            self.judge_run(&id, happening);
        }
    }

    fn judge_run(&mut self, id: &JourneyId, happening: &Happening) {
        let Some(run) = self.customer.runs.get(id) else { return };
        let Some(journey) = self.journey(id) else {
            return self.end_run(id, reasons::JOURNEY_REMOVED, Vec::new());
        };
        let stands = journey.position(&run.step).is_some() || matches!(run.waiting, Waiting::Goal { .. });
        if !stands {
            let facts = vec![("step".to_owned(), run.step.to_string())];
            return self.end_run(id, reasons::STEP_REMOVED, facts);
        }
        let is_after = |since: Option<&usize>| since.is_none_or(|since| happening.number > *since);
        if let Some(goal) = &journey.goal
            && is_after(self.began.get(id))
            && is_signal(&goal.on, happening, id)
            && self.is_within(run, happening.at, moments::after(run.entered_at, goal.within))
        {
            self.draft.count(format!("journey.goal:{id}:{}", arm_name(run.arm)), 1);
            let told = data([("journey", id.as_str()), ("arm", arm_name(run.arm))]);
            self.happen(types::JOURNEY_GOAL, self.now, told);
            return self.end_run(id, reasons::GOAL, vec![("event".to_owned(), happening.kind.clone())]);
        }
        if let Some(exit) = &journey.exit {
            let view = self.view(&happening.data);
            if exit.holds(&view) {
                let facts = exit.explain(&view);
                self.end_run(id, reasons::EXIT, facts);
            }
        }
    }

    /// A purchase that comes late with a moment before the entry is not what the journey brought about; within the day
    /// of the entry business systems may know the day alone.
    fn is_within(&self, run: &Run, at: At, latest: At) -> bool {
        let day = |at: At| guardrails::day_of(self.playbook.zone, at);
        at <= latest && day(at) >= day(run.entered_at)
    }

    /// Runs that wait for this event go on.
    pub(super) fn signals(&mut self, happening: &Happening) {
        let waits = |run: &Run| matches!(run.waiting, Waiting::Something { .. });
        let waiting: Vec<JourneyId> =
            self.customer.runs.iter().filter(|(_, run)| waits(run)).map(|(id, _)| id.clone()).collect();
        for id in waiting {
            let Some(journey) = self.journey(&id) else { continue };
            // What the same event brought about before the wait began is not what was waited for.
            if self.waits_since.get(&id).is_some_and(|since| happening.number <= *since) {
                continue;
            }
            let is_awaited = self.awaited(journey).is_some_and(|signal| match signal {
                Signal::Done => self.is_latest_prompt_done(&id, happening),
                Signal::Touchpoint(_) | Signal::Event(_) => is_signal(signal, happening, &id),
            });
            if is_awaited {
                self.draft.trace(format!("journey {id}: {} was awaited", happening.kind));
                self.go_on(journey);
            }
        }
    }

    /// Ends a run. Unless its steps have simply come to their end, what it wanted and has not left yet is dropped.
    pub(super) fn end_run(&mut self, id: &JourneyId, reason: &str, facts: Facts) {
        let Some(run) = self.customer.runs.remove(id) else { return };
        self.draft.cancel(format!("run:{id}"));
        self.draft.count(format!("journey.ended:{id}:{}", arm_name(run.arm)), 1);
        let past = PastRun { entered_at: run.entered_at, ended_at: self.now, reason: reason.to_owned(), arm: run.arm };
        self.customer.past_runs.insert(id.clone(), past);
        let told = data([("journey", id.as_str()), ("reason", reason), ("arm", arm_name(run.arm))]);
        self.happen(types::JOURNEY_ENDED, self.now, told);
        if reason != reasons::FINISHED {
            run.deliveries.iter().for_each(|delivery| self.withdraw(delivery, reason, &facts));
        }
    }

    /// Whether this event says that the run's latest prompt is done.
    fn is_latest_prompt_done(&self, id: &JourneyId, happening: &Happening) -> bool {
        let done = fields::text(&happening.data, "delivery").filter(|_| happening.kind == types::PROMPT_DONE);
        let done = done.and_then(|id| DeliveryId::parse(id).ok()).and_then(|id| self.ended.get(&id));
        let latest = self.customer.runs.get(id).and_then(|run| self.latest_prompt(run));
        // Of a prompt that asks several managers it is enough that one of them has done it.
        latest.zip(done).is_some_and(|(latest, done)| {
            (&latest.journey, &latest.step, latest.wanted_at) == (&done.journey, &done.step, done.wanted_at)
        })
    }
}

fn lets_in(journey: &Journey, happening: &Happening) -> bool {
    let names = |field: &str, id: &str| fields::text(&happening.data, field) == Some(id);
    match &journey.enter {
        Enter::Segment(segment) => happening.kind == types::SEGMENT_ENTERED && names("segment", segment.as_str()),
        Enter::Touchpoint(touchpoint) => {
            happening.kind == types::TOUCHPOINT_MET && names("touchpoint", touchpoint.as_str())
        }
        Enter::Event(kind) => happening.is(kind),
        Enter::Schedule(_) => {
            let name = super::journey_sweep(&journey.id);
            happening.is_root() && happening.kind == types::SCHEDULE_DUE && names("schedule", &name)
        }
    }
}

/// Whether the event is the touchpoint or of the type. What became of a delivery counts for the journey it belongs to.
fn is_signal(signal: &Signal, happening: &Happening, journey: &JourneyId) -> bool {
    let names = |field: &str, id: &str| fields::text(&happening.data, field) == Some(id);
    match signal {
        Signal::Touchpoint(touchpoint) => {
            happening.kind == types::TOUCHPOINT_MET && names("touchpoint", touchpoint.as_str())
        }
        Signal::Event(kind) => {
            let is_of_delivery = kind.starts_with("nudge.") || kind.starts_with("prompt.");
            happening.is(kind) && (!is_of_delivery || names("journey", journey.as_str()))
        }
        Signal::Done => false,
    }
}

/// Where a run begins; a journey without steps has no step to stand at, and none is looked up there.
fn first_step(journey: &Journey) -> StepId {
    let first = journey.steps.first().map(|step| step.id.clone());
    first.unwrap_or_else(|| StepId::parse("1").expect("a digit is a step id"))
}

/// The trigger's fields as the run carries them along: no codes, and nothing huge.
fn carried(trigger: &Map<String, Value>) -> Map<String, Value> {
    let mut carried = trigger.clone();
    carried.remove("welcome_code");
    let bytes = serde_json::to_vec(&carried).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > MOST_TRIGGER_BYTES { Map::new() } else { carried }
}
