//! Durations, times of day, days, schedules and budgets as the playbook writes them.

use std::str::FromStr;
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Weekday};
use chrono_tz::Tz;

use super::diagnostic::Report;
use super::model::{Budget, Schedule, WorkingHours};
use super::reader;
use super::tree::Node;
use crate::domain::At;

/// Longer waits than this are a slip of the pen.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

const SECONDS_PER_DAY: u64 = 86_400;

/// What is no duration, time, day, schedule or budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTime {
    #[error("not of the form that is wanted")]
    Form,
    #[error("longer than ten years")]
    TooLong,
    #[error("a schedule has six fields, seconds first")]
    Fields,
    #[error("days of the week go by names: Mon to Sun")]
    NumericWeekday,
    #[error("such a moment never comes")]
    Never,
}

/// `30s`, `10m`, `2h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, BadTime> {
    let unit = text.chars().next_back().ok_or(BadTime::Form)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => SECONDS_PER_DAY,
        _ => return Err(BadTime::Form),
    };
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadTime::Form);
    }
    let count: u64 = digits.parse().ok().ok_or(BadTime::TooLong)?;
    let duration = Duration::from_secs(count.checked_mul(seconds).ok_or(BadTime::TooLong)?);
    if duration > LONGEST { Err(BadTime::TooLong) } else { Ok(duration) }
}

/// `09:00`, from 00:00 to 23:59.
pub(crate) fn parse_time_of_day(text: &str) -> Result<NaiveTime, BadTime> {
    let (hour, minute) = text.split_once(':').ok_or(BadTime::Form)?;
    let number = |part: &str, longest: usize| {
        let fits = (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse::<u32>().ok().ok_or(BadTime::Form) } else { Err(BadTime::Form) }
    };
    if minute.len() != 2 {
        return Err(BadTime::Form);
    }
    NaiveTime::from_hms_opt(number(hour, 2)?, number(minute, 2)?, 0).ok_or(BadTime::Form)
}

/// `21:00-09:00`.
pub(crate) fn parse_span_of_day(text: &str) -> Result<(NaiveTime, NaiveTime), BadTime> {
    let (from, to) = text.split_once('-').ok_or(BadTime::Form)?;
    let span = (parse_time_of_day(from.trim())?, parse_time_of_day(to.trim())?);
    if span.0 == span.1 { Err(BadTime::Form) } else { Ok(span) }
}

/// `Mon` to `Sun`.
pub(crate) fn parse_weekday(text: &str) -> Result<Weekday, BadTime> {
    let days = [
        ("Mon", Weekday::Mon),
        ("Tue", Weekday::Tue),
        ("Wed", Weekday::Wed),
        ("Thu", Weekday::Thu),
        ("Fri", Weekday::Fri),
        ("Sat", Weekday::Sat),
        ("Sun", Weekday::Sun),
    ];
    days.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, day)| day).ok_or(BadTime::Form)
}

/// `Mon-Fri 09:00-18:00`; days may be a list such as `Mon-Fri,Sun`.
pub(crate) fn parse_working_hours(text: &str) -> Result<WorkingHours, BadTime> {
    let (days, hours) = text.trim().split_once(' ').ok_or(BadTime::Form)?;
    let (from, to) = parse_span_of_day(hours.trim())?;
    if to < from {
        return Err(BadTime::Form);
    }
    let mut parsed = Vec::new();
    for part in days.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (parse_weekday(first)?, parse_weekday(last)?);
        parsed.push(day);
        while day != last {
            day = day.succ();
            parsed.push(day);
        }
    }
    parsed.sort_by_key(Weekday::num_days_from_monday);
    parsed.dedup();
    Ok(WorkingHours { days: parsed, from, to })
}

/// `10:00` or `Mon 10:00`.
pub(crate) fn parse_moment(text: &str) -> Result<(Option<Weekday>, NaiveTime), BadTime> {
    match text.split_once(' ') {
        Some((day, time)) => Ok((Some(parse_weekday(day)?), parse_time_of_day(time.trim())?)),
        None => Ok((None, parse_time_of_day(text)?)),
    }
}

/// `2026-10-01`.
pub(crate) fn parse_date(text: &str) -> Result<NaiveDate, BadTime> {
    NaiveDate::from_str(text).ok().ok_or(BadTime::Form)
}

/// `2 per 7d`, in whole days.
pub(crate) fn parse_budget(text: &str) -> Result<Budget, BadTime> {
    let (count, per) = text.split_once(" per ").ok_or(BadTime::Form)?;
    let count = count.trim().parse().ok().ok_or(BadTime::Form)?;
    let seconds = parse_duration(per.trim())?.as_secs();
    if seconds == 0 || !seconds.is_multiple_of(SECONDS_PER_DAY) {
        return Err(BadTime::Form);
    }
    let days = u32::try_from(seconds / SECONDS_PER_DAY).ok().ok_or(BadTime::TooLong)?;
    Ok(Budget { count, days })
}

/// Six fields, seconds first, days of the week by name.
///
/// The `cron` crate counts numbered weekdays from Sunday = 1, which surprises everybody who counts from 0.
pub(crate) fn parse_schedule(text: &str) -> Result<Schedule, BadTime> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, _, _, _, _, weekdays] = fields.as_slice() else { return Err(BadTime::Fields) };
    if weekdays.split('/').next().is_some_and(|days| days.bytes().any(|byte| byte.is_ascii_digit())) {
        return Err(BadTime::NumericWeekday);
    }
    let source = fields.join(" ");
    let cron = Box::new(cron::Schedule::from_str(&source).ok().ok_or(BadTime::Form)?);
    // A fixed moment keeps this a function of its argument; any schedule that ever comes again comes within 8 years.
    let since = chrono::DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    let comes = cron.after(&since).next().is_some();
    if comes { Ok(Schedule { source, cron }) } else { Err(BadTime::Never) }
}

/// Reads a duration.
pub(crate) fn duration(node: &Node, report: &mut Report) -> Option<Duration> {
    reader::parsed(node, "a duration such as 30s, 10m, 2h or 7d", parse_duration, report)
}

/// Reads a duration that is not zero.
pub(crate) fn some_time(node: &Node, report: &mut Report) -> Option<Duration> {
    let duration = duration(node, report)?;
    if duration.is_zero() {
        report.error(node.span, "bad-value", "zero makes no sense here");
        return None;
    }
    Some(duration)
}

/// Reads a schedule.
pub(crate) fn schedule(node: &Node, report: &mut Report) -> Option<Schedule> {
    let text = reader::text(node, report)?;
    match parse_schedule(text) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let fault = report.error(node.span, "bad-schedule", format!("`{text}` is not a schedule: {error}"));
            fault.hint("seconds minutes hours day month weekday, such as \"0 0 9 * * Mon-Fri\"");
            None
        }
    }
}

/// The moment at which the zone's clock shows this; where the clock leaps over it, the first moment after the leap; where it
/// shows it twice, the first.
#[must_use]
pub(crate) fn on_the_clock(zone: Tz, local: NaiveDateTime) -> At {
    let quarters = (0..=12).map(|quarter| local + TimeDelta::minutes(15 * quarter));
    let mut shown = quarters.filter_map(|local| zone.from_local_datetime(&local).earliest());
    shown.next().map_or_else(|| local.and_utc(), |moment| moment.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: std::fmt::Debug + PartialEq>(parse: fn(&str) -> Result<T, BadTime>, good: &[(&str, T)], bad: &[&str]) {
        for (text, expected) in good {
            assert_eq!(parse(text).as_ref(), Ok(expected), "{text}");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let seconds = Duration::from_secs;
        check(
            parse_duration,
            &[
                ("30s", seconds(30)),
                ("10m", seconds(600)),
                ("2h", seconds(7200)),
                ("7d", seconds(604_800)),
                ("0s", seconds(0)),
            ],
            &["", "s", "7", "7 d", "-1d", "1.5h", "1w", "٣d", "99999999999999999999d", "3651d", "7D"],
        );
    }

    #[test]
    fn times_of_day_have_hours_and_minutes() {
        let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        check(
            parse_time_of_day,
            &[("09:00", time(9, 0)), ("9:05", time(9, 5)), ("00:00", time(0, 0)), ("23:59", time(23, 59))],
            &["24:00", "9", "09:5", "09:60", "9:00:00", "", ":", "+9:00"],
        );
        check(parse_span_of_day, &[("21:00-09:00", (time(21, 0), time(9, 0)))], &["21:00", "09:00-09:00", "a-b"]);
        check(
            parse_moment,
            &[("10:00", (None, time(10, 0))), ("Mon 10:00", (Some(Weekday::Mon), time(10, 0)))],
            &["Monday 10:00", "Mon", "1 10:00"],
        );
    }

    #[test]
    fn working_hours_are_days_and_a_span() {
        let hours = parse_working_hours("Sat-Mon,Wed 09:00-18:00").unwrap();
        assert_eq!(hours.days, [Weekday::Mon, Weekday::Wed, Weekday::Sat, Weekday::Sun]);
        for text in ["Mon-Fri", "09:00-18:00", "Mon-Fri 18:00-09:00", "Mo-Fr 09:00-18:00", "1-5 09:00-18:00"] {
            assert!(parse_working_hours(text).is_err(), "{text}");
        }
    }

    #[test]
    fn budgets_are_counted_in_whole_days() {
        check(
            parse_budget,
            &[("2 per 7d", Budget { count: 2, days: 7 }), ("1 per 24h", Budget { count: 1, days: 1 })],
            &["2 per 12h", "2", "two per 7d", "2 per 0d", "-1 per 7d", "2per7d"],
        );
    }

    #[test]
    fn schedules_have_six_fields_and_days_by_name() {
        for text in ["0 0 9 * * Mon-Fri", "0 30 2 * * *", "0 0 4 1 * *", "0 */15 9-18 * * Mon,Wed", "0 0 0 29 2 *"] {
            assert!(parse_schedule(text).is_ok(), "{text}");
        }
        for (text, error) in [
            ("0 9 * * Mon", BadTime::Fields),
            ("0 0 9 * * Mon 2026", BadTime::Fields),
            ("0 0 9 * * 1-5", BadTime::NumericWeekday),
            ("0 0 9 * * 0", BadTime::NumericWeekday),
            ("0 0 9 * * Mon#1", BadTime::NumericWeekday),
            ("0 0 9 L * *", BadTime::Form),
            ("0 61 9 * * *", BadTime::Form),
            ("0 0 0 30 2 *", BadTime::Never),
        ] {
            assert_eq!(parse_schedule(text), Err(error), "{text}");
        }
    }
}
