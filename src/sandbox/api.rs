//! From a request to an answer: which API, whose token, what trouble, what WeCom says, what the log keeps.
//!
//! A wrong path is 404 with an empty body; everything else is 200 with `errcode` (WeCom document 90313).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use crate::domain::At;

use super::faults::{After, Trouble};
use super::fields::{Fields, ILLEGAL, Refusal, refuse};
use super::ledger::{Fate, LogEntry};
use super::people::Misuse;
use super::state::{Meter, State, count, fold};
use super::world::World;
use super::{api_agent, api_contacts, api_mass, api_messages, api_tags, api_token, api_welcome};

/// How long WeCom writes at one pair: a second `mark_tag` of the pair meanwhile is refused (45035).
const MARKING: Duration = Duration::from_millis(3);
const PER_MINUTE: u32 = 10_000;
const PER_HOUR: u32 = 150_000;

/// What an API is asked.
pub(super) struct Call {
    /// Whose token; empty for `gettoken`.
    pub app: String,
    pub query: BTreeMap<String, String>,
    pub body: Fields,
    pub now: At,
}

/// The fields of a good answer besides `errcode` and `errmsg`.
pub(super) type Reply = Result<Map<String, Value>, Refusal>;

struct Api {
    path: &'static str,
    /// The query's fields besides `access_token`; a GET has no body, a POST has one.
    method: Method,
    run: fn(&mut State, Call) -> Reply,
}

#[derive(PartialEq)]
enum Method {
    Get(&'static [&'static str]),
    Post,
}

const GET_TOKEN: &str = "gettoken";
const MARK_TAG: &str = "externalcontact/mark_tag";
const SEND: &str = "message/send";

const APIS: &[Api] = &[
    Api { path: GET_TOKEN, method: Method::Get(&["corpid", "corpsecret"]), run: api_token::get_token },
    Api { path: "getcallbackip", method: Method::Get(&[]), run: api_token::get_callback_ip },
    Api { path: "get_api_domain_ip", method: Method::Get(&[]), run: api_token::get_callback_ip },
    Api { path: "agent/get", method: Method::Get(&["agentid"]), run: api_agent::get },
    Api { path: "kf/account/list", method: Method::Post, run: api_agent::kf_accounts },
    Api { path: "user/get", method: Method::Get(&["userid"]), run: api_contacts::get_user },
    Api { path: "externalcontact/get_follow_user_list", method: Method::Get(&[]), run: api_contacts::follow_users },
    Api { path: "externalcontact/get", method: Method::Get(&["external_userid", "cursor"]), run: api_contacts::get },
    Api { path: "externalcontact/send_welcome_msg", method: Method::Post, run: api_welcome::send },
    Api { path: "externalcontact/get_corp_tag_list", method: Method::Post, run: api_tags::list },
    Api { path: "externalcontact/add_corp_tag", method: Method::Post, run: api_tags::add },
    Api { path: MARK_TAG, method: Method::Post, run: api_tags::mark },
    Api { path: "externalcontact/add_msg_template", method: Method::Post, run: api_mass::add },
    Api { path: "externalcontact/get_groupmsg_list_v2", method: Method::Post, run: api_mass::list },
    Api { path: "externalcontact/get_groupmsg_task", method: Method::Post, run: api_mass::task },
    Api { path: "externalcontact/get_groupmsg_send_result", method: Method::Post, run: api_mass::result },
    Api { path: "externalcontact/remind_groupmsg_send", method: Method::Post, run: api_mass::remind },
    Api { path: SEND, method: Method::Post, run: api_messages::send },
    Api { path: "message/update_template_card", method: Method::Post, run: api_messages::update_card },
];

/// The name of an API of this sandbox, with or without `/cgi-bin/` before it.
pub(super) fn known(name: &str) -> Result<&'static str, Misuse> {
    let tail = name.trim_start_matches('/').trim_start_matches("cgi-bin/");
    APIS.iter().find(|api| api.path == tail).map(|api| api.path).ok_or_else(|| Misuse::NoApi(name.to_owned()))
}

/// A request for WeCom.
pub(super) struct Request {
    pub post: bool,
    /// Behind `/cgi-bin/`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What goes back, or does not.
pub(super) enum Answer {
    Json(Value),
    Status(u16),
    /// The connection is cut after so many bytes of this.
    Half(Value),
    /// The connection is cut.
    Cut,
}

/// Ends the marking of a pair when the call ends, however it ends.
struct Marking {
    world: World,
    pair: (String, String),
}

impl Drop for Marking {
    fn drop(&mut self) {
        self.world.lock().busy.remove(&self.pair);
    }
}

impl World {
    /// Answers one call.
    pub(super) async fn answer(&self, request: Request) -> Answer {
        let started = Instant::now();
        let Some(api) = APIS.iter().find(|api| api.path == request.path) else { return self.nowhere(&request) };
        let trouble = self.lock().switches.meet(api.path);
        let marking = if api.path == MARK_TAG { self.mark(&request) } else { Ok(None) };
        let wait = trouble.delay + if matches!(marking, Ok(Some(_))) { MARKING } else { Duration::ZERO };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let conflict = marking.as_ref().err().cloned();
        let verdict = self.decide(api, &request, &trouble, conflict, started);
        match (verdict, trouble.after) {
            (Verdict::Cut, _) => Answer::Cut,
            (Verdict::Status(status), _) => Answer::Status(status),
            (Verdict::Said(value), After::Answer) => Answer::Json(value),
            (Verdict::Said(_), After::Lose) => Answer::Cut,
            (Verdict::Said(value), After::Half) => Answer::Half(value),
            (Verdict::Said(value), After::Hold(latch)) => {
                latch.accepted.send_replace(true);
                let mut released = latch.released.subscribe();
                // Both ends of the latch live here; when the caller goes away this future is dropped.
                drop(released.wait_for(|yes| *yes).await);
                Answer::Json(value)
            }
        }
    }

    /// A path that WeCom does not have.
    fn nowhere(&self, request: &Request) -> Answer {
        let now = self.now();
        let mut state = self.lock();
        let seq = count(state.log.len()) + 1;
        let app = state.caller(&request.query).ok();
        let (api, errmsg) = (request.path.clone(), "no such path".to_owned());
        let (request, errcode, fate) = (told(request), 404, Fate::Answered);
        state.log.push(LogEntry { seq, at: now, api, app, request, errcode, errmsg, latency_ms: 0, fate });
        drop(state);
        self.changed();
        Answer::Status(404)
    }

    /// Takes the pair of a `mark_tag` for its duration.
    fn mark(&self, request: &Request) -> Result<Option<Marking>, Refusal> {
        let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else { return Ok(None) };
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        let (Some(userid), Some(customer)) = (text("userid"), text("external_userid")) else { return Ok(None) };
        let pair = (fold(userid), customer.to_owned());
        if self.lock().busy.insert(pair.clone()) {
            Ok(Some(Marking { world: self.clone(), pair }))
        } else {
            refuse(45035, "the tags of this pair are being changed by another call")
        }
    }

    /// What WeCom says, under one lock with what the log keeps of it.
    fn decide(
        &self,
        api: &Api,
        request: &Request,
        trouble: &Trouble,
        conflict: Option<Refusal>,
        started: Instant,
    ) -> Verdict {
        let now = self.now();
        let mut state = self.lock();
        let app = state.caller(&request.query);
        let reply = match (&trouble.errcode, trouble.cut, trouble.status) {
            (None, false, None) => state.reply(api, request, &app, conflict, now),
            (Some(errcode), ..) => refuse(*errcode, "a fault of the sandbox"),
            (None, ..) => refuse(0, "WeCom did not look at it"),
        };
        let value = said(reply, count(state.log.len()) + 1);
        let fate = match (trouble.cut || trouble.status.is_some(), &trouble.after) {
            (true, _) => Fate::Cut,
            (false, After::Answer) => Fate::Answered,
            (false, After::Lose) => Fate::Lost,
            (false, After::Half) => Fate::Half,
            (false, After::Hold(_)) => Fate::Held,
        };
        let seq = count(state.log.len()) + 1;
        state.log.push(LogEntry {
            seq,
            at: now,
            api: api.path.to_owned(),
            app: app.ok(),
            request: told(request),
            errcode: value.get("errcode").and_then(Value::as_i64).unwrap_or_default(),
            errmsg: value.get("errmsg").and_then(Value::as_str).unwrap_or_default().to_owned(),
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            fate,
        });
        drop(state);
        self.changed();
        match (trouble.cut, trouble.status) {
            (true, _) => Verdict::Cut,
            (false, Some(status)) => Verdict::Status(status),
            (false, None) => Verdict::Said(value),
        }
    }
}

enum Verdict {
    Cut,
    Status(u16),
    Said(Value),
}

impl State {
    /// Whose token a call carries.
    fn caller(&self, query: &[(String, String)]) -> Result<String, Refusal> {
        let token = query.iter().find(|(name, _)| name == "access_token").map_or("", |(_, token)| token.as_str());
        if token.is_empty() {
            return refuse(41001, "access_token missing");
        }
        let Some(known) = self.tokens.get(token).filter(|known| !known.revoked) else {
            return refuse(40014, "invalid access_token");
        };
        if known.expires <= Instant::now() {
            return refuse(42001, "access_token expired");
        }
        Ok(known.app.clone())
    }

    fn reply(
        &mut self,
        api: &Api,
        request: &Request,
        app: &Result<String, Refusal>,
        conflict: Option<Refusal>,
        now: At,
    ) -> Reply {
        let app = if api.path == GET_TOKEN { String::new() } else { app.clone()? };
        if api.path != SEND && api.path != GET_TOKEN {
            self.meters.entry(api.path).or_default().count(now)?;
        }
        let query = asked(api, request)?;
        let body = if request.post { content(&request.body)? } else { Map::new() };
        if let Some(conflict) = conflict {
            return Err(conflict);
        }
        (api.run)(self, Call { app, query, body: Fields::new(body), now })
    }
}

/// The query's fields, when the method is right and all of them are known.
fn asked(api: &Api, request: &Request) -> Result<BTreeMap<String, String>, Refusal> {
    let known: &[&str] = match (&api.method, request.post) {
        (Method::Get(fields), false) => fields,
        (Method::Post, true) => &[],
        (Method::Get(_), true) => return refuse(ILLEGAL, "this API is called with GET"),
        (Method::Post, false) => return refuse(ILLEGAL, "this API is called with POST"),
    };
    let fields = request.query.iter().filter(|(name, _)| name != "access_token");
    let fields: BTreeMap<String, String> = fields.cloned().collect();
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => refuse(ILLEGAL, format!("unknown query field {unknown}")),
        None => Ok(fields),
    }
}

/// The object in a body: UTF-8 JSON without `\u` escapes.
fn content(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if has_unicode_escape(body) {
        return refuse(40033, "the request contains \\uxxxx escapes");
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => refuse(ILLEGAL, "Warning: wrong json format."),
    }
}

fn has_unicode_escape(body: &[u8]) -> bool {
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        // The byte behind a backslash belongs to it, so that an escaped backslash before a `u` is no escape.
        if *byte == b'\\' && bytes.next() == Some(&b'u') {
            return true;
        }
    }
    false
}

fn said(reply: Reply, seq: u64) -> Value {
    match reply {
        Ok(fields) => {
            let mut answer = Map::new();
            answer.insert("errcode".into(), json!(0));
            answer.insert("errmsg".into(), json!("ok"));
            answer.extend(fields);
            Value::Object(answer)
        }
        Err(Refusal { errcode, hint }) => {
            let more = format!("https://open.work.weixin.qq.com/devtool/query?e={errcode}");
            let errmsg = format!("{hint}, hint: [{seq}], from ip: 127.0.0.1, more info at {more}");
            json!({"errcode": errcode, "errmsg": errmsg})
        }
    }
}

/// What the log keeps of a request: no token, no secret.
fn told(request: &Request) -> Value {
    let secret = ["access_token", "corpsecret"];
    let query = request.query.iter().filter(|(name, _)| !secret.contains(&name.as_str()));
    let mut told: Map<String, Value> = query.map(|(name, value)| (name.clone(), json!(value))).collect();
    if request.post {
        let text = || Value::String(String::from_utf8_lossy(&request.body).into_owned());
        told.insert("body".into(), serde_json::from_slice(&request.body).unwrap_or_else(|_| text()));
    }
    Value::Object(told)
}

impl Meter {
    /// Counts a call; over the limit the API is blocked for as long as the window (WeCom document 90312).
    fn count(&mut self, now: At) -> Result<(), Refusal> {
        if self.blocked_until.is_some_and(|until| now < until) {
            return refuse(45009, "api freq out of limit");
        }
        for (window, seconds, most) in [(&mut self.minute, 60, PER_MINUTE), (&mut self.hour, 3600, PER_HOUR)] {
            let number = now.timestamp().div_euclid(seconds);
            if window.0 != number {
                *window = (number, 0);
            }
            window.1 += 1;
            if window.1 > most {
                self.blocked_until = Some(now + TimeDelta::seconds(seconds));
                return refuse(45009, "api freq out of limit");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_escapes_are_told_from_escaped_backslashes() {
        assert!(has_unicode_escape(br#"{"a":"\u4f60"}"#));
        assert!(!has_unicode_escape(br#"{"a":"\\u4f60"}"#));
        assert!(has_unicode_escape(br#"{"a":"\\\u4f60"}"#));
        assert!(!has_unicode_escape("{\"a\":\"你\\n\"}".as_bytes()));
    }

    #[test]
    fn the_ten_thousand_and_first_call_of_a_minute_blocks_the_api_for_a_minute() {
        let mut meter = Meter::default();
        let start = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert!((0..PER_MINUTE).all(|_| meter.count(start).is_ok()));
        assert_eq!(meter.count(start).unwrap_err().errcode, 45009);
        assert!(meter.count(start + TimeDelta::seconds(59)).is_err());
        assert!(meter.count(start + TimeDelta::seconds(60)).is_ok());
    }
}
