//! The world as the page and `/control/state` show it: bounded, newest first.

use std::collections::HashMap;

use chrono::{FixedOffset, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::domain::At;

use super::ledger::{Receipt, What};
use super::state::{Card, CardCopy, Customer, MassTask, Relation, Sender, State};
use super::world::World;

const MOST_CUSTOMERS: usize = 100;
const MOST_OF_EACH: usize = 12;

/// The world at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateView {
    /// Business time.
    pub now: At,
    /// The company.
    pub corp_id: String,
    /// Names of the apps.
    pub apps: Vec<String>,
    /// Everyone in the company.
    pub staff: Vec<StaffView>,
    /// The customers who received something last, at most 100.
    pub customers: Vec<CustomerView>,
    /// How many customers there are.
    pub customer_count: usize,
    /// How many calls were logged.
    pub calls: usize,
    /// How many receipts there are.
    pub receipts: usize,
    /// Callbacks in all, and those that nobody took.
    pub callbacks: usize,
    /// Callbacks that were given up or dropped.
    pub callbacks_lost: usize,
    /// Acts that people have planned.
    pub planned: usize,
    /// When the next of them is due.
    pub next_act: Option<At>,
    /// Faults that are switched on.
    pub faults: usize,
}

/// A staff member and what awaits them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaffView {
    /// The member's account.
    pub userid: String,
    /// What colleagues read.
    pub name: String,
    /// Their cards, newest first.
    pub cards: Vec<CardView>,
    /// Their mass sends, newest first.
    pub mass: Vec<MassView>,
    /// Texts they got, newest first.
    pub texts: Vec<String>,
}

/// A card as a staff member sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardView {
    /// Its name.
    pub task_id: String,
    /// When it came.
    pub at: At,
    /// `main_title.title`.
    pub title: String,
    /// `main_title.desc`.
    pub desc: String,
    /// `sub_title_text`.
    pub text: String,
    /// Lines of a name and a value.
    pub lines: Vec<(String, String)>,
    /// Key and text of each button that can be tapped now.
    pub buttons: Vec<(String, String)>,
    /// What stands where the buttons were.
    pub replaced: Option<String>,
    /// The keys that were tapped.
    pub taps: Vec<String>,
}

/// A staff member's part of a mass send.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MassView {
    /// The task.
    pub msgid: String,
    /// When it was made.
    pub at: At,
    /// The words.
    pub text: String,
    /// For whom.
    pub customers: Vec<String>,
    /// When it was confirmed.
    pub confirmed: Option<At>,
    /// How many of them it reached.
    pub sent: usize,
}

/// A customer and what they received.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CustomerView {
    /// Their `external_userid`.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their ties to staff.
    pub relations: Vec<RelationView>,
    /// What they received, newest first, at most 12.
    pub received: Vec<Receipt>,
}

/// A customer on a staff member's contact list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RelationView {
    /// The staff member's account.
    pub userid: String,
    /// Since when.
    pub since: At,
    /// The state of the code that was scanned.
    pub state: String,
    /// Added without the staff member's consent so far.
    pub half: bool,
    /// The customer deleted the staff member.
    pub left: bool,
    /// Their tags, `group/name`.
    pub tags: Vec<String>,
}

impl World {
    /// The world as it stands.
    #[must_use]
    pub fn state(&self) -> StateView {
        let now = self.now();
        let state = self.lock();
        let received = state.by_customer();
        // Who received or did something last comes first.
        let freshness = |customer: &&Customer| {
            let last = received.get(customer.id.as_str()).and_then(|list| list.first()).map(|receipt| receipt.at);
            let since = customer.relations.values().map(|relation| relation.since).max();
            last.max(since)
        };
        let mut customers: Vec<&Customer> = state.customers.values().collect();
        customers.sort_by_key(|customer| std::cmp::Reverse(freshness(customer)));
        let shown = customers.into_iter().take(MOST_CUSTOMERS);
        let lost = |record: &&super::ledger::CallbackRecord| record.dropped || record.attempts.len() >= 4;
        StateView {
            now,
            corp_id: state.corp_id.clone(),
            apps: state.apps.iter().map(|app| app.settings.name.clone()).collect(),
            staff: state.staff.values().map(|staff| state.staff_view(&staff.userid, &staff.name)).collect(),
            customers: shown.map(|customer| state.customer_view(customer, &received)).collect(),
            customer_count: state.customers.len(),
            calls: state.log.len(),
            receipts: state.receipts.len(),
            callbacks: state.callbacks.len(),
            callbacks_lost: state.callbacks.iter().filter(lost).filter(|record| !record.is_delivered()).count(),
            planned: state.acts.len(),
            next_act: state.acts.keys().next().map(|(at, _)| *at),
            faults: state.switches.faults.len(),
        }
    }

    /// One customer.
    #[must_use]
    pub fn customer(&self, id: &str) -> Option<CustomerView> {
        let state = self.lock();
        let received = state.by_customer();
        state.customers.get(id).map(|customer| state.customer_view(customer, &received))
    }

    /// One staff member.
    #[must_use]
    pub fn staff(&self, userid: &str) -> Option<StaffView> {
        let state = self.lock();
        state.staff(userid).map(|staff| state.staff_view(&staff.userid, &staff.name))
    }
}

impl State {
    /// The last receipts of each customer, newest first.
    fn by_customer(&self) -> HashMap<&str, Vec<&Receipt>> {
        let mut lists: HashMap<&str, Vec<&Receipt>> = HashMap::new();
        for receipt in self.receipts.iter().rev() {
            let Some(customer) = receipt.what.customer() else { continue };
            let list = lists.entry(customer).or_default();
            if list.len() < MOST_OF_EACH {
                list.push(receipt);
            }
        }
        lists
    }

    fn customer_view(&self, customer: &Customer, received: &HashMap<&str, Vec<&Receipt>>) -> CustomerView {
        let relation = |relation: &Relation| {
            let mut tags: Vec<String> = relation.tags.iter().filter_map(|id| self.tag_name(id)).collect();
            tags.sort();
            RelationView {
                userid: relation.userid.clone(),
                since: relation.since,
                state: relation.state.clone(),
                half: relation.half,
                left: relation.left,
                tags,
            }
        };
        let list = received.get(customer.id.as_str()).into_iter().flatten();
        CustomerView {
            id: customer.id.clone(),
            name: customer.name.clone(),
            relations: customer.relations.values().map(relation).collect(),
            received: list.map(|receipt| (*receipt).clone()).collect(),
        }
    }

    fn staff_view(&self, userid: &str, name: &str) -> StaffView {
        let key = super::state::fold(userid);
        let cards = self.apps.iter().flat_map(|app| app.cards.values());
        let mut cards: Vec<CardView> = cards.filter_map(|card| Some(card_view(card, card.copies.get(&key)?))).collect();
        cards.sort_by_key(|card| std::cmp::Reverse(card.at));
        cards.truncate(MOST_OF_EACH);
        let parts = self.mass.iter().rev().flat_map(|task| task.senders.iter().map(move |sender| (task, sender)));
        let own = parts.filter(|(_, sender)| sender.userid == userid).take(MOST_OF_EACH);
        let texts = self.receipts.iter().rev().filter_map(|receipt| match &receipt.what {
            What::Text { userid: to, content } | What::Markdown { userid: to, content } if to == userid => {
                Some(content.clone())
            }
            _ => None,
        });
        StaffView {
            userid: userid.to_owned(),
            name: name.to_owned(),
            cards,
            mass: own.map(|(task, sender)| mass_view(task, sender)).collect(),
            texts: texts.take(MOST_OF_EACH).collect(),
        }
    }
}

fn card_view(card: &Card, copy: &CardCopy) -> CardView {
    let text = |pointer: &str| copy.card.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let lines = copy.card.get("horizontal_content_list").and_then(Value::as_array);
    let line = |line: &Value| {
        let text = |field: &str| line.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        (text("keyname"), text("value"))
    };
    CardView {
        task_id: card.task_id.clone(),
        at: card.at,
        title: copy.title().to_owned(),
        desc: text("/main_title/desc"),
        text: text("/sub_title_text"),
        lines: lines.into_iter().flatten().map(line).collect(),
        buttons: copy.buttons(),
        replaced: copy.replaced.clone().or_else(|| Some(text("/replace_text")).filter(|text| !text.is_empty())),
        taps: copy.taps.clone(),
    }
}

fn mass_view(task: &MassTask, sender: &Sender) -> MassView {
    MassView {
        msgid: task.msgid.clone(),
        at: task.created,
        text: task.text.clone(),
        customers: sender.recipients.iter().map(|recipient| recipient.customer.clone()).collect(),
        confirmed: sender.confirmed,
        sent: sender.recipients.iter().filter(|recipient| recipient.status == 1).count(),
    }
}

/// A moment as the page writes it, in China time.
pub(super) fn moment(at: &At, pattern: &str) -> String {
    let zone = FixedOffset::east_opt(8 * 3600);
    zone.map_or_else(
        || at.with_timezone(&Utc).format(pattern).to_string(),
        |zone| at.with_timezone(&zone).format(pattern).to_string(),
    )
}
