//! Whether WeCom's host can be reached, and what time it is there.

use crate::settings::WecomSettings;
use crate::wecom::reach::{self, Reach};

use super::doctor_report::{Group, Report, Say, State, say};

/// The host: name, connection, encryption, answer, clock. False when asking further is of no use.
pub(super) async fn look(settings: &WecomSettings, report: &mut Report) -> bool {
    let base = &settings.api_base;
    let Ok(reach) = reach::wecom(base).await else { return false };
    let Reach::Answered(answered) = &reach else {
        let (found, fix) = missed(base, &reach);
        report.bad(Group::Wecom, "wecom.host", found, fix);
        return false;
    };
    if !reach::is_wecom(answered) {
        let status = answered.status;
        report.bad(
            Group::Wecom,
            "wecom.host",
            say!(
                "{base} 答的是 HTTP {status}, 不是企业微信的接口",
                "{base} answers HTTP {status}, which is not WeCom's API"
            ),
            say!(
                "核对 wecom.api_base, 以及中间的代理和网关",
                "check wecom.api_base, and proxies and gateways in between"
            ),
        );
        return false;
    }
    report.ok(Group::Wecom, "wecom.host", say!("能连上 {base}", "{base} answers"));
    if let Some(ahead) = answered.ahead {
        let seconds = ahead.num_seconds();
        let state = match seconds.unsigned_abs() {
            10.. => State::Bad,
            3.. => State::Warn,
            _ => State::Ok,
        };
        let found = match state {
            State::Ok => say!("时钟与本机一致", "its clock agrees with this machine's"),
            State::Warn | State::Bad => {
                say!(
                    "时钟与本机相差 {seconds} 秒",
                    "its clock is {seconds} s ahead of this machine's (negative: behind)"
                )
            }
        };
        let fix = say!(
            "在本机打开 NTP 时间同步: 欢迎语要在企业微信的 20 秒之内发出",
            "keep this machine on time with NTP: a welcome must leave within 20 s of WeCom's clock"
        );
        report.graded(Group::Wecom, "wecom.clock", state, found, fix);
    }
    true
}

/// What it means that a request did not come through.
pub(super) fn missed(place: &str, reach: &Reach) -> (Say, Say) {
    match reach {
        Reach::NoAddress | Reach::Answered(_) => (
            say!("{place} 不是可用的地址", "{place} is no usable address"),
            say!("在 touchpoint.yaml 里改成 https://主机", "write it as https://HOST in touchpoint.yaml"),
        ),
        Reach::NoName(host) => (
            say!("域名解析不到: {host}", "no host of that name is known: {host}"),
            say!(
                "检查地址的拼写和本机的 DNS（/etc/resolv.conf）",
                "check the spelling of the address and this machine's DNS (/etc/resolv.conf)"
            ),
        ),
        Reach::Refused(at) => (
            say!("{at} 拒绝连接", "{at} refuses connections"),
            say!(
                "确认那里有服务在监听, 防火墙放行这个端口",
                "see that something listens there and that firewalls let this port through"
            ),
        ),
        Reach::Silent(at) => (
            say!("{at} 没有响应（连接超时）", "{at} does not answer (the connection timed out)"),
            say!(
                "在防火墙放行这个地址; 服务不使用 HTTPS_PROXY, 出网要走代理时把 wecom.api_base 指向它",
                "let the address through the firewall; HTTPS_PROXY is not used, so where only a proxy leads out, point wecom.api_base at one"
            ),
        ),
        Reach::NoTls(why) => (
            say!("{place} 的 TLS 握手失败: {why}", "the TLS handshake with {place} fails: {why}"),
            say!(
                "安装 ca-certificates, 并检查证书和中间的代理",
                "install ca-certificates, and look at the certificate and at proxies in between"
            ),
        ),
        Reach::NoAnswer => (
            say!("{place} 连上了, 但没有回答", "{place} takes the connection but does not answer"),
            say!("检查中间的代理; 过一会儿再试", "look at proxies in between, and try again in a while"),
        ),
    }
}
