//! `touchpoint doctor`: what is wrong around the server, and how each thing is mended.
//!
//! It looks and changes nothing: Redis is read (and asked whether it takes writes, as `/readyz` does), WeCom is asked with
//! reading calls only. It runs beside a server or without one.

use std::path::Path;
use std::process::ExitCode;

use crate::clock::Clock;
use crate::playbook::diagnostic::Faults;
use crate::playbook::load;
use crate::playbook::model::Playbook;
use crate::runtime::server_key;
use crate::settings::{self, Locale, RedisUrl, Settings};
use crate::store::Store;
use crate::wecom::checkup::Checkup;

use super::check::Format;
use super::doctor_report::{Group, Report, State, say};
use super::{
    doctor_callback, doctor_host, doctor_machine, doctor_redis, doctor_server, doctor_wecom, doctor_work, serve,
};

/// How it is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The language; default: server.locale
    #[arg(long, value_parser = ["zh-CN", "en"])]
    pub lang: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Looks at everything and tells what it found.
///
/// Exit code 0 when nothing is red (yellow is allowed), 1 when something is, 3 when there is no such folder.
#[must_use]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to whoever called it")]
pub fn doctor(config: &Path, options: &Options) -> ExitCode {
    if !config.is_dir() {
        eprintln!("error: there is no folder {}; name one with --config DIR", config.display());
        return ExitCode::from(3);
    }
    let told = |report: &Report| {
        match options.format {
            Format::Text => print!("{}", report.as_text()),
            Format::Json => print!("{}", report.as_json()),
        }
        ExitCode::from(u8::from(report.count(State::Bad) > 0))
    };
    let asked = options.lang.as_deref().map(|lang| if lang == "en" { Locale::En } else { Locale::ZhCn });
    match settings::load(config) {
        Ok((settings, warnings)) => serve::with_runtime(async {
            let mut report = Report::new(asked.unwrap_or(settings.server.locale));
            look(&settings, &warnings, &mut report).await;
            told(&report)
        }),
        Err(faults) => {
            let mut report = Report::new(asked.unwrap_or(Locale::ZhCn));
            faulty(&mut report, "settings", &faults, config);
            told(&report)
        }
    }
}

async fn look(settings: &Settings, warnings: &Faults, report: &mut Report) {
    let playbook = rules(settings, warnings, report);
    let store = doctor_redis::connect(&settings.redis, report).await;
    // Without Redis there is no business time; then nothing that needs it is looked at.
    if let Some(store) = &store {
        let offset = store.clock_offset().await.unwrap_or_default();
        doctor_redis::server(settings, store, report).await;
        doctor_work::look(store, Clock::with_offset_ms(offset).now(), report).await;
    }
    doctor_server::look(settings, playbook.as_ref(), report).await;
    wecom(settings, store.as_ref(), playbook.as_ref(), report).await;
    doctor_callback::look(settings, report).await;
    doctor_machine::look(settings, report);
    report.sort();
    if let Some(store) = store {
        store.close().await;
    }
}

fn rules(settings: &Settings, warnings: &Faults, report: &mut Report) -> Option<Playbook> {
    match load::load(&settings.config_dir, &settings.playbook_context()) {
        Ok(loaded) => {
            let count = warnings.warnings().count() + loaded.warnings.warnings().count();
            let revision: String = loaded.playbook.revision.chars().take(12).collect();
            let found = say!(
                "配置和规则没有错误（版本 {revision}）",
                "settings and rules have no errors (revision {revision})"
            );
            if count == 0 {
                report.ok(Group::Settings, "settings", found);
            } else {
                report.warn(
                    Group::Settings,
                    "settings",
                    say!(
                        "配置和规则没有错误, 有 {count} 条警告",
                        "settings and rules have no errors and {count} warnings"
                    ),
                    say!("运行 `touchpoint check` 查看警告", "run `touchpoint check` and read the warnings"),
                );
            }
            Some(loaded.playbook)
        }
        Err(faults) => {
            faulty(report, "rules", &faults, &settings.config_dir);
            None
        }
    }
}

fn faulty(report: &mut Report, id: &str, faults: &Faults, config: &Path) {
    let count = faults.errors().count();
    let first = faults.errors().next().map(|fault| format!("{}:{}: {}", fault.file, fault.line, fault.message));
    let (first, dir) = (first.unwrap_or_default(), config.display());
    let (found, fix) = (
        say!("{dir} 有 {count} 处错误, 第一处: {first}", "{dir} has {count} errors, the first: {first}"),
        say!("运行 `touchpoint check`, 逐条改正", "run `touchpoint check` and mend what it shows"),
    );
    report.bad(Group::Settings, id, found, fix);
}

async fn wecom(settings: &Settings, store: Option<&Store>, playbook: Option<&Playbook>, report: &mut Report) {
    if !doctor_host::look(&settings.wecom, report).await {
        return;
    }
    let Some(store) = store else {
        report.warn(
            Group::Wecom,
            "wecom.apps",
            say!("没有检查应用的凭证和权限: 所有进程共用的 access_token 在 Redis 里", "credentials and rights of the apps were not tried: the access token that all processes share lies in Redis"),
            say!("先修好 Redis, 再运行一次 doctor", "mend Redis first, then run doctor again"),
        );
        return;
    };
    // A private Redis whose key was never made holds no token either; making one is the server's to do.
    let is_made = match &settings.redis.url {
        RedisUrl::Embedded(dir) => settings.server.key.is_some() || dir.join("server.key").exists(),
        RedisUrl::Single(_) | RedisUrl::Cluster(_) | RedisUrl::Sentinel(_) => true,
    };
    let key = if is_made { server_key::of(settings).ok() } else { None };
    let checkup = key.and_then(|key| Checkup::new(&settings.wecom, store.clone(), &key).ok());
    let Some(checkup) = checkup else {
        report.warn(
            Group::Wecom,
            "wecom.apps",
            say!(
                "没有检查应用的凭证和权限: 没有可用的 server.key",
                "credentials and rights of the apps were not tried: there is no usable server.key"
            ),
            say!(
                "启动一次服务（内置 Redis 会自动生成密钥）, 或设置 server.key",
                "start the server once (with embedded: it makes the key), or set server.key"
            ),
        );
        return;
    };
    doctor_wecom::look(settings, store, &checkup, playbook, report).await;
}
