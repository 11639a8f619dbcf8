//! Access tokens: one refresh for all, in this process and in all others (WeCom document 91039).
//!
//! A token is asked for again when 85 % of its life are over; until the new one is there the old one serves. Who may ask
//! is agreed through Redis: a turn at most every 5 s, and a token of an older turn never overwrites a newer one. A secret
//! that WeCom refused is not tried again for an hour, by any process: several wrong tries and WeCom bans the address.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::ids::AppId;
use crate::settings::WecomSettings;
use crate::store::Store;

use super::answer::{CallError, Lasting, Refusal, is_wrong_place, not_now, redis_away, wrong_place};
use super::client::ServerKey;
use super::errors::{self, Action};
use super::host::{Host, NoReply, Reply, Request};
use super::limits::Limits;
use super::pauses::{FOR_ADMIN, FOR_QUOTA, Length, NotNow, Pauses};
use super::reasons;
use super::seal::{Opened, Seal};

/// Between two askings for one app's token lies at least this.
const FLOOR: Duration = Duration::from_secs(5);
/// How long to wait for another process's token, then the call waits its turn in the outbox.
const AWAIT: Duration = Duration::from_secs(7);
/// How often to look for it.
const LOOK: Duration = Duration::from_millis(100);
/// How long a refused secret is not tried again: as long as WeCom bans an address (WeCom document 90313, 45009).
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// When a call that found its secret refused looks again.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The share of its life after which a token is replaced.
const FRESH_PERCENT: i64 = 85;

/// A token that a call may use.
#[derive(Clone)]
pub(crate) struct Token {
    /// The token itself.
    pub(crate) text: SecretString,
    /// Which of the app's tokens it is.
    version: u64,
    refresh_at: i64,
    dies_at: i64,
}

/// The tokens of all apps.
pub(crate) struct Tokens {
    store: Store,
    seal: Seal,
    corp_id: String,
    apps: BTreeMap<AppId, Slot>,
}

struct Slot {
    secret: SecretString,
    fingerprint: String,
    /// The scope that is paused when WeCom wants fewer askings.
    scope: String,
    held: RwLock<Option<Arc<Token>>>,
    turn: Mutex<()>,
}

/// Where and how often tokens may be asked for.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    /// WeCom.
    pub(crate) host: &'a Host,
    /// What is paused.
    pub(crate) pauses: &'a Pauses,
    /// How often.
    pub(crate) limits: &'a Limits,
}

impl Token {
    fn is_fresh(&self, now: i64) -> bool {
        now < self.refresh_at
    }
    fn is_alive(&self, now: i64) -> bool {
        now < self.dies_at
    }
}

fn now() -> i64 {
    Utc::now().timestamp_millis()
}

impl Slot {
    fn new(app: &AppId, corp_id: &str, secret: &SecretString) -> Self {
        Self {
            secret: secret.clone(),
            fingerprint: fingerprint(corp_id, secret),
            scope: format!("gettoken/{app}"),
            held: RwLock::default(),
            turn: Mutex::default(),
        }
    }

    fn held(&self) -> Option<Arc<Token>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        token
    }

    fn drop_version(&self, version: u64) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|token| token.version == version) {
            *held = None;
        }
    }
}

/// Names a secret without telling it. The corp belongs to it: after a correction of either it is another one.
fn fingerprint(corp_id: &str, secret: &SecretString) -> String {
    let hash = Sha256::new().chain_update(corp_id).chain_update([0]).chain_update(secret.expose_secret()).finalize();
    data_encoding::HEXLOWER.encode(&hash)
}

impl Tokens {
    /// No token is asked for yet.
    pub(crate) fn new(settings: &WecomSettings, store: Store, key: &ServerKey) -> Self {
        let corp_id = settings.corp_id.clone();
        let apps = settings.apps.iter();
        let apps = apps.map(|(app, its)| (app.clone(), Slot::new(app, &corp_id, &its.secret))).collect();
        Self { store, seal: Seal::new(key), corp_id, apps }
    }

    /// A token of an app that WeCom should take.
    pub(crate) async fn get(&self, app: &AppId, means: Means<'_>) -> Result<Arc<Token>, CallError> {
        let slot = self.apps.get(app).ok_or_else(|| not_now(REFUSED_WAIT, reasons::SECRET_REFUSED))?;
        let held = slot.held().filter(|token| token.is_alive(now()));
        if let Some(token) = held.as_ref().filter(|token| token.is_fresh(now())) {
            return Ok(Arc::clone(token));
        }
        let _turn = match (slot.turn.try_lock(), &held) {
            (Ok(turn), _) => turn,
            (Err(_), Some(token)) => return Ok(Arc::clone(token)),
            (Err(_), None) => slot.turn.lock().await,
        };
        if let Some(token) = slot.held().filter(|token| token.is_fresh(now())) {
            return Ok(token);
        }
        match (self.renew(app, slot, means, held.is_some()).await, held) {
            (Ok(token), _) => Ok(slot.hold(token)),
            (Err(_), Some(token)) if token.is_alive(now()) => Ok(token),
            (Err(error), _) => Err(error),
        }
    }

    /// Drops a token that WeCom refused, unless a newer one has taken its place.
    pub(crate) async fn refused(&self, app: &AppId, token: &Token) -> Result<(), CallError> {
        if let Some(slot) = self.apps.get(app) {
            slot.drop_version(token.version);
        }
        self.store.drop_token(app, token.version).await.map_err(redis_away)
    }

    /// Remembers that WeCom refuses the app's secret.
    pub(crate) async fn refuse_secret(&self, app: &AppId) -> Result<(), CallError> {
        let Some(slot) = self.apps.get(app) else { return Ok(()) };
        self.store.mark_secret_refused(app, &slot.fingerprint, REFUSED_FOR).await.map_err(redis_away)
    }

    /// Apps whose secret WeCom refused within the hour.
    pub(crate) async fn refused_secrets(&self) -> Result<Vec<&AppId>, crate::store::Error> {
        let mut refused = Vec::new();
        for (app, slot) in &self.apps {
            if self.store.is_secret_refused(app, &slot.fingerprint).await? {
                refused.push(app);
            }
        }
        Ok(refused)
    }

    /// The secret of an app, to be taken out of texts.
    pub(crate) fn secret(&self, app: &AppId) -> Option<&SecretString> {
        self.apps.get(app).map(|slot| &slot.secret)
    }

    /// A fresh token: another process's, or a new one; else one in Redis that still lives. Who `has_one` that lives does
    /// not wait for another process.
    async fn renew(&self, app: &AppId, slot: &Slot, means: Means<'_>, has_one: bool) -> Result<Token, CallError> {
        let patience = Instant::now() + AWAIT;
        loop {
            let stored = self.stored(app).await?;
            if let Some(token) = stored.as_ref().filter(|token| token.is_fresh(now())) {
                return Ok(token.clone());
            }
            let renewed = self.take_turn(app, slot, means).await;
            match (renewed, stored) {
                (Ok(Some(token)), _) | (Ok(None) | Err(_), Some(token)) => return Ok(token),
                (Err(error), None) => return Err(error),
                (Ok(None), None) if has_one || Instant::now() >= patience => {
                    return Err(not_now(Duration::from_secs(1), reasons::TOKEN_AWAITED));
                }
                (Ok(None), None) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// A new token; none while it is not our turn to ask for one.
    async fn take_turn(&self, app: &AppId, slot: &Slot, means: Means<'_>) -> Result<Option<Token>, CallError> {
        if self.store.is_secret_refused(app, &slot.fingerprint).await.map_err(redis_away)? {
            return Err(not_now(REFUSED_WAIT, reasons::SECRET_REFUSED));
        }
        let Some(turn) = self.store.take_refresh_turn(app, FLOOR).await.map_err(redis_away)? else { return Ok(None) };
        let (opened, lives) = self.ask(app, slot, means).await?;
        self.keep(app, turn, opened, lives).await.map(Some)
    }

    /// The token in Redis, fresh or not.
    async fn stored(&self, app: &AppId) -> Result<Option<Token>, CallError> {
        let Some(sealed) = self.store.token(app).await.map_err(redis_away)? else { return Ok(None) };
        match self.seal.open(app, &sealed.sealed) {
            Ok(opened) => Ok(Some(token(opened, sealed.version)).filter(|token| token.is_alive(now()))),
            Err(error) => {
                tracing::warn!(app = %app, "{error}; a new one is asked for");
                Ok(None)
            }
        }
    }

    async fn keep(
        &self,
        app: &AppId,
        turn: crate::store::shared::RefreshTurn,
        opened: Opened,
        lives: Duration,
    ) -> Result<Token, CallError> {
        let sealed = self.seal.seal(app, &opened).map_err(|error| {
            tracing::error!(app = %app, "an access token could not be sealed: {error}");
            not_now(FLOOR, reasons::TOKEN_AWAITED)
        })?;
        if self.store.put_token(app, turn, &sealed, lives).await.map_err(redis_away)? {
            return Ok(token(opened, turn.version));
        }
        // Somebody asked after us and was quicker: theirs is the one that counts.
        self.stored(app).await?.ok_or_else(|| not_now(LOOK, reasons::TOKEN_AWAITED))
    }

    async fn ask(&self, app: &AppId, slot: &Slot, means: Means<'_>) -> Result<(Opened, Duration), CallError> {
        let trial = means.pauses.admit(&[&slot.scope]).await.map_err(paused)?;
        let budget = self.store.take_budget(&slot.scope, &means.limits.per_token).await.map_err(redis_away)?;
        budget.map_err(|wait| not_now(wait, reasons::QUOTA))?;
        let asked_at = now();
        let query = [("corpid", self.corp_id.as_str()), ("corpsecret", slot.secret.expose_secret())];
        let request = Request { path: "gettoken", query: &query, body: None, patience: PATIENCE };
        let reply = means.host.send(request).await;
        let result = match &reply {
            Ok(reply) if reply.errcode == 0 => "ok".to_owned(),
            Ok(reply) => reply.errcode.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        metrics::counter!("touchpoint_wecom_calls_total", "api" => "gettoken", "result" => result).increment(1);
        if let Err(NoReply::NotWecom(status)) = reply
            && is_wrong_place(status)
        {
            return Err(self.pause(slot, means.pauses, wrong_place(status)).await?);
        }
        let reply = reply.map_err(CallError::from)?;
        if reply.errcode != 0 {
            return Err(self.refusal(app, slot, means.pauses, reply).await?);
        }
        trial.succeeded();
        read_token(&reply, asked_at).ok_or(CallError::Unanswered)
    }

    /// What a refused asking means: the secret is wrong, or it was too often, or WeCom is busy.
    async fn refusal(&self, app: &AppId, slot: &Slot, pauses: &Pauses, reply: Reply) -> Result<CallError, CallError> {
        let action = errors::action(reply.errcode);
        let refusal = Refusal::new(action, reply, &[slot.secret.expose_secret()]);
        let errcode = refusal.errcode;
        let length: Length = match action {
            Action::Admin | Action::Fix | Action::Skip => {
                tracing::error!(app = %app, wecom.errcode = errcode, "no access token: {}", refusal.for_admin());
                if accuses_secret(errcode) {
                    self.refuse_secret(app).await?;
                    return Ok(not_now(REFUSED_WAIT, reasons::SECRET_REFUSED));
                }
                FOR_ADMIN
            }
            Action::Slow => FOR_QUOTA,
            Action::Retry | Action::Refresh | Action::Serial | Action::Done => {
                return Ok(not_now(FLOOR, reasons::BUSY));
            }
        };
        self.pause(slot, pauses, Lasting { why: refusal.for_admin(), length }).await
    }

    async fn pause(&self, slot: &Slot, pauses: &Pauses, lasting: Lasting) -> Result<CallError, CallError> {
        let (wait, _, noted) = pauses.pause(&slot.scope, &lasting.why, lasting.length).await;
        noted.map_err(redis_away)?;
        Ok(not_now(wait, reasons::PAUSED))
    }
}

/// Codes that say that corp and secret do not belong together; asking again would get the address banned.
pub(crate) fn accuses_secret(errcode: i64) -> bool {
    matches!(errcode, 40001 | 40013 | 40091 | 41002 | 41004 | 45031 | 2_000_002)
}

fn token(opened: Opened, version: u64) -> Token {
    Token { text: opened.token, version, refresh_at: opened.refresh_at, dies_at: opened.dies_at }
}

fn paused(why: NotNow) -> CallError {
    match why {
        NotNow::Paused(wait) => not_now(wait, reasons::PAUSED),
        NotNow::Store(error) => redis_away(error),
    }
}

/// The token of an answer, with its times, and how long it lives.
fn read_token(reply: &Reply, asked_at: i64) -> Option<(Opened, Duration)> {
    let token = reply.fields.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty())?;
    let seconds = reply.fields.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0)?;
    let lives = Duration::from_secs(seconds);
    let lives_ms = i64::try_from(lives.as_millis()).ok()?;
    let opened = Opened {
        token: token.to_owned().into(),
        refresh_at: asked_at + lives_ms / 100 * FRESH_PERCENT,
        dies_at: asked_at + lives_ms,
    };
    Some((opened, lives))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(fields: Value) -> Reply {
        let Value::Object(fields) = fields else { panic!("an object") };
        Reply { errcode: 0, errmsg: String::new(), fields }
    }

    #[test]
    fn a_token_is_replaced_when_85_percent_of_its_life_are_over() {
        let answer = reply(json!({ "access_token": "t", "expires_in": 7200 }));
        let (opened, lives) = read_token(&answer, 1_000).unwrap();
        assert_eq!(lives, Duration::from_secs(7200));
        let token = token(opened, 1);
        assert!(token.is_fresh(1_000 + 6_119_999) && !token.is_fresh(1_000 + 6_120_000));
        assert!(token.is_alive(1_000 + 7_199_999) && !token.is_alive(1_000 + 7_200_000));
    }

    #[test]
    fn an_answer_without_a_token_or_a_life_is_no_token() {
        for fields in [
            json!({}),
            json!({ "access_token": "", "expires_in": 7200 }),
            json!({ "access_token": "t" }),
            json!({ "access_token": "t", "expires_in": 0 }),
        ] {
            assert!(read_token(&reply(fields), 0).is_none());
        }
    }

    #[test]
    fn a_corrected_secret_or_corp_is_another_one_and_the_mark_does_not_tell_it() {
        let secret = SecretString::from("s3cr3t".to_owned());
        let mark = fingerprint("ww1", &secret);
        assert_ne!(mark, fingerprint("ww2", &secret));
        assert_ne!(mark, fingerprint("ww1", &SecretString::from("s3cr3u".to_owned())));
        assert!(mark.len() == 64 && !mark.contains("s3cr3t"));
    }
}
