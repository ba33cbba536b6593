//! A first page that is as long as a page may be while nothing says whether more follow: rows behind it may never be read. Pure.
//!
//! Many lists have that length by themselves at some time. So what counts is a size that the request asks for or the answer repeats, and
//! the very number of rows: a list that is longer than what is asked for is not cut by it.

use super::{Heard, Pager};
use crate::fetch::evidence::may_ask_for_size;
use crate::plan::RequestPlan;

/// What a user reads of it.
pub const FULL_PAGE: &str = "pagination: the response has exactly the number of records that the request asks for, or that the response names \
                             as the size of a page, and nothing says whether more follow, so records behind them may never be read: set pagination \
                             to what the provider's documentation says, or to none to read the first page only";

/// Whether the only page of a list is as long as a page may be.
#[derive(Clone, Debug)]
pub(super) struct FullPage {
    /// All numbers of rows that the request may ask for.
    asked: Vec<u64>,
    may_be_cut: bool,
}

impl FullPage {
    /// No page has come yet.
    pub(super) fn of(request: &RequestPlan) -> Self {
        let sizes = request.query.iter().filter(|(name, _)| may_ask_for_size(name));
        let sizes = sizes.filter_map(|(_, value)| value.as_str().parse().ok());
        Self { asked: sizes.filter(|size| *size > 1).collect(), may_be_cut: false }
    }
}

impl Pager {
    /// Notes whether the only page of a list is full, of which nothing leads on.
    pub(super) fn note_full_page(&mut self, heard: &Heard<'_>) {
        let Heard { said, reach, .. } = heard;
        let is_full = self.full_page.asked.contains(&reach.rows) || said.repeats_size(reach.rows);
        self.full_page.may_be_cut = is_full && !said.is_whole(reach);
    }

    /// Whether the list may have rows behind its only page.
    pub fn may_be_cut(&self) -> bool {
        self.full_page.may_be_cut
    }
}
