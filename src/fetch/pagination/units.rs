//! Whether an offset counts rows, and a page number pages: with the two swapped, a listing passes most rows by, or reads each of them once
//! for each row of a page. Pure.

use super::problems::{counts_pages_not_rows, counts_rows_not_pages};
use super::{Extent, Heard, Pager};
use crate::api::conditions::Problem;
use crate::fetch::evidence::{counts_pages, counts_rows};
use crate::plan::PaginationPlan;

/// Whether pages are asked for by a number that counts rows, by the name of its parameter.
pub fn may_count_rows(pagination: &PaginationPlan) -> bool {
    matches!(pagination, PaginationPlan::Page { parameter, .. } if counts_rows(parameter))
}

impl Pager {
    /// Looks for an answer that repeats the number that was asked for as one of the other kind, where it cannot be both.
    pub(super) fn check_units(&self, heard: &Heard<'_>) -> Result<(), Problem> {
        let Heard { said, reach, .. } = heard;
        if self.is_detected() || self.pages < 2 || reach.rows == 0 {
            return Ok(());
        }
        match &self.pagination {
            // Pages that are longer than a row have smaller numbers than offsets.
            PaginationPlan::Offset { parameter, .. }
                if said.page() == Some(self.number) && self.number > u64::from(self.pages) && said.start().is_none() =>
            {
                Err(counts_pages_not_rows(parameter))
            }
            // No page begins within the rows that were read before.
            PaginationPlan::Page { parameter, .. }
                if said.start() == Some(self.number) && self.number < self.rows - reach.rows && said.page().is_none() =>
            {
                Err(counts_rows_not_pages(parameter))
            }
            _ => Ok(()),
        }
    }

    /// The end of a whole list that was read by offset. A total may count rows that are hidden; where the name of the parameter says that it
    /// counts pages, most of them were passed by.
    pub(super) fn check_offsets(&self, heard: &Heard<'_>) -> Result<(), Problem> {
        let PaginationPlan::Offset { parameter, .. } = &self.pagination else { return Ok(()) };
        let is_short = heard.said.total().is_some_and(|total| total > self.rows);
        let is_declared = !self.is_detected() && self.pages > 1 && self.extent == Extent::Whole;
        if is_declared && is_short && counts_pages(parameter) { Err(counts_pages_not_rows(parameter)) } else { Ok(()) }
    }
}
