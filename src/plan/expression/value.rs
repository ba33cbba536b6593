//! What expressions reckon with. Values of a record stay the bytes that were sent until something is asked of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};

use super::compile::Literal;
use super::evaluate::{Failure, Meter};
use crate::plan::json;

/// Bytes of a record that are read in one step.
pub(super) const BYTES_A_STEP: usize = 64;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// With the digits that were sent: of a record's numbers that are no integer of 64 bits.
    Double(f64, Option<&'a str>),
    Text(Cow<'a, str>),
    /// A text that was made.
    Made(Rc<str>),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>),
    Time(DateTime<Utc>),
    Span(TimeDelta),
    /// An array of the record.
    Array(&'a str),
    /// An object of the record.
    Object(&'a str),
    /// The result so far of a macro that met a failure, which a later element may make irrelevant.
    Failed(Failure<'a>),
}

impl<'a> Value<'a> {
    /// A value of a record.
    pub(super) fn sent(json: &'a str) -> Self {
        let json = json.trim();
        match json.as_bytes().first() {
            Some(b'{') => Self::Object(json),
            Some(b'[') => Self::Array(json),
            Some(b'"') => json::scalar_text(json).map_or(Self::Null, Self::Text),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            None | Some(b'n') => Self::Null,
            Some(_) => match (json.parse(), json.parse(), json.parse()) {
                (Ok(int), _, _) => Self::Int(int),
                (_, Ok(uint), _) => Self::Uint(uint),
                (_, _, Ok(double)) => Self::Double(double, Some(json)),
                _ => Self::Null,
            },
        }
    }

    /// A constant.
    pub(super) fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Uint(value) => Self::Uint(*value),
            Literal::Double(value) => Self::Double(*value, None),
            Literal::Text(value) => Self::Text(Cow::Borrowed(value)),
        }
    }

    /// A text that was made.
    pub(super) fn made(text: impl Into<Rc<str>>) -> Self {
        Self::Made(text.into())
    }

    /// The text, of one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }

    /// The member of a map: `Ok(None)` when it has none, `Err` of anything else.
    pub(super) fn member(&self, key: &Self, meter: &mut Meter) -> Result<Option<Self>, Failure<'a>> {
        match self {
            Self::Object(object) => {
                meter.read(object.len())?;
                Ok(key.text().and_then(|key| json::member(object, key)).map(Value::sent))
            }
            Self::Map(entries) => {
                for (own, value) in entries.iter() {
                    if own.equals(key, meter)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(Failure::Types),
        }
    }

    /// The elements of a list, or the keys of a map.
    pub(super) fn items(&self, meter: &mut Meter) -> Result<Vec<Self>, Failure<'a>> {
        let mut items = Vec::new();
        match self {
            Self::Array(array) => {
                meter.read(array.len())?;
                json::for_each_element(array, |element| items.push(Value::sent(element)));
            }
            Self::Object(object) => {
                meter.read(object.len())?;
                json::for_each_member(object, |key, _| items.push(Value::made(key)));
            }
            Self::List(list) => items.extend(list.iter().cloned()),
            Self::Map(entries) => items.extend(entries.iter().map(|(key, _)| key.clone())),
            _ => return Err(Failure::Types),
        }
        meter.take(items.len())?;
        Ok(items)
    }

    /// Whether two values are the same. Values of different types are not, but for numbers.
    pub(super) fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure<'a>> {
        meter.take(1)?;
        if let (Some(left), Some(right)) = (self.text(), other.text()) {
            meter.read(left.len().min(right.len()))?;
            return Ok(left == right);
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Time(left), Self::Time(right)) => left == right,
            (Self::Span(left), Self::Span(right)) => left == right,
            (Self::Array(_) | Self::List(_), Self::Array(_) | Self::List(_)) => {
                let (left, right) = (self.items(meter)?, other.items(meter)?);
                let mut is_same = left.len() == right.len();
                for (left, right) in left.iter().zip(&right) {
                    is_same = is_same && left.equals(right, meter)?;
                }
                is_same
            }
            (Self::Object(_) | Self::Map(_), Self::Object(_) | Self::Map(_)) => {
                let keys = self.items(meter)?;
                let mut is_same = keys.len() == other.items(meter)?.len();
                for key in &keys {
                    is_same = is_same
                        && match (self.member(key, meter)?, other.member(key, meter)?) {
                            (Some(left), Some(right)) => left.equals(&right, meter)?,
                            _ => false,
                        };
                }
                is_same
            }
            // Integers of more digits than fit are distinguished by the digits that were sent.
            (Self::Double(_, Some(left)), Self::Double(_, Some(right))) if is_integer(left) && is_integer(right) => {
                left == right
            }
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        })
    }

    /// The order of two values of one type, or of two numbers.
    pub(super) fn compare(&self, other: &Self, meter: &mut Meter) -> Result<Option<Ordering>, Failure<'a>> {
        if let (Some(left), Some(right)) = (self.text(), other.text()) {
            meter.read(left.len().min(right.len()))?;
            return Ok(Some(left.cmp(right)));
        }
        Ok(match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Time(left), Self::Time(right)) => Some(left.cmp(right)),
            (Self::Span(left), Self::Span(right)) => Some(left.cmp(right)),
            (Self::Int(_) | Self::Uint(_) | Self::Double(..), Self::Int(_) | Self::Uint(_) | Self::Double(..)) => {
                self.compare_numbers(other)
            }
            _ => return Err(Failure::Types),
        })
    }

    /// `None` for what is no number, and for NaN.
    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Double(left, _), Self::Double(right, _)) => left.partial_cmp(right),
            (Self::Double(left, _), right) => left.partial_cmp(&right.double()?),
            (left, Self::Double(right, _)) => left.double()?.partial_cmp(right),
            (left, right) => Some(left.integer()?.cmp(&right.integer()?)),
        }
    }

    /// An integer.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// A number.
    #[allow(clippy::cast_precision_loss)] // as CEL does it
    pub(super) fn double(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Uint(value) => Some(*value as f64),
            Self::Double(value, _) => Some(*value),
            _ => None,
        }
    }
}

fn is_integer(digits: &str) -> bool {
    digits.strip_prefix('-').unwrap_or(digits).bytes().all(|byte| byte.is_ascii_digit())
}
