//! How many requests fit into a period: what was sent is counted, and what a provider says is left is believed. Pure; times are since
//! an origin of the caller.

use std::time::Duration;

/// Parts of a period. A request is forgotten between one period and one period and a part after it was sent.
const PARTS: u64 = 16;
const SLOTS: usize = 17;
/// Requests that may be under way when a provider says how many are left: they are not in its number yet.
const UNDER_WAY: u32 = 4;

/// A number of requests within any period of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests within the period; at least 1.
    pub count: u32,
    /// Length of the period; at least a second.
    pub period: Duration,
}

/// What was sent within the last period.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Requests of each part of the period, the part with number n at n modulo the length.
    slots: [u32; SLOTS],
    /// Number of the newest part.
    newest: u64,
    /// The provider said that none is left until then.
    spent_until: Option<Duration>,
}

impl Allowance {
    fn part(&self) -> Duration {
        // not zero: a period has at least a second
        self.period / u32::try_from(PARTS).unwrap_or(16)
    }

    fn part_at(&self, at: Duration) -> u64 {
        let parts = at.as_nanos() / self.part().as_nanos().max(1);
        u64::try_from(parts).unwrap_or(u64::MAX)
    }
}

impl Sent {
    /// How long until one more request fits; `None`: now.
    pub fn wait(&mut self, allowance: &Allowance, at: Duration) -> Option<Duration> {
        self.advance(allowance.part_at(at));
        self.spent_until = self.spent_until.filter(|until| *until > at);
        if let Some(until) = self.spent_until {
            return Some(until.saturating_sub(at));
        }
        let mut used = self.used();
        if used < u64::from(allowance.count) {
            return None;
        }
        // the oldest part is forgotten first
        for ahead in 1..=PARTS + 1 {
            let forgotten = (self.newest + ahead).checked_sub(PARTS + 1);
            used -= forgotten.map_or(0, |part| u64::from(self.slots[slot(part)]));
            if used < u64::from(allowance.count) {
                let then = allowance.part().as_nanos().saturating_mul(u128::from(self.newest + ahead));
                return Some(Duration::from_nanos(u64::try_from(then).unwrap_or(u64::MAX)).saturating_sub(at));
            }
        }
        Some(allowance.period)
    }

    /// One request is sent now.
    pub fn count_one(&mut self, allowance: &Allowance, at: Duration) {
        self.advance(allowance.part_at(at));
        let newest = &mut self.slots[slot(self.newest)];
        *newest = newest.saturating_add(1);
    }

    /// The provider says how many requests are left, and perhaps in what time there are more. Others may use the same quota, or it was
    /// renewed earlier than thought.
    pub fn believe(&mut self, allowance: &Allowance, left: u32, renewed: Option<Duration>, at: Duration) {
        self.advance(allowance.part_at(at));
        self.spent_until = renewed.filter(|_| left == 0).map(|wait| at + wait);
        if self.spent_until.is_some() {
            // all of it is renewed then
            self.slots = [0; SLOTS];
            return;
        }
        let used = u64::from(allowance.count.saturating_sub(left));
        let counted = self.used();
        if used > counted {
            let newest = &mut self.slots[slot(self.newest)];
            *newest = newest.saturating_add(u32::try_from(used - counted).unwrap_or(u32::MAX));
        } else if used + u64::from(UNDER_WAY) < counted {
            self.slots = [0; SLOTS];
            self.slots[slot(self.newest)] = u32::try_from(used).unwrap_or(u32::MAX).saturating_add(UNDER_WAY);
        }
    }

    /// Whether nothing is remembered at this time.
    pub fn is_empty(&mut self, allowance: &Allowance, at: Duration) -> bool {
        self.advance(allowance.part_at(at));
        self.used() == 0 && self.spent_until.is_none_or(|until| until <= at)
    }

    fn used(&self) -> u64 {
        self.slots.iter().map(|sent| u64::from(*sent)).sum()
    }

    fn advance(&mut self, part: u64) {
        if part <= self.newest {
            return;
        }
        if part - self.newest > PARTS {
            self.slots = [0; SLOTS];
        } else {
            ((self.newest + 1)..=part).for_each(|passed| self.slots[slot(passed)] = 0);
        }
        self.newest = part;
    }
}

fn slot(part: u64) -> usize {
    usize::try_from(part % (PARTS + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Allowance = Allowance { count: 10, period: Duration::from_mins(1) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn as_many_as_are_allowed_are_sent_at_once_and_the_next_waits_for_a_period() {
        let mut sent = Sent::default();
        for _ in 0..10 {
            assert_eq!(sent.wait(&MINUTE, at(100)), None);
            sent.count_one(&MINUTE, at(100));
        }
        let wait = sent.wait(&MINUTE, at(100)).unwrap();
        assert!((at(60)..=at(64)).contains(&wait), "{wait:?}");
        assert!(sent.wait(&MINUTE, (at(100) + wait).saturating_sub(Duration::from_millis(1))).is_some());
        assert_eq!(sent.wait(&MINUTE, at(100) + wait), None);
    }

    #[test]
    fn what_others_used_counts_and_what_was_renewed_does_not() {
        let mut sent = Sent::default();
        sent.count_one(&MINUTE, at(0));
        sent.believe(&MINUTE, 0, None, at(1));
        assert!(sent.wait(&MINUTE, at(1)).is_some(), "others used the rest");
        sent.believe(&MINUTE, 0, Some(at(9)), at(1));
        assert_eq!(sent.wait(&MINUTE, at(2)), Some(at(8)), "it says when there are more");
        assert_eq!(sent.wait(&MINUTE, at(10)), None);
        sent.believe(&MINUTE, 0, None, at(11));
        sent.believe(&MINUTE, 10, None, at(12));
        assert_eq!(sent.wait(&MINUTE, at(12)), None, "it was renewed");
        let mut sent = Sent::default();
        (0..3).for_each(|_| sent.count_one(&MINUTE, at(0)));
        sent.believe(&MINUTE, 9, None, at(0));
        assert_eq!(sent.used(), 3, "those under way are not in the number of the provider yet");
        sent.believe(&MINUTE, 4_000_000, None, at(0));
        assert!(sent.used() <= 4, "a larger quota than was declared");
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut sent = Sent::default();
        sent.count_one(&MINUTE, at(0));
        assert!(!sent.is_empty(&MINUTE, at(59)));
        assert!(sent.is_empty(&MINUTE, at(64)));
        assert!(sent.is_empty(&MINUTE, at(u64::MAX / 2)));
    }

    proptest! {
        /// Whenever requests are sent as soon as they fit, no period of the length has more than are allowed, and waits end.
        #[test]
        fn no_period_has_more_than_are_allowed(count in 1u32..30, period in 1u64..5_000, gaps in proptest::collection::vec(0u64..2_000, 1..200)) {
            let allowance = Allowance { count, period: at(period) };
            let (mut sent, mut now, mut times) = (Sent::default(), Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Some(wait) = sent.wait(&allowance, now) {
                    prop_assert!(wait <= allowance.period + allowance.part(), "{wait:?}");
                    now += wait;
                    prop_assert_eq!(sent.wait(&allowance, now), None);
                }
                sent.count_one(&allowance, now);
                times.push(now);
            }
            for (first, begin) in times.iter().enumerate() {
                let within = times[first..].iter().take_while(|time| time.saturating_sub(*begin) < allowance.period).count();
                prop_assert!(within <= count as usize, "{within} within {period}s");
            }
        }
    }
}
