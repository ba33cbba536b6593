//! What is wrong with a manifest, in words that name the field.

use std::fmt::Display;
use std::time::Duration;

use crate::api::conditions::{Problem, Reason};
use crate::api::duration;

/// A problem with the manifest, fixed by a person.
pub(super) fn invalid(message: impl Into<String>) -> Problem {
    Problem::human(Reason::InvalidSpec, message)
}

/// The name of a resource's field as problems print it.
pub(super) fn field(resource: &str, field: &str) -> String {
    format!("spec.resources[{resource}].{field}")
}

/// Makes a problem of an error that reads on from the name of a field.
pub(super) fn at<E: Display>(field: &str) -> impl FnOnce(E) -> Problem {
    move |error| invalid(format!("{field} {error}"))
}

/// Problems found so far: resolving goes on, so that all are reported at once.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// The value, or its problem noted.
    pub(super) fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    /// The value, or its problems noted.
    pub(super) fn keep_all<T>(&mut self, result: Result<T, Vec<Problem>>) -> Option<T> {
        result.map_err(|problems| self.0.extend(problems)).ok()
    }
}

/// A duration, or what is wrong with it.
pub(super) fn span(field: &str, text: Option<&str>, default: Duration) -> Result<Duration, Problem> {
    let Some(text) = text else { return Ok(default) };
    duration::parse(text).ok_or_else(|| invalid(format!("{field} must be a duration such as 90s, 15m or 1h30m")))
}
