//! YAML as a tree that knows where everything stands.
//!
//! YAML 1.2, core schema: `on`, `yes` and `no` are words. One document per file. Aliases are copied within a budget;
//! a key that stands twice in one mapping is an error that names both places. Merge keys (`<<`) are no part of 1.2.

use granit_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};
use sha2::{Digest, Sha256};

use super::diagnostic::{FileId, Report, Span};

/// A file larger than this is no playbook.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Nodes in one file, aliases counted as often as they are used.
const MOST_NODES: usize = 200_000;
/// Collections inside collections.
const DEEPEST: usize = 40;

/// One value of a file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A text, number, truth value or null, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Only a plain scalar can be a number, a truth value or null.
    pub(crate) plain: bool,
    /// Some of the text came from a `${…}`; messages do not repeat it.
    pub(crate) interpolated: bool,
    /// A `${…}` had nothing to put in; that was reported, and nothing more needs to be said of this value.
    pub(crate) unusable: bool,
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.plain && !self.unusable && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let is_decimal = self.plain && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_decimal.then(|| self.text.parse().ok()).flatten()
    }

    pub(crate) fn as_number(&self) -> Option<f64> {
        let looks = self.text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let has_digit = self.text.bytes().any(|byte| byte.is_ascii_digit());
        (self.plain && looks && has_digit).then(|| self.text.parse().ok()).flatten()
    }
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(scalar) if scalar.as_bool().is_some() => "true or false",
            Value::Scalar(scalar) if scalar.as_number().is_some() => "a number",
            Value::Scalar(_) => "a text",
        }
    }

    /// The place of `length` bytes that begin `offset` bytes into this scalar's text; all of it when escapes, folding or
    /// `${…}` make that impossible to tell.
    pub(crate) fn within(&self, report: &Report, offset: usize, length: usize) -> Span {
        let Value::Scalar(scalar) = &self.value else { return self.span };
        if scalar.interpolated {
            return self.span;
        }
        let written = report.slice(self.span);
        if let Some(from @ (0 | 1)) = written.find(scalar.text.as_str()) {
            return self.span.part(from + offset, length);
        }
        // Folded or escaped: the words themselves still stand there, and if only once, that is the place.
        let words = scalar.text.get(offset..offset + length).unwrap_or_default();
        let mut places = written.match_indices(words);
        match (places.next(), places.next()) {
            (Some((from, _)), None) if !words.is_empty() => self.span.part(from, length),
            _ => self.span,
        }
    }

    /// Feeds what it says, not how it is written, into a hash.
    pub(crate) fn digest(&self, hash: &mut Sha256) {
        match &self.value {
            Value::Scalar(scalar) => {
                hash.update([b's']);
                hash.update((scalar.text.len() as u64).to_be_bytes());
                hash.update(&scalar.text);
            }
            Value::List(items) => {
                hash.update([b'[']);
                items.iter().for_each(|item| item.digest(hash));
                hash.update([b']']);
            }
            Value::Map(entries) => {
                hash.update([b'{']);
                for (key, value) in entries {
                    hash.update(&key.text);
                    hash.update([b':']);
                    value.digest(hash);
                }
                hash.update([b'}']);
            }
        }
    }
}

/// What a file says.
pub(crate) struct Tree {
    pub(crate) root: Node,
    /// Values of keys that stand twice; nobody reads them, but they may be secrets.
    pub(crate) dropped: Vec<Node>,
}

/// Parses a file. Faults go to the report; none means that nothing of the file can be used, or that it is empty.
pub(crate) fn parse(file: FileId, report: &mut Report) -> Option<Tree> {
    let text = report.text(file).to_owned();
    if text.len() > MOST_BYTES {
        report.file_error(file, "too-large", format!("the file has {} bytes, at most {MOST_BYTES}", text.len()));
        return None;
    }
    let mut options = granit_parser::options! { strict_indentation: false };
    options.set_emit_comments(false);
    let mut builder =
        Builder { file, open: Vec::new(), anchors: Vec::new(), nodes: 0, root: None, dropped: Vec::new() };
    let shielded = shield(&text);
    for event in Parser::new_from_str_with_options(&shielded, options) {
        let done = match event {
            Ok((event, span)) => builder.take(event, span, report),
            Err(error) => {
                let start = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                report.error(Span { file, start, end: start }, "yaml-syntax", error.info());
                Err(Stop)
            }
        };
        if done.is_err() {
            return None;
        }
    }
    let dropped = builder.dropped;
    if builder.root.is_none() && !is_blank(&text) {
        report.file_error(file, "no-content", "the file holds marks of a document and nothing else".to_owned());
    }
    builder.root.map(|root| Tree { root, dropped })
}

/// Whether a text is empty but for comments, as a file that was put by is.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// Writes `${NAME}` as `$<NAME>`, since braces end a plain scalar inside `{ … }`; nothing moves.
///
/// A text that uses `$<` itself is left alone: it must quote its variables inside braces.
fn shield(text: &str) -> String {
    if text.contains("$<") {
        return text.to_owned();
    }
    let mut shielded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        shielded.push_str(before);
        match after.split_once('}') {
            Some((inside, behind)) if !inside.contains(['<', '>', '\n']) => {
                shielded.extend(["$<", inside, ">"]);
                rest = behind;
            }
            _ => {
                shielded.push_str("${");
                rest = after;
            }
        }
    }
    shielded.push_str(rest);
    shielded
}

fn unshield(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$<") {
        plain.push_str(before);
        match after.split_once('>') {
            Some((inside, behind)) => {
                plain.extend(["${", inside, "}"]);
                rest = behind;
            }
            None => {
                plain.push_str("$<");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The rest of the file cannot be read; the reason is in the report.
struct Stop;

/// A collection that is being read.
struct Open {
    anchor: usize,
    start: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// Entries, and the key whose value comes next.
    Map(Vec<(Key, Node)>, Option<Key>),
}

struct Builder {
    file: FileId,
    open: Vec<Open>,
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    root: Option<Node>,
    dropped: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: YamlSpan, report: &mut Report) -> Result<(), Stop> {
        let range = span.byte_range().unwrap_or(0..0);
        let span = Span { file: self.file, start: range.start, end: range.end };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    let message = "a word that begins with ! is a YAML tag, and tags are not used here";
                    report.error(span, "yaml-tag", message).hint("quote a condition that begins with !");
                }
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: unshield(&text), plain, interpolated: false, unusable: false };
                self.put(Node { span, value: Value::Scalar(scalar) }, anchor, 1, report)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, span, Content::List(Vec::new()), report),
            Event::MappingStart(_, anchor, _) => self.begin(anchor, span, Content::Map(Vec::new(), None), report),
            Event::SequenceEnd | Event::MappingEnd => self.end(span, report),
            Event::Alias(anchor) => self.alias(anchor, span, report),
            Event::DocumentStart(..) if self.root.is_some() => {
                report.error(span, "yaml-documents", "a second document begins here; one document per file");
                Err(Stop)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, span: Span, content: Content, report: &mut Report) -> Result<(), Stop> {
        if self.open.len() >= DEEPEST {
            report.error(span, "yaml-budget", format!("nested more than {DEEPEST} levels deep"));
            return Err(Stop);
        }
        self.open.push(Open { anchor, start: span.start, content });
        Ok(())
    }

    fn end(&mut self, span: Span, report: &mut Report) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = Span { file: self.file, start: open.start, end: span.end.max(open.start) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map(entries, _) => Value::Map(entries),
        };
        self.put(Node { span, value }, open.anchor, 1, report)
    }

    fn alias(&mut self, anchor: usize, span: Span, report: &mut Report) -> Result<(), Stop> {
        let Some((_, node, size)) = self.anchors.iter().rev().find(|(id, ..)| *id == anchor) else {
            report.error(span, "yaml-alias", "the alias stands inside what it names");
            return Err(Stop);
        };
        let (node, size) = (node.clone(), *size);
        self.put(node, 0, size, report)
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node, anchor: usize, size: usize, report: &mut Report) -> Result<(), Stop> {
        self.nodes += size;
        if self.nodes > MOST_NODES {
            report.error(node.span, "yaml-budget", format!("more than {MOST_NODES} values, aliases counted"));
            return Err(Stop);
        }
        if anchor > 0 {
            let size = count(&node);
            self.anchors.push((anchor, node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { content: Content::List(items), .. }) => items.push(node),
            Some(Open { content: Content::Map(entries, key), .. }) => match key.take() {
                Some(key) => self.dropped.extend(put_entry(entries, key, node, report)),
                None => *key = Some(as_key(node, report)),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node, report: &mut Report) -> Key {
    match node.value {
        Value::Scalar(scalar) => Key { text: scalar.text, span: node.span },
        Value::List(_) | Value::Map(_) => {
            report.error(node.span, "wrong-type", "a key must be a word").hint("quote a text that holds { or [");
            Key { text: String::new(), span: node.span }
        }
    }
}

/// Gives the value back when its key stands in the mapping already.
fn put_entry(entries: &mut Vec<(Key, Node)>, key: Key, node: Node, report: &mut Report) -> Option<Node> {
    if let Some((earlier, _)) = entries.iter().find(|(earlier, _)| earlier.text == key.text) {
        let first = report.exact_place(earlier.span);
        report.error(key.span, "duplicate-key", format!("`{}` stands here and at {first}", key.text));
        return Some(node);
    }
    entries.push((key, node));
    None
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
    }
}
