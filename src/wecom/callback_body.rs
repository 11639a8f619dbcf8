//! The text of a callback as a tree of elements, from XML or JSON.
//!
//! It knows no event. Document types and entities of their own are refused, and size and depth are bounded, so that no
//! text costs more than a few times its own length. Attributes, comments and processing instructions mean nothing here.

use std::borrow::Cow;

use quick_xml::events::Event as Xml;
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use super::callback::Unreadable;

/// The deepest that WeCom goes is 6 (the approvers of an approval).
const DEEPEST: usize = 16;
/// A customer group has at most 2000 members, and an event names each once.
const MOST_ELEMENTS: usize = 20_000;

/// One element: its text and what it holds.
#[derive(Debug, PartialEq)]
pub(super) struct Element<'b> {
    name: Cow<'b, str>,
    text: Cow<'b, str>,
    children: Vec<Self>,
    /// JSON spells WeCom's names in its own way (`tousername`, `msg_type`); XML only as they are documented.
    exact: bool,
}

/// Reads a callback by its first character: XML or JSON.
pub(super) fn read(body: &[u8]) -> Result<Element<'_>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|error| Unreadable(error.to_string()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.bytes().next() {
        Some(b'<') => from_xml(text),
        Some(b'{') => from_json(text),
        Some(_) => Err(refused("it is neither XML nor JSON")),
        None => Err(refused("it is empty")),
    }
}

fn refused(why: &str) -> Unreadable {
    Unreadable(why.to_owned())
}

impl<'b> Element<'b> {
    fn new(name: Cow<'b, str>, exact: bool) -> Self {
        Self { name, text: Cow::Borrowed(""), children: Vec::new(), exact }
    }

    fn is_called(&self, name: &str) -> bool {
        if self.exact {
            return self.name == name;
        }
        let letters =
            |text: &str| text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect::<String>();
        letters(&self.name) == letters(name)
    }

    /// Every element of that name directly inside this one.
    pub(super) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.is_called(name))
    }

    /// The first element of that name directly inside this one.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is_called(name))
    }

    /// The element's own text without the space around it; absent, empty and empty CDATA alike are none.
    pub(super) fn own_text(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// The text of the element of that name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.child(name)?.own_text()
    }

    /// The whole number in the element of that name; none also when it is no number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// A list in any of WeCom's three shapes: repeated elements, elements inside a container, or a text with separators.
    pub(super) fn list<'e>(&'e self, name: &'e str) -> Vec<&'e str> {
        let mut items = Vec::new();
        for element in self.all(name) {
            items.extend(element.children.iter().filter_map(Self::own_text));
            // `DirectLeader` is separated by a comma in WeCom's sample and by a bar in what some clients of it expect.
            let parts = element.text.split([',', '|']).map(str::trim);
            items.extend(parts.filter(|part| !part.is_empty()));
        }
        items
    }
}

/// How a field's value is kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// As it stands.
    Text,
    /// A whole number; left out when it is none.
    Number,
    /// A list of texts.
    Texts,
    /// A list of whole numbers.
    Numbers,
}

/// WeCom's name of an element, our name of the field, and how it is kept.
pub(super) type Field = (&'static str, &'static str, Shape);

/// The fields that are there. Every business field is optional.
pub(super) fn collect(from: &Element<'_>, fields: &[Field]) -> Map<String, Value> {
    let mut data = Map::new();
    for (theirs, ours, shape) in fields {
        let value = match shape {
            Shape::Text => from.text(theirs).map(Value::from),
            Shape::Number => from.number(theirs).map(Value::from),
            Shape::Texts => Some(from.list(theirs)).filter(|list| !list.is_empty()).map(Value::from),
            Shape::Numbers => {
                let numbers: Vec<i64> = from.list(theirs).iter().filter_map(|text| text.parse().ok()).collect();
                Some(numbers).filter(|list| !list.is_empty()).map(Value::from)
            }
        };
        if let Some(value) = value {
            data.insert((*ours).to_owned(), value);
        }
    }
    data
}

fn from_xml(text: &str) -> Result<Element<'_>, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element<'_>> = Vec::new();
    let mut root = None;
    let mut count = 0;
    loop {
        let start = reader.buffer_position();
        let event = reader.read_event().map_err(|error| Unreadable(error.to_string()))?;
        match event {
            Xml::Start(tag) => {
                bound(&mut count, open.len())?;
                open.push(Element::new(name_at(text, start, tag.name().into_inner()), true));
            }
            Xml::Empty(tag) => {
                bound(&mut count, open.len())?;
                let element = Element::new(name_at(text, start, tag.name().into_inner()), true);
                close(element, &mut open, &mut root)?;
            }
            Xml::End(_) => {
                let element = open.pop().ok_or_else(|| refused("it closes an element that is not open"))?;
                close(element, &mut open, &mut root)?;
            }
            Xml::Text(part) => {
                let part = part.xml_content(XmlVersion::Implicit1_0);
                // Line breaks and indentation between elements are no text; space between words is.
                let begun = open.last().is_some_and(|element| !element.text.is_empty());
                if begun || !part.trim().is_empty() {
                    append(open.last_mut(), part)?;
                }
            }
            Xml::CData(part) => append(open.last_mut(), part.xml_content(XmlVersion::Implicit1_0))?,
            Xml::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().map_err(|error| Unreadable(error.to_string()))? {
                    Some(character) => character,
                    None => predefined(&reference)?,
                };
                append(open.last_mut(), Cow::Owned(character.to_string()))?;
            }
            Xml::DocType(_) => return Err(refused("it has a document type")),
            Xml::Comment(_) | Xml::Decl(_) | Xml::PI(_) => {}
            Xml::Eof => break,
        }
    }
    if !open.is_empty() {
        return Err(refused("an element is not closed"));
    }
    root.ok_or_else(|| refused("it holds no element"))
}

fn bound(count: &mut usize, depth: usize) -> Result<(), Unreadable> {
    *count += 1;
    if *count > MOST_ELEMENTS {
        return Err(refused("it holds too many elements"));
    }
    if depth >= DEEPEST { Err(refused("it is nested too deeply")) } else { Ok(()) }
}

/// The name as it stands in the text, so that nothing is allocated for it.
fn name_at<'b>(text: &'b str, start: u64, name: &str) -> Cow<'b, str> {
    let start = usize::try_from(start).unwrap_or(usize::MAX).saturating_add(1);
    match text.get(start..start.saturating_add(name.len())) {
        Some(found) if found == name => Cow::Borrowed(found),
        _ => Cow::Owned(name.to_owned()),
    }
}

fn close<'b>(element: Element<'b>, open: &mut [Element<'b>], root: &mut Option<Element<'b>>) -> Result<(), Unreadable> {
    if let Some(parent) = open.last_mut() {
        parent.children.push(element);
    } else if root.replace(element).is_some() {
        return Err(refused("it holds more than one element"));
    }
    Ok(())
}

fn append<'b>(to: Option<&mut Element<'b>>, part: Cow<'b, str>) -> Result<(), Unreadable> {
    let element = to.ok_or_else(|| refused("text stands outside of its elements"))?;
    if element.text.is_empty() {
        element.text = part;
    } else {
        element.text.to_mut().push_str(&part);
    }
    Ok(())
}

fn predefined(name: &str) -> Result<char, Unreadable> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(refused("it uses an entity of its own")),
    }
}

fn from_json(text: &str) -> Result<Element<'_>, Unreadable> {
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
    let mut root = Element::new(Cow::Borrowed("xml"), false);
    let mut count = 0;
    for (name, value) in fields {
        graft(&mut root, name, value, &mut count, 1)?;
    }
    Ok(root)
}

/// A list becomes repeated elements, an object one with children.
fn graft(
    parent: &mut Element<'_>,
    name: String,
    value: Value,
    count: &mut usize,
    depth: usize,
) -> Result<(), Unreadable> {
    bound(count, depth)?;
    let mut element = Element::new(Cow::Owned(name.clone()), false);
    match value {
        Value::Array(items) => {
            for item in items {
                graft(parent, name.clone(), item, count, depth + 1)?;
            }
            return Ok(());
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                graft(&mut element, name, value, count, depth + 1)?;
            }
        }
        Value::String(text) => element.text = Cow::Owned(text),
        Value::Number(number) => element.text = Cow::Owned(number.to_string()),
        Value::Bool(value) => element.text = Cow::Borrowed(if value { "true" } else { "false" }),
        Value::Null => return Ok(()),
    }
    parent.children.push(element);
    Ok(())
}

#[cfg(test)]
#[path = "callback_body_tests.rs"]
mod tests;
