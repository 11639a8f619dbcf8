//! The `wecom:` section of `touchpoint.yaml`: the corp, its apps, and which app feeds what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::SecretString;

use super::diagnostic::Span;
use super::later_settings;
use super::reader::{self, Keys, Map};
use super::settings_file::SettingsReader;
use super::times;
use super::tree::{Key, Node};
use crate::domain::ids::AppId;
use crate::settings::{AppSettings, Family, WecomSettings};

const WECOM: Keys = Keys::known(&["api_base", "open_base", "login_base", "corp_id", "timestamp_window", "apps"]);
const APP: Keys = Keys::known(&["agent_id", "secret", "token", "aes_key", "serves"]);
const DEFAULT_API_BASE: &str = "https://qyapi.weixin.qq.com";
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);

impl SettingsReader<'_> {
    pub(super) fn wecom(&mut self, map: &Map<'_>) -> Option<WecomSettings> {
        map.require("wecom", self.report)?;
        let section = self.section(map, "wecom", &WECOM)?;
        let api_base = match section.get("api_base") {
            Some(node) => self.web_address(node),
            None => Some(DEFAULT_API_BASE.to_owned()),
        };
        for key in ["open_base", "login_base"] {
            if let Some((name, node)) = section.entry(key) {
                self.web_address(node);
                later_settings::nothing_uses(name, self.report);
            }
        }
        let corp_id = section.require("corp_id", self.report).and_then(|node| self.corp_id(node));
        let timestamp_window = match section.get("timestamp_window") {
            Some(node) => self.window(node),
            None => Some(DEFAULT_WINDOW),
        };
        let apps = section.require("apps", self.report).map(|node| self.apps(&section, node));
        Some(WecomSettings { api_base: api_base?, corp_id: corp_id?, timestamp_window, apps: apps? })
    }

    fn corp_id(&mut self, node: &Node) -> Option<String> {
        let text = reader::text(node, self.report)?;
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            let fault = self.report.error(node.span, "bad-value", "`corp_id` must be letters and digits");
            fault.hint("我的企业 → 企业信息 → 企业ID");
        }
        fits.then(|| text.to_owned())
    }

    /// None turns it off.
    fn window(&mut self, node: &Node) -> Option<Duration> {
        if reader::text(node, self.report)? == "0" {
            return None;
        }
        times::duration(node, self.report).filter(|window| !window.is_zero())
    }

    fn apps(&mut self, section: &Map<'_>, node: &Node) -> BTreeMap<AppId, AppSettings> {
        let entries = reader::entries(node, "apps", self.report).unwrap_or_default();
        if entries.is_empty() {
            self.report.error(section.at, "missing-key", "`apps` needs at least one app");
        }
        let mut served = BTreeMap::new();
        let mut apps = BTreeMap::new();
        for (key, node) in entries {
            let id = AppId::parse(key.text.as_str()).ok();
            if id.is_none() {
                let message = "an app's name must be a lower-case letter, then lower-case letters, digits or _";
                self.report.error(key.span, "bad-id", message).hint("it is part of the callback's address");
            }
            let app = self.app(key, node, &mut served);
            apps.extend(id.zip(app));
        }
        if !entries.is_empty() && !served.contains_key(&Family::Contacts) && !self.report.has_errors() {
            let message = "no app serves `contacts`: nothing of customers is received";
            self.report.warning(section.at, "unserved-family", message);
        }
        apps
    }

    fn app(&mut self, key: &Key, node: &Node, served: &mut BTreeMap<Family, Span>) -> Option<AppSettings> {
        let map = Map::open(node, key.span, format!("app {}", key.text), &APP, self.report)?;
        let agent_id =
            map.require("agent_id", self.report).and_then(|node| reader::integer(node, 1, i64::MAX, self.report));
        let secret = map.require("secret", self.report).and_then(|node| self.app_secret(node));
        let token = map.require("token", self.report).and_then(|node| {
            let fits =
                |text: &str| (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            self.secret(node, fits, "`token` must be 1 to 32 letters and digits", "接收消息 → 设置API接收 → Token")
        });
        let aes_key = map.require("aes_key", self.report).and_then(|node| {
            let fits = |text: &str| text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let rule = "`aes_key` must be 43 letters and digits";
            self.secret(node, fits, rule, "接收消息 → 设置API接收 → EncodingAESKey")
        });
        let serves = map.require("serves", self.report).map(|node| self.serves(node, served));
        Some(AppSettings { agent_id: agent_id?, secret: secret?, token: token?, aes_key: aes_key?, serves: serves? })
    }

    fn app_secret(&mut self, node: &Node) -> Option<SecretString> {
        let fits = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        self.secret(node, fits, "`secret` must not be empty or hold spaces", "应用管理 → 自建 → the app → Secret")
    }

    /// A value that no fault repeats.
    pub(super) fn secret(
        &mut self,
        node: &Node,
        fits: impl Fn(&str) -> bool,
        rule: &str,
        hint: &str,
    ) -> Option<SecretString> {
        let text = reader::text(node, self.report)?;
        if !fits(text) {
            let message = format!("{rule}, this has {} characters", text.chars().count());
            self.report.error(node.span, "bad-value", message).hint(hint);
            return None;
        }
        Some(SecretString::from(text))
    }

    fn serves(&mut self, node: &Node, served: &mut BTreeMap<Family, Span>) -> BTreeSet<Family> {
        let mut families = BTreeSet::new();
        for node in reader::one_or_many(node) {
            let Some(word) = self.word(node, &["messages", "contacts", "kf", "directory"]) else { continue };
            let family = match word.as_str() {
                "messages" => Family::Messages,
                "contacts" => Family::Contacts,
                "kf" => Family::Kf,
                _ => Family::Directory,
            };
            if let Some(earlier) = served.insert(family, node.span) {
                let first = self.report.exact_place(earlier);
                let message = format!("`{word}` is served here and at {first}; one app feeds a family");
                self.report.error(node.span, "duplicate-definition", message);
            }
            families.insert(family);
        }
        families
    }
}
