//! What all instances of this process did in the last hour, by the minute, for people who look. Pure.

use chrono::{DateTime, Utc};

/// Minutes that are kept.
pub const MINUTES: usize = 60;
/// The same as a difference of times.
const SPAN: i64 = 60;

/// What happened within a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that a sink accepted.
    pub delivered: u32,
    /// Polls that failed, and tries to deliver an event that did.
    pub failed: u32,
}

/// The counts of each minute, in a ring.
#[derive(Clone, Debug)]
pub struct LastHour {
    /// By the number of the minute, modulo [`MINUTES`].
    ring: [Counts; MINUTES],
    /// The latest minute that was counted, since 1970.
    latest: i64,
}

impl Default for LastHour {
    fn default() -> Self {
        Self { ring: [Counts::default(); MINUTES], latest: i64::MIN }
    }
}

impl LastHour {
    /// Counts something that happened now.
    pub fn add(&mut self, delivered: u32, failed: u32, now: DateTime<Utc>) {
        self.turn(minute(now));
        let counts = &mut self.ring[place(self.latest)];
        counts.delivered = counts.delivered.saturating_add(delivered);
        counts.failed = counts.failed.saturating_add(failed);
    }

    /// The counts of the last [`MINUTES`] minutes, the current one last.
    pub fn minutes(&self, now: DateTime<Utc>) -> [Counts; MINUTES] {
        let mut turned = self.clone();
        turned.turn(minute(now));
        // From the minute after the latest one, which is the oldest.
        turned.ring.rotate_left(place(turned.latest.saturating_add(1)));
        turned.ring
    }

    /// Empties the minutes in which nothing was counted. A clock that was set back counts into the latest minute.
    fn turn(&mut self, now: i64) {
        let passed = now.saturating_sub(self.latest);
        if passed <= 0 {
            return;
        }
        let emptied = passed.min(SPAN);
        for minute in now - emptied + 1..=now {
            self.ring[place(minute)] = Counts::default();
        }
        self.latest = now;
    }
}

fn minute(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

fn place(minute: i64) -> usize {
    // Of a remainder by 60 nothing is lost.
    usize::try_from(minute.rem_euclid(SPAN)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minutes, 0).unwrap()
    }

    fn counts(delivered: u32, failed: u32) -> Counts {
        Counts { delivered, failed }
    }

    #[test]
    fn an_hour_is_kept_and_what_is_older_is_forgotten() {
        let mut hour = LastHour::default();
        assert_eq!(hour.minutes(at(0)), [Counts::default(); MINUTES]);
        hour.add(2, 0, at(0));
        hour.add(1, 1, at(0));
        hour.add(5, 0, at(3));
        let seen = hour.minutes(at(4));
        assert_eq!((seen[55], seen[58], seen[59]), (counts(3, 1), counts(5, 0), counts(0, 0)));
        assert_eq!(seen.iter().map(|own| own.delivered).sum::<u32>(), 8);
        assert_eq!(hour.minutes(at(59))[0], counts(3, 1));
        assert_eq!(hour.minutes(at(60)).iter().map(|own| own.delivered).sum::<u32>(), 5);
        hour.add(1, 0, at(1_000));
        assert_eq!(hour.minutes(at(1_000)).iter().map(|own| own.delivered).sum::<u32>(), 1);
        // the clock was set back
        hour.add(1, 0, at(900));
        assert_eq!(hour.minutes(at(900))[59], counts(2, 0));
    }
}
