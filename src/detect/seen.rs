//! What a poll has seen, counted record by record.

use chrono::{DateTime, TimeDelta, Utc};

use super::record::{Mark, RecordView};
use crate::plan::Order;

/// The longest day, and an hour.
const WHOLE_DAY: TimeDelta = TimeDelta::hours(26);

/// What a poll saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Records with an id looked at, in all listings.
    pub records: u64,
    /// Records looked at in this listing.
    pub listed: u64,
    /// Of these, records dated long before what was asked for.
    pub outdated: u64,
    /// Records whose date could not be read, in this listing.
    pub bad_dates: u64,
    /// Records whose date is further ahead of the provider's clock than the plan allows, in this listing.
    pub far_ahead: u64,
    /// Records whose id another record of the same page has, in this listing.
    pub repeated_ids: u64,
    /// Records that an earlier page of this listing has, too, in the same version.
    pub shown_again: u64,
    /// Records whose mark is set to something that the plan does not name, while none has what it names; in this listing.
    pub unread_marks: u64,
    /// Records whose mark is a word that any record may have, where the plan names no value; in this listing.
    pub status_words: u64,
    /// Tombstones in this listing.
    pub tombstones: u64,
    /// Records that the filter excludes, in this listing.
    pub excluded: u64,
    /// Records of this listing that had a date of change and have none now, so that the one of their creation counts.
    pub lost_dates: u64,
    /// Records of this listing that lie before all that is known and are not known themselves.
    pub older: u64,
    /// Records of this listing whose id was known.
    pub known: u64,
    /// Changes of this poll whose id was not known.
    pub unknown: u64,
    /// Records of the first listing of this poll that an earlier poll may have seen.
    pub seen_before: u64,
    /// The least hash of an id in this listing.
    pub witness: Option<u64>,
    /// A date stands for a whole day, whatever the format.
    pub whole_days: bool,
    /// Records whose date is ahead of the provider's clock, in this listing.
    pub ahead: u64,
    /// Greatest date that is not ahead of the provider's clock.
    pub greatest: Option<DateTime<Utc>>,
    /// Greatest date of a created or updated record that was detected, of those that depend on the time zone.
    pub newest_change: Option<DateTime<Utc>>,
    /// A record broke the declared order.
    pub disorder: bool,
    /// A record of this listing lay before what was asked for: in a descending list nothing new follows.
    pub reached_lower: bool,
}

impl Seen {
    /// Pages show again what earlier pages of the listing have, while each page has an id once. A list that has an id several times for a
    /// reason of its own has such rows next to each other, too.
    pub fn has_overlapping_pages(&self) -> bool {
        self.shown_again > 0 && self.repeated_ids == 0
    }

    /// Another listing of the same poll begins.
    pub(super) fn begin_listing(&mut self) {
        let Self { records, unknown, seen_before, .. } = *self;
        let Self { whole_days, greatest, newest_change, disorder, .. } = *self;
        *self = Self { records, unknown, seen_before, whole_days, greatest, newest_change, disorder, ..Self::default() };
    }

    /// The date before which nothing can come up again, where that is `horizon` for dates of the finest unit. Records of a day are known as
    /// long as the day may last; a poll that lists nothing does not say how coarse dates are, and has nothing to forget.
    pub(super) fn horizon(&self, horizon: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        match horizon {
            Some(_) if self.records == 0 => None,
            Some(horizon) if self.whole_days => horizon.checked_sub_signed(WHOLE_DAY),
            horizon => horizon,
        }
    }

    /// Adds what the poll of another list saw.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.listed += other.listed;
        self.outdated += other.outdated;
        self.bad_dates += other.bad_dates;
        self.far_ahead += other.far_ahead;
        self.repeated_ids += other.repeated_ids;
        self.shown_again += other.shown_again;
        self.unread_marks += other.unread_marks;
        self.status_words += other.status_words;
        self.lost_dates += other.lost_dates;
        self.tombstones += other.tombstones;
        self.excluded += other.excluded;
        self.greatest = self.greatest.max(other.greatest);
        self.newest_change = self.newest_change.max(other.newest_change);
        self.disorder |= other.disorder;
        self.reached_lower |= other.reached_lower;
    }

    /// Whether a record with an id was listed.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Counts one record by its mark.
    pub(super) fn count(&mut self, view: &RecordView<'_>) {
        self.records += 1;
        self.listed += 1;
        self.excluded += u64::from(view.is_excluded());
        match view.mark {
            Mark::Absent | Mark::Living => {}
            Mark::Deleted => self.tombstones += 1,
            Mark::Unread => self.unread_marks += 1,
            Mark::Word => self.status_words += 1,
        }
    }

    /// Notes whether `date` follows `last` in the declared order.
    pub(super) fn order(&mut self, declared: Order, last: Option<DateTime<Utc>>, date: DateTime<Utc>) {
        self.disorder |= match (declared, last) {
            (Order::Ascending, Some(last)) => date < last,
            (Order::Descending, Some(last)) => date > last,
            _ => false,
        };
    }
}
