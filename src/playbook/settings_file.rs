//! `touchpoint.yaml` into [`Settings`]: every key checked, secrets kept out of every fault.
//!
//! `secrets` says which values are never shown; keys of later versions are checked in `later_settings`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use chrono_tz::Tz;
use secrecy::SecretString;

use super::diagnostic::{Report, Span, nearest};
use super::interpolate::{self, Variables};
use super::later_settings;
use super::reader::{self, Keys, Map};
use super::secrets;
use super::tree::{self, Node};
use crate::domain::ids::UserId;
use crate::settings::{Locale, RedisSettings, RedisUrl, ServerSettings, Settings};

const TOP: Keys = Keys::known(&["server", "redis", "wecom", "api", "console", "sync", "archive", "limits", "clock"]);
const SERVER: Keys = Keys::known(&["listen", "public_url", "node", "key", "locale", "timezone"]);
const REDIS: Keys = Keys::known(&["url", "shards", "prefix", "wait_replicas"]);
const API: Keys = Keys::known(&["tokens"]);
const CONSOLE: Keys = Keys::known(&["admins", "managers"]);

const DEFAULT_LISTEN: &str = "0.0.0.0:8080";
const DEFAULT_SHARDS: u16 = 64;
/// A guessable bearer token lets anybody write orders.
const SHORTEST_TOKEN: usize = 16;

/// The settings' file of a configuration folder.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("touchpoint.yaml")
}

/// Reads a configuration folder's settings; none when anything is wrong with them.
pub(crate) fn read(dir: &Path, variables: &Variables, report: &mut Report) -> Option<Settings> {
    let path = path(dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let file = report.add_file(path.display().to_string(), "");
            report.file_error(file, "cannot-read", format!("the settings cannot be read: {error}"));
            return None;
        }
    };
    let file = report.add_file(path.display().to_string(), text);
    let Some(mut tree) = tree::parse(file, report) else {
        secrets::hide_all_values(file, report);
        if !report.has_errors() {
            report.file_error(file, "missing-key", "the settings are empty: `wecom` is needed");
        }
        return None;
    };
    secrets::hide(&tree, report);
    interpolate::interpolate(&mut tree.root, "", variables, report);
    let at = Span { file, start: 0, end: 0 };
    let map = Map::open(&tree.root, at, "the settings", &TOP, report)?;
    let mut reader = SettingsReader { report };
    reader.settings(dir, &map)
}

/// Reads section by section; `wecom:` in `wecom_section`.
pub(super) struct SettingsReader<'r> {
    pub(super) report: &'r mut Report,
}

impl SettingsReader<'_> {
    fn settings(&mut self, dir: &Path, map: &Map<'_>) -> Option<Settings> {
        let redis = self.redis(map);
        let server = self.server(map, redis.as_ref());
        let wecom = self.wecom(map);
        let api_tokens = self.api(map);
        let (admins, managers) = self.console(map);
        let clock = map.get("clock").and_then(|node| self.word(node, &["system", "adjustable"]));
        later_settings::check(map, self.report);
        Some(Settings {
            config_dir: dir.to_owned(),
            server: server?,
            redis: redis?,
            wecom: wecom?,
            api_tokens,
            admins,
            managers,
            adjustable_clock: clock.as_deref() == Some("adjustable"),
        })
    }

    /// Opens a section; one that is not there is as good as an empty one.
    pub(super) fn section<'t>(&mut self, map: &Map<'t>, key: &str, keys: &Keys) -> Option<Map<'t>> {
        let (name, node) = map.entry(key)?;
        Map::open(node, name.span, key, keys, self.report)
    }

    pub(super) fn word(&mut self, node: &Node, words: &[&str]) -> Option<String> {
        let text = reader::text(node, self.report)?;
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let hint = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of: {}", words.join(" ")),
        };
        self.report.error(node.span, "bad-value", format!("this must be one of: {}", words.join(" "))).hint(hint);
        None
    }

    fn server(&mut self, map: &Map<'_>, redis: Option<&RedisSettings>) -> Option<ServerSettings> {
        let section = self.section(map, "server", &SERVER);
        let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
        let listen = match get("listen") {
            Some(node) => self.listen(node),
            None => DEFAULT_LISTEN.parse().ok(),
        };
        let public_url = match get("public_url") {
            Some(node) => self.web_address(node),
            None => listen.map(|listen| format!("http://localhost:{}", listen.port())),
        };
        let node = get("node").and_then(|node| self.node_name(node));
        let key = get("key").and_then(|node| self.server_key(node));
        if get("key").is_none() && redis.is_some_and(|redis| !matches!(redis.url, RedisUrl::Embedded(_))) {
            let at = section.as_ref().map_or(map.at, |section| section.at);
            let message = "`server.key` is needed unless redis.url is embedded:DIR";
            self.report.error(at, "missing-key", message).hint("openssl rand -base64 32");
        }
        let locale = match get("locale") {
            Some(node) => self.word(node, &["zh-CN", "en"]),
            None => Some("zh-CN".to_owned()),
        };
        let timezone = match get("timezone") {
            Some(node) => self.timezone(node),
            None => Some(chrono_tz::Asia::Shanghai),
        };
        Some(ServerSettings {
            listen: listen?,
            public_url: public_url?,
            node,
            key,
            locale: if locale? == "en" { Locale::En } else { Locale::ZhCn },
            timezone: timezone?,
        })
    }

    fn listen(&mut self, node: &Node) -> Option<SocketAddr> {
        let text = reader::text(node, self.report)?;
        let listen = text.parse().ok();
        if listen.is_none() {
            let fault = self.report.error(node.span, "bad-value", "`listen` must be an address and a port");
            fault.hint("0.0.0.0:8080 for all addresses, 127.0.0.1:8080 for this machine only");
        }
        listen
    }

    fn node_name(&mut self, node: &Node) -> Option<String> {
        let text = reader::text(node, self.report)?;
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            self.report.error(node.span, "bad-value", "`node` must be 1 to 64 letters, digits, - _ .");
        }
        fits.then(|| text.to_owned())
    }

    fn server_key(&mut self, node: &Node) -> Option<SecretString> {
        let text = reader::text(node, self.report)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
        if bytes.is_none_or(|bytes| bytes.len() != 32) {
            let fault = self.report.error(node.span, "bad-value", "`key` must be 32 bytes in base64");
            fault.hint("openssl rand -base64 32");
            return None;
        }
        Some(SecretString::from(text))
    }

    fn timezone(&mut self, node: &Node) -> Option<Tz> {
        let text = reader::text(node, self.report)?;
        let zone = text.parse().ok();
        if zone.is_none() {
            let fault = self.report.error(node.span, "bad-value", "there is no such time zone");
            fault.nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        }
        zone
    }

    /// `http://` or `https://` and a host; the slash at the end is taken off.
    pub(super) fn web_address(&mut self, node: &Node) -> Option<String> {
        let text = reader::text(node, self.report)?.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = rest.is_some_and(|rest| {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            !host.is_empty() && !rest.contains(['?', '#', '@', ' '])
        });
        if !fits {
            let message = "this must be http:// or https:// and a host, without ? and #";
            self.report.error(node.span, "bad-value", message);
        }
        fits.then(|| text.to_owned())
    }

    fn redis(&mut self, map: &Map<'_>) -> Option<RedisSettings> {
        let section = self.section(map, "redis", &REDIS);
        let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
        let url = match get("url") {
            Some(node) => self.redis_url(node),
            None => Some(RedisUrl::Embedded(PathBuf::from("data"))),
        };
        let shards = match get("shards") {
            Some(node) => reader::integer(node, 1, 4096, self.report).and_then(|shards| u16::try_from(shards).ok()),
            None => Some(DEFAULT_SHARDS),
        };
        let prefix = match get("prefix") {
            Some(node) => self.prefix(node),
            None => Some("tp".to_owned()),
        };
        let wait_replicas = get("wait_replicas").and_then(|node| reader::integer(node, 0, 16, self.report));
        let wait_replicas = wait_replicas.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        Some(RedisSettings { url: url?, shards: shards?, prefix: prefix?, wait_replicas })
    }

    fn prefix(&mut self, node: &Node) -> Option<String> {
        let text = reader::text(node, self.report)?;
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            self.report.error(node.span, "bad-value", "`prefix` must be 1 to 32 letters, digits, - _ .");
        }
        fits.then(|| text.to_owned())
    }

    fn redis_url(&mut self, node: &Node) -> Option<RedisUrl> {
        let text = reader::text(node, self.report)?;
        let url = parse_redis_url(text);
        if url.is_none() {
            let fault = self.report.error(node.span, "bad-value", "`url` is no way to a Redis");
            fault.hint(
                "embedded:DIR, redis://HOST, rediss://HOST, unix:///PATH, redis-cluster://A,B,C or redis-sentinel://A,B,C/NAME",
            );
        }
        url
    }

    fn api(&mut self, map: &Map<'_>) -> BTreeMap<String, SecretString> {
        let Some(node) = self.section(map, "api", &API).and_then(|section| section.get("tokens")) else {
            return BTreeMap::new();
        };
        let mut tokens = BTreeMap::new();
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for (key, node) in reader::entries(node, "tokens", self.report).unwrap_or_default() {
            let fits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            let hint = "openssl rand -hex 32";
            let Some(token) = self.secret(node, fits, "a token must be letters and signs without spaces", hint) else {
                continue;
            };
            let text = reader::text(node, self.report).unwrap_or_default();
            if text.len() < SHORTEST_TOKEN {
                let message = format!("the token of `{}` has {} characters and can be guessed", key.text, text.len());
                self.report.warning(node.span, "weak-token", message).hint(hint);
            }
            if let Some((_, earlier)) = seen.iter().find(|(other, _)| *other == text) {
                let first = self.report.exact_place(*earlier);
                let message = format!("the token of `{}` is that of {first}: nobody could tell them apart", key.text);
                self.report.error(node.span, "duplicate-definition", message);
            }
            seen.push((text, node.span));
            tokens.insert(key.text.clone(), token);
        }
        tokens
    }

    fn console(&mut self, map: &Map<'_>) -> (Vec<UserId>, Vec<UserId>) {
        let section = self.section(map, "console", &CONSOLE);
        let mut people = |key: &str| {
            let node = section.as_ref().and_then(|section| section.get(key));
            let nodes = node.map_or(&[][..], reader::one_or_many);
            nodes
                .iter()
                .filter_map(|node| reader::parsed(node, "a userid", |text| UserId::parse(text), self.report))
                .collect()
        };
        let (admins, managers): (Vec<UserId>, Vec<UserId>) = (people("admins"), people("managers"));
        if admins.is_empty() && managers.is_empty() {
            let at = section.as_ref().map_or(map.at, |section| section.at);
            let message = "without `console.admins` nobody gets escalations and alerts";
            self.report.warning(at, "nobody-told", message);
        }
        (admins, managers)
    }
}

fn parse_redis_url(text: &str) -> Option<RedisUrl> {
    let hosts = |list: &str| !list.is_empty() && !list.contains(' ') && list.split(',').all(|host| !host.is_empty());
    if let Some(folder) = text.strip_prefix("embedded:") {
        return (!folder.trim().is_empty()).then(|| RedisUrl::Embedded(PathBuf::from(folder)));
    }
    let (scheme, rest) = text.split_once("://")?;
    let secret = || SecretString::from(text);
    match scheme {
        "redis" | "rediss" => hosts(rest).then(|| RedisUrl::Single(secret())),
        "unix" => (rest.starts_with('/') && rest.len() > 1).then(|| RedisUrl::Single(secret())),
        "redis-cluster" => hosts(rest).then(|| RedisUrl::Cluster(secret())),
        "redis-sentinel" => {
            let (list, name) = rest.rsplit_once('/')?;
            (hosts(list) && !name.is_empty()).then(|| RedisUrl::Sentinel(secret()))
        }
        _ => None,
    }
}
