//! Messages of an app to staff, and cards that change (WeCom documents 90236, 94888).

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::domain::At;

use super::api::{Call, Reply};
use super::api_contacts::object;
use super::content::check_card;
use super::fields::{Fields, ILLEGAL, Refusal, refuse};
use super::ledger::What;
use super::people::Act;
use super::state::{App, Card, CardCopy, ResponseCode, State, fold};

const MOST_USERS: usize = 1000;
const LONGEST_TEXT_BYTES: usize = 2048;
/// One member gets so much from one app; what is more is dropped without an error.
const PER_MINUTE: usize = 30;
const PER_HOUR: usize = 1000;
const MOST_INTERVAL_SECONDS: i64 = 14_400;
const DEFAULT_INTERVAL_SECONDS: i64 = 1800;
/// How long a response code works.
const CODE_LIFE: TimeDelta = TimeDelta::hours(72);

/// What a message carries.
enum Payload {
    Text(String),
    Markdown(String),
    Card { task_id: String, card: Value },
}

impl Payload {
    const fn msgtype(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Markdown(_) => "markdown",
            Self::Card { .. } => "template_card",
        }
    }
}

pub(super) fn send(state: &mut State, mut call: Call) -> Reply {
    let digest = body_text(&call.body);
    let to = Receivers::read(&mut call.body)?;
    check_agent(state, &mut call)?;
    let payload = payload(&mut call.body)?;
    let checks_duplicates = call.body.switch("enable_duplicate_check")?;
    let interval = call.body.integer("duplicate_check_interval")?.unwrap_or(DEFAULT_INTERVAL_SECONDS);
    call.body.close()?;
    if !(0..=MOST_INTERVAL_SECONDS).contains(&interval) {
        return refuse(ILLEGAL, "duplicate_check_interval is at most 4 hours");
    }
    let (users, invalid) = to.resolve(state)?;
    let Some(app) = state.app_mut(&call.app) else { return refuse(40056, "invalid agentid") };
    if let Payload::Card { task_id, .. } = &payload {
        if app.settings.callback_url.is_none() {
            return refuse(43012, "the app has no callback url");
        }
        if app.cards.contains_key(task_id) {
            return refuse(42014, "taskid has existed or empty or exceed max len");
        }
    }
    if users.is_empty() {
        return refuse(81013, "all receivers are invalid");
    }
    let mut reply = json!({"invaliduser": invalid.join("|"), "invalidparty": "", "invalidtag": ""});
    if checks_duplicates && app.repeats(&digest, interval, call.now) {
        let msgtype = payload.msgtype().to_owned();
        state.receive(call.now, What::Repeated { touser: users.join("|"), msgtype });
    } else if let Some(code) = state.deliver_message(&users, payload, &call) {
        reply["response_code"] = json!(code);
    }
    reply["msgid"] = json!(state.id("", 64));
    Ok(object(reply))
}

/// The body as one text: what the duplicate check compares.
fn body_text(body: &Fields) -> String {
    ["touser", "toparty", "totag", "msgtype", "text", "markdown", "template_card"]
        .map(|field| body.raw(field).map(Value::to_string).unwrap_or_default())
        .join("\n")
}

/// The `agentid` must be there and be the token's app.
fn check_agent(state: &State, call: &mut Call) -> Result<(), Refusal> {
    let agent_id = call.body.integer("agentid")?;
    let own = state.app(&call.app).map(|app| app.settings.agent_id);
    match agent_id {
        None => refuse(40056, "missing agentid"),
        agent_id if agent_id == own => Ok(()),
        Some(_) => refuse(301002, "the token belongs to another agentid"),
    }
}

/// `touser`, `toparty`, `totag`.
struct Receivers {
    everyone: bool,
    users: Vec<String>,
    elsewhere: bool,
}

impl Receivers {
    fn read(body: &mut Fields) -> Result<Self, Refusal> {
        let mut list = |field: &str, most: usize, errcode: i64| {
            let text = body.text(field)?.unwrap_or_default();
            let items: Vec<String> = text.split('|').filter(|id| !id.is_empty()).map(str::to_owned).collect();
            if items.len() > most { refuse(errcode, format!("{field} has at most {most} entries")) } else { Ok(items) }
        };
        let users = list("touser", MOST_USERS, 40032)?;
        let elsewhere = list("toparty", 100, 82002)?.len() + list("totag", 100, 82003)?.len() > 0;
        if users.is_empty() && !elsewhere {
            return refuse(82001, "touser, toparty and totag are all empty");
        }
        Ok(Self { everyone: users == ["@all"], users, elsewhere })
    }

    /// Those who exist, as they are spelled, and those who do not, in lower case. Nobody is in a department or tag here.
    fn resolve(self, state: &State) -> Result<(Vec<String>, Vec<String>), Refusal> {
        if self.everyone {
            return Ok((state.staff.values().map(|staff| staff.userid.clone()).collect(), Vec::new()));
        }
        if self.users.is_empty() && self.elsewhere {
            return refuse(81013, "this sandbox has no departments and tags of members");
        }
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for user in self.users {
            match state.staff(&user) {
                Some(staff) if valid.contains(&staff.userid) => {}
                Some(staff) => valid.push(staff.userid.clone()),
                None => invalid.push(fold(&user)),
            }
        }
        Ok((valid, invalid))
    }
}

fn payload(body: &mut Fields) -> Result<Payload, Refusal> {
    let msgtype = body.required("msgtype", 40008)?;
    let missing = |field: &str| Refusal { errcode: 44004, hint: format!("missing {field}.content") };
    match msgtype.as_str() {
        "text" => {
            body.switch("safe")?;
            body.switch("enable_id_trans")?;
            let mut text = body.object("text")?.ok_or_else(|| missing("text"))?;
            let content = text.required("content", 44004)?;
            text.close()?;
            Ok(Payload::Text(cut(content)))
        }
        "markdown" => {
            let mut text = body.object("markdown")?.ok_or_else(|| missing("markdown"))?;
            let content = text.required("content", 44004)?;
            text.close()?;
            if content.len() > LONGEST_TEXT_BYTES {
                return refuse(45002, "markdown has at most 2048 bytes");
            }
            Ok(Payload::Markdown(content))
        }
        "template_card" => {
            body.switch("enable_id_trans")?;
            let card = body.raw("template_card").cloned().unwrap_or_default();
            let Some(fields) = body.object("template_card")? else { return refuse(ILLEGAL, "missing template_card") };
            Ok(Payload::Card { task_id: check_card(fields, true)?, card })
        }
        "image" | "voice" | "video" | "file" | "textcard" | "news" | "mpnews" | "miniprogram_notice" => {
            refuse(40008, format!("this sandbox takes text, markdown and template_card, not {msgtype}"))
        }
        _ => refuse(40008, "invalid msgtype"),
    }
}

/// WeCom cuts a text at 2048 bytes; no character is left in halves.
fn cut(mut content: String) -> String {
    let mut end = content.len().min(LONGEST_TEXT_BYTES);
    while !content.is_char_boundary(end) {
        end -= 1;
    }
    content.truncate(end);
    content
}

impl App {
    /// Whether the same body came within its interval; remembers it when not.
    fn repeats(&mut self, body: &str, interval: i64, now: At) -> bool {
        self.bodies.retain(|_, until| *until > now);
        if self.bodies.contains_key(body) {
            return true;
        }
        self.bodies.insert(body.to_owned(), now + TimeDelta::seconds(interval));
        false
    }

    /// Whether the member may get one more message now.
    fn has_room(&mut self, userid: &str, now: At) -> bool {
        let sends = self.sends.entry(fold(userid)).or_default();
        while sends.front().is_some_and(|at| *at <= now - TimeDelta::hours(1)) {
            sends.pop_front();
        }
        let minute = sends.iter().rev().take_while(|at| **at > now - TimeDelta::minutes(1)).count();
        let has_room = minute < PER_MINUTE && sends.len() < PER_HOUR;
        if has_room {
            sends.push_back(now);
        }
        has_room
    }
}

impl State {
    /// Lets the receivers have it; gives the response code of a card.
    fn deliver_message(&mut self, users: &[String], payload: Payload, call: &Call) -> Option<String> {
        let mut reached = Vec::new();
        for userid in users {
            if self.app_mut(&call.app).is_some_and(|app| app.has_room(userid, call.now)) {
                reached.push(userid.clone());
            } else {
                let msgtype = payload.msgtype().to_owned();
                self.receive(call.now, What::Dropped { userid: userid.clone(), msgtype });
            }
        }
        match payload {
            Payload::Text(content) => {
                for userid in reached {
                    self.receive(call.now, What::Text { userid, content: content.clone() });
                }
                None
            }
            Payload::Markdown(content) => {
                for userid in reached {
                    self.receive(call.now, What::Markdown { userid, content: content.clone() });
                }
                None
            }
            Payload::Card { task_id, card } => Some(self.deliver_card(&reached, &task_id, &card, call)),
        }
    }

    fn deliver_card(&mut self, users: &[String], task_id: &str, card: &Value, call: &Call) -> String {
        let copy =
            |userid: &String| CardCopy { userid: userid.clone(), card: card.clone(), replaced: None, taps: Vec::new() };
        let copies: Vec<CardCopy> = users.iter().map(copy).collect();
        for copy in &copies {
            let title = copy.title().to_owned();
            if let Some((after, key)) = self.habit(copy) {
                let act = Act::Taps { userid: copy.userid.clone(), task_id: task_id.to_owned(), key };
                self.plan(call.now + after, act);
            }
            let (userid, task_id) = (copy.userid.clone(), task_id.to_owned());
            self.receive(call.now, What::Card { userid, task_id, title, card: card.clone() });
        }
        let copies = copies.into_iter().map(|copy| (fold(&copy.userid), copy)).collect();
        if let Some(app) = self.app_mut(&call.app) {
            app.cards.insert(task_id.to_owned(), Card { task_id: task_id.to_owned(), at: call.now, copies });
        }
        let code = self.id("", 64);
        let issued = ResponseCode { app: call.app.clone(), task_id: task_id.to_owned(), issued: call.now, used: false };
        self.responses.insert(code.clone(), issued);
        code
    }

    /// What the staff member will do with a card: when, and which button.
    fn habit(&self, copy: &CardCopy) -> Option<(TimeDelta, String)> {
        let staff = self.staff(&copy.userid)?;
        let habit = staff.taps.iter().find(|habit| copy.title().contains(&habit.title))?;
        let fits = |(key, text): &&(String, String)| {
            *key == habit.button
                || *text == habit.button
                || key.split_once(':').is_some_and(|(verb, _)| verb == habit.button)
        };
        let key = copy.buttons().iter().find(fits)?.0.clone();
        Some((TimeDelta::from_std(habit.after).ok()?, key))
    }
}

pub(super) fn update_card(state: &mut State, mut call: Call) -> Reply {
    let users = call.body.texts("userids", MOST_USERS)?;
    let everyone = call.body.switch("atall")?;
    for (field, most) in [("partyids", 100), ("tagids", 100)] {
        if !call.body.texts(field, most)?.is_empty() {
            return refuse(ILLEGAL, "this sandbox has no departments and tags of members");
        }
    }
    check_agent(state, &mut call)?;
    let code = call.body.required("response_code", 60140)?;
    call.body.switch("enable_id_trans")?;
    let (replace_name, card) = new_face(&mut call.body)?;
    call.body.close()?;

    let is_live = |known: &&ResponseCode| !known.used && call.now - known.issued <= CODE_LIFE;
    let Some(known) = state.responses.get(&code).filter(is_live) else {
        return refuse(60140, "invalid or expired response_code");
    };
    if known.app != call.app {
        return refuse(42015, "the card is another app's");
    }
    let task_id = known.task_id.clone();
    let Some(known) = state.app_mut(&call.app).and_then(|app| app.cards.get_mut(&task_id)) else {
        return refuse(42016, "unknown task_id");
    };
    let users: Vec<String> = if everyone { known.copies.keys().cloned().collect() } else { users };
    if users.is_empty() {
        return refuse(82101, "no receiver given");
    }
    let (targets, strangers): (Vec<String>, Vec<String>) =
        users.into_iter().partition(|userid| known.copies.contains_key(&fold(userid)));
    if targets.is_empty() {
        return refuse(82102, "none of them received the card");
    }
    let mut changed = Vec::new();
    for userid in targets {
        if let Some(copy) = known.copies.get_mut(&fold(&userid)) {
            copy.replaced.clone_from(&replace_name);
            if let Some(card) = &card {
                copy.card = card.clone();
            }
            changed.push(copy.userid.clone());
        }
    }
    if let Some(known) = state.responses.get_mut(&code) {
        known.used = true;
    }
    for userid in changed {
        let (task_id, replace_name, card) = (task_id.clone(), replace_name.clone(), card.clone());
        state.receive(call.now, What::CardUpdated { userid, task_id, replace_name, card });
    }
    let strangers: Vec<String> = strangers.iter().map(|userid| fold(userid)).collect();
    Ok(object(json!({"invaliduser": strangers})))
}

/// Either `button.replace_name` or a whole `template_card`.
fn new_face(body: &mut Fields) -> Result<(Option<String>, Option<Value>), Refusal> {
    let raw = body.raw("template_card").cloned();
    match (body.object("button")?, body.object("template_card")?) {
        (Some(mut button), None) => {
            let name = button.required("replace_name", ILLEGAL)?;
            button.close()?;
            Ok((Some(name), None))
        }
        (None, Some(card)) => {
            check_card(card, false)?;
            Ok((None, raw))
        }
        _ => refuse(ILLEGAL, "one of button and template_card is wanted"),
    }
}
