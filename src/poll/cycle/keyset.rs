//! Lists without pages, which are asked for again from the date of the last record.

use super::Poll;
use crate::api::conditions::{Problem, Reason};
use crate::plan::PaginationPlan;
use crate::poll::strategy::{Next, Strategy, Unreachable};

impl Poll<'_> {
    pub(super) fn is_keyset(&self) -> bool {
        matches!(self.resource.pagination, PaginationPlan::Keyset { .. })
    }

    /// Checks that the rest of the list can be asked for by date. `next` is what follows a page.
    pub(super) fn check_keyset(&self, next: Next) -> Result<(), Problem> {
        if !self.is_keyset() {
            return Ok(());
        }
        if self.machine.strategy() != Strategy::AdvancePerPage {
            return Err(Problem::human(
                Reason::UnorderedResource,
                "resources[].pagination.keyset: the list is not in ascending order of its dates, or does not begin at the date that is \
                 asked for, so its rest cannot be reached by date; ask the provider to sort in query, or set another pagination",
            ));
        }
        match self.machine.unreachable().filter(|_| next == Next::Page) {
            Some(found) => Err(Problem::human(Reason::PaginationUnclear, unreachable(found, self.detector.seen().ahead > 0))),
            None => Ok(()),
        }
    }
}

/// Why the records behind a page cannot be reached. `ahead`: some of the list are dated ahead of the provider's clock, where no cursor goes.
fn unreachable(found: Unreachable, ahead: bool) -> &'static str {
    match found {
        _ if ahead => {
            "resources[].pagination.keyset: records dated ahead of the provider's clock fill a whole page, so those behind it cannot be reached by \
             date; correct their dates, or the format or time zone in datesConfiguration, or set another pagination"
        }
        Unreachable::FullPage => {
            "resources[].pagination.keyset: a whole page of records has one date, so those behind it cannot be reached by date; raise pageSize, \
             or set another pagination"
        }
        Unreachable::ShortenedPage => {
            "resources[].pagination.keyset: the provider gives fewer records a page than pageSize, and a whole page of them has one date, so \
             those behind it cannot be reached by date; set another pagination"
        }
    }
}
