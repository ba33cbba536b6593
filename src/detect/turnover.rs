//! What a list that is read whole, without a lower bound, shows of records that it lists and that are not announced, and of those that it
//! listed between two polls alone. Pure.
//!
//! A list of the latest records shows no more than a number of them. If all of it is new, others may have come and gone since the last
//! poll. And records whose date is old when they enter a list, as those that are published or shared later, look like those that were
//! always there: but a list that grows by more records than are announced has some.
//!
//! A list that had many records and has next to none for several polls may really be empty, as a work queue is. It may as well be that the
//! credentials lost the permission to see them, which no response says.

use chrono::{DateTime, TimeDelta, Utc};

use super::seen::Seen;

/// A list with fewer records may have new ones alone by chance.
const MANY: u64 = 5;

/// What the last poll saw of a list that is read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Records, each counted once.
    rows: u64,
    /// The least hash of an id: it is listed again while its record is.
    pub witness: Option<u64>,
}

impl Shown {
    /// What a listing has shown that was read to its end.
    pub fn of(seen: &Seen) -> Self {
        Self { rows: seen.listed.saturating_sub(seen.repeated_ids + seen.shown_again), witness: seen.witness }
    }

    /// Records that were listed.
    pub fn rows(self) -> u64 {
        self.rows
    }

    /// Whether records entered the list since then that were neither announced nor known: there are more rows than there were and than new
    /// ids were found. Deletions in between hide that, and nothing feigns it.
    pub fn has_newcomers(self, now: Self, seen: &Seen) -> bool {
        seen.older > 0 && now.rows > self.rows + seen.unknown
    }
}

/// Whether a list shows nothing that was there at the last poll, though it had some records then. `before` is what that poll saw, if it is
/// known, and `had_some` what the state says of it.
pub fn is_turned_over(before: Option<Shown>, had_some: bool, seen: &Seen) -> bool {
    let had_some = before.map_or(had_some, |before| before.rows >= MANY);
    had_some && seen.seen_before == 0 && seen.listed >= MANY
}

/// Whether a number of remembered records is enough for the list to have had some.
pub fn had_some(remembered: usize) -> bool {
    remembered as u64 >= MANY
}

/// A list of records that is suddenly empty had as many.
pub const MANY_RECORDS: u64 = 20;
/// The same of a list of parents, of which each has a list.
pub const MANY_PARENTS: u64 = 5;
/// Next to none: one record of this number.
const NEARLY_NONE: u64 = 20;
/// This number of polls in a row must show next to none.
const EMPTY_POLLS: u8 = 3;
/// That a list is empty is said for this long.
const EMPTY_IS_SAID_FOR: TimeDelta = TimeDelta::days(7);

/// How many records a list had that is read whole, before it had next to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Records of the last poll that showed more than next to none.
    records: u64,
    /// Polls in a row that showed next to none, after one that showed many.
    empty_polls: u8,
    /// When the first of them was made.
    empty_since: Option<DateTime<Utc>>,
}

impl Size {
    /// A poll has shown this number of records; from `many` on a list has many.
    pub fn note(&mut self, records: u64, many: u64, now: DateTime<Utc>) {
        if self.records >= many && records.saturating_mul(NEARLY_NONE) <= self.records {
            self.empty_polls = self.empty_polls.saturating_add(1);
            self.empty_since.get_or_insert(now);
        } else {
            *self = Self { records, ..Self::default() };
        }
    }

    /// A poll has shown the same as the one before.
    pub fn note_same(&mut self) {
        self.empty_polls = self.empty_polls.saturating_add(u8::from(self.empty_polls > 0));
    }

    /// Whether it is suddenly empty, and stays so.
    pub fn has_emptied(self, now: DateTime<Utc>) -> bool {
        self.empty_polls >= EMPTY_POLLS && self.empty_since.is_some_and(|since| now - since < EMPTY_IS_SAID_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(listed: u64, unknown: u64) -> Seen {
        Seen { listed, unknown, older: 1, ..Seen::default() }
    }

    #[test]
    fn a_list_that_grows_by_more_than_is_announced_has_records_with_old_dates() {
        let newcomers = |before: u64, now: &Seen| Shown { rows: before, witness: None }.has_newcomers(Shown::of(now), now);
        assert!(newcomers(5, &seen(6, 0)));
        assert!(newcomers(5, &seen(8, 2)));
        assert!(!newcomers(5, &seen(7, 2)), "all of them were announced");
        assert!(!newcomers(5, &seen(5, 2)), "some were deleted");
        assert!(!newcomers(5, &Seen { repeated_ids: 1, ..seen(6, 0) }), "an id counts once");
        assert!(!newcomers(5, &Seen { shown_again: 1, ..seen(6, 0) }), "a page shows it again");
        assert!(!newcomers(5, &Seen { older: 0, ..seen(6, 0) }), "every record is known");
    }

    #[test]
    fn a_list_that_is_suddenly_empty_is_said_after_some_polls_and_for_a_week() {
        let now = DateTime::UNIX_EPOCH;
        let has_emptied = |polls: &[u64], many: u64| {
            let mut size = Size::default();
            for records in polls {
                size.note(*records, many, now);
            }
            size.has_emptied(now)
        };
        assert!(has_emptied(&[30, 0, 0, 0], MANY_RECORDS));
        assert!(has_emptied(&[30, 1, 0, 1], MANY_RECORDS), "nearly empty");
        for usual in [
            &[30, 0, 0][..],
            &[19, 0, 0, 0],
            &[30, 10, 0, 0, 0, 0],
            &[30, 2, 2, 2],
            &[30, 0, 0, 30, 0],
            &[30, 0, 0, 0, 30],
            &[0, 0, 0, 0],
        ] {
            assert!(!has_emptied(usual, MANY_RECORDS), "{usual:?}");
        }
        assert!(has_emptied(&[7, 0, 0, 0], MANY_PARENTS));
        assert!(!has_emptied(&[4, 0, 0, 0], MANY_PARENTS));
        let mut size = Size::default();
        for records in [30, 0, 0] {
            size.note(records, MANY_RECORDS, now);
        }
        size.note_same();
        assert!(size.has_emptied(now + TimeDelta::days(6)), "304 is as empty");
        assert!(!size.has_emptied(now + TimeDelta::days(7)));
    }

    #[test]
    fn a_list_without_any_earlier_record_is_turned_over() {
        let before = |rows| Some(Shown { rows, witness: None });
        assert!(is_turned_over(before(20), false, &seen(20, 20)));
        assert!(is_turned_over(None, true, &seen(20, 20)), "the process has just started");
        assert!(!is_turned_over(None, false, &seen(20, 20)), "there was no list");
        assert!(!is_turned_over(before(4), true, &seen(20, 20)), "it had few records");
        assert!(!is_turned_over(before(20), true, &seen(4, 4)));
        assert!(!is_turned_over(before(20), true, &Seen { seen_before: 1, ..seen(20, 20) }));
    }
}
