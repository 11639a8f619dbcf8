//! Checks before the first write.

use std::time::{Duration, Instant};

use super::{Error, Store};

/// The oldest Redis that has every command used here.
const OLDEST: (u32, u32) = (6, 2);

/// The newest major version that was tried.
const NEWEST_TRIED: u32 = 8;

/// A Redis that takes longer to read its files is not waited for.
const LOADS_WITHIN: Duration = Duration::from_secs(600);

/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Store {
    /// Fixes the number of shards at first start and refuses another one later; refuses an eviction policy other than
    /// `noeviction`; gives warnings (no append-only file, an untested version). Waits while Redis is loading its data, for
    /// ten minutes at most.
    ///
    /// # Errors
    /// [`Error::Unfit`] with the fix in words, or Redis is away.
    pub async fn preflight(&self) -> Result<Vec<String>, Error> {
        self.until_loaded().await?;
        let mut warnings = Vec::new();
        for info in self.infos("everything").await? {
            for warning in judge(&info, self.link().is_cluster()).map_err(Error::Unfit)? {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        self.fix_shards().await?;
        Ok(warnings)
    }

    /// A Redis that has just started reads its files first, which takes seconds for each gigabyte.
    async fn until_loaded(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut has_told = false;
        while self.infos("persistence").await?.iter().any(|info| line_of(info, "loading") == Some("1")) {
            if begun.elapsed() > LOADS_WITHIN {
                return Err(Error::Unfit(
                    "this Redis has been loading its data for ten minutes; look at its log".to_owned(),
                ));
            }
            if !std::mem::replace(&mut has_told, true) {
                tracing::info!("Redis is loading its data; this server waits for it");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn fix_shards(&self) -> Result<(), Error> {
        let key = self.keys().shard_count();
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(&key).arg(self.shards()).arg("NX").ignore();
        pipe.cmd("GET").arg(&key);
        let (fixed,): (String,) = pipe.query_async(&mut self.link()).await?;
        if fixed == self.shards().to_string() {
            return Ok(());
        }
        Err(Error::Unfit(format!(
            "redis.shards is {}, but this Redis was first used with {fixed}, and actors would be looked for in the wrong \
             shards; set redis.shards: {fixed}, or use another redis.prefix",
            self.shards()
        )))
    }
}

/// Warnings about a server that speaks so of itself, or why it must not be used.
fn judge(info: &str, as_cluster: bool) -> Result<Vec<String>, String> {
    let said = |name| line_of(info, name).unwrap_or_default();
    if said("cluster_enabled") == "1" && !as_cluster {
        return Err("this Redis is a node of a cluster; give redis.url as redis-cluster://a,b,c".to_owned());
    }
    if said("role") == "slave" {
        return Err("this Redis is a replica and cannot be written to; point redis.url at its primary".to_owned());
    }
    let policy = said("maxmemory_policy");
    if !matches!(policy, "noeviction" | "") {
        return Err(format!(
            "this Redis may throw records away when memory is short (maxmemory-policy {policy}); \
             run CONFIG SET maxmemory-policy noeviction and write it into redis.conf"
        ));
    }
    let version = said("redis_version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if (major, minor) < OLDEST {
        let (oldest_major, oldest_minor) = OLDEST;
        return Err(format!("Redis {version} is too old; use {oldest_major}.{oldest_minor} or newer (7.0 is fine)"));
    }
    let mut warnings = Vec::new();
    if major > NEWEST_TRIED {
        warnings.push(format!("Redis {version} has not been tried with this version of Touchpoint"));
    }
    if said("aof_enabled") == "0" {
        warnings.push(
            "this Redis keeps no append-only file: a crash of it loses everything since its last snapshot; set appendonly yes"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// What `INFO` says behind `name:`.
pub(super) fn line_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\ncluster_enabled:0\r\n";

    #[test]
    fn a_redis_that_would_lose_or_refuse_data_is_not_used() {
        assert_eq!(judge(GOOD, false), Ok(vec![]));
        assert_eq!(judge(&GOOD.replace("cluster_enabled:0", "cluster_enabled:1"), true), Ok(vec![]));
        for (fine, bad, word) in [
            ("maxmemory_policy:noeviction", "maxmemory_policy:allkeys-lru", "noeviction"),
            ("redis_version:7.0.15", "redis_version:6.0.16", "too old"),
            ("role:master", "role:slave", "primary"),
            ("cluster_enabled:0", "cluster_enabled:1", "redis-cluster://"),
        ] {
            let refused = judge(&GOOD.replace(fine, bad), false).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn a_redis_that_may_lose_a_little_is_used_with_a_warning() {
        let warnings = judge(&GOOD.replace("aof_enabled:1", "aof_enabled:0"), false).unwrap();
        assert!(warnings.iter().any(|warning| warning.contains("appendonly yes")), "{warnings:?}");
        assert_eq!(judge(&GOOD.replace("7.0.15", "9.1.0"), false).unwrap().len(), 1);
    }
}
