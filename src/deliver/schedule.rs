//! What an answer means, and when a failure is tried again. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;

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

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Without one: network, TLS, timeout, or refused by the egress guard.
    NoAnswer,
}

/// What happens to the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 2xx: it was taken.
    Accepted,
    /// It is tried again by the schedule. `Retry-After` of a 429 or 503 speaks for the whole callback.
    Retry {
        /// The receiver's wish.
        retry_after: Option<Duration>,
    },
    /// 401 and 403: it is tried again, slowly; a person must act.
    SlowRetry,
    /// 400, 413, 415, 422: this event is refused; it is parked after five tries.
    Refused,
    /// 410: nothing is sent until the callback changes.
    Gone,
}

/// What an answer means. Redirects are failures and never followed: an event must not go to a place that nobody configured.
pub fn classify(outcome: Outcome) -> Verdict {
    let Outcome::Answered { status, retry_after } = outcome else { return Verdict::Retry { retry_after: None } };
    match status.as_u16() {
        200..=299 => Verdict::Accepted,
        401 | 403 => Verdict::SlowRetry,
        400 | 413 | 415 | 422 => Verdict::Refused,
        410 => Verdict::Gone,
        429 | 503 => Verdict::Retry { retry_after },
        _ => Verdict::Retry { retry_after: None },
    }
}

/// When an event is tried again after `attempts` tries; `None` when the schedule is exhausted. `seed` spreads the tries by
/// ±20 %, the same on every call. `retry_after` counts within [back-off, 24 h].
pub fn next_try(attempts: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wait = WAITS.get(attempts.saturating_sub(1) as usize)?;
    Some(after(*wait, attempts, seed, retry_after, now))
}

/// When the next probe of a callback that is down is due, after `steps` failed ones. It never gives up: after the last step
/// the last wait repeats.
pub fn step(steps: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
    let index = (steps.saturating_sub(1) as usize).min(WAITS.len() - 1);
    after(WAITS[index], steps, seed, retry_after, now)
}

fn after(wait: Duration, attempts: u32, seed: u64, retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
    let mut hash = seed ^ u64::from(attempts).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    // 0 … 4000 tenths of a per mille above 80 %.
    let per_ten_thousand = 8_000 + u32::try_from((hash >> 32) % 4_001).unwrap_or(0);
    let jittered = wait * per_ten_thousand / 10_000;
    let wait = jittered.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
    now + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::days(1))
}
