//! Texts with macros such as `${since}`.

/// A text whose macros were checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    text: String,
}
