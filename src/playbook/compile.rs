//! From the trees of all files to one [`Playbook`]: sections merged, names resolved, every fault noted.
//!
//! The parts stand in `rules` (touchpoints, segments, messages, welcome), `journeys`, `steps` and `guardrails`.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Report, Span, nearest};
use super::expression::Condition;
use super::load::Context;
use super::model::{Playbook, Schedule};
use super::reader::{self, Keys, Map};
use super::template::{self, Template};
use super::times;
use super::tree::{Key, Node, Scalar};
use super::typing::{self, Names, Problem};
use crate::domain::ids::{MessageId, SegmentId, TagName, TouchpointId};

const SECTIONS: Keys = Keys {
    known: &["playbook", "tags", "touchpoints", "segments", "messages", "welcome", "journeys", "guardrails", "staff"],
    later: &[
        "channels", "rfm", "replies", "faq", "surveys", "referral", "reports", "labour", "sources", "webhooks",
        "robots", "cases",
    ],
};

const HEAD: Keys = Keys::known(&["id", "name", "north_star", "key_product", "sweep"]);

const INDICATORS: [&str; 10] = [
    "rfm_share",
    "return_visit_rate",
    "renewal_rate",
    "satisfaction",
    "referral_rate",
    "daily_active",
    "retention",
    "conversion_rate",
    "conversion_cycle",
    "labour_saved",
];

/// Event types with a meaning of their own; any other `x.y` is a business system's own.
pub(super) const EVENT_TYPES: [&str; 52] = [
    "contact.added",
    "contact.half_added",
    "contact.profile",
    "contact.synced",
    "contact.edited",
    "contact.deleted",
    "contact.lost",
    "contact.transferred",
    "contact.transfer_failed",
    "tag.created",
    "tag.changed",
    "tag.deleted",
    "acquisition.alert",
    "directory.staff_changed",
    "directory.staff_left",
    "app.inactive",
    "customer.opted_out",
    "customer.opted_in",
    "customer.updated",
    "group.joined",
    "group.left",
    "kf.entered",
    "kf.message",
    "kf.send_failed",
    "kf.session",
    "staff.message",
    "staff.card",
    "staff.menu",
    "staff.entered",
    "order.paid",
    "order.refunded",
    "visit.made",
    "renewal.due",
    "renewal.paid",
    "survey.answered",
    "referral.joined",
    "referral.valid",
    "referral.undone",
    "segment.entered",
    "segment.left",
    "touchpoint.met",
    "journey.entered",
    "journey.goal",
    "journey.ended",
    "nudge.sent",
    "nudge.confirmed",
    "nudge.failed",
    "nudge.dropped",
    "prompt.sent",
    "prompt.done",
    "prompt.snoozed",
    "prompt.dismissed",
];

/// An entry of a section and where it stands.
pub(super) type Entry<'t> = (&'t Key, &'t Node);

/// What several parts of the compilation share.
pub(super) struct Compiler<'r> {
    pub(super) report: &'r mut Report,
    pub(super) names: Names,
    pub(super) messages: BTreeSet<String>,
    pub(super) tag_groups: BTreeMap<String, u32>,
    pub(super) used_segments: BTreeSet<String>,
    pub(super) used_messages: BTreeSet<String>,
}

/// The files' sections, merged: what stands under each top-level key.
struct Sections<'t> {
    found: BTreeMap<&'t str, (&'t Key, Vec<Entry<'t>>)>,
    welcome: Option<Entry<'t>>,
}

/// Compiles the files' trees, in the order of the file names; none when anything is wrong.
pub(super) fn compile(trees: &[Node], context: &Context, revision: String, report: &mut Report) -> Option<Playbook> {
    let sections = merge(trees, report);
    let mut compiler = Compiler {
        names: Names { touchpoints: sections.ids("touchpoints"), segments: sections.ids("segments") },
        messages: sections.ids("messages"),
        tag_groups: BTreeMap::new(),
        used_segments: BTreeSet::new(),
        used_messages: BTreeSet::new(),
        report,
    };
    let head = compiler.head(sections.map("playbook"));
    compiler.tag_groups(sections.entries("tags"));
    let touchpoints = compiler.touchpoints(sections.entries("touchpoints"));
    let segments = compiler.segments(sections.entries("segments"));
    let messages = compiler.messages(sections.entries("messages"));
    let welcome = sections.welcome.map_or_else(Vec::new, |entry| compiler.welcome(entry));
    let journeys = compiler.journeys(sections.entries("journeys"), &messages);
    let guardrails = compiler.guardrails(sections.map("guardrails"));
    let staff = compiler.staff(sections.map("staff"), context);
    compiler.check_lengths(sections.entries("messages"), &messages, &journeys, &welcome);
    compiler.warn_of_unused(sections.entries("segments"), sections.entries("messages"), &segments);
    if compiler.report.has_errors() {
        return None;
    }
    Some(Playbook {
        revision,
        id: head.id,
        name: head.name,
        north_star: head.north_star,
        key_product: head.key_product,
        zone: context.zone,
        locale: context.locale,
        sweep: head.sweep?,
        tag_groups: compiler.tag_groups,
        touchpoints,
        segments,
        messages,
        welcome,
        journeys,
        guardrails,
        staff,
    })
}

fn merge<'t>(trees: &'t [Node], report: &mut Report) -> Sections<'t> {
    let mut sections = Sections { found: BTreeMap::new(), welcome: None };
    for tree in trees {
        let Some(entries) = reader::entries(tree, "a playbook file", report) else { continue };
        for (key, node) in entries {
            reader::check_key(key, node, "a playbook", &SECTIONS, report);
            if !SECTIONS.known.contains(&key.text.as_str()) {
                continue;
            }
            if key.text == "welcome" {
                match sections.welcome {
                    Some((earlier, _)) => defined_twice(key, earlier, "", report),
                    None => sections.welcome = Some((key, node)),
                }
                continue;
            }
            let inner = reader::entries(node, &key.text, report).unwrap_or_default();
            let (_, all) = sections.found.entry(key.text.as_str()).or_insert_with(|| (key, Vec::new()));
            for (name, value) in inner {
                match all.iter().find(|(earlier, _)| earlier.text == name.text) {
                    Some((earlier, _)) => defined_twice(name, earlier, &key.text, report),
                    None => all.push((name, value)),
                }
            }
        }
    }
    sections
}

fn defined_twice(key: &Key, earlier: &Key, section: &str, report: &mut Report) {
    let dot = if section.is_empty() { "" } else { "." };
    let first = report.exact_place(earlier.span);
    let message = format!("{section}{dot}{} is defined here and at {first}", key.text);
    report.error(key.span, "duplicate-definition", message);
}

impl<'t> Sections<'t> {
    fn ids(&self, section: &str) -> BTreeSet<String> {
        self.entries(section).iter().map(|(key, _)| key.text.clone()).collect()
    }

    fn entries(&self, section: &str) -> &[Entry<'t>] {
        self.found.get(section).map_or(&[], |(_, entries)| entries)
    }

    /// A section that is one mapping of fixed keys, as if it stood in one file.
    fn map(&self, section: &str) -> Option<(Span, &[Entry<'t>])> {
        self.found.get(section).map(|(key, entries)| (key.span, entries.as_slice()))
    }
}

/// What `playbook:` says.
struct Head {
    id: String,
    name: String,
    north_star: Option<String>,
    key_product: Option<String>,
    sweep: Option<Schedule>,
}

/// Segments are swept at three in the morning unless the file says otherwise.
const SWEEP: &str = "0 0 3 * * *";

impl Compiler<'_> {
    fn head(&mut self, section: Option<(Span, &[Entry<'_>])>) -> Head {
        let map = section.map(|(at, entries)| Fixed::open(at, entries, "playbook", &HEAD, self.report));
        let get = |key: &str| map.as_ref().and_then(|map| map.get(key));
        let id = get("id").and_then(|node| {
            let rule = "an id: a lower-case letter, then lower-case letters, digits or _";
            reader::parsed(node, rule, |text| MessageId::parse(text).map(String::from), self.report)
        });
        let id = id.unwrap_or_else(|| "playbook".to_owned());
        let name =
            get("name").and_then(|node| reader::text(node, self.report)).map_or_else(|| id.clone(), str::to_owned);
        let north_star = get("north_star").and_then(|node| self.one_of(node, "indicator", &INDICATORS));
        let key_product = get("key_product").and_then(|node| reader::text(node, self.report)).map(str::to_owned);
        let sweep = match get("sweep") {
            Some(node) => times::schedule(node, self.report),
            None => times::parse_schedule(SWEEP).ok(),
        };
        Head { id, name, north_star, key_product, sweep }
    }

    /// One of a few words.
    pub(super) fn one_of(&mut self, node: &Node, what: &str, words: &[&str]) -> Option<String> {
        let text = reader::text(node, self.report)?;
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let hint = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of: {}", words.join(" ")),
        };
        self.report.error(node.span, "bad-value", format!("`{text}` is no {what}")).hint(hint);
        None
    }

    /// A condition, checked.
    pub(super) fn condition(&mut self, node: &Node) -> Option<Condition> {
        let scalar = reader::scalar(node, "a condition", self.report)?;
        let (condition, problems) = typing::compile(&scalar.text, &self.names);
        self.problems(node, scalar, problems);
        if let Some(condition) = &condition {
            self.used_segments.extend(condition.segments().map(ToString::to_string));
        }
        condition
    }

    /// A text with variables, checked.
    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let text = reader::text(node, self.report)?;
        let (template, problems) = template::compile(text);
        let scalar = reader::scalar(node, "a text", self.report)?;
        self.problems(node, scalar, problems);
        template
    }

    fn problems(&mut self, node: &Node, scalar: &Scalar, problems: Vec<Problem>) {
        for problem in problems {
            let span = node.within(self.report, problem.offset, problem.length);
            // The message may quote what a `${…}` put in.
            let message = if scalar.interpolated {
                "the value of this ${…} cannot be used".to_owned()
            } else {
                problem.message
            };
            let fault = self.report.note(problem.severity, span, problem.code, message);
            fault.hint = problem.hint.filter(|_| !scalar.interpolated);
        }
    }

    /// A tag, with a warning when its group looks like a misspelling of one under `tags`.
    pub(super) fn tag(&mut self, node: &Node) -> Option<TagName> {
        let tag = reader::parsed(
            node,
            "a tag: group/name, each of 1 to 30 characters",
            |text| TagName::parse(text),
            self.report,
        )?;
        if !self.tag_groups.contains_key(tag.group())
            && let Some(near) = nearest(tag.group(), self.tag_groups.keys().map(String::as_str))
        {
            let message = format!("the tag group `{}` is not under `tags`", tag.group());
            self.report.warning(node.span, "possible-misspelling", message).hint(format!("did you mean `{near}`?"));
        }
        Some(tag)
    }

    /// One tag or several.
    pub(super) fn tags(&mut self, node: Option<&Node>) -> Vec<TagName> {
        let nodes = node.map_or(&[][..], reader::one_or_many);
        nodes.iter().filter_map(|node| self.tag(node)).collect()
    }

    /// An event type, with a warning when it looks like a misspelling.
    pub(super) fn event_type(&mut self, node: &Node) -> Option<String> {
        let text = reader::text(node, self.report)?;
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if text.split('.').count() < 2 || !text.split('.').all(is_word) {
            let message = format!("`{text}` is no event type: words of a-z, 0-9 and _ joined by a point");
            self.report.error(node.span, "bad-value", message).nearest(text, EVENT_TYPES);
            return None;
        }
        if !EVENT_TYPES.contains(&text)
            && let Some(near) = EVENT_TYPES.iter().find(|known| strsim::damerau_levenshtein(text, known) <= 2)
        {
            let message = format!("`{text}` is not one of Touchpoint's own event types");
            self.report.warning(node.span, "possible-misspelling", message).hint(format!("did you mean `{near}`?"));
        }
        Some(text.to_owned())
    }

    /// A touchpoint that is defined.
    pub(super) fn touchpoint(&mut self, node: &Node) -> Option<TouchpointId> {
        let text = reader::text(node, self.report)?;
        if !self.names.touchpoints.contains(text) {
            let fault = self.report.error(node.span, "unknown-reference", format!("there is no touchpoint `{text}`"));
            fault.nearest(text, self.names.touchpoints.iter().map(String::as_str));
            return None;
        }
        TouchpointId::parse(text).ok()
    }

    /// A segment that is defined.
    pub(super) fn segment(&mut self, node: &Node) -> Option<SegmentId> {
        let text = reader::text(node, self.report)?;
        if !self.names.segments.contains(text) {
            let fault = self.report.error(node.span, "unknown-reference", format!("there is no segment `{text}`"));
            fault.nearest(text, self.names.segments.iter().map(String::as_str));
            return None;
        }
        self.used_segments.insert(text.to_owned());
        SegmentId::parse(text).ok()
    }

    /// A message that is defined.
    pub(super) fn message(&mut self, node: &Node) -> Option<MessageId> {
        let text = reader::text(node, self.report)?;
        if text == "referral.share" {
            self.report.error(node.span, "not-supported-yet", "`referral.share` is not supported yet");
            return None;
        }
        if !self.messages.contains(text) {
            let fault = self.report.error(node.span, "unknown-reference", format!("there is no message `{text}`"));
            fault.nearest(text, self.messages.iter().map(String::as_str));
            return None;
        }
        self.used_messages.insert(text.to_owned());
        MessageId::parse(text).ok()
    }

    /// An id that the writer chose.
    pub(super) fn own_id<T, E>(&mut self, key: &Key, parse: impl FnOnce(String) -> Result<T, E>) -> Option<T> {
        let id = parse(key.text.clone()).ok();
        if id.is_none() {
            let message = format!("`{}` is no id: a lower-case letter, then lower-case letters, digits or _", key.text);
            self.report.error(key.span, "bad-id", message);
        }
        id
    }

    /// Opens the mapping of one touchpoint, segment, journey, …
    pub(super) fn open<'n>(&mut self, entry: Entry<'n>, kind: &str, keys: &Keys) -> Option<Map<'n>> {
        let (key, node) = entry;
        Map::open(node, key.span, format!("{kind} {}", key.text), keys, self.report)
    }

    /// The `name:` of a thing, or its id.
    pub(super) fn name(&mut self, map: &Map<'_>, key: &Key) -> String {
        map.text("name", self.report).unwrap_or(&key.text).to_owned()
    }
}

/// A section of fixed keys that may be spread over several files.
pub(super) struct Fixed<'s, 't> {
    pub(super) at: Span,
    entries: &'s [Entry<'t>],
}

impl<'s, 't> Fixed<'s, 't> {
    /// Checks the keys.
    pub(super) fn open(at: Span, entries: &'s [Entry<'t>], what: &str, keys: &Keys, report: &mut Report) -> Self {
        for (key, node) in entries {
            reader::check_key(key, node, what, keys, report);
        }
        Self { at, entries }
    }

    /// The value under a key; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entries.iter().find(|(name, node)| name.text == key && !node.is_null()).map(|(_, node)| *node)
    }
}
