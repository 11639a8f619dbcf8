//! Guardrails (护栏): pure predicates over the playbook, calendars and counts.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

use super::{moments, reasons};
use crate::domain::At;
use crate::playbook::model::{Budget, Guardrails, WorkingHours};

/// How far ahead an opening is looked for. Hours that leave no opening at all would otherwise be searched for ever.
const FURTHEST: Duration = Duration::days(400);

/// What wants to go out; working hours bind only what staff must act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing {
    /// A message that goes to the customer without a card to staff (`mass`, `kf`).
    Nudge,
    /// A prompt, a staff nudge, a reminder or a digest.
    ToStaff,
}

/// A guardrail that is in the way now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// From the vocabulary of reasons: `quiet hours`, `holiday`, `working hours`.
    pub by: &'static str,
    /// The first moment at which no time guardrail is in the way.
    pub until: At,
}

/// Whether quiet hours, holidays or working hours are in the way at `at`; none when it may go out.
///
/// When they leave no opening within 400 days, `until` is the end of those days.
#[must_use]
pub fn closed(guardrails: &Guardrails, zone: Tz, what: Outgoing, at: At) -> Option<Closed> {
    let (by, _) = in_the_way(guardrails, what, at.with_timezone(&zone).naive_local())?;
    let mut moment = at;
    while let Some((_, ends)) = in_the_way(guardrails, what, moment.with_timezone(&zone).naive_local()) {
        if moment - at > FURTHEST {
            break;
        }
        moment = later(zone, moment, ends);
    }
    Some(Closed { by, until: moment })
}

/// The guardrail in the way at a moment of the local clock, and when it ends by the same clock.
fn in_the_way(guardrails: &Guardrails, what: Outgoing, local: NaiveDateTime) -> Option<(&'static str, NaiveDateTime)> {
    let midnight = start_of(local.date()) + Days::new(1);
    if guardrails.holidays.contains(&local.date()) {
        return Some((reasons::HOLIDAY, midnight));
    }
    if let Some(ends) = guardrails.quiet_hours.and_then(|span| end_of_quiet(span, local)) {
        return Some((reasons::QUIET_HOURS, ends));
    }
    let hours = guardrails.working_hours.as_ref().filter(|_| what == Outgoing::ToStaff)?;
    let works = is_working_day(guardrails, hours, local.date());
    if works && local.time() < hours.from {
        return Some((reasons::WORKING_HOURS, local.date().and_time(hours.from)));
    }
    let open = works && local.time() < hours.to;
    (!open).then_some((reasons::WORKING_HOURS, midnight))
}

fn end_of_quiet((from, to): (NaiveTime, NaiveTime), local: NaiveDateTime) -> Option<NaiveDateTime> {
    let (date, time) = (local.date(), local.time());
    let ends_tomorrow = from > to && time >= from;
    let quiet = if from > to { time >= from || time < to } else { from <= time && time < to };
    let day = if ends_tomorrow { date + Days::new(1) } else { date };
    quiet.then(|| day.and_time(to))
}

fn is_working_day(guardrails: &Guardrails, hours: &WorkingHours, day: NaiveDate) -> bool {
    hours.days.contains(&day.weekday()) || guardrails.workdays.contains(&day)
}

/// The moment at which the local clock shows `ends`, or a minute on when the clock is put forward or back before it.
///
/// Across a change of the clock one cannot leap: the hour that is passed twice or left out may open earlier. Such a
/// day is walked minute by minute.
fn later(zone: Tz, moment: At, ends: NaiveDateTime) -> At {
    let local = moment.with_timezone(&zone);
    let leap = moment + (ends - local.naive_local());
    if leap.with_timezone(&zone).naive_local() == ends {
        return leap;
    }
    let into_minute = moment.timestamp_millis().rem_euclid(60_000);
    moment + Duration::milliseconds(60_000 - into_minute)
}

/// Whether one more fits every budget on `day`; else the first later day on which one would (counting nothing new).
///
/// # Errors
/// That day; the day after the longest window when a budget of 0 lets nothing through at all.
pub fn fits(budgets: &[Budget], used: &BTreeMap<NaiveDate, u32>, day: NaiveDate) -> Result<(), NaiveDate> {
    let has_room = |day: NaiveDate| budgets.iter().all(|budget| has_room(*budget, used, day));
    if has_room(day) {
        return Ok(());
    }
    let longest = u64::from(budgets.iter().map(|budget| budget.days).max().unwrap_or(1));
    let last_used = used.keys().next_back().copied().unwrap_or(day).max(day);
    let furthest = last_used + Days::new(longest);
    let first = day.iter_days().skip(1).take_while(|day| *day < furthest).find(|day| has_room(*day));
    Err(first.unwrap_or(furthest))
}

/// Whether no window of the budget that contains `day` would hold more than its count. Windows that end later matter
/// when a later day has been counted already.
fn has_room(budget: Budget, used: &BTreeMap<NaiveDate, u32>, day: NaiveDate) -> bool {
    let reach = Days::new(u64::from(budget.days.saturating_sub(1)));
    let ends = std::iter::once(day).chain(used.range(day..=day + reach).map(|(end, _)| *end));
    ends.map(|end| used.range(end - reach..=end).map(|(_, count)| u64::from(*count)).sum::<u64>())
        .all(|count| count < u64::from(budget.count))
}

/// The first working moment of a day or, when it is none, of the next working day: not a holiday, inside working hours,
/// outside quiet hours.
#[must_use]
pub fn opening_on_or_after(guardrails: &Guardrails, zone: Tz, day: NaiveDate) -> At {
    let begin = moments::start_of(zone, day);
    closed(guardrails, zone, Outgoing::ToStaff, begin).map_or(begin, |closed| closed.until)
}

/// The calendar day of a moment in the server's zone.
#[must_use]
pub fn day_of(zone: Tz, at: At) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

fn start_of(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::{TimeZone, Timelike, Utc, Weekday};
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn time(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    fn local(zone: Tz, text: &str) -> At {
        let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        zone.from_local_datetime(&naive).earliest().unwrap().to_utc()
    }

    fn office() -> Guardrails {
        Guardrails {
            quiet_hours: Some((time("21:00"), time("09:00"))),
            holidays: BTreeSet::from([day("2026-10-01"), day("2026-10-02")]),
            workdays: BTreeSet::from([day("2026-10-10")]),
            working_hours: Some(WorkingHours {
                days: vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri],
                from: time("09:30"),
                to: time("18:00"),
            }),
            ..Guardrails::default()
        }
    }

    #[track_caller]
    fn check(zone: Tz, what: Outgoing, at: &str, expected: Option<(&str, &str)>) {
        let found = closed(&office(), zone, what, local(zone, at));
        let shown = found.map(|c| (c.by, c.until.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string()));
        assert_eq!(shown.as_ref().map(|(by, until)| (*by, until.as_str())), expected, "{at}");
    }

    #[test]
    fn quiet_hours_that_pass_midnight_end_in_the_morning() {
        let zone = Tz::Asia__Shanghai;
        for (at, expected) in [
            ("2026-05-06 20:59", None),
            ("2026-05-06 21:00", Some(("quiet hours", "2026-05-07 09:00"))),
            ("2026-05-07 00:00", Some(("quiet hours", "2026-05-07 09:00"))),
            ("2026-05-07 08:59", Some(("quiet hours", "2026-05-07 09:00"))),
            ("2026-05-07 09:00", None),
            ("2026-09-30 22:00", Some(("quiet hours", "2026-10-03 09:00"))),
            ("2026-10-02 12:00", Some(("holiday", "2026-10-03 09:00"))),
        ] {
            check(zone, Outgoing::Nudge, at, expected);
        }
    }

    #[test]
    fn working_hours_bind_what_staff_must_act_on() {
        let zone = Tz::Asia__Shanghai;
        for (at, expected) in [
            ("2026-05-06 09:10", Some(("working hours", "2026-05-06 09:30"))),
            ("2026-05-06 09:30", None),
            ("2026-05-06 18:00", Some(("working hours", "2026-05-07 09:30"))),
            ("2026-05-08 18:00", Some(("working hours", "2026-05-11 09:30"))),
            ("2026-10-02 12:00", Some(("holiday", "2026-10-05 09:30"))),
            // A Saturday that was made a working day, and the one after it.
            ("2026-10-09 19:00", Some(("working hours", "2026-10-10 09:30"))),
            ("2026-10-10 12:00", None),
            ("2026-10-17 12:00", Some(("working hours", "2026-10-19 09:30"))),
        ] {
            check(zone, Outgoing::ToStaff, at, expected);
        }
    }

    #[test]
    fn a_clock_that_is_put_forward_or_back_moves_the_opening_with_it() {
        let zone = Tz::America__New_York;
        check(zone, Outgoing::Nudge, "2026-03-07 22:00", Some(("quiet hours", "2026-03-08 09:00")));
        check(zone, Outgoing::Nudge, "2026-10-31 22:00", Some(("quiet hours", "2026-11-01 09:00")));
        let until_half_past_two =
            Guardrails { quiet_hours: Some((time("22:00"), time("02:30"))), ..Guardrails::default() };
        let night = closed(&until_half_past_two, zone, Outgoing::Nudge, local(zone, "2026-03-07 23:00")).unwrap();
        // 02:30 does not exist that night: the clock goes from 02:00 to 03:00.
        assert_eq!(night.until, local(zone, "2026-03-08 03:00"));
    }

    #[test]
    fn the_opening_of_a_day_off_is_that_of_the_next_working_day() {
        let zone = Tz::Asia__Shanghai;
        for (on, opening) in [
            ("2026-05-06", "2026-05-06 09:30"),
            ("2026-05-09", "2026-05-11 09:30"),
            ("2026-10-01", "2026-10-05 09:30"),
            ("2026-10-10", "2026-10-10 09:30"),
        ] {
            assert_eq!(opening_on_or_after(&office(), zone, day(on)), local(zone, opening), "{on}");
        }
        let always = Guardrails::default();
        assert_eq!(opening_on_or_after(&always, zone, day("2026-05-09")), local(zone, "2026-05-09 00:00"));
    }

    #[test]
    fn hours_that_leave_no_opening_are_not_searched_for_ever() {
        let never = Guardrails { quiet_hours: Some((time("08:00"), time("20:00"))), ..office() };
        let at = local(Tz::Asia__Shanghai, "2026-05-06 12:00");
        let found = closed(&never, Tz::Asia__Shanghai, Outgoing::ToStaff, at).unwrap();
        assert!(found.until > at + Duration::days(399), "{found:?}");
    }

    #[test]
    fn a_budget_counts_today_and_the_days_before_it() {
        let budgets = [Budget { count: 1, days: 1 }, Budget { count: 2, days: 7 }];
        let check = |used: &[(&str, u32)], on: &str, expected: Result<(), NaiveDate>| {
            let used = used.iter().map(|(on, count)| (day(on), *count)).collect();
            assert_eq!(fits(&budgets, &used, day(on)), expected, "{used:?} {on}");
        };
        check(&[], "2026-05-06", Ok(()));
        check(&[("2026-05-06", 1)], "2026-05-06", Err(day("2026-05-07")));
        check(&[("2026-05-06", 1)], "2026-05-07", Ok(()));
        check(&[("2026-05-06", 1), ("2026-05-07", 1)], "2026-05-08", Err(day("2026-05-13")));
        check(&[("2026-05-06", 1), ("2026-05-07", 1)], "2026-05-13", Ok(()));
        assert_eq!(fits(&[], &BTreeMap::from([(day("2026-05-06"), 99)]), day("2026-05-06")), Ok(()));
        let none = [Budget { count: 0, days: 3 }];
        assert_eq!(fits(&none, &BTreeMap::new(), day("2026-05-06")), Err(day("2026-05-09")));
    }

    fn times() -> impl Strategy<Value = NaiveTime> {
        (0u32..24, prop::sample::select(vec![0u32, 1, 30, 59]))
            .prop_map(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0).unwrap())
    }

    fn days() -> impl Strategy<Value = BTreeSet<NaiveDate>> {
        prop::collection::btree_set((0u64..30).prop_map(|n| day("2026-03-01") + Days::new(n)), 0..5)
    }

    prop_compose! {
        fn any_guardrails()(
            quiet in prop::option::of((times(), times()).prop_filter("a span", |(from, to)| from != to)),
            holidays in days(),
            workdays in days(),
            hours in prop::option::of((prop::sample::subsequence(vec![
                Weekday::Mon, Weekday::Wed, Weekday::Fri, Weekday::Sat, Weekday::Sun], 1..5), times(), times())),
        ) -> Guardrails {
            let working_hours = hours.filter(|(_, from, to)| from < to)
                .map(|(days, from, to)| WorkingHours { days, from, to });
            Guardrails { quiet_hours: quiet, holidays, workdays, working_hours, ..Guardrails::default() }
        }
    }

    /// The rule again, said differently: minute by minute from the words of the playbook.
    fn is_open(guardrails: &Guardrails, zone: Tz, what: Outgoing, at: At) -> bool {
        let local = at.with_timezone(&zone);
        let minutes = |time: NaiveTime| time.hour() * 60 + time.minute();
        let now = minutes(local.time());
        let quiet = guardrails.quiet_hours.is_some_and(|(from, to)| {
            let (from, to) = (minutes(from), minutes(to));
            (now + 1440 - from) % 1440 < (to + 1440 - from) % 1440
        });
        let date = local.date_naive();
        let off = guardrails.working_hours.as_ref().is_some_and(|hours| {
            let day = guardrails.workdays.contains(&date) || hours.days.contains(&date.weekday());
            !day || !(minutes(hours.from)..minutes(hours.to)).contains(&now)
        });
        !(guardrails.holidays.contains(&date) || quiet || (off && what == Outgoing::ToStaff))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn closed_names_the_first_open_minute_and_is_none_exactly_when_open(
            guardrails in any_guardrails(),
            zone in prop::sample::select(vec![
                Tz::Asia__Shanghai, Tz::America__New_York, Tz::Europe__Berlin, Tz::Australia__Lord_Howe]),
            to_staff in any::<bool>(),
            // March 2026 has both of the northern changes of the clock; 5 April the southern one.
            second in 0i64..40 * 86_400,
        ) {
            let what = if to_staff { Outgoing::ToStaff } else { Outgoing::Nudge };
            let at = Utc.timestamp_opt(1_772_323_200 + second, 0).unwrap();
            match closed(&guardrails, zone, what, at) {
                None => prop_assert!(is_open(&guardrails, zone, what, at)),
                Some(found) => {
                    prop_assert!(!is_open(&guardrails, zone, what, at));
                    prop_assert!(found.until > at);
                    let next_minute = at + Duration::seconds(60 - second.rem_euclid(60));
                    let mut minute = next_minute;
                    while minute < found.until.min(at + Duration::days(45)) {
                        prop_assert!(!is_open(&guardrails, zone, what, minute), "open at {minute}");
                        minute += Duration::minutes(1);
                    }
                    if found.until - at < FURTHEST {
                        prop_assert!(is_open(&guardrails, zone, what, found.until));
                        prop_assert_eq!(found.until.second(), 0);
                    }
                }
            }
        }

        #[test]
        fn no_window_ever_holds_more_than_its_count(
            budgets in prop::collection::vec((0u32..4, 1u32..9), 1..3),
            wishes in prop::collection::vec(0u64..20, 0..60),
        ) {
            let budgets: Vec<Budget> = budgets.into_iter().map(|(count, days)| Budget { count, days }).collect();
            let mut used: BTreeMap<NaiveDate, u32> = BTreeMap::new();
            let first = day("2026-05-01");
            for wish in wishes {
                let on = first + Days::new(wish);
                match fits(&budgets, &used, on) {
                    Ok(()) => *used.entry(on).or_default() += 1,
                    Err(later) => {
                        prop_assert!(later > on);
                        let works = budgets.iter().all(|budget| budget.count > 0);
                        prop_assert_eq!(fits(&budgets, &used, later).is_ok(), works);
                        for between in on.iter_days().skip(1).take_while(|between| *between < later) {
                            prop_assert!(fits(&budgets, &used, between).is_err());
                        }
                    }
                }
            }
            for budget in budgets {
                for end in first.iter_days().take(30) {
                    let begin = end - Days::new(u64::from(budget.days - 1));
                    let count: u32 = used.range(begin..=end).map(|(_, count)| count).sum();
                    prop_assert!(count <= budget.count, "{count} by {end}");
                }
            }
        }
    }
}
