//! Moving an adjustable clock: through everything that comes due on the way, each at its own time.

use std::time::{Duration, Instant};

use chrono::TimeDelta;

use crate::decide;
use crate::domain::At;
use crate::store::Error;
use crate::store::reading::Backlog;

use super::services::Services;
use super::sweeper;

/// Work that does not come to rest in this long is reported instead of waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process that waits for others looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Why the clock did not get there.
#[derive(Debug, thiserror::Error)]
pub enum NotThere {
    /// Something never came to rest.
    #[error("the work due at {now} did not come to rest within 60 s: {left}")]
    Restless {
        /// Business time.
        now: At,
        /// What was left.
        left: String,
    },
    /// Redis did not answer.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Moves business time to `target`, stopping at every timer, effect and schedule on the way until its work is done.
///
/// A moment that has passed already is only waited for to come to rest: the clock goes forwards and ticks on by itself.
/// Answers when, over all processes, the lanes are drained, nothing due is in an outbox and no call is under way.
///
/// # Errors
/// See [`NotThere`]; the clock stays where it got to.
pub async fn travel_to(services: &Services, target: At) -> Result<At, NotThere> {
    while step(services, target).await? == Step::Stopped {}
    Ok(services.clock.now())
}

/// How far one step of travelling went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To something that came due before the limit; its work is under way.
    Stopped,
    /// To the limit; nothing due is left.
    Arrived,
}

/// Moves business time to the next moment at which something comes due, but not beyond `limit`.
///
/// For whoever has plans of their own on the way, as the people of a sandbox do.
///
/// # Errors
/// See [`NotThere`].
pub async fn step(services: &Services, limit: At) -> Result<Step, NotThere> {
    let next = rest(services).await?;
    let now = services.clock.now();
    let stop = next.filter(|next| *next < limit);
    if stop.unwrap_or(limit) > now {
        set(services, stop.unwrap_or(limit)).await?;
    }
    if stop.is_some() {
        return Ok(Step::Stopped);
    }
    rest(services).await?;
    Ok(Step::Arrived)
}

/// Waits until nothing due is left; gives the next moment at which something will be.
async fn rest(services: &Services) -> Result<Option<At>, NotThere> {
    let begun = Instant::now();
    loop {
        // Busy is read before the backlog: work that ends in between has left its traces there.
        let was_busy = services.busy.steps() > 0;
        let now = services.clock.now();
        let backlog = services.store.backlog(now).await?;
        let left = what_is_left(services, &backlog, now);
        if !was_busy && left.is_none() {
            return Ok(next_moment(services, &backlog));
        }
        if begun.elapsed() > PATIENCE {
            let left = left.unwrap_or_else(|| "a call is under way".to_owned());
            return Err(NotThere::Restless { now, left });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn what_is_left(services: &Services, backlog: &[Backlog], now: At) -> Option<String> {
    let playbook = services.rules.current();
    let sweeps = decide::sweeps(&playbook);
    for (shard, left) in backlog.iter().enumerate() {
        let lanes = left.now + left.bulk;
        if lanes + left.timers + left.effects > 0 {
            let (timers, effects) = (left.timers, left.effects);
            return Some(format!("shard {shard}: {lanes} events, {timers} timers, {effects} effects"));
        }
        let due = |sweep: &&decide::Sweep| {
            sweeper::next_due(&playbook, sweep, left.walks.get(&sweep.name)).is_some_and(|due| due <= now)
        };
        if let Some(sweep) = sweeps.iter().find(due) {
            return Some(format!("shard {shard}: schedule {}", sweep.name));
        }
    }
    None
}

fn next_moment(services: &Services, backlog: &[Backlog]) -> Option<At> {
    let playbook = services.rules.current();
    let sweeps = decide::sweeps(&playbook);
    let schedules = backlog.iter().flat_map(|left| {
        sweeps.iter().filter_map(|sweep| sweeper::next_due(&playbook, sweep, left.walks.get(&sweep.name)))
    });
    backlog.iter().filter_map(|left| left.next).chain(schedules).min()
}

async fn set(services: &Services, to: At) -> Result<(), NotThere> {
    let ahead: TimeDelta = to - services.clock.now();
    let offset = services.clock.offset_ms() + ahead.num_milliseconds();
    let in_force = services.store.move_clock(offset).await?;
    services.clock.take_offset_ms(in_force);
    services.wakes.all();
    Ok(())
}
