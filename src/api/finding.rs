//! Why a manifest is refused, and where.

use std::fmt;

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where, as in `spec.resources[0].url`; empty for the whole object.
    pub path: String,
    /// What is wrong and, where that helps, how to fix it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// In the order in which the manifest is read.
    pub(super) found: Vec<Finding>,
    /// Whether the server would skip the CEL rules: a type, a required field, an enum or an upper bound is violated.
    pub(super) blocking: bool,
}

impl Findings {
    /// A violation that leaves the CEL rules meaningful.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.found.push(Finding { path: path.to_owned(), message: message.into() });
    }

    pub(super) fn block(&mut self, path: &str, message: impl Into<String>) {
        self.blocking = true;
        self.add(path, message);
    }
}
