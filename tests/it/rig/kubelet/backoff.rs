//! How long a container that ended waits until it is started again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);

/// A kubelet's `CrashLoopBackOff`: the first restart at once, then 10 s, 20 s and so on to 5 min, counted from the end; forgotten
/// after twice the longest without an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    wait: Option<Duration>,
    ended: Option<DateTime<Utc>>,
}

impl Backoff {
    /// A container ended; returns when it may start again.
    pub fn ended(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let forgotten = self.ended.is_none_or(|before| now - before > delta(LONGEST * 2));
        let wait = if forgotten { None } else { self.wait };
        self.wait = Some(wait.map_or(FIRST, |wait| (wait * 2).min(LONGEST)));
        self.ended = Some(now);
        now + wait.map_or(TimeDelta::zero(), delta)
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("minutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_bound_and_is_forgotten() {
        let mut backoff = Backoff::default();
        let mut now = DateTime::UNIX_EPOCH;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = backoff.ended(now);
            waits.push((next - now).num_seconds());
            now = next;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        now += TimeDelta::seconds(601);
        assert_eq!(backoff.ended(now), now);
    }
}
