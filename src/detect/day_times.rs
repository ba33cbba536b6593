//! Suspects dates that stand for days, though they are written as instants: all of them are at one time of the day, as local midnight is in
//! UTC. A second change on the same day has the same date, and is not found. Pure.

use chrono::{DateTime, Utc};

const DAY: i64 = 86_400;
/// Zones are whole quarters of an hour apart.
const QUARTER: i64 = 15 * 60;
/// Summer time moves the clock by this.
const HOUR: i64 = 3_600;
/// This number of dates at one time of the day is no coincidence,
const MANY: u32 = 8;
/// if they are of this number of days: one job may have written many records at once.
const DAYS: usize = 3;

/// The times of the day of the dates in one listing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DayTimes {
    dates: u32,
    /// One, or two an hour apart, in seconds.
    times: [Option<i64>; 2],
    /// The first days that were seen.
    days: [Option<i64>; DAYS],
    /// A date is at another time of the day.
    is_broken: bool,
}

impl DayTimes {
    /// Notes a date that the format reads as an instant.
    pub(super) fn note(&mut self, date: DateTime<Utc>) {
        self.dates += 1;
        let (day, time) = (date.timestamp().div_euclid(DAY), date.timestamp().rem_euclid(DAY));
        if let Some(free) = self.days.iter_mut().find(|own| own.is_none_or(|own| own == day)) {
            *free = Some(day);
        }
        let is_midnight_somewhere = time % QUARTER == 0 && date.timestamp_subsec_nanos() == 0;
        let slot = self.times.iter_mut().find(|own| own.is_none_or(|own| own == time));
        match slot {
            Some(slot) if is_midnight_somewhere => *slot = Some(time),
            _ => self.is_broken = true,
        }
    }

    /// Whether the dates stand for days; `None` where there are too few of them to say.
    pub(super) fn are_days(&self) -> Option<bool> {
        let apart = |[first, second]: [Option<i64>; 2]| first.zip(second).map_or(HOUR, |(a, b)| (a - b).abs());
        let is_one_clock = [HOUR, DAY - HOUR].contains(&apart(self.times));
        if self.is_broken || !is_one_clock {
            return Some(false);
        }
        // Midnight itself is a day already.
        let is_hidden = self.times.iter().flatten().any(|time| *time != 0);
        (self.dates >= MANY && self.days.iter().all(Option::is_some) && is_hidden).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_days(dates: &[&str]) -> Option<bool> {
        let mut times = DayTimes::default();
        for date in dates {
            times.note(date.parse().unwrap());
        }
        times.are_days()
    }

    fn at(times: &[&str]) -> Vec<String> {
        (0..12).map(|n| format!("2026-11-{:02}T{}Z", 10 + n % 4, times[n % times.len()])).collect()
    }

    fn told(times: &[&str]) -> Option<bool> {
        let dates = at(times);
        are_days(&dates.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn one_time_of_the_day_is_midnight_somewhere() {
        for times in [&["23:00:00"][..], &["18:30:00"], &["05:00:00", "04:00:00"], &["23:00:00", "00:00:00"], &["18:15:00.000"]]
        {
            assert_eq!(told(times), Some(true), "{times:?}");
        }
    }

    #[test]
    fn other_dates_are_instants() {
        for times in [&["23:00:00", "23:00:01"][..], &["18:31:00"], &["05:00:00", "03:00:00"], &["23:00:00.001"]] {
            assert_eq!(told(times), Some(false), "{times:?}");
        }
        assert_eq!(told(&["00:00:00"]), None, "which is a day already");
        assert_eq!(are_days(&["2026-11-10T23:00:00Z"; 20]), None, "one job wrote them all");
        assert_eq!(are_days(&["2026-11-10T23:00:00Z", "2026-11-11T23:00:00Z", "2026-11-12T23:00:00Z"]), None, "too few");
    }
}
