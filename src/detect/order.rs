//! Whether a list keeps the order that is declared for it. Rows out of order may hide others from a poll that relies on the order, and most polls
//! show too few rows to check it: so what one poll has seen counts for those after it. Pure.

use super::seen::Seen;

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
