//! Text → instant by a pattern.

use std::time::Duration;

use chrono::{Datelike, NaiveDate, Weekday};

use super::blanks::is_blank;
use super::iso;
use super::names::{MONTHS, WEEKDAYS, read_half_day, read_name};
use super::pattern::{Field, Iso, Item, Pattern};
use super::written_date::WrittenDate;
use super::written_zone::{WrittenZones, read_words, read_zone};
use super::zone::Zone;

impl Pattern {
    /// Reads a single-spaced text; `zone` is that of a text without one.
    pub(super) fn read(&self, text: &str, zone: Zone) -> Option<WrittenDate> {
        let rules = iso::Rules { date_alone: false, literal_z: self.literal_z };
        if self.iso == Iso::Alike
            && let Some(stamp) = iso::read(text, zone, rules)
        {
            return Some(stamp);
        }
        let strict = self.read_strictly(text, zone);
        strict.or_else(|| (self.iso == Iso::Instead).then(|| iso::read(text, zone, rules)).flatten())
    }

    /// By the items; behind a zone its names may follow, which the pattern need not have.
    fn read_strictly(&self, text: &str, zone: Zone) -> Option<WrittenDate> {
        let mut fields = Fields::default();
        let rest = read_items(&self.items, text.as_bytes(), &mut fields)?;
        if !rest.is_empty() {
            if fields.zones.is_empty() {
                return None;
            }
            fields.zones.read_all(rest)?;
        }
        fields.written(zone)
    }
}

/// What was read so far.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    before_christ: Option<bool>,
    year: Option<i32>,
    proleptic: bool,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    weekday: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    nanos: Option<u32>,
    zones: WrittenZones<'a>,
}

/// Sets a field that a pattern may have twice; `None` when the two differ.
fn agree<T: PartialEq>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.as_ref().is_some_and(|known| *known != value) {
        return None;
    }
    *slot = Some(value);
    Some(())
}

fn read_items<'a>(items: &[Item], mut text: &'a [u8], fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let mut after_blank = false;
    for (at, item) in items.iter().enumerate() {
        if matches!(item, Item::Literal(literal) if is_blank(*literal)) {
            text = match text {
                [b' ', rest @ ..] => rest,
                // Missing, it separates nothing: the text is trimmed, or a run of the pattern is one blank of the text.
                _ if at == 0 || after_blank => text,
                // Without it, two numbers run together.
                [b'0'..=b'9', ..] => return None,
                // `5:00PM`, `10:20+01:00`
                _ => text,
            };
            after_blank = true;
            continue;
        }
        after_blank = false;
        text = read_item(item, text, fields)?;
        // an abbreviation may end in a dot, in addition to one that the pattern has
        if matches!(item, Item::MonthName { .. } | Item::WeekdayName { .. } | Item::HalfDay) {
            let dotted = items.get(at + 1) == Some(&Item::Literal('.'));
            text = text.strip_prefix(b".").filter(|rest| !dotted || rest.starts_with(b".")).unwrap_or(text);
        }
    }
    Some(text)
}

fn read_item<'a>(item: &Item, text: &'a [u8], fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    // SimpleDateFormat skips blanks before every field, which fill up numbers (`Nov  4`); a fraction is part of its second
    let may_be_padded = match item {
        Item::Literal(_) | Item::Optional(_) | Item::Fraction { .. } => false,
        Item::Year { adjacent, .. } | Item::Number { adjacent, .. } => !adjacent,
        _ => true,
    };
    let text = if may_be_padded { text.strip_prefix(b" ").unwrap_or(text) } else { text };
    match item {
        Item::Literal(literal) => match (u8::try_from(*literal), text.split_first()) {
            (Ok(ascii @ 0..=127), Some((first, rest))) => (*first == ascii).then_some(rest),
            _ => text.strip_prefix(literal.encode_utf8(&mut [0; 4]).as_bytes()),
        },
        Item::Optional(inner) => {
            let mut tried = *fields;
            match read_items(inner, text, &mut tried) {
                Some(rest) => {
                    *fields = tried;
                    Some(rest)
                }
                None => Some(text),
            }
        }
        Item::Year { width, proleptic, adjacent } => {
            let (year, rest) = read_year(text, usize::from(*width), *proleptic, *adjacent)?;
            fields.proleptic |= *proleptic;
            agree(&mut fields.year, year)?;
            Some(rest)
        }
        Item::Number { field, width, adjacent } => {
            let most = if *field == Field::DayOfYear { 3 } else { 2 };
            let (least, most) = if *adjacent { (usize::from(*width), usize::from(*width)) } else { (1, most) };
            let (number, rest) = read_number(text, least, most)?;
            fields.set(*field, number)?;
            Some(rest)
        }
        Item::Fraction { width, adjacent } => {
            let (part, after) = match (*adjacent, usize::from(*width)) {
                (true, width) => text.split_at_checked(width)?,
                (false, _) => (text, &text[text.len()..]),
            };
            let (nanos, rest) = iso::fraction(part)?;
            agree(&mut fields.nanos, nanos)?;
            match (*adjacent, rest) {
                (true, []) => Some(after),
                (true, _) => None,
                (false, rest) => Some(rest),
            }
        }
        Item::MonthName { .. } => {
            let (index, rest) = read_name(text, &MONTHS)?;
            agree(&mut fields.month, index + 1)?;
            Some(rest)
        }
        Item::WeekdayName { .. } => {
            let (index, rest) = read_name(text, &WEEKDAYS)?;
            agree(&mut fields.weekday, index)?;
            Some(rest)
        }
        Item::HalfDay => {
            let (afternoon, rest) = read_half_day(text)?;
            agree(&mut fields.afternoon, afternoon)?;
            Some(rest)
        }
        Item::Era => {
            let (era, rest) = text.split_at_checked(2)?;
            let before = era.eq_ignore_ascii_case(b"BC");
            (before || era.eq_ignore_ascii_case(b"AD")).then_some(())?;
            agree(&mut fields.before_christ, before)?;
            Some(rest)
        }
        Item::Offset(_) | Item::ZoneName | Item::ZoneId => {
            let (zone, rest) = read_zone(text)?;
            fields.zones.add(zone)?;
            Some(rest)
        }
        Item::ZoneWords => {
            let (zone, rest) = read_words(text)?;
            fields.zones.add(zone)?;
            Some(rest)
        }
    }
}

fn read_number(text: &[u8], least: usize, most: usize) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut read = 0;
    while read < most
        && let Some(byte) = text.get(read)
        && byte.is_ascii_digit()
    {
        number = number * 10 + u32::from(byte - b'0');
        read += 1;
    }
    (read >= least).then(|| (number, &text[read..]))
}

/// Two letters count from 2000; four and more need as many digits, and a sign before more than that (`SignStyle.EXCEEDS_PAD`).
fn read_year(text: &[u8], width: usize, proleptic: bool, adjacent: bool) -> Option<(i32, &[u8])> {
    let (sign, unsigned) = match text {
        [b'-', rest @ ..] if proleptic => (-1, rest),
        [b'+', rest @ ..] if width >= 4 => (1, rest),
        _ => (1, text),
    };
    let signed = unsigned.len() != text.len();
    let (least, most) = match width {
        _ if adjacent => (width, width),
        2 => (2, 4),
        1 | 3 => (width, 6),
        _ if signed => (width, 6.max(width)),
        _ => (width, width),
    };
    let (number, rest) = read_number(unsigned, least, most)?;
    let year = match (width, unsigned.len() - rest.len()) {
        (2, 2) => number.cast_signed() + 2000,
        (2, 3) => return None,
        _ => number.cast_signed(),
    };
    Some((sign * year, rest))
}

impl Fields<'_> {
    fn set(&mut self, field: Field, number: u32) -> Option<()> {
        let within = |low, high| (low..=high).contains(&number).then_some(());
        match field {
            Field::Month => agree(&mut self.month, number),
            Field::Day => agree(&mut self.day, number),
            Field::DayOfYear => agree(&mut self.day_of_year, number),
            Field::Hour => agree(&mut self.hour, number),
            Field::HourFromOne => {
                within(1, 24)?;
                agree(&mut self.hour, number % 24)
            }
            Field::HalfHour => {
                within(1, 12)?;
                agree(&mut self.half_hour, number % 12)
            }
            Field::HalfHourFromZero => {
                within(0, 11)?;
                agree(&mut self.half_hour, number)
            }
            Field::Minute => agree(&mut self.minute, number),
            Field::Second => {
                within(0, 59)?;
                agree(&mut self.second, number)
            }
        }
    }

    fn date(&self) -> Option<NaiveDate> {
        let year = match (self.before_christ, self.year?) {
            (Some(true), year) if !self.proleptic => 1 - year,
            (_, year) => year,
        };
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        match self.weekday {
            Some(weekday) if date.weekday().num_days_from_monday() != weekday => None,
            _ => Some(date),
        }
    }

    fn written(&self, zone: Zone) -> Option<WrittenDate> {
        let hour = match (self.hour, self.half_hour, self.afternoon) {
            (Some(hour), ..) => hour,
            (None, Some(hour), afternoon) => hour + if afternoon? { 12 } else { 0 },
            (None, None, _) => 0,
        };
        let (minute, second, nanos) = (self.minute.unwrap_or(0), self.second.unwrap_or(0), self.nanos.unwrap_or(0));
        let written = iso::time_on(self.date()?, hour, minute, second, nanos)?;
        let unit = match (self.hour.or(self.half_hour), self.minute, self.second) {
            (None, ..) => Duration::from_hours(24),
            (Some(_), None, _) => Duration::from_hours(1),
            (Some(_), Some(_), None) => Duration::from_mins(1),
            (Some(_), Some(_), Some(_)) => Duration::ZERO,
        };
        Some(WrittenDate { at: self.zones.instant(written, zone)?, written, zone: self.zones.clock(zone), unit })
    }
}

/// Index of a weekday in [`WEEKDAYS`].
pub(super) fn weekday_index(weekday: Weekday) -> usize {
    weekday.num_days_from_monday() as usize
}
