//! Pages that show again what earlier pages of the listing have. Rows that are added while a list is read shift others to the next page,
//! which hides none. A provider that sorts each page for itself, by something that several rows have in common, shows some rows twice and
//! others never: each page is right, and no page is missing. Two passes distinguish the two. Pure.

use super::{PollMachine, Strategy};

/// What the listings of a poll, and the last one of the poll before, showed of that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overlaps {
    /// Hash of the ids of the last listing whose pages overlapped, in their order.
    before: Option<u64>,
    /// Listings that brought nothing, and yet had pages that overlapped.
    quiet: u32,
    /// Two passes showed the same rows, some of them twice.
    are_same: bool,
}

impl PollMachine<'_> {
    /// Continues from what the last listing of the poll before showed.
    pub fn follow_overlaps(&mut self, before: Option<u64>) {
        self.overlaps.before = before;
    }

    /// What the last listing showed, for the next poll.
    pub fn overlaps(&self) -> Option<u64> {
        self.overlaps.before
    }

    /// Pages overlap although nothing changed while they were read: the list may hide records.
    pub fn is_order_unstable(&self) -> bool {
        self.overlaps.are_same || self.overlaps.quiet > 1
    }

    /// The list was read to its end. Answers whether nothing is to be learned from another pass about pages that overlap: there are none,
    /// or they are the same as before. What was hidden by rows that were added turns up in the next pass, and a list that is shuffled at
    /// each look shows more with every pass.
    pub(super) fn are_overlaps_explained(&mut self, brought: bool) -> bool {
        let is_one = matches!(self.strategy, Strategy::Delta | Strategy::Sweep);
        if is_one || !self.listing.has_overlaps {
            // Of several parts of the list, one is enough to say so.
            self.overlaps = Overlaps { are_same: self.overlaps.are_same, ..Overlaps::default() };
            return true;
        }
        let ids = self.listing.ids;
        let are_same = self.overlaps.before.replace(ids) == Some(ids);
        self.overlaps.quiet += u32::from(!brought);
        self.overlaps.are_same |= are_same;
        are_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::classify::Mode;
    use crate::detect::seen::Seen;
    use crate::detect::window::Undelivered;
    use crate::plan::sample;
    use crate::poll::strategy::{Input, Next, PageFacts, PollEnd};

    /// One listing of two pages.
    #[derive(Clone, Copy)]
    struct Pass {
        tried: usize,
        /// Rows of the first page that the second one has, too.
        again: u64,
        /// Ids that a page has twice.
        repeated: u64,
        ids: u64,
    }

    const QUIET: Pass = Pass { tried: 0, again: 0, repeated: 0, ids: 7 };

    /// Whether the cursor may move at the end, whether the order is unstable, and how many listings it took.
    fn read(before: Option<u64>, passes: impl IntoIterator<Item = Pass>) -> (Option<bool>, bool, usize) {
        let plan = sample::resource();
        let mut poll = PollMachine::new(&plan, Mode::Usual, None);
        poll.follow_overlaps(before);
        let mut count = 0;
        for Pass { tried, again, repeated, ids } in passes {
            count += 1;
            for shown_again in [0, again] {
                let seen = Seen { shown_again, repeated_ids: repeated, ..Seen::default() };
                let facts = PageFacts {
                    tried,
                    undelivered: Undelivered::None,
                    has_next: true,
                    provider_date: None,
                    seen,
                    has_news: false,
                    remembered: false,
                    least: None,
                    greatest: None,
                    ids,
                    rows: 1,
                };
                assert_eq!(poll.next(Input::Page(facts)), Next::Page);
            }
            if let Next::Done(PollEnd::Complete { settled }) = poll.next(Input::End) {
                return (Some(settled), poll.is_order_unstable(), count);
            }
        }
        (None, poll.is_order_unstable(), count)
    }

    #[test]
    fn the_same_rows_twice_in_two_passes_show_that_nothing_was_added() {
        let overlaps = Pass { again: 2, ..QUIET };
        assert_eq!(read(None, [QUIET]), (Some(true), false, 1));
        assert_eq!(read(None, [overlaps; 9]), (Some(true), true, 2), "another pass would show the same");
        let new = Pass { tried: 3, ..overlaps };
        assert_eq!(read(None, [new, overlaps, overlaps]), (Some(true), true, 2));
        let repeated = Pass { repeated: 1, ..overlaps };
        assert_eq!(read(None, [repeated; 3]), (Some(true), false, 1), "such a list has an id several times");
    }

    #[test]
    fn rows_that_are_added_meanwhile_shift_others_and_are_no_fault() {
        let shifted = Pass { again: 1, ids: 1, ..QUIET };
        let after = Pass { tried: 1, ids: 2, ..QUIET };
        assert_eq!(read(None, [shifted, after, Pass { ids: 2, ..QUIET }]), (Some(true), false, 3));
        assert_eq!(read(None, [shifted, QUIET]), (Some(true), false, 2));
    }

    #[test]
    fn what_is_shuffled_at_each_look_holds_the_cursor() {
        let shuffled = (0..9).map(|ids| Pass { again: 1, ids, ..QUIET });
        assert_eq!(read(None, shuffled), (Some(false), true, 8));
    }

    #[test]
    fn what_the_poll_before_showed_need_not_be_shown_again() {
        let overlaps = Pass { again: 2, ..QUIET };
        let plan = sample::resource();
        let mut poll = PollMachine::new(&plan, Mode::Usual, None);
        poll.listing.has_overlaps = true;
        poll.listing.ids = poll.listing.ids.rotate_left(1) ^ overlaps.ids;
        poll.listing.ids = poll.listing.ids.rotate_left(1) ^ overlaps.ids;
        assert!(!poll.are_overlaps_explained(false));
        assert_eq!(read(poll.overlaps(), [overlaps]), (Some(true), true, 1));
    }
}
