//! From the start of the process to readiness.

use std::time::Duration;

use crate::processes::Redis;
use crate::server::{Folder, Server};
use crate::table::{self, median};

const STARTS: usize = 3;
/// How long a server is watched that has nothing to do.
const IDLE: Duration = Duration::from_secs(2);

/// Measures and prints: with a Redis that runs already, and with the private one that a newcomer has.
pub(crate) async fn measure(redis: &Redis) -> anyhow::Result<()> {
    let (mut ready, mut complete, mut embedded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        redis.empty().await?;
        let folder = Folder::make(Some(redis))?;
        let server = Server::start(folder.path())?;
        let (one, all) = server.complete(folder.settings.redis.shards).await?;
        ready.push(one.as_secs_f64() * 1e3);
        complete.push(all.as_secs_f64() * 1e3);
        let before = server.process.cpu()?;
        tokio::time::sleep(IDLE).await;
        idle.push((server.process.cpu()? - before).as_secs_f64() * 100.0 / IDLE.as_secs_f64());
        memory.push(server.process.memory()? as f64 / 1e6);
        drop(server);
        let data = Folder::make(None)?;
        let (_, all) = Server::start(data.path())?.complete(data.settings.redis.shards).await?;
        embedded.push(all.as_secs_f64() * 1e3);
    }
    table::section("start", &format!("median of {STARTS} starts"));
    table::figure("process started to /readyz 200", "ms", median(ready));
    table::figure("process started to all shards owned", "ms", median(complete));
    table::figure("the same with an embedded Redis to start first", "ms", median(embedded));
    table::figure("CPU of a server with nothing to do", "% of a core", median(idle));
    table::figure("its memory", "MB", median(memory));
    Ok(())
}
