//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in any value.
//!
//! Names come from the process's environment, then from the `.env` file beside `touchpoint.yaml`. A default also stands
//! in for an empty value. `$${` is a plain `${`. Nothing that is put in ever appears in a fault.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostic::{Report, Span};
use super::tree::{Node, Scalar, Value};

/// A file that is put in must not be larger.
const MOST_FILE_BYTES: u64 = 64 * 1024;

/// Where `${…}` looks.
#[derive(Clone, Default)]
pub(crate) struct Variables {
    names: BTreeMap<String, String>,
    folder: PathBuf,
}

impl Variables {
    /// No variables and no folder: every `${…}` without a default is an error.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The process's environment over `folder/.env`; `${file:PATH}` starts from `folder`.
    pub(crate) fn read(folder: &Path, report: &mut Report) -> Self {
        let mut names = BTreeMap::new();
        let path = folder.join(".env");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let file = report.add_file(path.display().to_string(), text.clone());
            let mut start = 0;
            for line in text.split_inclusive('\n') {
                let span = Span { file, start, end: start + line.trim_end().len() };
                start += line.len();
                read_line(line.trim(), span, &mut names, report);
            }
        }
        names.extend(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Self { names, folder: folder.to_owned() }
    }
}

/// `NAME=value`, `export NAME=value`, quotes around the value allowed.
fn read_line(line: &str, span: Span, names: &mut BTreeMap<String, String>, report: &mut Report) {
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    match line.split_once('=') {
        Some((name, value)) if is_name(name.trim_end()) => {
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            let plain = value.split(" #").next().unwrap_or_default().trim_end();
            names.insert(name.trim_end().to_owned(), quoted.unwrap_or(plain).to_owned());
        }
        _ => {
            report.hide(span);
            report.error(span, "bad-env", "a line of .env must be NAME=value");
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Replaces every `${…}` below `node`; `path` is the way to it, for messages.
pub(crate) fn interpolate(node: &mut Node, path: &str, variables: &Variables, report: &mut Report) {
    let span = node.span;
    match &mut node.value {
        Value::Scalar(scalar) if scalar.text.contains("${") => replace(scalar, span, path, variables, report),
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                interpolate(item, &format!("{path}[{}]", position + 1), variables, report);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                interpolate(value, &path, variables, report);
            }
        }
    }
}

fn replace(scalar: &mut Scalar, span: Span, path: &str, variables: &Variables, report: &mut Report) {
    let text = std::mem::take(&mut scalar.text);
    scalar.interpolated = true;
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            scalar.text.push_str(literal);
            scalar.text.push_str("${");
            rest = after;
            continue;
        }
        scalar.text.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            let message = format!("`${{` without `}}` in {path}");
            report.error(span, "bad-interpolation", message).hint("write $${ for a plain ${");
            scalar.unusable = true;
            return;
        };
        match look_up(inside, variables) {
            Ok(value) => scalar.text.push_str(&value),
            Err(missing) => {
                missing.report(span, path, report);
                scalar.unusable = true;
            }
        }
        rest = behind;
    }
    scalar.text.push_str(rest);
}

enum Missing<'a> {
    Name(&'a str),
    NotAName(&'a str),
    File(&'a str, String),
}

impl Missing<'_> {
    fn report(self, span: Span, path: &str, report: &mut Report) {
        match self {
            Self::Name(name) => report
                .error(span, "missing-variable", format!("{path}: the variable {name} is not set"))
                .hint(format!("set it in the environment or in .env, or write ${{{name}:-default}}")),
            Self::NotAName(name) => report
                .error(span, "bad-interpolation", format!("{path}: `{name}` is not a variable's name"))
                .hint("${NAME}, ${NAME:-default} or ${file:PATH}; write $${ for a plain ${"),
            Self::File(file, why) => {
                report.error(span, "missing-file", format!("{path}: the file {file} cannot be read: {why}"));
            }
        }
    }
}

fn look_up<'a>(inside: &'a str, variables: &Variables) -> Result<String, Missing<'a>> {
    if let Some(file) = inside.strip_prefix("file:") {
        let path = variables.folder.join(file);
        let size = std::fs::metadata(&path).map_err(|error| Missing::File(file, error.to_string()))?.len();
        if size > MOST_FILE_BYTES {
            return Err(Missing::File(file, format!("it has {size} bytes, at most {MOST_FILE_BYTES}")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| Missing::File(file, error.to_string()))?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(Missing::NotAName(name));
    }
    match (variables.names.get(name), default) {
        (Some(value), None) => Ok(value.clone()),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Missing::Name(name)),
    }
}
