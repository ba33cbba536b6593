//! Suspects a wrong time zone: new records that are dated a whole offset away from the provider's clock, poll after poll.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// This number of polls in a row must say the same.
const POLLS: u32 = 2;
/// Clocks that agree differ by no more than this.
const SLACK: TimeDelta = TimeDelta::seconds(90);
/// Zones are whole quarters of an hour apart.
const QUARTER: i64 = 15 * 60;
/// No zones differ by less, so a date that stands for as long as this says nothing of its zone.
pub(super) const FINEST: TimeDelta = TimeDelta::seconds(QUARTER);

/// How far the dates of new records were from the provider's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneEvidence {
    /// Minutes by which dates are behind the clock; negative: ahead of it.
    pub behind: i32,
    /// Polls in a row that say so.
    pub polls: u32,
}

impl ZoneEvidence {
    /// Minutes by which dates are behind the clock, once that is more than a coincidence.
    pub fn suspected(self) -> Option<i32> {
        (self.polls >= POLLS).then_some(self.behind)
    }

    /// The evidence after a poll whose newest change by a date that depends on a zone is dated `newest`, on the provider's clock `now`, with polls `interval` apart.
    /// A poll without changes says nothing.
    pub fn after(
        before: Option<Self>,
        newest: Option<DateTime<Utc>>,
        now: Option<DateTime<Utc>>,
        interval: Duration,
    ) -> Option<Self> {
        let Some((newest, now)) = newest.zip(now) else { return before };
        let behind = offset(now - newest, interval)?;
        Some(match before {
            Some(evidence) if evidence.behind == behind => Self { behind, polls: evidence.polls.saturating_add(1) },
            _ => Self { behind, polls: 1 },
        })
    }
}

/// The offset in minutes that explains how old a change looks that was made since the last poll; `None`: it needs none, or none fits.
fn offset(lag: TimeDelta, interval: Duration) -> Option<i32> {
    let interval = TimeDelta::from_std(interval).ok()? + SLACK;
    if lag >= -SLACK && lag <= interval {
        return None;
    }
    // The longer the interval, the more offsets would fit: then only whole hours are distinguished, and finally none.
    let step = if interval.num_seconds() < QUARTER { QUARTER } else { 4 * QUARTER };
    let offset = (lag + SLACK).num_seconds().div_euclid(step) * step;
    let rest = lag - TimeDelta::seconds(offset);
    // UTC−12 to UTC+14
    let is_zone = offset != 0 && (-14 * 4 * QUARTER..=12 * 4 * QUARTER).contains(&offset);
    (is_zone && rest <= interval && interval.num_seconds() < step).then(|| i32::try_from(offset / 60).ok()).flatten()
}

/// An offset as it is written in a manifest, such as `-05:00`.
pub fn written(minutes_east: i32) -> String {
    let sign = if minutes_east < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes_east.abs() / 60, minutes_east.abs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    #[test]
    fn dates_a_whole_offset_away_are_suspected_the_second_time() {
        let interval = Duration::from_mins(5);
        let after = |before, newest: &str| ZoneEvidence::after(before, Some(at(newest)), Some(at("12:00:00")), interval);
        let first = after(None, "06:58:30");
        assert_eq!(first, Some(ZoneEvidence { behind: 300, polls: 1 }));
        assert_eq!(first.unwrap().suspected(), None);
        let second = after(first, "06:57:00");
        assert_eq!(second.unwrap().suspected(), Some(300));
        assert_eq!(after(second, "11:58:00"), None, "dates that fit end it");
        assert_eq!(ZoneEvidence::after(second, None, Some(at("12:00:00")), interval), second, "no change says nothing");
        assert_eq!(after(None, "17:29:00").unwrap().behind, -330);
        assert_eq!(after(None, "06:14:00").unwrap().behind, 345);
        assert_eq!(after(None, "06:52:00"), None, "seven minutes are no part of an offset");
        assert_eq!(after(None, "12:01:00"), None);
    }

    #[test]
    fn long_intervals_suspect_less() {
        let behind = |lag: i64, interval| offset(TimeDelta::minutes(lag), Duration::from_mins(interval));
        assert_eq!(behind(310, 15), Some(300));
        assert_eq!(behind(330, 15), None);
        assert_eq!(behind(310, 60), None);
        assert_eq!(behind(16 * 60, 1), None);
    }

    #[test]
    fn offsets_are_written_as_in_a_manifest() {
        assert_eq!([-300, 330, 0].map(written), ["-05:00", "+05:30", "+00:00"]);
    }
}
