//! What is true in this WeCom: plain data behind one lock, and the few rules that every part needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Instant;

use chrono::{Datelike, FixedOffset, Months, NaiveDate, TimeDelta};
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::At;

use super::faults::Switches;
use super::ledger::{CallbackRecord, LogEntry, Receipt, What};
use super::options::{Options, SandboxApp};
use super::people::{Act, Staff};

/// How many mass sends a customer may get (WeCom document 92135).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MassLimit {
    /// As many in a calendar month as the month has days: WeCom's default.
    Month,
    /// The console's 7 a week.
    Week,
    /// The console's 1 a day.
    Day,
}

/// An app and what it may hear.
pub(super) struct App {
    pub settings: SandboxApp,
    /// Whether it gets customer events.
    pub contacts: bool,
    /// Everyone's sends of the last hour, by folded userid.
    pub sends: HashMap<String, VecDeque<At>>,
    /// Bodies with a duplicate check, and until when they count.
    pub bodies: HashMap<String, At>,
    pub cards: BTreeMap<String, Card>,
}

/// A customer and their ties to staff.
pub(super) struct Customer {
    pub id: String,
    pub name: String,
    pub unionid: Option<String>,
    /// By folded userid; a staff member who deleted the customer has none.
    pub relations: BTreeMap<String, Relation>,
    pub mass_received: Vec<At>,
}

impl Customer {
    /// 1 for a WeChat user, 2 for a WeCom user of another company.
    pub(super) fn kind(&self) -> i64 {
        if self.id.starts_with("wo") { 2 } else { 1 }
    }
}

/// A customer on a staff member's contact list.
pub(super) struct Relation {
    pub userid: String,
    pub since: At,
    pub state: String,
    pub add_way: i64,
    pub remark: String,
    /// Added without the staff member's consent so far.
    pub half: bool,
    /// The customer deleted the staff member: one-sided, and calls still work.
    pub left: bool,
    pub chatted: bool,
    pub tags: BTreeSet<String>,
    pub adding: u64,
}

pub(super) struct TagGroup {
    pub id: String,
    pub name: String,
    pub created: At,
    pub order: i64,
    pub tags: Vec<Tag>,
}

pub(super) struct Tag {
    pub id: String,
    pub name: String,
    pub created: At,
    pub order: i64,
}

pub(super) struct WelcomeCode {
    pub app: String,
    pub customer: String,
    pub userid: String,
    pub adding: u64,
    pub issued: At,
    pub used: bool,
}

pub(super) struct MassTask {
    pub msgid: String,
    pub created: At,
    pub text: String,
    pub attachments: Vec<Value>,
    pub senders: Vec<Sender>,
    pub reminders: Vec<At>,
}

/// One staff member's part of a mass send.
pub(super) struct Sender {
    pub userid: String,
    pub confirmed: Option<At>,
    pub recipients: Vec<Recipient>,
}

pub(super) struct Recipient {
    pub customer: String,
    /// 0 not sent, 1 sent, 2 no longer friends, 3 limit reached.
    pub status: i64,
}

pub(super) struct Card {
    pub task_id: String,
    pub at: At,
    /// By folded userid.
    pub copies: BTreeMap<String, CardCopy>,
}

/// A card as one staff member sees it.
pub(super) struct CardCopy {
    pub userid: String,
    pub card: Value,
    /// What stands where the buttons were.
    pub replaced: Option<String>,
    pub taps: Vec<String>,
}

impl CardCopy {
    /// Key and text of each button that can be tapped.
    pub(super) fn buttons(&self) -> Vec<(String, String)> {
        let live = self.replaced.is_none() && self.card.get("replace_text").is_none();
        let list = self.card.get("button_list").and_then(Value::as_array).filter(|_| live);
        let text = |button: &Value, field: &str| button.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        list.into_iter().flatten().map(|button| (text(button, "key"), text(button, "text"))).collect()
    }

    /// `main_title.title`.
    pub(super) fn title(&self) -> &str {
        self.card.pointer("/main_title/title").and_then(Value::as_str).unwrap_or("")
    }
}

pub(super) struct ResponseCode {
    pub app: String,
    pub task_id: String,
    pub issued: At,
    pub used: bool,
}

/// Access tokens live in real time.
pub(super) struct Token {
    pub app: String,
    pub expires: Instant,
    pub revoked: bool,
}

/// Calls of one API: 10,000 a minute and 150,000 an hour (WeCom document 90312).
#[derive(Default)]
pub(super) struct Meter {
    pub minute: (i64, u32),
    pub hour: (i64, u32),
    pub blocked_until: Option<At>,
}

/// All of it.
pub(super) struct State {
    pub corp_id: String,
    pub apps: Vec<App>,
    pub staff: BTreeMap<String, Staff>,
    pub customers: BTreeMap<String, Customer>,
    pub groups: Vec<TagGroup>,
    pub codes: HashMap<String, WelcomeCode>,
    pub welcomed: HashSet<u64>,
    pub addings: u64,
    pub media: HashSet<String>,
    pub mass: Vec<MassTask>,
    pub mass_limit: MassLimit,
    pub responses: HashMap<String, ResponseCode>,
    pub tokens: HashMap<String, Token>,
    pub wrong_secrets: VecDeque<At>,
    pub banned_until: Option<At>,
    pub meters: HashMap<&'static str, Meter>,
    /// Pairs with a `mark_tag` under way.
    pub busy: HashSet<(String, String)>,
    pub acts: BTreeMap<(At, u64), Act>,
    pub planned: u64,
    /// Planned acts that could not be done, with the reason.
    pub misfires: Vec<(At, Act, String)>,
    pub log: Vec<LogEntry>,
    pub receipts: Vec<Receipt>,
    pub callbacks: Vec<CallbackRecord>,
    pub switches: Switches,
    pub rng: StdRng,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        let app = |settings: &SandboxApp| App {
            settings: settings.clone(),
            contacts: true,
            sends: HashMap::new(),
            bodies: HashMap::new(),
            cards: BTreeMap::new(),
        };
        Self {
            corp_id: options.corp_id.clone(),
            apps: options.apps.iter().map(app).collect(),
            staff: BTreeMap::new(),
            customers: BTreeMap::new(),
            groups: Vec::new(),
            codes: HashMap::new(),
            welcomed: HashSet::new(),
            addings: 0,
            media: HashSet::new(),
            mass: Vec::new(),
            mass_limit: MassLimit::Month,
            responses: HashMap::new(),
            tokens: HashMap::new(),
            wrong_secrets: VecDeque::new(),
            banned_until: None,
            meters: HashMap::new(),
            busy: HashSet::new(),
            acts: BTreeMap::new(),
            planned: 0,
            misfires: Vec::new(),
            log: Vec::new(),
            receipts: Vec::new(),
            callbacks: Vec::new(),
            switches: Switches::new(options.seed),
            rng: StdRng::seed_from_u64(options.seed),
        }
    }

    /// A new id: the prefix and `length` letters and digits.
    pub(super) fn id(&mut self, prefix: &str, length: usize) -> String {
        format!("{prefix}{}", Alphanumeric.sample_string(&mut self.rng, length))
    }

    /// `length` decimal digits, the first not 0.
    pub(super) fn digits(&mut self, length: usize) -> String {
        let first = self.rng.random_range(1..10_u32);
        let rest = (1..length).map(|_| self.rng.random_range(0..10_u32).to_string());
        std::iter::once(first.to_string()).chain(rest).collect()
    }

    pub(super) fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.settings.name == name)
    }

    pub(super) fn app_mut(&mut self, name: &str) -> Option<&mut App> {
        self.apps.iter_mut().find(|app| app.settings.name == name)
    }

    pub(super) fn staff(&self, userid: &str) -> Option<&Staff> {
        self.staff.get(&fold(userid))
    }

    pub(super) fn relation(&self, userid: &str, customer: &str) -> Option<&Relation> {
        self.customers.get(customer)?.relations.get(&fold(userid))
    }

    pub(super) fn relation_mut(&mut self, userid: &str, customer: &str) -> Option<&mut Relation> {
        self.customers.get_mut(customer)?.relations.get_mut(&fold(userid))
    }

    /// The tag's `group/name`.
    pub(super) fn tag_name(&self, id: &str) -> Option<String> {
        self.groups.iter().find_map(|group| {
            let tag = group.tags.iter().find(|tag| tag.id == id)?;
            Some(format!("{}/{}", group.name, tag.name))
        })
    }

    /// The id of a tag written `group/name`.
    pub(super) fn tag_id(&self, name: &str) -> Option<String> {
        let (group, name) = name.split_once('/')?;
        let group = self.groups.iter().find(|known| known.name == group)?;
        group.tags.iter().find(|tag| tag.name == name).map(|tag| tag.id.clone())
    }

    /// Writes down that something reached someone.
    pub(super) fn receive(&mut self, at: At, what: What) {
        let seq = count(self.receipts.len()) + 1;
        self.receipts.push(Receipt { seq, at, what });
    }

    /// Puts an act in the queue of what people will do.
    pub(super) fn plan(&mut self, at: At, act: Act) {
        self.planned += 1;
        self.acts.insert((at, self.planned), act);
    }

    /// Whether the customer has no mass send left now.
    pub(super) fn is_mass_full(&self, customer: &Customer, now: At) -> bool {
        let today = china_day(now);
        let received = |from: NaiveDate| customer.mass_received.iter().filter(|at| china_day(**at) >= from).count();
        match self.mass_limit {
            MassLimit::Day => received(today) >= 1,
            MassLimit::Week => received(today - TimeDelta::days(6)) >= 7,
            MassLimit::Month => {
                let first = today.with_day(1).unwrap_or(today);
                let days = (first + Months::new(1) - first).num_days();
                received(first) >= usize::try_from(days).unwrap_or(usize::MAX)
            }
        }
    }
}

/// The form of a userid that keys use: WeCom does not keep case.
pub(super) fn fold(userid: &str) -> String {
    userid.to_ascii_lowercase()
}

/// A length as a number that JSON carries.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The day in China, where WeCom's calendar is kept.
pub(super) fn china_day(at: At) -> NaiveDate {
    FixedOffset::east_opt(8 * 3600).map_or_else(|| at.date_naive(), |zone| at.with_timezone(&zone).date_naive())
}
