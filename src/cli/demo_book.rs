//! What WeCom's own book says of the month, counted: the sandbox's receipts under names that a person can read.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;

use crate::domain::At;
use crate::sandbox::{Receipt, What};

use super::demo_month::{self, Person};

/// The sample company's messages, each known by words that stand in no other.
const MESSAGES: [(&str, &str); 8] = [
    ("welcome_store", "谢谢您今天到店"),
    ("welcome_online", "线上下单可以到任何一家门店"),
    ("welcome", "很高兴认识您"),
    ("size_guide", "选码小册子"),
    ("new_arrivals", "本周新到的几件羊毛大衣"),
    ("thanks", "谢谢您的第一单"),
    ("miss_you", "留了两件本季新款"),
    ("member_day", "今天是贵宾日"),
];

/// The message that a text is.
pub(super) fn message_of(text: &str) -> &'static str {
    MESSAGES.iter().find(|(_, words)| text.contains(words)).map_or("?", |(id, _)| id)
}

/// The journey that wants a message.
pub(super) fn journey_of(message: &str) -> &'static str {
    match message {
        "size_guide" | "new_arrivals" => "onboarding",
        "thanks" => "first_order",
        "miss_you" => "win_back",
        "member_day" => "member_day",
        _ => "?",
    }
}

/// A card that asks to send a nudge's words.
const NUDGE: &str = "请把这段话发给客户";
/// A card that came back from being put off.
pub(super) const AGAIN: &str = "【稍后提醒】";
/// A text that tells a manager of a prompt without an answer.
const REPORT: &str = "【提醒无人处理】";
/// A morning to-do list.
const DIGEST: &str = "今日待办";

/// The receipts of the month.
pub(super) struct Book {
    /// As the sandbox wrote them down.
    pub(super) receipts: Vec<Receipt>,
    zone: Tz,
    by_name: HashMap<String, Person>,
}

/// A nudge that WeCom was asked to deliver.
pub(super) struct Asked<'a> {
    pub(super) at: At,
    pub(super) customer: &'a str,
    pub(super) message: &'static str,
    pub(super) journey: &'static str,
}

/// A card that a staff member got.
pub(super) struct CardSent<'a> {
    pub(super) at: At,
    pub(super) userid: &'a str,
    pub(super) title: &'a str,
    /// The words that are ready to send.
    pub(super) text: &'a str,
    /// About whom, when the card names somebody of the month.
    pub(super) about: Option<&'a Person>,
}

impl CardSent<'_> {
    /// Whether the customer is to be spoken to: a nudge by the channel `staff`.
    pub(super) fn is_nudge(&self) -> bool {
        self.title == NUDGE
    }
}

impl Book {
    /// Opens the book.
    pub(super) fn new(receipts: Vec<Receipt>, zone: Tz) -> Self {
        let by_name = demo_month::people().into_iter().map(|person| (person.name(), person)).collect();
        Self { receipts, zone, by_name }
    }

    /// A moment by the company's clock.
    pub(super) fn local(&self, at: At) -> DateTime<Tz> {
        at.with_timezone(&self.zone)
    }

    /// The day of a moment by the company's clock.
    pub(super) fn day(&self, at: At) -> NaiveDate {
        self.local(at).date_naive()
    }

    /// Customers in mass sends, one by one.
    pub(super) fn asked(&self) -> impl Iterator<Item = Asked<'_>> {
        self.receipts.iter().flat_map(|receipt| {
            let (customers, text): (&[String], &str) = match &receipt.what {
                What::MassTask { customers, text, .. } => (customers, text),
                _ => (&[], ""),
            };
            let message = message_of(text);
            let journey = journey_of(message);
            customers.iter().map(move |customer| Asked { at: receipt.at, customer, message, journey })
        })
    }

    /// Cards that reached staff.
    pub(super) fn cards(&self) -> impl Iterator<Item = CardSent<'_>> {
        self.receipts.iter().filter_map(|receipt| match &receipt.what {
            What::Card { userid, title, card, .. } => {
                let lines = card.get("horizontal_content_list").and_then(serde_json::Value::as_array);
                let values = lines.into_iter().flatten().filter_map(|line| line.get("value")?.as_str());
                let about = values.filter_map(|value| self.by_name.get(value)).next();
                let text = card.get("sub_title_text").and_then(serde_json::Value::as_str).unwrap_or_default();
                Some(CardSent { at: receipt.at, userid, title, text, about })
            }
            _ => None,
        })
    }

    /// How often staff tapped a button.
    pub(super) fn taps(&self, wanted: &str) -> u64 {
        let tapped = |what: &What| matches!(what, What::Tapped { key, .. } if key == wanted);
        u64::try_from(self.receipts.iter().filter(|receipt| tapped(&receipt.what)).count()).unwrap_or(u64::MAX)
    }

    /// Everything, counted under readable names; mornings' to-do lists of the diligent are left out, because whether
    /// one comes depends on which of two things of the same moment was first.
    pub(super) fn counted(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (name, count) in self.receipts.iter().filter_map(|receipt| name_of(&receipt.what)) {
            *counts.entry(name).or_default() += count;
        }
        counts
    }
}

/// What a receipt is called, and how many it counts for; none for what is not counted.
pub(super) fn name_of(what: &What) -> Option<(String, u64)> {
    let one = |name: String| Some((name, 1));
    match what {
        What::Welcome { text, .. } => one(format!("welcome {}", message_of(text))),
        What::MassTask { userid, text, customers, .. } => {
            let count = u64::try_from(customers.len()).unwrap_or(u64::MAX);
            Some((format!("asked {} {userid}", message_of(text)), count))
        }
        What::MassReminder { userid, .. } => one(format!("reminded {userid}")),
        What::Mass { userid, text, .. } => one(format!("reached {} {userid}", message_of(text))),
        What::MassNotSent { userid, status, .. } => one(format!("not reached {userid}: {status}")),
        What::Tagged { tag, .. } => one(format!("tag + {tag}")),
        What::Untagged { tag, .. } => one(format!("tag - {tag}")),
        What::Card { userid, title, .. } => one(format!("card {userid} {title}")),
        What::CardUpdated { userid, .. } => one(format!("card closed {userid}")),
        What::Tapped { userid, key, .. } => one(format!("tap {userid} {key}")),
        What::Text { userid, content } if content.starts_with(DIGEST) && userid == "lili" => None,
        What::Text { userid, content } if content.starts_with(DIGEST) => one(format!("digest {userid}")),
        What::Text { userid, content } if content.starts_with(REPORT) => one(format!("report {userid}")),
        What::Text { userid, .. } | What::Markdown { userid, .. } => one(format!("other text {userid}")),
        What::Dropped { userid, .. } => one(format!("dropped for too many {userid}")),
        What::Repeated { touser, .. } => one(format!("repeated {touser}")),
    }
}
