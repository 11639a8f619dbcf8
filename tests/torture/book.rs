//! What came out: WeCom's own book, and the servers' records.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use touchpoint::domain::delivery::{Delivery, DeliveryKind, DeliveryState};
use touchpoint::sandbox::What;
use touchpoint::store::Store;

use super::company::{BOSS, Company, shanghai};
use super::load::Given;

/// How often each thing is there, by kind and by what exactly.
pub(crate) type Counts = BTreeMap<(&'static str, String), usize>;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub counts: Counts,
    /// Customers whose 20 s were over before any server lived to welcome them, as their deliveries say.
    pub late: BTreeSet<String>,
    /// Calls that WeCom recognised as repeats, or that change nothing when repeated.
    pub harmless: BTreeMap<String, usize>,
}

pub(crate) async fn read(company: &Company, given: &Given) -> Book {
    let mut book = Book::default();
    read_wecom(company, given, &mut book);
    let (settings, _) = touchpoint::settings::load(&company.folder()).unwrap_or_else(|faults| panic!("{faults}"));
    let store = Store::connect(&settings.redis).await.unwrap();
    for one in &given.customers {
        read_record(&company.door().reads(&format!("/v1/customers/{}", one.id)).await, &one.id, &mut book.counts);
        let actor = format!("customer:{}", one.id).parse().unwrap();
        for delivery in store.deliveries(&actor, 100).await.unwrap() {
            read_delivery(&delivery, &one.id, &mut book);
        }
    }
    book
}

fn read_wecom(company: &Company, given: &Given, book: &mut Book) {
    let mut cards: BTreeMap<String, String> = BTreeMap::new();
    let named = |text: &str| given.customers.iter().find(|one| text.contains(&one.name)).map(|one| one.id.clone());
    let mut harmless = |what: &str| *book.harmless.entry(what.to_owned()).or_default() += 1;
    let mut seen: Vec<(&'static str, String)> = Vec::new();
    for receipt in company.world().receipts() {
        match receipt.what {
            What::Welcome { customer, .. } => seen.push(("welcome", customer)),
            What::Tagged { customer, tag, .. } => seen.push(("tag", format!("{tag} on {customer}"))),
            What::Untagged { customer, tag, .. } => seen.push(("tag", format!("{tag} off {customer}"))),
            What::MassTask { customers, .. } => seen.extend(customers.into_iter().map(|one| ("mass send made", one))),
            What::Mass { customer, .. } => seen.push(("mass send received", customer)),
            What::MassNotSent { customer, .. } => seen.push(("mass send received", format!("refused to {customer}"))),
            What::MassReminder { .. } => harmless("reminders of mass sends"),
            What::Card { task_id, title, card, .. } => {
                let about = named(&card.to_string()).unwrap_or_else(|| card.to_string());
                let kind = if title.contains("已到期") { "card reminder" } else { "card" };
                cards.insert(task_id, about.clone());
                seen.push((kind, about));
            }
            What::CardUpdated { task_id, .. } => {
                seen.push(("card update", cards.get(&task_id).cloned().unwrap_or(task_id)))
            }
            What::Text { userid, content } if userid == BOSS => {
                seen.push(("report to the boss", named(&content).unwrap_or(content)));
            }
            What::Text { userid, .. } => {
                let date = receipt.at.with_timezone(&shanghai()).date_naive();
                seen.push(("digest", format!("{userid} on {date}")));
            }
            What::Dropped { userid, .. } => seen.push(("dropped by WeCom", userid)),
            What::Markdown { userid, .. } => seen.push(("dropped by WeCom", format!("markdown to {userid}"))),
            What::Repeated { .. } => harmless("repeated texts"),
            What::Tapped { .. } => {}
        }
    }
    for call in company.world().log().into_iter().filter(touchpoint::sandbox::LogEntry::is_accepted) {
        match call.api.as_str() {
            "externalcontact/add_corp_tag" => {
                let made = call.request["body"]["tag"].as_array().cloned().unwrap_or_default();
                seen.extend(made.iter().map(|tag| ("corp tag made", tag["name"].as_str().unwrap_or("?").to_owned())));
            }
            "externalcontact/get" => harmless("profiles read"),
            "externalcontact/get_groupmsg_send_result" => harmless("results of mass sends read"),
            "gettoken" => harmless("tokens fetched"),
            _ => {}
        }
    }
    for what in seen {
        *book.counts.entry(what).or_default() += 1;
    }
}

fn read_record(record: &Value, id: &str, counts: &mut Counts) {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or_default()).unwrap();
    let spend = record["spend"].as_str().unwrap_or("0").replace('.', "");
    counts.insert(("order counted", id.to_owned()), number(&record["orders"]));
    counts.insert(("fen counted", id.to_owned()), spend.parse().unwrap());
    counts.insert(("visit counted", id.to_owned()), number(&record["visits"]));
    for met in record["touchpoints"].as_array().into_iter().flatten() {
        let what = format!("{} by {id}", met["touchpoint"].as_str().unwrap_or("?"));
        counts.insert(("touchpoint met", what), number(&met["count"]));
    }
    counts.insert(("name known", format!("{} of {id}", record["name"].as_str().unwrap_or("no name"))), 1);
    for tag in record["tags"].as_array().into_iter().flatten() {
        counts.insert(("tag in the record", format!("{} on {id}", tag.as_str().unwrap_or("?"))), 1);
    }
}

fn read_delivery(delivery: &Delivery, id: &str, book: &mut Book) {
    if delivery.kind == DeliveryKind::Welcome && delivery.state != DeliveryState::Sent && delivery.reason == "too late"
    {
        book.late.insert(id.to_owned());
    }
    let what = format!("{:?} {:?} of {id}", delivery.kind, delivery.state);
    *book.counts.entry(("delivery ended", what)).or_default() += 1;
}
