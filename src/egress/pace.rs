//! Keeps something within a rate: writes to the API server, Events, requests of people. Pure.

use std::time::{Duration, Instant};

/// A leaky bucket: what was granted lately, as the time at which it will have drained.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    drained: Option<Instant>,
}

impl Pace {
    /// How much of what was granted has not drained yet.
    pub fn level(&self, now: Instant) -> Duration {
        self.drained.map_or(Duration::ZERO, |drained| drained.saturating_duration_since(now))
    }

    /// Grants `cost` (the time that it takes to drain) and says how long to wait first, so that no more than `burst` is ever
    /// waiting to drain.
    pub fn reserve(&mut self, cost: Duration, burst: Duration, now: Instant) -> Duration {
        let drained = self.drained.map_or(now, |drained| drained.max(now));
        self.drained = Some(drained + cost);
        (drained + cost).saturating_duration_since(now + burst)
    }

    /// Grants `cost` if nothing has to be waited for. What is refused costs nothing.
    pub fn admit(&mut self, cost: Duration, burst: Duration, now: Instant) -> bool {
        let granted = Self { ..*self }.reserve(cost, burst, now).is_zero();
        if granted {
            self.reserve(cost, burst, now);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..5).map(|_| pace.reserve(second, second * 3, now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
        assert_eq!(pace.reserve(second, second * 3, now + second * 60), Duration::ZERO, "a pause lets the bucket drain");
    }

    #[test]
    fn without_a_burst_the_first_waits_for_its_own_cost() {
        let mut pace = Pace::default();
        assert_eq!(pace.reserve(Duration::from_secs(2), Duration::ZERO, Instant::now()), Duration::from_secs(2));
    }

    #[test]
    fn what_is_refused_puts_nothing_off() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::default();
        let admitted = |pace: &mut Pace, at| (0..100).filter(|_| pace.admit(second, second * 3, at)).count();
        assert_eq!(admitted(&mut pace, now), 3);
        assert_eq!(admitted(&mut pace, now + second * 2), 2);
    }
}
