//! Expressions over one record in the Common Expression Language (CEL, cel.dev), compiled when a manifest is planned. Pure.
//!
//! The text is read by the parser that reads the rules of CRDs, too. It is evaluated here, for three reasons: a record stays the bytes
//! that were sent and no tree is built of it; the work of one evaluation is counted and bounded; and no expression can panic.

mod compile;
mod evaluate;
mod functions;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use compile::CompileError;
pub use evaluate::Failure;

/// A compiled expression over the variable `record`.
pub struct Expression {
    text: Box<str>,
    root: compile::Node,
}

impl Expression {
    /// Compiles an expression, or takes the one of the same text that is in use: the instances of one connector share theirs.
    ///
    /// # Errors
    /// What is wrong with it, with its place in the text.
    pub fn compile(text: &str) -> Result<Arc<Self>, CompileError> {
        static IN_USE: Mutex<BTreeMap<Box<str>, Weak<Expression>>> = Mutex::new(BTreeMap::new());
        if let Some(found) = IN_USE.lock().get(text).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let compiled = Arc::new(Self { text: text.into(), root: compile::compile(text)? });
        let mut in_use = IN_USE.lock();
        if in_use.len().is_power_of_two() {
            in_use.retain(|_, expression| expression.strong_count() > 0);
        }
        in_use.insert(text.into(), Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// The text, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression is true for a record, given as the JSON that was sent.
    ///
    /// # Errors
    /// It is neither true nor false: a member is missing, types do not fit, or it costs more than its bound.
    pub fn is_true<'a>(&'a self, record: &'a str) -> Result<bool, Failure<'a>> {
        evaluate::is_true(&self.root, record)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// The same text means the same.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
