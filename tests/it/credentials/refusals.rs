//! The process dies between marker, answer, write and use.
