//! The one path every call takes.
//!
//! Pauses, breaker, a place in the lane, access token, budget, request, answer, class. Whatever must be known to all
//! processes (tokens, budgets, pauses) lies in Redis; breaker and lanes are this process's own. Tokens, secrets and bodies
//! reach no log, error or metric.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::Value;
use tracing::Instrument;
use tracing::field::Empty;

use crate::domain::At;
use crate::domain::ids::AppId;
use crate::settings::{AppSettings, Family, WecomSettings};
use crate::store::Store;

use super::answer::{Answer, CallError, Calls, Lasting, Refusal, is_wrong_place, not_now, redis_away, wrong_place};
use super::api::{Api, Method};
use super::body;
use super::errors::{self, Action};
use super::host::{Host, NoReply, Reply, Request};
use super::lanes::Lanes;
use super::limits::{Limits, Window};
use super::pauses::{FOR_ADMIN, FOR_QUOTA, NotNow, Pauses, Trial};
use super::reasons;
use super::token::{Means, Token, Tokens, accuses_secret};

/// The 32 bytes of `server.key`.
#[derive(Clone)]
pub struct ServerKey(pub secrecy::SecretSlice<u8>);

/// WeCom, as the dispatcher sees it. Clones share connections, breakers and cached tokens.
#[derive(Clone)]
pub struct Wecom {
    inner: Arc<Inner>,
}

struct Inner {
    settings: WecomSettings,
    store: Store,
    host: Host,
    tokens: Tokens,
    pauses: Pauses,
    lanes: Lanes,
    limits: Limits,
}

impl Wecom {
    /// Nothing is called yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(settings: &WecomSettings, store: Store, key: &ServerKey) -> Result<Self, reqwest::Error> {
        Self::with_limits(settings, store, key, Limits::default())
    }

    /// The same with other quotas than WeCom's, for a WeCom that has others.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn with_limits(
        settings: &WecomSettings,
        store: Store,
        key: &ServerKey,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
        let inner = Inner {
            settings: settings.clone(),
            host: Host::new(&settings.api_base)?,
            tokens: Tokens::new(settings, store.clone(), key),
            pauses: Pauses::new(store.clone()),
            lanes: Lanes::new(),
            store,
            limits,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Apps whose secret WeCom refused, as long as it is not asked again with it.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn refused_secrets(&self) -> Result<Vec<String>, crate::store::Error> {
        Ok(self.inner.tokens.refused_secrets().await?.into_iter().map(AppId::to_string).collect())
    }

    /// What is wrong between us and WeCom, for `/readyz`: paused families and refused secrets, each with the fix.
    pub async fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.inner.host.breaker.is_open() {
            let remedy = "look at the network and at wecom.api_base; calls wait and are made when it answers";
            troubles.push(format!("wecom cannot be reached: {remedy}"));
        }
        match self.inner.store.paused_families().await {
            Ok(paused) => troubles.extend(paused.into_iter().map(|(name, reason, left)| {
                format!("wecom {name} is paused for another {} s: {reason}", left.as_secs().max(1))
            })),
            Err(error) => troubles.push(format!("wecom: what is paused cannot be read: {error}")),
        }
        match self.inner.tokens.refused_secrets().await {
            Ok(apps) => troubles.extend(apps.into_iter().map(|app| {
                format!(
                    "wecom refused the secret of app {app}; it is not asked again with it for up to an hour: {}",
                    errors::remedy(40001)
                )
            })),
            Err(error) => troubles.push(format!("wecom: refused secrets cannot be read: {error}")),
        }
        troubles
    }
}

impl Calls for Wecom {
    async fn call(&self, api: Api, mut body: Value) -> Result<Answer, CallError> {
        body::clean(&mut body);
        let span =
            tracing::debug_span!("wecom call", wecom.api = api.name(), wecom.errcode = Empty, duration_ms = Empty);
        self.inner.call(api, &body).instrument(span).await
    }

    fn agent_id(&self) -> Result<i64, CallError> {
        Ok(self.inner.app_for(&[Family::Messages])?.1.agent_id)
    }

    async fn business_now(&self) -> Result<At, CallError> {
        let offset = self.inner.store.clock_offset().await.map_err(redis_away)?;
        Ok(chrono::Utc::now() + chrono::TimeDelta::milliseconds(offset))
    }
}

impl Inner {
    fn app_for(&self, families: &[Family]) -> Result<(&AppId, &AppSettings), CallError> {
        let found = families.iter().find_map(|family| self.settings.app_for(*family));
        found.ok_or_else(|| CallError::Unserved(families.first().copied().unwrap_or(Family::Contacts)))
    }

    async fn call(&self, api: Api, body: &Value) -> Result<Answer, CallError> {
        let (app, its) = self.app_for(api.families())?;
        let trial = self.pauses.admit(&[api.scope(), api.name()]).await.map_err(|why| match why {
            NotNow::Paused(wait) => not_now(wait, reasons::PAUSED),
            NotNow::Store(error) => redis_away(error),
        })?;
        if let Some(wait) = self.host.breaker.closed_for(Instant::now()) {
            return Err(not_now(wait, reasons::UNREACHABLE));
        }
        let _place = self.lanes.enter(api).await;
        let token = self.token(app).await?;
        self.take_budget(api, its.agent_id, body).await?;
        let reply = self.send(api, body, &token).await?;
        // At most once: a second refusal of the token is told to the caller.
        let (reply, token) = if is_token_trouble(reply.errcode) {
            self.tokens.refused(app, &token).await?;
            let token = self.token(app).await?;
            (self.send(api, body, &token).await?, token)
        } else {
            (reply, token)
        };
        self.settle(api, app, reply, &token, trial).await
    }

    async fn token(&self, app: &AppId) -> Result<Arc<Token>, CallError> {
        let means = Means { host: &self.host, pauses: &self.pauses, limits: &self.limits };
        let token = self.tokens.get(app, means).await;
        // Without a token the call itself was never sent.
        token.map_err(|error| match error {
            CallError::Unanswered => not_now(Duration::from_secs(1), reasons::TOKEN_AWAITED),
            CallError::NotNow { .. } | CallError::Refused(_) | CallError::NotWecom { .. } | CallError::Unserved(_) => {
                error
            }
        })
    }

    async fn take_budget(&self, api: Api, agent_id: i64, body: &Value) -> Result<(), CallError> {
        self.take(api.name(), &self.limits.per_api).await?;
        let own = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        match api {
            Api::SendMessage => {
                let member = format!("message/send/{agent_id}/{}", own("touser").to_ascii_lowercase());
                self.take(&member, &self.limits.per_member).await
            }
            Api::RemindMassSend => {
                let task = format!("remind_groupmsg_send/{}", own("msgid"));
                self.take(&task, &self.limits.per_mass_send).await
            }
            Api::GetCustomer
            | Api::SendWelcome
            | Api::ListTags
            | Api::AddTags
            | Api::MarkTag
            | Api::AddMassSend
            | Api::ListMassSends
            | Api::GetMassSendTask
            | Api::GetMassSendResult
            | Api::UpdateCard
            | Api::GetUser => Ok(()),
        }
    }

    async fn take(&self, name: &str, windows: &[Window]) -> Result<(), CallError> {
        let taken = self.store.take_budget(name, windows).await.map_err(redis_away)?;
        taken.map_err(|wait| not_now(wait, reasons::QUOTA))
    }

    async fn send(&self, api: Api, body: &Value, token: &Token) -> Result<Reply, CallError> {
        let mut query = vec![("access_token", token.text.expose_secret())];
        let body = match api.method() {
            Method::Post => Some(body),
            Method::Get => {
                let fields = body.as_object().into_iter().flatten();
                query.extend(fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
                None
            }
        };
        let began = Instant::now();
        let request = Request { path: api.name(), query: &query, body, patience: api.patience() };
        let reply = self.host.send(request).await;
        record(api, &reply, began.elapsed());
        match reply {
            Err(NoReply::NotWecom(status)) if is_wrong_place(status) => {
                Err(self.pause(api.scope(), &wrong_place(status), reasons::PAUSED).await)
            }
            Ok(_) | Err(_) => Ok(reply?),
        }
    }

    /// What a reply means, and what everybody must know of it.
    async fn settle(
        &self,
        api: Api,
        app: &AppId,
        reply: Reply,
        token: &Token,
        trial: Trial<'_>,
    ) -> Result<Answer, CallError> {
        if reply.errmsg.contains("Warning: wrong json format") {
            tracing::error!(wecom.api = api.name(), "WeCom calls the JSON of this request malformed");
            metrics::counter!("touchpoint_wecom_malformed_total", "api" => api.name()).increment(1);
        }
        if reply.errcode == 0 {
            self.lanes.praise(api);
            trial.succeeded();
            return Ok(Answer(reply.fields));
        }
        let errcode = reply.errcode;
        let secret = self.tokens.secret(app).map_or("", |secret| secret.expose_secret());
        let refusal = Refusal::new(errors::action(errcode), reply, &[token.text.expose_secret(), secret]);
        if errors::meaning(errcode).is_none() {
            tracing::error!(
                wecom.api = api.name(),
                wecom.errcode = errcode,
                "a code nobody knows: {}",
                refusal.message
            );
        }
        match refusal.action {
            Action::Admin if accuses_secret(errcode) => {
                tracing::error!(app = %app, wecom.errcode = errcode, "{}", refusal.for_admin());
                self.tokens.refuse_secret(app).await?;
                self.tokens.refused(app, token).await?;
                Err(not_now(FOR_ADMIN.first, reasons::SECRET_REFUSED))
            }
            Action::Admin => {
                let scope = if errors::concerns_one_call(errcode) { api.name() } else { api.scope() };
                Err(self.pause(scope, &Lasting::of(&refusal, FOR_ADMIN), reasons::PAUSED).await)
            }
            Action::Slow if errcode == 45009 => {
                Err(self.pause(api.name(), &Lasting::of(&refusal, FOR_QUOTA), reasons::QUOTA).await)
            }
            Action::Slow if errcode == 45033 => {
                self.lanes.narrow(api);
                Err(not_now(Duration::from_secs(1), reasons::BUSY))
            }
            Action::Retry
            | Action::Refresh
            | Action::Slow
            | Action::Serial
            | Action::Skip
            | Action::Fix
            | Action::Done => {
                trial.succeeded();
                Err(CallError::Refused(refusal))
            }
        }
    }

    /// Pauses a scope for everybody; says so once.
    async fn pause(&self, scope: &str, lasting: &Lasting, reason: &'static str) -> CallError {
        let why = lasting.why.as_str();
        let (after, new, noted) = self.pauses.pause(scope, why, lasting.length).await;
        if new {
            tracing::error!("wecom {scope} is paused for {} s: {why}", after.as_secs());
            metrics::counter!("touchpoint_wecom_pauses_total", "scope" => scope.to_owned()).increment(1);
        }
        if let Err(error) = noted {
            tracing::warn!("other processes do not know of this pause: {error}");
        }
        not_now(after, reason)
    }
}

/// Codes that a new access token may cure. 40001 on a business call is an old way of saying the same.
fn is_token_trouble(errcode: i64) -> bool {
    errors::action(errcode) == Action::Refresh || errcode == 40001
}

fn record(api: Api, reply: &Result<Reply, NoReply>, took: Duration) {
    let result = match reply {
        Ok(reply) if reply.errcode == 0 => "ok".to_owned(),
        Ok(reply) => reply.errcode.to_string(),
        Err(NoReply::Closed(_)) => "breaker open".to_owned(),
        Err(NoReply::Unsent) => "no connection".to_owned(),
        Err(NoReply::Unanswered) => "no answer".to_owned(),
        Err(NoReply::NotWecom(status)) => format!("http {status}"),
    };
    if let Ok(reply) = reply {
        tracing::Span::current().record("wecom.errcode", reply.errcode);
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::Span::current().record("duration_ms", duration_ms);
    tracing::debug!(result, "WeCom called");
    metrics::counter!("touchpoint_wecom_calls_total", "api" => api.name(), "result" => result).increment(1);
    metrics::histogram!("touchpoint_wecom_call_seconds", "api" => api.name()).record(took.as_secs_f64());
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
