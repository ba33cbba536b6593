//! The provider's clock, as far as its answers say it, and the unit that a date stands for.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};

use super::known::Age;

/// Without a `Date` header our own clock has to do; it counts only beyond what time zones and clocks that were never set can explain.
const WITHOUT_DATE: TimeDelta = TimeDelta::hours(26);

/// Clocks of servers differ by less.
const FAR: TimeDelta = TimeDelta::minutes(10);

/// What is known of the provider's clock while a listing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderClock {
    /// The `Date` of the listing's first answer (RFC 9110 §6.6.1): its clock was at or after this, for less than a second more.
    date: Option<DateTime<Utc>>,
    /// Our own clock when the poll began.
    ours: DateTime<Utc>,
}

impl ProviderClock {
    /// `date` is the `Date` header of the first answer, `ours` the start of the poll on our clock.
    pub fn new(date: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> Self {
        Self { date, ours }
    }

    /// The `Date` header.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        self.date
    }

    /// Whether this moment is certainly past.
    fn is_past(&self, at: DateTime<Utc>) -> bool {
        at <= self.date.unwrap_or_else(|| self.ours - WITHOUT_DATE)
    }

    /// Whether a date lies beyond the clock, so that nothing can be concluded from it.
    pub fn is_ahead(&self, date: DateTime<Utc>) -> bool {
        // The header has whole seconds.
        date >= self.date.map_or_else(|| self.ours + WITHOUT_DATE, |now| now + TimeDelta::seconds(1))
    }

    /// Whether a date lies so far beyond the clock that it is no difference between two clocks.
    pub fn is_far_ahead(&self, date: DateTime<Utc>) -> bool {
        date.checked_sub_signed(FAR).is_some_and(|date| self.is_ahead(date))
    }

    /// Whether a date is ahead of the clock by more than this.
    pub fn is_ahead_by(&self, date: DateTime<Utc>, by: Duration) -> bool {
        let date = TimeDelta::from_std(by).ok().and_then(|by| date.checked_sub_signed(by));
        date.is_some_and(|date| self.is_ahead(date))
    }

    /// Where a date with this granule stands.
    pub fn age(&self, date: DateTime<Utc>, granule: Duration) -> Age {
        if self.is_ahead(date) {
            return Age::Ahead;
        }
        let over = TimeDelta::from_std(unit(date, granule)).ok().and_then(|unit| date.checked_add_signed(unit));
        if over.is_some_and(|over| self.is_past(over)) { Age::Settled } else { Age::Open }
    }
}

/// The precision of a date. Some servers write seconds and mean minutes or days: the trailing zeros of a date show how coarse it may be,
/// and the granule of its format how coarse it is at least.
pub(super) fn unit(date: DateTime<Utc>, granule: Duration) -> Duration {
    let zeros = match (date.second(), date.minute(), date.hour()) {
        _ if date.nanosecond() != 0 => Duration::ZERO,
        (1.., _, _) => Duration::from_secs(1),
        (0, 1.., _) => Duration::from_mins(1),
        (0, 0, 1..) => Duration::from_hours(1),
        (0, 0, 0) => Duration::from_hours(24),
    };
    granule.max(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    #[test]
    fn a_date_is_settled_once_its_unit_is_over_on_the_providers_clock() {
        let second = Duration::from_secs(1);
        let age = |now: &str, date: &str, granule| ProviderClock::new(Some(at(now)), at("00:00:00")).age(at(date), granule);
        for (now, date, granule, expected) in [
            ("10:00:05", "10:00:04", second, Age::Settled),
            ("10:00:05", "10:00:05", second, Age::Open),
            ("10:00:05", "10:00:05.9", second, Age::Open),
            ("10:00:05", "10:00:06", second, Age::Ahead),
            ("10:00:05", "10:00:04.999", Duration::from_millis(1), Age::Settled),
            ("10:00:05", "10:00:05.001", Duration::from_millis(1), Age::Open),
            // whole minutes, hours and days may be all that the server keeps
            ("10:00:59", "10:00:00", second, Age::Open),
            ("10:01:00", "10:00:00", second, Age::Open),
            ("11:00:00", "10:00:00", second, Age::Settled),
            ("10:31:00", "10:30:00", second, Age::Settled),
            ("23:59:59", "00:00:00", second, Age::Open),
            ("12:00:00", "10:00:01", Duration::from_hours(24), Age::Open),
        ] {
            assert_eq!(age(now, date, granule), expected, "{now} {date} {granule:?}");
        }
    }

    #[test]
    fn without_a_date_header_only_what_is_far_away_is_certain() {
        let second = Duration::from_secs(1);
        let clock = ProviderClock::new(None, at("12:00:00"));
        assert_eq!(clock.age(at("11:59:59"), second), Age::Open);
        assert_eq!(clock.age(at("12:30:01"), second), Age::Open);
        assert_eq!(clock.age(at("12:00:01") - TimeDelta::days(2), second), Age::Settled);
        assert_eq!(clock.age(at("12:00:01") + TimeDelta::days(2), second), Age::Ahead);
    }
}
