//! Where a demo plays: a fresh temporary folder with settings and rules, a private Redis, a sandbox and the server, all
//! in this process and on one clock.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::clock::Clock;
use crate::runtime::app::{App, NotStarted};
use crate::sandbox::{Options, Sandbox, SandboxApp, ServerClock, World};
use crate::settings::{self, Settings};
use crate::wecom::limits::Limits;

/// The app's name in settings and sandbox.
pub(super) const APP: &str = "assistant";
/// The bearer token of the demo's shop.
pub(super) const SHOP_TOKEN: &str = "demo-token-of-the-sample-company";
/// The simulated company.
pub(super) const CORP_ID: &str = "ww0123456789abcdef";
/// The app's number.
pub(super) const AGENT_ID: i64 = 1_000_002;
const SECRET: &str = "demo-secret-of-the-assistant";
const CALLBACK_TOKEN: &str = "DemoCallbackToken";
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// What differs between one demo and another.
pub(super) struct Setting<'a> {
    /// The folder that holds the rules.
    pub(super) rules: &'a Path,
    /// Where the server listens.
    pub(super) server: SocketAddr,
    /// Where the sandbox listens.
    pub(super) sandbox: SocketAddr,
    /// How many slices the actors are cut into.
    pub(super) shards: u16,
    /// WeCom's quotas.
    pub(super) limits: Limits,
    /// Whether people act by themselves as time passes.
    pub(super) acts: bool,
    /// Where the folder is made.
    pub(super) place: PathBuf,
}

/// Everything that runs.
pub(super) struct Stage {
    /// Settings and rules lie here, and everything else; removed at the end.
    pub(super) folder: Folder,
    /// The server.
    pub(super) app: App,
    /// The people.
    pub(super) world: World,
    /// Business time of both.
    pub(super) clock: Clock,
    /// The settings in force.
    pub(super) settings: Settings,
    sandbox: Sandbox,
}

impl Stage {
    /// Prepares the folder; `clock` is given the settings and says what time it is when the demo opens.
    ///
    /// # Errors
    /// When the rules are faulty, or Redis or an address cannot be had.
    pub(super) async fn open(
        setting: Setting<'_>,
        clock: impl FnOnce(&Settings) -> Result<Clock, NotStarted>,
    ) -> Result<Self, NotStarted> {
        let folder = Folder::make(&setting.place).context("making a temporary folder")?;
        copy_rules(setting.rules, &folder.path.join("playbook"))?;
        let api_base = format!("http://{}", setting.sandbox);
        let yaml = settings_yaml(&folder.path, setting.server, &api_base, setting.shards);
        std::fs::write(folder.path.join("touchpoint.yaml"), yaml).context("writing the demo's settings")?;
        let (settings, _warnings) = settings::load(&folder.path).map_err(NotStarted::Faulty)?;
        let clock = clock(&settings)?;
        let sandbox = Sandbox::start(sandbox_options(&setting, &clock)).await.context("starting the sandbox")?;
        let world = sandbox.world();
        let app = App::start_within(&settings, clock.clone(), setting.limits).await?;
        Ok(Self { folder, app, world, clock, settings, sandbox })
    }

    /// An address of the server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.addr())
    }

    /// An address of the sandbox.
    pub(super) fn sandbox_url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    /// Stops everything in order and removes the folder.
    pub(super) async fn close(self) {
        self.app.stop().await;
        self.sandbox.stop().await;
        drop(self.folder);
    }
}

/// Where a demo's folder may lie that nobody looks into: in memory when the system has such a place, because the private
/// Redis waits for the disk at every write, and a month has very many of them.
pub(super) fn place_in_memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let probe = Folder::make(memory);
    if probe.is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The wished address, or one with a free port when somebody else has it.
pub(super) fn free_address(wished: SocketAddr) -> anyhow::Result<SocketAddr> {
    let bound = TcpListener::bind(wished).or_else(|_taken| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    // Given back at once: whoever binds it next is the server of this process.
    bound.and_then(|listener| listener.local_addr()).context("looking for a free port")
}

fn sandbox_options(setting: &Setting<'_>, clock: &Clock) -> Options {
    let server = setting.server;
    Options {
        listen: setting.sandbox,
        clock: clock.clone(),
        corp_id: CORP_ID.to_owned(),
        apps: vec![app(Some(format!("http://{server}/wecom/callback/{APP}")))],
        seed: 1,
        acts: setting.acts,
        server_clock: Some(ServerClock { url: format!("http://{server}/v1/clock"), bearer: SHOP_TOKEN.to_owned() }),
    }
}

/// The app as the sandbox knows it.
pub(super) fn app(callback_url: Option<String>) -> SandboxApp {
    SandboxApp {
        name: APP.to_owned(),
        agent_id: AGENT_ID,
        secret: SECRET.to_owned(),
        token: CALLBACK_TOKEN.to_owned(),
        aes_key: AES_KEY.to_owned(),
        callback_url,
    }
}

fn copy_rules(from: &Path, to: &Path) -> Result<(), NotStarted> {
    let copied = || -> anyhow::Result<()> {
        std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
        let entries = std::fs::read_dir(from).with_context(|| {
            format!("reading the sample company's rules in {}; name their folder with --config DIR", from.display())
        })?;
        for entry in entries {
            let path = entry?.path();
            if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|kind| kind == "yaml")) {
                std::fs::copy(&path, to.join(name)).with_context(|| format!("copying {}", path.display()))?;
            }
        }
        Ok(())
    };
    copied().map_err(NotStarted::Other)
}

fn settings_yaml(folder: &Path, server: SocketAddr, api_base: &str, shards: u16) -> String {
    // A JSON text is a YAML text: a path with odd characters stays what it is.
    let redis = serde_json::Value::from(format!("embedded:{}", folder.join("data").display()));
    format!(
        "# Settings of this demo; they go when it ends.\n\
         server:\n  listen: {server}\n  public_url: http://{server}\n  node: demo\n  locale: zh-CN\n  timezone: Asia/Shanghai\n\
         redis:\n  url: {redis}\n  shards: {shards}\n\
         {wecom}\
         api: {{ tokens: {{ shop: {SHOP_TOKEN} }} }}\n\
         console: {{ admins: [zhangsan], managers: [zhangsan] }}\n\
         clock: adjustable\n",
        wecom = wecom_yaml(api_base),
    )
}

/// The `wecom:` part of touchpoint.yaml for a sandbox at this address.
pub(super) fn wecom_yaml(api_base: &str) -> String {
    format!(
        "wecom:\n  api_base: {api_base}\n  corp_id: {CORP_ID}\n  apps:\n    {APP}:\n      agent_id: {AGENT_ID}\n      \
         secret: {SECRET}\n      token: {CALLBACK_TOKEN}\n      aes_key: {AES_KEY}\n      \
         serves: [messages, contacts, kf]\n"
    )
}

/// A temporary folder that goes when it is dropped.
pub(super) struct Folder {
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Folder {
    fn make(place: &Path) -> std::io::Result<Self> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        // The end is chance, the beginning is the time.
        let name: String = name.chars().skip(24).collect();
        let path = place.join(format!("touchpoint-demo-{name}"));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "{} could not be removed", self.path.display());
        }
    }
}
