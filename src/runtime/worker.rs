//! A batch of events decided and committed: records loaded, `decide` called in order, everything written at once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use serde_json::Value;

use crate::decide::guardrails::day_of;
use crate::decide::{self, Decision, Head, Record, SideNeed, TimerChange};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::event::{Event, types};
use crate::playbook::model::Playbook;
use crate::store::commit::{Batch, Change, Committed, Cursor, DeadLetter, Progress};
use crate::store::leases::Fence;
use crate::store::records::{Loaded, Stored};
use crate::store::streams::Entry;
use crate::store::{Error, Store};
use crate::telemetry::discreet;
use crate::traces;

/// The most events in one commit.
pub const BATCH: usize = 128;

/// What one batch left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What the store said.
    pub committed: Committed,
    /// Whether the outbox may have something new.
    pub has_effects: bool,
    /// The earliest timer that was set.
    pub next_timer: Option<At>,
}

/// Decides entries of a lane in their order and commits them at once.
///
/// An event that cannot be read or decided is set aside; the others go on.
///
/// # Errors
/// When Redis did not answer: nothing or everything happened; the cursor tells.
pub async fn decide_entries(
    store: &Store,
    playbook: &Arc<Playbook>,
    shard: u16,
    fence: &Fence,
    entries: Vec<Entry>,
    (from, to): (Cursor, Cursor),
    now: At,
) -> Result<Outcome, Error> {
    let mut dead = Vec::new();
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.event {
            Ok(event) if event.kind == types::CALLBACK_UNREADABLE => dead.push(unreadable(&event)),
            Ok(event) => events.push(event),
            Err((raw, error)) => {
                dead.push(DeadLetter { event: raw, error: format!("the event cannot be read: {error}") })
            }
        }
    }
    commit_events(store, playbook, shard, fence, &events, dead, Progress::Cursor { from, to }, now).await
}

/// Decides events and commits them together with whatever moves forward.
///
/// An event that Redis refuses to commit although it stands alone is set aside.
///
/// # Errors
/// As [`decide_entries`]; [`Error::Unreadable`] when Redis refuses the batch because of what one of several events
/// touches: nothing happened, and each is to be tried alone.
#[expect(clippy::too_many_arguments, reason = "one call site per kind of progress; a struct would only rename them")]
pub async fn commit_events(
    store: &Store,
    playbook: &Arc<Playbook>,
    shard: u16,
    fence: &Fence,
    events: &[Event],
    mut dead: Vec<DeadLetter>,
    progress: Progress,
    now: At,
) -> Result<Outcome, Error> {
    let mut records = load_records(store, events).await?;
    let mut changes = Vec::with_capacity(events.len());
    let mut steps = Vec::new();
    for event in events {
        let step = traces::deciding(event);
        let event = &*traces::placed(event, &step);
        steps.push(step);
        let decided = match records.get_mut(&event.actor) {
            Some(Ok(known)) => decide_one(store, playbook, known, &changes, event, now),
            Some(Err(error)) => Err(error.clone()),
            None => Err("its record was not loaded".to_owned()),
        };
        match decided {
            Ok(change) => changes.push(change),
            Err(error) => dead.push(set_aside(event, error)),
        }
    }
    let day = day_of(playbook.zone, now);
    let mut batch = Batch { shard, fence: fence.clone(), progress, changes, dead, day };
    let committed = match (store.commit(&batch).await, events) {
        (Err(error @ Error::Unreadable { .. }), [event]) if !batch.changes.is_empty() => {
            batch.changes.clear();
            batch.dead.push(set_aside(event, said(&error)));
            store.commit(&batch).await?
        }
        (committed, _) => committed?,
    };
    // A decision counts from here on.
    drop(steps);
    if committed == Committed::Done {
        metrics::counter!("touchpoint_events_decided_total").increment(batch.changes.len() as u64);
        metrics::counter!("touchpoint_dead_letters_total").increment(batch.dead.len() as u64);
    }
    let has_effects = batch.changes.iter().any(|change| !change.decision.effects.is_empty());
    Ok(Outcome { committed, has_effects, next_timer: next_timer(&batch.changes) })
}

fn next_timer(changes: &[Change]) -> Option<At> {
    let timers = changes.iter().flat_map(|change| &change.decision.timers);
    let moments = timers.filter_map(|timer| match timer {
        TimerChange::Set { at, .. } => Some(*at),
        TimerChange::Cancel { .. } => None,
    });
    moments.min()
}

/// An actor within a batch.
struct Known {
    /// The head as it was loaded, until an event takes it along.
    head: Option<Head>,
    /// What is stored of it, until the first event is decided over it.
    stored: Stored,
    /// Side collections as the events so far left them.
    sides: BTreeMap<String, BTreeMap<String, Value>>,
    /// Which change left the head as it is now.
    latest: Option<usize>,
}

impl From<Loaded> for Known {
    fn from(Loaded { record, stored }: Loaded) -> Self {
        Self { head: Some(record.head), stored, sides: record.sides, latest: None }
    }
}

type Records = BTreeMap<Actor, Result<Known, String>>;

/// Each actor's record once, with all side collections that any of its events needs.
async fn load_records(store: &Store, events: &[Event]) -> Result<Records, Error> {
    let mut needs: BTreeMap<Actor, Vec<SideNeed>> = BTreeMap::new();
    for event in events {
        let needed = needs.entry(event.actor.clone()).or_default();
        for need in decide::needs(event) {
            if !needed.contains(&need) {
                needed.push(need);
            }
        }
    }
    let wanted: Vec<(Actor, Vec<SideNeed>)> = needs.into_iter().collect();
    let loaded = store.load_to_change(&wanted).await?;
    let records = wanted.into_iter().zip(loaded);
    Ok(records.map(|((actor, _), loaded)| (actor, loaded.map(Known::from).map_err(|error| said(&error)))).collect())
}

/// Decides one event over the record as the events before it left it.
fn decide_one(
    store: &Store,
    playbook: &Playbook,
    known: &mut Known,
    changes: &[Change],
    event: &Event,
    now: At,
) -> Result<Change, String> {
    // Heads are large, and most actors have one event in a batch: a head is copied only from the second one on.
    let latest = known.latest.and_then(|latest| changes.get(latest));
    let head = match (latest, known.head.take()) {
        (Some(change), _) => change.decision.head.clone(),
        (None, Some(head)) => head,
        // An event before this one took it along and could not be decided.
        (None, None) => {
            known.stored.head(&store.keys().head(&event.actor), &event.actor).map_err(|error| said(&error))?
        }
    };
    let record = Record { head, sides: known.sides.clone() };
    // A panic in a rule must not stop the shard, and the same input would panic again: the event is set aside.
    let decided = std::panic::catch_unwind(AssertUnwindSafe(|| decide::decide(playbook, record, event, now)));
    let decision = match decided {
        Ok(Ok(decision)) => decision,
        Ok(Err(impossible)) => return Err(impossible.to_string()),
        Err(panic) => return Err(format!("deciding it panicked: {}", panic_text(panic.as_ref()))),
    };
    for line in &decision.trace {
        tracing::debug!(event.id = discreet(event.id.as_str()), actor = discreet(&event.actor.to_string()), "{line}");
    }
    apply(&mut known.sides, &decision);
    known.latest = Some(changes.len());
    Ok(Change { actor: event.actor.clone(), before: std::mem::take(&mut known.stored), decision })
}

fn apply(sides: &mut BTreeMap<String, BTreeMap<String, Value>>, decision: &Decision) {
    for change in &decision.sides {
        let side = sides.entry(change.collection.to_owned()).or_default();
        match &change.value {
            Some(value) => side.insert(change.field.clone(), value.clone()),
            None => side.remove(&change.field),
        };
    }
}

fn unreadable(event: &Event) -> DeadLetter {
    let text = |field: &str| event.text(field).unwrap_or_default().to_owned();
    tracing::error!(event.id = %event.id, "a genuine callback cannot be read and is set aside");
    DeadLetter { event: text("raw"), error: text("error") }
}

fn set_aside(event: &Event, error: String) -> DeadLetter {
    let (id, actor) = (discreet(event.id.as_str()), discreet(&event.actor.to_string()));
    tracing::error!(event.id = id, event.kind = %event.kind, actor, error = discreet(&error), "an event is set aside");
    let raw = serde_json::to_string(event).unwrap_or_else(|_| event.id.to_string());
    DeadLetter { event: raw, error }
}

/// An error of the store with its cause.
pub(super) fn said(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// The record's head, for whoever reads a customer.
#[must_use]
pub fn customer_of(record: Record) -> Option<crate::domain::customer::Customer> {
    match record.head {
        Head::Customer(customer) => Some(*customer),
        Head::Staff(_) | Head::Corp(_) | Head::Group(_) | Head::Kf(_) | Head::Identity(_) => None,
    }
}
