//! Access tokens (WeCom document 91039).

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::{Map, json};

use crate::domain::At;

use super::api::{Call, Reply};
use super::fields::{Refusal, refuse};
use super::state::{State, Token};

const TOKEN_LIFE: Duration = Duration::from_secs(7200);
/// "Several" wrong secrets ban the address for an hour; the number is not published.
const WRONG_SECRETS: usize = 5;

pub(super) fn get_token(state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    if state.banned_until.is_some_and(|until| call.now < until) {
        return refuse(45009, "api freq out of limit: too many wrong secrets from this ip");
    }
    let field = |name: &str| call.query.get(name).filter(|text| !text.is_empty());
    let Some(corp_id) = field("corpid") else { return refuse(41002, "corpid missing") };
    let Some(secret) = field("corpsecret") else { return refuse(41004, "corpsecret missing") };
    if *corp_id != state.corp_id {
        return refuse(40013, "invalid corpid");
    }
    let Some(app) = state.apps.iter().find(|app| app.settings.secret == *secret) else {
        return Err(state.wrong_secret(call.now));
    };
    let app = app.settings.name.clone();
    let token = state.id("", 214);
    state.tokens.insert(token.clone(), Token { app, expires: Instant::now() + TOKEN_LIFE, revoked: false });
    let mut reply = Map::new();
    reply.insert("access_token".into(), json!(token));
    reply.insert("expires_in".into(), json!(TOKEN_LIFE.as_secs()));
    Ok(reply)
}

impl State {
    fn wrong_secret(&mut self, now: At) -> Refusal {
        let hour = TimeDelta::hours(1);
        self.wrong_secrets.retain(|at| *at > now - hour);
        self.wrong_secrets.push_back(now);
        if self.wrong_secrets.len() >= WRONG_SECRETS {
            self.banned_until = Some(now + hour);
        }
        Refusal { errcode: 40001, hint: "invalid credential".to_owned() }
    }
}

/// Of both calls about addresses (WeCom documents 92520, 92521): all of this sandbox is one machine.
pub(super) fn get_callback_ip(_state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    let mut reply = Map::new();
    reply.insert("ip_list".into(), json!(["127.0.0.1"]));
    Ok(reply)
}
