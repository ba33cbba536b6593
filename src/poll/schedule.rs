//! When the next poll is due. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use xxhash_rust::xxh3::xxh3_64;

use crate::api::conditions::{Problem, Reaction};
use crate::deliver::schedule::jittered;
use crate::plan::{PollPlan, ResourcePlan};

/// First step of the provider's back-off.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// Cap of the back-off for failures that may pass by themselves, unless the interval is longer.
const MAX_BACKOFF: Duration = Duration::from_mins(15);
/// Cap of the back-off for failures that need a person, unless the interval is longer.
const MAX_SLOW_BACKOFF: Duration = Duration::from_hours(1);
/// A demanded wait is stretched by no more than this, so that all who were given the same one do not come back in the same instant.
const MAX_STRETCH: Duration = Duration::from_secs(30);
/// The longest interval that a rhythm has, in milliseconds: a year.
const MAX_INTERVAL: i64 = 365 * 24 * 3_600_000;

/// When a resource is due: once an interval, at a point of it that its seed decides. The times are the same on every replica and after
/// every restart, and those of many resources are spread over the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// In milliseconds, as is `phase`.
    interval: i64,
    /// How long after each multiple of the interval since 1970.
    phase: i64,
}

/// What a resource's rhythm and the jitter of its retries hang on.
pub fn seed(uid: &str, resource: &str) -> u64 {
    xxh3_64(format!("{uid}/{resource}").as_bytes())
}

impl Rhythm {
    /// The rhythm of a resource that is polled every `interval`.
    pub fn new(seed: u64, interval: Duration) -> Self {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).clamp(1, MAX_INTERVAL);
        // The seed as a fraction of the interval.
        let phase = (u128::from(seed) * u128::from(interval.unsigned_abs())) >> 64;
        Self { interval, phase: i64::try_from(phase).unwrap_or(0) }
    }

    /// The first due time after `at`.
    pub fn due_after(self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.due_at_or_before(at) + TimeDelta::milliseconds(self.interval)
    }

    /// The last due time that is not after `at`.
    pub fn due_at_or_before(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let at = at.timestamp_millis();
        let due = at - (at - self.phase).rem_euclid(self.interval);
        DateTime::from_timestamp_millis(due).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The tick after the one at `tick`, seen from `now`: missed ticks coalesce into one. A poll out of rhythm, such as the first one of a
    /// new instance, is followed by others that lead back into it: never more than an interval apart, and never less than half of one.
    pub fn next_tick(self, tick: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = self.due_after(tick);
        let (wait, interval) = (due - tick, TimeDelta::milliseconds(self.interval));
        // Too soon, and the due time after it too late: half of the way to that one lies in between.
        let next = if wait * 2 < interval { tick + (wait + interval) / 2 } else { due };
        if next > now { next } else { self.due_after(now) }
    }
}

/// When a failed poll is tried again: `failures` in a row, this one included. Its `seed` varies the wait, the same on every call: by
/// ±20 %, or only upwards where it must not be shorter.
pub fn after_failure(problem: &Problem, failures: u32, interval: Duration, seed: u64, now: DateTime<Utc>) -> DateTime<Utc> {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(12));
    let transient = jittered(doubled.min(interval.max(MAX_BACKOFF)), failures, seed);
    let wait = match problem.reaction {
        Reaction::Transient => transient,
        // Polling on bad credentials burns quotas: never faster than the interval.
        Reaction::Human => jittered(doubled.min(MAX_SLOW_BACKOFF), failures, seed).max(interval),
        Reaction::Throttled => stretched(problem.retry_after.unwrap_or(interval), failures, seed).max(transient),
    };
    now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(24))
}

/// A wait that must not be shorter, up to a tenth longer.
fn stretched(wait: Duration, failures: u32, seed: u64) -> Duration {
    let above_least = jittered(wait, failures, seed).saturating_sub(wait * 4 / 5);
    wait + (above_least / 4).min(MAX_STRETCH)
}

/// How often a suspended instance looks whether its credentials are to be used, if the provider forgets those that no one uses: five times
/// in the time that it keeps them, so that some may fail.
pub fn keep_alive(plan: &PollPlan, resource: &ResourcePlan) -> Option<Duration> {
    // All resources have one credential: the first one does it.
    let is_first = plan.resources.first().is_some_and(|first| first.name == resource.name);
    resource.auth.idle_ttl().filter(|_| plan.suspended && is_first).map(|ttl| ttl / 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reason;
    use proptest::prelude::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    #[test]
    fn due_times_hang_on_the_seed_and_the_interval_alone() {
        let interval = Duration::from_mins(15);
        let rhythm = Rhythm::new(seed("u", "r"), interval);
        assert_eq!(rhythm, Rhythm::new(seed("u", "r"), interval));
        assert_ne!(rhythm, Rhythm::new(seed("u", "other"), interval));
        let due = rhythm.due_after(at(0));
        let later = rhythm.due_after(at(1_000_000_000));
        assert_eq!((later - due).num_milliseconds() % 900_000, 0, "the same point of the interval, weeks later");
        assert_eq!(rhythm.due_after(due), due + TimeDelta::minutes(15));
        assert_eq!(
            (rhythm.due_at_or_before(due), rhythm.due_at_or_before(due - TimeDelta::milliseconds(1))),
            (due, due - TimeDelta::minutes(15))
        );
    }

    #[test]
    fn due_times_of_many_are_spread_over_the_interval() {
        let mut by_minute = [0; 15];
        for index in 0..1_500 {
            let due = Rhythm::new(seed(&format!("u{index}"), "r"), Duration::from_mins(15)).due_after(at(0));
            by_minute[usize::try_from((due - at(0) - TimeDelta::milliseconds(1)).num_minutes()).unwrap()] += 1;
        }
        assert!(by_minute.iter().all(|count| (60..150).contains(count)), "{by_minute:?}");
    }

    #[test]
    fn missed_ticks_coalesce_in_rhythm() {
        let rhythm = Rhythm::new(0, Duration::from_secs(10));
        assert_eq!(rhythm.next_tick(at(0), at(0)), at(10_000));
        assert_eq!(rhythm.next_tick(at(0), at(9_999)), at(10_000));
        assert_eq!(rhythm.next_tick(at(0), at(47_000)), at(50_000));
        assert_eq!(rhythm.next_tick(at(0), at(-5)), at(10_000));
    }

    #[test]
    fn a_poll_out_of_rhythm_is_led_back_into_it() {
        let rhythm = Rhythm::new(0, Duration::from_secs(10));
        let next = |tick| rhythm.next_tick(at(tick), at(tick));
        assert_eq!(next(4_000), at(10_000));
        assert_eq!(next(5_000), at(10_000));
        assert_eq!(next(9_000), at(14_500), "neither a second later nor eleven");
        assert_eq!(next(14_500), at(20_000));
    }

    #[test]
    fn demanded_waits_are_kept_and_bad_credentials_are_not_hammered() {
        let interval = Duration::from_mins(1);
        let wait = |problem: &Problem, failures, seed| after_failure(problem, failures, interval, seed, at(0)) - at(0);
        for seed in 0..100 {
            let within = |problem: &Problem, failures, seconds: std::ops::RangeInclusive<i64>| {
                let wait = wait(problem, failures, seed);
                assert_eq!(wait, after_failure(problem, failures, interval, seed, at(0)) - at(0), "the same again");
                assert!(seconds.contains(&wait.num_seconds()), "{wait:?}");
            };
            within(&Problem::throttled(Reason::RateLimited, "x", Some(Duration::from_mins(5))), 1, 300..=330);
            within(&Problem::throttled(Reason::RateLimited, "x", Some(Duration::from_hours(24))), 1, 86_400..=86_430);
            within(&Problem::throttled(Reason::RateLimited, "x", None), 1, 60..=66);
            within(&Problem::human(Reason::Unauthorized, "x"), 1, 60..=60);
            within(&Problem::human(Reason::Unauthorized, "x"), 30, 2_880..=4_320);
            within(&Problem::transient(Reason::ProviderError, "x"), 1, 4..=6);
            within(&Problem::transient(Reason::ProviderError, "x"), 30, 720..=1_080);
        }
        let transient = Problem::transient(Reason::ProviderError, "x");
        let waits: std::collections::BTreeSet<_> = (0..100).map(|seed| wait(&transient, 1, seed)).collect();
        assert!(waits.len() > 90, "{} different waits", waits.len());
    }

    proptest! {
        #[test]
        fn ticks_are_at_most_an_interval_apart_and_soon_in_rhythm(
            seed in any::<u64>(), start in 0_i64..10_000_000, interval in 5_u64..100_000, took in 0_i64..1_000,
        ) {
            let rhythm = Rhythm::new(seed, Duration::from_secs(interval));
            let length = TimeDelta::seconds(i64::try_from(interval).unwrap());
            let mut tick = at(start);
            for round in 0..4 {
                // a poll takes less than half of the shortest interval
                let next = rhythm.next_tick(tick, tick + TimeDelta::milliseconds(took));
                prop_assert!(next - tick <= length && (next - tick) * 2 >= length, "{} after {}", next - tick, length);
                prop_assert!(round < 1 || rhythm.due_at_or_before(next) == next, "in rhythm from the second on");
                tick = next;
            }
        }

        #[test]
        fn the_next_tick_is_in_the_future_and_at_most_one_interval_away(
            seed in any::<u64>(), late in -100_000_i64..10_000_000, interval in 5_u64..1_000,
        ) {
            let rhythm = Rhythm::new(seed, Duration::from_secs(interval));
            let next = rhythm.next_tick(at(0), at(late));
            prop_assert!(next > at(late));
            prop_assert!(next <= at(late.max(0)) + TimeDelta::seconds(i64::try_from(interval).unwrap()));
        }
    }
}
