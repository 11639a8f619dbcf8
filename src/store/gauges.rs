//! Figures for whoever watches: how full Redis is, and how long the oldest event waits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::preflight::line_of;
use super::streams::InLane;
use super::{Error, Store};

/// How full Redis is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fullness {
    /// What it uses, in bytes, all servers together.
    pub used_bytes: u64,
    /// The share of its `maxmemory` that the fullest server uses; 0 where no server has a limit.
    pub share: f64,
}

impl Store {
    /// How full Redis is.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn fullness(&self) -> Result<Fullness, Error> {
        Ok(fullness(&self.infos("memory").await?))
    }

    /// How long the oldest event of a lane that is not decided yet has waited, in real time; none when nothing waits.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn oldest_wait(&self, lane: InLane) -> Result<Option<Duration>, Error> {
        // What is committed is trimmed in the same script, so the first entry of a stream is the oldest that waits.
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            pipe.cmd("XRANGE").arg(self.keys().stream(shard, lane)).arg("-").arg("+").arg("COUNT").arg(1);
        }
        type First = Vec<(String, Vec<(String, String)>)>;
        let firsts: Vec<First> = self.query_all(&pipe).await?;
        let oldest = firsts.iter().flatten().filter_map(|(id, _)| id.split('-').next()?.parse().ok()).min();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Redis's clock names the entries, and may be a little ahead of ours.
        Ok(oldest.map(|ms| now.saturating_sub(Duration::from_millis(ms))))
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory stay far below 2^53")]
fn fullness(infos: &[String]) -> Fullness {
    let mut all = Fullness::default();
    for info in infos {
        let figure = |name: &str| line_of(info, name)?.parse::<u64>().ok();
        let used = figure("used_memory").unwrap_or_default();
        all.used_bytes = all.used_bytes.saturating_add(used);
        if let Some(most) = figure("maxmemory").filter(|most| *most > 0) {
            all.share = all.share.max(used as f64 / most as f64);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_server_counts_and_one_without_a_limit_is_never_full() {
        let info = |used: u64, most: u64| format!("# Memory\r\nused_memory:{used}\r\nmaxmemory:{most}\r\n");
        for (infos, used_bytes, share) in [
            (vec![info(500, 0)], 500, 0.0),
            (vec![info(500, 1000), info(90, 100), info(7, 0)], 597, 0.9),
            (vec![String::new()], 0, 0.0),
        ] {
            assert_eq!(fullness(&infos), Fullness { used_bytes, share });
        }
    }
}
