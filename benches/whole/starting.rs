//! From the start of the process to readiness.

use crate::processes::Redis;
use crate::server::{Folder, Server};
use crate::table::{self, median};

const STARTS: usize = 3;

/// Measures and prints: with a Redis that runs already, and with the private one that a newcomer has.
pub(crate) async fn measure(redis: &Redis) -> anyhow::Result<()> {
    let (mut ready, mut complete, mut embedded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        redis.empty().await?;
        let folder = Folder::make(Some(redis))?;
        let (one, all) = Server::start(folder.path())?.complete(folder.settings.redis.shards).await?;
        ready.push(one.as_secs_f64() * 1e3);
        complete.push(all.as_secs_f64() * 1e3);
        let data = Folder::make(None)?;
        let (_, all) = Server::start(data.path())?.complete(data.settings.redis.shards).await?;
        embedded.push(all.as_secs_f64() * 1e3);
    }
    table::section("start", &format!("median of {STARTS} starts"));
    table::figure("process started to /readyz 200", "ms", median(ready));
    table::figure("process started to all shards owned", "ms", median(complete));
    table::figure("the same with an embedded Redis to start first", "ms", median(embedded));
    Ok(())
}
