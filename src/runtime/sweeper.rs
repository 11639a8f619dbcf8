//! Schedules that walk over all actors of a kind: the shard's owner goes through its index in slices, between batches.
//!
//! How far each walk has come lies in Redis and moves in the same commit as what the slice changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::decide::{self, Sweep};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::event::{Event, types};
use crate::domain::ids::EventId;
use crate::playbook::model::{Playbook, Schedule};
use crate::store::commit::{Committed, Progress};
use crate::store::leases::Fence;
use crate::store::walks::{Place, WalkState};
use crate::store::{Error, Store};

use super::worker::{self, BATCH};

/// A schedule that was missed by more than this is skipped.
const TOO_LATE_HOURS: i64 = 4;

/// The sweeps of one owned shard.
#[derive(Debug)]
pub struct Sweeper {
    shard: u16,
    walks: BTreeMap<String, WalkState>,
    /// When the next sweep is due under which rules; kept, since an idle shard asks several times a second.
    due: Option<(Arc<Playbook>, Option<At>)>,
    /// Actors that are walked one by one, because Redis refused a slice with all of them.
    singly: usize,
}

/// What one step of sweeping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// No sweep is due.
    Idle,
    /// A slice was decided, or a walk began, ended or was skipped.
    Moved {
        /// Whether the outbox may have something new.
        has_effects: bool,
        /// The earliest timer that was set.
        next_timer: Option<At>,
    },
    /// The shard is not ours any more, or somebody else moved the walk.
    Lost,
}

impl Sweeper {
    /// Reads how far the shard's sweeps have come.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn open(store: &Store, shard: u16) -> Result<Self, Error> {
        Ok(Self { shard, walks: store.walks(shard).await?, due: None, singly: 0 })
    }

    /// When the next sweep is due; at once while one is under way or new.
    #[must_use]
    pub fn next_due(&mut self, playbook: &Arc<Playbook>) -> Option<At> {
        match &self.due {
            Some((known, due)) if Arc::ptr_eq(known, playbook) => *due,
            _ => {
                let sweeps = decide::sweeps(playbook);
                let next = |sweep: &Sweep| next_due(playbook, sweep, self.walks.get(&sweep.name));
                let due = sweeps.iter().filter_map(next).min();
                self.due = Some((Arc::clone(playbook), due));
                due
            }
        }
    }

    /// Does one slice of one sweep that is due.
    ///
    /// # Errors
    /// When Redis did not answer; the sweeper must be opened anew.
    pub async fn step(
        &mut self,
        store: &Store,
        playbook: &Arc<Playbook>,
        fence: &Fence,
        now: At,
    ) -> Result<Step, Error> {
        for sweep in decide::sweeps(playbook) {
            let from = self.walks.get(&sweep.name).cloned();
            let Some((to, events)) = self.slice(store, playbook, &sweep, from.as_ref(), now).await? else { continue };
            let progress = Progress::Walk { name: sweep.name.clone(), from, to: to.clone() };
            let outcome =
                worker::commit_events(store, playbook, self.shard, fence, &events, Vec::new(), progress, now).await;
            if events.len() > 1 && matches!(outcome, Err(Error::Unreadable { .. })) {
                // One of them stands in the way of all; taken alone it will be set aside.
                self.singly = events.len();
                return Ok(Step::Moved { has_effects: false, next_timer: None });
            }
            let outcome = outcome?;
            return Ok(match outcome.committed {
                Committed::Done | Committed::Already => {
                    self.singly = self.singly.saturating_sub(events.len());
                    self.walks.insert(sweep.name, to);
                    self.due = None;
                    Step::Moved { has_effects: outcome.has_effects, next_timer: outcome.next_timer }
                }
                Committed::Fenced | Committed::Moved => Step::Lost,
            });
        }
        Ok(Step::Idle)
    }

    /// Where the sweep goes next and what is decided on the way; none when it is not due.
    async fn slice(
        &self,
        store: &Store,
        playbook: &Playbook,
        sweep: &Sweep,
        state: Option<&WalkState>,
        now: At,
    ) -> Result<Option<(WalkState, Vec<Event>)>, Error> {
        let place = |due: At, after: Option<Place>| WalkState { due, after, schedule: sweep.schedule.source.clone() };
        let Some(state) = state.filter(|state| !is_new(sweep, state)) else {
            // A schedule that was never seen starts from now; nothing was missed.
            return Ok(Some((place(now, None), Vec::new())));
        };
        let (due, after) = match &state.after {
            Some(after) => (state.due, after.clone()),
            None => match latest_between(&sweep.schedule, playbook.zone, state.due, now) {
                None => return Ok(None),
                Some(missed) if now - missed >= TimeDelta::hours(TOO_LATE_HOURS) => {
                    tracing::warn!(shard = self.shard, schedule = %sweep.name, due = %missed,
                        "a schedule was missed by 4 h or more and is skipped");
                    metrics::counter!("touchpoint_schedules_skipped_total").increment(1);
                    return Ok(Some((place(missed, None), Vec::new())));
                }
                Some(due) => (due, Place::Start),
            },
        };
        let behind = match &after {
            Place::Start => None,
            Place::Behind(actor) => Some(actor),
        };
        let most = if self.singly > 0 { 1 } else { BATCH };
        let actors = store.actors(self.shard, sweep.over, behind, most).await?;
        let is_over = actors.len() < most;
        let last = actors.last().cloned();
        let events = actors.into_iter().map(|actor| due_event(sweep, due, actor)).collect();
        let after = if is_over { None } else { last.map(Place::Behind) };
        Ok(Some((place(due, after), events)))
    }
}

/// Whether the rules gave the sweep another schedule since it was last due. A walk under way is ended first.
fn is_new(sweep: &Sweep, state: &WalkState) -> bool {
    state.after.is_none() && state.schedule != sweep.schedule.source
}

fn due_event(sweep: &Sweep, due: At, actor: Actor) -> Event {
    let milliseconds = due.timestamp_millis();
    let id = EventId::parse(format!("schedule:{}:{milliseconds}:{actor}", sweep.name));
    let data = Map::from_iter([
        ("schedule".to_owned(), Value::from(sweep.name.clone())),
        ("due".to_owned(), Value::from(milliseconds)),
    ]);
    Event {
        id: id.expect("a rule's id and an actor's id together stay far below 512 bytes"),
        kind: types::SCHEDULE_DUE.to_owned(),
        actor,
        at: due,
        data,
        hops: 0,
        trace: None,
    }
}

/// When a sweep is due next: at once while it is under way or was never seen.
#[must_use]
pub fn next_due(playbook: &Playbook, sweep: &Sweep, state: Option<&WalkState>) -> Option<At> {
    match state {
        None => Some(At::UNIX_EPOCH),
        Some(state) if is_new(sweep, state) => Some(At::UNIX_EPOCH),
        Some(WalkState { due, after: Some(_), .. }) => Some(*due),
        Some(WalkState { due, after: None, .. }) => sweep.schedule.after(playbook.zone, *due).next(),
    }
}

/// The schedule's latest moment after `after` and not after `now`.
fn latest_between(schedule: &Schedule, zone: chrono_tz::Tz, after: At, now: At) -> Option<At> {
    // Only the last few hours can run; looking from there keeps a schedule of each second from being walked for years.
    let from = after.max(now - TimeDelta::hours(TOO_LATE_HOURS));
    let recent = schedule.after(zone, from).take_while(|at| *at <= now).last();
    recent.or_else(|| schedule.after(zone, after).next().filter(|at| *at <= now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::actor::ActorKind;

    fn schedule(text: &str) -> Schedule {
        Schedule { source: text.to_owned(), cron: Box::new(text.parse().unwrap()) }
    }

    fn at(text: &str) -> At {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_schedule_that_came_due_several_times_runs_once_for_the_latest() {
        let nightly = schedule("0 0 3 * * *");
        let zone = chrono_tz::Asia::Shanghai;
        let due = |after: &str, now: &str| latest_between(&nightly, zone, at(after), at(now));
        assert_eq!(due("2026-05-06T00:00:00+08:00", "2026-05-06T02:59:59+08:00"), None);
        assert_eq!(
            due("2026-05-06T00:00:00+08:00", "2026-05-08T03:30:00+08:00"),
            Some(at("2026-05-08T03:00:00+08:00"))
        );
        assert_eq!(
            due("2026-05-06T00:00:00+08:00", "2026-05-06T12:00:00+08:00"),
            Some(at("2026-05-06T03:00:00+08:00")),
            "missed by more than four hours: still found, so that it can be skipped with a word"
        );
        assert_eq!(due("2026-05-06T03:00:00+08:00", "2026-05-06T03:00:00+08:00"), None, "not twice");
    }

    #[test]
    fn where_the_clock_is_put_forward_or_back_a_schedule_comes_due_once_that_night() {
        let due = |text: &str, after: &str| -> Vec<String> {
            let zone = chrono_tz::America::New_York;
            let schedule = schedule(text);
            schedule.after(zone, at(after)).take(3).map(|due| due.with_timezone(&zone).to_rfc3339()).collect()
        };
        assert_eq!(
            due("0 30 2 * * *", "2026-03-07T12:00:00-05:00"),
            ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00", "2026-03-10T02:30:00-04:00"]
        );
        assert_eq!(
            due("0 30 1 * * *", "2026-10-31T12:00:00-04:00"),
            ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00", "2026-11-03T01:30:00-05:00"]
        );
        assert_eq!(due("0 30 1 * * *", "2026-11-01T01:10:00-05:00")[0], "2026-11-02T01:30:00-05:00", "not once more");
        assert_eq!(due("0 30 2 * * *", "2026-03-08T03:00:00-04:00")[0], "2026-03-09T02:30:00-04:00", "not once more");
    }

    #[test]
    fn rules_with_another_schedule_start_from_now() {
        let sweep = |text: &str| Sweep { name: "digest".to_owned(), schedule: schedule(text), over: ActorKind::Staff };
        let walked = |after| WalkState { due: at("2026-05-06T09:00:00+08:00"), schedule: "0 0 9 * * *".into(), after };
        assert!(!is_new(&sweep("0 0 9 * * *"), &walked(None)));
        assert!(is_new(&sweep("0 0 15 * * *"), &walked(None)), "what did not exist at 15:00 was not missed then");
        assert!(!is_new(&sweep("0 0 15 * * *"), &walked(Some(Place::Start))), "a walk under way is ended first");
    }
}
