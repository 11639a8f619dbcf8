//! The `/control/` routes; the module header of `sandbox` lists them.

use std::time::Duration;

use chrono::TimeDelta;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::At;

use super::faults::{CallbackFaults, Fault, FaultKind};
use super::people::{Act, Adding, Misuse};
use super::spans;
use super::state::MassLimit;
use super::world::World;

/// A control request.
pub(super) struct Request<'a> {
    pub method: Method,
    /// Behind `/control/`.
    pub path: &'a str,
    pub query: Vec<(String, String)>,
    pub is_json: bool,
    pub body: &'a [u8],
}

/// A control request that was not done.
struct Failure {
    status: StatusCode,
    error: String,
    send: Value,
}

type Outcome = Result<Value, Failure>;

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        let status = match misuse {
            Misuse::Related { .. } | Misuse::NoButton { .. } => StatusCode::CONFLICT,
            _ => StatusCode::NOT_FOUND,
        };
        Self { status, error: misuse.to_string(), send: Value::Null }
    }
}

fn wrong<T>(error: impl Into<String>, send: Value) -> Result<T, Failure> {
    Err(Failure { status: StatusCode::BAD_REQUEST, error: error.into(), send })
}

/// Answers a control request.
pub(super) async fn answer(world: &World, request: Request<'_>) -> (StatusCode, Value) {
    let outcome = if request.method == Method::POST && !request.is_json {
        // A page of another origin can send a form without being asked, JSON it cannot.
        let (status, error) =
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "a POST needs content-type: application/json".into());
        Err(Failure { status, error, send: Value::Null })
    } else {
        dispatch(world, &request).await
    };
    match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err(Failure { status, error, send }) if send.is_null() => (status, json!({"error": error})),
        Err(Failure { status, error, send }) => (status, json!({"error": error, "send": send})),
    }
}

async fn dispatch(world: &World, request: &Request<'_>) -> Outcome {
    let segments: Vec<String> = request.path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", [list @ ("log" | "receipts" | "callbacks")]) => read(world, list, &request.query),
        ("GET", ["state"]) => Ok(json!(world.state())),
        ("GET", ["hold", number]) => accepted(world, number).await,
        ("POST", ["hold", number, "release"]) => hold(world, number).map(|held| {
            held.release();
            json!({})
        }),
        ("POST", ["staff"]) => {
            world.hire(body(request, json!({"userid": "lili", "name": "李丽", "confirms": {"after": "10m"}}))?);
            Ok(json!({}))
        }
        ("POST", ["staff", userid, act]) => done(world, staff_act(userid, act, request)?).await,
        ("POST", ["customers", id, act]) => done(world, customer_act(id, act, request)?).await,
        ("POST", ["plan"]) => plan(world, request),
        ("POST", ["run"]) => Ok(json!({"done": world.run_due().await})),
        ("POST", ["clock"]) => clock(world, request).await,
        ("POST", ["apps", app]) => app_settings(world, app, request),
        ("POST", ["apps", app, "verify"]) => match world.verify_callback(app).await {
            Ok(()) => Ok(json!({"verified": true})),
            Err(error) => Err(Failure { status: StatusCode::BAD_GATEWAY, error, send: Value::Null }),
        },
        ("POST", ["media" | "mass_limit" | "welcome" | "tokens" | "refuse" | "hold"]) => switch(world, request),
        ("POST", ["faults"]) => fault(world, request),
        ("DELETE", ["faults"]) => {
            world.faults().clear();
            Ok(json!({}))
        }
        ("POST", ["callbacks"]) => callback_faults(world, request),
        ("POST", ["callbacks", "flush"]) => {
            world.flush_callbacks().await;
            Ok(json!({}))
        }
        (method, _) => {
            let error = format!("there is no {method} /control/{}", request.path);
            Err(Failure { status: StatusCode::NOT_FOUND, error, send: Value::Null })
        }
    }
}

/// A path segment without its percent signs.
fn decoded(segment: &str) -> String {
    let query = segment.replace('+', "%2B");
    let url = reqwest::Url::parse(&format!("http://sandbox/?k={query}"));
    url.ok().and_then(|url| Some(url.query_pairs().next()?.1.into_owned())).unwrap_or_default()
}

/// The body, or what should have been sent.
fn body<T: DeserializeOwned>(request: &Request<'_>, send: Value) -> Result<T, Failure> {
    let content = if request.body.is_empty() { b"{}" } else { request.body };
    serde_json::from_slice(content).or_else(|error| wrong(error.to_string(), send))
}

async fn done(world: &World, act: Act) -> Outcome {
    world.perform(&act).await?;
    Ok(json!({}))
}

fn read(world: &World, list: &str, query: &[(String, String)]) -> Outcome {
    let after = match query.iter().find(|(name, _)| name == "after").map(|(_, after)| after.parse::<u64>()) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => return wrong("after is the number of an entry", json!("?after=0")),
    };
    Ok(match list {
        "log" => json!({"entries": world.log_after(after)}),
        "receipts" => json!({"entries": world.receipts_after(after)}),
        _ => json!({"entries": world.callbacks_after(after)}),
    })
}

fn hold(world: &World, number: &str) -> Result<std::sync::Arc<super::faults::Held>, Failure> {
    let held = number.parse::<usize>().ok().and_then(|number| world.holds().get(number.checked_sub(1)?).cloned());
    let (status, error) = (StatusCode::NOT_FOUND, format!("there is no hold {number:?}"));
    held.ok_or(Failure { status, error, send: Value::Null })
}

async fn accepted(world: &World, number: &str) -> Outcome {
    let held = hold(world, number)?;
    let in_time = tokio::time::timeout(Duration::from_secs(10), held.accepted()).await.is_ok();
    Ok(json!({"accepted": in_time}))
}

/// The fields of acts of which the path gives the rest.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    userid: Option<String>,
    customer: Option<String>,
    task_id: Option<String>,
    key: Option<String>,
    msgid: Option<String>,
    remark: Option<String>,
    add_tags: Vec<String>,
    remove_tags: Vec<String>,
    app: Option<String>,
    text: Option<String>,
    from: Option<String>,
    to: Option<String>,
    name: Option<String>,
    state: Option<String>,
    add_way: Option<i64>,
    #[serde(with = "spans::maybe")]
    half_first: Option<Duration>,
    unionid: Option<String>,
}

fn needed(value: Option<String>, send: &Value) -> Result<String, Failure> {
    value.filter(|text| !text.is_empty()).map_or_else(|| wrong("a field is missing", send.clone()), Ok)
}

fn staff_act(userid: &str, act: &str, request: &Request<'_>) -> Result<Act, Failure> {
    let send = match act {
        "tap" => json!({"task_id": "…", "key": "…"}),
        "confirm" => json!({"msgid": "…"}),
        "delete" => json!({"customer": "wm…"}),
        "edit" => json!({"customer": "wm…", "remark": "…", "add_tags": ["group/name"]}),
        "write" => json!({"text": "…", "app": "assistant"}),
        _ => return wrong(format!("staff do not {act}"), json!(["tap", "confirm", "delete", "edit", "write"])),
    };
    let given: Given = body(request, send.clone())?;
    let userid = userid.to_owned();
    Ok(match act {
        "tap" => Act::Taps { userid, task_id: needed(given.task_id, &send)?, key: needed(given.key, &send)? },
        "confirm" => Act::Confirms { userid, msgid: needed(given.msgid, &send)? },
        "delete" => Act::StaffDeletes { userid, customer: needed(given.customer, &send)? },
        "edit" => Act::StaffEdits {
            userid,
            customer: needed(given.customer, &send)?,
            remark: given.remark,
            add_tags: given.add_tags,
            remove_tags: given.remove_tags,
        },
        _ => Act::Writes { userid, app: needed(given.app, &send)?, text: needed(given.text, &send)? },
    })
}

fn customer_act(id: &str, act: &str, request: &Request<'_>) -> Result<Act, Failure> {
    let send = match act {
        "add" => json!({"userid": "lili", "state": "store-01", "name": "小美"}),
        "delete" | "chat" => json!({"userid": "lili"}),
        "transfer" => json!({"from": "lili", "to": "wangwei"}),
        _ => return wrong(format!("customers do not {act}"), json!(["add", "delete", "chat", "transfer"])),
    };
    let given: Given = body(request, send.clone())?;
    let customer = id.to_owned();
    Ok(match act {
        "add" => Act::CustomerAdds(Adding {
            customer,
            userid: needed(given.userid, &send)?,
            name: given.name,
            state: given.state,
            add_way: given.add_way,
            half_first: given.half_first,
            unionid: given.unionid,
        }),
        "delete" => Act::CustomerDeletes { customer, userid: needed(given.userid, &send)? },
        "chat" => Act::Chats { customer, userid: needed(given.userid, &send)? },
        _ => Act::Transfers { customer, from: needed(given.from, &send)?, to: needed(given.to, &send)? },
    })
}

fn plan(world: &World, request: &Request<'_>) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plan {
        at: Option<At>,
        #[serde(default, with = "spans::maybe")]
        after: Option<Duration>,
        act: Act,
    }
    let send = json!({"after": "10m", "act": {"act": "customer_deletes", "customer": "wm…", "userid": "lili"}});
    let plan: Plan = body(request, send.clone())?;
    let at = match (plan.at, plan.after) {
        (Some(at), None) => at,
        (None, Some(after)) => later(world.now(), after)?,
        _ => return wrong("either at or after is wanted", send),
    };
    world.plan(at, plan.act);
    Ok(json!({"at": at}))
}

fn later(now: At, span: Duration) -> Result<At, Failure> {
    let later = TimeDelta::from_std(span).ok().and_then(|span| now.checked_add_signed(span));
    later.map_or_else(|| wrong("too far away", json!("7d")), Ok)
}

async fn clock(world: &World, request: &Request<'_>) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Move {
        set: Option<At>,
        #[serde(default, with = "spans::maybe")]
        advance: Option<Duration>,
    }
    let send = json!({"advance": "7d"});
    let wanted: Move = body(request, send.clone())?;
    let target = match (wanted.set, wanted.advance) {
        (Some(at), None) => at,
        (None, Some(span)) => later(world.now(), span)?,
        _ => return wrong("either advance or set is wanted", send),
    };
    match world.advance_to(target).await {
        Ok(now) => Ok(json!({"now": now})),
        Err(stuck) => Err(Failure { status: StatusCode::CONFLICT, error: stuck.to_string(), send }),
    }
}

fn app_settings(world: &World, app: &str, request: &Request<'_>) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        callback_url: Option<String>,
        contacts: Option<bool>,
    }
    let send = json!({"callback_url": "http://127.0.0.1:8080/wecom/callback/assistant", "contacts": true});
    let settings: Settings = body(request, send)?;
    if let Some(url) = settings.callback_url {
        world.set_callback_url(app, url)?;
    }
    if let Some(contacts) = settings.contacts {
        world.set_contacts(app, contacts)?;
    }
    Ok(json!({}))
}

/// The routes that take one or two fields and set something.
fn switch(world: &World, request: &Request<'_>) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Given {
        media_id: Option<String>,
        limit: Option<MassLimit>,
        consumed: Option<i64>,
        #[serde(rename = "do")]
        what: Option<String>,
        app: Option<String>,
        #[serde(rename = "for", with = "spans::maybe")]
        span: Option<Duration>,
        api: Option<String>,
    }
    let send = match request.path {
        "media" => json!({"media_id": "…"}),
        "mass_limit" => json!({"limit": "month"}),
        "welcome" => json!({"consumed": 41051}),
        "tokens" => json!({"do": "revoke"}),
        "refuse" => json!({"for": "2s"}),
        _ => json!({"api": "externalcontact/mark_tag"}),
    };
    let given: Given = body(request, send.clone())?;
    match (request.path, given) {
        ("media", Given { media_id: Some(id), .. }) => world.add_media(id),
        ("mass_limit", Given { limit: Some(limit), .. }) => world.set_mass_limit(limit),
        ("welcome", Given { consumed: Some(code @ (41050 | 41051)), .. }) => {
            world.faults().consumed_welcome_answers(code);
        }
        ("tokens", Given { what: Some(what), app, .. }) if what == "revoke" => {
            world.faults().revoke_tokens(app.as_deref());
        }
        ("tokens", Given { what: Some(what), app, .. }) if what == "expire" => {
            world.faults().expire_tokens(app.as_deref());
        }
        ("refuse", Given { span: Some(span), .. }) => refuse_for(world.clone(), span),
        ("hold", Given { api: Some(api), .. }) => {
            let held = world.hold_next(&api)?;
            let mut holds = world.holds();
            holds.push(std::sync::Arc::new(held));
            return Ok(json!({"hold": holds.len()}));
        }
        _ => return wrong("a field is missing or has no such value", send),
    }
    Ok(json!({}))
}

/// Closes the door behind this answer and opens it again later.
fn refuse_for(world: World, span: Duration) {
    tokio::spawn(async move {
        // The answer of the control request leaves first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.faults().refuse_connections(true).await;
        tokio::time::sleep(span).await;
        world.faults().refuse_connections(false).await;
    });
}

fn fault(world: &World, request: &Request<'_>) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        kind: String,
        api: Option<String>,
        times: Option<u32>,
        rate: Option<f64>,
        errcode: Option<i64>,
        status: Option<u16>,
        #[serde(default, with = "spans::maybe")]
        wait: Option<Duration>,
    }
    let send = json!({"kind": "errcode", "errcode": -1, "api": "externalcontact/mark_tag", "times": 3});
    let given: Given = body(request, send.clone())?;
    let kind = match (given.kind.as_str(), given.errcode, given.status, given.wait) {
        ("errcode", Some(errcode), None, None) if errcode != 0 => FaultKind::Errcode(errcode),
        ("status", None, Some(status @ 400..=599), None) => FaultKind::Status(status),
        ("latency", None, None, Some(wait)) => FaultKind::Latency(wait),
        ("lose_answer", None, None, None) => FaultKind::LoseAnswer,
        ("half_answer", None, None, None) => FaultKind::HalfAnswer,
        ("cut", None, None, None) => FaultKind::Cut,
        _ => {
            return wrong(
                "kind is errcode (with errcode), status (with status 400 to 599), latency (with wait), lose_answer, half_answer or cut",
                send,
            );
        }
    };
    if given.rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
        return wrong("rate is from 0 to 1", send);
    }
    world.faults().inject(Fault { api: given.api, kind, times: given.times, rate: given.rate })?;
    Ok(json!({}))
}

fn callback_faults(world: &World, request: &Request<'_>) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        copies: Option<u32>,
        reorder: Option<bool>,
        drop_rate: Option<f64>,
        #[serde(default, with = "spans::maybe")]
        retry_after: Option<Duration>,
    }
    let send = json!({"copies": 2, "reorder": true, "drop_rate": 0.1, "retry_after": "1s"});
    let given: Given = body(request, send.clone())?;
    let usual = CallbackFaults::default();
    let faults = CallbackFaults {
        copies: given.copies.unwrap_or(usual.copies),
        reorder: given.reorder.unwrap_or(usual.reorder),
        drop_rate: given.drop_rate.unwrap_or(usual.drop_rate),
        retry_after: given.retry_after.unwrap_or(usual.retry_after),
    };
    if !(1..=100).contains(&faults.copies) || !(0.0..=1.0).contains(&faults.drop_rate) {
        return wrong("copies is 1 to 100 and drop_rate from 0 to 1", send);
    }
    world.faults().callbacks(faults);
    Ok(json!({}))
}
