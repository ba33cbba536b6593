//! How far back the provider can be asked, and whether a poll continues where the last one ended. Pure.

use chrono::{DateTime, Utc};

use super::{PollMachine, Strategy};

/// Why a poll could not continue where the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The token of the last poll was no longer accepted, so the list was read whole.
    TokenExpired,
    /// Changes since the last poll are older than what the provider lists.
    OutOfReach,
}

impl PollMachine<'_> {
    /// What `${since}` stands for in the listing that begins now; `None`: from the beginning.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        // `None` is the smallest.
        self.wanted_since().max(self.oldest)
    }

    /// Why the poll could not continue where the last one ended.
    pub fn gap(&self) -> Option<Gap> {
        if self.has_expired {
            return Some(Gap::TokenExpired);
        }
        let last = self.start.filter(|_| self.strategy != Strategy::Delta);
        last.zip(self.oldest).filter(|(last, oldest)| last < oldest).map(|_| Gap::OutOfReach)
    }
}
