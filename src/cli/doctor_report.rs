//! What `touchpoint doctor` found: how bad it is, and the fix, in the reader's language.

use std::fmt::Write as _;

use serde::Serialize;

use crate::settings::Locale;

/// A text in both languages.
pub(super) struct Say {
    pub(super) zh: String,
    pub(super) en: String,
}

/// Both languages of one text; names in braces are put in as `format!` does.
macro_rules! say {
    ($zh:literal, $en:literal) => {
        $crate::cli::doctor_report::Say {
            zh: std::fmt::format(format_args!($zh)),
            en: std::fmt::format(format_args!($en)),
        }
    };
}
pub(super) use say;

/// What belongs together on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    Settings,
    Redis,
    Work,
    Wecom,
    Callback,
    Machine,
}

impl Group {
    fn title(self, locale: Locale) -> &'static str {
        let (zh, en) = match self {
            Self::Settings => ("配置", "Settings"),
            Self::Redis => ("Redis", "Redis"),
            Self::Work => ("运行", "Work"),
            Self::Wecom => ("企业微信", "WeCom"),
            Self::Callback => ("回调", "Callback"),
            Self::Machine => ("本机", "Machine"),
        };
        match locale {
            Locale::ZhCn => zh,
            Locale::En => en,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works; look at it some day.
    Warn,
    /// It does not work, or would lose something.
    Bad,
}

impl State {
    fn sign(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warn => '!',
            Self::Bad => '✗',
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) id: String,
    group: Group,
    pub(super) state: State,
    pub(super) found: String,
    fix: Option<String>,
}

/// Everything that was looked at, in order.
pub(super) struct Report {
    locale: Locale,
    pub(super) checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(locale: Locale) -> Self {
        Self { locale, checks: Vec::new() }
    }

    pub(super) fn ok(&mut self, group: Group, id: impl Into<String>, found: Say) {
        self.add(group, id.into(), State::Ok, found, None);
    }

    pub(super) fn warn(&mut self, group: Group, id: impl Into<String>, found: Say, fix: Say) {
        self.add(group, id.into(), State::Warn, found, Some(fix));
    }

    pub(super) fn bad(&mut self, group: Group, id: impl Into<String>, found: Say, fix: Say) {
        self.add(group, id.into(), State::Bad, found, Some(fix));
    }

    /// As bad as `state` says; the fix is left out when nothing has to be mended.
    pub(super) fn graded(&mut self, group: Group, id: impl Into<String>, state: State, found: Say, fix: Say) {
        let fix = Some(fix).filter(|_| state != State::Ok);
        self.add(group, id.into(), state, found, fix);
    }

    /// Redis answered before, but not this question.
    pub(super) fn unread(&mut self, group: Group, id: &str, error: &str) {
        self.bad(
            group,
            id,
            say!("读不到: {error}", "it cannot be read: {error}"),
            say!("看 Redis 的日志, 再运行一次 doctor", "read Redis's log, then run doctor again"),
        );
    }

    /// In the order of the groups; within a group as it was looked at.
    pub(super) fn sort(&mut self) {
        self.checks.sort_by_key(|check| check.group);
    }

    fn add(&mut self, group: Group, id: String, state: State, found: Say, fix: Option<Say>) {
        let said = |say: Say| match self.locale {
            Locale::ZhCn => say.zh,
            Locale::En => say.en,
        };
        let check = Check { id, group, state, found: said(found), fix: fix.map(said) };
        self.checks.push(check);
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }

    /// `[{id, group, state, found, fix}]`.
    pub(super) fn as_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(&self.checks).expect("checks are made of texts");
        json.push('\n');
        json
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for check in &self.checks {
            if last != Some(check.group) {
                let gap = if last.is_some() { "\n" } else { "" };
                put(&mut text, &format!("{gap}{}", check.group.title(self.locale)));
                last = Some(check.group);
            }
            put(&mut text, &format!("  {} {}", check.state.sign(), check.found));
            if let Some(fix) = &check.fix {
                put(&mut text, &format!("      → {fix}"));
            }
        }
        let [bad, warn, ok] = [State::Bad, State::Warn, State::Ok].map(|state| self.count(state));
        put(
            &mut text,
            &match self.locale {
                Locale::ZhCn => format!("\n{bad} 项有问题, {warn} 项需留意, {ok} 项正常"),
                Locale::En => format!("\n{bad} bad, {warn} to look at, {ok} fine"),
            },
        );
        text
    }
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing into a String cannot fail");
}
