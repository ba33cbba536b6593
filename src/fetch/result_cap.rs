//! Whether a listing has shown as many records as the provider lists. Pure.

use crate::plan::ResourcePlan;

/// The records of a listing, counted against the most that there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultCap {
    most: Option<u64>,
    rows: u64,
    /// Rows of the longest page.
    longest: u64,
    reached: bool,
}

impl ResultCap {
    pub(crate) fn of(resource: &ResourcePlan) -> Self {
        Self { most: resource.result_cap.map(u64::from), rows: 0, longest: 0, reached: false }
    }

    /// A page came. A next one that would pass the cap is not asked for: some providers refuse it, and others show nothing.
    pub(crate) fn note(&mut self, rows: usize, has_next: bool) {
        self.rows += rows as u64;
        self.longest = self.longest.max(rows as u64);
        self.reached =
            self.most.is_some_and(|most| self.rows >= most || (has_next && self.rows.saturating_add(self.longest) > most));
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    fn reached(cap: Option<u32>, pages: &[usize], has_next: bool) -> bool {
        let mut counted = ResultCap::of(&ResourcePlan { result_cap: cap, ..sample::resource() });
        for (index, rows) in pages.iter().enumerate() {
            counted.note(*rows, has_next || index + 1 < pages.len());
        }
        counted.is_reached()
    }

    #[test]
    fn a_cap_is_reached_before_a_page_would_pass_it() {
        assert!(!reached(None, &[1_000; 20], true));
        assert!(!reached(Some(1_000), &[100; 9], true));
        assert!(
            reached(Some(1_000), &[100; 10], true) && reached(Some(1_000), &[100; 10], false),
            "exactly the cap may be a part"
        );
        assert!(reached(Some(1_000), &[300; 3], true), "900 and 300 would be more");
        assert!(!reached(Some(1_000), &[300; 3], false), "there are 900");
        assert!(reached(Some(1_000), &[1_000], false) && !reached(Some(1_000), &[999], false));
    }
}
