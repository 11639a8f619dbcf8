//! What all processes share: access tokens, quotas, the clock's offset.
//!
//! Everything here but the clock's offset runs on Redis's own real time, so that hosts need not agree on theirs.

use std::time::Duration;

use crate::domain::ids::AppId;

use super::scripts::{BUDGET, CLOCK, PAUSE, TOKEN, TOKEN_DROP, TOKEN_PUT, TOKEN_TURN};
use super::{Error, Store};

/// An access token as it is stored: encrypted by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// Encrypted.
    pub sealed: Vec<u8>,
    /// Grows with each refresh: an older one never overwrites a newer.
    pub version: u64,
}

/// Leave to refresh a token; nobody else has it until it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshTurn {
    /// The version the new token will have.
    pub version: u64,
}

impl Store {
    /// The stored token of an app, while it lives.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn token(&self, app: &AppId) -> Result<Option<SealedToken>, Error> {
        let call = TOKEN.call(&[self.keys().token(app)]);
        let token: Option<(Vec<u8>, u64)> = self.run(&TOKEN, &call).await?;
        Ok(token.map(|(sealed, version)| SealedToken { sealed, version }))
    }

    /// Asks for the turn to refresh: none while another process has it, and for `floor` after each turn.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn take_refresh_turn(&self, app: &AppId, floor: Duration) -> Result<Option<RefreshTurn>, Error> {
        let mut call = TOKEN_TURN.call(&[self.keys().token(app)]);
        call.arg(floor.as_millis());
        let version: Option<u64> = self.run(&TOKEN_TURN, &call).await?;
        Ok(version.map(|version| RefreshTurn { version }))
    }

    /// Stores a token for `lives` (real time); false when a newer one is there.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn put_token(
        &self,
        app: &AppId,
        turn: RefreshTurn,
        sealed: &[u8],
        lives: Duration,
    ) -> Result<bool, Error> {
        let mut call = TOKEN_PUT.call(&[self.keys().token(app)]);
        call.arg(turn.version).arg(sealed).arg(lives.as_millis());
        self.run(&TOKEN_PUT, &call).await
    }

    /// Drops a token that WeCom refused, if it is still that one.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn drop_token(&self, app: &AppId, version: u64) -> Result<(), Error> {
        let mut call = TOKEN_DROP.call(&[self.keys().token(app)]);
        call.arg(version);
        self.run(&TOKEN_DROP, &call).await
    }

    /// Remembers for `lives` that the secret whose fingerprint this is was refused, so that no process asks again with it.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn mark_secret_refused(&self, app: &AppId, fingerprint: &str, lives: Duration) -> Result<(), Error> {
        let key = self.keys().refused(app, fingerprint);
        self.query(redis::cmd("SET").arg(key).arg("").arg("PX").arg(lives.as_millis().max(1))).await
    }

    /// Whether that secret was refused before.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn is_secret_refused(&self, app: &AppId, fingerprint: &str) -> Result<bool, Error> {
        self.query(redis::cmd("EXISTS").arg(self.keys().refused(app, fingerprint))).await
    }

    /// Takes one call from each of a family's windows (`(length, most)`), or says how long to wait (real time).
    ///
    /// Windows slide: no stretch of real time as long as a window ever holds more calls than it may.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn take_budget(&self, family: &str, windows: &[(Duration, u32)]) -> Result<Result<(), Duration>, Error> {
        if windows.is_empty() {
            return Ok(Ok(()));
        }
        let mut call = BUDGET.call(&[self.keys().budget(family)]);
        for (length, most) in windows {
            call.arg(length.as_millis().max(1)).arg(most);
        }
        let wait_ms: u64 = self.run(&BUDGET, &call).await?;
        Ok(if wait_ms == 0 { Ok(()) } else { Err(Duration::from_millis(wait_ms)) })
    }

    /// Pauses a family in all processes for that long, with a reason that people read (`/readyz`, `doctor`).
    ///
    /// A longer pause that is under way is not cut short.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn pause_family(&self, family: &str, reason: &str, lives: Duration) -> Result<(), Error> {
        let mut call = PAUSE.call(&[self.keys().paused()]);
        call.arg(family).arg(lives.as_millis()).arg(reason);
        self.run(&PAUSE, &call).await
    }

    /// Families that are paused: name, reason, how long still.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn paused_families(&self) -> Result<Vec<(String, String, Duration)>, Error> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("HGETALL").arg(self.keys().paused());
        let ((seconds, micros), paused): ((u64, u64), Vec<(String, String)>) =
            pipe.query_async(&mut self.link()).await?;
        let now = seconds * 1000 + micros / 1000;
        let still = paused.into_iter().filter_map(|(family, text)| {
            let (ends, reason) = text.split_once(' ')?;
            let left = ends.parse::<u64>().ok()?.checked_sub(now).filter(|left| *left > 0)?;
            Some((family, reason.to_owned(), Duration::from_millis(left)))
        });
        let mut still: Vec<_> = still.collect();
        still.sort_unstable();
        Ok(still)
    }

    /// How far business time is ahead, in milliseconds.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn clock_offset(&self) -> Result<i64, Error> {
        let offset: Option<i64> = self.query(redis::cmd("GET").arg(self.keys().clock())).await?;
        Ok(offset.unwrap_or_default())
    }

    /// Moves the offset forwards; a smaller one changes nothing. The first one is taken as it is. Gives the one in force.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn move_clock(&self, offset_ms: i64) -> Result<i64, Error> {
        let mut call = CLOCK.call(&[self.keys().clock()]);
        call.arg(offset_ms);
        self.run(&CLOCK, &call).await
    }
}
