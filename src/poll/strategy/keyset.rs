//! Lists without pages, which are asked for again from the greatest date of each page: whether a page that shows nothing later is the last
//! one. Pure.
//!
//! A provider may give fewer rows a page than it is asked for. Then a whole page of one date looks like the end of the list. Two things show
//! that it may be none: the page is as long as those behind which others followed, or the list has rows behind that date when it is asked for
//! from there. That is asked for only where no page was longer.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Next, PageFacts, PollMachine};
use crate::detect::window::{self, Undelivered};
use crate::plan::PaginationPlan;

/// Pages of one length, and none longer, behind which others followed: a page has no more rows. Rows that are added while the list is read
/// seldom look like that.
const ENOUGH: u32 = 3;

/// How long pages may be, as far as they have shown it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageLengths {
    /// Most rows of a page.
    longest: usize,
    /// Pages have no more rows.
    is_most: bool,
}

/// What the pages of a poll have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keyset {
    lengths: PageLengths,
    /// Longest pages behind which others followed.
    followed: u32,
    asked: Asked,
    unreachable: Option<Unreachable>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
enum Asked {
    /// What is dated at or after the greatest date of the page before, from a unit of the request's bound before it.
    #[default]
    Next,
    /// The last page is as long as a page may be and has earlier rows, too: from its greatest date on.
    At(DateTime<Utc>),
    /// It has that date alone: what is behind it.
    Behind(DateTime<Utc>),
}

/// Why the records behind a page cannot be reached by date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// A page has all rows that are asked for, and they have one date.
    FullPage,
    /// It has fewer, and the provider gives no more.
    ShortenedPage,
}

impl PollMachine<'_> {
    /// Continues from what earlier polls showed.
    pub fn follow_lengths(&mut self, lengths: PageLengths) {
        self.keyset.lengths = lengths;
    }

    /// How long pages may be, for the next poll.
    pub fn page_lengths(&self) -> PageLengths {
        self.keyset.lengths
    }

    /// Why the rest of the list cannot be reached by date.
    pub fn unreachable(&self) -> Option<Unreachable> {
        self.keyset.unreachable
    }

    pub(super) fn is_keyset(&self) -> bool {
        matches!(self.plan.pagination, PaginationPlan::Keyset { .. })
    }

    /// What follows a page of a list of which each page is asked for by date. `passes`: it shows something later than was asked for.
    pub(super) fn continue_by_date(&mut self, facts: &PageFacts, passes: bool) -> Next {
        let passes = match self.keyset.asked {
            Asked::Next => passes,
            Asked::At(last) | Asked::Behind(last) => facts.greatest > Some(last),
        };
        self.note_length(facts.rows, passes);
        match self.keyset.asked {
            _ if self.listing.undelivered != Undelivered::None => Next::Page,
            Asked::Behind(_) if passes => {
                self.keyset.unreachable = Some(Unreachable::ShortenedPage);
                Next::Page
            }
            Asked::Next | Asked::At(_) if passes => {
                self.keyset.asked = Asked::Next;
                self.move_on(facts)
            }
            asked => self.last_page(asked, facts),
        }
    }

    fn note_length(&mut self, rows: usize, passes: bool) {
        let Keyset { lengths, followed, .. } = &mut self.keyset;
        if rows > lengths.longest {
            *lengths = PageLengths { longest: rows, is_most: false };
            *followed = 0;
        }
        *followed += u32::from(passes && rows == lengths.longest);
        lengths.is_most |= *followed >= ENOUGH;
    }

    /// What follows a page that shows nothing later than what was asked for.
    fn last_page(&mut self, asked: Asked, facts: &PageFacts) -> Next {
        let lengths = self.keyset.lengths;
        let is_full = self.plan.page_size.is_some_and(|size| facts.rows >= size as usize);
        // No provider gives one row a page.
        let may_be_full = is_full || (facts.rows > 1 && facts.rows >= lengths.longest);
        if !may_be_full || matches!(asked, Asked::Behind(_)) {
            return Next::Page;
        }
        // What is dated ahead of the clock may fill the page.
        let last = facts.greatest.filter(|_| facts.seen.ahead == 0);
        let (next, since) = match (asked, last) {
            (Asked::Next, Some(last)) if facts.least < Some(last) => (Asked::At(last), self.since_for(last, 1)),
            (_, Some(last)) if !is_full && !lengths.is_most => (Asked::Behind(last), self.since_for(last, 2)),
            _ => (asked, None),
        };
        if since.is_some() {
            (self.keyset.asked, self.moved_on) = (next, since);
            return self.list_again();
        }
        if is_full || lengths.is_most {
            self.keyset.unreachable = Some(if is_full { Unreachable::FullPage } else { Unreachable::ShortenedPage });
        }
        Next::Page
    }

    /// What `${since}` stands for where the bound of the request is to lie less than this number of its units behind a date: it is written up to
    /// two units early.
    fn since_for(&self, last: DateTime<Utc>, units: i32) -> Option<DateTime<Utc>> {
        let unit = self.plan.request.since(window::granule(self.plan))?.unit;
        last.checked_add_signed(TimeDelta::from_std(unit).ok()?.checked_mul(units)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Input, PollEnd};
    use super::*;
    use crate::detect::classify::Mode;
    use crate::detect::seen::Seen;
    use crate::plan::{Order, ResourcePlan, sample};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn plan(page_size: u32) -> ResourcePlan {
        let pagination = PaginationPlan::Keyset { size_parameter: None };
        ResourcePlan { order: Order::Ascending, page_size: Some(page_size), pagination, ..sample::resource() }
    }

    /// Reads a list of these dates, of which the provider shows `most` at a time. Answers which rows were seen, the requests, and what cannot be
    /// reached.
    fn read(dates: &[i64], most: usize, lengths: PageLengths) -> (usize, u32, Option<Unreachable>) {
        let plan = plan(100);
        let mut poll = PollMachine::new(&plan, Mode::FirstRead, None);
        poll.follow_lengths(lengths);
        let (mut seen, mut requests) = (std::collections::BTreeSet::new(), 0);
        while requests < 1_000 {
            // The bound is written a second early, and is inclusive.
            let from = poll.since().map_or(i64::MIN, |since| (since - at(0)).num_seconds() - 1);
            let page: Vec<_> = dates.iter().enumerate().filter(|(_, date)| **date >= from).take(most).collect();
            seen.extend(page.iter().map(|(row, _)| *row));
            requests += 1;
            let dates = || page.iter().map(|(_, date)| at(**date));
            let facts = PageFacts {
                tried: 0,
                undelivered: Undelivered::None,
                has_next: true,
                provider_date: None,
                seen: Seen::default(),
                has_news: true,
                remembered: false,
                least: dates().min(),
                greatest: dates().max(),
                ids: 0,
                rows: page.len(),
            };
            if poll.next(Input::Page(facts)) == Next::Page {
                let end = poll.next(Input::End);
                assert_eq!(end, Next::Done(PollEnd::Complete { settled: true }));
                return (seen.len(), requests, poll.unreachable());
            }
        }
        panic!("no end");
    }

    const SHORTENED: Option<Unreachable> = Some(Unreachable::ShortenedPage);

    #[test]
    fn a_page_of_one_date_that_is_shorter_than_asked_for_may_hide_others() {
        let new = PageLengths::default();
        let hidden = |dates: &[i64], most| read(dates, most, new).2;
        assert_eq!(hidden(&[1, 1, 1, 2, 2, 2, 2, 2, 9], 5), SHORTENED, "the list goes on behind it");
        assert_eq!(hidden(&[1, 1, 1, 1, 1, 1, 9], 5), SHORTENED);
        assert_eq!(hidden(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 20, 20, 20], 3), SHORTENED, "pages have no more rows");
        assert_eq!(read(&[1, 2, 3, 4, 5, 6, 7], 3, new), (7, 6, None));
        assert_eq!(read(&[1, 1, 1, 2, 2, 9], 4, new).2, None, "the bound is inclusive, and asked for exactly");
        assert_eq!(read(&[1, 1, 2, 2, 2, 9], 100, new).2, None);
    }

    #[test]
    fn what_is_behind_the_last_date_is_asked_for_only_where_no_page_was_longer() {
        let new = PageLengths::default();
        let requests = |dates: &[i64], lengths| read(dates, 100, lengths).1;
        assert_eq!(requests(&[], new), 1);
        assert_eq!(requests(&[1], new), 2, "no provider gives one row a page");
        assert_eq!(requests(&[1, 5], new), 2, "the first page was longer");
        assert_eq!(requests(&[1, 1], new), 3);
        assert_eq!(requests(&[1, 1], PageLengths { longest: 3, is_most: false }), 2);
    }

    #[test]
    fn as_many_rows_of_one_date_as_are_asked_for_may_hide_others() {
        let dates = vec![1; 100];
        assert_eq!(read(&dates, 100, PageLengths::default()).2, Some(Unreachable::FullPage));
        assert_eq!(read(&dates[1..], 100, PageLengths::default()).2, None);
    }

    proptest! {
        #[test]
        fn all_is_read_or_said(mut dates in prop::collection::vec(0i64..12, 0..40), most in 2usize..8) {
            dates.sort_unstable();
            let (seen, _, unreachable) = read(&dates, most, PageLengths::default());
            let newest = dates.last().copied().unwrap_or_default();
            // Of the last date alone nothing shows how many there are, until others come or pages have shown how long they are.
            let hides_newest = dates.iter().filter(|date| **date == newest).count() > most;
            prop_assert!(seen == dates.len() || unreachable.is_some() || hides_newest, "{dates:?} {most} {seen}");
        }
    }
}
