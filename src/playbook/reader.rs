//! Reading a tree into values: every getter notes its fault and goes on, so that one run tells all.

use super::diagnostic::{Fault, Report, Span};
use super::tree::{Key, Node, Scalar, Value};

/// The keys of one mapping.
pub(crate) struct Keys {
    /// Keys that mean something now.
    pub(crate) known: &'static [&'static str],
    /// Keys of the contract that a later version will read.
    pub(crate) later: &'static [&'static str],
}

impl Keys {
    pub(crate) const fn known(known: &'static [&'static str]) -> Self {
        Self { known, later: &[] }
    }
}

/// A mapping whose keys have been checked.
pub(crate) struct Map<'t> {
    /// What it is called: the key it stands under, or its own beginning.
    pub(crate) at: Span,
    /// What it is, for messages: `touchpoint visit`.
    pub(crate) what: String,
    entries: &'t [(Key, Node)],
}

impl<'t> Map<'t> {
    /// Checks that `node` is a mapping with these keys only. Nothing (`key:` and no value) is an empty mapping.
    pub(crate) fn open(
        node: &'t Node,
        at: Span,
        what: impl Into<String>,
        keys: &Keys,
        report: &mut Report,
    ) -> Option<Self> {
        let what = what.into();
        let entries = entries(node, &what, report)?;
        for (key, value) in entries {
            check_key(key, value, &what, keys, report);
        }
        Some(Self { at, what, entries })
    }

    /// The value under a key; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// The key and its value; null counts as absent.
    pub(crate) fn entry(&self, key: &str) -> Option<(&'t Key, &'t Node)> {
        let entry = self.entries.iter().find(|(name, node)| name.text == key && !node.is_null());
        entry.map(|(name, node)| (name, node))
    }

    /// The value under a key that must be there.
    pub(crate) fn require(&self, key: &str, report: &mut Report) -> Option<&'t Node> {
        let node = self.get(key);
        if node.is_none() {
            report.error(self.at, "missing-key", format!("{} needs `{key}`", self.what));
        }
        node
    }

    /// A text, if the key is there.
    pub(crate) fn text(&self, key: &str, report: &mut Report) -> Option<&'t str> {
        self.get(key).and_then(|node| text(node, report))
    }

    /// The entries as they stand in the file.
    pub(crate) fn entries(&self) -> &'t [(Key, Node)] {
        self.entries
    }
}

/// The entries of a mapping whose keys are names of the writer's own.
pub(crate) fn entries<'t>(node: &'t Node, what: &str, report: &mut Report) -> Option<&'t [(Key, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        _ if node.is_null() => Some(&[]),
        _ => {
            wrong_type(node, &format!("{what} must be a mapping"), report);
            None
        }
    }
}

/// Notes an unknown key, or one of a later version.
pub(crate) fn check_key(key: &Key, value: &Node, what: &str, keys: &Keys, report: &mut Report) {
    let name = key.text.as_str();
    if keys.later.contains(&name) {
        report
            .error(key.span, "not-supported-yet", format!("`{name}` in {what} is not supported yet"))
            .hint("take it out; this version would ignore it");
    } else if !keys.known.contains(&name) {
        let fault = report.error(key.span, "unknown-key", format!("`{name}` is no key of {what}"));
        fault.nearest(name, keys.known.iter().copied());
        if fault.hint.is_none() && value.is_null() && !name.is_ascii() {
            fault.hint("inside { } a comma ends a value: quote a text that holds one");
        } else if fault.hint.is_none() {
            fault.hint(format!("known keys: {}", keys.known.join(" ")));
        }
    }
}

/// Notes that something else stands where a value of one type is wanted.
pub(crate) fn wrong_type<'r>(node: &Node, wanted: &str, report: &'r mut Report) -> &'r mut Fault {
    report.error(node.span, "wrong-type", format!("{wanted}, found {}", node.kind()))
}

/// What a message may repeat of a scalar: what the file says, never what `${…}` put in.
pub(crate) fn shown(node: &Node, scalar: &Scalar, report: &Report) -> String {
    if scalar.interpolated { report.slice(node.span).to_owned() } else { scalar.text.clone() }
}

/// A scalar that is not null.
pub(crate) fn scalar<'t>(node: &'t Node, wanted: &str, report: &mut Report) -> Option<&'t Scalar> {
    match &node.value {
        Value::Scalar(scalar) if scalar.unusable => None,
        Value::Scalar(scalar) if !scalar.is_null() => Some(scalar),
        _ => {
            wrong_type(node, &format!("{wanted} is wanted here"), report);
            None
        }
    }
}

/// A text; a number counts as the text it is written as.
pub(crate) fn text<'t>(node: &'t Node, report: &mut Report) -> Option<&'t str> {
    let scalar = scalar(node, "a text", report)?;
    if scalar.as_bool().is_some() {
        wrong_type(node, "a text is wanted here", report).hint("quote it");
        return None;
    }
    Some(&scalar.text)
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node, report: &mut Report) -> Option<bool> {
    let scalar = scalar(node, "true or false", report)?;
    let value = scalar.as_bool();
    if value.is_none() {
        wrong_type(node, "true or false is wanted here", report);
    }
    value
}

/// A whole number within bounds.
pub(crate) fn integer(node: &Node, least: i64, most: i64, report: &mut Report) -> Option<i64> {
    let scalar = scalar(node, "a whole number", report)?;
    let Some(value) = scalar.as_integer() else {
        wrong_type(node, "a whole number is wanted here", report);
        return None;
    };
    if !(least..=most).contains(&value) {
        let message = format!("{} is out of bounds: {least} to {most}", shown(node, scalar, report));
        report.error(node.span, "bad-value", message);
        return None;
    }
    Some(value)
}

/// One value or a list of them.
pub(crate) fn one_or_many(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ if node.is_null() => &[],
        _ => std::slice::from_ref(node),
    }
}

/// A list.
pub(crate) fn list<'t>(node: &'t Node, what: &str, report: &mut Report) -> Option<&'t [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ if node.is_null() => Some(&[]),
        _ => {
            wrong_type(node, &format!("{what} must be a list"), report);
            None
        }
    }
}

/// Parses a scalar's text; the parser's error becomes a `bad-value` that quotes the file.
pub(crate) fn parsed<T, E>(
    node: &Node,
    rule: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    report: &mut Report,
) -> Option<T> {
    let scalar = scalar(node, rule, report)?;
    match parse(&scalar.text) {
        Ok(value) => Some(value),
        Err(_) => {
            let message = format!("`{}` is not {rule}", shown(node, scalar, report));
            report.error(node.span, "bad-value", message);
            None
        }
    }
}
