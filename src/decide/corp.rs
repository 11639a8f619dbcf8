//! The company's record: the ids of its tags, and what an operator should look at.
//!
//! Side collection `tags`: `group/name` to WeCom's tag id, kept until WeCom says that it may have changed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::builder::Draft;
use super::{Decision, Head, ImpossibleRecord, Record, SideNeed};
use crate::domain::At;
use crate::domain::corp::Corp;
use crate::domain::effect::{Call, Lane, WantedTag};
use crate::domain::event::{Event, types};
use crate::domain::ids::TagName;
use crate::playbook::model::{Playbook, StepAction};

const TAGS: &str = "tags";

/// Tags wait out a long trouble of WeCom's: everything that is tagged waits for them.
const VALID: TimeDelta = TimeDelta::days(1);

/// The most alerts kept; the oldest give way.
const MOST_ALERTS: usize = 100;

/// What [`decide`] looks up for an event.
pub(super) fn needs(event: &Event) -> Vec<SideNeed> {
    match event.kind.as_str() {
        types::TAG_CHANGED | types::TAG_DELETED => vec![SideNeed { collection: TAGS, field: None }],
        _ => Vec::new(),
    }
}

/// Decides what an event changes for the company.
///
/// # Errors
/// When the record is not the company's, or the event is a callback that cannot be read: it is to be set aside.
pub(super) fn decide(
    playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let impossible = |what: &str| ImpossibleRecord { actor: event.actor.clone(), what: what.to_owned() };
    let Head::Corp(head) = record.head else { return Err(impossible("it is not the company's record")) };
    let mut draft = Draft::new(head, event, now);
    draft.count(format!("event:{}", event.kind), 1);
    match event.kind.as_str() {
        types::PLAYBOOK_CHANGED => playbook_changed(&mut draft, playbook),
        types::TAGS_MISSING => tags_missing(&mut draft, playbook),
        types::TAG_CREATED | types::TAG_CHANGED | types::TAG_DELETED => {
            let known = record.sides.get(TAGS).cloned().unwrap_or_default();
            forget(&mut draft, &known);
            note(&mut draft);
        }
        types::EFFECT_DONE => done(&mut draft),
        types::EFFECT_FAILED | types::EFFECT_DROPPED => failed(&mut draft),
        types::APP_INACTIVE => app_inactive(&mut draft),
        types::ACQUISITION_ALERT => acquisition(&mut draft),
        types::CALLBACK_UNKNOWN => unknown(&mut draft),
        types::CALLBACK_UNREADABLE => {
            return Err(impossible(event.text("error").unwrap_or("a callback that cannot be read")));
        }
        types::TIMER_FIRED | types::SCHEDULE_DUE | types::EFFECT_HELD => {}
        _ => note(&mut draft),
    }
    Ok(draft.finish())
}

/// Every tag that the rules name is looked up or made, so that the first customer need not wait for it.
fn playbook_changed(draft: &mut Draft<'_, Corp>, playbook: &Playbook) {
    let Some(revision) = draft.event.text("revision").map(str::to_owned) else { return };
    if draft.head.revision.as_ref() == Some(&revision) {
        draft.trace("the tags of this revision were ensured before");
        return;
    }
    draft.head.revision = Some(revision);
    note(draft);
    ensure(draft, playbook, named(playbook));
}

fn named(playbook: &Playbook) -> BTreeSet<TagName> {
    let touchpoints = playbook.touchpoints.iter().flat_map(|touchpoint| &touchpoint.tags);
    let segments = playbook.segments.iter().flat_map(|segment| &segment.tags);
    let steps = playbook.journeys.iter().flat_map(|journey| &journey.steps);
    let steps = steps.filter_map(|step| match &step.action {
        StepAction::Tag { add, remove } => Some(add.iter().chain(remove)),
        _ => None,
    });
    touchpoints.chain(segments).chain(steps.flatten()).cloned().collect()
}

fn ensure(draft: &mut Draft<'_, Corp>, playbook: &Playbook, tags: BTreeSet<TagName>) {
    if tags.is_empty() {
        return;
    }
    let order = |tag: &TagName| playbook.tag_groups.get(tag.group()).copied().unwrap_or(0);
    let tags = tags.into_iter().map(|tag| WantedTag { group_order: order(&tag), tag }).collect();
    // One after another: two that look for the same tag at once would both make it.
    let serial = Some("ensure_tags".to_owned());
    let (now, valid_until) = (draft.now, draft.now + VALID);
    draft.effect("ensure_tags", Call::EnsureTags { tags }, Lane::Normal, now, valid_until, serial);
}

/// A tag effect met names that nobody knows an id for; with `refresh`, WeCom did not know the id any more.
fn tags_missing(draft: &mut Draft<'_, Corp>, playbook: &Playbook) {
    let names = draft.event.data.get("tags").and_then(Value::as_array);
    let names = names.map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str);
    let tags: BTreeSet<TagName> = names.filter_map(|name| TagName::parse(name).ok()).collect();
    if draft.event.data.get("refresh").and_then(Value::as_bool) == Some(true) {
        for tag in &tags {
            draft.side(TAGS, tag.as_str(), None);
        }
    }
    ensure(draft, playbook, tags);
}

/// Tags were changed by a person: ids that may not be right any more are forgotten and looked up at their next use.
///
/// A callback names an id, never a name, and for a group not which tags are in it (WeCom document 92130); when it cannot
/// be told which names are concerned, all are forgotten.
fn forget(draft: &mut Draft<'_, Corp>, known: &BTreeMap<String, Value>) {
    let order_only = draft.event.text("change") == Some("shuffle");
    if draft.event.kind == types::TAG_CREATED || order_only {
        return;
    }
    let one = draft.event.text("id").filter(|_| draft.event.text("tag_type") == Some("tag")).map(str::to_owned);
    for (name, id) in known {
        if one.is_none() || id.as_str() == one.as_deref() {
            draft.side(TAGS, name.as_str(), None);
        }
    }
}

fn done(draft: &mut Draft<'_, Corp>) {
    let call = draft.event.text("call").unwrap_or_default().to_owned();
    draft.head.alerts.remove(&failure_of(&call));
    let tags = draft.event.data.get("answer").and_then(|answer| answer.get("tags")).and_then(Value::as_object);
    for (name, id) in tags.cloned().unwrap_or_default() {
        if let (Ok(name), Some(id)) = (TagName::parse(name), id.as_str()) {
            draft.side(TAGS, name.as_str(), Some(json!(id)));
        }
    }
}

fn failed(draft: &mut Draft<'_, Corp>) {
    let call = draft.event.text("call").unwrap_or_default().to_owned();
    if call == "ensure_tags" {
        // The next start or reload tries again.
        draft.head.revision = None;
    }
    alert(draft, failure_of(&call));
}

fn failure_of(call: &str) -> String {
    format!("effect.failed:{call}")
}

fn app_inactive(draft: &mut Draft<'_, Corp>) {
    let key = format!("app.inactive:{}", draft.event.text("app").unwrap_or_default());
    if matches!(draft.event.text("change"), Some("reopen_inactive_agent" | "active_restored")) {
        draft.head.alerts.remove(&key);
        note(draft);
    } else {
        alert(draft, key);
    }
}

fn acquisition(draft: &mut Draft<'_, Corp>) {
    let change = draft.event.text("change").unwrap_or_default().to_owned();
    if change == "balance_increased" {
        draft.head.alerts.remove("acquisition.alert:balance_low");
        draft.head.alerts.remove("acquisition.alert:balance_exhausted");
        note(draft);
        return;
    }
    let link = draft.event.text("link_id").map(|link| format!(":{link}")).unwrap_or_default();
    alert(draft, format!("acquisition.alert:{change}{link}"));
}

/// Raises an alert, or leaves it with the moment it was first raised.
fn alert(draft: &mut Draft<'_, Corp>, key: String) {
    let now = draft.now;
    draft.head.alerts.entry(key).or_insert(now);
    while draft.head.alerts.len() > MOST_ALERTS {
        let oldest = draft.head.alerts.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
        oldest.and_then(|key| draft.head.alerts.remove(&key));
    }
    draft.count("alert", 1);
    note(draft);
}

fn unknown(draft: &mut Draft<'_, Corp>) {
    let name = |field| draft.event.text(field).unwrap_or("-");
    let key = format!("callback.unknown:{}/{}", name("event"), name("change"));
    draft.count(key, 1);
    note(draft);
}

/// A line in the company's timeline; the body of an unknown callback stays out of it, there may be people in it.
fn note(draft: &mut Draft<'_, Corp>) {
    let kept = draft.event.data.iter().filter(|(field, _)| field.as_str() != "raw");
    let data: Map<String, Value> = kept.map(|(field, value)| (field.clone(), value.clone())).collect();
    draft.line(draft.event.at, draft.event.kind.clone(), data);
}

#[cfg(test)]
#[path = "corp_tests.rs"]
mod tests;
