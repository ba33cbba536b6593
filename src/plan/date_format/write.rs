//! Instant → text by a pattern.

use std::fmt::{self, Write};

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

use super::names::{MONTHS, WEEKDAYS};
use super::pattern::{Field, Item, OffsetStyle, Parts, Pattern};
use super::read::weekday_index;
use super::zone::{Zone, colon_offset};

/// RFC 3339 without fraction, the form that the most servers understand in a filter.
pub(super) fn rfc3339(at: DateTime<Utc>, zone: Zone) -> String {
    let local = zone.local(at);
    let offset = zone.offset_at(at);
    let zone = if offset == 0 { "Z".to_owned() } else { colon_offset(offset) };
    format!("{}{zone}", local.format("%Y-%m-%dT%H:%M:%S"))
}

/// By pattern.
pub(super) fn pattern(pattern: &Pattern, at: DateTime<Utc>, zone: Zone) -> String {
    let mut text = String::with_capacity(pattern.items.len() + 16);
    // writing to a String does not fail
    let _ = Moment { at, local: zone.local(at), zone }.write_items(&pattern.items, &mut text);
    text
}

/// An instant as a zone sees it.
struct Moment {
    at: DateTime<Utc>,
    local: NaiveDateTime,
    zone: Zone,
}

impl Moment {
    fn write_items(&self, items: &[Item], text: &mut String) -> fmt::Result {
        items.iter().try_for_each(|item| self.write_item(item, text))
    }

    fn write_item(&self, item: &Item, text: &mut String) -> fmt::Result {
        match item {
            Item::Literal(literal) => text.write_char(*literal),
            Item::Optional(inner) => self.write_items(inner, text),
            Item::Era => text.write_str(if self.local.year() > 0 { "AD" } else { "BC" }),
            Item::Year { width, proleptic, .. } => self.write_year(usize::from(*width), *proleptic, text),
            Item::Number { field, width, .. } => write!(text, "{:0width$}", self.number(*field), width = usize::from(*width)),
            Item::MonthName { full } => write_name(MONTHS[self.local.month0() as usize], *full, text),
            Item::WeekdayName { full } => write_name(WEEKDAYS[weekday_index(self.local.weekday())], *full, text),
            Item::HalfDay => text.write_str(if self.local.hour() < 12 { "AM" } else { "PM" }),
            Item::Fraction { width, .. } => {
                // chrono counts a leap second as nanoseconds beyond the 59th
                let nanos = self.local.nanosecond().min(999_999_999);
                write!(text, "{:0width$}", nanos / 10_u32.pow(9 - u32::from(*width)), width = usize::from(*width))
            }
            Item::Offset(style) => write_offset(self.zone.offset_at(self.at), *style, text),
            Item::ZoneName => text.write_str(&self.zone.short_name(self.at)),
            Item::ZoneWords => write_offset(self.zone.offset_at(self.at), OffsetStyle::GMT, text),
            Item::ZoneId => text.write_str(&self.zone.id()),
        }
    }

    fn write_year(&self, width: usize, proleptic: bool, text: &mut String) -> fmt::Result {
        let year = self.local.year();
        let shown = if proleptic || year > 0 { year } else { 1 - year };
        let digits = shown.unsigned_abs();
        if width == 2 {
            return write!(text, "{:02}", digits % 100);
        }
        if shown < 0 {
            text.write_char('-')?;
        } else if width >= 4 && digits.checked_ilog10().is_some_and(|log| log as usize >= width) {
            text.write_char('+')?;
        }
        write!(text, "{digits:0width$}")
    }

    fn number(&self, field: Field) -> u32 {
        match field {
            Field::Month => self.local.month(),
            Field::Day => self.local.day(),
            Field::DayOfYear => self.local.ordinal(),
            Field::Hour => self.local.hour(),
            Field::HourFromOne => (self.local.hour() + 23) % 24 + 1,
            Field::HalfHour => self.local.hour12().1,
            Field::HalfHourFromZero => self.local.hour() % 12,
            Field::Minute => self.local.minute(),
            Field::Second => self.local.second(),
        }
    }
}

fn write_name(name: &str, full: bool, text: &mut String) -> fmt::Result {
    text.write_str(if full { name } else { &name[..3] })
}

fn write_offset(seconds: i32, style: OffsetStyle, text: &mut String) -> fmt::Result {
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    if hours == 0 && minutes == 0 {
        return text.write_str(style.zero);
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let colon = if style.colon { ":" } else { "" };
    write!(text, "{}{sign}", style.prefix)?;
    match style.parts {
        Parts::Shortest => write!(text, "{hours}")?,
        Parts::Hours | Parts::Minutes => write!(text, "{hours:02}")?,
    }
    if minutes != 0 || style.parts == Parts::Minutes {
        write!(text, "{colon}{minutes:02}")?;
    }
    Ok(())
}
