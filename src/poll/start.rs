//! When the resources that an engine has just taken over are polled first. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::schedule::Rhythm;
use crate::state::InstanceState;

/// New resources start this far apart: a user waits to see them work.
const NEW_APART: TimeDelta = TimeDelta::milliseconds(2);
/// Overdue ones are made up for so far apart, fifty a second.
const OVERDUE_APART: TimeDelta = TimeDelta::milliseconds(20);
/// Stored times have whole seconds.
const ROUNDED_BY: TimeDelta = TimeDelta::seconds(1);

/// What is known of a resource when it is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Its first read never ended.
    New,
    /// It was polled before: last at this time or later, if any is known. An idle poll stores nothing.
    Polled(Option<DateTime<Utc>>),
}

impl Before {
    /// What the state says of a resource.
    pub fn of(state: &InstanceState, resource: &str) -> Self {
        match state.resources.get(resource) {
            Some(own) if own.started => Self::Polled(own.last_poll),
            Some(_) | None => Self::New,
        }
    }
}

/// How much earlier than the others of its instance a resource is polled that the limits of the provider kept from it: the one that has
/// waited longest comes first.
pub fn ahead(state: &InstanceState, resource: &str) -> TimeDelta {
    let Some(since) = state.resources.get(resource).and_then(|own| own.denied_since) else { return TimeDelta::zero() };
    let later = state.resources.values().filter(|own| own.denied_since.is_some_and(|other| other > since)).count();
    TimeDelta::microseconds(i64::try_from(later).unwrap_or(i64::MAX).saturating_add(1))
}

/// Spreads first polls, so that neither a restart nor a hand-over is a thundering herd.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starts {
    /// When the next new resource may begin.
    new: Option<DateTime<Utc>>,
    /// When the next overdue one may.
    overdue: Option<DateTime<Utc>>,
}

impl Starts {
    /// When a resource that is taken over at `now` is polled first. What was polled since it was last due waits until it is due again.
    /// Everything else is new or overdue and takes its turn, but never waits past its next due time.
    pub fn first_poll(&mut self, rhythm: Rhythm, before: Before, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = rhythm.due_after(now);
        let (line, apart) = match before {
            Before::New => (&mut self.new, NEW_APART),
            Before::Polled(Some(last)) if last + ROUNDED_BY > rhythm.due_at_or_before(now) => return due,
            Before::Polled(_) => (&mut self.overdue, OVERDUE_APART),
        };
        let turn = line.map_or(now, |free| free.max(now));
        if turn >= due {
            return due;
        }
        *line = Some(turn + apart);
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poll::schedule::seed;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    fn rhythm(index: usize, interval: Duration) -> Rhythm {
        Rhythm::new(seed(&format!("u{index}"), "r"), interval)
    }

    /// First polls of `count` resources that are taken over at once.
    fn first_polls(count: usize, interval: Duration, before: Before) -> Vec<DateTime<Utc>> {
        let mut starts = Starts::default();
        (0..count).map(|index| starts.first_poll(rhythm(index, interval), before, at(0))).collect()
    }

    #[test]
    fn one_starts_at_once_and_ten_thousand_new_ones_within_twenty_seconds() {
        let quarter = Duration::from_mins(15);
        assert_eq!(first_polls(1, quarter, Before::New), [at(0)]);
        assert_eq!(first_polls(1, quarter, Before::Polled(None)), [at(0)]);
        assert!(first_polls(10_000, quarter, Before::New).into_iter().max().unwrap() <= at(20_000));
    }

    #[test]
    fn what_is_overdue_is_spread_and_waits_no_longer_than_for_its_next_due_time() {
        for (count, interval) in
            [(10_000, Duration::from_secs(5)), (10_000, Duration::from_mins(15)), (300, Duration::from_mins(1))]
        {
            let polls = first_polls(count, interval, Before::Polled(None));
            for (index, poll) in polls.iter().enumerate() {
                assert!(*poll <= rhythm(index, interval).due_after(at(0)));
            }
            let mut by_second = std::collections::BTreeMap::<_, usize>::new();
            for poll in &polls {
                *by_second.entry((*poll - at(0)).num_seconds()).or_default() += 1;
            }
            // turns, and those that are due then anyway
            let in_rhythm = count / usize::try_from(interval.as_secs()).unwrap();
            let most = by_second.values().max().copied().unwrap();
            assert!(most <= 60 + in_rhythm + in_rhythm / 2, "{most} of {count} in a second, every {interval:?}");
        }
    }

    #[test]
    fn what_was_polled_since_it_was_due_waits_for_its_next_due_time() {
        let mut starts = Starts::default();
        let rhythm = rhythm(7, Duration::from_hours(1));
        let due = rhythm.due_at_or_before(at(0));
        let mut first = |last| starts.first_poll(rhythm, Before::Polled(Some(last)), at(0));
        assert_eq!(first(due + TimeDelta::minutes(1)), due + TimeDelta::hours(1));
        assert_eq!(first(due - TimeDelta::milliseconds(999)), due + TimeDelta::hours(1), "written in whole seconds");
        assert_eq!(first(due - TimeDelta::minutes(1)), at(0), "overdue");
    }

    #[test]
    fn what_limits_kept_from_being_polled_comes_first_and_the_longest_ago_before_others() {
        let mut state = InstanceState::new("u".into());
        let mut poll = |name: &str, is_denied: bool, has_read: bool, second: i64| {
            state.resources.entry(name.to_owned()).or_default().note_denied(is_denied, has_read, at(second * 1_000))
        };
        assert!(!poll("a", false, true, 0) && poll("b", true, false, 0) && poll("c", true, false, 1));
        assert!(!poll("b", true, false, 9), "it still waits");
        assert!(poll("d", true, false, 2) && poll("d", true, true, 3), "it was polled in part");
        let mut names = ["a", "b", "c", "d"];
        names.sort_by_key(|name| -ahead(&state, name));
        assert_eq!(names, ["b", "c", "d", "a"]);
        assert_eq!(ahead(&state, "a"), TimeDelta::zero());
    }

    #[test]
    fn what_is_overdue_does_not_keep_new_ones_waiting() {
        let mut starts = Starts::default();
        for index in 0..1_000 {
            starts.first_poll(rhythm(index, Duration::from_hours(1)), Before::Polled(None), at(0));
        }
        assert_eq!(starts.first_poll(rhythm(1_000, Duration::from_hours(1)), Before::New, at(0)), at(0));
    }
}
