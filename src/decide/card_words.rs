//! What cards and texts to staff say, in the server's language.

use super::reasons;
use crate::domain::At;
use crate::domain::delivery::DeliveryKind;
use crate::domain::effect::{Attachment, Card, Message};
use crate::domain::ids::{EffectId, UserId};
use crate::domain::staff::{Ask, Closing, OpenCard};
use crate::playbook::model::Playbook;
use crate::settings::Locale;

/// Key of 已完成.
pub(super) const DONE: &str = "done";
/// Key of 已发送.
pub(super) const SENT: &str = "sent";
/// Key of 稍后提醒 and 稍后.
pub(super) const SNOOZE: &str = "snooze";
/// Key of 不需要 and 不发送.
pub(super) const DISMISS: &str = "dismiss";

/// WeCom cuts a text to staff off there (WeCom document 90236).
pub(super) const TEXT_BYTES: usize = 2048;

/// Why a card comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It was granted.
    First,
    /// It is past due.
    Reminder,
    /// It was put off until now.
    Return,
}

/// One of two texts.
pub(super) fn pick<'a>(locale: Locale, chinese: &'a str, english: &'a str) -> &'a str {
    match locale {
        Locale::ZhCn => chinese,
        Locale::En => english,
    }
}

/// The card of an ask.
pub(super) fn card(ask: &Ask, task_id: EffectId, occasion: Occasion, playbook: &Playbook) -> Card {
    let locale = playbook.locale;
    let title = match ask.kind {
        DeliveryKind::Prompt => ask.title.clone(),
        DeliveryKind::Nudge | DeliveryKind::Welcome => {
            pick(locale, "请把这段话发给客户", "Please send this to the customer").to_owned()
        }
    };
    let title = match occasion {
        Occasion::First => title,
        Occasion::Reminder => format!("{}{title}", pick(locale, "【已到期】", "[Past due] ")),
        Occasion::Return => format!("{}{title}", pick(locale, "【稍后提醒】", "[Again] ")),
    };
    let mut lines = vec![(pick(locale, "客户", "Customer").to_owned(), customer(ask).to_owned())];
    if !ask.why.is_empty() {
        lines.push((pick(locale, "原因", "Why now").to_owned(), ask.why.clone()));
    }
    if let Some(due) = ask.due {
        lines.push((pick(locale, "截止", "Due").to_owned(), local(playbook, due)));
    }
    let buttons = match ask.kind {
        DeliveryKind::Prompt => {
            [(DONE, "已完成", "Done"), (SNOOZE, "稍后提醒", "Later"), (DISMISS, "不需要", "Not needed")]
        }
        DeliveryKind::Nudge | DeliveryKind::Welcome => {
            [(SENT, "已发送", "Sent"), (SNOOZE, "稍后", "Later"), (DISMISS, "不发送", "Don't send")]
        }
    };
    let buttons = buttons.map(|(key, chinese, english)| (pick(locale, chinese, english).to_owned(), key.to_owned()));
    Card { task_id, title, desc: ask.journey_name.clone(), lines, text: text(&ask.message), buttons: buttons.into() }
}

/// What to call the customer of an ask.
pub(super) fn customer(ask: &Ask) -> &str {
    if ask.customer_name.is_empty() { ask.customer.as_str() } else { &ask.customer_name }
}

/// A message as a text to copy from: what comes with it stands below.
pub(super) fn text(message: &Message) -> String {
    let attachments = message.attachments.iter().map(|attachment| match attachment {
        Attachment::Link { title, url, .. } => format!("{title} {url}"),
        Attachment::Image { pic_url } => pic_url.clone(),
        Attachment::Miniprogram { title, page, .. } => format!("{title} {page}"),
    });
    let text = Some(message.text.clone()).filter(|text| !text.is_empty());
    text.into_iter().chain(attachments).collect::<Vec<_>>().join("\n")
}

/// In place of the buttons of a card that was closed.
pub(super) fn closed(card: &OpenCard, locale: Locale) -> String {
    let prompt = card.ask.kind == DeliveryKind::Prompt;
    let words = match card.closing {
        Some(Closing::Done) => pick(locale, "已完成", "Done"),
        Some(Closing::Sent) => pick(locale, "已发送", "Sent"),
        Some(Closing::Dismissed) if prompt => pick(locale, "不需要", "Not needed"),
        Some(Closing::Dismissed) => pick(locale, "不发送", "Not sent"),
        Some(Closing::Withdrawn) => pick(locale, "无需处理了", "No longer needed"),
        Some(Closing::Expired) | None => return gone(locale),
    };
    words.to_owned()
}

/// In place of the buttons of a card that was put off.
pub(super) fn snoozed(until: At, playbook: &Playbook) -> String {
    let until = local(playbook, until);
    match playbook.locale {
        Locale::ZhCn => format!("{until} 再提醒"),
        Locale::En => format!("Again at {until}"),
    }
}

/// In place of the buttons of a card that was taken back.
pub(super) fn withdrawn(reason: &str, locale: Locale) -> String {
    let reason = reasons::in_words(reason, locale);
    match locale {
        Locale::ZhCn => format!("无需处理了:{reason}"),
        Locale::En => format!("No longer needed: {reason}"),
    }
}

/// In place of the buttons of a card that nobody remembers.
pub(super) fn gone(locale: Locale) -> String {
    pick(locale, "此卡片已过期,谢谢", "This card has expired, thank you").to_owned()
}

/// Tells the managers of a prompt that nobody answered.
pub(super) fn report(card: &OpenCard, staff: &UserId, playbook: &Playbook) -> String {
    let (title, customer) = (&card.ask.title, customer(&card.ask));
    let staff = match (card.ask.staff_name.as_str(), playbook.locale) {
        ("", _) => staff.to_string(),
        (name, Locale::ZhCn) => format!("{name}({staff})"),
        (name, Locale::En) => format!("{name} ({staff})"),
    };
    let since = local(playbook, card.unanswered_since);
    let due = card.ask.due.map(|due| local(playbook, due)).unwrap_or_default();
    let due = match (playbook.locale, due.is_empty()) {
        (_, true) => String::new(),
        (Locale::ZhCn, false) => format!("\n截止:{due}"),
        (Locale::En, false) => format!("\nDue: {due}"),
    };
    let text = match playbook.locale {
        Locale::ZhCn => {
            format!("【提醒无人处理】{title}\n客户:{customer}\n员工:{staff}\n发出:{since}{due}\n请跟进。")
        }
        Locale::En => format!(
            "[Prompt without an answer] {title}\nCustomer: {customer}\nStaff: {staff}\nSent: {since}{due}\nPlease follow up."
        ),
    };
    within(&text, TEXT_BYTES)
}

/// A moment as staff read it: month, day and time in the server's zone.
pub(super) fn local(playbook: &Playbook, at: At) -> String {
    at.with_timezone(&playbook.zone).format("%m-%d %H:%M").to_string()
}

/// As many whole characters as fit.
pub(super) fn within(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.len() + letter.len_utf8() > bytes {
            break;
        }
        kept.push(letter);
    }
    kept
}
