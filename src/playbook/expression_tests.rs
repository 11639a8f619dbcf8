use super::super::typing::{Names, compile};
use super::*;
use proptest::prelude::*;

#[derive(Default)]
struct Known {
    orders: f64,
    added_at: Option<At>,
    name: Option<&'static str>,
    amount: Option<Value>,
}

impl Facts for Known {
    fn customer(&self, field: CustomerField) -> Value {
        match field {
            CustomerField::Orders | CustomerField::Spend => Value::Number(self.orders),
            CustomerField::AddedAt => self.added_at.map_or(Value::Null, Value::Time),
            CustomerField::Name => self.name.map_or(Value::Null, |name| Value::Text(name.to_owned())),
            CustomerField::Lost | CustomerField::OptedOut => Value::Bool(false),
            CustomerField::Tags => Value::List(vec![Value::Text("a/b".to_owned())]),
            _ => Value::Null,
        }
    }
    fn attr(&self, name: &str) -> Value {
        if name == "size" { Value::Text("XL".to_owned()) } else { Value::Null }
    }
    fn event(&self, name: &str) -> Value {
        if name == "amount" { self.amount.clone().unwrap_or(Value::Null) } else { Value::Null }
    }
    fn staff_userid(&self) -> Value {
        Value::Text("lili".to_owned())
    }
    fn staff_name(&self) -> Value {
        Value::Null
    }
    fn touched(&self, _: &TouchpointId, within: Option<Duration>) -> u64 {
        if within.is_some() { 1 } else { 3 }
    }
    fn last_touch(&self, _: &TouchpointId) -> Option<At> {
        None
    }
    fn in_segment(&self, segment: &SegmentId) -> bool {
        segment.as_str() == "vip"
    }
    fn tagged(&self, tag: &TagName) -> bool {
        tag.as_str() == "a/b"
    }
    fn now(&self) -> At {
        "2026-05-06T02:30:00Z".parse().unwrap()
    }
    fn zone(&self) -> chrono_tz::Tz {
        chrono_tz::Asia::Shanghai
    }
}

fn names() -> Names {
    Names {
        touchpoints: ["visit".to_owned(), "first_order".to_owned()].into(),
        segments: ["vip".to_owned(), "newcomer".to_owned()].into(),
    }
}

fn condition(source: &str) -> Condition {
    let (condition, problems) = compile(source, &names());
    condition.unwrap_or_else(|| panic!("{source}: {problems:?}"))
}

fn check(source: &str, facts: &Known, expected: bool) {
    assert_eq!(condition(source).holds(facts), expected, "{source}");
}

#[test]
fn comparisons_with_what_is_not_there_are_false() {
    let nobody = Known::default();
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        check(&format!("customer.nps {operator} 9"), &nobody, false);
        check(&format!("9 {operator} customer.nps"), &nobody, false);
        check(&format!("customer.nps {operator} customer.csat"), &nobody, false);
        check(&format!("!(customer.nps {operator} 9)"), &nobody, true);
        check(&format!("days_since(customer.added_at) {operator} 14"), &nobody, false);
        check(&format!("customer.nps + 1 {operator} 9"), &nobody, false);
        check(&format!("size(customer.name) {operator} 0"), &nobody, false);
    }
    check("customer.name in [\"a\", \"b\"]", &nobody, false);
    check("!customer.attrs.vip", &nobody, true);
    check("customer.attrs.vip", &nobody, false);
    check("customer.attrs.vip || true", &nobody, true);
    check("customer.attrs.vip && true", &nobody, false);
    check("customer.attrs.vip ? true : false", &nobody, false);
    check("customer.name.startsWith(\"a\")", &nobody, false);
    check("!customer.name.startsWith(\"a\")", &nobody, true);
    check("has(customer.name)", &nobody, false);
    check("has(customer.lost)", &nobody, true);
    check("has(event.amount)", &nobody, false);
    check("hours_since(last_touch(\"visit\")) > 0", &nobody, false);
    check("customer.orders / 0 == 0", &nobody, false);
}

#[test]
fn numbers_compare_freely() {
    let someone = Known { orders: 2.5, amount: Some(Value::Text("299.00".to_owned())), ..Known::default() };
    check("customer.spend > 2", &someone, true);
    check("customer.spend == 2.5", &someone, true);
    check("customer.spend * 2 == 5", &someone, true);
    check("customer.spend + 0.1 + 0.2 == 2.8", &someone, true);
    check("-customer.spend < 0", &someone, true);
    check("event.amount >= 299", &someone, true);
    check("event.amount > 299.5", &someone, false);
    check("customer.orders % 2 == 0.5", &someone, true);
    check("9007199254740991 == 9007199254740990", &someone, false);
}

#[test]
fn time_passes_in_whole_days_and_hours() {
    let at = |text: &str| Known { added_at: Some(text.parse().unwrap()), name: Some("王芳"), ..Known::default() };
    check("days_since(customer.added_at) == 0", &at("2026-05-05T02:30:01Z"), true);
    check("days_since(customer.added_at) == 1", &at("2026-05-05T02:30:00Z"), true);
    check("hours_since(customer.added_at) == 2", &at("2026-05-06T00:00:00Z"), true);
    check("days_since(customer.added_at) == -1", &at("2026-05-06T02:30:01Z"), true);
    check("weekday() == \"Wed\" && hour() == 10", &Known::default(), true);
    check("weekday() in [\"Sat\", \"Sun\"]", &Known::default(), false);
    check("now() > customer.added_at", &at("2026-05-05T00:00:00Z"), true);
    check("customer.name.size() == 2 && customer.name.contains(\"芳\")", &at("2026-05-05T00:00:00Z"), true);
}

#[test]
fn functions_ask_the_record() {
    let nobody = Known::default();
    check("touched(\"visit\") == 3 && touched(\"visit\", \"3d\") == 1", &nobody, true);
    check("in_segment(\"vip\") && !in_segment(\"newcomer\")", &nobody, true);
    check("tagged(\"a/b\") && \"a/b\" in customer.tags && size(customer.tags) == 1", &nobody, true);
    check("customer.attrs.size.matches(\"^X+L$\")", &nobody, true);
    check("staff.userid == \"li\" + \"li\"", &nobody, true);
    check("staff.name == \"lili\"", &nobody, false);
}

#[test]
fn what_it_read_is_told_in_plain_writing() {
    let someone = Known { orders: 1.0, added_at: Some("2026-05-01T02:30:00Z".parse().unwrap()), ..Known::default() };
    let told = condition("customer.orders == 1 && days_since(customer.added_at) < 14 && !has(customer.name)")
        .explain(&someone);
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("customer.orders", "1"),
        ("customer.added_at", "2026-05-01 10:30"),
        ("days_since(customer.added_at)", "5"),
        ("customer.name", "none"),
    ];
    assert_eq!(told, expected);
}

/// One line per mistake: what is underlined, the message and the hint.
fn mistake(source: &str) -> String {
    let (_, problems) = compile(source, &names());
    let told: Vec<String> = problems
        .iter()
        .map(|problem| {
            let place = source.get(problem.offset..).unwrap_or("?");
            let hint = problem.hint.as_deref().unwrap_or("-");
            format!("{} | at `{place}` | {} | {hint}", problem.code, problem.message)
        })
        .collect();
    told.join("\n")
}

#[test]
fn mistakes_are_found_when_the_playbook_is_loaded() {
    let sources = [
        "customer.ordres == 1",
        "customer.orders == \"1\"",
        "customer.added_at > 14",
        "days_sinse(customer.added_at) > 1",
        "days_since(customer.orders) > 1",
        "touched(\"vist\") == 0",
        "touched(visit) == 0",
        "touched(\"visit\", \"3 days\") > 0",
        "in_segment(\"vipp\")",
        "tagged(\"nogroup\")",
        "customer.rfm.r >= 4",
        "customer.orders",
        "customer.orders = 1",
        "customer.orders == 1 and customer.lost",
        "customer.orders == 1 &&",
        "(customer.lost",
        "customr.lost",
        "lost",
        "customer.name == null",
        "customer.lost > true",
        "customer.name.startWith(\"a\")",
        "customer.name.matches(\"(\")",
        "customer.tags.exists(t, t == \"a\")",
        "weekday() == \"Monday\"",
        "now() - customer.added_at > 3",
        "customer.lost ? 1 : \"a\"",
        "",
        "customer.orders in 3",
        "staff.nmae == \"a\"",
        "has(customer.nmae)",
    ];
    let told: Vec<String> = sources.iter().map(|source| format!("{source}\n  {}", mistake(source))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_place_of_a_mistake_behind_chinese_words_is_right() {
    for (source, place) in [
        ("customer.name == \"张三\" && customer.orders == \"一\"", "== \"一\""),
        ("customer.state == \"门店🌸\" && customer.ordres == 1", "ordres"),
        ("\"门店\" in customer.tags && 1 = 2", "= 2"),
    ] {
        let (_, problems) = compile(source, &names());
        let found = problems.first().and_then(|problem| source.get(problem.offset..));
        assert!(found.is_some_and(|found| found.starts_with(place)), "{source}: {problems:?}");
    }
}

#[test]
fn very_long_and_very_deep_conditions_are_refused_or_evaluated_but_never_end_the_process() {
    let chain = |part: &str, times: usize, end: &str| format!("{}{end}", part.repeat(times));
    let someone = Known::default();
    for source in [
        chain("customer.lost ? true : ", 80, "true"),
        chain("1 + ", 480, "1 > 0"),
        chain("customer.lost || ", 110, "true"),
        format!("customer.attrs{}", ".a".repeat(900)),
        format!("event{} == 1", ".a".repeat(900)),
        chain("(", 600, "1"),
        chain("[", 600, "1"),
        chain("!", 900, "true"),
        chain("! ", 900, "true"),
        chain("-", 900, "1 > 0"),
        chain("- -", 600, "1 > 0"),
        chain("size(", 300, "1"),
        chain("1 == ", 300, "1"),
        chain("1 in ", 300, "1"),
        format!("customer.name{}", ".size()".repeat(200)),
        "x".repeat(3000),
    ] {
        if let (Some(condition), _) = compile(&source, &names()) {
            let _holds = condition.holds(&someone);
            let _told = condition.explain(&someone);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_read_without_a_panic(source in "\\PC{0,60}") {
        let _outcome = compile(&source, &names());
    }

    #[test]
    fn any_words_of_the_language_are_read_and_evaluated_without_a_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "customer.orders", "customer.name", "customer.added_at", "customer.tags", "event.x", "customer.attrs.size",
            "now()", "weekday()", "hour()", "touched(\"visit\")", "in_segment(\"vip\")", "1", "2.5", "\"text\"", "null",
            "true", "==", "!=", "<", ">=", "&&", "||", "!", "-", "+", "*", "/", "%", "in", "?", ":", "(", ")", "[", "]",
            ",", ".", "size(", "has(", "days_since(", ".startsWith(", ".matches(\"a+\")",
        ]), 0..12)
    ) {
        let source = words.join(" ");
        let (condition, _) = compile(&source, &names());
        if let Some(condition) = condition {
            let someone = Known { name: Some("a"), orders: 3.0, ..Known::default() };
            let _holds = condition.holds(&someone);
            let _told = condition.explain(&someone);
        }
    }
}
