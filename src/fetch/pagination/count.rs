//! Counting on: offsets and page numbers. Pure.

use super::problems::{lacks_a_page, too_many_empty};
use super::{Extent, Heard, MAX_EMPTY, MAX_EMPTY_BY_TOTAL, Pager, Position, Spot};
use crate::api::conditions::Problem;
use crate::fetch::evidence::{Evidence, To};
use crate::plan::PaginationPlan;

impl Pager {
    /// Rows that a page has with its hidden ones. A size that merely repeats what was asked for is believed once a page was as long: many
    /// providers shorten pages silently.
    pub(super) fn page_length(&self, said: &Evidence, rows: u64) -> u64 {
        match said.size().filter(|size| *size >= rows) {
            Some(size) if self.requested != Some(size) || self.longest >= size => size,
            Some(_) => self.longest,
            None => self.requested.filter(|size| *size == self.longest).unwrap_or(self.longest),
        }
    }

    /// How far an offset moves after this page, and whether that is as far as a page may be long.
    pub(super) fn step(&self, said: &Evidence, rows: u64) -> (u64, bool) {
        let named =
            said.leads().iter().filter(|lead| lead.sure && lead.in_pages == Some(false)).find_map(|lead| match lead.to {
                To::Position(next) => next.checked_sub(self.number).filter(|step| *step > 0),
                _ => None,
            });
        if let Some(step) = named {
            return (step, true);
        }
        let size = said.size().filter(|size| *size >= rows);
        let known = match size {
            Some(size) => (self.requested != Some(size) || self.longest >= size).then_some(size),
            None => self.requested.filter(|size| *size == self.longest),
        };
        match known {
            Some(size) => (size, true),
            // Moving by the rows that are there may read some twice; moving farther might pass some.
            None if rows > 0 => (rows, false),
            None => (
                [self.longest, size.unwrap_or(0), self.requested.unwrap_or(0), 1].into_iter().find(|n| *n > 0).unwrap_or(1),
                true,
            ),
        }
    }

    /// The next offset or page number.
    pub(super) fn count_on(&mut self, heard: &Heard<'_>) -> Result<Option<Position>, Problem> {
        let Heard { answer, said, reach, repeated, repeats_first, .. } = heard;
        let more = said.more(reach);
        let was_probing = std::mem::replace(&mut self.spot, Spot::BeforeTheEnd) == Spot::BehindTheEnd;
        if *repeated {
            // The first page in the place of the second is one that was not asked for, though it says that the list ends: a page was promised.
            let is_unasked = more == Some(false) && *repeats_first && self.pages == 2;
            if was_probing || (more == Some(false) && !is_unasked) || (!repeats_first && self.was_clamped(said)) {
                return Ok(None);
            }
            if !self.cautious || more.is_none() || is_unasked {
                return Err(self.same_page());
            }
        }
        let goes_on = match more {
            Some(more) if answer.record_count > 0 => more,
            Some(more) => more && self.goes_on_when_empty(heard)?,
            None => answer.record_count > 0 && Some(answer.record_count) >= self.first_count,
        };
        if !goes_on {
            // A count may be older than the last rows. That is asked only where a page is full, so hardly ever when nothing changed.
            let may_be_old = more == Some(false) && reach.is_full && said.only_counts();
            // Where nothing is counted, rows that are hidden make a page in the middle shorter than the first one, and rows that are shown
            // on top of it make the first one longer than all others. Only a page without rows is the end.
            let may_be_short = more.is_none() && answer.record_count > 0 && self.pages > 1;
            if *repeated || !(may_be_old || may_be_short) {
                return Ok(None);
            }
            self.spot = Spot::BehindTheEnd;
        }
        let (step, is_whole) = match self.pagination {
            PaginationPlan::Page { .. } => (1, true),
            // A short step that led to the same rows, since those between are hidden: now a long one.
            _ if *repeated => (said.size().or(self.requested).unwrap_or(self.longest).max(self.longest), true),
            _ => self.step(said, reach.rows),
        };
        self.cautious = !is_whole;
        let next = self.number.saturating_add(step);
        if next == self.number {
            return Ok(None);
        }
        self.number = next;
        Ok(self.numbered())
    }

    /// Whether the answer says that it is of an earlier place than was asked for: there is none so far behind.
    fn was_clamped(&self, said: &Evidence) -> bool {
        match self.pagination {
            PaginationPlan::Page { .. } => {
                let asked = (self.number - self.first_number).saturating_add(self.first_page.unwrap_or(self.first_number));
                said.page().is_some_and(|page| page < asked)
            }
            _ => said.start().is_some_and(|start| start < self.number),
        }
    }

    /// The end of the listing, unless it began behind the first page: some providers count pages from 0, and where no response numbers its
    /// page, only the total shows it. Pages that hide rows are shorter than others and prove nothing.
    pub(super) fn end(&self, heard: &Heard<'_>) -> Result<Option<Position>, Problem> {
        self.check_offsets(heard)?;
        let Heard { said, reach, .. } = heard;
        let is_assumed = matches!(self.pagination, PaginationPlan::Page { first: None, .. }) && self.first_page.is_none();
        let (Some(total), true) = (said.total(), is_assumed) else { return Ok(None) };
        let lacks_one = match self.rows {
            0 => self.extent == Extent::Whole && total > 0 && said.size().or(self.requested).is_some_and(|size| total <= size),
            rows => {
                let length = self.page_length(said, reach.rows);
                rows.saturating_add(length) == total && self.shortest >= length
            }
        };
        if lacks_one { Err(lacks_a_page()) } else { Ok(None) }
    }

    fn goes_on_when_empty(&self, heard: &Heard<'_>) -> Result<bool, Problem> {
        let certain = heard.said.flag() == Some(true) || heard.said.pages_say(&heard.reach) == Some(true);
        match certain {
            true if self.empty > MAX_EMPTY => Err(too_many_empty()),
            true => Ok(true),
            false => Ok(self.empty <= self.hopeless_after(heard)),
        }
    }

    /// Empty pages that are read although nothing but a link or a total says that more follows: some providers link to a next page from
    /// each one, also from the last. A total of nothing may count the rows of its page, so that two pages must say it.
    fn hopeless_after(&self, heard: &Heard<'_>) -> u32 {
        match self.believed_after(heard) {
            Some(empty) => empty,
            None if heard.said.total() == Some(0) && self.rows == 0 => 1,
            None => MAX_EMPTY_BY_TOTAL,
        }
    }

    /// Whether a total ends the list: pages without rows count exactly those that were read, and nothing but a link leads on.
    pub(super) fn counts_all(&self, heard: &Heard<'_>) -> bool {
        self.believed_after(heard).is_some_and(|empty| self.empty > empty)
    }

    /// Empty pages in addition to this one after which its total is believed; `None`: it counts something else.
    fn believed_after(&self, heard: &Heard<'_>) -> Option<u32> {
        let Heard { said, reach, .. } = heard;
        let is_bare = reach.rows == 0 && said.flag().is_none() && said.pages_say(reach) != Some(true);
        let total = said.total().filter(|total| is_bare && *total > 0 && *total == self.rows)?;
        match self.requested {
            // It may be an echo of the size of a page that was asked for.
            Some(size) if size == total => None,
            // Or of the size that the provider has by itself.
            None if total == self.longest => Some(1),
            Some(_) | None => Some(0),
        }
    }

    pub(super) fn numbered(&self) -> Option<Position> {
        let (PaginationPlan::Offset { parameter, size_parameter } | PaginationPlan::Page { parameter, size_parameter, .. }) =
            &self.pagination
        else {
            return None;
        };
        let mut pairs = vec![(parameter.to_owned(), self.number.to_string())];
        if let (Some(name), Some(size)) = (size_parameter, self.page_size) {
            pairs.push((name.to_owned(), size.to_string()));
        }
        Some(Position::Query(pairs))
    }
}
