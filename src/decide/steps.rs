//! Steps: a run goes from step to step until one of them makes it wait.

use std::time::Duration;

use serde_json::{Map, Value};

use super::customer::Deciding;
use super::deliveries::Facts;
use super::nudges::is_pending;
use super::{moments, reasons};
use crate::domain::At;
use crate::domain::customer::{Arm, Run, Waiting};
use crate::domain::delivery::{Delivery, DeliveryKind};
use crate::domain::ids::{DeliveryId, JourneyId};
use crate::playbook::model::{EventValue, Journey, Signal, Step, StepAction};

/// Where a step leads.
enum Then {
    /// To this step, or to the end.
    On(Option<usize>),
    /// Nowhere for now.
    Wait(Waiting),
    /// Out of the journey.
    Stop(String),
}

impl Deciding<'_> {
    /// Takes the run of a journey from a step on, as far as it goes. Steps only lead forward, so this ends.
    pub(super) fn advance(&mut self, journey: &Journey, from: Option<usize>) {
        let mut place = from;
        while let Some(step) = place.and_then(|place| journey.steps.get(place)) {
            let Some(run) = self.customer.runs.get_mut(&journey.id) else { return };
            run.step = step.id.clone();
            let (holds, facts) = self.condition_of(journey, step);
            if !holds {
                place = step.next;
                continue;
            }
            match self.take_step(journey, step, facts) {
                Then::On(next) => place = next,
                Then::Wait(waiting) => return self.wait(&journey.id, waiting),
                Then::Stop(reason) => return self.end_run(&journey.id, &reason, Vec::new()),
            }
        }
        self.steps_are_over(journey);
    }

    /// Whether a step is taken, and the values that say so.
    fn condition_of(&mut self, journey: &Journey, step: &Step) -> (bool, Facts) {
        let Some(condition) = &step.condition else { return (true, Vec::new()) };
        let Some(run) = self.customer.runs.get(&journey.id) else { return (false, Vec::new()) };
        let view = self.view(&run.trigger);
        let (holds, facts) = (condition.holds(&view), condition.explain(&view));
        let values: Vec<String> = facts.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let taken = if holds { "taken" } else { "skipped" };
        self.draft.trace(format!("journey {} step {}: {taken}, {}", journey.id, step.id, values.join(", ")));
        (holds, facts)
    }

    fn take_step(&mut self, journey: &Journey, step: &Step, facts: Facts) -> Then {
        let Some(run) = self.customer.runs.get(&journey.id) else { return Then::On(None) };
        let is_treated = run.arm == Arm::Treated;
        match &step.action {
            StepAction::Wait(wait) => return Then::Wait(self.wait_from(run, *wait)),
            StepAction::WaitUntil { day, time } => {
                let at = moments::next_time_of_day(self.playbook.zone, self.now, *day, *time);
                return Then::Wait(Waiting::Until { at });
            }
            StepAction::WaitFor { signal, within } => {
                // A prompt cannot be done before it has left: the time for it counts from its sending.
                let held = self.latest_prompt(run).filter(|prompt| *signal == Signal::Done && is_pending(prompt));
                let from = held.map_or(self.now, |prompt| prompt.hold_until.max(self.now));
                return Then::Wait(Waiting::Something { at: moments::after(from, *within) });
            }
            StepAction::Nudge { .. } | StepAction::Prompt { .. } => self.want_of_step(journey, step, facts),
            StepAction::Tag { add, remove } if is_treated => {
                add.iter().for_each(|tag| self.put_tag_everywhere(tag));
                remove.iter().for_each(|tag| self.take_tag_everywhere(tag));
            }
            StepAction::Event { kind, data } if is_treated => self.event_of_step(journey, kind, data),
            // Who is left alone gets nothing of the journey.
            StepAction::Tag { .. } | StepAction::Event { .. } => {}
            StepAction::Branch { arms } => {
                let view = self.view(&run.trigger);
                let arm = arms.iter().find(|(condition, _)| condition.as_ref().is_none_or(|one| one.holds(&view)));
                return Then::On(arm.and_then(|(_, first)| *first).or(step.next));
            }
            StepAction::Stop { reason } => return Then::Stop(reason.clone()),
        }
        Then::On(step.next)
    }

    /// Wants what a step wants. Its id is the run's and the step's, so that the same step of the same run is one wish.
    fn want_of_step(&mut self, journey: &Journey, step: &Step, facts: Facts) {
        let Some(run) = self.customer.runs.get(&journey.id).cloned() else { return };
        let mut told = vec![("entered".to_owned(), moments::written(self.playbook.zone, run.entered_at))];
        // What the segment's condition read when the customer entered it.
        if let Some(because) = run.trigger.get("because").and_then(Value::as_str) {
            told.push(("because".to_owned(), because.to_owned()));
        }
        told.extend(facts);
        let wanted = match &step.action {
            StepAction::Nudge { .. } => self.want_nudge(&run, journey, step, told).into_iter().collect(),
            StepAction::Prompt { .. } => self.want_prompt(&run, journey, step, &told),
            _ => Vec::new(),
        };
        if let Some(run) = self.customer.runs.get_mut(&journey.id) {
            run.deliveries.extend(wanted);
        }
    }

    fn event_of_step(
        &mut self,
        journey: &Journey,
        kind: &str,
        values: &std::collections::BTreeMap<String, EventValue>,
    ) {
        let none = Map::new();
        let trigger = self.customer.runs.get(&journey.id).map_or(&none, |run| &run.trigger);
        let words = self.view(trigger).words(None, Some(journey));
        let mut data = Map::new();
        for (name, value) in values {
            let value = match value {
                EventValue::Plain(value) => value.clone(),
                EventValue::Text(template) => match template.render(&words) {
                    Ok(text) => Value::String(text),
                    Err(error) => {
                        self.draft.trace(format!("journey {}: {kind} goes without {name}: {error}", journey.id));
                        Value::Null
                    }
                },
            };
            data.insert(name.clone(), value);
        }
        self.happen(kind, self.now, data);
    }

    /// A wait counts from the sending of a nudge that has not left yet, else from now.
    fn wait_from(&self, run: &Run, wait: Duration) -> Waiting {
        match self.latest_pending_nudge(run) {
            Some(delivery) => Waiting::Sent { delivery },
            None => Waiting::Until { at: moments::after(self.now, wait) },
        }
    }

    fn latest_pending_nudge(&self, run: &Run) -> Option<DeliveryId> {
        let open = run.deliveries.iter().rev().filter_map(|id| self.customer.deliveries.get(id));
        let mut pending = open.filter(|one| one.kind == DeliveryKind::Nudge && is_pending(one));
        pending.next().map(|delivery| delivery.id.clone())
    }

    /// Steps are over: the run stays until its nudges have left, then until its goal's window closes.
    fn steps_are_over(&mut self, journey: &Journey) {
        let Some(run) = self.customer.runs.get(&journey.id) else { return };
        let goal = journey.goal.as_ref().map(|goal| moments::after(run.entered_at, goal.within));
        let waiting = match (self.latest_pending_nudge(run), goal.filter(|at| *at > self.now)) {
            (Some(delivery), _) => Waiting::Sent { delivery },
            (None, Some(at)) => Waiting::Goal { at },
            (None, None) => return self.end_run(&journey.id, reasons::FINISHED, Vec::new()),
        };
        self.wait(&journey.id, waiting);
    }

    fn wait(&mut self, id: &JourneyId, waiting: Waiting) {
        match due_of(&waiting) {
            Some(at) => self.draft.timer(format!("run:{id}"), at),
            None => self.draft.cancel(format!("run:{id}")),
        }
        self.waits_since.insert(id.clone(), self.derived);
        if let Some(run) = self.customer.runs.get_mut(id) {
            run.waiting = waiting;
        }
    }

    /// A run's timer fired. One that the run does not wait for any more changes nothing.
    pub(super) fn run_timer(&mut self, journey: &str, due: At) {
        let Some((id, run)) = self.customer.runs.get_key_value(journey) else { return };
        if due_of(&run.waiting) != Some(due) {
            return self.draft.trace(format!("the run of {journey} does not wait for this any more"));
        }
        let id = id.clone();
        match (&run.waiting, self.journey(&id)) {
            (Waiting::Goal { .. }, _) => self.end_run(&id, reasons::FINISHED, Vec::new()),
            (_, Some(journey)) => self.go_on(journey),
            (_, None) => {}
        }
    }

    /// Goes on behind the step that the run waited at.
    pub(super) fn go_on(&mut self, journey: &Journey) {
        let place = self.customer.runs.get(&journey.id).and_then(|run| journey.position(&run.step));
        match place.and_then(|place| journey.steps.get(place)) {
            Some(step) => self.advance(journey, step.next),
            None => self.end_run(&journey.id, reasons::STEP_REMOVED, Vec::new()),
        }
    }

    /// A nudge has left, or never will: the wait behind it begins now.
    pub(super) fn nudge_left(&mut self, delivery: &DeliveryId, at: At) {
        let awaits = |run: &Run| matches!(&run.waiting, Waiting::Sent { delivery: awaited } if awaited == delivery);
        let Some(id) = self.customer.runs.iter().find(|(_, run)| awaits(run)).map(|(id, _)| id.clone()) else { return };
        let Some(journey) = self.journey(&id) else { return };
        let place = self.customer.runs.get(&id).and_then(|run| journey.position(&run.step));
        match place.and_then(|place| journey.steps.get(place)).map(|step| &step.action) {
            Some(StepAction::Wait(wait)) => self.wait(&id, Waiting::Until { at: moments::after(at, *wait) }),
            _ => self.go_on(journey),
        }
    }

    /// A prompt has left, or never will: the time in which it is to be done begins now.
    pub(super) fn prompt_left(&mut self, delivery: &DeliveryId, at: At) {
        let waits = |run: &Run| {
            matches!(run.waiting, Waiting::Something { .. })
                && self.latest_prompt(run).is_some_and(|prompt| prompt.id == *delivery)
        };
        let Some(id) = self.customer.runs.iter().find(|(_, run)| waits(run)).map(|(id, _)| id.clone()) else { return };
        let Some(journey) = self.journey(&id) else { return };
        let place = self.customer.runs.get(&id).and_then(|run| journey.position(&run.step));
        let action = place.and_then(|place| journey.steps.get(place)).map(|step| &step.action);
        if let Some(StepAction::WaitFor { signal: Signal::Done, within }) = action {
            self.wait(&id, Waiting::Something { at: moments::after(at, *within) });
        }
    }

    /// The latest prompt of a run, as far as this decision still knows it.
    pub(super) fn latest_prompt(&self, run: &Run) -> Option<&Delivery> {
        let known = |id: &DeliveryId| self.customer.deliveries.get(id).or_else(|| self.ended.get(id));
        run.deliveries.iter().rev().filter_map(known).find(|one| one.kind == DeliveryKind::Prompt)
    }

    /// What a run waits for at its step.
    pub(super) fn awaited<'j>(&self, journey: &'j Journey) -> Option<&'j Signal> {
        let run = self.customer.runs.get(&journey.id)?;
        let step = journey.steps.get(journey.position(&run.step)?)?;
        match &step.action {
            StepAction::WaitFor { signal, .. } => Some(signal),
            _ => None,
        }
    }
}

/// The moment for which a run's timer is set.
fn due_of(waiting: &Waiting) -> Option<At> {
    match waiting {
        Waiting::Until { at } | Waiting::Something { at } | Waiting::Goal { at } => Some(*at),
        Waiting::Sent { .. } => None,
    }
}
