//! Which records the filter of a resource selects, and why it could not be decided for some. Pure.

use std::fmt;

use super::record::Selected;
use crate::plan::expression::Failure;
use crate::plan::shaping::FilterPlan;

/// Applies a filter to the records of a poll.
#[derive(Debug)]
pub(super) struct Selection<'p> {
    filter: Option<&'p FilterPlan>,
    undecided: Option<Undecided>,
}

/// Why a filter was neither true nor false for records. They are delivered: a filter that is wrong must lose nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// They lack the member of this name.
    Missing(String),
    /// A list of theirs is too short, or a map of theirs lacks a key.
    Index,
    /// Values of theirs have other types than an operator or function takes.
    Types,
    /// A text of theirs is no number, time or duration.
    Conversion,
    /// A number of theirs is too large, or zero where it divides.
    Overflow,
    /// The expression gives something else than true or false.
    NotBoolean,
    /// They are so large that the expression would cost too much.
    Costly,
}

impl<'p> Selection<'p> {
    pub(super) fn new(filter: Option<&'p FilterPlan>) -> Self {
        Self { filter, undecided: None }
    }

    /// What the filter says of a record, given as the JSON that was sent.
    pub(super) fn of(&mut self, json: &str) -> Selected {
        match self.filter.map(|filter| filter.expression.is_true(json)) {
            None | Some(Ok(true)) => Selected::Yes,
            Some(Ok(false)) => Selected::No,
            Some(Err(failure)) => {
                self.undecided.get_or_insert_with(|| Undecided::from(failure));
                Selected::Yes
            }
        }
    }

    /// Why it could not be decided for the first record for which it could not.
    pub(super) fn undecided(&self) -> Option<&Undecided> {
        self.undecided.as_ref()
    }
}

impl From<Failure<'_>> for Undecided {
    fn from(failure: Failure<'_>) -> Self {
        match failure {
            Failure::Missing(name) => Self::Missing(name.to_owned()),
            Failure::Index => Self::Index,
            Failure::Types => Self::Types,
            Failure::Conversion => Self::Conversion,
            Failure::Overflow => Self::Overflow,
            Failure::NotBoolean => Self::NotBoolean,
            Failure::Costly => Self::Costly,
        }
    }
}

/// A sentence for a condition: cause and fix.
impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("filter: some records are delivered because the filter could not be evaluated for them: ")?;
        match self {
            Self::Missing(name) => write!(f, "they have no {name}; test for it with has() first"),
            Self::Index => f.write_str("they lack an element or key; test with size() or in first"),
            Self::Types => f.write_str(
                "an operator or function does not accept the types of their values; convert them, for example with string()",
            ),
            Self::Conversion => f.write_str("a text is not a number, time or duration; test it with matches() first"),
            Self::Overflow => f.write_str("a number is too large or a divisor is zero; use double()"),
            Self::NotBoolean => f.write_str("it is neither true nor false; compare the value with something"),
            Self::Costly => f.write_str("they are too large for it; nest fewer macros"),
        }
    }
}
