//! Arithmetic with moments that cannot overflow, and moments as people write them.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;

use crate::domain::At;
use crate::playbook::times::on_the_clock;

/// 1970 to 2200: what a moment from outside may be. Arithmetic on such moments stays far from the ends of the calendar.
const LATEST_MS: i64 = 7_258_118_400_000;

/// A moment from outside, if it is one that can be.
pub(super) fn from_millis(milliseconds: i64) -> Option<At> {
    (0..=LATEST_MS).contains(&milliseconds).then(|| DateTime::from_timestamp_millis(milliseconds)).flatten()
}

/// The moment that long after.
pub(super) fn after(at: At, wait: Duration) -> At {
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| at.checked_add_signed(wait))
        .unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
}

/// The moment that long before.
pub(super) fn before(at: At, wait: Duration) -> At {
    TimeDelta::from_std(wait).ok().and_then(|wait| at.checked_sub_signed(wait)).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The next full minute, never this very moment: what falls due within a minute is looked at together at its end.
pub(super) fn end_of_minute(at: At) -> At {
    let milliseconds = at.timestamp_millis();
    let next = milliseconds.saturating_add(60_000 - milliseconds.rem_euclid(60_000));
    DateTime::from_timestamp_millis(next).unwrap_or(at)
}

/// The first moment of a day by the zone's clock.
pub(super) fn start_of(zone: Tz, day: NaiveDate) -> At {
    on_the_clock(zone, day.and_time(NaiveTime::MIN))
}

/// The next such time of day, on that weekday if one is named; never this very moment.
pub(super) fn next_time_of_day(zone: Tz, at: At, day: Option<Weekday>, time: NaiveTime) -> At {
    let today = at.with_timezone(&zone).date_naive();
    let days = (0..9).map(|ahead| today + Days::new(ahead)).filter(|date| day.is_none_or(|day| date.weekday() == day));
    let mut moments = days.map(|date| on_the_clock(zone, date.and_time(time)));
    moments.find(|moment| *moment > at).unwrap_or_else(|| after(at, Duration::from_secs(86_400)))
}

/// `2026-05-06 10:00` in the zone.
pub(super) fn written(zone: Tz, at: At) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDateTime, TimeZone as _};

    use super::*;

    fn local(text: &str) -> At {
        let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        chrono_tz::Asia::Shanghai.from_local_datetime(&naive).unwrap().to_utc()
    }

    #[test]
    fn the_end_of_the_minute_is_never_now() {
        for (at, end) in [
            ("2026-05-06 10:00:00", "2026-05-06 10:01:00"),
            ("2026-05-06 10:00:01", "2026-05-06 10:01:00"),
            ("2026-05-06 23:59:59", "2026-05-07 00:00:00"),
        ] {
            assert_eq!(end_of_minute(local(at)), local(end), "{at}");
        }
    }

    #[test]
    fn the_next_time_of_day_is_today_tomorrow_or_on_its_weekday() {
        let ten = NaiveTime::from_hms_opt(10, 0, 0).unwrap();
        for (at, day, next) in [
            ("2026-05-06 09:59:59", None, "2026-05-06 10:00:00"),
            ("2026-05-06 10:00:00", None, "2026-05-07 10:00:00"),
            ("2026-05-06 12:00:00", Some(Weekday::Mon), "2026-05-11 10:00:00"),
            ("2026-05-06 12:00:00", Some(Weekday::Wed), "2026-05-13 10:00:00"),
            ("2026-05-06 08:00:00", Some(Weekday::Wed), "2026-05-06 10:00:00"),
        ] {
            assert_eq!(next_time_of_day(chrono_tz::Asia::Shanghai, local(at), day, ten), local(next), "{at}");
        }
    }

    #[test]
    fn a_time_that_the_clock_leaps_over_comes_when_it_has_leapt() {
        let zone = Tz::America__New_York;
        let half_past_two = NaiveTime::from_hms_opt(2, 30, 0).unwrap();
        let evening = zone.with_ymd_and_hms(2026, 3, 7, 20, 0, 0).unwrap().to_utc();
        let next = next_time_of_day(zone, evening, None, half_past_two);
        assert_eq!(next, zone.with_ymd_and_hms(2026, 3, 8, 3, 0, 0).unwrap().to_utc());
    }

    #[test]
    fn nothing_overflows() {
        let far = Duration::from_secs(u64::MAX);
        assert_eq!(after(local("2026-05-06 10:00:00"), far), DateTime::<chrono::Utc>::MAX_UTC);
        assert_eq!(before(local("2026-05-06 10:00:00"), far), DateTime::UNIX_EPOCH);
        assert_eq!(from_millis(i64::MAX), None);
        assert_eq!(from_millis(-1), None);
    }
}
