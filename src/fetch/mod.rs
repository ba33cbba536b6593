//! Plan + cursor → requests → pages → records.

pub mod json;
