//! A list of which the provider shows no more than a number of records is read in parts, oldest first. Pure.
//!
//! ```text
//!   lower bound                                                 end of the list
//!       |------------------------------------------------------------|   cut off: more than the cap
//!       |-----------------------|- - - - - - - - - - - - - - - - - - |   cut off again
//!       |-----------|- - - - - -|- - - - - - - - - - - - - - - - - - |   read to its end: the cursor moves on
//!                   |-----------|- - - - - - - - - - - - - - - - - - |   ... and so on, to the end of the list
//! ```
//!
//! A part that is cut off is divided where half of what it showed lies, or in the middle of its time: by turns, so that neither dates that
//! lie close together nor long times without any cost many listings. One that cannot be divided has more records of one date than the
//! provider lists. What it showed is delivered, and the parts behind it are read; but the cursor stays before it, so that every poll reads
//! it again, until the provider shows the rest.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Next, PollEnd, PollMachine, Strategy};
use crate::detect::detector::Ending;
use crate::detect::window::{self, Undelivered};
use crate::fetch::pagination::MAX_PAGES;
use crate::plan::ResourcePlan;

/// The parts of a list, while one of them is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Where the list ends.
    end: DateTime<Utc>,
    /// Where the part under way ends, and before it where those behind it do. Empty: what is left of the list is one part.
    ends: Vec<DateTime<Utc>>,
    /// The middle date of each page of the listing under way.
    middles: Vec<DateTime<Utc>>,
    /// What the parts that were read did not deliver.
    undelivered: Undelivered,
    /// A part held not still while it was read.
    unsettled: bool,
    /// Greatest date of the parts that were read.
    greatest: Option<DateTime<Utc>>,
    /// Where the first part begins that has more records of one date than the provider lists.
    unread_from: Option<DateTime<Utc>>,
    /// How many such parts there are.
    crowded: u32,
}

impl Parts {
    pub(super) fn note(&mut self, least: Option<DateTime<Utc>>, greatest: Option<DateTime<Utc>>) {
        if let Some((least, greatest)) = least.zip(greatest) {
            self.middles.push(least + (greatest - least) / 2);
        }
    }

    pub(super) fn begin_listing(&mut self) {
        self.middles.clear();
    }

    /// What cannot be read.
    fn unread(&self) -> Undelivered {
        self.unread_from.map_or(Undelivered::None, Undelivered::Since)
    }

    /// Divides the part under way, which begins at `from`. Answers whether it could.
    fn divide(&mut self, plan: &ResourcePlan, from: DateTime<Utc>) -> bool {
        let end = self.ends.last().copied().unwrap_or(self.end);
        let whole = plan.shown_until(end);
        let fits = |at: &DateTime<Utc>| (from + TimeDelta::nanoseconds(1)..whole).contains(&plan.shown_until(*at));
        self.middles.sort_unstable();
        let shown = self.middles.get(self.middles.len() / 2).copied();
        let in_the_middle = from + (end - from) / 2;
        // A part of one unit has a whole one before it and one behind it, where the provider takes both bounds in.
        let unit = TimeDelta::from_std(plan.unit_of_parts()).unwrap_or(TimeDelta::MAX);
        let least =
            std::iter::successors(Some(unit), |step| step.checked_mul(2)).map_while(|step| from.checked_add_signed(step));
        let least = || least.take_while(|at| *at < end).find(fits);
        let wanted =
            if self.ends.len().is_multiple_of(2) { [shown, Some(in_the_middle)] } else { [Some(in_the_middle), shown] };
        let at = wanted.into_iter().flatten().find(fits).or_else(least);
        self.ends.extend(at);
        at.is_some()
    }

    /// The part under way was read. Answers where the next one begins.
    fn next(&mut self, plan: &ResourcePlan) -> Option<DateTime<Utc>> {
        self.ends.pop().map(|end| plan.shown_until(end))
    }
}

impl PollMachine<'_> {
    /// The poll began at `now`.
    #[must_use]
    pub fn read_at(mut self, now: DateTime<Utc>) -> Self {
        self.parts.end = self.plan.end_of_list(now);
        self.oldest = self.plan.oldest(now);
        self.began = Some(now);
        self
    }

    /// Where the part of the list ends that is asked for; `None`: where the list does.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.parts.ends.last().copied()
    }

    /// Parts that have more records of one date than the provider lists.
    pub fn unread_parts(&self) -> u32 {
        self.parts.crowded
    }

    /// What the poll did not deliver.
    pub fn undelivered(&self) -> Undelivered {
        self.listing.undelivered.with(self.parts.undelivered)
    }

    /// Rows that moved hid nothing from the last listing: it had one page, or shows what the one before it showed. A pass over several
    /// pages that brought nothing proves nothing by itself.
    pub fn is_confirmed(&self) -> bool {
        self.listing.pages <= 1 || self.listings > 1
    }

    /// How the poll ended, for the detector.
    pub fn ending(&self) -> Ending {
        match self.strategy {
            Strategy::Baseline { from } => Ending { undelivered: self.undelivered(), baseline_from: from },
            // What cannot be read holds the cursor as what was not taken does.
            _ => Ending { undelivered: self.undelivered().with(self.parts.unread()), baseline_from: None },
        }
    }

    /// The listing was cut off.
    pub(super) fn divide(&mut self) -> Next {
        if self.strategy == Strategy::AdvancePerPage {
            // It is cut off inside one date, which only a part of the list leaves behind.
            self.strategy = Strategy::UntilQuiet;
        }
        let from = self.since().unwrap_or(DateTime::UNIX_EPOCH);
        if self.parts.divide(self.plan, from) {
            self.listings = 0;
            return self.list_again();
        }
        self.parts.unread_from.get_or_insert(from);
        self.parts.crowded += 1;
        self.end_part(true)
    }

    /// The part under way was read as far as it can be.
    pub(super) fn end_part(&mut self, settled: bool) -> Next {
        self.parts.undelivered = self.undelivered();
        self.parts.unsettled |= !settled;
        self.parts.greatest = self.parts.greatest.max(self.listing.greatest);
        let is_baseline = matches!(self.strategy, Strategy::Baseline { .. });
        let settled = !self.parts.unsettled;
        let Some(next) = self.parts.next(self.plan) else { return Next::Done(PollEnd::Complete { settled }) };
        // A baseline that is broken off begins again.
        if settled && !is_baseline {
            let undelivered = self.undelivered().with(self.parts.unread());
            self.cursor = window::next_cursor(self.cursor, self.parts.greatest, undelivered);
        }
        (self.moved_on, self.listings) = (Some(next), 0);
        if self.pages >= MAX_PAGES {
            return Next::Done(PollEnd::OutOfPages);
        }
        self.list_again();
        Next::Part
    }
}
