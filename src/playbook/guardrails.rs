//! Compiles what may hold back, and how staff are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};

use super::compile::{Compiler, Entry, Fixed};
use super::diagnostic::Span;
use super::load::Context;
use super::model::{Budget, Guardrails, OwnerRule, StaffRules, WorkingHours};
use super::reader::{self, Keys};
use super::times;
use super::tree::Node;
use crate::domain::ids::UserId;

const GUARDRAILS: Keys = Keys {
    known: &["quiet_hours", "holidays", "workdays", "working_hours", "customer_budget", "staff_budget"],
    later: &["brake", "global_holdout"],
};
const STAFF: Keys = Keys::known(&["digest", "escalate", "snooze", "owner", "default"]);
const SNOOZE: Duration = Duration::from_secs(4 * 3600);

impl Compiler<'_> {
    pub(super) fn guardrails(&mut self, section: Option<(Span, &[Entry<'_>])>) -> Guardrails {
        let Some((at, entries)) = section else { return Guardrails::default() };
        let map = Fixed::open(at, entries, "guardrails", &GUARDRAILS, self.report);
        let quiet_hours = map.get("quiet_hours").and_then(|node| {
            let rule = "a span of the day such as \"21:00-09:00\"";
            reader::parsed(node, rule, times::parse_span_of_day, self.report)
        });
        let working_hours = map.get("working_hours").and_then(|node| {
            let rule = "working hours such as \"Mon-Fri 09:00-18:00\"";
            reader::parsed(node, rule, times::parse_working_hours, self.report)
        });
        let holidays = self.days(map.get("holidays"));
        let workdays = self.days(map.get("workdays"));
        if let Some(both) = holidays.intersection(&workdays).next() {
            self.report.error(map.at, "bad-value", format!("{both} is both a holiday and a workday"));
        }
        if let (Some(quiet), Some(hours), Some(node)) = (quiet_hours, &working_hours, map.get("working_hours"))
            && !leaves_room(quiet, hours)
        {
            let message = "quiet hours cover all working hours: no prompt and no staff nudge would ever go out";
            self.report.warning(node.span, "never-open", message);
        }
        Guardrails {
            quiet_hours,
            holidays,
            workdays,
            working_hours,
            customer_budget: self.budgets(map.get("customer_budget")),
            staff_budget: self.budgets(map.get("staff_budget")),
        }
    }

    fn days(&mut self, node: Option<&Node>) -> BTreeSet<NaiveDate> {
        let nodes = node.map_or(&[][..], reader::one_or_many);
        nodes
            .iter()
            .filter_map(|node| reader::parsed(node, "a day such as 2026-10-01", times::parse_date, self.report))
            .collect()
    }

    fn budgets(&mut self, node: Option<&Node>) -> Vec<Budget> {
        let nodes = node.map_or(&[][..], reader::one_or_many);
        let rule = "a budget such as `2 per 7d`, in whole days";
        nodes.iter().filter_map(|node| reader::parsed(node, rule, times::parse_budget, self.report)).collect()
    }

    pub(super) fn staff(&mut self, section: Option<(Span, &[Entry<'_>])>, context: &Context) -> StaffRules {
        let managers = if context.managers.is_empty() { context.admins.clone() } else { context.managers.clone() };
        let map = section.map(|(at, entries)| Fixed::open(at, entries, "staff", &STAFF, self.report));
        let get = |key: &str| map.as_ref().and_then(|map| map.get(key));
        let owner = get("owner").and_then(|node| self.one_of(node, "owner rule", &["last_added", "first_added"]));
        StaffRules {
            digest: get("digest").and_then(|node| times::schedule(node, self.report)),
            escalate: get("escalate").and_then(|node| times::some_time(node, self.report)),
            snooze: get("snooze").and_then(|node| times::some_time(node, self.report)).unwrap_or(SNOOZE),
            owner: if owner.as_deref() == Some("first_added") { OwnerRule::FirstAdded } else { OwnerRule::LastAdded },
            default: get("default")
                .and_then(|node| reader::parsed(node, "a userid", |text| UserId::parse(text), self.report)),
            managers,
        }
    }
}

/// Whether any minute of the working hours is not quiet.
fn leaves_room((from, to): (NaiveTime, NaiveTime), hours: &WorkingHours) -> bool {
    if from < to {
        // Quiet in the middle of the day.
        hours.from < from || to < hours.to
    } else {
        hours.from.max(to) < hours.to.min(from)
    }
}
