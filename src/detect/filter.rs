//! Suspects a filter that the provider ignores: poll after poll, most of the list is from long before what was asked for. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::window;
use crate::plan::{ChangeBy, Order, ResourcePlan};

/// This number of polls in a row must say the same.
const POLLS: u8 = 3;
/// A list with fewer records from before the bound costs too little to be worth a word, and may be pinned rows.
const MANY: u64 = 20;
/// A provider may filter by whole days, in any time zone.
const COARSE: TimeDelta = TimeDelta::days(2);

/// In how many polls in a row most of the list was from long before what was asked for, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterEvidence(u8);

impl FilterEvidence {
    /// The evidence of `polls` polls.
    pub fn of(polls: u8) -> Self {
        Self(polls.min(POLLS))
    }

    /// How many polls there were.
    pub fn polls(self) -> u8 {
        self.0
    }

    /// No poll said so.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether that is more than a coincidence.
    pub fn is_ignored(self) -> bool {
        self.0 >= POLLS
    }

    /// The evidence after a complete listing of this number of records, with the number of those dated before [`clearly_before`].
    #[must_use]
    pub fn after(self, records: u64, outdated: u64) -> Self {
        // an ignored filter shows the same again, so one list without is enough
        if outdated >= MANY && outdated > records / 2 { Self::of(self.0.saturating_add(1)) } else { Self::default() }
    }
}

/// The date before which no record is listed by a provider that understands a request from `since` on, however coarsely; `None` where the
/// request does not say, or the list is read only until it becomes too old.
pub fn clearly_before(plan: &ResourcePlan, since: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    if plan.change_by == ChangeBy::Content || plan.order == Order::Descending {
        return None;
    }
    // The macro is written one unit early, and what is finer than the unit is cut off.
    let unit = plan.request.since(window::granule(plan))?.unit;
    let slack = TimeDelta::from_std(unit.saturating_mul(2)).ok()?.checked_add(&COARSE)?;
    window::earliest_reading(plan, since?).checked_sub_signed(slack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;
    use crate::plan::template::Template;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn after(polls: &[(u64, u64)]) -> FilterEvidence {
        polls.iter().fold(FilterEvidence::default(), |evidence, (records, outdated)| evidence.after(*records, *outdated))
    }

    #[test]
    fn three_lists_in_a_row_that_are_mostly_too_old_tell() {
        assert!(!after(&[(50, 50), (51, 50)]).is_ignored());
        assert!(after(&[(50, 50), (51, 50), (52, 50)]).is_ignored());
        assert!(after(&[(50, 50); 10]).is_ignored());
    }

    #[test]
    fn what_an_honest_provider_may_show_tells_nothing() {
        for (what, poll) in [
            ("nothing new", (0, 0)),
            ("only what is new", (500, 0)),
            ("pinned rows", (5, 5)),
            ("few records in all", (19, 19)),
            ("many new ones, and many old ones that were touched without a date", (100, 50)),
        ] {
            assert!(after(&[poll; 10]).is_none(), "{what}");
            assert!(after(&[(50, 50), (50, 50), (50, 50), poll]).is_none(), "{what} ends it");
        }
    }

    #[test]
    fn the_bound_leaves_room_for_the_unit_of_the_macro_and_for_whole_days() {
        let since = at("2026-11-24T12:00:00Z");
        let with = |query: &str| {
            let mut plan = sample::resource();
            let request = &mut plan.request;
            request.url = Template::parse("https://api.example.com/contacts").unwrap();
            request.query = vec![("since".into(), Template::parse(query).unwrap())];
            clearly_before(&plan, Some(since))
        };
        let two_days = since - TimeDelta::days(2);
        let bound = with("${since}").unwrap();
        assert!(bound <= two_days && bound > two_days - TimeDelta::minutes(1), "{bound}");
        assert_eq!(with("${gmtDate:yyyy-MM-dd}"), Some(at("2026-11-20T12:00:00Z")));
        assert!(with("${gmtDate:yyyy-MM}").unwrap() < at("2026-09-24T00:00:00Z"));
        assert_eq!(with("${now}"), None, "nothing is filtered");
        assert_eq!(clearly_before(&sample::resource(), None), None, "there is no bound yet");
        let descending = ResourcePlan { order: Order::Descending, ..sample::resource() };
        assert_eq!(clearly_before(&descending, Some(since)), None);
        let by_content = ResourcePlan { change_by: ChangeBy::Content, ..sample::resource() };
        assert_eq!(clearly_before(&by_content, Some(since)), None);
    }

    proptest! {
        #[test]
        fn no_list_without_a_majority_of_old_records_is_suspected(
            polls in prop::collection::vec((0_u64..1_000, 0_u64..1_000), 0..20),
        ) {
            let polls: Vec<_> = polls.into_iter().map(|(records, share)| (records, records * share / 2_000)).collect();
            prop_assert!(after(&polls).is_none());
        }

        #[test]
        fn suspicion_depends_on_the_last_three_lists_alone(
            before in prop::collection::vec((0_u64..200, 0_u64..200), 0..10),
            last in prop::collection::vec((20_u64..200, 0_u64..200), 3),
        ) {
            let all: Vec<_> = before.into_iter().chain(last.iter().copied()).map(|(r, o)| (r, o.min(r))).collect();
            let last = &all[all.len() - 3..];
            prop_assert_eq!(after(&all).is_ignored(), last.iter().all(|(records, old)| *old >= MANY && *old > records / 2));
        }
    }
}
