//! Which values of `touchpoint.yaml` no excerpt shows.
//!
//! What is shown is listed, not what is hidden, so that the value of a misspelt `secrt:` is hidden as well.

use super::diagnostic::{FileId, Report, Span};
use super::tree::{Node, Tree, Value};

/// Keys whose values may be shown in sections that hold secrets.
const SHOWN: [&str; 13] = [
    "listen",
    "public_url",
    "node",
    "locale",
    "timezone",
    "shards",
    "prefix",
    "wait_replicas",
    "agent_id",
    "serves",
    "api_base",
    "open_base",
    "login_base",
];
/// Sections without secrets.
const OPEN: [&str; 5] = ["console", "sync", "archive", "limits", "clock"];
/// Schemes of `redis.url` that carry no password.
const OPEN_SCHEMES: [&str; 2] = ["embedded:", "unix:"];

/// Hides every scalar that may be a secret.
pub(super) fn hide(tree: &Tree, report: &mut Report) {
    tree.dropped.iter().for_each(|node| hide_below(node, report));
    let Value::Map(entries) = &tree.root.value else { return };
    for (key, node) in entries {
        if !OPEN.contains(&key.text.as_str()) {
            hide_below(node, report);
        }
    }
}

fn hide_below(node: &Node, report: &mut Report) {
    match &node.value {
        Value::Scalar(scalar) => {
            let is_open = OPEN_SCHEMES.iter().any(|scheme| scalar.text.starts_with(scheme));
            if !is_open {
                report.hide(node.span);
            }
        }
        Value::List(items) => items.iter().for_each(|item| hide_below(item, report)),
        Value::Map(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| !SHOWN.contains(&key.text.as_str())) {
                let is_plain_word = matches!(key.text.as_str(), "corp_id" | "timestamp_window");
                if !is_plain_word {
                    hide_below(value, report);
                }
            }
        }
    }
}

/// Hides whatever stands behind a colon: the file could not be read, so nobody knows what it is.
pub(super) fn hide_all_values(file: FileId, report: &mut Report) {
    let text = report.text(file).to_owned();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        let from = line.find(':').map_or(0, |colon| colon + 1);
        report.hide(Span { file, start: (start + from).min(end), end });
        start += line.len();
    }
}
