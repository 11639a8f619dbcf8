//! Why: the chain from an event to a send or a non-send, in words.
//!
//! Deliveries carry every turn with its facts; this module puts them into sentences and adds what the record says of the
//! journeys: the trigger, the condition with its values of now, the holdout, and the step a run stands at.

use std::fmt;

use serde::Serialize;
use serde_json::Map;

use super::facts::{self, View};
use super::why_words::Speaker;
use crate::domain::At;
use crate::domain::customer::{Arm, Customer, Run, Waiting};
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState};
use crate::domain::event::types;
use crate::domain::ids::{DeliveryId, EventId, JourneyId};
use crate::domain::timeline::Line;
use crate::playbook::expression::Condition;
use crate::playbook::model::{Enter, Journey, Playbook};
use crate::settings::Locale;

/// Everything that is known of one customer.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The record.
    pub customer: &'a Customer,
    /// Deliveries, newest first, those still open included.
    pub deliveries: &'a [Delivery],
    /// The timeline, newest first.
    pub lines: &'a [Line],
}

/// What was asked about; everything when both are absent.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Only this delivery.
    pub delivery: Option<DeliveryId>,
    /// Only this journey.
    pub journey: Option<JourneyId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// In reading order.
    pub sections: Vec<Section>,
}

impl fmt::Display for Story {
    /// Titles, and their sentences indented under them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {line}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// Sentences.
    pub lines: Vec<String>,
}

/// Tells why what happened to a customer happened, and why what did not did not.
///
/// First who the customer is, then each journey, then each delivery, newest first.
#[must_use]
pub fn tell(playbook: &Playbook, known: Known<'_>, about: &About, locale: Locale, now: At) -> Story {
    let teller = Teller { speaker: Speaker { playbook, customer: known.customer, locale }, known, now };
    let deliveries: Vec<&Delivery> = known
        .deliveries
        .iter()
        .filter(|delivery| about.delivery.as_ref().is_none_or(|id| delivery.id == *id))
        .filter(|delivery| about.journey.is_none() || delivery.journey == about.journey)
        .collect();
    let concerned = |journey: &&Journey| match (&about.journey, &about.delivery) {
        (Some(id), _) => journey.id == *id,
        (None, Some(_)) => deliveries.iter().any(|delivery| delivery.journey.as_ref() == Some(&journey.id)),
        (None, None) => true,
    };
    let mut sections = vec![teller.customer()];
    sections.extend(playbook.journeys.iter().filter(concerned).map(|journey| teller.journey(journey)));
    sections.extend(deliveries.iter().map(|delivery| teller.delivery(delivery)));
    if (about.delivery.is_some() || about.journey.is_some()) && sections.len() == 1 {
        sections.push(teller.nothing_found());
    }
    Story { sections }
}

struct Teller<'a> {
    speaker: Speaker<'a>,
    known: Known<'a>,
    now: At,
}

impl Teller<'_> {
    fn say(&self, chinese: impl Into<String>, english: impl Into<String>) -> String {
        self.speaker.say(chinese, english)
    }

    fn time(&self, at: At) -> String {
        self.speaker.time(at)
    }

    fn customer(&self) -> Section {
        let customer = self.known.customer;
        let name = customer.name.as_deref().unwrap_or_default();
        let id = &customer.id;
        let title = match name {
            "" => self.say(format!("客户 {id}"), format!("Customer {id}")),
            name => self.say(format!("客户 {name}({id})"), format!("Customer {name} ({id})")),
        };
        let mut lines = vec![self.owner()];
        if let Some(at) = customer.added_at {
            let at = self.time(at);
            let from = customer.state.as_ref().map(|state| {
                self.say(format!(",渠道参数 {state}"), format!(", by the contact way with state {state}"))
            });
            let from = from.unwrap_or_default();
            lines.push(self.say(format!("首次添加:{at}{from}。"), format!("First added {at}{from}.")));
        }
        let (orders, spend, visits) = (customer.orders, customer.spend, customer.visits);
        let latest = customer.last_order_at.map(|at| self.time(at));
        let latest = latest.map(|at| self.say(format!(",最近下单 {at}"), format!(" (latest {at})")));
        let latest = latest.unwrap_or_default();
        lines.push(self.say(
            format!("订单 {orders} 笔{latest},累计消费 {spend};到店 {visits} 次。"),
            format!("Orders: {orders}{latest}, {spend} spent. Visits: {visits}."),
        ));
        lines.push(self.segments());
        lines.extend(self.touchpoints());
        lines.extend(self.not_welcomed());
        if customer.opted_out {
            lines.push(self.say("已退订:不再触达。", "Opted out: no nudges."));
        }
        if customer.is_lost() {
            lines.push(self.say("已流失:没有员工与其是好友。", "Lost: nobody of the staff is a contact any more."));
        }
        lines.extend(self.budget());
        Section { title, lines }
    }

    fn owner(&self) -> String {
        let Some((userid, follower)) = facts::owner(self.speaker.playbook, self.known.customer) else {
            return self.say("没有归属员工。", "Nobody answers for this customer.");
        };
        let userid = self.speaker.staff(userid.as_str());
        let since = follower.added_at.map(|at| self.time(at)).unwrap_or_default();
        self.say(format!("归属员工:{userid},{since} 成为好友。"), format!("Owner: {userid}, a contact since {since}."))
    }

    fn segments(&self) -> String {
        let inside: Vec<String> = self
            .known
            .customer
            .segments
            .iter()
            .map(|(id, since)| {
                let (name, since) = (self.speaker.segment(id), self.time(*since));
                self.say(format!("{name}(自 {since})"), format!("{name} (since {since})"))
            })
            .collect();
        if inside.is_empty() {
            return self.say("不在任何分层内。", "In no segment.");
        }
        self.say(format!("所在分层:{}。", inside.join("、")), format!("Segments: {}.", inside.join(", ")))
    }

    fn touchpoints(&self) -> Option<String> {
        let met = self.known.customer.touches.iter().map(|(id, touches)| {
            let name = self.speaker.touchpoint(id);
            let latest = touches.recent.last().map(|at| self.time(*at)).unwrap_or_default();
            let count = touches.count;
            self.say(format!("{name} {count} 次(最近 {latest})"), format!("{name} × {count} (latest {latest})"))
        });
        let met: Vec<String> = met.collect();
        (!met.is_empty()).then(|| {
            self.say(format!("到达触点:{}。", met.join("、")), format!("Touchpoints met: {}.", met.join(", ")))
        })
    }

    /// The latest adding that came without a welcome code: there was never a delivery to tell of.
    fn not_welcomed(&self) -> Option<String> {
        let line = self.known.lines.iter().find(|line| line.kind == super::welcome::NONE)?;
        let text = |field: &str| line.data.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (at, staff) = (self.time(line.at), self.speaker.staff(text("userid")));
        let reason = self.speaker.reason(text("reason"));
        Some(self.say(
            format!("{at} 添加 {staff} 时没有发欢迎语:{reason}。"),
            format!("No welcome when {staff} was added at {at}: {reason}."),
        ))
    }

    /// What is left of the customer's budget today.
    fn budget(&self) -> Vec<String> {
        let today = super::guardrails::day_of(self.speaker.playbook.zone, self.now);
        let budgets = self.speaker.playbook.guardrails.customer_budget.iter();
        budgets
            .map(|budget| {
                let first = today - chrono::Days::new(u64::from(budget.days.saturating_sub(1)));
                let used: u32 = self.known.customer.contacts.range(first..=today).map(|(_, count)| *count).sum();
                let (count, days) = (budget.count, budget.days);
                self.say(
                    format!("触达预算:{days} 天内已用 {used}/{count} 次。"),
                    format!("Budget: {used} of {count} used within {days} days."),
                )
            })
            .collect()
    }

    fn journey(&self, journey: &Journey) -> Section {
        let (name, id) = (&journey.name, &journey.id);
        let title = self.say(format!("旅程 {name}({id})"), format!("Journey {name} ({id})"));
        let mut lines = self.trigger(journey);
        if let Some(condition) = &journey.condition {
            lines.push(self.condition(&self.say("进入条件", "Condition"), condition));
        }
        lines.push(self.considered(journey));
        lines.extend(self.holdout(journey));
        if let Some(run) = self.known.customer.runs.get(id) {
            lines.extend(self.run(journey, run));
        }
        if let Some(past) = self.known.customer.past_runs.get(id) {
            let (from, to) = (self.time(past.entered_at), self.time(past.ended_at));
            let reason = self.speaker.reason(&past.reason);
            lines.push(self.say(
                format!("上一次:{from} 进入,{to} 结束,原因:{reason}。"),
                format!("Last time: entered {from}, ended {to}: {reason}."),
            ));
        }
        Section { title, lines }
    }

    /// What lets a customer in; for a segment also whether its condition holds now.
    fn trigger(&self, journey: &Journey) -> Vec<String> {
        let speaker = &self.speaker;
        match &journey.enter {
            Enter::Segment(id) => {
                let name = speaker.segment(id);
                let rule = speaker.playbook.segments.iter().find(|segment| segment.id == *id);
                let rule = rule.map(|segment| self.condition(&self.say("分层条件", "Segment"), &segment.when));
                let trigger =
                    self.say(format!("触发:进入分层「{name}」。"), format!("Trigger: entering the segment {name}."));
                std::iter::once(trigger).chain(rule).collect()
            }
            Enter::Touchpoint(id) => {
                let name = speaker.touchpoint(id);
                vec![self.say(format!("触发:到达触点「{name}」。"), format!("Trigger: meeting the touchpoint {name}."))]
            }
            Enter::Event(kind) => {
                let kind = speaker.event(kind);
                vec![self.say(format!("触发:事件 {kind}。"), format!("Trigger: the event {kind}."))]
            }
            Enter::Schedule(schedule) => {
                let source = &schedule.source;
                vec![self.say(format!("触发:定时 {source}。"), format!("Trigger: the schedule {source}."))]
            }
        }
    }

    /// A condition with the values it reads and what it comes to now.
    fn condition(&self, what: &str, condition: &Condition) -> String {
        let none = Map::new();
        let view = View { playbook: self.speaker.playbook, customer: self.known.customer, event: &none, now: self.now };
        let values: Vec<String> = condition
            .explain(&view)
            .into_iter()
            .map(|(name, value)| format!("{name} = {}", self.speaker.value(&value)))
            .collect();
        let source = condition.source();
        // What an event said is known only while it is decided, so such a condition has no value of now.
        if values.iter().any(|value| value.starts_with("event.")) {
            return self
                .say(format!("{what}:{source}(按事件判断)。"), format!("{what}: {source} (judged by the event)."));
        }
        let verdict =
            if condition.holds(&view) { self.say("满足", "holds") } else { self.say("不满足", "does not hold") };
        let values = match values.join(", ") {
            none if none.is_empty() => none,
            values => self.say(format!("现在 {values},"), format!("now {values}: ")),
        };
        self.say(format!("{what}:{source};{values}{verdict}。"), format!("{what}: {source}; {values}{verdict}."))
    }

    /// What became of the latest trigger.
    fn considered(&self, journey: &Journey) -> String {
        let considered = self.known.customer.considered.get(&journey.id);
        let Some(considered) = considered else {
            // A schedule that did not let the customer in leaves no trace in the record.
            return if matches!(journey.enter, Enter::Schedule(_)) {
                self.say("定时检查至今没有让该客户进入。", "No scheduled look has let this customer in so far.")
            } else {
                self.say("至今没有触发过。", "It was never triggered for this customer.")
            };
        };
        let at = self.time(considered.at);
        let outcome = self.speaker.outcome(&considered.outcome);
        self.say(format!("最近一次触发:{at},{outcome}。"), format!("Triggered last at {at}: {outcome}."))
    }

    fn holdout(&self, journey: &Journey) -> Option<String> {
        let run = self.known.customer.runs.get(&journey.id).map(|run| run.arm);
        let arm = run.or_else(|| self.known.customer.past_runs.get(&journey.id).map(|past| past.arm));
        let percent = f64::from(journey.holdout) / 100.0;
        match arm {
            Some(Arm::HeldOut) => Some(self.say(
                format!("对照组 {percent}%:该客户属于对照组,计入统计但不触达。"),
                format!("Holdout {percent}%: this customer is in it, is counted and gets nothing."),
            )),
            Some(Arm::Treated) if journey.holdout > 0 => Some(self.say(
                format!("对照组 {percent}%:该客户不在对照组。"),
                format!("Holdout {percent}%: this customer is not in it."),
            )),
            Some(Arm::Treated) | None => None,
        }
    }

    /// Where a run stands and what it waits for.
    fn run(&self, journey: &Journey, run: &Run) -> Vec<String> {
        let entered = self.time(run.entered_at);
        let begun = self.say(format!("{entered} 进入,正在进行。"), format!("Entered {entered}, under way."));
        let step = journey.position(&run.step).and_then(|place| journey.steps.get(place));
        let does = step.map(|step| self.speaker.step(&step.action)).unwrap_or_default();
        let id = &run.step;
        let waits = match &run.waiting {
            Waiting::Until { at } => {
                let at = self.time(*at);
                self.say(format!("等到 {at}"), format!("waits until {at}"))
            }
            Waiting::Sent { .. } => self.say("等触达真正发出", "waits for its nudge to leave"),
            Waiting::Something { at } => {
                let at = self.time(*at);
                self.say(format!("最迟等到 {at}"), format!("waits until {at} at the latest"))
            }
            Waiting::Goal { at } => {
                let at = self.time(*at);
                return vec![
                    begun,
                    self.say(
                        format!("步骤已走完,观察目标到 {at}。"),
                        format!("Its steps are over; its goal is watched until {at}."),
                    ),
                ];
            }
        };
        let stands =
            self.say(format!("停在第 {id} 步({does}):{waits}。"), format!("Stands at step {id} ({does}): {waits}."));
        vec![begun, stands]
    }

    fn delivery(&self, delivery: &Delivery) -> Section {
        let speaker = &self.speaker;
        let (kind, state) = (speaker.kind(delivery.kind), speaker.state(delivery.state, delivery.kind));
        let what = delivery.title.clone().or_else(|| delivery.say.as_ref().map(ToString::to_string));
        let what = what.map(|what| format!(" {what}")).unwrap_or_default();
        let title = match &delivery.journey {
            Some(journey) => {
                let journey = speaker.journey(journey);
                self.say(format!("{kind}{what}({journey}):{state}"), format!("{kind}{what} ({journey}): {state}"))
            }
            None => self.say(format!("{kind}{what}:{state}"), format!("{kind}{what}: {state}")),
        };
        let mut lines = vec![self.cause(delivery)];
        for turn in &delivery.turns {
            let at = self.time(turn.at);
            let (state, reason) = (speaker.state(turn.state, delivery.kind), speaker.reason(&turn.reason));
            lines.push(self.say(format!("{at} {state}:{reason}。"), format!("{at} {state}: {reason}.")));
            lines.extend(turn.facts.iter().map(|(name, value)| format!("  · {}", speaker.fact(name, value))));
        }
        lines.extend(self.what_comes(delivery));
        Section { title, lines }
    }

    /// The event that made the journey want it, as the timeline has it.
    fn cause(&self, delivery: &Delivery) -> String {
        let id = &delivery.id;
        let cause = match self.first_line(delivery) {
            Some(line) => format!("{} {}", self.time(line.at), self.speaker.event(&line.kind)),
            None => self.say(
                format!("事件 {}(已不在时间线中)", delivery.event),
                format!("the event {} (no longer in the timeline)", delivery.event),
            ),
        };
        self.say(format!("编号 {id},起因:{cause}。"), format!("Id {id}; it began with: {cause}."))
    }

    /// The line with which it all began. A run that a derived event let in leads to the outer event by the line of its
    /// entry: lines carry the outer event's id.
    fn first_line(&self, delivery: &Delivery) -> Option<&Line> {
        let of = |event: &EventId| self.known.lines.iter().rfind(|line| line.event == *event);
        of(&delivery.event).or_else(|| {
            let journey = delivery.journey.as_ref()?.as_str();
            let is_entry = |line: &&Line| {
                line.kind == types::JOURNEY_ENTERED
                    && line.at <= delivery.wanted_at
                    && line.data.get("journey").and_then(serde_json::Value::as_str) == Some(journey)
            };
            self.known.lines.iter().find(is_entry).and_then(|entry| of(&entry.event))
        })
    }

    /// What a delivery that has not ended waits for.
    fn what_comes(&self, delivery: &Delivery) -> Option<String> {
        let is_over = delivery.kind == DeliveryKind::Welcome && delivery.state == DeliveryState::Sent;
        if delivery.state.is_end() || is_over {
            return None;
        }
        let by = delivery.staff.as_ref().map(|userid| self.speaker.staff(userid.as_str())).unwrap_or_default();
        let kept = self.time(delivery.hold_until);
        match (delivery.state, delivery.look_again) {
            (DeliveryState::Wanted | DeliveryState::Held, Some(at)) => {
                let at = self.time(at);
                Some(self.say(
                    format!("下次判定:{at};最多保留到 {kept}。"),
                    format!("It is judged again at {at} and kept until {kept} at the longest."),
                ))
            }
            (DeliveryState::Wanted | DeliveryState::Held, None) if !by.is_empty() => Some(self.say(
                format!("正由员工 {by} 一侧排期;最多保留到 {kept}。"),
                format!("It is with {by} and kept until {kept} at the longest."),
            )),
            (DeliveryState::Sent, _) if !by.is_empty() => {
                Some(self.say(format!("等员工 {by} 处理。"), format!("It waits for {by} to act.")))
            }
            _ => None,
        }
    }

    fn nothing_found(&self) -> Section {
        let words = self.say(
            "规则里没有这个旅程,或该客户没有这个编号的触达或提醒。",
            "The playbook has no such journey, or this customer no such delivery.",
        );
        Section { title: self.say("没有找到", "Not found"), lines: vec![words] }
    }
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
