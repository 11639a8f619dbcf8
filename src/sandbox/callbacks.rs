//! Callbacks: XML, encryption, retries (WeCom documents 90930, 92130, 90240).
//!
//! An answer other than 200 within 5 s is followed by up to three more tries.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::SliceRandom;
use secrecy::SecretString;

use crate::domain::At;
use crate::wecom::crypto::CallbackKeys;

use super::ledger::{Attempt, CallbackRecord};
use super::options::SandboxApp;
use super::people::Misuse;
use super::state::{State, count};
use super::world::World;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const VERIFY_WITHIN: Duration = Duration::from_secs(1);
const MOST_TRIES: usize = 4;

/// A callback that follows from an act.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    app: String,
    event: String,
    at: At,
    /// Stands in the envelope of what belongs to an app.
    agent_id: Option<i64>,
    body: String,
}

/// A customer event that is the same for every app that gets it.
pub(super) fn contact(
    state: &State,
    change: &str,
    userid: &str,
    customer: &str,
    more: &[(&str, &str)],
    at: At,
) -> Vec<Outgoing> {
    let apps = state.apps.iter().filter(|app| app.contacts);
    apps.map(|app| contact_to(state, &app.settings.name, change, userid, customer, more, at)).collect()
}

/// An adding: each app gets a welcome code of its own.
pub(super) fn added(
    state: &State,
    change: &str,
    userid: &str,
    customer: &str,
    scanned: &str,
    codes: &[(String, String)],
    at: At,
) -> Vec<Outgoing> {
    let one = |app: &super::state::App| {
        let name = &app.settings.name;
        let code = codes.iter().find(|(to, _)| to == name).map_or("", |(_, code)| code.as_str());
        let more = [("State", scanned), ("WelcomeCode", code)];
        contact_to(state, name, change, userid, customer, &more, at)
    };
    state.apps.iter().filter(|app| app.contacts).map(one).collect()
}

fn contact_to(
    state: &State,
    app: &str,
    change: &str,
    userid: &str,
    customer: &str,
    more: &[(&str, &str)],
    at: At,
) -> Outgoing {
    let userid = state.staff(userid).map_or(userid, |staff| staff.userid.as_str());
    let mut body = head(state, "sys", "event", at);
    for (name, value) in
        [("Event", "change_external_contact"), ("ChangeType", change), ("UserID", userid), ("ExternalUserID", customer)]
    {
        body.push_str(&element(name, value));
    }
    for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
        body.push_str(&element(name, value));
    }
    let event = format!("change_external_contact/{change}");
    Outgoing { app: app.to_owned(), event, at, agent_id: None, body: closed(body) }
}

/// A corp tag that was deleted in the console.
pub(super) fn tag_deleted(state: &State, id: &str, at: At) -> Vec<Outgoing> {
    let mut body = head(state, "sys", "event", at);
    let fields = [("Event", "change_external_tag"), ("ChangeType", "delete"), ("Id", id), ("TagType", "tag")];
    for (name, value) in fields {
        body.push_str(&element(name, value));
    }
    let (event, body) = ("change_external_tag/delete".to_owned(), closed(body));
    let apps = state.apps.iter().filter(|app| app.contacts);
    let to = |app: &super::state::App| app.settings.name.clone();
    apps.map(|app| Outgoing { app: to(app), event: event.clone(), at, agent_id: None, body: body.clone() }).collect()
}

/// A tap on a card.
pub(super) struct Click<'a> {
    pub userid: &'a str,
    pub task_id: &'a str,
    pub key: &'a str,
    pub card_type: &'a str,
    pub code: &'a str,
}

/// The callback of a tap, for the app that sent the card.
pub(super) fn tapped(state: &State, app: &str, click: &Click<'_>, at: At) -> Vec<Outgoing> {
    let Some(app) = state.app(app) else { return Vec::new() };
    let agent_id = app.settings.agent_id;
    let mut body = head(state, click.userid, "event", at);
    for (name, value) in [
        ("Event", "template_card_event"),
        ("EventKey", click.key),
        ("TaskId", click.task_id),
        ("CardType", click.card_type),
        ("ResponseCode", click.code),
    ] {
        body.push_str(&element(name, value));
    }
    body.push_str(&format!("<AgentID>{agent_id}</AgentID>"));
    let (app, event) = (app.settings.name.clone(), "template_card_event".to_owned());
    vec![Outgoing { app, event, at, agent_id: Some(agent_id), body: closed(body) }]
}

/// A staff member's words to an app; none when there is no such app.
pub(super) fn text(
    state: &State,
    app: &str,
    userid: &str,
    content: &str,
    msg_id: &str,
    at: At,
) -> Option<Vec<Outgoing>> {
    let app = state.app(app)?;
    let agent_id = app.settings.agent_id;
    let mut body = head(state, userid, "text", at);
    body.push_str(&element("Content", content));
    body.push_str(&format!("<MsgId>{msg_id}</MsgId><AgentID>{agent_id}</AgentID>"));
    let (app, event) = (app.settings.name.clone(), "text".to_owned());
    Some(vec![Outgoing { app, event, at, agent_id: Some(agent_id), body: closed(body) }])
}

fn head(state: &State, from: &str, kind: &str, at: At) -> String {
    let (to, from) = (element("ToUserName", &state.corp_id), element("FromUserName", from));
    format!("<xml>{to}{from}<CreateTime>{}</CreateTime>{}", at.timestamp(), element("MsgType", kind))
}

fn closed(mut body: String) -> String {
    body.push_str("</xml>");
    body
}

/// An element with its text in CDATA; the end mark inside the text is split over two sections.
fn element(name: &str, text: &str) -> String {
    format!("<{name}><![CDATA[{}]]></{name}>", text.replace("]]>", "]]]]><![CDATA[>"))
}

/// What is needed for one try, read under the lock.
struct Letter {
    record: usize,
    app: SandboxApp,
    url: String,
    outgoing: Outgoing,
}

impl World {
    /// Sends callbacks as the switches say, each with its retries, one after the other.
    pub(super) async fn deliver(&self, batch: Vec<Outgoing>) {
        let (letters, retry_after) = {
            let mut state = self.lock();
            let hears = |one: &Outgoing| state.app(&one.app).is_some_and(|app| app.settings.callback_url.is_some());
            let batch = batch.into_iter().filter(hears).collect();
            let batch = shuffled(&mut state, batch);
            let letters: Vec<Letter> = batch.into_iter().flat_map(|one| address(&mut state, one)).collect();
            (letters, state.switches.callbacks.retry_after)
        };
        self.changed();
        for letter in letters {
            self.send(&letter, retry_after).await;
        }
    }

    /// Sends what the `reorder` switch keeps back.
    pub async fn flush_callbacks(&self) {
        let letters: Vec<Letter> = {
            let mut state = self.lock();
            let kept = std::mem::take(&mut state.switches.kept_back);
            kept.into_iter().flat_map(|one| address(&mut state, one)).collect()
        };
        for letter in letters {
            self.send(&letter, Duration::ZERO).await;
        }
    }

    async fn send(&self, letter: &Letter, retry_after: Duration) {
        for attempt in 0..MOST_TRIES {
            if attempt > 0 {
                tokio::time::sleep(retry_after).await;
            }
            let outcome = self.try_once(letter).await;
            let taken = outcome.status == Some(200);
            if let Some(record) = self.lock().callbacks.get_mut(letter.record) {
                record.attempts.push(outcome);
            }
            self.changed();
            if taken {
                return;
            }
        }
    }

    async fn try_once(&self, letter: &Letter) -> Attempt {
        let started = Instant::now();
        let ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failed = |error: String| Attempt { status: None, ms: ms(), error: Some(error) };
        let keys = match self.keys(&letter.app) {
            Ok(keys) => keys,
            Err(error) => return failed(error.to_string()),
        };
        let sealed = keys.seal(letter.outgoing.body.as_bytes(), self.random());
        let agent = letter.outgoing.agent_id.map(|id| element("AgentID", &id.to_string())).unwrap_or_default();
        let (to, encrypt) = (element("ToUserName", &self.lock().corp_id), element("Encrypt", &sealed));
        let request = self
            .http()
            .post(&letter.url)
            .query(&self.signed(&keys, &sealed, None))
            .header("content-type", "text/xml")
            .timeout(ANSWER_WITHIN)
            .body(format!("<xml>{to}{agent}{encrypt}</xml>"));
        match request.send().await {
            Ok(response) => Attempt { status: Some(response.status().as_u16()), ms: ms(), error: None },
            Err(error) => failed(error.without_url().to_string()),
        }
    }

    /// Checks a callback address as the admin console does on save: the decrypted `echostr` must come back within 1 s.
    ///
    /// # Errors
    /// What the console would complain about.
    pub async fn verify_callback(&self, app: &str) -> Result<(), String> {
        let (settings, echo) = {
            let mut state = self.lock();
            let settings = state.app(app).map(|app| app.settings.clone());
            (settings.ok_or_else(|| Misuse::NoApp(app.to_owned()).to_string())?, state.digits(19))
        };
        let url = settings.callback_url.clone().ok_or_else(|| format!("app {app:?} has no callback address"))?;
        let keys = self.keys(&settings).map_err(|error| error.to_string())?;
        let sealed = keys.seal(echo.as_bytes(), self.random());
        let request = self.http().get(url).query(&self.signed(&keys, &sealed, Some(&sealed))).timeout(VERIFY_WITHIN);
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| error.without_url().to_string())?;
        if status == 200 && body == echo.as_bytes() {
            Ok(())
        } else {
            Err(format!("the answer was {status} and not the {} bytes that were expected", echo.len()))
        }
    }

    fn keys(&self, app: &SandboxApp) -> Result<CallbackKeys, Misuse> {
        let corp_id = self.lock().corp_id.clone();
        let (token, key) = (SecretString::from(app.token.clone()), SecretString::from(app.aes_key.clone()));
        CallbackKeys::new(&token, &key, &corp_id).map_err(|error| Misuse::BadKeys(app.name.clone(), error.to_string()))
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.lock().rng.fill_bytes(&mut bytes);
        bytes
    }

    /// The query of a callback; `timestamp` is business time, like everything the server judges.
    fn signed(&self, keys: &CallbackKeys, sealed: &str, echo: Option<&str>) -> Vec<(&'static str, String)> {
        let (timestamp, nonce) = (self.now().timestamp().to_string(), self.lock().digits(10));
        let signature = keys.sign(&timestamp, &nonce, sealed);
        let echo = echo.map(|echo| ("echostr", echo.to_owned()));
        [("msg_signature", signature), ("timestamp", timestamp), ("nonce", nonce)].into_iter().chain(echo).collect()
    }
}

/// Puts a batch in disorder when asked; a callback that comes alone is kept back until the next.
fn shuffled(state: &mut State, batch: Vec<Outgoing>) -> Vec<Outgoing> {
    let switches = &mut state.switches;
    let mut all = std::mem::take(&mut switches.kept_back);
    all.extend(batch);
    if !switches.callbacks.reorder {
        return all;
    }
    if all.len() == 1 {
        switches.kept_back = all;
        return Vec::new();
    }
    let before: Vec<String> = all.iter().map(|one| one.body.clone()).collect();
    all.shuffle(&mut switches.rng);
    if all.iter().map(|one| &one.body).eq(&before) {
        all.reverse(); // chance left them in order, and disorder was asked for
    }
    all
}

/// Writes the callback down and gives its letters: none without an address or when it is dropped.
fn address(state: &mut State, outgoing: Outgoing) -> Vec<Letter> {
    let Some(app) = state.app(&outgoing.app).map(|app| app.settings.clone()) else { return Vec::new() };
    let Some(url) = app.callback_url.clone() else { return Vec::new() };
    let dropped = state.switches.drops_callback();
    let record = state.callbacks.len();
    state.callbacks.push(CallbackRecord {
        seq: count(record) + 1,
        at: outgoing.at,
        app: outgoing.app.clone(),
        event: outgoing.event.clone(),
        body: outgoing.body.clone(),
        dropped,
        attempts: Vec::new(),
    });
    let copies = if dropped { 0 } else { usize::try_from(state.switches.callbacks.copies).unwrap_or(1) };
    let letter = |_| Letter { record, app: app.clone(), url: url.clone(), outgoing: outgoing.clone() };
    (0..copies).map(letter).collect()
}
