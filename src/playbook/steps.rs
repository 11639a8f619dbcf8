//! Compiles a journey's steps into one flat list: arms stand behind their branch, and `next` leads past them.

use std::collections::BTreeMap;

use super::compile::Compiler;
use super::diagnostic::Span;
use super::expression::Condition;
use super::model::{EventValue, PromptTo, Signal, Step, StepAction};
use super::reader::{self, Keys, Map};
use super::times;
use super::tree::{Key, Node, Value};
use crate::domain::delivery::Channel;
use crate::domain::ids::{StepId, TagName, UserId};

const ACTIONS: [&str; 9] = ["wait", "wait_until", "wait_for", "nudge", "prompt", "tag", "event", "branch", "stop"];
const STEP: Keys = Keys {
    known: &["id", "if", "wait", "wait_until", "wait_for", "nudge", "prompt", "tag", "event", "branch", "stop"],
    later: &["ask", "invite", "webhook"],
};
const WAIT_FOR: Keys = Keys::known(&["touchpoint", "event", "done", "within"]);
const NUDGE: Keys = Keys::known(&["say", "via", "hold"]);
const PROMPT: Keys = Keys::known(&["title", "say", "due", "to"]);
const TAG: Keys = Keys::known(&["add", "remove"]);
const EVENT: Keys = Keys::known(&["type", "data"]);
const ARM: Keys = Keys::known(&["if", "steps", "else"]);

/// How long a nudge or prompt is held when the file says nothing.
const HOLD: std::time::Duration = std::time::Duration::from_secs(3 * 86_400);
/// The way of a nudge that names none.
const VIA: [Channel; 3] = [Channel::Kf, Channel::Mass, Channel::Staff];
/// WeCom document 90236: the title of a card with buttons.
const TITLE_CHARACTERS: usize = 36;

/// An arm's condition (none for `else`) and its first step.
type Arm = (Option<Condition>, Option<usize>);

/// A list of steps that has been laid out.
struct Laid {
    first: Option<usize>,
    /// Steps whose `next` is whatever stands behind the list.
    open: Vec<usize>,
}

/// The steps laid out so far, and the ids their writer chose.
#[derive(Default)]
struct Plan {
    steps: Vec<Step>,
    ids: BTreeMap<String, Span>,
}

impl Compiler<'_> {
    /// Compiles `steps:`.
    pub(super) fn steps(&mut self, node: &Node) -> Vec<Step> {
        let mut plan = Plan::default();
        let items = reader::list(node, "steps", self.report).unwrap_or_default();
        if items.is_empty() {
            self.report.warning(node.span, "no-steps", "a journey without steps does nothing");
        }
        self.lay_out(items, "", &mut plan);
        plan.steps
    }

    fn lay_out(&mut self, items: &[Node], prefix: &str, plan: &mut Plan) -> Laid {
        let mut laid = Laid { first: None, open: Vec::new() };
        for (position, item) in items.iter().enumerate() {
            let place = format!("{prefix}{}", position + 1);
            let Some((index, open)) = self.step(item, &place, plan) else { continue };
            laid.first.get_or_insert(index);
            for earlier in laid.open.drain(..) {
                if let Some(step) = plan.steps.get_mut(earlier) {
                    step.next = Some(index);
                }
            }
            laid.open = open;
        }
        laid
    }

    /// Lays out one step; gives its index and the steps that lead to whatever comes behind it.
    fn step(&mut self, node: &Node, place: &str, plan: &mut Plan) -> Option<(usize, Vec<usize>)> {
        let map = Map::open(node, node.span, format!("step {place}"), &STEP, self.report)?;
        let id = self.step_id(&map, place, plan);
        let condition = map.get("if").and_then(|node| self.condition(node));
        let (key, body) = self.action_of(&map)?;
        let index = plan.steps.len();
        let action = match key.text.as_str() {
            "branch" => StepAction::Branch { arms: Vec::new() },
            _ => self.action(key, body)?,
        };
        let stands = self.report.place(node.span);
        plan.steps.push(Step { id: id?, condition, action, next: None, place: stands });
        let mut open = vec![index];
        if key.text == "branch" {
            let (arms, ends) = self.arms(body, place, plan);
            open.extend(ends);
            if let Some(step) = plan.steps.get_mut(index) {
                step.action = StepAction::Branch { arms };
            }
        }
        if key.text == "stop" && condition_is_absent(&map) {
            open.clear();
        }
        Some((index, open))
    }

    fn action_of<'n>(&mut self, map: &Map<'n>) -> Option<(&'n Key, &'n Node)> {
        let named: Vec<&(Key, Node)> =
            map.entries().iter().filter(|(key, _)| ACTIONS.contains(&key.text.as_str())).collect();
        match named.as_slice() {
            [(key, node)] => Some((key, node)),
            [] => {
                let is_later = map.entries().iter().any(|(key, _)| STEP.later.contains(&key.text.as_str()));
                let is_misspelt = map.entries().iter().any(|(key, _)| !STEP.known.contains(&key.text.as_str()));
                if !is_later && !is_misspelt {
                    let message = format!("{} does nothing: it needs one of {}", map.what, ACTIONS.join(" "));
                    self.report.error(map.at, "missing-key", message);
                }
                None
            }
            [(first, _), (second, _), ..] => {
                let message = format!("{} does two things: `{}` and `{}`", map.what, first.text, second.text);
                self.report.error(second.span, "bad-value", message).hint("make it two steps");
                None
            }
        }
    }

    fn step_id(&mut self, map: &Map<'_>, place: &str, plan: &mut Plan) -> Option<StepId> {
        let Some(node) = map.get("id") else { return StepId::parse(place).ok() };
        let text = reader::text(node, self.report)?;
        let mut letters = text.chars();
        let fits = letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        if !fits {
            let message = format!("`{text}` is no id: a lower-case letter, then lower-case letters, digits or _");
            self.report.error(node.span, "bad-id", message);
            return None;
        }
        if let Some(earlier) = plan.ids.insert(text.to_owned(), node.span) {
            let first = self.report.exact_place(earlier);
            let message = format!("the step id `{text}` stands here and at {first}");
            self.report.error(node.span, "duplicate-definition", message);
        }
        StepId::parse(text).ok()
    }

    fn action(&mut self, key: &Key, body: &Node) -> Option<StepAction> {
        let at = key.span;
        match key.text.as_str() {
            "wait" => times::some_time(body, self.report).map(StepAction::Wait),
            "wait_until" => {
                let rule = "a time of day such as 10:00 or Mon 10:00";
                let (day, time) = reader::parsed(body, rule, times::parse_moment, self.report)?;
                Some(StepAction::WaitUntil { day, time })
            }
            "wait_for" => self.wait_for(at, body),
            "nudge" => self.nudge(at, body),
            "prompt" => self.prompt(at, body),
            "tag" => self.tag_step(at, body),
            "event" => self.event_step(at, body),
            _ => {
                let reason = if matches!(&body.value, Value::Scalar(scalar) if scalar.as_bool() == Some(true))
                    || body.is_null()
                {
                    "stopped"
                } else {
                    reader::text(body, self.report)?
                };
                Some(StepAction::Stop { reason: reason.to_owned() })
            }
        }
    }

    fn wait_for(&mut self, at: Span, body: &Node) -> Option<StepAction> {
        let map = Map::open(body, at, "wait_for", &WAIT_FOR, self.report)?;
        let signal = self.only_one(&map, &["touchpoint", "event", "done"]);
        let signal = signal.and_then(|(key, node)| match key.text.as_str() {
            "touchpoint" => self.touchpoint(node).map(Signal::Touchpoint),
            "event" => self.event_type(node).map(Signal::Event),
            _ => {
                let done = reader::boolean(node, self.report)?;
                if !done {
                    self.report.error(node.span, "bad-value", "`done` can only be true");
                }
                Some(Signal::Done)
            }
        });
        let within = map.require("within", self.report).and_then(|node| times::some_time(node, self.report));
        Some(StepAction::WaitFor { signal: signal?, within: within? })
    }

    fn nudge(&mut self, at: Span, body: &Node) -> Option<StepAction> {
        let map = Map::open(body, at, "nudge", &NUDGE, self.report)?;
        let say = map.require("say", self.report).and_then(|node| self.message(node));
        let via = map.get("via").map_or_else(|| VIA.to_vec(), |node| self.channels(node));
        let hold = map.get("hold").and_then(|node| times::duration(node, self.report)).unwrap_or(HOLD);
        Some(StepAction::Nudge { say: say?, via, hold })
    }

    fn channels(&mut self, node: &Node) -> Vec<Channel> {
        let words = ["welcome", "kf", "mass", "staff", "group", "moment"];
        let mut channels = Vec::new();
        for node in reader::one_or_many(node) {
            let Some(word) = self.one_of(node, "channel", &words) else { continue };
            let channel = match word.as_str() {
                "welcome" => Channel::Welcome,
                "kf" => Channel::Kf,
                "mass" => Channel::Mass,
                "staff" => Channel::Staff,
                "group" => Channel::Group,
                _ => Channel::Moment,
            };
            match channel {
                Channel::Kf | Channel::Group | Channel::Moment => {
                    let message = format!("the channel `{word}` is not available in this version");
                    let fault = self.report.warning(node.span, "channel-not-available", message);
                    fault.hint("a nudge goes on to the next channel of its list");
                }
                Channel::Welcome => {
                    let message = "the channel `welcome` is open within 20 s of an adding only, and `welcome:` uses it";
                    self.report.warning(node.span, "channel-not-available", message);
                }
                Channel::Mass | Channel::Staff => {}
            }
            if channels.contains(&channel) {
                self.report.warning(node.span, "repeated", format!("the channel `{word}` is named twice"));
            } else {
                channels.push(channel);
            }
        }
        if channels.is_empty() {
            self.report.error(node.span, "bad-value", "`via` needs at least one channel");
        }
        channels
    }

    fn prompt(&mut self, at: Span, body: &Node) -> Option<StepAction> {
        let map = Map::open(body, at, "prompt", &PROMPT, self.report)?;
        let title = map.require("title", self.report).and_then(|node| {
            let template = self.template(node)?;
            if let Some((_, characters)) = template.longest()
                && characters > TITLE_CHARACTERS
            {
                let message = format!("the title has {characters} characters, a card shows about {TITLE_CHARACTERS}");
                self.report.warning(node.span, "too-long", message);
            }
            Some(template)
        });
        let say = map.get("say").map(|node| self.message(node));
        let due = map.get("due").and_then(|node| times::some_time(node, self.report));
        let to = map.get("to").map_or(Some(PromptTo::Owner), |node| self.prompt_to(node));
        let say = match say {
            Some(named) => Some(named?),
            None => None,
        };
        Some(StepAction::Prompt { title: title?, say, due, to: to?, hold: HOLD })
    }

    fn prompt_to(&mut self, node: &Node) -> Option<PromptTo> {
        match reader::text(node, self.report)? {
            "owner" => Some(PromptTo::Owner),
            "managers" => Some(PromptTo::Managers),
            _ => reader::parsed(node, "owner, managers or a userid", |text| UserId::parse(text), self.report)
                .map(PromptTo::User),
        }
    }

    fn tag_step(&mut self, at: Span, body: &Node) -> Option<StepAction> {
        let map = Map::open(body, at, "tag", &TAG, self.report)?;
        let add: Vec<TagName> = self.tags(map.get("add"));
        let remove = self.tags(map.get("remove"));
        if map.get("add").is_none() && map.get("remove").is_none() {
            self.report.error(at, "missing-key", "tag needs `add` or `remove`");
        }
        if let Some(both) = add.iter().find(|tag| remove.contains(tag)) {
            self.report.error(at, "bad-value", format!("the tag `{both}` is both added and removed"));
        }
        Some(StepAction::Tag { add, remove })
    }

    fn event_step(&mut self, at: Span, body: &Node) -> Option<StepAction> {
        let map = Map::open(body, at, "event", &EVENT, self.report)?;
        let kind = map.require("type", self.report).and_then(|node| {
            let kind = self.event_type(node)?;
            if super::compile::EVENT_TYPES.contains(&kind.as_str()) {
                let message = format!("`{kind}` would be mistaken for a real one; choose a type of your own");
                self.report.error(node.span, "bad-value", message);
            }
            Some(kind)
        });
        let mut data = BTreeMap::new();
        let entries = map.get("data").and_then(|node| reader::entries(node, "data", self.report)).unwrap_or_default();
        for (key, node) in entries {
            if let Some(value) = self.event_value(node) {
                data.insert(key.text.clone(), value);
            }
        }
        Some(StepAction::Event { kind: kind?, data })
    }

    fn event_value(&mut self, node: &Node) -> Option<EventValue> {
        match plain_value(node) {
            serde_json::Value::String(_) => self.template(node).map(EventValue::Text),
            other => Some(EventValue::Plain(other)),
        }
    }

    /// Lays out the arms of a branch; gives where each begins and the steps that lead out of them.
    fn arms(&mut self, node: &Node, place: &str, plan: &mut Plan) -> (Vec<Arm>, Vec<usize>) {
        let (mut arms, mut open) = (Vec::new(), Vec::new());
        let items = reader::list(node, "branch", self.report).unwrap_or_default();
        if items.is_empty() {
            self.report.error(node.span, "bad-value", "a branch needs at least one arm");
        }
        for (position, item) in items.iter().enumerate() {
            let what = format!("arm {} of step {place}", position + 1);
            let Some(map) = Map::open(item, item.span, what, &ARM, self.report) else { continue };
            let is_last = position + 1 == items.len();
            let Some((condition, steps)) = self.arm(&map, is_last) else { continue };
            let steps = reader::list(steps, "steps", self.report).unwrap_or_default();
            let laid = self.lay_out(steps, &format!("{place}.{}.", position + 1), plan);
            arms.push((condition, laid.first));
            open.extend(laid.open);
        }
        (arms, open)
    }

    fn arm<'n>(&mut self, map: &Map<'n>, is_last: bool) -> Option<(Option<Condition>, &'n Node)> {
        if let Some((key, steps)) = map.entry("else") {
            if !is_last {
                self.report.error(key.span, "bad-value", "`else` must be the last arm");
            }
            if map.entries().len() > 1 {
                self.report.error(key.span, "bad-value", "`else` holds the steps and stands alone");
            }
            return Some((None, steps));
        }
        let condition = map.require("if", self.report).and_then(|node| self.condition(node));
        let steps = map.require("steps", self.report);
        Some((Some(condition?), steps?))
    }
}

fn condition_is_absent(map: &Map<'_>) -> bool {
    map.get("if").is_none()
}

/// A value of the file as JSON.
fn plain_value(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::List(items) => serde_json::Value::Array(items.iter().map(plain_value).collect()),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.text.clone(), plain_value(value))).collect(),
        Value::Scalar(scalar) if scalar.is_null() => serde_json::Value::Null,
        Value::Scalar(scalar) => scalar
            .as_bool()
            .map(serde_json::Value::from)
            .or_else(|| scalar.as_integer().map(serde_json::Value::from))
            .or_else(|| scalar.as_number().map(serde_json::Value::from))
            .unwrap_or_else(|| serde_json::Value::String(scalar.text.clone())),
    }
}
