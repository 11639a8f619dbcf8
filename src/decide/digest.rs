//! The digest: the morning to-do list of a staff member.

use chrono::TimeDelta;

use super::asks::card_in_the_way;
use super::card_words::{TEXT_BYTES, customer, local, pick, within};
use super::desk::Desk;
use super::mass;
use crate::domain::delivery::DeliveryKind;
use crate::domain::effect::Call;
use crate::domain::staff::{CardState, OpenCard, OpenMass};
use crate::playbook::model::Playbook;
use crate::settings::Locale;

/// A to-do list of the morning is no use in the evening.
const VALID: TimeDelta = TimeDelta::hours(4);

/// One that was held back and the next by schedule may come at the same moment; the second would say the same again.
const NOT_AGAIN_WITHIN: TimeDelta = TimeDelta::hours(1);

/// A digest is due, by schedule or because what held it back is over.
pub(super) fn due(desk: &mut Desk<'_>) {
    desk.draft.head.digest_at = None;
    let items = items(desk);
    if items.is_empty() {
        desk.draft.trace("nothing is open: no digest");
        return;
    }
    // It takes nothing from the budget, but does not come on top of a budget that is used up.
    if let Some((by, until)) = card_in_the_way(desk) {
        desk.draft.trace(format!("the digest waits: {by}"));
        desk.draft.head.digest_at = Some(until);
        return;
    }
    if desk.draft.head.digested_at.is_some_and(|at| desk.now - at < NOT_AGAIN_WITHIN) {
        desk.draft.trace("a digest went out just now");
        return;
    }
    let text = text(&items, desk.playbook.locale);
    let userid = desk.draft.head.id.clone();
    desk.effect("digest", Call::StaffText { userid, text }, VALID, None);
    desk.draft.head.digested_at = Some(desk.now);
    desk.draft.count("staff.digest", 1);
}

/// What is open, by due time; what has none stands behind.
fn items(desk: &Desk<'_>) -> Vec<String> {
    let prompts =
        desk.cards.values().filter(|card| card.ask.kind == DeliveryKind::Prompt && card.state != CardState::Closed);
    let prompts = prompts.map(|card| ((card.ask.due.is_none(), card.ask.due, card.sent_at), prompt(desk, card)));
    let unconfirmed = desk.mass.values().filter(|mass| mass::is_unconfirmed(mass));
    let sends =
        unconfirmed.map(|mass| ((false, Some(mass::expires_at(mass)), mass.made_at), send(desk.playbook, mass)));
    let mut items: Vec<_> = prompts.chain(sends).collect();
    items.sort();
    items.into_iter().map(|(_, item)| item).collect()
}

fn prompt(desk: &Desk<'_>, card: &OpenCard) -> String {
    let locale = desk.playbook.locale;
    let due = card.ask.due.map(|due| {
        let past = if due < desk.now { pick(locale, "(已过期)", " (past due)") } else { "" };
        format!("{}{}{past}", pick(locale, ",截止 ", ", due "), local(desk.playbook, due))
    });
    let snoozed = card
        .wakes_at
        .filter(|_| card.state == CardState::Snoozed)
        .map(|until| format!("{}{}", pick(locale, ",稍后提醒 ", ", put off until "), local(desk.playbook, until)));
    let (title, customer) = (&card.ask.title, customer(&card.ask));
    format!("{title} — {customer}{}{}", due.unwrap_or_default(), snoozed.unwrap_or_default())
}

fn send(playbook: &Playbook, mass: &OpenMass) -> String {
    let (text, count, until) = (&mass.text, mass.recipients.len(), local(playbook, mass::expires_at(mass)));
    match playbook.locale {
        Locale::ZhCn => format!("群发待确认 — “{text}”,{count} 位客户,截止 {until}"),
        Locale::En => format!("Mass send to confirm — “{text}”, {count} customers, due {until}"),
    }
}

/// The list, as many whole lines as fit, with the number of the rest.
fn text(items: &[String], locale: Locale) -> String {
    let count = items.len();
    let mut text = match locale {
        Locale::ZhCn => format!("今日待办 {count} 项"),
        Locale::En => format!("To do today: {count}"),
    };
    let rest = |left: usize| match locale {
        Locale::ZhCn => format!("\n……还有 {left} 项"),
        Locale::En => format!("\n… and {left} more"),
    };
    for (shown, item) in items.iter().enumerate() {
        // One endless title must not crowd out everything else.
        let line = format!("\n{}. {}", shown + 1, within(item, TEXT_BYTES / 4));
        let left = count - shown - 1;
        let room = if left == 0 { 0 } else { rest(left).len() };
        if text.len() + line.len() + room > TEXT_BYTES {
            text.push_str(&rest(count - shown));
            break;
        }
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_digest_of_any_length_fits_and_counts_what_it_leaves_out(
            items in prop::collection::vec("[一-龥a-z ]{0,300}", 1..200),
            english in any::<bool>(),
        ) {
            let locale = if english { Locale::En } else { Locale::ZhCn };
            let text = text(&items, locale);
            prop_assert!(text.len() <= TEXT_BYTES);
            let lines: Vec<&str> = text.lines().collect();
            let numbered = lines.iter().filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()));
            let shown = numbered.count();
            if shown < items.len() {
                let left = (items.len() - shown).to_string();
                prop_assert!(lines.last().unwrap().contains(&left), "{text}");
            }
        }
    }
}
