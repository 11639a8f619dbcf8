//! Budgets of contacts per customer: the playbook's, and WeCom's own quota of mass sends.
//!
//! A nudge that is asked of staff counts as if it went today until it is known what became of it, and on the day of its
//! sending from then on: whenever it goes, no window ever holds more than its budget.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use super::customer::Deciding;
use super::deliveries::Facts;
use super::nudges::is_asked;
use super::{guardrails, moments, reasons};
use crate::domain::At;
use crate::domain::customer::TakenBack;
use crate::domain::delivery::{Channel, DeliveryKind};
use crate::domain::ids::DeliveryId;

/// Counts of contacts older than every budget are of no use.
const COUNTS_KEPT_DAYS: u64 = 62;

impl Deciding<'_> {
    /// The first day on which the budget lets one more through, when that is not today; what it counted goes into the
    /// facts.
    pub(super) fn budget_in_the_way(&self, facts: &mut Facts) -> Option<NaiveDate> {
        let budgets = &self.playbook.guardrails.customer_budget;
        let today = guardrails::day_of(self.playbook.zone, self.now);
        let used = self.contacts_used(today);
        for budget in budgets {
            let since = today - chrono::Days::new(u64::from(budget.days.saturating_sub(1)));
            let count: u32 = used.range(since..=today).map(|(_, count)| *count).sum();
            let counted = format!("{count} of {} per {}d used", budget.count, budget.days);
            facts.push((reasons::CUSTOMER_BUDGET.to_owned(), counted));
        }
        guardrails::fits(budgets, &used, today).err()
    }

    /// Contacts by day, those that are asked of staff counted as if they went today: whenever they go, the budget holds.
    fn contacts_used(&self, today: NaiveDate) -> BTreeMap<NaiveDate, u32> {
        let mut used = self.customer.contacts.clone();
        for delivery in self.customer.deliveries.values() {
            if delivery.kind != DeliveryKind::Nudge || !is_asked(delivery) {
                continue;
            }
            if let Some(day) = delivery.counted_on {
                take_one(&mut used, day);
            }
            *used.entry(today).or_default() += 1;
        }
        let on_their_way = u32::try_from(self.on_their_way().count()).unwrap_or(u32::MAX);
        if on_their_way > 0 {
            *used.entry(today).or_default() += on_their_way;
        }
        used
    }

    /// Nudges that were taken back and may have left all the same.
    fn on_their_way(&self) -> impl Iterator<Item = &TakenBack> {
        self.customer.taken_back.values().filter(|one| one.until > self.now)
    }

    /// WeCom's own quota of mass sends per customer (document 92135): one a day, as many a month as the month has days.
    pub(super) fn mass_quota_in_the_way(&self) -> Option<(&'static str, NaiveDate)> {
        let today = guardrails::day_of(self.playbook.zone, self.now);
        let asked = self.customer.deliveries.values().filter(|one| is_asked(one) && one.channel == Some(Channel::Mass));
        let on_their_way = self.on_their_way().filter(|one| one.channel == Channel::Mass);
        let asked = u32::try_from(asked.count().saturating_add(on_their_way.count())).unwrap_or(u32::MAX);
        let sends = &self.customer.mass_sends;
        let first_of_month = today.with_day(1)?;
        let next_month = first_of_month.checked_add_months(chrono::Months::new(1))?;
        let days = u32::try_from((next_month - first_of_month).num_days()).unwrap_or(28);
        let this_month: u32 = sends.range(first_of_month..next_month).map(|(_, count)| *count).sum();
        if this_month.saturating_add(asked) >= days {
            return Some((reasons::MONTH_QUOTA, next_month));
        }
        let is_used = sends.get(&today).copied().unwrap_or(0).saturating_add(asked) > 0;
        is_used.then(|| Some((reasons::DAY_QUOTA, today.succ_opt()?))).flatten()
    }

    pub(super) fn reserve(&mut self, id: &DeliveryId, day: NaiveDate) {
        if let Some(delivery) = self.customer.deliveries.get_mut(id) {
            delivery.counted_on = Some(day);
            *self.customer.contacts.entry(day).or_default() += 1;
        }
    }

    /// A sending is counted on the day on which it happened, whatever day was reserved.
    pub(super) fn count_contact(&mut self, id: &DeliveryId, at: At) {
        self.unreserve(id);
        let Some(delivery) = self.customer.deliveries.get_mut(id) else { return };
        delivery.counted_on = Some(guardrails::day_of(self.playbook.zone, at));
        if let Some(channel) = delivery.channel {
            self.count_sending(channel, at);
        }
    }

    /// Counts a nudge that has left by a channel.
    pub(super) fn count_sending(&mut self, channel: Channel, at: At) {
        let day = guardrails::day_of(self.playbook.zone, at);
        let customer = &mut self.customer;
        *customer.contacts.entry(day).or_default() += 1;
        if channel == Channel::Mass {
            *customer.mass_sends.entry(day).or_default() += 1;
        }
        customer.last_outbound_at = customer.last_outbound_at.max(Some(at));
        let longest = self.playbook.guardrails.customer_budget.iter().map(|budget| u64::from(budget.days)).max();
        let keep = chrono::Days::new(longest.unwrap_or(0).max(COUNTS_KEPT_DAYS));
        if let Some(oldest) = day.checked_sub_days(keep) {
            customer.contacts.retain(|day, _| *day >= oldest);
            customer.mass_sends.retain(|day, _| *day >= oldest);
        }
        customer.taken_back.retain(|_, one| one.until > self.now);
        self.dirty = true;
    }

    /// Takes a reservation back, and looks again at what the budget holds.
    pub(super) fn give_budget_back(&mut self, id: &DeliveryId) {
        let was_asked = self.customer.deliveries.get(id).is_some_and(is_asked);
        self.unreserve(id);
        if was_asked {
            self.look_at_held_again();
        }
    }

    /// There may be room again for what budget or quota hold.
    pub(super) fn look_at_held_again(&mut self) {
        let soon = moments::end_of_minute(self.now);
        let waits = [reasons::CUSTOMER_BUDGET, reasons::DAY_QUOTA, reasons::MONTH_QUOTA];
        for delivery in self.customer.deliveries.values_mut() {
            if delivery.look_again.is_some_and(|at| at > soon) && waits.contains(&delivery.reason.as_str()) {
                delivery.look_again = Some(soon);
            }
        }
    }

    fn unreserve(&mut self, id: &DeliveryId) {
        if let Some(day) = self.customer.deliveries.get_mut(id).and_then(|delivery| delivery.counted_on.take()) {
            take_one(&mut self.customer.contacts, day);
        }
    }
}

fn take_one(counts: &mut BTreeMap<NaiveDate, u32>, day: NaiveDate) {
    if let Some(count) = counts.get_mut(&day) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&day);
        }
    }
}
