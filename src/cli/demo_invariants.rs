//! Rules that hold for any month: computed from WeCom's book and from what people did, not from the golden numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{Datelike as _, NaiveDate, NaiveTime, TimeDelta, Weekday};

use crate::decide;
use crate::domain::At;
use crate::domain::ids::ExternalUserId;
use crate::playbook::model::{Budget, Guardrails, Journey, Playbook};
use crate::sandbox::What;

use super::demo_book::{self, AGAIN, Book};
use super::demo_checks::{Check, welcomes};
use super::demo_month::{self, Deed, Scene};

/// WeCom's time for a welcome.
const WELCOME_WITHIN_MS: i64 = 20_000;

/// Every rule.
pub(super) fn of(book: &Book, playbook: &Playbook) -> anyhow::Result<Vec<Check>> {
    let scenes = demo_month::scenes()?;
    Ok(vec![
        welcomes_in_time(book, &scenes),
        quiet_hours(book, &playbook.guardrails),
        working_hours(book, &playbook.guardrails),
        customer_budget(book, &playbook.guardrails.customer_budget),
        staff_budget(book, &playbook.guardrails.staff_budget),
        holdout(book, &playbook.journeys),
        nothing_twice(book),
        nobody_who_left(book, &scenes),
    ])
}

/// One welcome for each adding, within WeCom's 20 s.
fn welcomes_in_time(book: &Book, scenes: &[Scene]) -> Check {
    let mut owed: BTreeMap<(String, &str), i64> = BTreeMap::new();
    for scene in scenes {
        let userid = match scene.deed {
            Deed::Adds { staff, .. } | Deed::AddsToo(staff, _) => staff,
            Deed::AddsAgain(_) => scene.person.staff,
            Deed::Buys(_)
            | Deed::SendsOldOrder(_)
            | Deed::Refunds
            | Deed::Visits
            | Deed::Books
            | Deed::OptsOut
            | Deed::Deletes
            | Deed::IsDeleted => continue,
        };
        *owed.entry((scene.person.id(), userid)).or_default() += 1;
    }
    let sent = welcomes(book);
    let late = sent.iter().filter(|(_, _, after_ms)| !(0..=WELCOME_WITHIN_MS).contains(after_ms));
    let mut told: Vec<String> = late.map(|(customer, _, ms)| format!("{customer}: after {ms} ms")).collect();
    for (customer, userid, _) in &sent {
        *owed.entry(((*customer).to_owned(), userid)).or_default() -= 1;
    }
    let wrong = owed.into_iter().filter(|(_, left)| *left != 0);
    told.extend(wrong.map(|((customer, userid), left)| format!("{customer} with {userid}: {left} welcomes missing")));
    let slowest = sent.iter().map(|(_, _, ms)| *ms).max().unwrap_or_default();
    Check::new(format!("{} addings, each welcomed once and within 20 s (slowest {slowest} ms)", sent.len()), told)
}

/// When something went out to customers.
fn quiet_hours(book: &Book, rules: &Guardrails) -> Check {
    let is_quiet = |time: NaiveTime| {
        rules.quiet_hours.is_some_and(|(from, to)| match from <= to {
            true => (from..to).contains(&time),
            false => time >= from || time < to,
        })
    };
    let told = book.receipts.iter().filter(|receipt| is_bound(&receipt.what)).filter_map(|receipt| {
        let local = book.local(receipt.at);
        let why = if rules.holidays.contains(&local.date_naive()) {
            "a holiday"
        } else if is_quiet(local.time()) {
            "quiet hours"
        } else {
            return None;
        };
        Some(format!("{} ({why}): {}", local.format("%m-%d %H:%M:%S"), named(&receipt.what)))
    });
    Check::new("no nudge, card, reminder or text to staff in quiet hours or on a holiday", told.collect())
}

fn named(what: &What) -> String {
    demo_book::name_of(what).map_or_else(|| "a digest".to_owned(), |(name, _)| name)
}

/// Whether guardrails bind it: welcomes, tags, taps and what follows from a tap are free.
fn is_bound(what: &What) -> bool {
    match what {
        What::MassTask { .. }
        | What::MassReminder { .. }
        | What::Card { .. }
        | What::Text { .. }
        | What::Markdown { .. } => true,
        What::Welcome { .. }
        | What::Mass { .. }
        | What::MassNotSent { .. }
        | What::Tagged { .. }
        | What::Untagged { .. }
        | What::CardUpdated { .. }
        | What::Tapped { .. }
        | What::Dropped { .. }
        | What::Repeated { .. } => false,
    }
}

/// When staff were asked for something.
fn working_hours(book: &Book, rules: &Guardrails) -> Check {
    let works = |at: At| {
        let local = book.local(at);
        rules.working_hours.as_ref().is_none_or(|hours| {
            let day = hours.days.contains(&local.weekday()) || rules.workdays.contains(&local.date_naive());
            day && (hours.from..hours.to).contains(&local.time())
        })
    };
    let asked = book.receipts.iter().filter(|receipt| is_bound(&receipt.what));
    let to_staff = asked.filter(|receipt| !matches!(receipt.what, What::MassTask { .. }));
    let told = to_staff.filter(|receipt| !works(receipt.at));
    let told =
        told.map(|receipt| format!("{}: {}", book.local(receipt.at).format("%m-%d %H:%M:%S"), named(&receipt.what)));
    let sundays = book.cards().filter(|card| book.local(card.at).weekday() == Weekday::Sun).count();
    Check::new(
        format!("cards, reminders and texts to staff in working hours only ({sundays} on Sundays)"),
        told.collect(),
    )
}

type ByDay = BTreeMap<NaiveDate, u32>;

/// Days on which a budget's window held more than its count.
fn over(budgets: &[Budget], used: &ByDay) -> Vec<String> {
    let mut told = Vec::new();
    for budget in budgets {
        for end in used.keys() {
            let begin = *end - TimeDelta::days(i64::from(budget.days) - 1);
            let count: u32 = used.range(begin..=*end).map(|(_, count)| count).sum();
            if count > budget.count {
                told.push(format!("{count} in the {} days to {end}, {} are allowed", budget.days, budget.count));
            }
        }
    }
    told
}

fn customer_budget(book: &Book, budgets: &[Budget]) -> Check {
    let mut used: BTreeMap<String, ByDay> = BTreeMap::new();
    let by_mass = book.asked().map(|asked| (asked.customer.to_owned(), asked.at));
    let by_staff = book.cards().filter(|card| card.is_nudge()).filter_map(|card| Some((card.about?.id(), card.at)));
    for (customer, at) in by_mass.chain(by_staff) {
        *used.entry(customer).or_default().entry(book.day(at)).or_default() += 1;
    }
    let told =
        used.iter().flat_map(|(who, used)| over(budgets, used).into_iter().map(move |told| format!("{who}: {told}")));
    Check::new(format!("no customer over customer_budget ({})", written(budgets)), told.collect())
}

/// A card that comes back from being put off was counted when it came first.
fn staff_budget(book: &Book, budgets: &[Budget]) -> Check {
    let mut used: BTreeMap<&str, ByDay> = BTreeMap::new();
    for card in book.cards().filter(|card| !card.title.starts_with(AGAIN)) {
        *used.entry(card.userid).or_default().entry(book.day(card.at)).or_default() += 1;
    }
    let told =
        used.iter().flat_map(|(who, used)| over(budgets, used).into_iter().map(move |told| format!("{who}: {told}")));
    Check::new(format!("no staff member over staff_budget ({})", written(budgets)), told.collect())
}

fn written(budgets: &[Budget]) -> String {
    let each = budgets.iter().map(|budget| format!("{} per {}d", budget.count, budget.days));
    each.collect::<Vec<_>>().join(", ")
}

/// Nothing of a journey goes to whom it leaves alone.
fn holdout(book: &Book, journeys: &[Journey]) -> Check {
    let mut left_alone: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for journey in journeys {
        let ids = demo_month::people().into_iter().map(|person| person.id());
        let held_out = ids.filter(|id| {
            ExternalUserId::parse(id.as_str()).is_ok_and(|customer| decide::is_held_out(journey, &customer))
        });
        left_alone.insert(journey.id.as_str(), held_out.collect());
    }
    let is_left_alone = |journey: &str, id: &str| left_alone.get(journey).is_some_and(|ids| ids.contains(id));
    let nudges = book.asked().filter(|asked| is_left_alone(asked.journey, asked.customer));
    let mut told: Vec<String> = nudges.map(|asked| format!("{} got {}", asked.customer, asked.message)).collect();
    // Of journeys with a holdout the titles of cards say which one it is.
    let prompts =
        [("未下单", "onboarding"), ("约了试衣", "onboarding"), ("仍未回店", "win_back"), ("带朋友来", "bring_friend")];
    for card in book.cards() {
        let journey = prompts.iter().find(|(words, _)| card.title.contains(words));
        if let (Some((_, journey)), Some(person)) = (journey, card.about)
            && is_left_alone(journey, &person.id())
        {
            told.push(format!("a card about {}: {}", person.id(), card.title));
        }
    }
    let unknown = book.cards().filter(|card| card.about.is_none());
    told.extend(unknown.map(|card| format!("a card that names nobody: {}", card.title)));
    let counts: Vec<String> = journeys
        .iter()
        .filter(|journey| journey.holdout > 0)
        .map(|journey| format!("{} {}", journey.id, left_alone.get(journey.id.as_str()).map_or(0, BTreeSet::len)))
        .collect();
    Check::new(format!("nothing to held-out customers (of 200: {})", counts.join(", ")), told)
}

/// No message to a customer and no card about one comes twice.
fn nothing_twice(book: &Book) -> Check {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for asked in book.asked() {
        *seen.entry(format!("{} asked for {}", asked.message, asked.customer)).or_default() += 1;
    }
    for receipt in &book.receipts {
        if let What::Mass { customer, text, .. } = &receipt.what {
            *seen.entry(format!("{customer} received {text}")).or_default() += 1;
        }
        if let What::Card { task_id, .. } = &receipt.what {
            *seen.entry(format!("card {task_id}")).or_default() += 1;
        }
    }
    for card in book.cards() {
        let about = card.about.map(super::demo_month::Person::id).unwrap_or_default();
        *seen.entry(format!("card {} about {about}: {}", card.title, card.text)).or_default() += 1;
    }
    let total = seen.len();
    let twice = seen.into_iter().filter(|(_, count)| *count > 1).map(|(what, count)| format!("{count} times: {what}"));
    Check::new(format!("{total} messages and cards, none twice"), twice.collect())
}

/// Who opted out or was lost gets no nudge after that.
fn nobody_who_left(book: &Book, scenes: &[Scene]) -> Check {
    let mut gone: BTreeMap<String, At> = BTreeMap::new();
    for scene in scenes {
        match scene.deed {
            Deed::OptsOut | Deed::Deletes | Deed::IsDeleted => {
                gone.insert(scene.person.id(), scene.at);
            }
            Deed::Adds { .. }
            | Deed::AddsToo(..)
            | Deed::AddsAgain(_)
            | Deed::Buys(_)
            | Deed::SendsOldOrder(_)
            | Deed::Refunds
            | Deed::Visits
            | Deed::Books => {}
        }
    }
    let after = book.asked().filter(|asked| gone.get(asked.customer).is_some_and(|since| asked.at >= *since));
    let told =
        after.map(|asked| format!("{} was asked for {} at {}", asked.customer, asked.message, book.local(asked.at)));
    Check::new(
        format!("{} customers opted out or left, none of them got a nudge after that", gone.len()),
        told.collect(),
    )
}
