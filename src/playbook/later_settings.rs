//! Settings of later versions: checked, accepted, and said to be without use.

use std::path::Path;

use super::diagnostic::Report;
use super::reader::{self, Keys, Map};
use super::times;
use super::tree::{self, Key, Node, Value};

const SYNC: Keys = Keys::known(&["at"]);
const ARCHIVE: Keys = Keys::known(&["dir", "keep"]);
const RESOURCES: Keys = Keys::known(&["goals", "problems", "dimensions"]);
const DIMENSIONS: Keys = Keys::known(&["users", "products", "stores", "channels", "traffic", "campaigns", "experts"]);
const RESOURCE: Keys = Keys::known(&["name", "note", "strength", "channel", "touchpoint"]);
const EXPERIENCE: Keys = Keys::known(&["stages", "rows", "emotion"]);
const STAGE: Keys = Keys::known(&["id", "name"]);
const ROWS: Keys = Keys::known(&["customer", "staff", "backstage", "system"]);

/// Says that a key is read by nothing yet.
pub(super) fn nothing_uses(key: &Key, report: &mut Report) {
    report.warning(key.span, "nothing-uses", format!("nothing uses `{}` yet", key.text));
}

/// Checks `sync`, `archive` and `limits`.
pub(super) fn check(map: &Map<'_>, report: &mut Report) {
    if let Some((key, node)) = map.entry("sync") {
        if let Some(section) = Map::open(node, key.span, "sync", &SYNC, report) {
            section.get("at").map(|node| times::schedule(node, report));
        }
        nothing_uses(key, report);
    }
    if let Some((key, node)) = map.entry("archive") {
        if let Some(section) = Map::open(node, key.span, "archive", &ARCHIVE, report) {
            section.text("dir", report);
            section.get("keep").map(|node| times::some_time(node, report));
        }
        nothing_uses(key, report);
    }
    if let Some((key, node)) = map.entry("limits") {
        let is_empty = reader::entries(node, "limits", report).is_none_or(<[(Key, Node)]>::is_empty);
        if !is_empty {
            nothing_uses(key, report);
        }
    }
}

/// Checks `canvas/resources.yaml` and `canvas/experience.yaml`, those that are there.
pub(super) fn check_canvases(dir: &Path, report: &mut Report) {
    check_canvas(dir, "resources.yaml", &RESOURCES, check_resources, report);
    check_canvas(dir, "experience.yaml", &EXPERIENCE, check_experience, report);
}

fn check_canvas(dir: &Path, name: &str, keys: &Keys, check: fn(&Map<'_>, &mut Report), report: &mut Report) {
    let path = dir.join("canvas").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let file = report.add_file(path.display().to_string(), text);
    report.file_warning(file, "nothing-uses", "nothing uses this canvas yet");
    let Some(tree) = tree::parse(file, report) else { return };
    if let Some(map) = Map::open(&tree.root, tree.root.span, "the canvas", keys, report) {
        check(&map, report);
    }
}

fn check_resources(map: &Map<'_>, report: &mut Report) {
    for key in ["goals", "problems"] {
        let Some(node) = map.get(key) else { continue };
        let items = reader::list(node, key, report).unwrap_or_default();
        if items.len() != 3 {
            report.error(node.span, "bad-value", format!("`{key}` must be three, found {}", items.len()));
        }
        texts(items, report);
    }
    let Some((key, node)) = map.entry("dimensions") else { return };
    let Some(dimensions) = Map::open(node, key.span, "dimensions", &DIMENSIONS, report) else { return };
    for (key, node) in dimensions.entries() {
        for item in reader::list(node, &key.text, report).unwrap_or_default() {
            let Some(entry) = Map::open(item, item.span, "an entry", &RESOURCE, report) else { continue };
            if let Some(name) = entry.require("name", report) {
                reader::text(name, report);
            }
            for key in ["note", "channel", "touchpoint"] {
                entry.text(key, report);
            }
            entry.get("strength").map(|node| reader::integer(node, 1, 5, report));
        }
    }
}

fn check_experience(map: &Map<'_>, report: &mut Report) {
    let mut stages = Vec::new();
    let listed = map.require("stages", report).and_then(|node| reader::list(node, "stages", report));
    for item in listed.unwrap_or_default() {
        let Some(stage) = Map::open(item, item.span, "a stage", &STAGE, report) else { continue };
        stages.extend(stage.require("id", report).and_then(|node| reader::text(node, report)));
        stage.text("name", report);
    }
    if let Some((key, node)) = map.entry("rows")
        && let Some(rows) = Map::open(node, key.span, "rows", &ROWS, report)
    {
        for (row, node) in rows.entries() {
            for (stage, node) in reader::entries(node, &row.text, report).unwrap_or_default() {
                check_stage(stage, &stages, report);
                texts(reader::one_or_many(node), report);
            }
        }
    }
    let Some(node) = map.get("emotion") else { return };
    for (stage, node) in reader::entries(node, "emotion", report).unwrap_or_default() {
        check_stage(stage, &stages, report);
        let value = reader::scalar(node, "a number", report).and_then(tree::Scalar::as_number);
        if !value.is_some_and(|value| (-2.0..=2.0).contains(&value)) {
            report.error(node.span, "bad-value", "an emotion is a number from -2 to 2");
        }
    }
}

fn check_stage(key: &Key, stages: &[&str], report: &mut Report) {
    if !stages.contains(&key.text.as_str()) {
        let fault = report.error(key.span, "unknown-reference", format!("there is no stage `{}`", key.text));
        fault.nearest(&key.text, stages.iter().copied());
    }
}

fn texts(items: &[Node], report: &mut Report) {
    for item in items {
        if matches!(item.value, Value::Scalar(_)) {
            reader::text(item, report);
        } else {
            reader::wrong_type(item, "a text is wanted here", report);
        }
    }
}
