//! What the functions, methods and operators of conditions want and give.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::diagnostic::{Severity, nearest};
use super::expression::{Arithmetic, Comparison, Expression, TextTest, Unit, Value};
use super::times;
use super::typing::{Checker, Type, Typed, path};
use crate::domain::ids::{SegmentId, TagName, TouchpointId};

pub(super) const FUNCTIONS: [&str; 10] =
    ["days_since", "hours_since", "touched", "last_touch", "in_segment", "tagged", "now", "weekday", "hour", "has"];
const METHODS: [&str; 5] = ["startsWith", "endsWith", "contains", "matches", "size"];

impl Checker<'_> {
    pub(super) fn call(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
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
