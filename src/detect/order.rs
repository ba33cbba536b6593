//! Whether a list keeps the order that is declared for it. Rows out of order may hide others from a poll that relies on the order, and most polls
//! show too few rows to check it: so what one poll has seen counts for those after it. And whether its pages overlap, as they do where the
//! provider sorts each page for itself. Pure.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::known::AlreadyHashed;
use super::seen::Seen;

/// Rows of earlier pages that are remembered of a listing. More need not be: pages that overlap do so everywhere.
const MAX_EARLIER: usize = 65_536;

/// The rows of the earlier pages of a listing, each by what identifies it with its version.
#[derive(Debug, Default)]
pub(super) struct Earlier(HashSet<u64, BuildHasherDefault<AlreadyHashed>>);

impl Earlier {
    /// A page was read.
    pub(super) fn extend(&mut self, rows: impl Iterator<Item = u64>) {
        let room = MAX_EARLIER.saturating_sub(self.0.len());
        self.0.extend(rows.take(room));
    }

    /// Whether an earlier page has the row.
    pub(super) fn has(&self, row: u64) -> bool {
        self.0.contains(&row)
    }
}

/// This number of rows in order is no coincidence.
const MANY: u64 = 20;

/// What to store after a reading of the list to its end: the digest of the order that rows broke, empty for none. `before` was stored
/// until now, and `declared` is the digest of what is declared now ([`crate::plan::ResourcePlan::order_digest`]).
pub fn broken_after(before: &str, declared: Option<&str>, seen: &Seen) -> String {
    match declared {
        Some(declared) if seen.disorder || (is_broken(before, Some(declared)) && seen.listed < MANY) => declared.to_owned(),
        _ => String::new(),
    }
}

/// Whether what is stored says that the list does not keep what is declared now. After an edit of either the order is relied on again.
pub fn is_broken(stored: &str, declared: Option<&str>) -> bool {
    declared.is_some_and(|declared| declared == stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_order_stays_broken_until_many_rows_keep_it_or_another_is_declared() {
        let seen = |listed: u64, disorder: bool| Seen { listed, disorder, ..Seen::default() };
        let after = |before: &str, listed: u64, disorder: bool| broken_after(before, Some("a"), &seen(listed, disorder));
        assert_eq!(after("", 500, false), "");
        assert_eq!(after("", 2, true), "a");
        assert_eq!(after("a", 0, false), "a", "an idle poll shows nothing");
        assert_eq!(after("a", 19, false), "a");
        assert_eq!(after("a", 20, false), "");
        assert_eq!(after("b", 0, false), "", "another order is declared");
        assert_eq!(broken_after("a", None, &seen(0, false)), "", "none is declared");
        assert!(is_broken("a", Some("a")) && !is_broken("a", Some("b")) && !is_broken("", Some("b")) && !is_broken("", None));
    }
}
