//! Whether what WeCom received is what the playbook promised: the golden table, and rules that hold for any month.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context as _;

use crate::sandbox::What;

use super::demo_book::Book;
use super::demo_golden::{CARDS_OF_A_DAY, GOLDEN, PAIRS};
use super::demo_stage::Stage;
use super::demo_story::Counters;
use super::{demo_invariants, demo_month};

/// The most deviations that one check tells.
const MOST_TOLD: usize = 8;

/// One check.
pub(super) struct Check {
    /// What must be so.
    pub(super) what: String,
    /// Where it is not.
    pub(super) deviations: Vec<String>,
}

impl Check {
    /// A check that holds when there are no deviations.
    pub(super) fn new(what: impl Into<String>, deviations: Vec<String>) -> Self {
        Self { what: what.into(), deviations }
    }
}

/// All checks of a month.
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Whether every one holds.
    pub(super) fn hold(&self) -> bool {
        self.0.iter().all(|check| check.deviations.is_empty())
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== 检查 · Checks: the sandbox's own book against what the playbook promises ==")?;
        for check in &self.0 {
            writeln!(f, "{} {}", if check.deviations.is_empty() { "✓" } else { "✗" }, check.what)?;
            for deviation in check.deviations.iter().take(MOST_TOLD) {
                writeln!(f, "    {deviation}")?;
            }
            let more = check.deviations.len().saturating_sub(MOST_TOLD);
            if more > 0 {
                writeln!(f, "    … and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Checks the month that was played.
pub(super) async fn run(stage: &Stage, counters: &Counters) -> anyhow::Result<Checks> {
    let playbook = stage.app.services().rules.current();
    let book = Book::new(stage.world.receipts(), playbook.zone);
    let mut checks = vec![golden(&book), pairs(stage), a_full_day(&book)?, own_figures(&book, counters)];
    checks.extend(demo_invariants::of(&book, &playbook)?);
    checks.push(callbacks(stage));
    checks.push(calls(stage));
    checks.push(nothing_left(stage).await?);
    Ok(Checks(checks))
}

fn golden(book: &Book) -> Check {
    let expected: BTreeMap<String, u64> = GOLDEN.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let found = book.counted();
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let count = |of: &BTreeMap<String, u64>, name: &String| of.get(name).copied().unwrap_or_default();
    let differ = names.into_iter().filter(|name| count(&expected, name) != count(&found, name));
    let told = differ.map(|name| format!("{name}: {} expected, {} found", count(&expected, name), count(&found, name)));
    Check::new(format!("golden table: {} figures, and nothing besides", GOLDEN.len()), told.collect())
}

fn pairs(stage: &Stage) -> Check {
    let differ = PAIRS.iter().filter_map(|(number, userid, tags)| {
        let found: BTreeSet<String> = stage.world.tags(&demo_month::id_of(*number), userid).into_iter().collect();
        let expected: BTreeSet<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        (found != expected)
            .then(|| format!("customer {number:03} with {userid}: {expected:?} expected, {found:?} found"))
    });
    Check::new(format!("tags of {} pairs at the end, one of each kind", PAIRS.len()), differ.collect())
}

fn a_full_day(book: &Book) -> anyhow::Result<Check> {
    let (userid, day, expected) = CARDS_OF_A_DAY;
    let date = demo_month::date(day)?;
    let found = book.cards().filter(|card| card.userid == userid && book.day(card.at) == date).count();
    let deviation = (found != expected).then(|| format!("{found} found")).into_iter().collect();
    Ok(Check::new(format!("more is due to {userid} on {date} than fits: exactly {expected} cards come"), deviation))
}

/// What the server says of itself is what WeCom says of it.
fn own_figures(book: &Book, counters: &Counters) -> Check {
    let found = book.counted();
    let sum = |prefix: &str| -> u64 {
        found.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    };
    let first_cards = book.cards().filter(|card| !card.title.starts_with('【')).count();
    let pairs = [
        ("welcomes sent", counters.sum("welcome.sent:"), sum("welcome ")),
        ("nudges sent", counters.sum("nudge.sent:"), sum("asked ")),
        ("nudges confirmed", counters.sum("nudge.confirmed:"), sum("reached ")),
        ("prompts sent", counters.sum("prompt.sent:"), u64::try_from(first_cards).unwrap_or(u64::MAX)),
        ("prompts done", counters.sum("prompt.confirmed:"), book.taps("done")),
        ("prompts put off", counters.of("event:prompt.snoozed"), book.taps("snooze")),
        ("prompts dismissed", counters.of("event:prompt.dismissed"), book.taps("dismiss")),
        ("reports to managers", counters.of("staff.escalated"), sum("report ")),
    ];
    let differ = pairs.iter().filter(|(_, said, found)| u64::try_from(*said) != Ok(*found));
    let told = differ.map(|(what, said, found)| format!("{what}: the server says {said}, WeCom's book {found}"));
    Check::new(format!("{} of the server's own figures agree with WeCom's book", pairs.len()), told.collect())
}

/// Each callback was taken at the first try.
fn callbacks(stage: &Stage) -> Check {
    let all = stage.world.callbacks();
    let failed = all.iter().filter(|callback| !callback.is_delivered() || callback.attempts.len() != 1);
    let told =
        failed.map(|callback| format!("callback {} ({}): {:?}", callback.seq, callback.event, callback.attempts));
    Check::new(format!("{} encrypted callbacks, each answered 200 at the first try", all.len()), told.collect())
}

/// The sandbox is strict: whatever it refused was a mistake.
fn calls(stage: &Stage) -> Check {
    let all = stage.world.log();
    let refused = all.iter().filter(|call| !call.is_accepted());
    let told = refused.map(|call| format!("{} at {}: {} {}", call.api, call.at, call.errcode, call.errmsg));
    Check::new(format!("{} calls of WeCom's API, none refused", all.len()), told.collect())
}

/// No event was set aside, and nothing due is left undone.
async fn nothing_left(stage: &Stage) -> anyhow::Result<Check> {
    let store = &stage.app.services().store;
    let mut left = Vec::new();
    for shard in 0..store.shards() {
        let dead = store.dead_letters(shard, MOST_TOLD).await.context("reading what was set aside")?;
        left.extend(dead.into_iter().map(|(event, error)| format!("set aside in shard {shard}: {error}: {event}")));
    }
    for (shard, backlog) in store.backlog(stage.clock.now()).await.context("reading the backlog")?.iter().enumerate() {
        let due = backlog.now + backlog.bulk + backlog.timers + backlog.effects;
        if due > 0 {
            left.push(format!("shard {shard} has {due} things left to do"));
        }
    }
    Ok(Check::new("no event set aside, nothing due left undone", left))
}

/// The pairs of customer and staff member that got a welcome, with how long it took.
pub(super) fn welcomes(book: &Book) -> Vec<(&str, &str, i64)> {
    let each = book.receipts.iter().filter_map(|receipt| match &receipt.what {
        What::Welcome { customer, userid, after_ms, .. } => Some((customer.as_str(), userid.as_str(), *after_ms)),
        _ => None,
    });
    each.collect()
}
