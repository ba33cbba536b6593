//! Lists without pages, which are asked for again from the date of the last record.

use super::Poll;
use crate::api::conditions::{Problem, Reason};
use crate::plan::PaginationPlan;
use crate::poll::strategy::{Next, Strategy};

impl Poll<'_> {
    pub(super) fn is_keyset(&self) -> bool {
        matches!(self.resource.pagination, PaginationPlan::Keyset { .. })
    }

    /// Checks that the rest of the list can be asked for by date. `next` is what follows a page of `page_len` records.
    pub(super) fn check_keyset(&self, next: Next, page_len: usize) -> Result<(), Problem> {
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
        let is_full = self.resource.page_size.is_some_and(|size| page_len >= size as usize);
        if next == Next::Page && is_full && !self.machine.has_undelivered() {
            return Err(Problem::human(Reason::PaginationUnclear, unreachable(self.detector.seen().ahead > 0)));
        }
        Ok(())
    }
}

/// Why the records behind a full page cannot be reached. `ahead`: some of the list are dated ahead of the provider's clock, where no cursor goes.
fn unreachable(ahead: bool) -> &'static str {
    if ahead {
        "resources[].pagination.keyset: records dated ahead of the provider's clock fill a whole page, so those behind it cannot be reached by \
         date; correct their dates, or the format or time zone in datesConfiguration, or set another pagination"
    } else {
        "resources[].pagination.keyset: a whole page of records has one date, so those behind it cannot be reached by date; raise pageSize, \
         or set another pagination"
    }
}
