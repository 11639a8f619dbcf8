use std::fs;
use std::path::Path;

use super::*;

const SETTINGS: &str = "\
server: { public_url: https://touchpoint.example.com, timezone: Asia/Shanghai }
wecom:
  corp_id: ww1234567890abcdef
  apps:
    assistant:
      agent_id: 1000002
      secret: 0123456789abcdef0123456789abcdef0123456789a
      token: SampleToken01
      aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG
      serves: [messages, contacts, kf]
console: { admins: [zhangsan] }
";

const RULES: &str = "\
touchpoints:
  visit: { name: 到店, on: visit.made }
segments:
  vip: { when: customer.spend >= 2000, tag: 分层/贵宾 }
messages:
  hello: { text: 您好 }
welcome:
  - { say: hello }
";

/// A folder with these files, and what `check` says of it with the folder's own path taken out.
fn told(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let told: Vec<String> = check(folder.path()).0.iter().map(ToString::to_string).collect();
    told.join("\n")
        .replace(&format!("{}/", folder.path().display()), "")
        .replace(&folder.path().display().to_string(), ".")
}

fn rules_told(yaml: &str) -> String {
    told(&[("touchpoint.yaml", SETTINGS), ("playbook/10-rules.yaml", RULES), ("playbook/20-more.yaml", yaml)])
}

fn settings_told(yaml: &str) -> String {
    told(&[("touchpoint.yaml", yaml), ("playbook/10-rules.yaml", RULES)])
}

fn journey(rest: &str) -> String {
    format!("journeys:\n  trip:\n    goal: {{ touchpoint: visit, within: 7d }}\n{rest}")
}

fn step(step: &str) -> String {
    journey(&format!("    enter: {{ segment: vip }}\n    steps:\n      - {step}\n"))
}

fn all(told: impl Fn(&str) -> String, mistakes: &[String]) -> String {
    let told: Vec<String> = mistakes.iter().map(|mistake| format!("{mistake}\n~~~\n{}", told(mistake))).collect();
    told.join("\n================\n")
}

#[test]
fn a_good_folder_has_no_faults() {
    assert_eq!(told(&[("touchpoint.yaml", SETTINGS), ("playbook/10-rules.yaml", RULES)]), "");
}

#[test]
fn a_folder_of_rules_alone_is_checked_without_settings() {
    assert_eq!(told(&[("rules.yaml", RULES)]), "");
    assert!(told(&[("notes.txt", "")]).contains("no-playbook"));
    assert!(told(&[("playbook/a.yaml", RULES)]).contains("the settings cannot be read"));
}

#[test]
fn mistakes_in_what_is_seen_and_said() {
    let mistakes = [
        "touchpoints:\n  store: { on: contact.added, were: customer.lost }",
        "touchpoints:\n  store: { nmae: 门店 }",
        "touchpoints:\n  Store-1: { on: contact.added }",
        "touchpoints:\n  store: { on: contact added }",
        "touchpoints:\n  store: { on: order.payed }",
        "touchpoints:\n  visit: { on: visit.made }",
        "touchpoints:\n  store: { on: visit.made }\n  store: { on: order.paid }",
        "touchpoints:\n  store: { on: visit.made, where: customer.ordres == 1, tag: 门店 }",
        "touchpoints:\n  store: { on: visit.made, where: !customer.lost }",
        "touchpoints:\n  store: [visit.made]",
        "touchpoints:\n  store: { on: visit.made, tag: 一个长得不得了的标签组名字它绝对绝对绝对绝对超过了三十个字符的上限/好 }",
        "tags: { 触点: { order: first } }",
        "tags: { 生命周期分层: {} }\ntouchpoints:\n  store: { on: visit.made, tag: 生命周期分组/新客 }",
        "segments:\n  new: { when: customer.orders == 0 && in_segment(\"vipp\"), tag: 甲/乙 }",
        "segments:\n  new: { when: in_segment(\"old\"), tag: 甲/乙 }\n  old: { when: '!in_segment(\"new\")', tag: 甲/丙 }",
        "segments:\n  new: { when: 'event.amount > 3', tag: 甲/乙 }\n  idle: { when: customer.lost }",
        "segments:\n  new:\n    tag: 甲/乙\n    when: >\n      customer.orders == 0\n      && customer.odd",
        "messages:\n  bye: { text: \"{{ customer.nmae }}再见\" }",
        "messages:\n  bye: { attachments: [{ link: { title: 再见 } }] }",
        "messages:\n  bye: { attachments: [{ vidoe: { media_id: x } }, { video: { media_id: x } }, link] }",
        "messages:\n  bye: {}",
        "messages:\n  bye: { text: [再见] }",
        "welcome:\n  - { say: hello }",
        "playbook: { id: retail, north_star: retention_rate, sweep: 0 3 * * * }",
        "journey:\n  a: { steps: [] }",
        "touchpoints:\n  store: { on: visit.made\n",
        "touchpoints:\n  store: *nowhere",
        "touchpoints: {}\n---\nsegments: {}",
        "- a list",
    ];
    insta::assert_snapshot!(all(rules_told, &mistakes.map(str::to_owned)));
}

#[test]
fn mistakes_in_journeys() {
    let steps = "    steps: [{ wait: 1h }]\n";
    let mistakes = [
        journey("    enter: { segmnt: vip }\n    steps: [{ wait: 1h }]\n"),
        journey("    enter: { segment: vpi }\n    steps: [{ wait: 1h }]\n"),
        journey("    enter: { segment: vip, touchpoint: visit }\n    steps: [{ wait: 1h }]\n"),
        journey(&format!("    enter: {{ schedule: \"0 0 9 * * 1-5\" }}\n{steps}")),
        journey(&format!("    enter: {{ schedule: \"0 9 * * Mon\", where: customer.lost }}\n{steps}")),
        journey(&format!("    enter: {{ touchpoint: visit }}\n    backfill: true\n{steps}")),
        journey(&format!(
            "    enter: {{ segment: vip }}\n    holdout: 120\n    priority: high\n    again: 3 days\n{steps}"
        )),
        journey("    enter: { segment: vip }\n"),
        "journeys:\n  trip: { enter: { event: shop.seen }, goal: { touchpoint: visit }, steps: [] }".to_owned(),
        step("wiat: 2h"),
        step("wait: 2 h"),
        step("{ wait: 2h, stop: done }"),
        step("{ if: customer.lost }"),
        step("wait_until: \"25:00\""),
        step("wait_until: Mo 10:00"),
        step("wait_for: { touchpoint: vist, within: 3d }"),
        step("nudge: { say: helo, via: [mass, sms] }"),
        step("nudge: { say: hello, via: [kf, group, mass, mass] }"),
        step("nudge: { say: hello, via: staff }"),
        step("nudge: { say: referral.share }"),
        step("prompt: { say: hello, due: tomorrow, to: 王五 }"),
        step("prompt: { title: 客户退款,请先联系, say: hello }"),
        step("tag: { ad: 甲/乙 }"),
        step("event: { type: order.paid }"),
        step(
            "branch:\n          - else: [{ wait: 1h }]\n          - if: customer.lost\n            steps: [{ id: A, wait: 1h }]",
        ),
        step("{ id: a, wait: 1h }\n      - { id: a, wait: 1h }"),
    ];
    insta::assert_snapshot!(all(rules_told, &mistakes));
}

#[test]
fn mistakes_in_guardrails_and_staff() {
    let mistakes = [
        "guardrails: { quiet_hours: 21:00, working_hours: Mo-Fr 9-18, holidays: [2026-02-30] }",
        "guardrails: { customer_budget: [2 per 12h, two per 7d], staff_budget: 20 }",
        "guardrails: { holidays: [2026-10-01], workdays: [2026-10-01], quiet_hour: \"21:00-09:00\" }",
        "staff: { digest: \"0 0 9 * * 1-5\", escalate: 0s, owner: last, default: 莉莉 }",
    ];
    insta::assert_snapshot!(all(rules_told, &mistakes.map(str::to_owned)));
}

#[test]
fn hours_in_which_no_card_could_ever_go_out_are_warned_of() {
    for (quiet, hours, is_warned) in [
        ("18:00-09:00", "Mon-Fri 09:00-18:00", false),
        ("17:00-10:00", "Mon-Fri 09:00-18:00", false),
        ("20:00-18:00", "Mon-Fri 09:00-18:00", true),
        ("08:00-19:00", "Mon-Fri 09:00-18:00", true),
        ("12:00-13:00", "Mon-Fri 09:00-18:00", false),
        ("18:00-09:00", "Mon-Fri 19:00-22:00", true),
    ] {
        let told = rules_told(&format!("guardrails: {{ quiet_hours: \"{quiet}\", working_hours: \"{hours}\" }}"));
        assert_eq!(told.contains("never-open"), is_warned, "{quiet} {hours}: {told}");
    }
}

#[test]
fn texts_that_are_too_long_or_differ_per_customer_are_warned_of() {
    let long = "好".repeat(1400);
    let yaml = format!(
        "messages:\n  long: {{ text: \"{long}\" }}\n  personal: {{ text: \"{{{{ customer.name }}}}您好\" }}\n{}",
        step("nudge: { say: personal, via: [mass] }\n      - nudge: { say: long, via: [mass, staff] }")
    );
    insta::assert_snapshot!(rules_told(&yaml).replace(&long, "好…"));
}

#[test]
fn keys_of_later_versions_say_not_supported_yet() {
    let sections = [
        "channels: {}",
        "rfm: {}",
        "replies: []",
        "faq: []",
        "surveys: {}",
        "referral: {}",
        "reports: []",
        "labour: {}",
        "sources: {}",
        "webhooks: {}",
        "robots: {}",
        "cases: []",
        "guardrails: { brake: { per: 1d } }",
        "guardrails: { global_holdout: 2 }",
        "segments: { best: { when: customer.rfm.r >= 4, tag: 甲/乙 } }",
        "messages: { share: { text: \"{{ referral.link }}\" } }",
    ];
    let steps = ["ask: after_visit", "invite: true", "webhook: { to: crm }"].map(step);
    for yaml in sections.iter().map(|yaml| (*yaml).to_owned()).chain(steps) {
        let told = rules_told(&yaml);
        let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(errors.len(), 1, "{yaml}\n{told}");
        assert!(errors[0].starts_with("error[not-supported-yet]"), "{yaml}\n{told}");
    }
}

#[test]
fn mistakes_in_the_settings() {
    let mistakes = [
        SETTINGS.replace("corp_id: ww1234567890abcdef", "corp_id: ${NO_SUCH_VARIABLE_HERE}"),
        SETTINGS.replace("corp_id:", "corpid:"),
        SETTINGS.replace("ABCDEFG", "ABC"),
        SETTINGS.replace("token: SampleToken01", "token: Sample-Token-01"),
        SETTINGS.replace("aes_key: ", "aes_kye: "),
        SETTINGS.replace("serves: [messages, contacts, kf]", "serves: [message]"),
        SETTINGS.replace("1000002", "my app"),
        SETTINGS.replace("Asia/Shanghai", "Asia/Shangai"),
        SETTINGS.replace("https://touchpoint.example.com", "touchpoint.example.com"),
        SETTINGS.replace("server: {", "server: { key: c2hvcnQ=, listen: localhost:8080, locale: zh,"),
        format!("{SETTINGS}redis: {{ url: \"redis://:hunter2@db:6379\", shards: 0, prefix: \"t{{p\" }}\n"),
        format!("{SETTINGS}redis: {{ url: \"mysql://:hunter2@db\" }}\n"),
        format!("{SETTINGS}api: {{ tokens: {{ shop: short, erp: short }} }}\n"),
        format!("{SETTINGS}api: {{ tokens: {{ shop: \"two words of a secret\" }} }}\n"),
        format!("{SETTINGS}clock: adjustabel\n"),
        format!("{SETTINGS}sync: {{ at: 2:30 }}\narchive: {{ dir: data/archive, keep: long }}\nlimits: {{ mass: 3 }}\n"),
        SETTINGS.replace("console:", "  shop_app:\n      agent_id: 3\n      secret: x\n      token: abc\n      aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\n      serves: kf\nconsole:").replace("  shop_app", "    shop_app"),
        SETTINGS.replace("      token:", "      secret: hunter3\n      token:"),
        SETTINGS.replace("secret: ", "secret: \"unclosed"),
        String::new(),
    ];
    let told = all(settings_told, &mistakes);
    let outside: Vec<&str> = told.split("================").map(|part| part.split_once("~~~").unwrap().1).collect();
    for secret in
        ["hunter2", "SampleToken01", "0123456789abcdef0123", "abcdefghijklmnop", "two words", "c2hvcnQ", "hunter3"]
    {
        assert!(!outside.join("").contains(secret), "{secret} is shown:\n{}", outside.join(""));
    }
    insta::assert_snapshot!(outside.join("================"));
}

#[test]
fn settings_and_canvases_of_later_versions_are_accepted_and_said_to_be_without_use() {
    let settings =
        format!("{SETTINGS}sync: {{ at: \"0 30 2 * * *\" }}\narchive: {{ dir: data/archive, keep: 400d }}\n").replace(
            "wecom:",
            "wecom:\n  open_base: https://open.weixin.qq.com\n  login_base: https://login.work.weixin.qq.com",
        );
    let resources = "goals: [甲, 乙, 丙]\nproblems: [甲, 乙]\ndimensions: { users: [{ name: 老客, strength: 6 }] }\n";
    let experience =
        "stages: [{ id: know, name: 认识 }]\nrows: { customer: { know: [看见], buy: [下单] } }\nemotion: { know: 3 }\n";
    insta::assert_snapshot!(told(&[
        ("touchpoint.yaml", &settings),
        ("canvas/resources.yaml", resources),
        ("canvas/experience.yaml", experience),
        ("playbook/10-rules.yaml", RULES),
    ]));
}

#[test]
fn variables_come_from_dotenv_files_and_defaults() {
    let settings = SETTINGS
        .replace("ww1234567890abcdef", "${CHECK_TEST_CORP}")
        .replace("1000002", "${CHECK_TEST_AGENT:-1000003}")
        .replace("SampleToken01", "${file:token.txt}")
        .replace("console:", "api: { tokens: { shop: ${CHECK_TEST_TOKEN:-0123456789abcdef0123}, erp: \"a$${b}c0123456789abcdef\" } }\nconsole:");
    let env = "# the corp\nexport CHECK_TEST_CORP=\"ww0123\"\nCHECK_TEST_EMPTY=\n";
    let files = [
        ("touchpoint.yaml", settings.as_str()),
        (".env", env),
        ("token.txt", "FileToken7\n"),
        ("playbook/a.yaml", RULES),
    ];
    assert_eq!(told(&files), "");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (settings, _) = crate::settings::load(folder.path()).unwrap();
    let app = settings.wecom.apps.values().next().unwrap();
    assert_eq!((settings.wecom.corp_id.as_str(), app.agent_id), ("ww0123", 1_000_003));
    assert_eq!(secrecy::ExposeSecret::expose_secret(&app.token), "FileToken7");
    let token = |name: &str| secrecy::ExposeSecret::expose_secret(&settings.api_tokens[name]).to_owned();
    assert_eq!((token("shop").as_str(), token("erp").as_str()), ("0123456789abcdef0123", "a${b}c0123456789abcdef"));
    assert_eq!(settings.wecom.timestamp_window, Some(std::time::Duration::from_secs(3600)));
    assert!(!format!("{settings:?}").contains("FileToken7"), "secrets print as nothing");
}

#[test]
fn a_variable_that_is_missing_is_named_with_file_line_and_key() {
    let settings = SETTINGS
        .replace("SampleToken01", "${CHECK_TEST_NOT_SET}")
        .replace("ww1234567890abcdef", "${1BAD}")
        .replace("zhangsan", "${file:nobody.txt}")
        .replace("1000002", "${OPEN");
    insta::assert_snapshot!(settings_told(&settings));
    let bad_line = told(&[("touchpoint.yaml", SETTINGS), (".env", "A=1\nhunter2\n"), ("playbook/a.yaml", RULES)]);
    assert!(bad_line.contains(".env:2:1") && !bad_line.contains("hunter2"), "{bad_line}");
}

#[test]
fn what_a_variable_puts_in_is_never_repeated() {
    let rules = "segments: { s: { when: \"${CHECK_TEST_WHEN}\", tag: \"${CHECK_TEST_WHEN}\" } }\nguardrails: { quiet_hours: \"${CHECK_TEST_WHEN}\" }\n";
    let told = told(&[
        ("touchpoint.yaml", SETTINGS),
        (".env", "CHECK_TEST_WHEN=hunter2\n"),
        ("playbook/a.yaml", RULES),
        ("playbook/b.yaml", rules),
    ]);
    assert!(told.contains("${CHECK_TEST_WHEN}") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        yaml.push_str(&format!("a{level}: &a{level} [{before} x]\n"));
    }
    assert!(rules_told(&yaml).contains("yaml-budget"));
    assert!(rules_told(&"[".repeat(5000)).contains("error[yaml"));
    assert!(rules_told("a: &a [*a]").contains("yaml-alias"));
}

#[test]
fn people_get_the_faults_and_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let written = |yaml: &str| {
        fs::write(folder.path().join("a.yaml"), yaml).unwrap();
        let faults = check(folder.path());
        crate::cli::check::written(&faults, Path::new("shop"), crate::cli::check::Format::Text)
    };
    assert_eq!(written(RULES), "shop is fine: no errors, no warnings\n");
    let told = written("segments: { s: { when: customer.lots } }\nmessages: { m: { text: 好 } }");
    assert!(told.starts_with("error[unknown-name]: unknown field of customer `lots`\n"), "{told}");
    assert!(told.ends_with("shop cannot be used: 1 error, 1 warning\n"), "{told}");
}

#[test]
fn programs_get_json_with_the_fields_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "segments: { s: { when: customer.lots } }").unwrap();
    let faults = check(folder.path());
    let json = crate::cli::check::written(&faults, Path::new("."), crate::cli::check::Format::Json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = json[0].as_object().unwrap();
    let mut keys: Vec<&str> = first.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "column", "file", "hint", "line", "message", "severity"]);
    assert_eq!((&first["line"], &first["column"], &first["severity"]), (&1.into(), &33.into(), &"error".into()));
}
