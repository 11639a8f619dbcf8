//! Compiles journeys: who enters, what for, when it ends. Their steps are compiled in `steps`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::compile::{Compiler, Entry};
use super::expression::Condition;
use super::model::{Enter, Goal, Journey, MessageTemplate, Signal, StepAction};
use super::reader::{self, Keys, Map};
use super::times;
use super::tree::{Key, Node};
use crate::domain::delivery::Channel;
use crate::domain::ids::{JourneyId, MessageId};

const JOURNEY: Keys = Keys::known(&[
    "name", "kind", "enter", "backfill", "where", "again", "holdout", "priority", "goal", "exit", "steps",
]);
const ENTER: Keys = Keys::known(&["segment", "touchpoint", "event", "schedule", "where", "backfill"]);
const GOAL: Keys = Keys::known(&["touchpoint", "event", "within"]);
const KINDS: [&str; 5] = ["onboarding", "retention", "referral", "service", "sales"];
const PRIORITY: i64 = 50;

/// What `enter:` says.
struct Entrance {
    enter: Enter,
    condition: Option<Condition>,
    backfill: bool,
}

impl Compiler<'_> {
    pub(super) fn journeys(
        &mut self,
        entries: &[Entry<'_>],
        messages: &BTreeMap<MessageId, MessageTemplate>,
    ) -> Vec<Journey> {
        let journeys: Vec<Journey> = entries.iter().filter_map(|entry| self.journey(*entry)).collect();
        for journey in &journeys {
            self.check_nudges(journey, messages, entries);
        }
        journeys
    }

    fn journey(&mut self, entry: Entry<'_>) -> Option<Journey> {
        let (key, _) = entry;
        let id = self.own_id(key, JourneyId::parse);
        let map = self.open(entry, "journey", &JOURNEY)?;
        let name = self.name(&map, key);
        let kind = map.get("kind").and_then(|node| self.one_of(node, "kind of journey", &KINDS));
        let entrance = map.require("enter", self.report).and_then(|node| self.entrance(node, map.at));
        let condition = map.get("where").and_then(|node| self.condition(node));
        let backfill = map.get("backfill").and_then(|node| reader::boolean(node, self.report)).unwrap_or(false);
        let again = map.get("again").and_then(|node| times::duration(node, self.report));
        let holdout = map.get("holdout").and_then(|node| self.percent(node)).unwrap_or(0);
        let priority = map.get("priority").and_then(|node| reader::integer(node, -1000, 1000, self.report));
        let goal = map.entry("goal").and_then(|entry| self.goal(entry));
        let exit = map.get("exit").and_then(|node| self.condition(node));
        let steps_node = map.require("steps", self.report);
        let steps = steps_node.map_or_else(Vec::new, |node| self.steps(node));
        let steps_hash = steps_node.map_or_else(String::new, hash);
        if map.get("goal").is_none() {
            let message = format!("the journey `{}` has no goal: nobody can tell whether it helps", key.text);
            self.report.warning(key.span, "no-goal", message);
        }
        let entrance = entrance?;
        self.check_entrance(&map, &entrance, backfill, condition.is_some());
        Some(Journey {
            id: id?,
            name,
            kind,
            backfill: backfill || entrance.backfill,
            enter: entrance.enter,
            condition: condition.or(entrance.condition),
            again,
            holdout,
            priority: priority.unwrap_or(PRIORITY),
            goal,
            exit,
            steps,
            steps_hash,
        })
    }

    fn check_entrance(&mut self, map: &Map<'_>, entrance: &Entrance, backfill: bool, has_where: bool) {
        if (backfill || entrance.backfill) && !matches!(entrance.enter, Enter::Segment(_)) {
            self.report.error(map.at, "bad-value", "`backfill` goes with `enter: { segment: … }` only");
        }
        if has_where && entrance.condition.is_some() {
            let message = "`where` stands both in the journey and in its `enter`";
            self.report.error(map.at, "duplicate-key", message).hint("join them with &&");
        }
        if matches!(entrance.enter, Enter::Schedule(_)) && !has_where && entrance.condition.is_none() {
            let message = "a schedule without `where` takes in every customer each time";
            self.report.warning(map.at, "everybody", message);
        }
    }

    fn entrance(&mut self, node: &Node, at: super::diagnostic::Span) -> Option<Entrance> {
        let map = Map::open(node, at, "enter", &ENTER, self.report)?;
        let (key, node) = self.only_one(&map, &["segment", "touchpoint", "event", "schedule"])?;
        let enter = match key.text.as_str() {
            "segment" => Enter::Segment(self.segment(node)?),
            "touchpoint" => Enter::Touchpoint(self.touchpoint(node)?),
            "event" => Enter::Event(self.event_type(node)?),
            _ => Enter::Schedule(times::schedule(node, self.report)?),
        };
        let condition = map.get("where").and_then(|node| self.condition(node));
        let backfill = map.get("backfill").and_then(|node| reader::boolean(node, self.report)).unwrap_or(false);
        Some(Entrance { enter, condition, backfill })
    }

    /// The one of these keys that is there.
    pub(super) fn only_one<'n>(&mut self, map: &Map<'n>, keys: &[&str]) -> Option<(&'n Key, &'n Node)> {
        let found: Vec<(&Key, &Node)> = keys.iter().filter_map(|key| map.entry(key)).collect();
        match found.as_slice() {
            [one] => Some(*one),
            [] => {
                self.report.error(map.at, "missing-key", format!("{} needs one of: {}", map.what, keys.join(" ")));
                None
            }
            [_, (second, _), ..] => {
                let message = format!("{} takes one of {}, not several", map.what, keys.join(" "));
                self.report.error(second.span, "bad-value", message);
                None
            }
        }
    }

    /// `10` or `2.5` or `10%`, in hundredths of a percent.
    fn percent(&mut self, node: &Node) -> Option<u32> {
        reader::parsed(node, "a percentage: 0 to 100, at most two decimals", parse_percent, self.report)
    }

    fn goal(&mut self, entry: Entry<'_>) -> Option<Goal> {
        let map = Map::open(entry.1, entry.0.span, "goal", &GOAL, self.report)?;
        let on = self.only_one(&map, &["touchpoint", "event"]);
        let on = on.and_then(|(key, node)| match key.text.as_str() {
            "touchpoint" => self.touchpoint(node).map(Signal::Touchpoint),
            _ => self.event_type(node).map(Signal::Event),
        });
        let within = map.require("within", self.report).and_then(|node| times::some_time(node, self.report));
        Some(Goal { on: on?, within: within? })
    }

    /// A message that goes as a nudge by kf or mass must fit it; a nudge that only staff can send is worth a word.
    fn check_nudges(
        &mut self,
        journey: &Journey,
        messages: &BTreeMap<MessageId, MessageTemplate>,
        entries: &[Entry<'_>],
    ) {
        let Some((key, _)) = entries.iter().find(|(key, _)| key.text == journey.id.as_str()) else { return };
        for step in &journey.steps {
            let StepAction::Nudge { say, via, .. } = &step.action else { continue };
            if via == &[Channel::Staff] {
                let message =
                    format!("step {} of `{}` goes out only when a staff member sends it", step.id, journey.id);
                self.report.warning(key.span, "staff-only", message);
            }
            let has_attachments = messages.get(say).is_some_and(|message| !message.attachments.is_empty());
            if has_attachments && via.contains(&Channel::Staff) {
                let message = format!("a staff card shows the text of `{say}` only, not its attachments");
                self.report.warning(key.span, "attachments-lost", message);
            }
        }
    }
}

fn parse_percent(text: &str) -> Result<u32, times::BadTime> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 2 || whole.len() > 3 {
        return Err(times::BadTime::Form);
    }
    let hundredths = whole.parse::<u32>().ok().zip(format!("{part:0<2}").parse::<u32>().ok());
    let value = hundredths.map(|(whole, part)| whole * 100 + part).ok_or(times::BadTime::Form)?;
    if value > 10_000 { Err(times::BadTime::Form) } else { Ok(value) }
}

fn hash(steps: &Node) -> String {
    let mut hash = Sha256::new();
    steps.digest(&mut hash);
    data_encoding::HEXLOWER.encode(&hash.finalize())
}
