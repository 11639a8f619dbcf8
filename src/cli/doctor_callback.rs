//! Whether the callback can be reached.

use crate::settings::Settings;
use crate::wecom::reach::{self, CallbackTrial, Reach};

use super::doctor_host::missed;
use super::doctor_report::{Group, Report, Say, say};
use super::doctor_server::page;

/// The callback of every app, asked as WeCom asks when its address is saved.
pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let public = &settings.server.public_url;
    let is_near = reach::is_loopback(public);
    for (app, its) in &settings.wecom.apps {
        let keys = (&its.token, &its.aes_key, settings.wecom.corp_id.as_str());
        let id = format!("callback.{app}");
        match reach::callback(public, app, keys).await {
            Ok(trial) => told(&trial, &id, is_near, report),
            Err(error) => report.bad(
                Group::Callback,
                id,
                say!("没能试: {error}", "it could not be tried: {error}"),
                say!("核对应用的 token 和 aes_key", "check the app's token and aes_key"),
            ),
        }
    }
    if is_near {
        report.warn(
            Group::Callback,
            "callback.public",
            say!(
                "server.public_url 是 {public}, 企业微信从外面到不了",
                "server.public_url is {public}, which WeCom cannot reach from outside"
            ),
            say!(
                "设成外面能访问的 https 地址（.env 里的 TOUCHPOINT_URL）",
                "set it to the https address that leads here from outside (TOUCHPOINT_URL in .env)"
            ),
        );
    }
    seen(settings, report).await;
}

fn told(trial: &CallbackTrial, id: &str, is_near: bool, report: &mut Report) {
    let address = &trial.address;
    if trial.is_ours {
        return report.ok(Group::Callback, id, say!("{address} 回答正确", "{address} answers as WeCom wants"));
    }
    let (found, fix) = match &trial.reach {
        Reach::Answered(answered) => wrong(address, answered.status),
        reach => {
            let (found, fix) = missed(address, reach);
            // Without a public address it is no fault that nobody answers there.
            if is_near {
                let fix = say!("启动服务, 再运行一次 doctor", "start the server, then run doctor again");
                return report.warn(Group::Callback, id, found, fix);
            }
            (found, fix)
        }
    };
    report.bad(Group::Callback, id, found, fix);
}

fn wrong(address: &str, status: u16) -> (Say, Say) {
    match status {
        200 => (
            say!("{address} 答了别的内容", "{address} answers something else"),
            say!(
                "那里是别的服务: 核对 server.public_url 和反向代理",
                "another server stands there: check server.public_url and the proxy"
            ),
        ),
        403 => (
            say!(
                "{address} 答 403: 那里的服务用的是另一套 token、aes_key 或 corp_id",
                "{address} answers 403: the server there has another token, aes_key or corp_id"
            ),
            say!(
                "改过设置就重启服务; 否则核对 server.public_url 指向的是不是这个服务",
                "restart the server after a change of its settings; else check that server.public_url leads to this one"
            ),
        ),
        404 => (
            say!(
                "{address} 答 404: 那里的服务没有这个应用, 或不是 Touchpoint",
                "{address} answers 404: the server there has no such app, or is not Touchpoint"
            ),
            say!(
                "核对 server.public_url 和反向代理的路径, 改过应用名就重启服务",
                "check server.public_url and the path in the proxy, and restart the server after a change of the app's name"
            ),
        ),
        502..=504 => (
            say!(
                "{address} 答 {status}: 代理在, 后面的服务不在",
                "{address} answers {status}: the proxy is there, the server behind it is not"
            ),
            say!("启动服务, 核对代理里的上游地址", "start the server, and check the proxy's upstream address"),
        ),
        300..=399 => (
            say!(
                "{address} 答 {status}, 是一次跳转; 企业微信不跟随跳转",
                "{address} answers {status}, a redirect, which WeCom does not follow"
            ),
            say!("把 server.public_url 写成跳转后的地址", "write the address that it leads to into server.public_url"),
        ),
        _ => (
            say!("{address} 答 HTTP {status}", "{address} answers HTTP {status}"),
            say!("看服务和代理的日志", "read the logs of the server and of the proxy"),
        ),
    }
}

/// Callbacks that the running server has counted; when the last one came is kept nowhere.
async fn seen(settings: &Settings, report: &mut Report) {
    let Some(text) = page(settings, "/metrics").await else { return };
    let sum = |results: &[&str]| {
        let lines = text.lines().filter(|line| line.starts_with("touchpoint_callbacks_total{"));
        let lines = lines.filter(|line| results.iter().any(|result| line.contains(&format!("result=\"{result}\""))));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let taken = sum(&["taken", "duplicate", "not_served", "unreadable"]);
    let (refused, forged) = (sum(&["refused"]), sum(&["forged", "stale"]));
    let found = say!(
        "本机的服务启动以来: 收下 {taken}, 因 Redis 拒收 {refused}, 签名或时间不对 {forged}（最后一次的时间没有记录）",
        "since the server here was started: {taken} taken, {refused} refused for want of Redis, {forged} with a wrong signature or time (when the last one came is kept nowhere)"
    );
    if refused + forged == 0 {
        return report.ok(Group::Callback, "callback.seen", found);
    }
    let fix = say!(
        "拒收: 看 Redis 一组; 签名不对: 对照管理后台核对 token 和 aes_key; 时间不对: 校准时钟",
        "refused: see under Redis; wrong signature: check token and aes_key against the admin console; wrong time: set the clock"
    );
    report.warn(Group::Callback, "callback.seen", found, fix);
}
