//! Java date patterns with their zone, read and written as Java does.
//!
//! The letters are those of `java.time.format.DateTimeFormatter`. Where `SimpleDateFormat` reads more (one digit where the pattern
//! has two, zone names beside offsets) that is read too, as long as it can only mean one thing. Known differences are listed at
//! [`DateFormat::new`].

mod epoch;
mod iso;
mod pattern;
mod read;
mod write;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use epoch::EpochUnit;
use pattern::Pattern;
pub(super) use zone::Zone;

/// A date pattern together with the zone of dates that carry none.
///
/// The default is RFC 3339 in GMT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DateFormat {
    layout: Layout,
    zone: Zone,
}

/// What a text says about a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateReading {
    /// This instant.
    At(DateTime<Utc>),
    /// The provider's way to say that there is no date.
    Never,
    /// No date of the format.
    Unreadable,
}

/// What a date looks like.
#[derive(Clone, Debug, Default, PartialEq)]
enum Layout {
    /// RFC 3339 with the liberties that servers take.
    #[default]
    Rfc3339,
    /// Time since 1970-01-01T00:00:00Z.
    Epoch(EpochUnit),
    /// Pattern letters.
    Pattern(Arc<Pattern>),
}

/// Why a pattern or its zone is refused. The text reads on from the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateFormatError {
    /// Longer than any date.
    #[error("is longer than {} characters", pattern::MAX_LENGTH)]
    TooLong,
    /// A quote opens and never closes.
    #[error("has a quote ' that is not closed; literal text stands between two quotes, a quote itself is ''")]
    UnbalancedQuote,
    /// A bracket without its partner.
    #[error("has a bracket [ or ] without its partner; literal brackets stand between quotes")]
    UnbalancedBracket,
    /// A letter that Java does not know, or that does not say when something was changed.
    #[error("has the letter {0}, which is no supported pattern letter; literal text stands between quotes")]
    UnknownLetter(char),
    /// A known letter too often, or too seldom.
    #[error("has the letter {0} in a number that has no meaning or cannot be read back")]
    Repetition(char),
    /// No year, so that no date can be told.
    #[error("has no year; write letters such as yyyy-MM-dd, or milliseconds or seconds")]
    NoYear,
    /// A finer field without the coarser one around it.
    #[error("has {finer} but not {coarser}; small and capital letters differ")]
    Gap {
        /// The field that is there.
        finer: &'static str,
        /// The field that is missing.
        coarser: &'static str,
    },
    /// `D` beside `M`.
    #[error("has D (day of the year) beside M (month); d is the day of the month")]
    DayOfYear,
    /// `h` or `K` without `a`.
    #[error("has a 12-hour clock (h or K) without a (AM/PM); H is the 24-hour clock")]
    TwelveHours,
    /// Neither IANA, nor Java, nor an offset.
    #[error("is not a time zone; write a name such as America/Denver, an offset such as -07:00, or GMT")]
    UnknownZone,
}

impl DateFormatError {
    /// Whether the zone is at fault; otherwise it is the pattern.
    #[must_use]
    pub fn concerns_zone(&self) -> bool {
        matches!(self, Self::UnknownZone)
    }
}

impl DateFormat {
    /// Compiles a pattern for dates of a zone.
    ///
    /// `pattern` is a Java pattern, or the word `milliseconds` or `seconds`; `None` and an empty text mean RFC 3339. `zone` is an
    /// IANA name, an offset (`+6:00`, `GMT+6`) or one of Java's short names: PST is America/Los Angeles with its summer time, but
    /// EST, MST and HST are fixed offsets (`java.time.ZoneId.SHORT_IDS`). `None` and an empty text mean GMT.
    ///
    /// Differences from `DateTimeFormatter`, on purpose:
    /// - `Y` is the calendar year, as nearly everyone who writes it means; weeks are not supported.
    /// - 30 February is no date, where Java takes the last day of the month.
    /// - A zone name in a text means what it says: PST is -08:00 in summer too.
    /// - A text that is RFC 3339 is accepted whatever the pattern, unless the pattern has the day before the month.
    ///
    /// And from `SimpleDateFormat`: `S` is a fraction of a second, not a number of milliseconds; `u` is the year; `[…]` is optional.
    ///
    /// # Errors
    /// A pattern that cannot be understood or would lose time, or an unknown zone.
    pub fn new(pattern: Option<&str>, zone: Option<&str>) -> Result<Self, DateFormatError> {
        let zone = zone.map_or(Some(Zone::GMT), Zone::parse).ok_or(DateFormatError::UnknownZone)?;
        Self::in_zone(pattern, zone)
    }

    /// Like [`DateFormat::new`] with a zone that is known already.
    pub(super) fn in_zone(pattern: Option<&str>, zone: Zone) -> Result<Self, DateFormatError> {
        let layout = match pattern.map(str::trim_ascii).unwrap_or_default() {
            "" => Layout::Rfc3339,
            word if word.eq_ignore_ascii_case("milliseconds") => Layout::Epoch(EpochUnit::Milliseconds),
            word if word.eq_ignore_ascii_case("seconds") => Layout::Epoch(EpochUnit::Seconds),
            letters => Layout::Pattern(Pattern::shared(letters)?),
        };
        Ok(Self { layout, zone })
    }

    /// The instant that a text denotes, or `None` when it is no date of this format. A JSON number is given by its digits.
    ///
    /// A local time that the zone has twice is the earlier of the two: too early costs a repeated reading, too late a change. One
    /// that the zone skips is moved forward by what was skipped, as Java does.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<DateTime<Utc>> {
        let text = text.trim_ascii();
        match &self.layout {
            Layout::Rfc3339 => iso::read(text, self.zone, iso::Rules { date_alone: true, literal_z: false }),
            Layout::Epoch(unit) => epoch::read(text, *unit).or_else(|| iso::read(text, self.zone, iso::Rules::default())),
            Layout::Pattern(pattern) => pattern.read(text, self.zone),
        }
    }

    /// What a text says.
    pub fn read(&self, text: &str) -> DateReading {
        self.parse(text).map_or(DateReading::Unreadable, DateReading::At)
    }

    /// The text of an instant in the zone, cut off at the [granule](Self::granule).
    #[must_use]
    pub fn format(&self, at: DateTime<Utc>) -> String {
        match &self.layout {
            Layout::Rfc3339 => write::rfc3339(at, self.zone),
            Layout::Epoch(unit) => epoch::write(at, *unit),
            Layout::Pattern(pattern) => write::pattern(pattern, at, self.zone),
        }
    }

    /// The smallest unit that a formatted date carries, e.g. one second. A month counts 31 days, a year 366.
    #[must_use]
    pub fn granule(&self) -> Duration {
        match &self.layout {
            Layout::Rfc3339 | Layout::Epoch(EpochUnit::Seconds) => Duration::from_secs(1),
            Layout::Epoch(EpochUnit::Milliseconds) => Duration::from_millis(1),
            Layout::Pattern(pattern) => pattern.granule,
        }
    }

    /// The earliest instant that the text of any date at or after `at` may be read as: the lower bound that loses nothing.
    ///
    /// A format of whole days reads every date of a day as its midnight. And when summer time ends, a text without zone may be
    /// read an hour too early.
    #[must_use]
    pub fn earliest_reading(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let fold = if self.carries_zone() { None } else { self.zone.fold_start(at) };
        let from = fold.unwrap_or(at);
        if self.layout == Layout::Rfc3339 {
            return from;
        }
        self.parse(&self.format(from)).map_or(from, |read| read.min(from))
    }

    /// The text for a filter on dates, one granule early so that a filter that excludes its bound loses no tie.
    pub(super) fn format_bound(&self, since: DateTime<Utc>) -> String {
        let from = self.earliest_reading(since);
        let earlier = TimeDelta::from_std(self.granule()).ok().and_then(|granule| from.checked_sub_signed(granule));
        self.format(earlier.unwrap_or(from))
    }

    /// Whether the pattern ends its times with a quoted `'Z'` although the zone is not GMT. The zone is believed; a person should
    /// hear of it, for one of the two is wrong.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        matches!(&self.layout, Layout::Pattern(pattern) if pattern.literal_z) && !self.zone.is_gmt()
    }

    /// Minutes east of Greenwich of dates that carry no zone, at an instant; `None` when dates name their zone.
    pub(super) fn zone_minutes(&self, at: DateTime<Utc>) -> Option<i32> {
        (!self.carries_zone()).then(|| self.zone.offset_at(at) / 60)
    }

    /// Whether a formatted date says its own zone.
    fn carries_zone(&self) -> bool {
        match &self.layout {
            Layout::Rfc3339 => false,
            Layout::Epoch(_) => true,
            Layout::Pattern(pattern) => pattern.carries_zone,
        }
    }
}

#[cfg(test)]
mod tests;
