//! What the server that runs here says of itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::playbook::model::Playbook;
use crate::settings::Settings;
use crate::wecom::reach::{self, Reach};

use super::doctor_report::{Group, Report, say};

/// What only the running server knows: refused reloads, its breaker, whether it takes events in.
pub(super) async fn look(settings: &Settings, playbook: Option<&Playbook>, report: &mut Report) {
    let said = page(settings, "/readyz").await.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(said) = said.filter(|said| said.get("status").is_some()) else {
        let listen = settings.server.listen;
        return report.warn(
            Group::Work,
            "work.server",
            say!("{listen} 上没有服务回答: 熔断、被拒的重载和是否收件只有服务自己知道, 没能检查", "no server answers at {listen}: its breaker, refused reloads and whether it takes events in are known to it alone and were not looked at"),
            say!("在运行服务的机器上运行 doctor, 或启动服务", "run doctor on the machine of a server, or start it"),
        );
    };
    let status = said.get("status").and_then(Value::as_str).unwrap_or_default();
    let troubles: Vec<&str> =
        said.get("degraded").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if status == "ready" {
        report.ok(Group::Work, "work.server", say!("本机的服务: 就绪", "the server here is ready"));
    } else if status == "degraded" {
        let troubles = troubles.join("; ");
        report.warn(
            Group::Work,
            "work.server",
            say!("本机的服务能用但有问题: {troubles}", "the server here is degraded: {troubles}"),
            say!("按每条里说的修", "mend what each of them says"),
        );
    } else {
        report.bad(
            Group::Work,
            "work.server",
            say!("本机的服务没有就绪: {status}", "the server here is not ready: {status}"),
            say!("先修好上面的 Redis 问题, 并看服务的日志", "mend Redis as said above, and read the server's log"),
        );
    }
    rules_in_force(&said, playbook, report);
}

fn rules_in_force(said: &Value, playbook: Option<&Playbook>, report: &mut Report) {
    let rules = said.get("playbook");
    let text = |field: &str| rules.and_then(|rules| rules.get(field)).and_then(Value::as_str);
    if let Some(refused) = rules.and_then(|rules| rules.get("refused_reload")).filter(|refused| !refused.is_null()) {
        let first = refused.get("first").and_then(Value::as_str).unwrap_or_default();
        return report.bad(
            Group::Work,
            "work.rules",
            say!(
                "上次重载被拒绝, 旧规则仍在用: {first}",
                "the last reload was refused and the rules before it are in force: {first}"
            ),
            say!("运行 `touchpoint check` 改正, 再发 SIGHUP", "mend it with `touchpoint check`, then send SIGHUP"),
        );
    }
    let (Some(theirs), Some(ours)) = (text("revision"), playbook.map(|playbook| playbook.revision.as_str())) else {
        return;
    };
    if theirs == ours {
        report.ok(
            Group::Work,
            "work.rules",
            say!("服务用的就是这个目录里的规则", "the server runs the rules of this folder"),
        );
    } else {
        report.warn(
            Group::Work,
            "work.rules",
            say!("服务用的规则不是这个目录里现在的", "the server runs other rules than this folder holds now"),
            say!("发 SIGHUP 让它重新读", "send it SIGHUP to read them"),
        );
    }
}

/// Where a server with these settings listens, seen from this machine; none when its port is chosen at start.
fn local(settings: &Settings) -> Option<SocketAddr> {
    let mut address = settings.server.listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    (address.port() != 0).then_some(address)
}

pub(super) async fn page(settings: &Settings, path: &str) -> Option<String> {
    let address = local(settings)?;
    match reach::get(&format!("http://{address}{path}"), &[]).await {
        Ok(Reach::Answered(answered)) => String::from_utf8(answered.body).ok(),
        Ok(_) | Err(_) => None,
    }
}
