//! What users declare and what they read back: types and words, no I/O.

pub mod conditions;
