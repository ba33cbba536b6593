//! A call about one Lease, and what can come of it.

use std::time::Duration;

use super::record::{Record, Stored};

/// A call about one Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What does it say?
    Read(Duration),
    /// Compare and swap.
    Write(Write),
}

/// A compare-and-swap of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The version that must still be there; `None`: there must be no Lease.
    pub version: Option<String>,
    /// What it shall say.
    pub record: Record,
    /// The call is given up after this time.
    pub within: Duration,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Written; this is what is there now.
    Stored(Stored),
    /// Read.
    Found(Option<Stored>),
    /// Another version is there, or one where there should be none.
    Conflict,
    /// There is no Lease where one should be.
    Missing,
    /// No answer, or one that says nothing about the Lease. A write may have been applied, or be applied later.
    Failed,
}
