//! From a condition's text to a checked [`Condition`]: CEL's parser, then names and types of our own.
//!
//! What functions, methods and operators want stands in `signatures`.

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo};

use super::diagnostic::{Severity, nearest};
use super::expression::{Condition, CustomerField, Expression, Value};
use super::signatures::FUNCTIONS;

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
pub(super) enum Type {
    Any,
    Null,
    Bool,
    Number,
    Text,
    Time,
    List,
}

impl Type {
    pub(super) fn words(self) -> &'static str {
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

    pub(super) fn fits(self, wanted: Self) -> bool {
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
    // The parser counts columns in characters, but places of nodes in bytes.
    let letters = usize::try_from(column - 1).unwrap_or(0);
    let within = source.get(line_start..).map_or(0, |line| line.chars().take(letters).map(char::len_utf8).sum());
    let offset = line_start + within;
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

pub(super) type Typed = (Expression, Type);

pub(super) struct Checker<'a> {
    source: &'a str,
    info: SourceInfo,
    pub(super) names: &'a Names,
    pub(super) problems: Vec<Problem>,
    reads: Vec<(String, Expression)>,
}

impl Checker<'_> {
    pub(super) fn offset(&self, id: u64) -> usize {
        self.info.offset_for(id).map_or(0, |(start, _)| start as usize).min(self.source.len())
    }

    pub(super) fn problem(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: (usize, usize),
        message: String,
    ) -> &mut Problem {
        let (offset, length) = at;
        self.problems.push(Problem { severity, code, offset, length, message, hint: None });
        self.problems.last_mut().expect("a problem was pushed just now")
    }

    pub(super) fn error(&mut self, code: &'static str, id: u64, message: String) -> &mut Problem {
        let at = (self.offset(id), 1);
        self.problem(Severity::Error, code, at, message)
    }

    /// An error about a word that stands at or behind the place of `id`.
    pub(super) fn word_error(&mut self, code: &'static str, id: u64, word: &str, message: String) -> &mut Problem {
        let from = self.offset(id);
        let find = |from: usize| self.source.get(from..).and_then(|rest| rest.find(word)).map(|found| from + found);
        let offset = find(from).or_else(|| find(0)).unwrap_or(from);
        self.problem(Severity::Error, code, (offset, word.len()), message)
    }

    pub(super) fn unknown(&mut self, id: u64, what: &str, word: &str, candidates: &[&str]) {
        let hint = match nearest(word, candidates.iter().copied()) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None if candidates.is_empty() => return,
            None => format!("known: {}", candidates.join(" ")),
        };
        self.word_error("unknown-name", id, word, format!("unknown {what} `{word}`")).hint = Some(hint);
    }

    pub(super) fn read(&mut self, written: String, typed: Typed) -> Typed {
        if !self.reads.iter().any(|(name, _)| *name == written) {
            self.reads.push((written, typed.0.clone()));
        }
        typed
    }

    pub(super) fn check(&mut self, node: &IdedExpr) -> Option<Typed> {
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
}

/// `a.b.c` as its words.
pub(super) fn path(select: &SelectExpr) -> Option<Vec<&str>> {
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
