//! From a condition's text to a checked [`Condition`]: CEL's parser, then names, arguments and types of our own.

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};

use super::diagnostic::{Severity, nearest};
use super::expression::{Arithmetic, Comparison, Condition, CustomerField, Expression, TextTest, Unit, Value};
use super::times;
use crate::domain::ids::{SegmentId, TagName, TouchpointId};

/// A longer condition should be several.
const MOST_BYTES: usize = 2000;
/// Parentheses inside parentheses.
const DEEPEST: usize = 24;

/// What a condition may name.
#[derive(Default)]
pub(super) struct Names {
    pub(super) touchpoints: BTreeSet<String>,
    pub(super) segments: BTreeSet<String>,
}

/// Something wrong with a condition, at a place in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    /// In bytes from the beginning of the text.
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What a value can be. `Any` is known only when the event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Any,
    Null,
    Bool,
    Number,
    Text,
    Time,
    List,
}

impl Type {
    fn words(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "an instant",
            Self::List => "a list",
        }
    }

    fn fits(self, wanted: Self) -> bool {
        self == wanted || matches!(self, Self::Any | Self::Null) || wanted == Self::Any
    }
}

/// `customer.` fields and their types; `attrs` and `rfm` are looked at apart.
const CUSTOMER: [(&str, CustomerField, Type); 27] = [
    ("id", CustomerField::Id, Type::Text),
    ("name", CustomerField::Name, Type::Text),
    ("type", CustomerField::Type, Type::Number),
    ("gender", CustomerField::Gender, Type::Number),
    ("unionid", CustomerField::Unionid, Type::Text),
    ("added_at", CustomerField::AddedAt, Type::Time),
    ("owner", CustomerField::Owner, Type::Text),
    ("state", CustomerField::State, Type::Text),
    ("add_way", CustomerField::AddWay, Type::Number),
    ("tags", CustomerField::Tags, Type::List),
    ("orders", CustomerField::Orders, Type::Number),
    ("spend", CustomerField::Spend, Type::Number),
    ("first_order_at", CustomerField::FirstOrderAt, Type::Time),
    ("last_order_at", CustomerField::LastOrderAt, Type::Time),
    ("last_visit_at", CustomerField::LastVisitAt, Type::Time),
    ("last_inbound_at", CustomerField::LastInboundAt, Type::Time),
    ("last_outbound_at", CustomerField::LastOutboundAt, Type::Time),
    ("visits", CustomerField::Visits, Type::Number),
    ("renews_at", CustomerField::RenewsAt, Type::Time),
    ("csat", CustomerField::Csat, Type::Number),
    ("nps", CustomerField::Nps, Type::Number),
    ("referrals", CustomerField::Referrals, Type::Number),
    ("referred_by", CustomerField::ReferredBy, Type::Text),
    ("opted_out", CustomerField::OptedOut, Type::Bool),
    ("lost", CustomerField::Lost, Type::Bool),
    ("groups", CustomerField::Groups, Type::List),
    ("segments", CustomerField::Segments, Type::List),
];

/// The names of all `customer.` fields; templates share them.
pub(super) fn customer_fields() -> impl Iterator<Item = &'static str> {
    CUSTOMER.iter().map(|(name, ..)| *name).chain(["attrs"])
}

const FUNCTIONS: [&str; 10] =
    ["days_since", "hours_since", "touched", "last_touch", "in_segment", "tagged", "now", "weekday", "hour", "has"];
const METHODS: [&str; 5] = ["startsWith", "endsWith", "contains", "matches", "size"];

/// Parses and checks a condition; warnings come with it, errors in its place.
pub(super) fn compile(source: &str, names: &Names) -> (Option<Condition>, Vec<Problem>) {
    if let Some(problem) = too_much(source) {
        return (None, vec![problem]);
    }
    let parsed = cel::parser::Parser::new().max_recursion_depth(64).parse_with_source_info(source);
    let (root, info) = match parsed {
        Ok(parsed) => parsed,
        Err(errors) => return (None, vec![syntax_problem(source, &errors)]),
    };
    let mut checker = Checker { source, info, names, problems: Vec::new(), reads: Vec::new() };
    let typed = checker.check(&root);
    if let Some((_, kind)) = &typed
        && !kind.fits(Type::Bool)
    {
        let message = format!("a condition must be true or false, this is {}", kind.words());
        checker.error("wrong-type", root.id, message);
    }
    let Checker { mut problems, reads, .. } = checker;
    problems.sort_by_key(|problem| problem.offset);
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    let condition = typed.filter(|_| !refused).map(|(expression, _)| Condition {
        source: source.to_owned(),
        expression: Arc::new(expression),
        reads: reads.into(),
    });
    (condition, problems)
}

fn too_much(source: &str) -> Option<Problem> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut operators_in_a_row = 0_usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' | b':' => depth = depth.saturating_sub(1),
            _ => {}
        }
        operators_in_a_row = if matches!(byte, b'!' | b'-' | b' ') { operators_in_a_row + 1 } else { 0 };
        deepest = deepest.max(depth).max(operators_in_a_row);
    }
    let message = if source.trim().is_empty() {
        "the condition is empty".to_owned()
    } else if source.len() > MOST_BYTES {
        format!("the condition has {} bytes, at most {MOST_BYTES}", source.len())
    } else if deepest > DEEPEST {
        format!("the condition is nested more than {DEEPEST} levels deep")
    } else {
        return None;
    };
    Some(Problem {
        severity: Severity::Error,
        code: "bad-expression",
        offset: 0,
        length: source.len(),
        message,
        hint: None,
    })
}

fn syntax_problem(source: &str, errors: &cel::ParseErrors) -> Problem {
    let error = errors.errors.iter().find(|error| error.pos.0 > 0).or(errors.errors.first());
    let (line, column) = error.map_or((1, 1), |error| error.pos);
    let said = error.map_or("it cannot be read", |error| error.msg.as_str());
    let before = usize::try_from(line - 1).unwrap_or(0);
    let line_start: usize = source.split_inclusive('\n').take(before).map(str::len).sum();
    let offset = (line_start + usize::try_from(column - 1).unwrap_or(0)).min(source.len());
    let has_single_equals =
        source.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "").contains('=');
    let hint = if has_single_equals {
        Some("equal is written ==".to_owned())
    } else if source.contains(" and ") || source.contains(" or ") || source.starts_with("not ") {
        Some("write && for and, || for or, ! for not".to_owned())
    } else {
        None
    };
    // The parser goes on to list every sign that could stand there.
    let said = said.split(" expecting {").next().unwrap_or(said);
    let said = said.strip_prefix("Syntax error: ").unwrap_or(said).replace("'<EOF>'", "the end");
    let message = format!("the condition cannot be read: {said}");
    Problem { severity: Severity::Error, code: "bad-expression", offset, length: 1, message, hint }
}

type Typed = (Expression, Type);

struct Checker<'a> {
    source: &'a str,
    info: SourceInfo,
    names: &'a Names,
    problems: Vec<Problem>,
    reads: Vec<(String, Expression)>,
}

impl Checker<'_> {
    fn offset(&self, id: u64) -> usize {
        self.info.offset_for(id).map_or(0, |(start, _)| start as usize).min(self.source.len())
    }

    fn problem(&mut self, severity: Severity, code: &'static str, at: (usize, usize), message: String) -> &mut Problem {
        let (offset, length) = at;
        self.problems.push(Problem { severity, code, offset, length, message, hint: None });
        self.problems.last_mut().expect("a problem was pushed just now")
    }

    fn error(&mut self, code: &'static str, id: u64, message: String) -> &mut Problem {
        let at = (self.offset(id), 1);
        self.problem(Severity::Error, code, at, message)
    }

    /// An error about a word that stands at or behind the place of `id`.
    fn word_error(&mut self, code: &'static str, id: u64, word: &str, message: String) -> &mut Problem {
        let from = self.offset(id);
        let find = |from: usize| self.source.get(from..).and_then(|rest| rest.find(word)).map(|found| from + found);
        let offset = find(from).or_else(|| find(0)).unwrap_or(from);
        self.problem(Severity::Error, code, (offset, word.len()), message)
    }

    fn unknown(&mut self, id: u64, what: &str, word: &str, candidates: &[&str]) {
        let hint = match nearest(word, candidates.iter().copied()) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None if candidates.is_empty() => return,
            None => format!("known: {}", candidates.join(" ")),
        };
        self.word_error("unknown-name", id, word, format!("unknown {what} `{word}`")).hint = Some(hint);
    }

    fn read(&mut self, written: String, typed: Typed) -> Typed {
        if !self.reads.iter().any(|(name, _)| *name == written) {
            self.reads.push((written, typed.0.clone()));
        }
        typed
    }

    fn check(&mut self, node: &IdedExpr) -> Option<Typed> {
        match &node.expr {
            Expr::Literal(value) => self.literal(node.id, value),
            Expr::Ident(name) => self.bare_word(node.id, name),
            Expr::Select(select) => self.select(node.id, select),
            Expr::List(list) => {
                let items: Vec<Option<Typed>> = list.elements.iter().map(|item| self.check(item)).collect();
                let items: Option<Vec<Typed>> = items.into_iter().collect();
                Some((Expression::List(items?.into_iter().map(|(item, _)| item).collect()), Type::List))
            }
            Expr::Call(call) => self.call(node.id, call),
            Expr::Comprehension(_) => {
                let message = "exists, all, map and filter are not known here".to_owned();
                self.error("bad-expression", node.id, message).hint = Some("use `in`".to_owned());
                None
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.error("bad-expression", node.id, "such a value is not known here".to_owned());
                None
            }
        }
    }

    fn literal(&mut self, id: u64, value: &LiteralValue) -> Option<Typed> {
        #[expect(clippy::cast_precision_loss, reason = "numbers beyond 2^53 are no counts or amounts")]
        let (value, kind) = match value {
            LiteralValue::Boolean(truth) => (Value::Bool(*truth.inner()), Type::Bool),
            LiteralValue::Int(number) => (Value::Number(*number.inner() as f64), Type::Number),
            LiteralValue::UInt(number) => (Value::Number(*number.inner() as f64), Type::Number),
            LiteralValue::Double(number) => (Value::Number(*number.inner()), Type::Number),
            LiteralValue::String(text) => (Value::Text(text.inner().to_owned()), Type::Text),
            LiteralValue::Null => (Value::Null, Type::Null),
            LiteralValue::Bytes(_) => {
                self.error("bad-expression", id, "bytes are not known here".to_owned());
                return None;
            }
        };
        Some((Expression::Literal(value), kind))
    }

    fn bare_word(&mut self, id: u64, name: &str) -> Option<Typed> {
        if matches!(name, "customer" | "event" | "staff") {
            let message = format!("`{name}` needs a field: {name}.…");
            self.word_error("unknown-name", id, name, message);
        } else if FUNCTIONS.contains(&name) {
            self.word_error("bad-expression", id, name, format!("`{name}` is a function: {name}(…)"));
        } else {
            let mut candidates = vec!["customer", "event", "staff"];
            candidates.extend(FUNCTIONS);
            self.unknown(id, "name", name, &candidates);
            let is_field = customer_fields().any(|field| field == name);
            let is_near = nearest(name, candidates).is_some();
            if let Some(problem) = self.problems.last_mut()
                && (is_field || !is_near)
            {
                let text = format!("a text stands in quotes: \"{name}\"");
                problem.hint = Some(if is_field { format!("did you mean `customer.{name}`?") } else { text });
            }
        }
        None
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Option<Typed> {
        let Some(path) = path(select) else {
            self.error("bad-expression", id, "only customer., event. and staff. have fields".to_owned());
            return None;
        };
        let field = self.field(id, &path)?;
        if select.test {
            return Some((Expression::Has(Box::new(field.0)), Type::Bool));
        }
        Some(field)
    }

    fn field(&mut self, id: u64, path: &[&str]) -> Option<Typed> {
        let written = path.join(".");
        let typed = match path {
            ["event", rest @ ..] if !rest.is_empty() => (Expression::Event(rest.join(".")), Type::Any),
            ["customer", "attrs", name] => (Expression::Attr((*name).to_owned()), Type::Any),
            ["customer", "attrs"] => {
                let message = "`customer.attrs` needs a name: customer.attrs.…".to_owned();
                self.word_error("unknown-name", id, "attrs", message);
                return None;
            }
            ["customer", "rfm", ..] => {
                let message = format!("`{written}` is not supported yet");
                self.word_error("not-supported-yet", id, "rfm", message);
                return None;
            }
            ["staff", "userid"] => (Expression::StaffUserid, Type::Text),
            ["staff", "name"] => (Expression::StaffName, Type::Text),
            ["customer", name, rest @ ..] => {
                let Some((_, field, kind)) = CUSTOMER.iter().find(|(known, ..)| known == name) else {
                    let candidates: Vec<&str> = customer_fields().collect();
                    self.unknown(id, "field of customer", name, &candidates);
                    return None;
                };
                if let [inner, ..] = rest {
                    self.word_error("unknown-name", id, inner, format!("`customer.{name}` has no fields"));
                    return None;
                }
                (Expression::Customer(*field), *kind)
            }
            ["staff", name, ..] => {
                self.unknown(id, "field of staff", name, &["userid", "name"]);
                return None;
            }
            [root, ..] => {
                self.unknown(id, "name", root, &["customer", "event", "staff"]);
                return None;
            }
            [] => return None,
        };
        Some(self.read(written, typed))
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        if let Some(target) = &call.target {
            return self.method(id, target, call);
        }
        if let Some(operator) = self.operator(id, call) {
            return operator;
        }
        self.function(id, call)
    }

    fn method(&mut self, id: u64, target: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        if !METHODS.contains(&name) {
            self.unknown(id, "method", name, &METHODS);
            return None;
        }
        if name == "size" {
            self.arity(id, call, 0, 0)?;
            return self.size(id, target);
        }
        let text = self.wanted(target, Type::Text, name);
        self.arity(id, call, 1, 1)?;
        let argument = call.args.first()?;
        if name == "matches" {
            let (pattern, pattern_id) = self.literal_text(argument, name)?;
            return match regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build() {
                Ok(regex) => Some((Expression::Matches(Box::new(text?), regex), Type::Bool)),
                Err(error) => {
                    let last = error.to_string().lines().last().unwrap_or_default().to_owned();
                    self.error("bad-expression", pattern_id, format!("`{pattern}` is no pattern: {last}"));
                    None
                }
            };
        }
        let part = self.wanted(argument, Type::Text, name)?;
        let test = match name {
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            _ => TextTest::Contains,
        };
        Some((Expression::TextTest(test, Box::new(text?), Box::new(part)), Type::Bool))
    }

    fn size(&mut self, id: u64, of: &IdedExpr) -> Option<Typed> {
        let (inner, kind) = self.check(of)?;
        if !kind.fits(Type::Text) && !kind.fits(Type::List) {
            self.error("wrong-type", id, format!("size wants a text or a list, this is {}", kind.words()));
            return None;
        }
        Some((Expression::Size(Box::new(inner)), Type::Number))
    }

    fn arity(&mut self, id: u64, call: &CallExpr, least: usize, most: usize) -> Option<()> {
        let found = call.args.len();
        if (least..=most).contains(&found) {
            return Some(());
        }
        let wants = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let message = format!("{} takes {wants} arguments, found {found}", call.func_name);
        self.word_error("wrong-type", id, &call.func_name, message);
        None
    }

    /// Checks a part that must be of one type.
    fn wanted(&mut self, node: &IdedExpr, wanted: Type, by: &str) -> Option<Expression> {
        let (expression, kind) = self.check(node)?;
        if !kind.fits(wanted) {
            let message = format!("{by} wants {}, this is {}", wanted.words(), kind.words());
            self.error("wrong-type", node.id, message);
            return None;
        }
        Some(expression)
    }

    fn literal_text(&mut self, node: &IdedExpr, by: &str) -> Option<(String, u64)> {
        if let Expr::Literal(LiteralValue::String(text)) = &node.expr {
            return Some((text.inner().to_owned(), node.id));
        }
        let problem = self.error("wrong-type", node.id, format!("{by} wants a text in quotes here"));
        problem.hint = Some("it is looked up when the playbook is loaded".to_owned());
        None
    }

    fn function(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let typed = match name {
            "days_since" | "hours_since" => {
                self.arity(id, call, 1, 1)?;
                let instant = self.wanted(call.args.first()?, Type::Time, name)?;
                let unit = if name == "days_since" { Unit::Days } else { Unit::Hours };
                (Expression::Since(unit, Box::new(instant)), Type::Number)
            }
            "touched" => self.touched(id, call)?,
            "last_touch" => {
                self.arity(id, call, 1, 1)?;
                (Expression::LastTouch(self.touchpoint(call.args.first()?, name)?), Type::Time)
            }
            "in_segment" => {
                self.arity(id, call, 1, 1)?;
                (Expression::InSegment(self.segment(call.args.first()?, name)?), Type::Bool)
            }
            "tagged" => {
                self.arity(id, call, 1, 1)?;
                let (text, text_id) = self.literal_text(call.args.first()?, name)?;
                match TagName::parse(text) {
                    Ok(tag) => (Expression::Tagged(tag), Type::Bool),
                    Err(error) => {
                        self.error("bad-value", text_id, error.to_string());
                        return None;
                    }
                }
            }
            "now" | "weekday" | "hour" => {
                self.arity(id, call, 0, 0)?;
                match name {
                    "now" => (Expression::Now, Type::Time),
                    "weekday" => (Expression::Weekday, Type::Text),
                    _ => (Expression::Hour, Type::Number),
                }
            }
            "size" => {
                self.arity(id, call, 1, 1)?;
                return self.size(id, call.args.first()?);
            }
            "has" => {
                let message = "has takes one field: has(customer.…)".to_owned();
                self.word_error("bad-expression", id, "has", message);
                return None;
            }
            _ => {
                self.unknown(id, "function", name, &FUNCTIONS);
                return None;
            }
        };
        let written = written(call);
        Some(self.read(written, typed))
    }

    fn touched(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        self.arity(id, call, 1, 2)?;
        let touchpoint = self.touchpoint(call.args.first()?, "touched");
        let mut within = None;
        if let Some(argument) = call.args.get(1) {
            let (text, text_id) = self.literal_text(argument, "touched")?;
            match times::parse_duration(&text) {
                Ok(duration) => within = Some(duration),
                Err(error) => {
                    let message = format!("`{text}` is not a duration such as 12h or 3d: {error}");
                    self.error("bad-value", text_id, message);
                    return None;
                }
            }
        }
        Some((Expression::Touched(touchpoint?, within), Type::Number))
    }

    fn touchpoint(&mut self, node: &IdedExpr, by: &str) -> Option<TouchpointId> {
        let (text, id) = self.literal_text(node, by)?;
        let names = self.names;
        if !names.touchpoints.contains(&text) {
            self.unknown_reference(id, "touchpoint", &text, &names.touchpoints);
            return None;
        }
        TouchpointId::parse(text).ok()
    }

    fn segment(&mut self, node: &IdedExpr, by: &str) -> Option<SegmentId> {
        let (text, id) = self.literal_text(node, by)?;
        let names = self.names;
        if !names.segments.contains(&text) {
            self.unknown_reference(id, "segment", &text, &names.segments);
            return None;
        }
        SegmentId::parse(text).ok()
    }

    fn unknown_reference(&mut self, id: u64, what: &str, text: &str, known: &BTreeSet<String>) {
        let hint = nearest(text, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let problem = self.word_error("unknown-reference", id, text, format!("there is no {what} `{text}`"));
        problem.hint = hint;
    }

    /// None when the call is no operator.
    fn operator(&mut self, id: u64, call: &CallExpr) -> Option<Option<Typed>> {
        let [first, rest @ ..] = call.args.as_slice() else { return None };
        let name = call.func_name.as_str();
        Some(match (name, rest) {
            (operators::LOGICAL_NOT, []) => self.unary(first, Type::Bool, "!", Expression::Not),
            (operators::NEGATE, []) => self.unary(first, Type::Number, "-", Expression::Negate),
            (operators::LOGICAL_AND, [second]) => self.logic(first, second, "&&", Expression::And),
            (operators::LOGICAL_OR, [second]) => self.logic(first, second, "||", Expression::Or),
            (operators::IN, [second]) => self.membership(id, first, second),
            (operators::CONDITIONAL, [second, third]) => self.choice(id, first, second, third),
            (_, [second]) => {
                if let Some(comparison) = comparison(name) {
                    self.comparison(id, comparison, first, second)
                } else if let Some(operation) = arithmetic(name) {
                    self.arithmetic(id, operation, first, second)
                } else if name == operators::INDEX {
                    self.error("bad-expression", id, "[…] is not known here".to_owned());
                    None
                } else {
                    return None;
                }
            }
            _ => return None,
        })
    }

    fn unary(
        &mut self,
        of: &IdedExpr,
        kind: Type,
        sign: &str,
        build: fn(Box<Expression>) -> Expression,
    ) -> Option<Typed> {
        let inner = self.wanted(of, kind, sign)?;
        Some((build(Box::new(inner)), kind))
    }

    fn logic(
        &mut self,
        left: &IdedExpr,
        right: &IdedExpr,
        sign: &str,
        build: fn(Box<Expression>, Box<Expression>) -> Expression,
    ) -> Option<Typed> {
        let left = self.wanted(left, Type::Bool, sign);
        let right = self.wanted(right, Type::Bool, sign);
        Some((build(Box::new(left?), Box::new(right?)), Type::Bool))
    }

    fn membership(&mut self, id: u64, item: &IdedExpr, list: &IdedExpr) -> Option<Typed> {
        let item = self.check(item);
        let (list, kind) = self.check(list)?;
        if !kind.fits(Type::List) {
            self.error("wrong-type", id, format!("in wants a list behind it, this is {}", kind.words()));
            return None;
        }
        Some((Expression::In(Box::new(item?.0), Box::new(list)), Type::Bool))
    }

    fn choice(&mut self, id: u64, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Option<Typed> {
        let condition = self.wanted(condition, Type::Bool, "?");
        let (yes, no) = (self.check(yes), self.check(no));
        let ((yes, yes_kind), (no, no_kind)) = (yes?, no?);
        let kind = match (yes_kind, no_kind) {
            (Type::Any, _) | (_, Type::Any) => Type::Any,
            (Type::Null, other) | (other, Type::Null) => other,
            (one, other) if one == other => one,
            (one, other) => {
                let message = format!("the two sides of : are unlike: {} and {}", one.words(), other.words());
                self.error("wrong-type", id, message);
                return None;
            }
        };
        Some((Expression::If(Box::new(condition?), Box::new(yes), Box::new(no)), kind))
    }

    fn comparison(&mut self, id: u64, comparison: Comparison, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let (left, right) = (self.check(left), self.check(right));
        let ((left, left_kind), (right, right_kind)) = (left?, right?);
        if left_kind == Type::Null || right_kind == Type::Null {
            let at = (self.offset(id), 2);
            let message = "a comparison with null is always false".to_owned();
            self.problem(Severity::Warning, "never-true", at, message).hint =
                Some("has(customer.…) tells whether it is there".to_owned());
        }
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let unordered = |kind: Type| matches!(kind, Type::Bool | Type::List);
        if !left_kind.fits(right_kind) && !right_kind.fits(left_kind) {
            let message = format!("unlike values are compared: {} and {}", left_kind.words(), right_kind.words());
            let problem = self.error("wrong-type", id, message);
            problem.length = 2;
            if left_kind == Type::Time || right_kind == Type::Time {
                problem.hint = Some("compare days_since(…) or hours_since(…) with a number".to_owned());
            }
            return None;
        }
        if ordered && (unordered(left_kind) || unordered(right_kind)) {
            let kind = if unordered(left_kind) { left_kind } else { right_kind };
            self.error("wrong-type", id, format!("{} is neither less nor greater", kind.words()));
            return None;
        }
        self.check_weekday(id, &left, &right);
        Some((Expression::Compare(comparison, Box::new(left), Box::new(right)), Type::Bool))
    }

    /// `weekday() == "Monday"` would never hold.
    fn check_weekday(&mut self, id: u64, left: &Expression, right: &Expression) {
        let text = match (left, right) {
            (Expression::Weekday, Expression::Literal(Value::Text(text)))
            | (Expression::Literal(Value::Text(text)), Expression::Weekday) => text,
            _ => return,
        };
        if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&text.as_str()) {
            let message = format!("weekday() is never \"{text}\"");
            self.error("bad-value", id, message).hint = Some("Mon Tue Wed Thu Fri Sat Sun".to_owned());
        }
    }

    fn arithmetic(&mut self, id: u64, operation: Arithmetic, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let (left, right) = (self.check(left), self.check(right));
        let ((left, left_kind), (right, right_kind)) = (left?, right?);
        let is_text = |kind: Type| kind == Type::Text;
        let kind = if operation == Arithmetic::Add && is_text(left_kind) && right_kind.fits(Type::Text)
            || operation == Arithmetic::Add && is_text(right_kind) && left_kind.fits(Type::Text)
        {
            Type::Text
        } else if operation == Arithmetic::Add && left_kind == Type::Any && right_kind == Type::Any {
            Type::Any
        } else if left_kind.fits(Type::Number) && right_kind.fits(Type::Number) {
            Type::Number
        } else {
            let message = format!("{} and {} cannot be calculated with", left_kind.words(), right_kind.words());
            let problem = self.error("wrong-type", id, message);
            if left_kind == Type::Time || right_kind == Type::Time {
                problem.hint = Some("days_since(…) and hours_since(…) are numbers".to_owned());
            }
            return None;
        };
        Some((Expression::Arithmetic(operation, Box::new(left), Box::new(right)), kind))
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

/// `a.b.c` as its words.
fn path(select: &SelectExpr) -> Option<Vec<&str>> {
    let mut words = vec![select.field.as_str()];
    let mut operand = &select.operand.expr;
    loop {
        match operand {
            Expr::Ident(name) => {
                words.push(name);
                words.reverse();
                return Some(words);
            }
            Expr::Select(inner) if !inner.test => {
                words.push(&inner.field);
                operand = &inner.operand.expr;
            }
            _ => return None,
        }
    }
}

/// A call of one of our functions as it would be written.
fn written(call: &CallExpr) -> String {
    let arguments: Vec<String> = call
        .args
        .iter()
        .map(|argument| match &argument.expr {
            Expr::Literal(LiteralValue::String(text)) => format!("\"{}\"", text.inner()),
            Expr::Select(select) => path(select).map_or_else(|| "…".to_owned(), |words| words.join(".")),
            Expr::Call(inner) if inner.target.is_none() && FUNCTIONS.contains(&inner.func_name.as_str()) => {
                written(inner)
            }
            _ => "…".to_owned(),
        })
        .collect();
    format!("{}({})", call.func_name, arguments.join(", "))
}
