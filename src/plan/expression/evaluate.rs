//! Evaluates a compiled expression, step by step, within a bound that grows with the record.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::compile::{Fold, Node, Operator};
use super::value::{BYTES_A_STEP, Value};

/// Steps that one evaluation may take, whatever the record: about a tenth of a millisecond.
const STEPS: usize = 5_000;
/// Further steps for each byte of the record: an expression that looks at each element of a list some times stays within them.
const STEPS_A_BYTE: usize = 10;
/// Bytes of a text that is made, for one step.
const MADE_A_STEP: usize = 8;

/// Why an expression is neither true nor false for a record. Says nothing about the values in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// The record has no member of that name where the expression looks for it.
    Missing(&'a str),
    /// A list has no element there.
    Index,
    /// An operator or function does not take values of these types.
    Types,
    /// A text is no number, time or duration.
    Conversion,
    /// A number is too large, or divided by zero.
    Overflow,
    /// The result is something else than true or false.
    NotBoolean,
    /// It took more steps than it may.
    Costly,
}

/// Counts the steps that are left.
#[derive(Debug)]
pub(super) struct Meter {
    left: usize,
}

impl Meter {
    pub(super) fn take<'a>(&mut self, steps: usize) -> Result<(), Failure<'a>> {
        self.left = self.left.checked_sub(steps).ok_or(Failure::Costly)?;
        Ok(())
    }

    /// Counts bytes that are read.
    pub(super) fn read<'a>(&mut self, bytes: usize) -> Result<(), Failure<'a>> {
        self.take(bytes / BYTES_A_STEP + 1)
    }

    /// Counts bytes that are made.
    pub(super) fn make<'a>(&mut self, bytes: usize) -> Result<(), Failure<'a>> {
        self.take(bytes / MADE_A_STEP + 1)
    }
}

/// Whether the expression is true for a record.
pub(super) fn is_true<'a>(root: &'a Node, record: &'a str) -> Result<bool, Failure<'a>> {
    let left = STEPS.saturating_add(record.len().saturating_mul(STEPS_A_BYTE));
    let mut evaluation = Evaluation { variables: vec![Value::sent(record)], meter: Meter { left } };
    match evaluation.value(root)? {
        Value::Bool(value) => Ok(value),
        _ => Err(Failure::NotBoolean),
    }
}

struct Evaluation<'a> {
    variables: Vec<Value<'a>>,
    meter: Meter,
}

type Outcome<'a> = Result<Value<'a>, Failure<'a>>;

impl<'a> Evaluation<'a> {
    fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        self.meter.take(1)?;
        match node {
            Node::Literal(literal) => Ok(Value::of(literal)),
            Node::Variable(place) => match self.variables.get(*place) {
                Some(Value::Failed(failure)) => Err(*failure),
                Some(Value::Text(Cow::Owned(text))) => {
                    self.meter.make(text.len())?;
                    Ok(Value::made(text.as_str()))
                }
                Some(value) => Ok(value.clone()),
                None => Err(Failure::Types),
            },
            Node::Member(of, name) => {
                let of = self.value(of)?;
                of.member(&Value::Text(Cow::Borrowed(name)), &mut self.meter)?.ok_or(Failure::Missing(name))
            }
            // As in Kubernetes, only the last step may be missing.
            Node::Has(of, name) => {
                let of = self.value(of)?;
                Ok(Value::Bool(of.member(&Value::Text(Cow::Borrowed(name)), &mut self.meter)?.is_some()))
            }
            Node::Not(of) => Ok(Value::Bool(!self.boolean(of)?)),
            Node::Negate(of) => match self.value(of)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Failure::Overflow),
                Value::Double(value, _) => Ok(Value::Double(-value, None)),
                _ => Err(Failure::Types),
            },
            Node::NotFalse(of) => match self.value(of) {
                Err(Failure::Costly) => Err(Failure::Costly),
                Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                Ok(_) | Err(_) => Ok(Value::Bool(true)),
            },
            Node::And(left, right) => self.either(left, right, false),
            Node::Or(left, right) => self.either(left, right, true),
            Node::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                let chosen = if self.boolean(condition)? { then } else { otherwise };
                self.value(chosen)
            }
            Node::Binary(Operator::Add, left, right) => self.add(left, right),
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, &left, &right)
            }
            Node::List(nodes) => {
                let values = nodes.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::List(Rc::new(values)))
            }
            Node::Map(nodes) => {
                let mut entries = Vec::with_capacity(nodes.len());
                for (key, value) in nodes {
                    entries.push((self.value(key)?, self.value(value)?));
                }
                Ok(Value::Map(Rc::new(entries)))
            }
            Node::Call(function, nodes) => {
                let arguments = nodes.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                function.call(arguments, &mut self.meter)
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn boolean(&mut self, node: &'a Node) -> Result<bool, Failure<'a>> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Failure::Types),
        }
    }

    /// `&&` and `||`: a side that is `decisive` decides, even if the other one fails.
    fn either(&mut self, left: &'a Node, right: &'a Node, decisive: bool) -> Outcome<'a> {
        let left = match self.boolean(left) {
            Err(Failure::Costly) => return Err(Failure::Costly),
            Ok(left) if left == decisive => return Ok(Value::Bool(decisive)),
            left => left,
        };
        match self.boolean(right) {
            Ok(right) if right == decisive => Ok(Value::Bool(decisive)),
            Err(Failure::Costly) => Err(Failure::Costly),
            right => left.and(right).map(Value::Bool),
        }
    }

    fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let items = self.value(&fold.range)?.items(&mut self.meter)?;
        let begin = self.value(&fold.begin)?;
        let place = self.variables.len();
        self.variables.push(begin);
        let folded = self.fold_items(fold, place, items);
        let result = match folded {
            Ok(()) => self.value(&fold.result),
            Err(failure) => Err(failure),
        };
        self.variables.truncate(place);
        result
    }

    fn fold_items(&mut self, fold: &'a Fold, place: usize, items: Vec<Value<'a>>) -> Result<(), Failure<'a>> {
        for item in items {
            self.variables.push(item);
            if !self.boolean(&fold.goes_on)? {
                self.variables.truncate(place + 1);
                break;
            }
            let so_far = match self.value(&fold.step) {
                // A later element may decide whatever this one is.
                Err(failure) if failure != Failure::Costly && is_logic(&fold.step) => Value::Failed(failure),
                step => step?,
            };
            self.variables.truncate(place);
            self.variables.push(so_far);
        }
        Ok(())
    }

    /// `+`. Where a macro appends to its result so far, that is not copied.
    fn add(&mut self, left: &'a Node, right: &'a Node) -> Outcome<'a> {
        if let (Node::Variable(place), Node::List(_)) = (left, right)
            && *place + 2 == self.variables.len()
            && matches!(self.variables.get(*place), Some(Value::List(_)))
        {
            let Value::List(more) = self.value(right)? else { return Err(Failure::Types) };
            let own = self.variables.get_mut(*place).map(|own| std::mem::replace(own, Value::Null));
            let Some(Value::List(mut list)) = own else { return Err(Failure::Types) };
            if Rc::strong_count(&list) > 1 {
                self.meter.take(list.len())?;
            }
            Rc::make_mut(&mut list).extend(more.iter().cloned());
            return Ok(Value::List(list));
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        if let (Some(first), Some(second)) = (left.text(), right.text()) {
            self.meter.make(first.len() + second.len())?;
            return Ok(Value::made([first, second].concat()));
        }
        match (&left, &right) {
            (Value::Array(_) | Value::List(_), Value::Array(_) | Value::List(_)) => {
                let mut items = left.items(&mut self.meter)?;
                items.extend(right.items(&mut self.meter)?);
                Ok(Value::List(Rc::new(items)))
            }
            (Value::Time(at), Value::Span(span)) | (Value::Span(span), Value::Time(at)) => {
                at.checked_add_signed(*span).map(Value::Time).ok_or(Failure::Overflow)
            }
            (Value::Span(left), Value::Span(right)) => left.checked_add(right).map(Value::Span).ok_or(Failure::Overflow),
            _ => arithmetic(Operator::Add, &left, &right),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        let meter = &mut self.meter;
        let holds = match operator {
            Operator::Equal => left.equals(right, meter)?,
            Operator::Unequal => !left.equals(right, meter)?,
            Operator::Less => left.compare(right, meter)? == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(left.compare(right, meter)?, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => left.compare(right, meter)? == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(left.compare(right, meter)?, Some(Ordering::Greater | Ordering::Equal)),
            Operator::In => match right {
                Value::Object(_) | Value::Map(_) => right.member(left, meter)?.is_some(),
                _ => {
                    let mut found = false;
                    for item in right.items(meter)? {
                        found = found || item.equals(left, meter)?;
                    }
                    found
                }
            },
            Operator::Index => return self.index(left, right),
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                return match (operator, left, right) {
                    (Operator::Subtract, Value::Time(left), Value::Time(right)) => Ok(Value::Span(*left - *right)),
                    (Operator::Subtract, Value::Time(at), Value::Span(span)) => {
                        at.checked_sub_signed(*span).map(Value::Time).ok_or(Failure::Overflow)
                    }
                    (Operator::Subtract, Value::Span(left), Value::Span(right)) => {
                        left.checked_sub(right).map(Value::Span).ok_or(Failure::Overflow)
                    }
                    _ => arithmetic(operator, left, right),
                };
            }
        };
        Ok(Value::Bool(holds))
    }

    fn index(&mut self, of: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
        if matches!(of, Value::Object(_) | Value::Map(_)) {
            return of.member(index, &mut self.meter)?.ok_or(Failure::Index);
        }
        let index = index.integer().ok_or(Failure::Types)?;
        let mut items = of.items(&mut self.meter)?;
        match usize::try_from(index) {
            Ok(index) if index < items.len() => Ok(items.swap_remove(index)),
            _ => Err(Failure::Index),
        }
    }
}

/// Whether this is the step of `all` or `exists`.
fn is_logic(step: &Node) -> bool {
    matches!(step, Node::And(..) | Node::Or(..))
}

fn arithmetic<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    use Operator::{Add, Divide, Multiply, Remainder, Subtract};
    let whole = |left: i128, right: i128| match operator {
        Add => left.checked_add(right),
        Subtract => left.checked_sub(right),
        Multiply => left.checked_mul(right),
        Divide => left.checked_div(right),
        Remainder => left.checked_rem(right),
        _ => None,
    };
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            let result = whole(i128::from(*left), i128::from(*right)).and_then(|result| i64::try_from(result).ok());
            result.map(Value::Int).ok_or(Failure::Overflow)
        }
        (Value::Uint(left), Value::Uint(right)) => {
            let result = whole(i128::from(*left), i128::from(*right)).and_then(|result| u64::try_from(result).ok());
            result.map(Value::Uint).ok_or(Failure::Overflow)
        }
        // A record does not say of which type its numbers are: 1 and 1.5 are both prices.
        _ => {
            let (Some(left), Some(right)) = (left.double(), right.double()) else { return Err(Failure::Types) };
            let result = match operator {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide => left / right,
                _ => return Err(Failure::Types),
            };
            Ok(Value::Double(result, None))
        }
    }
}
