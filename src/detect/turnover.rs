//! What a list that is read whole, without a lower bound, shows of records that it lists and that are not announced, and of those that it
//! listed between two polls alone. Pure.
//!
//! A list of the latest records shows no more than a number of them. If all of it is new, others may have come and gone since the last
//! poll. And records whose date is old when they enter a list, as those that are published or shared later, look like those that were
//! always there: but a list that grows by more records than are announced has some.

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
