//! A date with what its text leaves open: how long a stretch of time it stands for, and which one of two.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::DateFormat;
use super::zone::Zone;

const DAY: Duration = Duration::from_hours(24);
/// How long a day may be where only its offset is known: a zone may set its clocks back in it.
const LONGEST_DAY: Duration = Duration::from_hours(25);

/// A date that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WrittenDate {
    /// The instant; of those that the text may mean, the first.
    pub at: DateTime<Utc>,
    /// The date and time as they are written, in whatever zone.
    pub(super) written: NaiveDateTime,
    /// The zone by whose clock it is written; `None` where the text says the offset, or is a number.
    pub(super) zone: Option<Zone>,
    /// The smallest unit that the text has, from minutes on.
    pub(super) unit: Duration,
}

/// What is concluded from the zeros at the end of a date: some servers write seconds and mean minutes or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// They may show how coarse the date is: the longest stretch that it may stand for.
    Any,
    /// Only midnight stands for a whole day: anything else is too often a coincidence.
    Midnight,
}

impl Zeros {
    fn unit(self, written: NaiveDateTime) -> Duration {
        match (self, written.nanosecond(), written.second(), written.minute(), written.hour()) {
            (_, 0, 0, 0, 0) => DAY,
            (Self::Midnight, ..) | (_, 1.., ..) => Duration::ZERO,
            (Self::Any, 0, 1.., ..) => Duration::from_secs(1),
            (Self::Any, 0, 0, 1.., _) => Duration::from_mins(1),
            (Self::Any, 0, 0, 0, 1..) => Duration::from_hours(1),
        }
    }
}

impl WrittenDate {
    pub(super) fn in_utc(at: DateTime<Utc>) -> Self {
        Self { at, written: at.naive_utc(), zone: None, unit: Duration::ZERO }
    }

    /// The last instant that the text may mean: another one than the first in an hour that comes twice.
    #[must_use]
    pub fn latest(&self) -> DateTime<Utc> {
        self.zone.and_then(|zone| zone.last_instant(self.written)).map_or(self.at, |last| last.max(self.at))
    }

    /// Whether it is a local time of Greenwich, which is the zone of dates that nothing is said of.
    #[must_use]
    pub fn is_gmt_by_default(&self) -> bool {
        self.zone.is_some_and(Zone::is_gmt)
    }
}

impl DateFormat {
    /// When the stretch of time is over that a date of this format stands for: every change after it has a later date.
    ///
    /// It ends by the clock of the date's zone, so that a day may have 25 hours. A date that names its offset, and a number, may be a local
    /// midnight in the zone of the format, too.
    #[must_use]
    pub fn end_of(&self, date: &WrittenDate, zeros: Zeros) -> DateTime<Utc> {
        let least = self.granule().max(date.unit);
        let end = end_of_stretch(date, date.zone, date.written, least.max(zeros.unit(date.written)));
        if date.zone.is_some() || self.zone.is_gmt() {
            return end;
        }
        let local = self.zone.local(date.at);
        end.max(end_of_stretch(date, Some(self.zone), local, least.max(zeros.unit(local))))
    }

    /// Whether a date of this format stands for a whole day or more.
    #[must_use]
    pub fn is_whole_day(&self, date: &WrittenDate) -> bool {
        let is_midnight = |written| Zeros::Midnight.unit(written) == DAY;
        self.granule() >= DAY
            || date.unit >= DAY
            || is_midnight(date.written)
            || (date.zone.is_none() && is_midnight(self.zone.local(date.at)))
    }

    /// Whether a date of this format says a moment, whatever zone is configured: it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.layout, super::Layout::Epoch(_))
    }
}

/// The end of a stretch of local time that begins at `local`.
fn end_of_stretch(date: &WrittenDate, zone: Option<Zone>, local: NaiveDateTime, unit: Duration) -> DateTime<Utc> {
    let Ok(span) = TimeDelta::from_std(unit) else { return DateTime::<Utc>::MAX_UTC };
    let at_least = date.at.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let end = match zone {
        // The last moment of it decides: the next one may be in an hour that comes twice.
        Some(zone) => (|| {
            let moment = TimeDelta::nanoseconds(1);
            let last = local.checked_add_signed(span)?.checked_sub_signed(moment)?;
            zone.last_instant(last)?.checked_add_signed(moment)
        })(),
        None if unit >= DAY => {
            TimeDelta::from_std(unit.max(LONGEST_DAY)).ok().and_then(|span| date.at.checked_add_signed(span))
        }
        None => None,
    };
    end.map_or(at_least, |end| end.max(at_least))
}

#[cfg(test)]
mod tests {
    use super::super::DateReading;
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn ends((pattern, zone): (&str, &str), text: &str, zeros: Zeros) -> (DateTime<Utc>, DateTime<Utc>) {
        let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        let DateReading::At(date) = format.read_written(text) else { panic!("{text}") };
        (date.at, format.end_of(&date, zeros))
    }

    #[test]
    fn a_date_stands_for_what_its_text_leaves_out() {
        const LA: &str = "America/Los_Angeles";
        let seconds = "yyyy-MM-dd HH:mm:ss";
        for (format, text, begin, end) in [
            (("", "GMT"), "2026-10-20", "2026-10-20T00:00:00Z", "2026-10-21T00:00:00Z"),
            (("", LA), "2026-10-20", "2026-10-20T07:00:00Z", "2026-10-21T07:00:00Z"),
            (("yyyy-MM-dd", LA), "2026-10-20", "2026-10-20T07:00:00Z", "2026-10-21T07:00:00Z"),
            ((seconds, LA), "2026-10-20 00:00:00", "2026-10-20T07:00:00Z", "2026-10-21T07:00:00Z"),
            // the day on which the clocks are set back, and the one on which they are set forward
            (("yyyy-MM-dd", LA), "2026-11-01", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            ((seconds, LA), "2026-11-01 00:00:00", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            (("yyyy-MM-dd", LA), "2026-03-08", "2026-03-08T08:00:00Z", "2026-03-09T08:00:00Z"),
            // the offset alone does not say how long the day is
            (("", "GMT"), "2026-10-20T00:00:00-07:00", "2026-10-20T07:00:00Z", "2026-10-21T08:00:00Z"),
            (("", "GMT"), "2026-10-20T00:00:00+05:30", "2026-10-19T18:30:00Z", "2026-10-20T19:30:00Z"),
            (("", LA), "2026-10-20T07:00:00Z", "2026-10-20T07:00:00Z", "2026-10-21T07:00:00Z"),
            (("milliseconds", LA), "1792479600000", "2026-10-20T07:00:00Z", "2026-10-21T07:00:00Z"),
            // in an hour that comes twice
            ((seconds, LA), "2026-11-01 01:50:00", "2026-11-01T08:50:00Z", "2026-11-01T09:51:00Z"),
            ((seconds, LA), "2026-11-01 00:59:59", "2026-11-01T07:59:59Z", "2026-11-01T08:00:00Z"),
            (("", "GMT"), "2026-10-20T10:07:00Z", "2026-10-20T10:07:00Z", "2026-10-20T10:08:00Z"),
            (("", "GMT"), "2026-10-20T10:00:00+05:30", "2026-10-20T04:30:00Z", "2026-10-20T05:30:00Z"),
            (("", "GMT"), "2026-10-20T10:07:01Z", "2026-10-20T10:07:01Z", "2026-10-20T10:07:02Z"),
            (("yyyy-MM", "GMT"), "2026-10", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ] {
            assert_eq!(ends(format, text, Zeros::Any), (utc(begin), utc(end)), "{text} {format:?}");
        }
        let midnight = |text: &str| ends(("", "GMT"), text, Zeros::Midnight).1;
        assert_eq!(midnight("2026-10-20T10:00:00Z"), utc("2026-10-20T10:00:01Z"));
        assert_eq!(midnight("2026-10-20T10:07Z"), utc("2026-10-20T10:08:00Z"), "its text has no seconds");
        assert_eq!(midnight("2026-10-20T00:00:00Z"), utc("2026-10-21T01:00:00Z"));
    }

    proptest! {
        /// Whatever is written coarsely is over only when its text can no longer be written.
        #[test]
        fn no_instant_after_the_end_has_the_text(
            pattern in prop::sample::select(&["yyyy-MM-dd", "yyyy-MM-dd HH:mm", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH"][..]),
            zone in prop::sample::select(&["GMT", "America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "+14:00"][..]),
            seconds in 1_500_000_000..1_900_000_000_i64,
        ) {
            let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            let DateReading::At(date) = format.read_written(&format.format(at)) else { panic!() };
            for zeros in [Zeros::Any, Zeros::Midnight] {
                prop_assert!(date.at <= at && at < format.end_of(&date, zeros), "{} {:?}", at, date);
            }
            prop_assert!(date.at <= date.latest() && date.latest() < format.end_of(&date, Zeros::Midnight));
        }
    }
}
