//! The month told as tables, from the server's own counters: what came in, what went out, what was held back and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;

use crate::decide::reasons;
use crate::playbook::model::{Journey, Playbook};
use crate::settings::Locale;

use super::demo_month;
use super::demo_stage::Stage;

/// Events that come from outside, with what they are in Chinese.
const EVENTS: [(&str, &str); 12] = [
    ("contact.added", "加好友"),
    ("contact.half_added", "免验证加好友"),
    ("contact.lost", "客户删除导购"),
    ("contact.deleted", "导购删除客户"),
    ("order.paid", "下单"),
    ("order.refunded", "退款"),
    ("visit.made", "到店"),
    ("fitting.booked", "预约试衣"),
    ("customer.opted_out", "退订"),
    ("staff.card", "导购点卡片"),
    ("contact.profile", "读取客户资料"),
    ("timer.fired", "定时到期"),
];

/// The server's own counters of the whole month.
pub(super) struct Counters(BTreeMap<String, i64>);

impl Counters {
    /// Reads them.
    pub(super) async fn read(stage: &Stage) -> anyhow::Result<Self> {
        let mut sums = BTreeMap::new();
        for day in demo_month::days()? {
            let counters = stage.app.services().store.counters(day).await.context("reading the counters")?;
            for (name, count) in counters {
                *sums.entry(name).or_default() += count;
            }
        }
        Ok(Self(sums))
    }

    /// One of them.
    pub(super) fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The sum of `prefix` with anything behind it.
    pub(super) fn sum(&self, prefix: &str) -> i64 {
        self.under(prefix).map(|(_, count)| count).sum()
    }

    /// What stands behind a prefix, with its count.
    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
        self.0.iter().filter_map(move |(name, count)| Some((name.strip_prefix(prefix)?, *count)))
    }
}

/// Tells the month.
pub(super) fn tell(counters: &Counters, playbook: &Playbook) -> anyhow::Result<String> {
    let mut story = head(playbook)?;
    story.push_str(&events(counters));
    story.push_str(&tags_and_welcomes(counters));
    story.push_str(&nudges(counters, &playbook.journeys));
    story.push_str(&prompts(counters, &playbook.journeys));
    story.push_str(&held_back(counters));
    story.push_str(&arms(counters, &playbook.journeys));
    Ok(story)
}

fn head(playbook: &Playbook) -> anyhow::Result<String> {
    let days = demo_month::days()?;
    let (first, last) = (days.first().context("no days")?, days.last().context("no days")?);
    let people = demo_month::people().len();
    let staff = demo_month::staff().len() - 1;
    let (name, journeys) = (&playbook.name, playbook.journeys.len());
    Ok(format!(
        "== {name} · {first} … {last}: {people} customers, {staff} staff and a manager, {journeys} journeys ==\n"
    ))
}

fn events(counters: &Counters) -> String {
    let row = |(kind, name): &(&str, &str)| {
        let count = counters.of(&format!("event:{kind}"));
        (count > 0).then(|| vec![(*kind).to_owned(), (*name).to_owned(), count.to_string()])
    };
    table("收到的事件 · Events in", &["type", "类型", "count"], EVENTS.iter().filter_map(row).collect())
}

fn tags_and_welcomes(counters: &Counters) -> String {
    let row = |name: &str, count: i64| vec![name.to_owned(), count.to_string()];
    let tags = vec![row("打上 put on", counters.of("tag.added")), row("摘掉 taken off", counters.of("tag.removed"))];
    let welcomes =
        [("想发 wanted", "wanted"), ("已发 sent", "sent"), ("没发 dropped", "dropped"), ("失败 failed", "failed")];
    let welcomes = welcomes.map(|(name, state)| row(name, counters.sum(&format!("welcome.{state}:"))));
    let tags = table("标签 · Tags asked for", &["", "count"], tags);
    tags + &table("欢迎语 · Welcomes", &["", "count"], welcomes.into())
}

fn nudges(counters: &Counters, journeys: &[Journey]) -> String {
    let head = ["旅程 journey", "channel", "想发 wanted", "已发 sent", "确认 confirmed", "失败 failed", "没发 dropped"];
    let mut rows = Vec::new();
    for journey in journeys {
        let of = |state: &str, channel: &str| counters.of(&format!("nudge.{state}:{}:{channel}", journey.id));
        let all = |state: &str| counters.sum(&format!("nudge.{state}:{}:", journey.id));
        if all("wanted") == 0 {
            continue;
        }
        let channels = ["mass", "staff"].into_iter().filter(|channel| of("sent", channel) + of("failed", channel) > 0);
        for (place, channel) in channels.enumerate() {
            // What is wanted has no channel yet, and what is dropped may never have had one.
            let whole = |state: &str| if place == 0 { all(state).to_string() } else { String::new() };
            rows.push(vec![
                named(journey),
                channel.to_owned(),
                whole("wanted"),
                of("sent", channel).to_string(),
                of("confirmed", channel).to_string(),
                of("failed", channel).to_string(),
                whole("dropped"),
            ]);
        }
    }
    table("触达 · Nudges to customers", &head, rows)
}

fn prompts(counters: &Counters, journeys: &[Journey]) -> String {
    let head = ["旅程 journey", "想发 wanted", "已发 sent", "已完成 done", "不需要/没发 dropped", "失败 failed"];
    let states = ["wanted", "sent", "confirmed", "dropped", "failed"];
    let row = |journey: &Journey| {
        let counts = states.map(|state| counters.sum(&format!("prompt.{state}:{}:", journey.id)));
        let counts = counts.into_iter().map(|count| count.to_string());
        std::iter::once(named(journey)).chain(counts).collect::<Vec<_>>()
    };
    let wanted = |journey: &&Journey| counters.sum(&format!("prompt.wanted:{}:", journey.id)) > 0;
    let rows = journeys.iter().filter(wanted).map(row).collect();
    let staff = [
        ("稍后提醒 snoozed", counters.of("event:prompt.snoozed")),
        ("不需要 dismissed", counters.of("event:prompt.dismissed")),
        ("到期再提醒 reminded", counters.of("staff.reminded")),
        ("报给店长 escalated", counters.of("staff.escalated")),
        ("催确认群发 mass sends reminded of", counters.of("staff.mass_reminded")),
        ("早间待办 morning digests", counters.of("staff.digest")),
    ];
    let staff = staff.map(|(name, count)| vec![name.to_owned(), count.to_string()]);
    table("提醒 · Prompts to staff", &head, rows) + &table("导购 · Staff", &["", "count"], staff.into())
}

fn held_back(counters: &Counters) -> String {
    let kinds = [
        ("触达推迟", "nudge held", "nudge.held.reason:"),
        ("提醒推迟", "prompt held", "prompt.held.reason:"),
        ("触达没发", "nudge dropped", "nudge.dropped.reason:"),
        ("提醒没发", "prompt dropped", "prompt.dropped.reason:"),
        ("触达失败", "nudge failed", "nudge.failed.reason:"),
    ];
    let mut rows = Vec::new();
    for (chinese, english, prefix) in kinds {
        for (reason, count) in counters.under(prefix) {
            let (zh, en) = (reasons::in_words(reason, Locale::ZhCn), reasons::in_words(reason, Locale::En));
            rows.push(vec![chinese.to_owned(), english.to_owned(), count.to_string(), zh, en]);
        }
    }
    table("被拦下 · Held back, by reason", &["", "", "count", "原因", "reason"], rows)
}

fn arms(counters: &Counters, journeys: &[Journey]) -> String {
    let head = ["旅程 journey", "进入 entered", "达成 goal", "对照组 held out", "对照组达成 goal"];
    let row = |journey: &Journey| {
        let of = |what: &str, arm: &str| counters.of(&format!("journey.{what}:{}:{arm}", journey.id)).to_string();
        let (entered, goal) = (of("entered", "treated"), of("goal", "treated"));
        vec![named(journey), entered, goal, of("entered", "held_out"), of("goal", "held_out")]
    };
    table("旅程与对照组 · Journeys and who they leave alone", &head, journeys.iter().map(row).collect())
}

fn named(journey: &Journey) -> String {
    format!("{} {}", journey.name, journey.id)
}

/// Columns as wide as their widest cell; numbers stand to the right.
fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let is_number = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).all(|cell| cell.chars().all(|letter| letter.is_ascii_digit()))
    };
    let numbers: BTreeSet<usize> = (0..head.len()).filter(|column| is_number(*column)).collect();
    let all = std::iter::once(&head).chain(&rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| all.clone().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or_default())
        .collect();
    let mut text = format!("\n{title}\n");
    for row in std::iter::once(&head).filter(|head| head.iter().any(|cell| !cell.is_empty())).chain(&rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let space = " ".repeat(widths.get(column).copied().unwrap_or_default().saturating_sub(width(cell)));
            let cell = if numbers.contains(&column) { format!("{space}{cell}") } else { format!("{cell}{space}") };
            write!(line, "  {cell}").expect("writing into a String cannot fail");
        }
        writeln!(text, "{}", line.trim_end()).expect("writing into a String cannot fail");
    }
    text
}

/// How many columns of a terminal a text takes: Chinese letters and full-width marks take two.
fn width(text: &str) -> usize {
    text.chars()
        .map(|letter| if ('\u{1100}'..='\u{ffdc}').contains(&letter) && !is_narrow(letter) { 2 } else { 1 })
        .sum()
}

/// Marks between U+1100 and U+FFDC that take one column.
fn is_narrow(letter: char) -> bool {
    ('\u{2000}'..='\u{2e7f}').contains(&letter) || ('\u{ff61}'..='\u{ffdc}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_in_both_scripts() {
        let rows = vec![vec!["到店回访".to_owned(), "7".to_owned()], vec!["a".to_owned(), "123".to_owned()]];
        let text = table("t", &["旅程", "n"], rows);
        assert_eq!(text, "\nt\n  旅程        n\n  到店回访    7\n  a         123\n");
    }
}
