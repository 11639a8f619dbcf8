//! The sample company under `config/` can be run as it stands.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "a test says what it could not check")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use touchpoint::cli::check::{Format, written};
use touchpoint::domain::delivery::Channel;
use touchpoint::playbook::check;
use touchpoint::playbook::load;
use touchpoint::playbook::model::{Enter, Playbook, PromptTo, StepAction};
use touchpoint::settings;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The sample company as the README sets it up: a copy of `config/`, and `.env.example` as its `.env`.
fn sample_company() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("config"), folder.path());
    fs::copy(root().join(".env.example"), folder.path().join(".env")).unwrap();
    folder
}

fn sample_playbook() -> Playbook {
    let folder = sample_company();
    let (settings, _) = settings::load(folder.path()).expect("the settings are fine");
    load::load(folder.path(), &settings.playbook_context()).expect("the rules are fine").playbook
}

#[test]
fn the_sample_company_has_neither_errors_nor_warnings() {
    let folder = sample_company();
    let faults = check::check(folder.path());
    assert!(faults.0.is_empty(), "{}", written(&faults, folder.path(), Format::Text));
}

#[test]
fn what_a_newcomer_forgot_to_set_is_named_one_by_one() {
    let folder = sample_company();
    fs::remove_file(folder.path().join(".env")).unwrap();
    let missing: BTreeSet<String> = check::check(folder.path())
        .errors()
        .filter(|fault| fault.code == "missing-variable")
        .map(|fault| fault.message.clone())
        .collect();
    let asked_for: Vec<String> = fs::read_to_string(root().join(".env.example"))
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim_start_matches('#').to_owned())
        .filter(|name| !["TOUCHPOINT_URL", "TOUCHPOINT_KEY", "REDIS_URL"].contains(&name.as_str()))
        .collect();
    for name in &asked_for {
        assert!(missing.iter().any(|message| message.contains(name.as_str())), "{name} is not asked for: {missing:?}");
    }
    assert_eq!(missing.len(), asked_for.len(), "{missing:?}");
}

#[test]
fn a_redis_of_ones_own_needs_a_key() {
    let folder = sample_company();
    let env = folder.path().join(".env");
    let with_redis = fs::read_to_string(&env).unwrap() + "REDIS_URL=redis://127.0.0.1:6379\n";
    fs::write(&env, &with_redis).unwrap();
    let codes: Vec<String> = check::check(folder.path()).errors().map(|fault| fault.code.to_string()).collect();
    assert_eq!(codes, ["missing-key"]);
    fs::write(&env, with_redis + "TOUCHPOINT_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n").unwrap();
    assert!(!check::check(folder.path()).has_errors());
}

#[test]
fn the_sample_company_shows_every_kind_of_rule() {
    let playbook = sample_playbook();
    assert!(playbook.journeys.len() >= 5);
    assert!(playbook.journeys.iter().all(|journey| journey.goal.is_some()));
    let steps: Vec<_> = playbook.journeys.iter().flat_map(|journey| &journey.steps).collect();
    let kinds: BTreeSet<&str> = steps
        .iter()
        .map(|step| match &step.action {
            StepAction::Wait(_) => "wait",
            StepAction::WaitUntil { .. } => "wait_until",
            StepAction::WaitFor { .. } => "wait_for",
            StepAction::Nudge { .. } => "nudge",
            StepAction::Prompt { .. } => "prompt",
            StepAction::Tag { .. } => "tag",
            StepAction::Event { .. } => "event",
            StepAction::Branch { .. } => "branch",
            StepAction::Stop { .. } => "stop",
        })
        .collect();
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    let entrances: BTreeSet<&str> = playbook
        .journeys
        .iter()
        .map(|journey| match &journey.enter {
            Enter::Segment(_) => "segment",
            Enter::Touchpoint(_) => "touchpoint",
            Enter::Event(_) => "event",
            Enter::Schedule(_) => "schedule",
        })
        .collect();
    assert_eq!(entrances.len(), 4, "{entrances:?}");
    let asked: Vec<&PromptTo> = steps
        .iter()
        .filter_map(|step| match &step.action {
            StepAction::Prompt { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    assert!(asked.contains(&&PromptTo::Owner) && asked.contains(&&PromptTo::Managers));
    assert!(playbook.journeys.iter().any(|journey| journey.holdout > 0));
    assert!(steps.iter().any(|step| step.condition.is_some()));
    let guardrails = &playbook.guardrails;
    assert!(guardrails.quiet_hours.is_some() && guardrails.working_hours.is_some());
    assert!(!guardrails.holidays.is_empty() && !guardrails.workdays.is_empty());
    assert!(!guardrails.customer_budget.is_empty() && !guardrails.staff_budget.is_empty());
    assert!(playbook.staff.digest.is_some() && playbook.staff.escalate.is_some() && playbook.staff.default.is_some());
}

#[test]
fn nothing_that_goes_to_many_differs_per_customer() {
    let playbook = sample_playbook();
    for step in playbook.journeys.iter().flat_map(|journey| &journey.steps) {
        let StepAction::Nudge { say, via, .. } = &step.action else { continue };
        let text = playbook.messages.get(say).and_then(|message| message.text.as_ref()).expect("a text");
        assert!(!via.contains(&Channel::Mass) || !text.source().contains("{{"), "{say}");
    }
}

/// `touchpoint check` reads what people copy; the copy that people commit must never hold their secrets.
#[test]
fn an_env_file_is_never_committed() {
    let ignored = Command::new("git").args(["check-ignore", "-q", "config/.env"]).current_dir(root()).status();
    match ignored {
        // 128: these are the sources without their history.
        Ok(status) if status.code() == Some(128) => println!("this is no git clone: not checked"),
        Ok(status) => assert!(status.success(), "config/.env would be committed"),
        Err(error) => println!("git is not installed: not checked ({error})"),
    }
}
