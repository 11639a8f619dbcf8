//! What WeCom lets the apps do: secrets, rights, pauses, quotas.

use serde_json::{Map, Value};

use crate::domain::ids::{AppId, UserId};
use crate::playbook::model::Playbook;
use crate::settings::{AppSettings, Family, Settings, WecomSettings};
use crate::store::Store;
use crate::wecom::checkup::{Checkup, Reading, Told, seen_address};
use crate::wecom::errors;
use crate::wecom::reasons;

use super::doctor_report::{Group, Report, Say, State, say};

/// Every app: its secret, and what it may call; then pauses and quotas.
pub(super) async fn look(
    settings: &Settings,
    store: &Store,
    checkup: &Checkup,
    playbook: Option<&Playbook>,
    report: &mut Report,
) {
    unserved(&settings.wecom, playbook, report);
    let paused = store.paused_families().await.unwrap_or_default();
    // A quota that WeCom closed is not tried: each call would close it for longer.
    let closed: Vec<&str> =
        paused.iter().filter(|(_, why, _)| why.starts_with("45009")).map(|(name, _, _)| name.as_str()).collect();
    for (app, its) in &settings.wecom.apps {
        let round = Round { app, its, settings, checkup, closed: &closed };
        if round.secret(report).await {
            round.families(playbook, report).await;
        }
    }
    for (name, why, left) in &paused {
        let seconds = left.as_secs().max(1);
        let passes = why.starts_with("45009");
        let found = say!("{name} 已暂停, 还有 {seconds} 秒: {why}", "{name} is paused for another {seconds} s: {why}");
        if passes {
            let fix = say!(
                "等它过去; 查同一企业还有谁在大量调用",
                "let it pass; see who else calls that much for this company"
            );
            report.warn(Group::Wecom, format!("wecom.paused.{name}"), found, fix);
        } else {
            let fix = say!(
                "按原因里说的修好; 服务到时会自己再试",
                "mend what the reason says; the server tries again by itself"
            );
            report.bad(Group::Wecom, format!("wecom.paused.{name}"), found, fix);
        }
    }
    quotas(checkup, report).await;
}

/// Families that the rules need and nobody feeds.
fn unserved(settings: &WecomSettings, playbook: Option<&Playbook>, report: &mut Report) {
    let has_journeys = playbook.is_none_or(|playbook| !playbook.journeys.is_empty());
    for (family, name, is_needed) in
        [(Family::Contacts, "contacts", true), (Family::Messages, "messages", has_journeys)]
    {
        if is_needed && settings.app_for(family).is_none() {
            report.bad(
                Group::Wecom,
                format!("wecom.serves.{name}"),
                say!("没有应用负责 {name}, 规则却需要它", "no app serves {name}, which the rules need"),
                say!(
                    "在 wecom.apps 里给一个应用的 serves 加上 {name}",
                    "add {name} to the `serves` of an app in wecom.apps"
                ),
            );
        }
    }
}

/// One app under the doctor's eyes.
struct Round<'a> {
    app: &'a AppId,
    its: &'a AppSettings,
    settings: &'a Settings,
    checkup: &'a Checkup,
    closed: &'a [&'a str],
}

impl Round<'_> {
    fn id(&self, what: &str) -> String {
        format!("wecom.{}.{what}", self.app)
    }

    /// Whether there is a token to go on with.
    async fn secret(&self, report: &mut Report) -> bool {
        let app = self.app;
        match self.checkup.token(app).await {
            Ok(()) => {
                report.ok(
                    Group::Wecom,
                    self.id("secret"),
                    say!("应用 {app} 的凭证可用", "app {app} has an access token"),
                );
                true
            }
            Err(told) => {
                self.refusal(&told, "gettoken", "secret", report);
                false
            }
        }
    }

    async fn families(&self, playbook: Option<&Playbook>, report: &mut Report) {
        let mut token_was_refused = false;
        if let Some(fields) = self.ask("app", &Reading::App(self.its.agent_id), report, &mut token_was_refused).await {
            self.app_itself(&fields, report);
        }
        let mut member = self.settings.admins.first().cloned();
        for family in &self.its.serves {
            match family {
                Family::Contacts => {
                    let asked = self.ask("contacts", &Reading::FollowUsers, report, &mut token_was_refused).await;
                    if let Some(fields) = asked {
                        let members = self.members(&fields, report);
                        member = member.or_else(|| members.into_iter().next());
                    }
                    if playbook.is_none_or(|playbook| !playbook.tag_groups.is_empty())
                        && self.ask("tags", &Reading::CorpTags, report, &mut token_was_refused).await.is_some()
                    {
                        report.ok(Group::Wecom, self.id("tags"), say!("可以读企业标签", "it may read corp tags"));
                    }
                }
                Family::Kf => {
                    if self.ask("kf", &Reading::KfAccounts, report, &mut token_was_refused).await.is_some() {
                        report.ok(
                            Group::Wecom,
                            self.id("kf"),
                            say!("可以读微信客服账号", "it may read 微信客服 accounts"),
                        );
                    }
                }
                Family::Messages | Family::Directory => {}
            }
        }
        if let (true, Some(member)) = (self.its.serves.contains(&Family::Directory), member) {
            let asked = self.ask("directory", &Reading::User(member), report, &mut token_was_refused).await;
            if asked.is_some() {
                report.ok(Group::Wecom, self.id("directory"), say!("可以读成员的姓名", "it may read members' names"));
            }
        }
        if let Some(fields) = self.ask("addresses", &Reading::CallbackAddresses, report, &mut token_was_refused).await {
            addresses(&fields, self.app, report);
        }
        if token_was_refused {
            report.warn(
                Group::Wecom,
                self.id("token"),
                say!(
                    "企业微信提前作废了共用的 access_token; 已换新的",
                    "WeCom refused the shared access token before its time; a new one was taken"
                ),
                say!(
                    "如果反复出现: 查是否重置过 Secret, 或别的程序也在用这个 Secret",
                    "if it comes back: see whether the Secret was reset, or whether another program uses it too"
                ),
            );
        }
    }

    /// Asks; what does not go well is told here.
    async fn ask(
        &self,
        what: &str,
        reading: &Reading,
        report: &mut Report,
        token_was_refused: &mut bool,
    ) -> Option<Map<String, Value>> {
        let path = reading.path();
        if self.closed.contains(&path) {
            return None;
        }
        let (told, refused) = self.checkup.ask(self.app, reading).await;
        *token_was_refused |= refused;
        match told {
            Told::Well(fields) => Some(fields),
            told => {
                self.refusal(&told, path, what, report);
                None
            }
        }
    }

    fn app_itself(&self, fields: &Map<String, Value>, report: &mut Report) {
        let app = self.app;
        let holds = |object: &str, list: &str| {
            let list = fields.get(object).and_then(|object| object.get(list)).and_then(Value::as_array);
            list.is_some_and(|list| !list.is_empty())
        };
        let is_seen =
            holds("allow_userinfos", "user") || holds("allow_partys", "partyid") || holds("allow_tags", "tagid");
        if fields.get("close").and_then(Value::as_i64) == Some(1) {
            report.bad(
                Group::Wecom,
                self.id("app"),
                say!("应用 {app} 已停用", "app {app} is disabled"),
                say!("在管理后台启用它（应用管理 → 该应用）", "enable it in the admin console (应用管理 → the app)"),
            );
        } else if is_seen {
            report.ok(
                Group::Wecom,
                self.id("app"),
                say!("应用 {app} 已启用, 可见范围不为空", "app {app} is enabled and members see it"),
            );
        } else {
            report.warn(
                Group::Wecom,
                self.id("app"),
                say!(
                    "应用 {app} 的可见范围是空的: 没有成员能收到卡片",
                    "nobody is in the visible range of app {app}: no member gets its cards"
                ),
                say!("在管理后台把成员加进该应用的可见范围", "add members to the app's 可见范围 in the admin console"),
            );
        }
    }

    fn members(&self, fields: &Map<String, Value>, report: &mut Report) -> Vec<UserId> {
        let list = fields.get("follow_user").and_then(Value::as_array).into_iter().flatten();
        let members: Vec<UserId> =
            list.filter_map(Value::as_str).filter_map(|userid| UserId::parse(userid).ok()).collect();
        let count = members.len();
        let state = if count == 0 { State::Warn } else { State::Ok };
        let found = say!(
            "可以调用客户联系, 有客户联系权限的成员 {count} 人",
            "it may call 客户联系; {count} members may have customers"
        );
        let fix = say!(
            "在 客户联系 → 权限配置 → 使用范围 里加成员, 并把他们放进应用的可见范围",
            "add members under 客户联系 → 权限配置 → 使用范围, and to the app's 可见范围"
        );
        report.graded(Group::Wecom, self.id("contacts"), state, found, fix);
        members
    }

    fn refusal(&self, told: &Told, path: &str, what: &str, report: &mut Report) {
        let (app, id) = (self.app, self.id(what));
        match told {
            Told::Well(_) => {}
            Told::SecretRefused => report.bad(
                Group::Wecom,
                id,
                say!(
                    "企业微信不认应用 {app} 的 Secret 或企业 ID, 一小时内不再用它去试",
                    "WeCom refuses the secret of app {app} or the corp_id; it is not tried again for up to an hour"
                ),
                remedy(40001),
            ),
            Told::Refused { errcode, message } => self.refused(*errcode, message, path, id, report),
            Told::NotNow(why) => {
                // Without a token nothing at all can be called, however it came about.
                let state = if what == "secret" && *why == reasons::PAUSED { State::Bad } else { State::Warn };
                let found = say!("{path} 没有去问: {why}", "{path} was not asked: {why}");
                report.graded(Group::Wecom, id, state, found, not_now(why));
            }
            Told::NoAnswer => report.bad(
                Group::Wecom,
                id,
                say!("{path} 没有得到回答", "{path} got no answer"),
                say!(
                    "检查到 wecom.api_base 之间的网络和代理, 再试一次",
                    "look at the network and proxies on the way to wecom.api_base, and try again"
                ),
            ),
            Told::NotWecom(status) => report.bad(
                Group::Wecom,
                id,
                say!("{path} 得到 HTTP {status}, 不是企业微信的回答", "{path} got HTTP {status}, which is not WeCom's"),
                say!(
                    "核对 wecom.api_base, 以及中间的代理和网关",
                    "check wecom.api_base, and proxies and gateways in between"
                ),
            ),
        }
    }

    fn refused(&self, errcode: i64, message: &str, path: &str, id: String, report: &mut Report) {
        let app = self.app;
        if errcode == 60020 {
            let seen = seen_address(message).unwrap_or("?");
            let found = say!(
                "企业微信不信任这台服务器的地址 {seen}（应用 {app}, 60020）",
                "WeCom does not trust this server's address {seen} (app {app}, 60020)"
            );
            return report.bad(
                Group::Wecom,
                id,
                found,
                say!(
                    "把 {seen} 加到该应用的企业可信IP（应用管理 → 该应用 → 企业可信IP）, 约一分钟生效",
                    "add {seen} to the app's trusted IPs (应用管理 → the app → 企业可信IP); it takes about a minute"
                ),
            );
        }
        let found = say!(
            "{path} 被拒绝: {errcode} {message}（应用 {app}）",
            "{path} is refused: {errcode} {message} (app {app})"
        );
        match errors::action(errcode) {
            errors::Action::Retry | errors::Action::Serial | errors::Action::Slow => {
                report.warn(Group::Wecom, id, found, say!("过一会儿再运行 doctor", "run doctor again in a while"));
            }
            // Nothing waits for these: a name is left out, an account is not read.
            _ if [self.id("kf"), self.id("directory")].contains(&id) => {
                report.warn(Group::Wecom, id, found, remedy(errcode));
            }
            errors::Action::Refresh
            | errors::Action::Skip
            | errors::Action::Fix
            | errors::Action::Admin
            | errors::Action::Done => report.bad(Group::Wecom, id, found, remedy(errcode)),
        }
    }
}

/// Where callbacks come from, for whoever has a firewall.
fn addresses(fields: &Map<String, Value>, app: &AppId, report: &mut Report) {
    let list = fields.get("ip_list").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let list: Vec<&str> = list.collect();
    let (count, some) = (list.len(), list.iter().take(3).copied().collect::<Vec<_>>().join(", "));
    report.ok(
        Group::Callback,
        format!("callback.{app}.addresses"),
        say!(
            "回调来自 {count} 个地址（{some} …）, 防火墙要放行",
            "callbacks come from {count} addresses ({some} …), which a firewall must let in"
        ),
    );
}

fn not_now(why: &str) -> Say {
    match why {
        reasons::QUOTA => say!("等限额的时间过去, 再运行 doctor", "let the quota's window pass, then run doctor again"),
        reasons::PAUSED => say!("见下面暂停的原因", "see below why it is paused"),
        reasons::REDIS_AWAY => say!("先修好 Redis", "mend Redis first"),
        _ => say!("过几秒再运行 doctor", "run doctor again in a few seconds"),
    }
}

/// The fix of a code in both languages; the English one is what logs and `/readyz` say.
fn remedy(errcode: i64) -> Say {
    let en = errors::remedy(errcode);
    let zh = match errcode {
        40001 | 40013 | 40091 | 45031 | 2_000_002 => {
            "对照管理后台（应用管理 → 该应用 → Secret）核对 corp_id 和应用的 secret, 改好后重启服务"
        }
        40056 | 301_002 => "对照管理后台（应用管理 → 该应用）核对 agent_id",
        48002 | 84074 => "在 客户联系 → API → 可调用接口的应用（微信客服同理）里加上该应用, 并检查 权限配置 → 使用范围",
        50003 | 50006 | 60031 => "在管理后台启用该应用（应用管理 → 该应用）",
        50002 | 60011 | 60021 | 60030 | 60111 => "把这些成员加进该应用的可见范围",
        48006 => "在管理后台重新启用该应用: 长期未用被收回了权限",
        48007 => "在 微信客服 → API → 通过API管理微信客服账号 里把客服账号交给该应用",
        _ => "在 https://open.work.weixin.qq.com/devtool/query 查这个错误码",
    };
    let en = match errcode {
        50002 | 60011 | 60021 | 60030 | 60111 => "add these members to the app's 可见范围 in the admin console",
        _ => en,
    };
    Say { zh: zh.to_owned(), en: en.to_owned() }
}

async fn quotas(checkup: &Checkup, report: &mut Report) {
    let Ok(uses) = checkup.quotas().await else { return };
    let Some(fullest) = uses.first() else { return };
    let percent = fullest.used * 100 / fullest.most.max(1);
    let state = if percent >= 80 { State::Warn } else { State::Ok };
    let (name, used, most, seconds) = (&fullest.name, fullest.used, fullest.most, fullest.window.as_secs());
    let found = say!(
        "限额用得最多的是 {name}: {seconds} 秒内 {used} / {most}",
        "the fullest quota is {name}: {used} of {most} in {seconds} s"
    );
    let fix = say!(
        "调用会自己等; 常常如此就减少同时触达的人数",
        "calls wait by themselves; if it stays so, let fewer customers be reached at once"
    );
    report.graded(Group::Wecom, "wecom.quotas", state, found, fix);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fix_stands_in_both_languages() {
        for code in [40001, 40056, 48002, 48006, 48007, 50003, 60011, 60111, 1] {
            let fix = remedy(code);
            assert!(fix.zh.chars().any(|letter| letter > '\u{4e00}'), "{code}");
            assert!(fix.en.chars().any(|letter| letter.is_ascii_lowercase()), "{code}");
        }
    }
}
