//! What detection is given and gives back: a page while its records are read, in as many pieces as is convenient, and what it brought.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::classify::Mode;
use super::clock::ProviderClock;
use super::event::Change;
use super::life::Sign;
use super::window::Undelivered;

/// More records than can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRecords;

/// What the state says when a poll begins.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Why the list is read.
    pub mode: Mode,
    /// Where the last poll came to.
    pub cursor: Option<DateTime<Utc>>,
    /// How far behind the cursor all records are known.
    pub window: Duration,
    /// The known set was made under another `ignoreFields` or `compareContent`: what is compared by content is remembered again, not sent.
    pub rehash: bool,
}

/// How a listing ended, for [`Detector::finish`](super::detector::Detector::finish).
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// What was not delivered.
    pub undelivered: Undelivered,
    /// The baseline was read from here on, not from the beginning of the list.
    pub baseline_from: Option<DateTime<Utc>>,
}

/// When a page was answered.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The `Date` of the listing's first answer.
    pub date: Option<DateTime<Utc>>,
    /// How long a cache has had that answer.
    pub age: Duration,
    /// Our clock now.
    pub now: DateTime<Utc>,
}

impl Moment {
    /// The listing's first answer, with this `Date`, comes from the provider itself.
    pub fn new(date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        Self { date, age: Duration::ZERO, now }
    }
}

/// What one page brought.
#[derive(Debug, Default)]
pub struct PageChanges {
    /// At most one change an object: the latest.
    pub changes: Vec<Change>,
    /// Records were remembered that are not sent.
    pub remembered: bool,
    /// Records were listed whose deletion may have been sent before it was known to have arrived. That they are back must be stored before
    /// it is sent: a process that has forgotten it would send the deletion again, of records that exist.
    pub returned: bool,
    /// Earliest date on the page by which the provider sorts.
    pub least: Option<DateTime<Utc>>,
    /// Greatest date on the page by which the provider sorts, as far as it is not ahead of the provider's clock.
    pub greatest: Option<DateTime<Utc>>,
    /// A record of the page lay at or after what was asked for.
    pub has_news: bool,
    /// Hash of the ids on the page, in their order.
    pub ids: u64,
}

impl PageChanges {
    pub(super) fn note(&mut self, sign: Sign) {
        self.remembered |= sign != Sign::None;
        self.returned |= sign == Sign::Returned;
    }
}

/// A page of which some records were read.
#[derive(Debug)]
pub struct PageReading {
    pub(super) clock: ProviderClock,
    /// Our clock when it began.
    pub(super) now: DateTime<Utc>,
    pub(super) found: PageChanges,
    /// Without those that a later row of the same id took the place of.
    pub(super) changes: Vec<Option<Change>>,
}

/// A row of the page that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Identifies it with its version.
    pub(super) sight: u64,
    pub(super) date: Option<DateTime<Utc>>,
    /// The unit of its date is over.
    pub(super) is_settled: bool,
    /// It is the version that is known.
    pub(super) is_known: bool,
    /// Index of its change.
    pub(super) change: Option<usize>,
}
