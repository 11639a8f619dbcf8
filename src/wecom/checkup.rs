//! Reading calls that show whether everything is set up: for `touchpoint doctor`, which sends nothing and changes nothing.
//!
//! Tokens are those that all processes share, under the same single flight; a secret that was refused is not tried again,
//! and the calls count in the budgets. Pauses are left as they are: an admin who has just mended something wants to know
//! now whether it helped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::domain::ids::{AppId, UserId};
use crate::settings::WecomSettings;
use crate::store::{Error, Store};

use super::answer::{CallError, Refusal};
use super::api::Api;
use super::client::ServerKey;
use super::errors;
use super::host::{Host, NoReply, Reply, Request};
use super::limits::{Limits, Window};
use super::pauses::Pauses;
use super::reasons;
use super::token::{Means, Token, Tokens};

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A reading call that does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The app itself (WeCom document 90227).
    App(i64),
    /// Members who may have customers (WeCom document 92571).
    FollowUsers,
    /// Corp tags (WeCom document 92117).
    CorpTags,
    /// One member (WeCom document 90196).
    User(UserId),
    /// Accounts of 微信客服 (`kf/account/list`).
    KfAccounts,
    /// Addresses from which callbacks come (WeCom document 92521).
    CallbackAddresses,
}

impl Reading {
    /// Its path below `/cgi-bin/`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::App(_) => "agent/get",
            Self::FollowUsers => "externalcontact/get_follow_user_list",
            Self::CorpTags => Api::ListTags.name(),
            Self::User(_) => Api::GetUser.name(),
            Self::KfAccounts => "kf/account/list",
            Self::CallbackAddresses => "getcallbackip",
        }
    }

    fn query(&self) -> Option<(&'static str, String)> {
        match self {
            Self::App(agent_id) => Some(("agentid", agent_id.to_string())),
            Self::User(userid) => Some(("userid", userid.as_str().to_owned())),
            Self::FollowUsers | Self::CorpTags | Self::KfAccounts | Self::CallbackAddresses => None,
        }
    }

    fn body(&self) -> Option<Value> {
        match self {
            // The smallest answers there are.
            Self::CorpTags => Some(json!({})),
            Self::KfAccounts => Some(json!({ "offset": 0, "limit": 1 })),
            Self::App(_) | Self::FollowUsers | Self::User(_) | Self::CallbackAddresses => None,
        }
    }
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// WeCom answered well, with these fields.
    Well(Map<String, Value>),
    /// WeCom refused with this code.
    Refused {
        /// The code.
        errcode: i64,
        /// What it means, and WeCom's own words without secrets.
        message: String,
    },
    /// WeCom refuses the app's secret, now or within the last hour.
    SecretRefused,
    /// Not asked, for this reason of [`reasons`].
    NotNow(&'static str),
    /// No answer came.
    NoAnswer,
    /// Something that is not WeCom answered with this status.
    NotWecom(u16),
}

/// How much of a quota is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// What is counted.
    pub name: String,
    /// Over how long.
    pub window: Duration,
    /// Calls within it.
    pub used: u64,
    /// The most that Touchpoint makes in it.
    pub most: u64,
}

/// WeCom, looked at.
pub struct Checkup {
    host: Host,
    tokens: Tokens,
    pauses: Pauses,
    limits: Limits,
    store: Store,
    apps: Vec<AppId>,
}

impl Checkup {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(settings: &WecomSettings, store: Store, key: &ServerKey) -> Result<Self, reqwest::Error> {
        Ok(Self {
            host: Host::new(&settings.api_base)?,
            tokens: Tokens::new(settings, store.clone(), key),
            pauses: Pauses::new(store.clone()),
            limits: Limits::default(),
            store,
            apps: settings.apps.keys().cloned().collect(),
        })
    }

    /// Whether there is an access token, or how it was refused. An error is what the server would meet as well.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn token(&self, app: &AppId) -> Result<(), Told> {
        self.current(app).await.map(drop)
    }

    /// Asks with an app's token; says whether WeCom refused a stored token that should still have lived.
    pub async fn ask(&self, app: &AppId, reading: &Reading) -> (Told, bool) {
        let mut token_was_refused = false;
        let told = self.asked(app, reading, &mut token_was_refused).await;
        (told.unwrap_or_else(|told| told), token_was_refused)
    }

    async fn asked(&self, app: &AppId, reading: &Reading, token_was_refused: &mut bool) -> Result<Told, Told> {
        let token = self.current(app).await?;
        let taken = self.store.take_budget(reading.path(), &self.limits.per_api).await;
        match taken {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Told::NotNow(reasons::QUOTA)),
            Err(_) => return Err(Told::NotNow(reasons::REDIS_AWAY)),
        }
        let reply = self.send(reading, &token).await?;
        if reply.errcode != 40001 && errors::action(reply.errcode) != errors::Action::Refresh {
            return Ok(self.meaning(app, &token, reply));
        }
        // As every call does: a new token once, and the call once more.
        *token_was_refused = true;
        self.tokens.refused(app, &token).await.map_err(told_of)?;
        let token = self.current(app).await?;
        let reply = self.send(reading, &token).await?;
        Ok(self.meaning(app, &token, reply))
    }

    async fn current(&self, app: &AppId) -> Result<Arc<Token>, Told> {
        let means = Means { host: &self.host, pauses: &self.pauses, limits: &self.limits };
        self.tokens.get(app, means).await.map_err(told_of)
    }

    async fn send(&self, reading: &Reading, token: &Token) -> Result<Reply, Told> {
        let field = reading.query();
        let mut query = vec![("access_token", token.text.expose_secret())];
        query.extend(field.as_ref().map(|(name, value)| (*name, value.as_str())));
        let body = reading.body();
        let request = Request { path: reading.path(), query: &query, body: body.as_ref(), patience: PATIENCE };
        self.host.send(request).await.map_err(|none| match none {
            NoReply::NotWecom(status) => Told::NotWecom(status),
            NoReply::Closed(_) | NoReply::Unsent | NoReply::Unanswered => Told::NoAnswer,
        })
    }

    fn meaning(&self, app: &AppId, token: &Token, reply: Reply) -> Told {
        if reply.errcode == 0 {
            return Told::Well(reply.fields);
        }
        let secret = self.tokens.secret(app).map_or("", |secret| secret.expose_secret());
        let refusal = Refusal::new(errors::action(reply.errcode), reply, &[token.text.expose_secret(), secret]);
        Told::Refused { errcode: refusal.errcode, message: refusal.message }
    }

    /// Every quota that anything was taken of, the fullest first.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn quotas(&self) -> Result<Vec<QuotaUse>, Error> {
        let mut all: BTreeMap<String, &[Window]> =
            Api::ALL.iter().map(|api| (api.name().to_owned(), self.limits.per_api.as_slice())).collect();
        let tokens = self.apps.iter().map(|app| (format!("gettoken/{app}"), self.limits.per_token.as_slice()));
        all.extend(tokens);
        let mut uses = Vec::new();
        for (name, windows) in all {
            let lengths: Vec<Duration> = windows.iter().map(|(length, _)| *length).collect();
            let used = self.store.budget_used(&name, &lengths).await?;
            let of = |((window, most), used): (&Window, u64)| QuotaUse {
                name: name.clone(),
                window: *window,
                used,
                most: u64::from(*most),
            };
            uses.extend(windows.iter().zip(used).map(of).filter(|quota| quota.used > 0));
        }
        uses.sort_by_key(|quota| std::cmp::Reverse(quota.used * 1000 / quota.most.max(1)));
        Ok(uses)
    }
}

fn told_of(error: CallError) -> Told {
    match error {
        CallError::NotNow { reason, .. } if reason == reasons::SECRET_REFUSED => Told::SecretRefused,
        CallError::NotNow { reason, .. } if reason == reasons::UNREACHABLE => Told::NoAnswer,
        CallError::NotNow { reason, .. } => Told::NotNow(reason),
        CallError::Unanswered => Told::NoAnswer,
        CallError::Refused(refusal) => Told::Refused { errcode: refusal.errcode, message: refusal.message },
        CallError::NotWecom { status } => Told::NotWecom(status),
        CallError::Unserved(_) => Told::SecretRefused,
    }
}

/// The address that WeCom saw a call come from, as its text names it (WeCom document 90313, 60020).
#[must_use]
pub fn seen_address(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("from ip: ")?;
    rest.split([',', ' ']).next().filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_wecom_saw_is_read_from_its_text() {
        let text = "not allow to access from your ip, hint: [1], from ip: 203.0.113.7, more info at https://open";
        assert_eq!(seen_address(text), Some("203.0.113.7"));
        assert_eq!(seen_address("busy"), None);
    }
}
