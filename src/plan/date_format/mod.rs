//! Java date patterns with their zone, read and written as Java does.
//!
//! The letters are those of `java.time.format.DateTimeFormatter`. Where `SimpleDateFormat` reads more (one digit where the pattern has two,
//! blanks before a field, zone names next to offsets) that is read too, as long as it can only mean one thing. Known differences are listed
//! at [`DateFormat::new`].

mod blanks;
mod epoch;
mod iso;
mod names;
mod pattern;
mod read;
mod sentinel;
mod write;
mod written_date;
mod written_zone;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use epoch::EpochUnit;
pub(super) use epoch::step_back;
use pattern::{Pattern, Says};
pub use written_date::{WrittenDate, Zeros};
pub(super) use zone::Zone;

/// Two digits of a year count from here, as `DateTimeFormatter` has it.
const SHORT_YEARS_FROM: i32 = 2000;

/// A date pattern together with the zone of dates that carry none.
///
/// The default is RFC 3339 in GMT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DateFormat {
    layout: Layout,
    zone: Zone,
}

/// RFC 3339 in GMT: the format where none is given.
pub static RFC_3339: DateFormat = DateFormat { layout: Layout::Rfc3339, zone: Zone::GMT };

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

/// What a text in the place of a date says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateReading<D = DateTime<Utc>> {
    /// A date.
    At(D),
    /// The provider's way to say that there is no date: the record counts as one whose field is null.
    Never,
    /// Something that is no date of the format.
    Unreadable,
}

/// Why a pattern or its zone is refused. The text reads on from the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateFormatError {
    /// Longer than any date.
    #[error("is longer than {} characters", pattern::MAX_LENGTH)]
    TooLong,
    /// A quote opens and never closes.
    #[error("has a quote ' that is not closed; put literal text between two quotes; a quote itself is ''")]
    UnbalancedQuote,
    /// A bracket without its partner.
    #[error("has an unmatched bracket [ or ]; put literal brackets between quotes")]
    UnbalancedBracket,
    /// A letter that Java does not know, or that does not say when something was changed.
    #[error("has the letter {0}, which is not a supported pattern letter; put literal text between quotes")]
    UnknownLetter(char),
    /// A known letter too often, or too seldom.
    #[error("has the letter {0} in a number that has no meaning or cannot be read back")]
    Repetition(char),
    /// No year, so that there is no date.
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
    /// `D` next to `M`.
    #[error("has D (day of the year) next to M (month); d is the day of the month")]
    DayOfYear,
    /// `HH:MM`, with `m` where the month stands.
    #[error("has M (month) after the hour; m is the minute, M the month")]
    MonthAfterHour,
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
    /// - Any run of blanks stands for any other one, and names may end in a dot (`Nov.`, `a.m.`).
    /// - Several zones in a text (`+01:00[Europe/Paris]`) need not agree: the offset counts, as in `ISO_ZONED_DATE_TIME`.
    /// - `zzzz` is read only next to an offset, and written as `GMT+01:00`.
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

    /// What a text in the place of a date says. A JSON number is given by its digits.
    ///
    /// "No date" ([`DateReading::Never`]) are an empty text, words such as `null`, `MySQL`'s `0000-00-00`, and what other systems have
    /// as their first or last date, in any form and zone: year 1, 1970-01-01T00:00:00, 1900-01-01, 9999-12-31 and the like. 5 seconds
    /// behind the start of 1970 is a date.
    #[must_use]
    pub fn read(&self, text: &str) -> DateReading {
        match self.read_written(text) {
            DateReading::At(date) => DateReading::At(date.at),
            DateReading::Never => DateReading::Never,
            DateReading::Unreadable => DateReading::Unreadable,
        }
    }

    /// The same, with what the text leaves open.
    #[must_use]
    pub fn read_written(&self, text: &str) -> DateReading<WrittenDate> {
        let text = &*blanks::single_spaced(text);
        match self.written(text) {
            Some(date) if sentinel::is_never(text, &date, self.has_short_year()) => DateReading::Never,
            Some(date) => DateReading::At(date),
            None if sentinel::is_never_elsewhere(text) => DateReading::Never,
            None => DateReading::Unreadable,
        }
    }

    /// The instant that a text denotes, or `None` when it is no date of this format. The date of a record is read by
    /// [`DateFormat::read`], which knows the dates that mean none.
    ///
    /// A local time that the zone has twice is the earlier of the two, unless the text says an offset or a name such as `PST`: too
    /// early costs a repeated reading, too late a change. One that the zone skips is moved forward by what was skipped, as Java does.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<DateTime<Utc>> {
        self.written(&blanks::single_spaced(text)).map(|date| date.at)
    }

    /// Reads a [single-spaced](blanks::single_spaced) text.
    fn written(&self, text: &str) -> Option<WrittenDate> {
        match &self.layout {
            Layout::Rfc3339 => iso::read(text, self.zone, iso::Rules { date_alone: true, literal_z: false }),
            Layout::Epoch(unit) => {
                let number = epoch::read(text, *unit).map(WrittenDate::in_utc);
                number.or_else(|| iso::read(text, self.zone, iso::Rules::default()))
            }
            Layout::Pattern(pattern) => pattern.read(text, self.zone),
        }
    }

    /// The text of an instant in the zone, cut off at the [granule](Self::granule).
    #[must_use]
    pub fn format(&self, at: DateTime<Utc>) -> String {
        match &self.layout {
            Layout::Rfc3339 => write::rfc3339(at, self.zone),
            Layout::Epoch(unit) => epoch::number(at, *unit).to_string(),
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
        let from = self.fold_start(at).unwrap_or(at);
        if self.layout == Layout::Rfc3339 {
            return from;
        }
        self.parse(&self.format(from)).map_or(from, |read| read.min(from))
    }

    /// The text for a filter on dates at or after `since`: the unit before the one in which it lies, so that a filter that excludes
    /// its bound loses no tie, however the server reads a local time that comes twice. Without `since`, 1970.
    pub(super) fn format_bound(&self, since: Option<DateTime<Utc>>) -> String {
        let Some(since) = since else { return self.format_in_range(DateTime::UNIX_EPOCH) };
        let unit = match &self.layout {
            Layout::Epoch(unit) => return step_back(epoch::number(since, *unit)).to_string(),
            // a month, a day and an hour are as long as the calendar says: what ends just before the unit begins is the one before
            Layout::Pattern(_) => {
                let from = self.earliest_reading(since);
                self.parse(&self.format(from)).filter(|unit| *unit <= from)
            }
            Layout::Rfc3339 => DateTime::from_timestamp(self.earliest_reading(since).timestamp(), 0),
        };
        let back = |from: DateTime<Utc>| {
            let granule = TimeDelta::from_std(self.granule()).ok()?;
            from.checked_sub_signed(granule)
        };
        let Some(unit) = unit else { return self.format_in_range(back(since).unwrap_or(since)) };
        let mut earlier = unit.checked_sub_signed(TimeDelta::nanoseconds(1)).unwrap_or(unit);
        // the unit before may begin in a stretch that the zone skips, and be read as the end of it: as the unit itself
        if self.parse(&self.format(earlier)).is_some_and(|read| read >= unit) {
            earlier = back(earlier).unwrap_or(earlier);
        }
        self.format_in_range(earlier)
    }

    /// Like [`DateFormat::format`]; what lies before the first year that two digits can say is the start of that year.
    fn format_in_range(&self, at: DateTime<Utc>) -> String {
        if self.has_short_year() && self.zone.local(at).year() < SHORT_YEARS_FROM {
            let first = NaiveDate::from_ymd_opt(SHORT_YEARS_FROM, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0));
            return self.format(first.and_then(|first| self.zone.instant(first)).unwrap_or(at));
        }
        self.format(at)
    }

    /// Whether the pattern ends its times with a quoted `'Z'` although the zone is not GMT. The zone is believed, and one of the two is
    /// wrong.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        matches!(&self.layout, Layout::Pattern(pattern) if pattern.literal_z) && !self.zone.is_gmt()
    }

    /// Minutes east of Greenwich of dates that carry no zone, at an instant; `None` when dates name their zone, as most do that have no
    /// pattern.
    pub(super) fn zone_minutes(&self, at: DateTime<Utc>) -> Option<i32> {
        let Layout::Pattern(pattern) = &self.layout else { return None };
        (pattern.says == Says::Nothing).then(|| self.zone.offset_at(at) / 60)
    }

    /// Whether a year is written with two digits.
    fn has_short_year(&self) -> bool {
        matches!(&self.layout, Layout::Pattern(pattern) if pattern.short_year)
    }

    /// When a date at `at` has the text of another one, since its zone sets the clock back: the start of the stretch that comes twice.
    fn fold_start(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let says = match &self.layout {
            Layout::Rfc3339 => Says::Nothing,
            Layout::Epoch(_) => return None,
            Layout::Pattern(pattern) => pattern.says,
        };
        if says == Says::Offset {
            return None;
        }
        let fold = self.zone.fold(at)?;
        // Moscow's two passes of 2014 are both MSK
        let told_apart = says == Says::Name && self.zone.short_name(fold.first) != self.zone.short_name(fold.second);
        (!told_apart).then_some(fold.first)
    }
}

#[cfg(test)]
mod tests;
