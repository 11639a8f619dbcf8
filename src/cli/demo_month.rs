//! The month that `demo --script` plays: who adds whom, who buys, comes, books, leaves.
//!
//! Customers come in groups, and all of one group do the same; what follows for each group is worked out by hand in
//! `demo_golden`. Nothing is left to chance: ids, names and moments follow from a customer's number.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _};

use crate::domain::At;
use crate::sandbox::{Confirm, Staff};

use Deed::{AddsAgain, AddsToo, Books, Buys, Deletes, IsDeleted, OptsOut, Refunds, SendsOldOrder, Visits};
use Rhythm::{Daily, Every5, Every10, Together};

/// The business day on which the month begins; day 1 below. Day 31 is 1 October, a holiday of the sample company.
const FIRST_DAY: (i32, u32, u32) = (2026, 9, 1);
/// When the doors open.
const OPENS: (u32, &str) = (1, "08:00");
/// When the play is over: Saturday, 3 October.
const CLOSES: (u32, &str) = (33, "21:00");
/// Dormant customers bought last on this day.
const LONG_AGO: &str = "2026-07-01T12:00:00+08:00";

/// A group of customers who all do the same.
pub(super) struct Group {
    /// What the golden table calls it.
    pub(super) name: &'static str,
    /// How many they are.
    pub(super) size: u32,
    /// Whom they add.
    staff: &'static str,
    /// The state of the code they scan; none when they find the staff member otherwise.
    state: &'static str,
    /// The day on which the first of them does so.
    day: u32,
    /// At what time.
    time: &'static str,
    /// How the others follow.
    rhythm: Rhythm,
    /// What each does later: so many days after adding, at that time.
    deeds: &'static [(u32, &'static str, Deed)],
}

/// How the customers of a group follow one another.
enum Rhythm {
    /// One a day.
    Daily,
    /// All that day, 5 minutes apart.
    Every5,
    /// All that day, 10 minutes apart.
    Every10,
    /// One a day; WeCom tells of the adding in two steps, half a minute apart.
    Together,
}

/// What a customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Adds a staff member, with the state of a code; half first when so.
    Adds { staff: &'static str, state: &'static str, half: bool },
    /// Adds another staff member too.
    AddsToo(&'static str, &'static str),
    /// Comes back after deleting.
    AddsAgain(&'static str),
    /// Pays an order of so many yuan.
    Buys(u32),
    /// The shop sends an order of long ago, of so many yuan.
    SendsOldOrder(u32),
    /// Gives the first order back.
    Refunds,
    /// Comes to a store.
    Visits,
    /// Books a fitting in the mini program.
    Books,
    /// Wants no more nudges.
    OptsOut,
    /// Deletes the staff member.
    Deletes,
    /// Is deleted by the staff member.
    IsDeleted,
}

const fn group(
    (name, size): (&'static str, u32),
    (staff, state): (&'static str, &'static str),
    (day, time, rhythm): (u32, &'static str, Rhythm),
    deeds: &'static [(u32, &'static str, Deed)],
) -> Group {
    Group { name, size, staff, state, day, time, rhythm, deeds }
}

/// Everybody, in the order of their numbers.
pub(super) const GROUPS: &[Group] = &[
    // Newcomers who do nothing more: with a prompt, a slow and an idle staff member, at night, before and on the holiday.
    group(("A", 16), ("lili", "store-01"), (1, "11:00", Daily), &[]),
    group(("B", 14), ("wangwei", "store-02"), (2, "14:00", Daily), &[]),
    group(("C", 12), ("zhaomin", "web-01"), (1, "16:00", Daily), &[]),
    group(("D", 10), ("lili", "web-02"), (3, "22:30", Daily), &[]),
    group(("E1", 6), ("lili", "store-01"), (30, "15:00", Every10), &[]),
    group(("E2", 2), ("lili", "store-01"), (31, "10:00", Every10), &[]),
    // Who buys after three days.
    group(("F1", 9), ("lili", "store-01"), (4, "12:00", Daily), &[(3, "12:00", Buys(399))]),
    group(("F2", 9), ("wangwei", "store-02"), (5, "13:00", Daily), &[(3, "13:00", Buys(399))]),
    group(("F3", 4), ("zhaomin", "web-01"), (6, "16:30", Daily), &[(3, "15:00", Buys(399))]),
    // Who books a fitting.
    group(("G", 8), ("lili", "store-01"), (8, "17:00", Daily), &[(3, "15:00", Books)]),
    // A Saturday's event in the store: more cards eight days later than a staff member may get in a day.
    group(("H", 30), ("lili", "store-01"), (5, "13:00", Every5), &[]),
    // Who comes to the store and buys nothing, and who buys there.
    group(("V1", 6), ("lili", "store-01"), (10, "15:30", Daily), &[(2, "15:00", Visits)]),
    group(("V2", 4), ("zhaomin", "web-01"), (14, "10:30", Daily), &[(2, "15:00", Visits)]),
    group(("VB", 6), ("wangwei", "store-02"), (14, "11:30", Daily), &[(2, "15:00", Visits), (2, "16:00", Buys(399))]),
    // Who gives the order back.
    group(("R1", 3), ("lili", "store-01"), (13, "18:00", Daily), &[(2, "12:00", Buys(599)), (4, "11:00", Refunds)]),
    group(("R2", 3), ("zhaomin", "web-01"), (6, "18:30", Daily), &[(2, "12:00", Buys(599)), (4, "11:00", Refunds)]),
    // Who spends so much as to be a VIP on the members' day, 8 September: before it, and two hours before its message.
    group(("VIP", 8), ("lili", "store-01"), (2, "10:00", Every10), &[(1, "20:30", Buys(5200))]),
    group(("VC", 4), ("lili", "store-01"), (5, "17:00", Every10), &[(3, "08:00", Buys(5200))]),
    // Who bought a lot long ago; some come back by themselves.
    group(
        ("K1", 3),
        ("lili", "store-01"),
        (9, "15:00", Every10),
        &[(1, "08:00", SendsOldOrder(2600)), (3, "14:00", Visits)],
    ),
    group(("K2", 5), ("lili", "store-01"), (9, "15:30", Every10), &[(1, "08:00", SendsOldOrder(2600))]),
    // Who buys three times.
    group(
        ("L", 6),
        ("lili", "store-01"),
        (3, "10:30", Every10),
        &[(2, "12:00", Buys(300)), (7, "12:00", Buys(300)), (12, "12:00", Buys(300))],
    ),
    // Who leaves: deletes, is deleted, deletes at once, deletes and comes back.
    group(("M1", 3), ("lili", "store-01"), (10, "19:00", Daily), &[(3, "12:00", Deletes)]),
    group(("M2", 2), ("wangwei", "store-02"), (10, "19:00", Daily), &[(3, "12:00", IsDeleted)]),
    group(("M3", 2), ("wangwei", "store-02"), (16, "12:30", Daily), &[(0, "13:00", Deletes)]),
    group(
        ("M4", 2),
        ("lili", "store-01"),
        (14, "12:30", Daily),
        &[(2, "10:00", Deletes), (6, "15:00", AddsAgain("store-01"))],
    ),
    // Who opts out: after the first message, with an order just paid, with a message held for the night.
    group(("N1", 5), ("lili", "store-01"), (11, "16:00", Daily), &[(2, "12:00", OptsOut)]),
    group(("N2", 2), ("lili", "store-01"), (16, "16:00", Daily), &[(2, "12:00", Buys(399)), (2, "13:00", OptsOut)]),
    group(("N3", 2), ("lili", "web-02"), (18, "22:30", Daily), &[(2, "08:00", OptsOut)]),
    // Who scans no code, whose adding comes in two steps, who adds a second staff member.
    group(("O", 6), ("zhaomin", ""), (13, "15:30", Daily), &[]),
    group(("P", 4), ("wangwei", "store-02"), (16, "14:30", Together), &[]),
    group(("T", 4), ("lili", "web-02"), (7, "12:30", Daily), &[(2, "12:30", AddsToo("wangwei", "store-02"))]),
];

/// A customer of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// 1 to 200, in the order of the groups.
    pub(super) number: u32,
    /// The group.
    pub(super) group: &'static str,
    /// Whom they add first.
    pub(super) staff: &'static str,
}

impl Person {
    /// The `external_userid`.
    pub(super) fn id(&self) -> String {
        id_of(self.number)
    }

    /// Nobody else has this name.
    pub(super) fn name(&self) -> String {
        const FAMILY: [&str; 20] = [
            "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭",
            "马", "罗",
        ];
        const GIVEN: [&str; 10] = ["晓", "静", "雅", "婷", "欣", "怡", "瑶", "洁", "颖", "薇"];
        let place = usize::try_from(self.number - 1).unwrap_or_default();
        let family = FAMILY[place / GIVEN.len() % FAMILY.len()];
        format!("{family}{}", GIVEN[place % GIVEN.len()])
    }
}

/// The `external_userid` of a number.
pub(super) fn id_of(number: u32) -> String {
    format!("wmShiyi{number:03}")
}

/// Somebody does something at a moment.
pub(super) struct Scene {
    pub(super) at: At,
    pub(super) person: Person,
    pub(super) deed: Deed,
    /// Which of this person's deeds it is; names their orders and events.
    pub(super) nth: usize,
}

/// When the month opens.
pub(super) fn opens() -> anyhow::Result<At> {
    moment(OPENS.0, OPENS.1)
}

/// When it closes.
pub(super) fn closes() -> anyhow::Result<At> {
    moment(CLOSES.0, CLOSES.1)
}

/// Calendar days from the first to the last.
pub(super) fn days() -> anyhow::Result<Vec<NaiveDate>> {
    let first = date(1)?;
    Ok(first.iter_days().take(usize::try_from(CLOSES.0)?).collect())
}

/// When the old orders were paid.
pub(super) fn long_ago() -> &'static str {
    LONG_AGO
}

/// A calendar day of the month.
pub(super) fn date(day: u32) -> anyhow::Result<NaiveDate> {
    let (year, month, first) = FIRST_DAY;
    let first = NaiveDate::from_ymd_opt(year, month, first).context("the first day is none")?;
    Ok(first + TimeDelta::days(i64::from(day) - 1))
}

/// The moment at which the shop's clock shows this.
fn moment(day: u32, time: &str) -> anyhow::Result<At> {
    let time = NaiveTime::parse_from_str(time, "%H:%M").with_context(|| format!("{time} is no time of day"))?;
    let local: NaiveDateTime = date(day)?.and_time(time);
    let zone = FixedOffset::east_opt(8 * 3600).context("8 h is no offset")?;
    Ok(zone.from_local_datetime(&local).single().context("a moment that is not there")?.to_utc())
}

/// Everybody.
pub(super) fn people() -> Vec<Person> {
    let each = GROUPS.iter().flat_map(|group| (0..group.size).map(move |_| group));
    (1..).zip(each).map(|(number, group)| Person { number, group: group.name, staff: group.staff }).collect()
}

/// Everything that happens, in order.
pub(super) fn scenes() -> anyhow::Result<Vec<Scene>> {
    let mut scenes = Vec::new();
    let mut number = 0;
    for group in GROUPS {
        for place in 0..group.size {
            number += 1;
            let person = Person { number, group: group.name, staff: group.staff };
            let (days, minutes, half) = match group.rhythm {
                Daily => (place, 0, false),
                Together => (place, 0, true),
                Every5 => (0, 5 * place, false),
                Every10 => (0, 10 * place, false),
            };
            let day = group.day + days;
            let at = moment(day, group.time)? + TimeDelta::minutes(i64::from(minutes));
            let deed = Deed::Adds { staff: group.staff, state: group.state, half };
            scenes.push(Scene { at, person: person.clone(), deed, nth: 0 });
            for (nth, (after, time, deed)) in (1..).zip(group.deeds) {
                let at = moment(day + after, time)?;
                scenes.push(Scene { at, person: person.clone(), deed: *deed, nth });
            }
        }
    }
    scenes.sort_by_key(|scene| (scene.at, scene.person.number));
    Ok(scenes)
}

/// The staff, each with habits of their own.
pub(super) fn staff() -> Vec<Staff> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    vec![
        // Does everything soon, and does not like to ask for referrals.
        Staff::new("lili", "李丽")
            .confirming(Confirm::After(minutes(10)))
            .tapping("老客三单以上", "dismiss", minutes(20))
            .tapping("", "done", minutes(20)),
        // Has to be reminded, and puts off what can wait.
        Staff::new("wangwei", "王伟")
            .confirming(Confirm::AfterReminder(minutes(60)))
            .tapping("【已到期】", "done", minutes(60))
            .tapping("【稍后提醒】", "done", minutes(30))
            .tapping("首单满一周", "snooze", minutes(30)),
        // Touches nothing.
        Staff::new("zhaomin", "赵敏"),
        // The manager.
        Staff::new("zhangsan", "张珊").tapping("", "done", minutes(30)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_hundred_people_with_names_of_their_own_do_everything_before_the_month_closes() {
        let people = people();
        assert_eq!(people.len(), 200);
        assert_eq!(people.iter().map(Person::name).collect::<BTreeSet<_>>().len(), 200);
        let scenes = scenes().unwrap();
        assert!(scenes.iter().all(|scene| scene.at > opens().unwrap() && scene.at < closes().unwrap()));
    }
}
