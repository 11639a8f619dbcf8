//! The server's settings: `config/touchpoint.yaml`, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use secrecy::SecretString;

use crate::domain::ids::{AppId, UserId};
use crate::playbook::diagnostic::{Faults, Report};
use crate::playbook::interpolate::Variables;
use crate::playbook::load::Context;
use crate::playbook::settings_file;

/// Reads `dir/touchpoint.yaml`, `dir/.env` first; gives the settings and what is legal but suspicious.
///
/// # Errors
/// Every fault of the file, when one of them is an error; secrets are never shown. The caller prints them and does not
/// start.
pub fn load(dir: &Path) -> Result<(Settings, Faults), Faults> {
    let mut report = Report::default();
    let variables = Variables::read(dir, &mut report);
    let settings = settings_file::read(dir, &variables, &mut report);
    let refused = report.has_errors();
    let faults = report.into_faults();
    match settings.filter(|_| !refused) {
        Some(settings) => Ok((settings, faults)),
        None => Err(faults),
    }
}

impl Settings {
    /// What the rules need to know of the settings.
    #[must_use]
    pub fn playbook_context(&self) -> Context {
        Context {
            zone: self.server.timezone,
            locale: self.server.locale,
            managers: self.managers.clone(),
            admins: self.admins.clone(),
        }
    }
}

/// Everything `touchpoint.yaml` says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder the settings came from.
    pub config_dir: PathBuf,
    /// `server:`
    pub server: ServerSettings,
    /// `redis:`
    pub redis: RedisSettings,
    /// `wecom:`
    pub wecom: WecomSettings,
    /// `api.tokens`: name to bearer token.
    pub api_tokens: BTreeMap<String, SecretString>,
    /// `console.admins`.
    pub admins: Vec<UserId>,
    /// `console.managers`.
    pub managers: Vec<UserId>,
    /// `clock: adjustable`.
    pub adjustable_clock: bool,
}

/// `server:`
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How the outside reaches the server; no slash at the end.
    pub public_url: String,
    /// This process's name; none means host name and a lock file.
    pub node: Option<String>,
    /// 32 bytes; none only with `embedded:DIR`, where one is made.
    pub key: Option<SecretString>,
    /// For pages and built-in texts.
    pub locale: Locale,
    /// For days, times of day and schedules.
    pub timezone: Tz,
}

/// The language of pages and built-in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    /// 简体中文.
    ZhCn,
    /// English.
    En,
}

/// `redis:`
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where it is.
    pub url: RedisUrl,
    /// How many shards; fixed at first start.
    pub shards: u16,
    /// What every key begins with.
    pub prefix: String,
    /// Copies to wait for before a 200.
    pub wait_replicas: u32,
}

/// Where Redis is.
#[derive(Debug, Clone)]
pub enum RedisUrl {
    /// A private child process with its data in this folder.
    Embedded(PathBuf),
    /// `redis://`, `rediss://` or `unix:///path`; secret because it may hold a password.
    Single(SecretString),
    /// `redis-cluster://a,b,c`.
    Cluster(SecretString),
    /// `redis-sentinel://a,b,c/NAME`.
    Sentinel(SecretString),
}

/// `wecom:`
#[derive(Debug, Clone)]
pub struct WecomSettings {
    /// Base of the API; no slash at the end.
    pub api_base: String,
    /// The corp (企业ID); also the `receiveid` of its callbacks.
    pub corp_id: String,
    /// POST callbacks older or newer than this are refused; none never refuses.
    pub timestamp_window: Option<Duration>,
    /// By name; the callback of an app is `/wecom/callback/<name>`.
    pub apps: BTreeMap<AppId, AppSettings>,
}

/// `wecom.apps.<name>:`
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// WeCom's number of the app.
    pub agent_id: i64,
    /// For access tokens.
    pub secret: SecretString,
    /// For callback signatures; at most 32 letters and digits.
    pub token: SecretString,
    /// For callback bodies; 43 characters.
    pub aes_key: SecretString,
    /// Families this app feeds.
    pub serves: BTreeSet<Family>,
}

/// A family of callbacks; each is fed by one app at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Staff's messages and taps in the app.
    Messages,
    /// Customers, groups, tags, acquisition links.
    Contacts,
    /// 微信客服.
    Kf,
    /// The address book.
    Directory,
}

impl WecomSettings {
    /// The app that feeds a family, and whose token calls that family's API.
    #[must_use]
    pub fn app_for(&self, family: Family) -> Option<(&AppId, &AppSettings)> {
        self.apps.iter().find(|(_, app)| app.serves.contains(&family))
    }
}
