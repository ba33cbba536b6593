//! Polling as a declared machine: in which way a list is read, and after each page what to do next. Pure.
//!
//! A poll reads one or several **listings**: passes over the provider's list, page by page. Rows move while a list is read, so one pass
//! over several pages proves nothing about what it did not show. Each [`Strategy`] says how that is made up for; [`PollMachine::next`] is
//! the one function that moves between them. The cursor of a poll that is under way lives here and nowhere else.

use chrono::{DateTime, Utc};

use crate::detect::classify::Mode;
use crate::detect::seen::Seen;
use crate::detect::window::{self, Undelivered};
use crate::fetch::listing::Attempt;
use crate::plan::{ChangeBy, Order, PaginationPlan, ResourcePlan};
use keyset::Keyset;
use overlaps::Overlaps;
use parts::Parts;

pub use keyset::{PageLengths, Unreachable};
pub use reach::{Gap, Tokenless};

/// A list that spans pages is read again after changes, since rows that move while it is read hide others; at most this often.
const MAX_LISTINGS: u32 = 8;

/// The way in which a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Entered by the first poll of `startFrom: Now` where the list is filtered and records have a created date. Left after one page, which
    /// shows the provider's clock, for [`Strategy::Baseline`] from a little before it; without a `Date`, for the baseline of everything; and
    /// where the provider refuses to list everything, or it is too much, for the baseline from a little before our own clock.
    Clock,
    /// Entered by the first poll of `startFrom: Now`. What is shown is remembered, not sent; a list of several pages is read again until a
    /// pass shows nothing new, or a row that moved would come up as created. Left at the end of the list, which ends the poll.
    Baseline {
        /// The list is asked from here on; `None`: all of it is read.
        from: Option<DateTime<Utc>>,
    },
    /// Entered by every poll that no other strategy fits, and by those that lost their footing. The list is read to its end, again and
    /// again from the same bound, until a pass brings nothing new. Left when it does, or after eight passes.
    UntilQuiet,
    /// Entered for `order: Descending`, unless the content of old records counts, too. As until quiet, but a pass ends where the records
    /// are older than what was asked for.
    NewestFirst,
    /// Entered by the first read of `startFrom: Earliest` with `order: Descending`, and by every poll of such a feed: pages are gathered
    /// and taken from the last one on. As until quiet.
    OldestFirst,
    /// Entered for `order: Ascending` where the request is filtered. After each page whose greatest date passes the cursor the list is
    /// asked for again from there, always for its first page, which nothing can shift. That commits page by page, needs no second pass, and
    /// never comes near a result cap. Inside one date it is paged on, and then once more, until the pages before the last show the same
    /// rows twice: none has left them, which would have let others slip by. Left for until quiet when the order or the filter does not
    /// hold.
    AdvancePerPage,
    /// Entered when all of the list is to be looked through for what it no longer shows, once the poll has ended and its cursor is kept.
    /// The list is read to its end without its bound. What changed meanwhile is sent; the cursor stays. Left at the end of the list:
    /// whether another pass follows is up to [`crate::detect::sweep`].
    Sweep,
    /// Entered by every poll of a list with `delta`. The list is asked for with the token of the last poll, or whole without one, and read
    /// once: the provider lists what changes meanwhile behind the token that the last page has. A token that expired is dropped, and the
    /// list is read whole.
    Delta,
}

/// What came of the last request.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// A page, whose changes were handed to the receiver.
    Page(PageFacts),
    /// The listing has no more pages.
    End,
    /// The first page is the same as at the last poll (304).
    NotModified,
    /// The provider no longer accepts the token of the last poll.
    TokenExpired,
    /// It no longer accepts the token of the next page of a list that continues by token: once, the list is read from the same place again.
    BeginAgain,
    /// The listing has as many records as the provider lists, and there may be more.
    CutOff,
}

/// One page, after its changes were delivered or not.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts {
    /// Changes that were tried.
    pub tried: usize,
    /// What was not delivered.
    pub undelivered: Undelivered,
    /// Another page follows.
    pub has_next: bool,
    /// The provider's clock at the first answer of the poll.
    pub provider_date: Option<DateTime<Utc>>,
    /// What the poll has seen up to this page.
    pub seen: Seen,
    /// A record of the page lay at or after what was asked for.
    pub has_news: bool,
    /// Records were remembered that were not known.
    pub remembered: bool,
    /// Earliest date on the page.
    pub least: Option<DateTime<Utc>>,
    /// Greatest date on the page that is not ahead of the provider's clock.
    pub greatest: Option<DateTime<Utc>>,
    /// Hash of the ids on the page, in their order.
    pub ids: u64,
    /// Its rows, whatever they are.
    pub rows: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for the next page of this listing.
    Page,
    /// Begin another listing, asked from [`PollMachine::since`].
    Listing,
    /// The same, for the next part of the list: this one was read to its end.
    Part,
    /// The poll is over.
    Done(PollEnd),
}

/// How a poll ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// The list was read to its end.
    Complete {
        /// It held still, so that the cursor may move.
        settled: bool,
    },
    /// Nothing was shown, since nothing changed.
    NotModified,
    /// The limit of pages was reached and the rest is left to the next poll; the cursor is where they ended.
    OutOfPages,
}

/// One poll under way.
#[derive(Clone, Debug)]
pub struct PollMachine<'p> {
    plan: &'p ResourcePlan,
    strategy: Strategy,
    /// Where the poll began.
    start: Option<DateTime<Utc>>,
    cursor: Option<DateTime<Utc>>,
    /// Where the list was asked for again from, in the middle of it.
    moved_on: Option<DateTime<Utc>>,
    /// The ids on the pages before the last one when the same was asked for before.
    ids_before: Option<u64>,
    /// With what the list is asked for.
    token: Option<String>,
    tokenless: Option<Tokenless>,
    attempt: Attempt,
    is_quiet: bool,
    listings: u32,
    pages: u32,
    listing: Listing,
    overlaps: Overlaps,
    keyset: Keyset,
    parts: Parts,
    /// The provider shows nothing before it.
    oldest: Option<DateTime<Utc>>,
    /// When the poll began, on our clock.
    began: Option<DateTime<Utc>>,
}

/// The listing under way.
#[derive(Clone, Copy, Debug, Default)]
struct Listing {
    pages: u32,
    tried: usize,
    remembered: bool,
    /// Hash of the ids on the pages before the last one.
    ids: u64,
    /// Pages show again what earlier ones have.
    has_overlaps: bool,
    /// They show a record that was known.
    shows_known: bool,
    /// Held and failed changes turn up again in each listing: the last one counts.
    undelivered: Undelivered,
    /// Greatest date on its pages that is not ahead of the provider's clock.
    greatest: Option<DateTime<Utc>>,
}

impl<'p> PollMachine<'p> {
    /// A poll begins at `cursor`.
    pub fn new(plan: &'p ResourcePlan, mode: Mode, cursor: Option<DateTime<Utc>>) -> Self {
        let by_content = plan.change_by == ChangeBy::Content;
        let strategy = match (mode, plan.order) {
            _ if plan.delta.is_some() => Strategy::Delta,
            // It has one page only, and the next one is asked for by date.
            _ if matches!(plan.pagination, PaginationPlan::Keyset { .. }) => Strategy::AdvancePerPage,
            (Mode::Baseline, _) if window::needs_whole_baseline(plan) => Strategy::Baseline { from: None },
            (Mode::Baseline, _) => Strategy::Clock,
            (Mode::FirstRead, Order::Descending) => Strategy::OldestFirst,
            // Events of one object are sent in the order in which they came.
            (Mode::Usual, Order::Descending) if plan.feed.is_some() => Strategy::OldestFirst,
            (_, Order::Ascending) if plan.request.uses_since() && !by_content => Strategy::AdvancePerPage,
            (Mode::Usual, Order::Descending) if !plan.compare_content => Strategy::NewestFirst,
            _ => Strategy::UntilQuiet,
        };
        Self {
            plan,
            strategy,
            start: cursor,
            cursor,
            moved_on: None,
            ids_before: None,
            token: None,
            tokenless: None,
            attempt: Attempt::First,
            is_quiet: false,
            listings: 0,
            pages: 0,
            listing: Listing::default(),
            overlaps: Overlaps::default(),
            keyset: Keyset::default(),
            parts: Parts::default(),
            oldest: None,
            began: None,
        }
    }

    /// A pass over the whole list begins, with the cursor where it is.
    pub fn sweep(plan: &'p ResourcePlan, cursor: Option<DateTime<Utc>>) -> Self {
        Self { strategy: Strategy::Sweep, ..Self::new(plan, Mode::Usual, cursor) }
    }

    /// The list is read to its end, so that the poll shows all of it.
    pub fn to_the_end(&mut self) {
        if self.strategy == Strategy::NewestFirst {
            self.strategy = Strategy::UntilQuiet;
        }
    }

    /// Rows of the list were out of the declared order: nothing is concluded from it. (Keyset pages cannot do without.)
    pub fn distrust_order(&mut self) {
        if matches!(self.strategy, Strategy::NewestFirst | Strategy::AdvancePerPage) && !self.is_keyset() {
            self.strategy = Strategy::UntilQuiet;
        }
    }

    /// The same, with the token of the last poll, or why there is none.
    #[must_use]
    pub fn with_token(self, token: Result<String, Option<Tokenless>>) -> Self {
        match token {
            Ok(token) => Self { token: Some(token), ..self },
            Err(tokenless) => Self { tokenless, ..self },
        }
    }

    /// It comes after a poll that read the list to its end at `read_at`, on the provider's clock.
    pub fn follow(&mut self, read_at: Option<DateTime<Utc>>) {
        self.is_quiet = window::is_quiet(self.plan, self.start, read_at);
    }

    /// The token with which the listing that begins now is asked for; `None`: all of the list is read.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether there is a change of the listing under way that was not taken.
    pub fn has_undelivered(&self) -> bool {
        self.listing.undelivered != Undelivered::None
    }

    /// The way in which the list is read now.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Where the poll has come to.
    pub fn cursor(&self) -> Option<DateTime<Utc>> {
        self.cursor
    }

    /// Pages of the listing under way.
    pub fn listing_pages(&self) -> u32 {
        self.listing.pages
    }

    /// Nothing was sent or held back in the listing under way.
    pub fn is_clean(&self) -> bool {
        self.listing.tried == 0 && self.listing.undelivered == Undelivered::None
    }

    /// From where the listing that begins now is read; `None`: from the beginning.
    fn wanted_since(&self) -> Option<DateTime<Utc>> {
        match self.strategy {
            Strategy::Clock | Strategy::Sweep | Strategy::Delta => None,
            Strategy::Baseline { from } => self.moved_on.or(from),
            _ if self.is_quiet => self.moved_on.or_else(|| window::asked_when_quiet(self.plan, self.start)),
            _ => self.moved_on.or_else(|| window::asked_from(self.plan, self.start)),
        }
    }

    /// Changes were sent that only the end of the list made certain.
    pub fn note_at_end(&mut self, undelivered: Undelivered) {
        self.listing.undelivered = self.listing.undelivered.with(undelivered);
    }

    /// What is to be done after what just came.
    pub fn next(&mut self, input: Input) -> Next {
        match input {
            Input::NotModified => Next::Done(PollEnd::NotModified),
            Input::TokenExpired => {
                (self.token, self.tokenless) = (None, Some(Tokenless::Expired));
                self.list_again()
            }
            Input::BeginAgain => {
                self.attempt = Attempt::Again;
                let shows_known = self.listing.shows_known;
                let next = self.list_again();
                self.listing.shows_known = shows_known;
                next
            }
            Input::End => self.end(),
            Input::CutOff => self.divide(),
            Input::Page(facts) => {
                self.pages += 1;
                self.listing.pages += 1;
                self.listing.tried += facts.tried;
                self.listing.remembered |= facts.remembered;
                self.listing.undelivered = self.listing.undelivered.with(facts.undelivered);
                self.listing.greatest = self.listing.greatest.max(facts.greatest);
                // What the first attempt announced is known to the second.
                self.listing.shows_known |= facts.seen.known > 0 && self.attempt == Attempt::First;
                self.listing.has_overlaps = facts.seen.has_overlapping_pages();
                self.parts.note(facts.least, facts.greatest);
                let next = match self.strategy {
                    Strategy::Clock => self.clock(&facts),
                    Strategy::NewestFirst => self.newest_first(&facts),
                    Strategy::AdvancePerPage => self.advance(&facts),
                    Strategy::Baseline { .. }
                    | Strategy::UntilQuiet
                    | Strategy::OldestFirst
                    | Strategy::Sweep
                    | Strategy::Delta => Next::Page,
                };
                if next == Next::Page {
                    self.listing.ids = self.listing.ids.rotate_left(1) ^ facts.ids;
                }
                next
            }
        }
    }

    fn clock(&mut self, facts: &PageFacts) -> Next {
        // A record whose date cannot be read can only be distinguished from a new one by having been remembered.
        let date = facts.provider_date.filter(|_| facts.seen.bad_dates == 0);
        // A `Date` that is days ahead of the clock that stamps records would leave all of them out. To begin earlier costs reading alone.
        let date = date.map(|date| self.began.map_or(date, |began| date.min(began)));
        self.strategy = Strategy::Baseline { from: date.and_then(|date| date.checked_sub_signed(window::ZONES)) };
        if date.is_some() { self.list_again() } else { Next::Page }
    }

    fn newest_first(&mut self, facts: &PageFacts) -> Next {
        let Seen { reached_lower, disorder, .. } = facts.seen;
        // Pinned rows may stand before the newest, so the first old row is not believed: a whole page of old rows behind the first page is.
        let believed = !facts.has_news && self.listing.pages > 1;
        if reached_lower && believed && !disorder { self.end() } else { Next::Page }
    }

    fn end(&mut self) -> Next {
        self.listings += 1;
        let Listing { tried, remembered, .. } = self.listing;
        let brought = tried > 0 || remembered;
        // What a poll of content misses, the next one finds; what a baseline misses would be taken for new.
        let once = match self.strategy {
            Strategy::Delta | Strategy::Sweep => true,
            Strategy::Baseline { .. } => false,
            _ => self.plan.change_by == ChangeBy::Content,
        };
        // Behind a part the cursor moves on, so even one that brought nothing is read again.
        let is_enough = self.until().is_none() || self.is_confirmed();
        let is_quiet = self.listing.pages <= 1 || once || (!brought && is_enough);
        let is_explained = self.are_overlaps_explained(brought);
        let settled = is_quiet && is_explained;
        if settled || self.listings >= MAX_LISTINGS {
            return self.end_part(settled);
        }
        self.list_again()
    }

    fn list_again(&mut self) -> Next {
        self.listing = Listing::default();
        self.parts.begin_listing();
        Next::Listing
    }
}

mod advance;
#[cfg(test)]
mod delta_tests;
mod keyset;
mod overlaps;
mod parts;
#[cfg(test)]
mod parts_tests;
mod reach;
#[cfg(test)]
mod tests;
