//! The provider's clock, as far as its answers say it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

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
    /// How long a cache has had that answer: the clock has gone on since.
    age: TimeDelta,
    /// Our own clock when the poll began.
    ours: DateTime<Utc>,
}

impl ProviderClock {
    /// `date` is the `Date` header of the first answer, `ours` the start of the poll on our clock.
    pub fn new(date: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> Self {
        Self { date, age: TimeDelta::zero(), ours }
    }

    /// The same of an answer that a cache has had for this long.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { age: TimeDelta::from_std(age).unwrap_or_default(), ..self }
    }

    /// The `Date` header.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        self.date
    }

    /// Whether this moment is certainly past.
    pub fn is_past(&self, at: DateTime<Utc>) -> bool {
        at <= self.date.unwrap_or_else(|| self.ours - WITHOUT_DATE)
    }

    /// Whether a date lies beyond the clock, so that nothing can be concluded from it.
    pub fn is_ahead(&self, date: DateTime<Utc>) -> bool {
        // The header has whole seconds.
        date >= self.date.map_or_else(|| self.ours + WITHOUT_DATE, |now| now + TimeDelta::seconds(1))
    }

    /// The same of a date that another answer had: what was made after a copy in a cache is not ahead of the clock.
    pub fn is_still_ahead(&self, date: DateTime<Utc>) -> bool {
        date.checked_sub_signed(self.age).is_some_and(|date| self.is_ahead(date))
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

    /// Where a date stands that stands for the stretch of time up to `end`.
    pub fn age(&self, date: DateTime<Utc>, end: DateTime<Utc>) -> Age {
        if self.is_ahead(date) {
            return Age::Ahead;
        }
        if self.is_past(end) { Age::Settled } else { Age::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    #[test]
    fn a_date_is_settled_once_its_unit_is_over_on_the_providers_clock() {
        let age = |now: &str, date: &str, end: &str| ProviderClock::new(Some(at(now)), at("00:00:00")).age(at(date), at(end));
        for (now, date, end, expected) in [
            ("10:00:05", "10:00:04", "10:00:05", Age::Settled),
            ("10:00:05", "10:00:05", "10:00:06", Age::Open),
            ("10:00:05", "10:00:05.9", "10:00:06", Age::Open),
            ("10:00:05", "10:00:06", "10:00:07", Age::Ahead),
            ("10:00:05", "10:00:04.999", "10:00:05", Age::Settled),
            ("10:00:05", "10:00:05.001", "10:00:05.002", Age::Open),
            ("10:59:59", "10:00:00", "11:00:00", Age::Open),
        ] {
            assert_eq!(age(now, date, end), expected, "{now} {date} {end}");
        }
    }

    #[test]
    fn a_date_that_is_newer_than_a_copy_is_not_ahead_of_the_clock() {
        let clock = ProviderClock::new(Some(at("10:00:00")), at("10:05:00")).aged(Duration::from_mins(5));
        assert!(clock.is_ahead(at("10:04:59")) && !clock.is_still_ahead(at("10:04:59")));
        assert!(clock.is_still_ahead(at("10:05:01")));
    }

    #[test]
    fn without_a_date_header_only_what_is_far_away_is_certain() {
        let second = TimeDelta::seconds(1);
        let clock = ProviderClock::new(None, at("12:00:00"));
        let age = |date: DateTime<Utc>| clock.age(date, date + second);
        assert_eq!(age(at("11:59:59")), Age::Open);
        assert_eq!(age(at("12:30:01")), Age::Open);
        assert_eq!(age(at("12:00:01") - TimeDelta::days(2)), Age::Settled);
        assert_eq!(age(at("12:00:01") + TimeDelta::days(2)), Age::Ahead);
    }
}
