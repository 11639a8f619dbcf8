//! Texts with variables: Minijinja without loader, includes or macros, on fuel, checked when the playbook is loaded.
//!
//! While loading an unknown variable is an error; while rendering a name that has no value is empty, so that a message
//! goes out without a name rather than not at all.

use std::sync::LazyLock;

use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use serde_json::json;

use super::diagnostic::{Severity, nearest};
use super::typing::{Problem, customer_fields};

/// A text that does more than this many steps is no message.
const FUEL: u64 = 20_000;

/// What a text may speak of. An unknown name is empty.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Words {
    /// `customer.<field>`: the fields that conditions know, as texts and numbers, `attrs` included.
    pub customer: serde_json::Value,
    /// `staff.userid`, `staff.name`.
    pub staff: serde_json::Value,
    /// `event.<field>`.
    pub event: serde_json::Value,
    /// `journey.id`, `journey.name`.
    pub journey: serde_json::Value,
    /// `corp.name`: what the playbook is named.
    pub corp: serde_json::Value,
}

/// A text that could not be rendered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("template {source_text:?} could not be rendered: {cause}")]
pub struct RenderError {
    /// As written in the playbook.
    pub source_text: String,
    /// What Minijinja said.
    pub cause: String,
}

/// A text with variables, parsed and checked.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    /// Nothing in it is to be put in.
    is_plain: bool,
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(20);
    // A field that the customer does not have arrives as null and is as empty as one that nobody knows.
    environment.set_formatter(|output, state, value| {
        let empty = minijinja::Value::UNDEFINED;
        minijinja::escape_formatter(output, state, if value.is_none() { &empty } else { value })
    });
    environment
});

impl Template {
    /// Puts the words in.
    ///
    /// # Errors
    /// When the text runs out of fuel or uses a filter on what it does not fit; the delivery fails with that reason.
    pub fn render(&self, words: &Words) -> Result<String, RenderError> {
        if self.is_plain {
            return Ok(self.source.clone());
        }
        ENVIRONMENT
            .template_from_str(&self.source)
            .and_then(|template| template.render(as_context(words)))
            .map_err(|error| RenderError { source_text: self.source.clone(), cause: said(&error) })
    }

    /// As written in the playbook.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The longest it gets with any of ten sample names, in bytes and in characters; none when it cannot be rendered.
    pub(super) fn longest(&self) -> Option<(usize, usize)> {
        let rendered: Option<Vec<String>> =
            SAMPLE_NAMES.iter().map(|name| self.render(&sample_words(name)).ok()).collect();
        let rendered = rendered?;
        let bytes = rendered.iter().map(String::len).max()?;
        Some((bytes, rendered.iter().map(|text| text.chars().count()).max()?))
    }
}

/// Names as customers really have them, from one character to WeChat's longest.
const SAMPLE_NAMES: [&str; 10] = [
    "王",
    "李娜",
    "欧阳娜娜",
    "Lucy",
    "A 张伟 13800000000",
    "Alexandra Konstantinopoulou",
    "静待花开🌸",
    "上海虹桥火车站店小二",
    "迪丽热巴·迪力木拉提",
    "一个名字正好有三十二个字那么长的微信用户他就是喜欢把名字写满",
];

fn sample_words(name: &str) -> Words {
    Words {
        customer: json!({
            "id": "wmqfasd1e1927831291723123109rAAA", "name": name, "type": 1, "gender": 2, "owner": "zhangsan",
            "state": "store-01", "add_way": 1, "orders": 12, "spend": "12345.67", "visits": 12, "csat": 5, "nps": 10,
            "referrals": 3, "added_at": "2026-05-06 10:00", "first_order_at": "2026-05-06", "renews_at": "2026-12-31",
            "last_order_at": "2026-05-06", "last_visit_at": "2026-05-06", "last_inbound_at": "2026-05-06",
            "last_outbound_at": "2026-05-06", "opted_out": false, "lost": false, "tags": ["触点/首单"],
            "groups": [], "segments": [], "attrs": {},
        }),
        staff: json!({ "userid": "zhangsan", "name": "欧阳娜娜" }),
        event: json!({}),
        journey: json!({ "id": "win_back", "name": "沉睡唤醒" }),
        corp: json!({ "name": "某某服饰有限公司" }),
    }
}

/// Parses and checks a text; warnings come with it, errors in its place.
pub(super) fn compile(source: &str) -> (Option<Template>, Vec<Problem>) {
    let is_plain = !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark));
    let template = Template { source: source.to_owned(), is_plain };
    if is_plain {
        return (Some(template), Vec::new());
    }
    let parsed = match ENVIRONMENT.template_from_str(source) {
        Ok(parsed) => parsed,
        Err(error) => return (None, vec![problem(&error, source)]),
    };
    let mut unknown: Vec<String> = parsed.undeclared_variables(true).into_iter().collect();
    unknown.sort();
    let mut problems: Vec<Problem> = unknown.iter().filter_map(|name| check_variable(name, source)).collect();
    if problems.is_empty()
        && let Err(error) = parsed.render(as_context(&sample_words("王")))
        // A filter may not fit an event's field that the sample does not have.
        && !(error.kind() == ErrorKind::UndefinedError && source.contains("event."))
    {
        problems.push(problem(&error, source));
    }
    if problems.is_empty() {
        problems.extend(reads_oddly(source));
        return (Some(template), problems);
    }
    (None, problems)
}

fn as_context(words: &Words) -> minijinja::Value {
    minijinja::Value::from(minijinja::value::Serde(words))
}

fn said(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn problem(error: &minijinja::Error, source: &str) -> Problem {
    let range = error.range().unwrap_or(0..source.len());
    Problem {
        severity: Severity::Error,
        code: "bad-template",
        offset: range.start.min(source.len()),
        length: range.len().max(1),
        message: format!("the text cannot be read: {}", said(error)),
        hint: None,
    }
}

/// `path` is a variable with its fields, such as `customer.name`.
fn check_variable(path: &str, source: &str) -> Option<Problem> {
    let mut words = path.split('.');
    let (root, field) = (words.next().unwrap_or_default(), words.next());
    let (wrong, message, hint) = match (root, field) {
        ("event", Some(_)) => return None,
        ("customer", Some("rfm")) => ("rfm", format!("`{path}` is not supported yet"), None),
        ("referral" | "channel", _) => (root, format!("`{path}` is not supported yet"), None),
        ("customer", Some(field)) => {
            let known: Vec<&str> = customer_fields().collect();
            unknown_field(root, field, &known)?
        }
        ("staff", Some(field)) => unknown_field(root, field, &["userid", "name"])?,
        ("journey", Some(field)) => unknown_field(root, field, &["id", "name"])?,
        ("corp", Some(field)) => unknown_field(root, field, &["name"])?,
        ("customer" | "staff" | "event" | "journey" | "corp", None) => {
            (root, format!("`{root}` needs a field: {root}.…"), None)
        }
        _ => {
            let near = nearest(root, ["customer", "staff", "event", "journey", "corp"]);
            (root, format!("unknown variable `{root}`"), near.map(|near| format!("did you mean `{near}`?")))
        }
    };
    let code = if message.ends_with("not supported yet") { "not-supported-yet" } else { "unknown-variable" };
    let at = source.find(path).unwrap_or(0);
    let offset = at + source.get(at..).and_then(|rest| rest.find(wrong)).unwrap_or(0);
    Some(Problem { severity: Severity::Error, code, offset, length: wrong.len(), message, hint })
}

type Unknown<'a> = (&'a str, String, Option<String>);

fn unknown_field<'a>(root: &str, field: &'a str, known: &[&str]) -> Option<Unknown<'a>> {
    if known.contains(&field) {
        return None;
    }
    let hint = match nearest(field, known.iter().copied()) {
        Some(near) => format!("did you mean `{root}.{near}`?"),
        None => format!("known: {}", known.join(" ")),
    };
    Some((field, format!("unknown variable `{root}.{field}`"), Some(hint)))
}

/// Warns of `亲爱的{{ customer.name }},` and `{{ customer.name }},您好`: without the name a gap is seen.
fn reads_oddly(source: &str) -> Option<Problem> {
    let mut from = 0;
    while let Some((start, end)) = next_variable(source, from) {
        from = end;
        let inside = source.get(start + 2..end - 2).unwrap_or_default().trim_matches(['-', ' ']);
        let may_be_empty = ["customer.", "event."].iter().any(|root| inside.starts_with(root));
        let is_guarded = inside.contains('|') || source.contains("{%");
        let always_there =
            ["customer.orders", "customer.spend", "customer.visits", "customer.id", "customer.referrals"];
        if !may_be_empty || is_guarded || always_there.contains(&inside) {
            continue;
        }
        let before = source.get(..start).and_then(|text| text.chars().next_back());
        let after = source.get(end..).and_then(|text| text.chars().next());
        let begins = before.is_none_or(ends_a_sentence);
        let ends = after.is_none_or(ends_a_sentence);
        let gap = if begins { ends && after.is_some() || after == Some('的') } else { ends };
        if gap {
            return Some(Problem {
                severity: Severity::Warning,
                code: "reads-oddly",
                offset: start,
                length: end - start,
                message: format!("without `{inside}` this reads oddly"),
                hint: Some(format!(
                    "put it in {{% if {inside} %}}…{{% endif %}}, or give a {{{{ {inside} or \"…\" }}}}"
                )),
            });
        }
    }
    None
}

fn next_variable(source: &str, from: usize) -> Option<(usize, usize)> {
    let start = from + source.get(from..)?.find("{{")?;
    let end = start + source.get(start..)?.find("}}")? + 2;
    Some((start, end))
}

fn ends_a_sentence(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_ascii_punctuation()
        || ",。!?:;、~—…()“”《》「」".contains(letter)
        || ('\u{3000}'..='\u{303F}').contains(&letter)
        || ('\u{FF00}'..='\u{FF0F}').contains(&letter)
        || ('\u{FF1A}'..='\u{FF20}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str) -> Vec<String> {
        let problems = compile(source).1;
        problems
            .iter()
            .map(|problem| {
                let hint = problem.hint.as_deref().unwrap_or("-");
                format!("{}@{}: {} | {hint}", problem.code, problem.offset, problem.message)
            })
            .collect()
    }

    fn rendered(source: &str, words: &Words) -> String {
        let (template, problems) = compile(source);
        template.unwrap_or_else(|| panic!("{source}: {problems:?}")).render(words).unwrap()
    }

    #[test]
    fn what_is_not_known_is_empty() {
        let words = Words { customer: json!({ "name": null, "attrs": { "size": "XL" } }), ..Words::default() };
        assert_eq!(rendered("{{ customer.name }}您好", &words), "您好");
        assert_eq!(rendered("{{ customer.attrs.colour.dark }}!{{ customer.attrs.size }}", &words), "!XL");
        assert_eq!(rendered("{{ event.amount }}元", &words), "元");
        assert_eq!(rendered("{% if customer.name %}亲爱的{{ customer.name }},{% endif %}您好", &words), "您好");
        assert_eq!(rendered("{{ customer.name or \"您\" }}好", &words), "您好");
    }

    #[test]
    fn names_are_put_in_as_they_are() {
        let words = Words { customer: json!({ "name": "<b>王&芳</b>" }), ..Words::default() };
        assert_eq!(rendered("{{ customer.name }}您好", &words), "<b>王&芳</b>您好");
        assert_eq!(rendered("100% 纯棉 {不是变量}", &words), "100% 纯棉 {不是变量}");
    }

    #[test]
    fn mistakes_are_found_when_the_playbook_is_loaded() {
        let sources = [
            "{{ customer.nmae }}您好",
            "{{ custmer.name }}您好",
            "{{ customer }}您好",
            "{{ staff.phone }}",
            "{{ customer.name",
            "{% if customer.name %}您好",
            "{{ customer.name | uper }}您好",
            "{{ channel.web_chat }}",
            "{{ referral.link }}",
            "{% include \"secret\" %}",
            "亲爱的{{ customer.name }},您好",
            "{{ customer.name }},您好",
        ];
        let lines: Vec<String> =
            sources.iter().map(|source| format!("{source}\n  {}", told(source).join("\n  "))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn texts_that_read_well_without_a_name_are_fine() {
        for source in [
            "{{ customer.name }}您好",
            "您好{{ customer.name }}女士",
            "我是{{ staff.name }},",
            "请{{ customer.name }}查收",
        ] {
            assert_eq!(told(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn a_text_that_never_ends_runs_out_of_fuel() {
        let letters = "x".repeat(200);
        let source =
            format!("{{% for a in '{letters}' %}}{{% for b in '{letters}' %}}{{{{ a }}}}{{% endfor %}}{{% endfor %}}");
        assert!(told(&source).join("").contains("fuel"), "{:?}", told(&source));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(source in "(\\PC|\\{\\{|\\}\\}|\\{%|%\\}| customer\\.name | if ){0,20}") {
            if let (Some(template), _) = compile(&source) {
                let _rendered = template.render(&sample_words("王"));
            }
        }
    }
}
