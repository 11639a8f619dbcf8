//! Compiles what is seen and what is said: tags, touchpoints, segments, messages, the welcome.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{Compiler, Entry};
use super::diagnostic::Span;
use super::model::{AttachmentTemplate, Journey, MessageTemplate, Segment, StepAction, Touchpoint, WelcomeRule};
use super::reader::{self, Keys, Map};
use super::template::Template;
use super::tree::Node;
use crate::domain::delivery::Channel;
use crate::domain::ids::{MessageId, SegmentId, TouchpointId};

const TAG_GROUP: Keys = Keys::known(&["order"]);
const TOUCHPOINT: Keys = Keys::known(&["name", "stage", "on", "where", "tag"]);
const SEGMENT: Keys = Keys::known(&["name", "when", "tag"]);
const MESSAGE: Keys = Keys::known(&["text", "attachments"]);
const ATTACHMENT: Keys = Keys { known: &["link", "image", "miniprogram"], later: &["video", "file"] };
const LINK: Keys = Keys::known(&["title", "desc", "url", "picurl"]);
const IMAGE: Keys = Keys::known(&["pic_url"]);
const MINIPROGRAM: Keys = Keys::known(&["title", "pic_media_id", "appid", "page"]);
const WELCOME: Keys = Keys::known(&["touchpoint", "where", "say"]);

/// WeCom document 92137.
const MOST_ATTACHMENTS: usize = 9;
const MASS_TEXT_BYTES: usize = 4000;
/// WeCom document 94677.
const KF_TEXT_BYTES: usize = 2048;
/// WeCom document 90236: what a card shows of a longer text is up to the client.
const CARD_TEXT_CHARACTERS: usize = 160;

impl Compiler<'_> {
    pub(super) fn tag_groups(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            let (key, _) = entry;
            let Some(map) = self.open(*entry, "tag group", &TAG_GROUP) else { continue };
            if !(1..=30).contains(&key.text.chars().count()) || key.text.contains('/') {
                let message = format!("`{}` is no tag group: 1 to 30 characters without /", key.text);
                self.report.error(key.span, "bad-value", message);
            }
            let order = map.get("order").and_then(|node| reader::integer(node, 0, i64::from(u32::MAX), self.report));
            let order = order.and_then(|order| u32::try_from(order).ok()).unwrap_or(0);
            self.tag_groups.insert(key.text.clone(), order);
        }
    }

    pub(super) fn touchpoints(&mut self, entries: &[Entry<'_>]) -> Vec<Touchpoint> {
        entries.iter().filter_map(|entry| self.one_touchpoint(*entry)).collect()
    }

    fn one_touchpoint(&mut self, entry: Entry<'_>) -> Option<Touchpoint> {
        let (key, _) = entry;
        let id = self.own_id(key, TouchpointId::parse);
        let map = self.open(entry, "touchpoint", &TOUCHPOINT)?;
        let name = self.name(&map, key);
        let stage = map.text("stage", self.report).map(str::to_owned);
        let on = map.require("on", self.report).map_or_else(Vec::new, |node| {
            let nodes = reader::one_or_many(node);
            if nodes.is_empty() {
                self.report.error(node.span, "bad-value", "`on` needs at least one event type");
            }
            nodes.iter().filter_map(|node| self.event_type(node)).collect()
        });
        let condition = map.get("where").and_then(|node| self.condition(node));
        let tags = self.tags(map.get("tag"));
        Some(Touchpoint { id: id?, name, stage, on, condition, tags })
    }

    pub(super) fn segments(&mut self, entries: &[Entry<'_>]) -> Vec<Segment> {
        let segments: Vec<Segment> = entries.iter().filter_map(|entry| self.one_segment(*entry)).collect();
        let asks: BTreeMap<&str, Vec<&str>> = segments
            .iter()
            .map(|segment| (segment.id.as_str(), segment.when.segments().map(SegmentId::as_str).collect()))
            .collect();
        for (key, _) in entries {
            if reaches(&key.text, &key.text, &asks, &mut BTreeSet::new()) {
                let message = format!("the segment `{}` asks about itself, by way of in_segment", key.text);
                self.report.error(key.span, "circle", message);
            }
        }
        segments
    }

    fn one_segment(&mut self, entry: Entry<'_>) -> Option<Segment> {
        let (key, _) = entry;
        let id = self.own_id(key, SegmentId::parse);
        let map = self.open(entry, "segment", &SEGMENT)?;
        let name = self.name(&map, key);
        let when = map.require("when", self.report).and_then(|node| {
            let when = self.condition(node)?;
            if when.reads_event() {
                let message = "a segment that looks at the event changes with every event and at every sweep";
                self.report.warning(node.span, "event-in-segment", message);
            }
            Some(when)
        });
        let tags = self.tags(map.get("tag"));
        Some(Segment { id: id?, name, when: when?, tags })
    }

    pub(super) fn messages(&mut self, entries: &[Entry<'_>]) -> BTreeMap<MessageId, MessageTemplate> {
        entries.iter().filter_map(|entry| self.one_message(*entry)).collect()
    }

    fn one_message(&mut self, entry: Entry<'_>) -> Option<(MessageId, MessageTemplate)> {
        let (key, _) = entry;
        let id = self.own_id(key, MessageId::parse);
        let map = self.open(entry, "message", &MESSAGE)?;
        let text = map.get("text").and_then(|node| self.template(node));
        let nodes = map.get("attachments").map_or(&[][..], reader::one_or_many);
        if map.get("text").is_none() && nodes.is_empty() {
            self.report.error(key.span, "missing-key", format!("message {} needs `text` or `attachments`", key.text));
        }
        if let Some(tenth) = nodes.get(MOST_ATTACHMENTS) {
            let message = format!("WeCom carries at most {MOST_ATTACHMENTS} attachments, this is one more");
            self.report.error(tenth.span, "too-many", message);
        }
        let attachments = nodes.iter().filter_map(|node| self.attachment(node)).collect();
        Some((id?, MessageTemplate { text, attachments }))
    }

    fn attachment(&mut self, node: &Node) -> Option<AttachmentTemplate> {
        let map = Map::open(node, node.span, "an attachment", &ATTACHMENT, self.report)?;
        let [(kind, inner)] = map.entries() else {
            self.report.error(node.span, "bad-value", "an attachment is one of link, image, miniprogram");
            return None;
        };
        match kind.text.as_str() {
            "link" => self.link((kind, inner)),
            "image" => {
                let map = Map::open(inner, kind.span, "image", &IMAGE, self.report)?;
                Some(AttachmentTemplate::Image { pic_url: self.needed_text(&map, "pic_url", 2048)? })
            }
            "miniprogram" => self.miniprogram((kind, inner)),
            _ => None,
        }
    }

    fn link(&mut self, entry: Entry<'_>) -> Option<AttachmentTemplate> {
        let map = Map::open(entry.1, entry.0.span, "link", &LINK, self.report)?;
        let title = self.needed_text(&map, "title", 128);
        let desc = self.bounded_text(&map, "desc", 512);
        let url = self.needed_text(&map, "url", 2048);
        let picurl = self.bounded_text(&map, "picurl", 2048);
        for key in ["url", "picurl"] {
            let Some(node) = map.get(key) else { continue };
            let text = reader::text(node, self.report).unwrap_or_default();
            if !text.starts_with("http://") && !text.starts_with("https://") && !text.starts_with("{{") {
                self.report.error(node.span, "bad-value", format!("`{key}` must begin with http:// or https://"));
            }
        }
        Some(AttachmentTemplate::Link { title: title?, desc, url: url?, picurl })
    }

    fn miniprogram(&mut self, entry: Entry<'_>) -> Option<AttachmentTemplate> {
        let map = Map::open(entry.1, entry.0.span, "miniprogram", &MINIPROGRAM, self.report)?;
        let title = self.needed_text(&map, "title", 64);
        let pic_media_id = map.require("pic_media_id", self.report).and_then(|node| reader::text(node, self.report));
        let appid = map.require("appid", self.report).and_then(|node| reader::text(node, self.report));
        let page = self.needed_text(&map, "page", 2048);
        Some(AttachmentTemplate::Miniprogram {
            title: title?,
            pic_media_id: pic_media_id?.to_owned(),
            appid: appid?.to_owned(),
            page: page?,
        })
    }

    fn needed_text(&mut self, map: &Map<'_>, key: &str, most_bytes: usize) -> Option<Template> {
        map.require(key, self.report)?;
        self.bounded_text(map, key, most_bytes)
    }

    fn bounded_text(&mut self, map: &Map<'_>, key: &str, most_bytes: usize) -> Option<Template> {
        let node = map.get(key)?;
        let template = self.template(node)?;
        if let Some((bytes, _)) = template.longest()
            && bytes > most_bytes
        {
            self.too_long(node.span, &format!("`{key}` can be {bytes} bytes long, WeCom takes at most {most_bytes}"));
        }
        Some(template)
    }

    pub(super) fn too_long(&mut self, span: Span, message: &str) {
        self.report.warning(span, "too-long", message).hint("too long when it is sent is a failed delivery");
    }

    pub(super) fn welcome(&mut self, entry: Entry<'_>) -> Vec<WelcomeRule> {
        let (key, node) = entry;
        let Some(items) = reader::list(node, "welcome", self.report) else { return Vec::new() };
        let mut rules = Vec::new();
        let mut catches_all = false;
        for (position, item) in items.iter().enumerate() {
            let what = format!("welcome rule {}", position + 1);
            let Some(map) = Map::open(item, item.span, what, &WELCOME, self.report) else { continue };
            if catches_all {
                self.report.warning(item.span, "unreachable", "a rule above greets everybody; this one never speaks");
            }
            let touchpoint = map.get("touchpoint").and_then(|node| self.touchpoint(node));
            let condition = map.get("where").and_then(|node| self.condition(node));
            let say = map.require("say", self.report).and_then(|node| self.message(node));
            catches_all |= map.get("touchpoint").is_none() && map.get("where").is_none();
            if let Some(say) = say {
                rules.push(WelcomeRule { touchpoint, condition, say });
            }
        }
        if items.is_empty() {
            self.report.warning(key.span, "nothing-said", "`welcome` has no rules");
        }
        rules
    }

    /// Warns of texts that are longer than a channel they go by carries.
    pub(super) fn check_lengths(
        &mut self,
        entries: &[Entry<'_>],
        messages: &BTreeMap<MessageId, MessageTemplate>,
        journeys: &[Journey],
        welcome: &[WelcomeRule],
    ) {
        let mut ways: BTreeMap<&MessageId, BTreeSet<Channel>> = BTreeMap::new();
        for rule in welcome {
            ways.entry(&rule.say).or_default().insert(Channel::Welcome);
        }
        for step in journeys.iter().flat_map(|journey| &journey.steps) {
            match &step.action {
                StepAction::Nudge { say, via, .. } => ways.entry(say).or_default().extend(via),
                StepAction::Prompt { say: Some(say), .. } => {
                    ways.entry(say).or_default().insert(Channel::Staff);
                }
                _ => {}
            }
        }
        for (key, node) in entries {
            let Ok(id) = MessageId::parse(key.text.as_str()) else { continue };
            let Some(text) = messages.get(&id).and_then(|message| message.text.as_ref()) else { continue };
            let Some((bytes, characters)) = text.longest() else { continue };
            let span = text_span(node, key.span);
            let channels = ways.get(&id).cloned().unwrap_or_default();
            if channels.contains(&Channel::Kf) && bytes > KF_TEXT_BYTES {
                self.too_long(span, &format!("the text can be {bytes} bytes long, kf carries at most {KF_TEXT_BYTES}"));
            } else if bytes > MASS_TEXT_BYTES {
                self.too_long(
                    span,
                    &format!("the text can be {bytes} bytes long, at most {MASS_TEXT_BYTES} are carried"),
                );
            }
            if channels.contains(&Channel::Staff) && characters > CARD_TEXT_CHARACTERS {
                let message =
                    format!("the text has {characters} characters, a card shows about {CARD_TEXT_CHARACTERS}");
                self.report.warning(span, "too-long", message);
            }
            if channels.contains(&Channel::Mass) && text.source().contains("{{") {
                let message = "a text that differs per customer makes a mass-send task for each of them";
                self.report.warning(span, "task-per-customer", message).hint("staff must confirm every task");
            }
        }
    }

    /// Warns of what nothing uses.
    pub(super) fn warn_of_unused(&mut self, segments: &[Entry<'_>], messages: &[Entry<'_>], compiled: &[Segment]) {
        for (key, _) in segments {
            let is_idle = compiled.iter().any(|segment| segment.id.as_str() == key.text && segment.tags.is_empty());
            if is_idle && !self.used_segments.contains(&key.text) {
                let message = format!("nothing uses the segment `{}`: no tag, no journey, no condition", key.text);
                self.report.warning(key.span, "unused", message);
            }
        }
        for (key, _) in messages {
            if !self.used_messages.contains(&key.text) {
                self.report.warning(key.span, "unused", format!("nothing says the message `{}`", key.text));
            }
        }
    }
}

/// Whether `from` asks, at any remove, about `goal`.
fn reaches<'a>(from: &str, goal: &str, asks: &BTreeMap<&'a str, Vec<&'a str>>, seen: &mut BTreeSet<&'a str>) -> bool {
    asks.get(from)
        .is_some_and(|next| next.iter().any(|id| *id == goal || (seen.insert(id) && reaches(id, goal, asks, seen))))
}

/// The place of a message's text.
fn text_span(message: &Node, otherwise: Span) -> Span {
    let super::tree::Value::Map(entries) = &message.value else { return otherwise };
    entries.iter().find(|(key, _)| key.text == "text").map_or(otherwise, |(_, text)| text.span)
}
