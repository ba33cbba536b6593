//! How far back the provider can be asked, and whether a poll continues where the last one ended. Pure.

use chrono::{DateTime, Utc};

use super::{PollMachine, Strategy};
use crate::detect::window;
use crate::fetch::listing::Attempt;
use crate::plan::delta::DeltaPlan;

/// Why a list whose records are known is read without the token of an earlier poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenless {
    /// The provider no longer accepts the token.
    Expired,
    /// The request is another one by now.
    Edited,
    /// No poll could keep a token.
    Unkept,
}

/// Why a poll could not continue where the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// There was no token for the request, so the list was read whole.
    ReadWhole(Tokenless),
    /// There was none, and the list without one began behind all that is known: the feed has lost its past, or the provider lists what changes
    /// from now on.
    ChangesMissed(Tokenless),
    /// Changes since the last poll are older than what the provider lists.
    OutOfReach,
}

impl PollMachine<'_> {
    /// The provider did not answer a request for everything since 1970, whose response was to show its clock: the list is asked for from a
    /// little before `now`, on ours. Answers whether another listing begins, which it does once.
    pub fn ask_for_less(&mut self, now: DateTime<Utc>) -> bool {
        let is_first = self.strategy == Strategy::Clock && self.listing.pages == 0;
        if is_first {
            self.strategy = Strategy::Baseline { from: now.checked_sub_signed(window::ZONES) };
            self.list_again();
        }
        is_first
    }

    /// What `${since}` stands for in the listing that begins now; `None`: from the beginning.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        // `None` is the smallest.
        self.wanted_since().max(self.oldest)
    }

    /// Why the list is read without the token of an earlier poll.
    pub fn tokenless(&self) -> Option<Tokenless> {
        self.tokenless
    }

    /// Whether the list was begun again since the place of a next page was no longer accepted.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Why the poll could not continue where the last one ended.
    pub fn gap(&self) -> Option<Gap> {
        if let Some(why) = self.tokenless {
            let begins_anywhere = self.plan.feed.is_some() || self.plan.delta.as_ref().is_some_and(DeltaPlan::has_first);
            return match (begins_anywhere, self.listing.shows_known) {
                (true, false) => Some(Gap::ChangesMissed(why)),
                // A feed that still has an event that is known has all those behind it, and each deletion is one of them.
                (true, true) if self.plan.feed.is_some() => None,
                _ => Some(Gap::ReadWhole(why)),
            };
        }
        let last = self.start.filter(|_| self.strategy != Strategy::Delta);
        last.zip(self.oldest).filter(|(last, oldest)| last < oldest).map(|_| Gap::OutOfReach)
    }
}
