//! What must come out, worked out by counting what went in. Nothing here asks the servers or WeCom.

use std::collections::BTreeMap;

use super::book::{Book, Counts};
use super::company::Habit;
use super::load::{Customer, Given};

/// How one kind of thing came out.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Line {
    pub wanted: usize,
    pub came: usize,
    pub lost: usize,
    pub doubled: usize,
}

/// The verdict.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub lines: BTreeMap<&'static str, Line>,
    /// Each thing that was lost or doubled.
    pub faults: Vec<String>,
    /// Welcomes that no server was alive to send in time, and whose deliveries say so.
    pub late: usize,
    pub harmless: BTreeMap<String, usize>,
}

impl Judged {
    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What must be there.
pub(crate) struct Expected {
    counts: Counts,
}

pub(crate) fn of(given: &Given) -> Expected {
    let mut expected = Expected { counts: Counts::new() };
    for one in &given.customers {
        expected.count(one);
    }
    if !given.customers.is_empty() {
        expected.once("corp tag made", "扫码".to_owned());
    }
    if given.customers.iter().any(|one| !one.orders.is_empty()) {
        expected.once("corp tag made", "下单".to_owned());
        expected.once("corp tag made", "买家".to_owned());
    }
    expected.digests(given);
    expected
}

impl Expected {
    fn once(&mut self, kind: &'static str, what: String) {
        *self.counts.entry((kind, what)).or_default() += 1;
    }

    fn times(&mut self, kind: &'static str, what: String, times: usize) {
        if times > 0 {
            self.counts.insert((kind, what), times);
        }
    }

    fn count(&mut self, one: &Customer) {
        let id = &one.id;
        self.once("welcome", id.clone());
        self.once("delivery ended", format!("Welcome Sent of {id}"));
        self.once("name known", format!("{} of {id}", one.name));
        self.tag("触点/扫码", id);
        self.times("order counted", id.clone(), one.orders.len());
        let yuan: u32 = one.orders.iter().sum();
        self.times("fen counted", id.clone(), usize::try_from(yuan * 100).unwrap());
        self.times("visit counted", id.clone(), one.visits);
        self.times("touchpoint met", format!("scanned by {id}"), 1);
        self.times("touchpoint met", format!("bought by {id}"), one.orders.len());
        self.times("touchpoint met", format!("visited by {id}"), one.visits);
        if one.orders.is_empty() {
            return;
        }
        self.tag("触点/下单", id);
        self.tag("分层/买家", id);
        for kind in ["mass send made", "mass send received", "card"] {
            self.once(kind, id.clone());
        }
        self.once("delivery ended", format!("Nudge Confirmed of {id}"));
        self.prompt(one);
    }

    fn tag(&mut self, tag: &str, id: &str) {
        self.once("tag", format!("{tag} on {id}"));
        self.once("tag in the record", format!("{tag} on {id}"));
    }

    /// The quick answer before it is due, the slow at the reminder, the lazy never.
    fn prompt(&mut self, one: &Customer) {
        let id = &one.id;
        if one.habit != Habit::Quick {
            self.once("card reminder", id.clone());
        }
        if one.habit == Habit::Lazy {
            self.once("report to the boss", id.clone());
            self.once("delivery ended", format!("Prompt Sent of {id}"));
        } else {
            self.once("card update", id.clone());
            self.once("delivery ended", format!("Prompt Confirmed of {id}"));
        }
    }

    /// Each morning at nine, for whoever has something open: the lazy their cards for good, the slow a mass send on two
    /// mornings, as they confirm it after the first and the servers hear of that on the second.
    fn digests(&mut self, given: &Given) {
        let Some(last_day) = given.days.last() else { return };
        let buyers = given.customers.iter().filter(|one| !one.orders.is_empty());
        for one in buyers.filter(|one| one.habit != Habit::Quick) {
            let first_day = *given.days.get(one.day).expect("the day was worked");
            let last = if one.habit == Habit::Slow {
                first_day + chrono::Days::new(2)
            } else {
                *last_day + chrono::Days::new(4)
            };
            let mornings = first_day.iter_days().skip(1).take_while(|morning| *morning <= last);
            mornings.for_each(|morning| self.times("digest", format!("{} on {morning}", one.staff), 1));
        }
    }

    /// Every difference is a loss or a doubling.
    pub(crate) fn compared_with(self, found: &Book) -> Judged {
        let mut judged = Judged { harmless: found.harmless.clone(), ..Judged::default() };
        let mut wanted = self.counts;
        for id in &found.late {
            // WeCom's 20 s were over, the delivery says so, and nothing arrived: told, not lost.
            if !found.counts.contains_key(&("welcome", id.clone())) {
                judged.late += 1;
                wanted.remove(&("welcome", id.clone()));
                wanted.remove(&("delivery ended", format!("Welcome Sent of {id}")));
            }
        }
        let mut all: Counts = wanted.keys().map(|what| (what.clone(), 0)).collect();
        all.extend(found.counts.clone());
        for ((kind, what), came) in all {
            if kind == "delivery ended" && what.starts_with("Welcome ") && is_late(&what, found) {
                continue;
            }
            let wants = wanted.get(&(kind, what.clone())).copied().unwrap_or_default();
            let line = judged.lines.entry(kind).or_default();
            line.wanted += wants;
            line.came += came;
            line.lost += wants.saturating_sub(came);
            line.doubled += came.saturating_sub(wants);
            if wants != came {
                judged.faults.push(format!("{kind}: {what}: wanted {wants}, came {came}"));
            }
        }
        judged
    }
}

fn is_late(what: &str, found: &Book) -> bool {
    found.late.iter().any(|id| what.ends_with(id.as_str())) && !what.starts_with("Welcome Sent")
}
