//! Answers that are copies from a cache in between: how old one is (`Age`, RFC 9111 §5.1), and whether it was made before an answer that was
//! read already. Such a copy shows the list as it was, which is no change of it. Pure.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::AGE;

use crate::api::conditions::{Problem, Reason};

/// `Age` has whole seconds, and answers are on their way for some time.
const SLACK: Duration = Duration::from_secs(5);
/// No cache keeps a copy for longer.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// How long a cache has had the answer, as it says; zero for one that comes from the provider itself.
pub(super) fn age(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST)
}

/// When an answer was made, by two clocks of ours: the wall clock may be set, and the other one does not run while a machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    wall: DateTime<Utc>,
    steady: Instant,
    /// It came from a cache.
    is_copy: bool,
}

impl Made {
    /// The answer came at these times, and is as old as its headers say. `None` where the clocks do not go back as far.
    pub(super) fn of(headers: &HeaderMap, wall: DateTime<Utc>, steady: Instant) -> Option<Self> {
        let age = age(headers);
        let wall = wall.checked_sub_signed(TimeDelta::from_std(age).ok()?)?;
        Some(Self { wall, steady: steady.checked_sub(age)?, is_copy: !age.is_zero() })
    }

    /// Whether it is a copy from before another answer, by both clocks.
    pub fn is_older_copy(&self, other: &Self) -> bool {
        let slack = TimeDelta::from_std(SLACK).unwrap_or_default();
        self.is_copy && self.wall + slack < other.wall && self.steady + SLACK < other.steady
    }
}

/// An answer was made before one that was read already.
pub fn older_copy() -> Problem {
    Problem::transient(
        Reason::InvalidResponse,
        "resources[].headers: the response is a copy from a cache (Age) and older than one that was read already, so nothing of it is used; \
         retrying; if this persists, set Cache-Control to no-cache in headers, or ask the provider for a URL without a cache",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_copy_is_older_only_by_both_clocks() {
        let (wall, steady) = (DateTime::from_timestamp(1_800_000_000, 0).unwrap(), Instant::now() + Duration::from_hours(2));
        let made = |age: &'static str, seconds: u64, set: i64| {
            let headers = HeaderMap::from_iter([(AGE, HeaderValue::from_static(age))]);
            let wall = wall + TimeDelta::seconds(set) + TimeDelta::seconds(seconds.try_into().unwrap());
            Made::of(&headers, wall, steady + Duration::from_secs(seconds)).unwrap()
        };
        let read = made("0", 0, 0);
        let is_older = |age, seconds, set| made(age, seconds, set).is_older_copy(&read);
        assert!(is_older("300", 10, 0));
        assert!(!is_older("300", 310, 0), "it was made later");
        assert!(!is_older("12", 10, 0), "within seconds");
        assert!(!is_older("0", 10, -3_600), "the wall clock was set back");
        assert!(!is_older("300", 10, 3_600), "the machine slept");
        assert!(!is_older("300", 1_000, -3_600), "a copy, and the clock was set back");
        assert!(!is_older("x", 10, 0));
        let copy = made("300", 0, 0);
        assert!(!made("310", 10, 0).is_older_copy(&copy), "the same copy again");
    }
}
