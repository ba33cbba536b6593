//! A claim to a Lease that is in force, and how it ends.

use std::sync::Arc;

use crate::moment::Moment;

/// A claim in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which of all claims to this Lease.
    pub epoch: Epoch,
    /// Nothing may be done under it from then on.
    pub until: Moment,
}

/// Orders the claims to a Lease: a later holder has a greater number, for as long as the Lease is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// `metadata.uid` of the Lease at the time.
    pub lease: Arc<str>,
    /// `spec.leaseTransitions`.
    pub number: i32,
}

/// Why a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It was not renewed in time.
    Expired,
    /// The Lease names another member, or none.
    Taken,
    /// It was given back on purpose.
    Released,
    /// It was left to run out, because guarded work did not end in time.
    Abandoned,
}
