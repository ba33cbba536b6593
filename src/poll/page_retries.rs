//! Whether a page that could not be read is asked for again before its listing fails. Pure.

use std::time::{Duration, Instant};

use http::Method;

use crate::api::conditions::{Problem, Reaction, Reason};
use crate::deliver::schedule::jittered;

/// Tries of one page after the first.
const MAX_RETRIES: u32 = 7;
/// First step of the back-off.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Cap of the back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A provider that wants a longer wait gets it: the listing fails, and the whole poll is put off.
const MAX_PATIENCE: Duration = Duration::from_mins(2);
/// A page is given up this long after its first failure.
const MAX_TIME: Duration = Duration::from_mins(5);

/// The tries of the page that is asked for now.
///
/// A list of many pages would never be read to its end if each failure on the way started it again. The first page is no part of this: the
/// poll that has read nothing is repeated as a whole, and its failure is to be seen at once.
#[derive(Debug)]
pub struct PageRetries {
    method: Method,
    seed: u64,
    pages: u64,
    failures: u32,
    first_failure: Option<Instant>,
}

impl PageRetries {
    /// For the pages of one listing that are asked for with `method`, in a poll that has read `pages` of earlier listings. `seed` keeps
    /// those who fail together from coming back together.
    pub fn new(method: Method, pages: u64, seed: u64) -> Self {
        Self { method, seed, pages, failures: 0, first_failure: None }
    }

    /// The page could not be read: how long to wait before it is asked for again, or `None` when the listing has failed.
    pub fn after(&mut self, problem: &Problem, now: Instant) -> Option<Duration> {
        let first_failure = *self.first_failure.get_or_insert(now);
        self.failures += 1;
        let wait = match problem.reaction {
            Reaction::Human => return None,
            // The provider answered; the same page would come once more.
            Reaction::Transient if problem.reason == Reason::PaginationLoop => return None,
            // An answer that was lost may have had an effect (RFC 9110 §9.2.2).
            Reaction::Transient if !self.method.is_idempotent() => return None,
            Reaction::Transient => self.backoff(),
            // It was refused, so it had none.
            Reaction::Throttled => problem.retry_after.map_or_else(|| self.backoff(), |wait| wait + self.backoff() / 2),
        };
        let is_over = (now + wait).duration_since(first_failure) > MAX_TIME;
        (self.pages > 0 && self.failures <= MAX_RETRIES && wait <= MAX_PATIENCE && !is_over).then_some(wait)
    }

    /// The page came; the next one starts with no failures.
    pub fn page_came(&mut self) {
        (self.pages, self.failures, self.first_failure) = (self.pages + 1, 0, None);
    }

    /// At most the step, and at least two thirds of it.
    fn backoff(&self) -> Duration {
        let step = FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(12)).min(MAX_BACKOFF);
        jittered(step * 5 / 6, self.failures, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transient() -> Problem {
        Problem::transient(Reason::ProviderError, "x")
    }

    fn throttled(seconds: Option<u64>) -> Problem {
        Problem::throttled(Reason::RateLimited, "x", seconds.map(Duration::from_secs))
    }

    fn waits(retries: &mut PageRetries, problem: &Problem) -> Vec<Duration> {
        let mut now = Instant::now();
        std::iter::from_fn(|| {
            let wait = retries.after(problem, now)?;
            now += wait;
            Some(wait)
        })
        .collect()
    }

    #[test]
    fn a_page_is_tried_some_times_with_growing_waits() {
        let mut retries = PageRetries::new(Method::GET, 1, 1);
        let first = waits(&mut retries, &transient());
        assert_eq!(first.len(), 7);
        assert!(first.windows(2).take(3).all(|pair| pair[0] <= pair[1]), "{first:?}");
        assert!(first.iter().sum::<Duration>() <= Duration::from_secs(23), "{first:?}");
        retries.page_came();
        assert_eq!(waits(&mut retries, &transient()), first, "the next page starts with no failures");
    }

    #[test]
    fn a_loop_is_asked_for_no_second_time() {
        let problem = Problem::transient(Reason::PaginationLoop, "x");
        assert_eq!(PageRetries::new(Method::GET, 1, 1).after(&problem, Instant::now()), None);
    }

    #[test]
    fn what_waits_together_does_not_come_back_together() {
        let first = |seed| PageRetries::new(Method::GET, 1, seed).after(&transient(), Instant::now());
        let waits: std::collections::BTreeSet<_> = (0..100).map(first).collect();
        assert!(waits.len() > 90, "{waits:?}");
    }

    #[test]
    fn nothing_is_repeated_that_a_person_must_mend_or_that_may_have_had_an_effect() {
        let once = |method, problem: &Problem, pages| PageRetries::new(method, pages, 1).after(problem, Instant::now());
        assert_eq!(once(Method::GET, &Problem::human(Reason::NotFound, "x"), 1), None);
        assert_eq!(once(Method::POST, &transient(), 1), None);
        assert!(once(Method::POST, &throttled(Some(1)), 1).is_some(), "it was refused");
        assert!(once(Method::GET, &transient(), 1).is_some());
        assert_eq!(once(Method::GET, &transient(), 0), None, "the first page is the poll's");
    }

    #[test]
    fn a_short_wait_that_was_asked_for_is_waited_for_and_a_long_one_is_the_polls() {
        let mut retries = PageRetries::new(Method::GET, 1, 1);
        let wait = retries.after(&throttled(Some(60)), Instant::now()).unwrap();
        assert!(wait >= Duration::from_mins(1) && wait < Duration::from_secs(63), "{wait:?}");
        assert_eq!(PageRetries::new(Method::GET, 1, 1).after(&throttled(Some(600)), Instant::now()), None);
        let all = waits(&mut PageRetries::new(Method::GET, 1, 1), &throttled(Some(90)));
        assert_eq!(all.len(), 3, "at most five minutes: {all:?}");
    }

    proptest! {
        #[test]
        fn it_ends_soon_whatever_is_answered(seed: u64, asked in proptest::collection::vec(proptest::option::of(0u64..90_000), 0..20)) {
            let mut retries = PageRetries::new(Method::GET, 3, seed);
            let begin = Instant::now();
            let mut now = begin;
            let mut tries = 0;
            for asked in asked {
                let problem = asked.map_or_else(transient, |seconds| throttled(Some(seconds)));
                let Some(wait) = retries.after(&problem, now) else { break };
                now += wait;
                tries += 1;
            }
            prop_assert!(tries <= MAX_RETRIES && now - begin <= MAX_TIME);
        }
    }
}
