//! After each page of an ascending list: whether it is asked for again from there. Pure.

use chrono::{DateTime, Utc};

use super::{Next, PageFacts, PollEnd, PollMachine, Strategy};
use crate::detect::window::{self, Undelivered};
use crate::fetch::pagination::MAX_PAGES;

impl PollMachine<'_> {
    pub(super) fn advance(&mut self, facts: &PageFacts) -> Next {
        if facts.seen.disorder {
            // The order was trusted too early: all of it is read from where this poll began. What was delivered is known.
            self.strategy = Strategy::UntilQuiet;
            let went = self.moved_on.take().is_some();
            self.cursor = self.start;
            return if went { self.list_again() } else { Next::Page };
        }
        if self.listing.pages == 1 && self.ignores_filter(facts.least) {
            // Asking again from a later date is in vain: the rest is paged through.
            (self.strategy, self.moved_on) = (Strategy::UntilQuiet, None);
            return Next::Page;
        }
        let passes = facts.greatest > self.since();
        if self.is_keyset() {
            return self.continue_by_date(facts, passes);
        }
        if !passes || !facts.has_next || self.listing.undelivered != Undelivered::None {
            return Next::Page;
        }
        // A row that leaves an earlier page moves the first of the next one there, where it is not read.
        let may_have_slipped = self.listing.pages > 1 && self.ids_before != Some(self.listing.ids);
        self.ids_before = may_have_slipped.then_some(self.listing.ids);
        if may_have_slipped { self.ask_again() } else { self.move_on(facts) }
    }

    /// The list is asked for again from the greatest date of a page.
    pub(super) fn move_on(&mut self, facts: &PageFacts) -> Next {
        self.moved_on = facts.greatest;
        self.cursor = self.cursor.max(facts.greatest);
        self.ask_again()
    }

    fn ask_again(&mut self) -> Next {
        if self.pages >= MAX_PAGES { Next::Done(PollEnd::OutOfPages) } else { self.list_again() }
    }

    /// Whether a page that was asked for again shows what lies clearly before it.
    fn ignores_filter(&self, least: Option<DateTime<Utc>>) -> bool {
        let Some((asked, least)) = self.moved_on.zip(least) else { return false };
        // The bound is written one unit early, and up to two where the macro is coarser than the dates.
        let granule = window::granule(self.plan);
        let unit = self.plan.request.since(granule).map_or(granule, |since| since.unit.max(granule));
        let early = window::earliest_reading(self.plan, window::before(asked, unit));
        least < window::before(early, unit)
    }
}
