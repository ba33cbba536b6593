//! The functions that expressions may call.

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;

use super::evaluate::{Failure, Meter};
use super::value::Value;
use crate::api::duration;

/// A function. Written `f(x)` or `x.f()`, as in CEL.
#[derive(Debug)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    /// With its pattern, which is compiled once.
    Matches(Box<Regex>),
    LowerAscii,
    UpperAscii,
    Trim,
    Text,
    Int,
    Uint,
    Double,
    Timestamp,
    Duration,
    Dyn,
}

impl Function {
    /// For the message about one that does not exist.
    pub(super) const NAMES: &str = "size, contains, startsWith, endsWith, matches, lowerAscii, upperAscii, trim, string, int, uint, double, timestamp, duration, dyn, \
         and the macros has, all, exists, exists_one, map, filter";

    /// `matches` has a pattern and is made elsewhere.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "size" => Self::Size,
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            "lowerAscii" => Self::LowerAscii,
            "upperAscii" => Self::UpperAscii,
            "trim" => Self::Trim,
            "string" => Self::Text,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "dyn" => Self::Dyn,
            _ => return None,
        })
    }

    /// Number of arguments, that in front of the dot included.
    pub(super) fn takes(&self) -> usize {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith => 2,
            _ => 1,
        }
    }

    /// Calls it. There are as many arguments as it takes.
    pub(super) fn call<'a>(&self, arguments: Vec<Value<'a>>, meter: &mut Meter) -> Result<Value<'a>, Failure<'a>> {
        let mut arguments = arguments.into_iter();
        let (Some(first), second) = (arguments.next(), arguments.next()) else { return Err(Failure::Types) };
        if let Self::Dyn = self {
            return Ok(first);
        }
        if let Some(text) = first.text() {
            meter.read(text.len())?;
            let other = second.as_ref().map(|second| second.text().ok_or(Failure::Types)).transpose()?.unwrap_or_default();
            // Texts that are made take memory.
            let mut made = || meter.make(text.len());
            return Ok(match self {
                Self::Size => Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)),
                Self::Contains => Value::Bool(text.contains(other)),
                Self::StartsWith => Value::Bool(text.starts_with(other)),
                Self::EndsWith => Value::Bool(text.ends_with(other)),
                Self::Matches(pattern) => Value::Bool(pattern.is_match(text)),
                Self::LowerAscii => made().map(|()| Value::made(text.to_ascii_lowercase()))?,
                Self::UpperAscii => made().map(|()| Value::made(text.to_ascii_uppercase()))?,
                Self::Trim => made().map(|()| Value::made(text.trim()))?,
                Self::Int => Value::Int(text.parse().map_err(|_| Failure::Conversion)?),
                Self::Uint => Value::Uint(text.parse().map_err(|_| Failure::Conversion)?),
                Self::Double => Value::Double(text.parse().map_err(|_| Failure::Conversion)?, None),
                Self::Timestamp => {
                    Value::Time(DateTime::parse_from_rfc3339(text).map_err(|_| Failure::Conversion)?.with_timezone(&Utc))
                }
                Self::Duration => Value::Span(
                    duration::parse(text).and_then(|span| TimeDelta::from_std(span).ok()).ok_or(Failure::Conversion)?,
                ),
                Self::Text | Self::Dyn => first,
            });
        }
        match self {
            Self::Size => match first {
                Value::List(items) => Ok(Value::Int(i64::try_from(items.len()).unwrap_or(i64::MAX))),
                first => Ok(Value::Int(i64::try_from(first.items(meter)?.len()).unwrap_or(i64::MAX))),
            },
            Self::Text => Ok(match first {
                Value::Bool(value) => Value::made(value.to_string()),
                Value::Int(value) => Value::made(value.to_string()),
                Value::Uint(value) => Value::made(value.to_string()),
                // The digits that were sent, of however many there are.
                Value::Double(_, Some(sent)) => Value::Text(sent.into()),
                Value::Double(value, None) => Value::made(value.to_string()),
                Value::Time(at) => Value::made(at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
                _ => return Err(Failure::Types),
            }),
            Self::Int => match first {
                Value::Time(at) => Ok(Value::Int(at.timestamp())),
                Value::Double(value, _) => {
                    whole(value).and_then(|whole| i64::try_from(whole).ok()).map(Value::Int).ok_or(Failure::Overflow)
                }
                first => integer(&first)?.try_into().map(Value::Int).map_err(|_| Failure::Overflow),
            },
            Self::Uint => match first {
                Value::Double(value, _) => {
                    whole(value).and_then(|whole| u64::try_from(whole).ok()).map(Value::Uint).ok_or(Failure::Overflow)
                }
                first => integer(&first)?.try_into().map(Value::Uint).map_err(|_| Failure::Overflow),
            },
            Self::Double => first.double().map(|value| Value::Double(value, None)).ok_or(Failure::Types),
            Self::Timestamp => match first {
                Value::Time(at) => Ok(Value::Time(at)),
                Value::Int(seconds) => DateTime::from_timestamp(seconds, 0).map(Value::Time).ok_or(Failure::Conversion),
                _ => Err(Failure::Types),
            },
            Self::Duration => match first {
                Value::Span(span) => Ok(Value::Span(span)),
                _ => Err(Failure::Types),
            },
            _ => Err(Failure::Types),
        }
    }
}

fn integer<'a>(value: &Value<'_>) -> Result<i128, Failure<'a>> {
    value.integer().ok_or(Failure::Types)
}

/// Without what is behind the point.
#[allow(clippy::cast_possible_truncation)] // it is within bounds
fn whole(value: f64) -> Option<i128> {
    (value.abs() < 1e30).then_some(value as i128)
}
