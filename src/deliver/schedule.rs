//! Back-off: when a failed event is tried again, and when a sink that is down is probed. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Waits between tries, as Standard Webhooks recommends them: more than three days in all.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// A `Retry-After` beyond this is cut.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// When an event is tried again after `attempts` tries; `None` when the schedule is exhausted. `seed` spreads the tries by
/// ±20 %, the same on every call. `retry_after` counts within [back-off, 24 h].
pub fn next_try(attempts: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wait = WAITS.get(attempts.saturating_sub(1) as usize)?;
    Some(after(*wait, attempts, seed, retry_after, now))
}

/// When the next probe of a sink that is down is due, after `steps` failed ones. It never gives up: after the last step the last
/// wait repeats.
pub fn next_probe(steps: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
    let index = (steps.saturating_sub(1) as usize).min(WAITS.len() - 1);
    after(WAITS[index], steps, seed, retry_after, now)
}

fn after(wait: Duration, attempts: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
    let wait = jittered(wait, attempts, seed).max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
    now + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::days(1))
}

/// A wait that varies by ±20 %: each of the `attempts` of one `seed` in its own way, the same on every call.
pub fn jittered(wait: Duration, attempts: u32, seed: u64) -> Duration {
    let mut hash = seed ^ u64::from(attempts).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    // 0 … 4000 tenths of a per mille above 80 %.
    let per_ten_thousand = 8_000 + u32::try_from((hash >> 32) % 4_001).unwrap_or(0);
    wait * per_ten_thousand / 10_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn wait(until: DateTime<Utc>) -> Duration {
        (until - start()).to_std().unwrap()
    }

    #[test]
    fn after_the_last_wait_the_schedule_is_exhausted() {
        assert!(next_try(9, 1, None, start()).is_some());
        assert_eq!(next_try(10, 1, None, start()), None);
        assert_eq!(next_try(u32::MAX, 1, Some(Duration::from_secs(1)), start()), None);
    }

    #[test]
    fn retry_after_counts_between_the_wait_and_a_day() {
        let waits = |attempts, seconds| wait(next_try(attempts, 7, Some(Duration::from_secs(seconds)), start()).unwrap());
        // below the wait of the schedule
        assert_eq!(waits(2, 10), wait(next_try(2, 7, None, start()).unwrap()));
        assert_eq!(waits(1, 600), Duration::from_mins(10));
        assert_eq!(waits(1, 48 * HOUR), Duration::from_hours(24));
        assert_eq!(wait(next_try(1, 7, Some(Duration::MAX), start()).unwrap()), Duration::from_hours(24));
    }

    #[test]
    fn probes_of_a_sink_never_end() {
        for steps in [9, 10, 1000, u32::MAX] {
            let waited = wait(next_probe(steps, 7, None, start())).as_secs();
            assert!((24 * HOUR * 4 / 5..=24 * HOUR * 6 / 5).contains(&waited), "{steps}: {waited}");
        }
        assert!(wait(next_probe(0, 7, None, start())) <= Duration::from_secs(6));
    }

    #[test]
    fn seeds_spread_the_tries_over_the_whole_range() {
        let waits: Vec<_> = (0..1000_u64)
            .map(|seed| wait(next_try(2, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), None, start()).unwrap()))
            .collect();
        // 5 m ± 20 % is 240 … 360 s
        assert!(waits.iter().min() < Some(&Duration::from_secs(246)), "{:?}", waits.iter().min());
        assert!(waits.iter().max() > Some(&Duration::from_secs(354)), "{:?}", waits.iter().max());
    }

    proptest! {
        #[test]
        fn a_wait_is_the_schedules_within_a_fifth(attempts in 1..=9_u32, seed: u64) {
            let nominal = [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR][attempts as usize - 1];
            let waited = wait(next_try(attempts, seed, None, start()).unwrap());
            let nominal = Duration::from_secs(nominal);
            prop_assert!(waited >= nominal * 4 / 5 && waited <= nominal * 6 / 5, "{:?}", waited);
            prop_assert_eq!(next_try(attempts, seed, None, start()), next_try(attempts, seed, None, start()));
        }
    }
}
