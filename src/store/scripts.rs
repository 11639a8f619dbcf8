//! The scripts, and how they are run.
//!
//! A script is sent by its hash. A server that does not know it (new, restarted, flushed, or new in its place in a
//! cluster) is sent the same call with the script's text, from which it learns it: the call had not begun.

use std::sync::LazyLock;

use redis::{Arg, Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

use super::{Error, Store};

/// One script.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call over `keys`; arguments are added to it.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys.len());
        for key in keys {
            call.arg(key);
        }
        call
    }

    /// The same call with the script's text instead of its hash.
    pub(super) fn spelled_out(&self, call: &Cmd) -> Cmd {
        let mut spelled = redis::cmd("EVAL");
        spelled.arg(self.code);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                spelled.arg(argument);
            }
        }
        spelled
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)*
    };
}

scripts! {
    /// An event enters its stream once.
    APPEND = "append.lua";
    /// A batch takes effect.
    COMMIT = "commit.lua";
    /// Due timers become events.
    FIRE = "fire.lua";
    /// A try begins.
    BEGIN_TRY = "begin_try.lua";
    /// A try ends.
    SETTLE = "settle.lua";
    /// A shard gets an owner.
    ACQUIRE = "acquire.lua";
    /// An owner stays.
    RENEW = "renew.lua";
    /// An owner leaves.
    RELEASE = "release.lua";
    /// A process says that it lives.
    ANNOUNCE = "announce.lua";
    /// The stored token, while it lives.
    TOKEN = "token.lua";
    /// Leave to refresh a token.
    TOKEN_TURN = "token_turn.lua";
    /// A new token is stored.
    TOKEN_PUT = "token_put.lua";
    /// A refused token is dropped.
    TOKEN_DROP = "token_drop.lua";
    /// One call is taken from the quotas.
    BUDGET = "budget.lua";
    /// A family is paused.
    PAUSE = "pause.lua";
    /// The clock moves forwards.
    CLOCK = "clock.lua";
}

pub(super) fn is_unknown_script<T>(result: &RedisResult<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

impl Store {
    /// Runs one call of a script.
    pub(super) async fn run<T: redis::FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, Error> {
        let mut link = self.link();
        let first = call.query_async(&mut link).await;
        if !is_unknown_script(&first) {
            return Ok(first?);
        }
        Ok(script.spelled_out(call).query_async(&mut link).await?)
    }

    /// Runs many calls of one script in one round trip; each has its own outcome.
    pub(super) async fn run_all(&self, script: &Script, calls: Vec<Cmd>) -> Result<Vec<RedisResult<Value>>, Error> {
        let mut pipe = redis::Pipeline::with_capacity(calls.len());
        for call in calls {
            pipe.add_command(call);
        }
        let mut results = self.outcomes(&mut pipe).await?;
        let missed: Vec<usize> =
            (0..results.len()).filter(|&i| results.get(i).is_some_and(is_unknown_script)).collect();
        if missed.is_empty() {
            return Ok(results);
        }
        let mut again = redis::Pipeline::with_capacity(missed.len());
        for call in missed.iter().filter_map(|&i| pipe.cmd_iter().nth(i)) {
            again.add_command(script.spelled_out(call));
        }
        for (place, result) in missed.into_iter().zip(self.outcomes(&mut again).await?) {
            if let Some(slot) = results.get_mut(place) {
                *slot = result;
            }
        }
        Ok(results)
    }
}
