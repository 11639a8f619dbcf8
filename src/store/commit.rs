//! One atomic, fenced commit per batch.
//!
//! A batch becomes a list of Redis commands over named keys (`writing`); the script looks at the fence, the
//! progress and the type of every key, and then carries all of them out or none.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;

use crate::decide::{Decision, Head};
use crate::domain::actor::Actor;

use super::leases::Fence;
use super::records::Stored;
use super::scripts::COMMIT;
use super::streams::{InLane, StreamId, to_json};
use super::walks::WalkState;
use super::writing::Writing;
use super::{Error, Store};

/// The last committed ids of both lanes; as text `in bulk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Of the `in` lane.
    pub now: StreamId,
    /// Of the `bulk` lane.
    pub bulk: StreamId,
}

impl Cursor {
    /// Before all entries of both lanes.
    #[must_use]
    pub fn start() -> Self {
        Self { now: StreamId::start(), bulk: StreamId::start() }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (now, bulk) = text.split_once(' ')?;
        let cursor = Self { now: StreamId(now.to_owned()), bulk: StreamId(bulk.to_owned()) };
        (cursor.now.next().is_some() && cursor.bulk.next().is_some()).then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.now.0, self.bulk.0)
    }
}

/// What moves forward with a batch. The commit happens only from the previous place; from the new one it says
/// [`Committed::Already`].
#[derive(Debug, Clone)]
pub enum Progress {
    /// Entries of the streams were decided.
    Cursor {
        /// From.
        from: Cursor,
        /// To.
        to: Cursor,
    },
    /// A slice of a sweep was decided.
    Walk {
        /// The sweep.
        name: String,
        /// From; none when the sweep was never seen.
        from: Option<WalkState>,
        /// To.
        to: WalkState,
    },
}

/// One decided event.
#[derive(Debug)]
pub struct Change {
    /// Whose.
    pub actor: Actor,
    /// What was stored when the record was loaded. Of several changes of one actor the first one's counts.
    pub before: Stored,
    /// What the event changes. Of several changes of one actor the last one's head is written.
    pub decision: Decision,
}

/// An event that is set aside.
#[derive(Debug)]
pub struct DeadLetter {
    /// The event, raw.
    pub event: String,
    /// What was wrong.
    pub error: String,
}

/// Everything one batch changes.
#[derive(Debug)]
pub struct Batch {
    /// The shard.
    pub shard: u16,
    /// Proof of ownership.
    pub fence: Fence,
    /// What moves forward.
    pub progress: Progress,
    /// Decided events, in order.
    pub changes: Vec<Change>,
    /// Events set aside.
    pub dead: Vec<DeadLetter>,
    /// The business day (server's zone) whose counters are added to.
    pub day: NaiveDate,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It happened.
    Done,
    /// It had happened before.
    Already,
    /// The fence is old: somebody else owns the shard. Give it up.
    Fenced,
    /// The progress is neither at `from` nor at `to`. Read it again and start over.
    Moved,
}

impl Store {
    /// Commits a batch: record fields, side collections, timers, effects, deliveries, memberships, counters, timeline,
    /// dead letters, progress; committed entries of the streams are trimmed away.
    ///
    /// All or nothing. Whatever refuses leaves Redis as it was.
    ///
    /// # Errors
    /// [`Error::Redis`] when Redis did not answer; it may or may not have happened, and the same batch may be committed
    /// again. [`Error::Unreadable`] when a key that the batch touches holds something else than it should, or a change
    /// is for an actor of another shard: nothing happened, and a repeat will not help.
    pub async fn commit(&self, batch: &Batch) -> Result<Committed, Error> {
        let mut writing = Writing::new(self.keys(), batch.shard);
        let mut counters: BTreeMap<&str, i64> = BTreeMap::new();
        let mut heads: BTreeMap<&Actor, (&Stored, &Head)> = BTreeMap::new();
        for change in &batch.changes {
            writing.change(change)?;
            let (_, after) = heads.entry(&change.actor).or_insert((&change.before, &change.decision.head));
            *after = &change.decision.head;
            for (name, count) in &change.decision.counters {
                *counters.entry(name).or_default() += count;
            }
        }
        for (actor, (before, after)) in heads {
            writing.head(actor, before, after)?;
        }
        writing.count(batch.day, &counters);
        writing.set_aside(&batch.dead);
        let guard = self.guard(batch)?;
        if let Progress::Cursor { from, to } = &batch.progress {
            trim(&mut writing, InLane::In, &from.now, &to.now)?;
            trim(&mut writing, InLane::Bulk, &from.bulk, &to.bulk)?;
        }
        let (kinds, mut keys, operations) = writing.finish();
        keys.splice(0..0, [self.keys().fence(batch.shard), guard.key]);
        let mut call = COMMIT.call(&keys);
        call.arg(&batch.fence.0).arg(guard.walk).arg(guard.from).arg(guard.to).arg(kinds);
        for argument in &operations {
            call.arg(argument);
        }
        committed(self.run(&COMMIT, &call).await?)
    }

    fn guard<'a>(&self, batch: &'a Batch) -> Result<Guard<'a>, Error> {
        Ok(match &batch.progress {
            Progress::Cursor { from, to } => {
                Guard { key: self.keys().cursor(batch.shard), walk: "", from: from.to_string(), to: to.to_string() }
            }
            Progress::Walk { name, from, to } => {
                let key = self.keys().walks(batch.shard);
                let from = from.as_ref().map(|from| to_json(&key, from)).transpose()?.unwrap_or_default();
                let to = to_json(&key, to)?;
                Guard { key, walk: name, from, to }
            }
        })
    }
}

/// The progress as the script compares it.
struct Guard<'a> {
    key: String,
    walk: &'a str,
    from: String,
    to: String,
}

/// Committed entries go away, the last one included: the cursor remembers where it stood, and the stream remembers its
/// last id when it is empty.
fn trim(writing: &mut Writing<'_>, lane: InLane, from: &StreamId, to: &StreamId) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    writing.trim(lane, to)
}

fn committed(answer: (u8, String, String)) -> Result<Committed, Error> {
    match answer {
        (1, _, _) => Ok(Committed::Done),
        (2, _, _) => Ok(Committed::Already),
        (3, _, _) => Ok(Committed::Fenced),
        (4, _, _) => Ok(Committed::Moved),
        (_, key, wrong) => Err(Error::unreadable(&key, wrong)),
    }
}
