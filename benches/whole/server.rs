//! A Touchpoint of its own folder: the sample company's rules, the release build, a port of its own. And who holds its
//! shards: a process takes callbacks whether or not it decides them, and the two are measured apart.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use touchpoint::settings::{self, RedisSettings, Settings};
use touchpoint::store::Store;
use touchpoint::store::leases::Fence;

use crate::processes::{PATIENCE, Process, Redis};

pub(crate) const CORP: &str = "ww0123456789abcdef";
pub(crate) const TOKEN: &str = "SampleToken01";
pub(crate) const AES_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
pub(crate) const SECRET: &str = "secret-of-the-bench";
/// The shop's bearer token.
pub(crate) const SHOP: &str = "token-of-the-bench";
/// Who holds the shards while nobody shall decide.
const HOLDER: &str = "bench:holder";

/// A folder with settings and rules.
pub(crate) struct Folder {
    dir: TempDir,
    pub(crate) settings: Settings,
}

impl Folder {
    /// The sample company on this Redis, or on a private one in the folder.
    pub(crate) fn make(redis: Option<&Redis>) -> anyhow::Result<Self> {
        // Nothing listens at port 9 of loopback: the few calls that are due wait.
        Self::with_wecom(redis, "http://127.0.0.1:9")
    }

    /// The same with a WeCom that answers.
    pub(crate) fn with_wecom(redis: Option<&Redis>, api_base: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("touchpoint-bench").tempdir().context("making a folder")?;
        let embedded = || format!("embedded:{}", dir.path().join("data").display());
        let redis_url = redis.map_or_else(embedded, |redis| redis.url.clone());
        let rules = dir.path().join("playbook");
        std::fs::create_dir(&rules)?;
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/playbook"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), rules.join(entry.file_name()))?;
        }
        let yaml = format!(
            r#"
server: {{ listen: "127.0.0.1:0", public_url: "http://127.0.0.1", node: bench, key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}
redis: {{ url: "{redis_url}" }}
wecom:
  api_base: {api_base}
  corp_id: {CORP}
  apps:
    assistant: {{ agent_id: 1000002, secret: {SECRET}, token: {TOKEN}, aes_key: {AES_KEY}, serves: [messages, contacts] }}
api: {{ tokens: {{ shop: {SHOP} }} }}
console: {{ admins: [boss] }}
"#
        );
        std::fs::write(dir.path().join("touchpoint.yaml"), yaml)?;
        let (settings, _) = settings::load(dir.path()).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        Ok(Self { dir, settings })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A server, and when it was started.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) addr: String,
    pub(crate) begun: Instant,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let folder = folder.to_str().context("the temporary folder's name is text")?;
        let process = Process::start(env!("CARGO_BIN_EXE_touchpoint"), ["--config", folder, "serve"])?;
        let addr = process.said("touchpoint listens on http://").context("starting touchpoint")?;
        Ok(Self { process, addr, begun })
    }

    /// Waits until it is ready and owns this many shards; gives how long after its start it was ready and complete.
    pub(crate) async fn complete(&self, shards: u16) -> anyhow::Result<(Duration, Duration)> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let mut ready = None;
        while self.begun.elapsed() < PATIENCE {
            let answer = http.get(format!("http://{}/readyz", self.addr)).send().await?;
            if answer.status().is_success() {
                let since = *ready.get_or_insert_with(|| self.begun.elapsed());
                let state: serde_json::Value = answer.json().await?;
                if state["shards"] == shards {
                    return Ok((since, self.begun.elapsed()));
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::bail!("touchpoint never owned {shards} shards")
    }
}

/// All shards, held by the bench.
pub(crate) struct Held {
    store: Store,
    fences: Vec<(u16, Fence)>,
    /// Dropped to let go.
    renewing: Option<mpsc::Sender<()>>,
}

impl Held {
    /// Takes them before any server can.
    pub(crate) async fn all(store: &Store, redis: &RedisSettings) -> anyhow::Result<Self> {
        let mut fences = Vec::new();
        for shard in 0..store.shards() {
            let fence = store.acquire(shard, HOLDER).await?.context("somebody else owns a shard of this Redis")?;
            fences.push((shard, fence));
        }
        let (renewing, stop) = mpsc::channel();
        let (redis, held) = (redis.clone(), fences.clone());
        // A thread of its own: making customers keeps the other one from looking at the time.
        std::thread::spawn(move || renew(&redis, &held, &stop));
        Ok(Self { store: store.clone(), fences, renewing: Some(renewing) })
    }

    pub(crate) fn fence(&self, shard: u16) -> anyhow::Result<&Fence> {
        let held = self.fences.iter().find(|(held, _)| *held == shard);
        held.map(|(_, fence)| fence).context("every shard is held")
    }

    /// Lets a server have them.
    pub(crate) async fn release(mut self) -> anyhow::Result<()> {
        drop(self.renewing.take());
        for (shard, fence) in &self.fences {
            self.store.release(*shard, fence).await?;
        }
        Ok(())
    }
}

/// Renews each second until told to stop. A renewal that fails shows where the shards are used.
fn renew(redis: &RedisSettings, held: &[(u16, Fence)], stop: &mpsc::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(store) = Store::connect(redis).await else { return };
        loop {
            drop(store.renew(HOLDER, held).await);
            // The runtime has nothing else to do meanwhile.
            if stop.recv_timeout(Duration::from_secs(1)) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
}

/// An empty Redis whose shards are held, and the store to look at it.
pub(crate) async fn fresh(redis: &Redis, folder: &Folder) -> anyhow::Result<(Store, Held)> {
    redis.empty().await?;
    let store = Store::connect(&folder.settings.redis).await?;
    store.preflight().await?;
    let held = Held::all(&store, &folder.settings.redis).await?;
    Ok((store, held))
}
