//! The table that a run prints.

use std::fmt::Write as _;
use std::time::Duration;

use super::expected::Judged;
use super::killer::Kills;
use super::load::Given;
use super::options::Options;

pub(crate) fn report(options: &Options, given: &Given, kills: &Kills, judged: &Judged, took: Duration) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").unwrap();
    line(format!("\n{:<28}{:>9}{:>9}{:>9}", "went in", "said", "repeats", "answered"));
    for (name, sent) in [("callbacks of WeCom", given.callbacks), ("business events", given.events)] {
        line(format!("{name:<28}{:>9}{:>9}{:>9}", sent.said, sent.again, sent.answered));
    }
    line(format!("{:<28}{:>9}", "customers", given.customers.len()));
    line(format!("{:<28}{:>9}", "days", given.days.len()));
    line(format!("\n{:<28}{:>9}{:>9}{:>9}{:>9}", "came out", "wanted", "came", "lost", "doubled"));
    for (kind, one) in &judged.lines {
        line(format!("{kind:<28}{:>9}{:>9}{:>9}{:>9}", one.wanted, one.came, one.lost, one.doubled));
    }
    let (lost, doubled) = judged.lines.values().fold((0, 0), |sum, one| (sum.0 + one.lost, sum.1 + one.doubled));
    line(format!("{:<28}{:>9}{:>9}{lost:>9}{doubled:>9}", "in all", "", ""));
    line(format!("{:<28}{:>9}", "welcomes too late, and told", judged.late));
    for (what, count) in &judged.harmless {
        line(format!("{what:<28}{count:>9}"));
    }
    line(format!("\n{:<28}{:>9}", "kills", kills.by_victim.values().sum::<usize>()));
    for (what, count) in kills
        .by_victim
        .iter()
        .map(|(name, count)| ((*name).to_owned(), count))
        .chain(kills.by_moment.iter().map(|(name, count)| (format!("at {name}"), count)))
    {
        line(format!("  {what:<40}{count:>6}"));
    }
    line(format!("{:<28}{:>9}", "servers frozen", kills.freezes));
    line(format!("  {:<40}{:>6}", "with a commit on its way", kills.late_commits));
    line(format!("{:<28}{:>9}", "seconds", took.as_secs()));
    line(format!("again: {}", options.replay()));
    text
}
