//! When the next poll is due. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_64;

use super::report::Job;
use crate::api::conditions::{Problem, Reaction};
use crate::plan::{AuthPlan, PollPlan, ResourcePlan};

/// First step of the provider's back-off.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// Cap of the back-off for failures that may pass by themselves, unless the interval is longer.
const MAX_BACKOFF: Duration = Duration::from_mins(15);
/// Cap of the back-off for failures that need a person, unless the interval is longer.
const MAX_SLOW_BACKOFF: Duration = Duration::from_hours(1);
/// Start times are spread over so long a resource, so that a cold start is no thundering herd.
const SPREAD_PER_RESOURCE: Duration = Duration::from_millis(2);

/// How long a resource's first poll waits after the start, out of `resources` that start together: stable over restarts.
pub fn first_delay(uid: &str, resource: &str, interval: Duration, resources: usize) -> Duration {
    let window =
        SPREAD_PER_RESOURCE.saturating_mul(u32::try_from(resources.saturating_sub(1)).unwrap_or(u32::MAX)).min(interval);
    let phase = xxh3_64(format!("{uid}/{resource}").as_bytes());
    // The upper 32 bits are a fraction of the window.
    window.mul_f64(f64::from(u32::try_from(phase >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX))
}

/// The next tick after `now` in the rhythm of `due`: missed ticks coalesce into one.
pub fn next_tick(due: DateTime<Utc>, interval: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval =
        chrono::Duration::from_std(interval).unwrap_or(chrono::Duration::days(7)).max(chrono::Duration::milliseconds(1));
    let behind = (now - due).num_milliseconds().max(0);
    let ticks = behind / interval.num_milliseconds() + 1;
    i32::try_from(ticks).ok().and_then(|ticks| due.checked_add_signed(interval * ticks)).unwrap_or(now + interval)
}

/// When a failed poll is tried again: `failures` in a row, this one included.
pub fn after_failure(problem: &Problem, failures: u32, interval: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(12));
    let wait = match problem.reaction {
        Reaction::Transient => doubled.min(interval.max(MAX_BACKOFF)),
        // Polling on bad credentials burns quotas: never faster than the interval.
        Reaction::Human => doubled.min(MAX_SLOW_BACKOFF).max(interval),
        Reaction::Throttled => doubled.min(interval.max(MAX_BACKOFF)).max(problem.retry_after.unwrap_or(interval)),
    };
    now + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::hours(24))
}

/// When a suspended instance sees to its refresh token, if the provider forgets those that nobody uses: five times in the time that
/// it keeps them, so that some may fail.
pub fn keep_alive(plan: &PollPlan, resource: &ResourcePlan, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Job)> {
    // All resources have one credential: the first one does it.
    let is_first = plan.resources.first().is_some_and(|first| first.name == resource.name);
    let AuthPlan::Oauth2(oauth2) = &*resource.auth else { return None };
    let ttl = chrono::Duration::from_std(oauth2.refresh.idle_ttl?).ok()?;
    (plan.suspended && is_first).then(|| (now + ttl / 5, Job::KeepAlive))
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
    fn one_resource_starts_at_once_and_ten_thousand_within_twenty_seconds() {
        assert_eq!(first_delay("u", "r", Duration::from_mins(15), 1), Duration::ZERO);
        let latest = (0..10_000).map(|i| first_delay(&format!("u{i}"), "r", Duration::from_mins(15), 10_000)).max().unwrap();
        assert!(latest > Duration::from_secs(15) && latest <= Duration::from_secs(20), "{latest:?}");
        assert_eq!(first_delay("u", "r", Duration::from_mins(15), 99), first_delay("u", "r", Duration::from_mins(15), 99));
    }

    #[test]
    fn missed_ticks_coalesce_in_rhythm() {
        let interval = Duration::from_secs(10);
        assert_eq!(next_tick(at(0), interval, at(0)), at(10_000));
        assert_eq!(next_tick(at(0), interval, at(9_999)), at(10_000));
        assert_eq!(next_tick(at(0), interval, at(47_000)), at(50_000));
        assert_eq!(next_tick(at(0), interval, at(-5)), at(10_000));
    }

    #[test]
    fn patience_is_kept_and_bad_credentials_are_not_hammered() {
        let interval = Duration::from_mins(1);
        let throttled = Problem::throttled(Reason::RateLimited, "x", Some(Duration::from_mins(5)));
        assert_eq!(after_failure(&throttled, 1, interval, at(0)), at(300_000));
        let human = Problem::human(Reason::Unauthorized, "x");
        assert_eq!(after_failure(&human, 1, interval, at(0)), at(60_000));
        assert_eq!(after_failure(&human, 30, interval, at(0)), at(3_600_000));
        let transient = Problem::transient(Reason::ProviderError, "x");
        assert_eq!(after_failure(&transient, 1, interval, at(0)), at(5_000));
        assert_eq!(after_failure(&transient, 30, interval, at(0)), at(900_000));
    }

    proptest! {
        #[test]
        fn the_next_tick_is_in_the_future_and_at_most_one_interval_away(late in -100_000i64..10_000_000, interval in 5u64..1_000) {
            let interval_ms = i64::try_from(interval).unwrap() * 1000;
            let next = next_tick(at(0), Duration::from_secs(interval), at(late));
            prop_assert!(next > at(late));
            prop_assert!(late < 0 || next <= at(late + interval_ms));
            prop_assert_eq!((next - at(0)).num_milliseconds() % interval_ms, 0);
        }
    }
}
