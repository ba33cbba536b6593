//! Text → instant by a pattern.

use chrono::{DateTime, Datelike, NaiveDate, Utc, Weekday};

use super::iso;
use super::pattern::{Field, Iso, Item, Pattern};
use super::zone::{Zone, read_offset};

/// English names; Java's patterns are read with `Locale.ENGLISH`.
pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// From Monday, as chrono counts.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Reads a text; `zone` is that of a text without one.
    pub(super) fn read(&self, text: &str, zone: Zone) -> Option<DateTime<Utc>> {
        let rules = iso::Rules { date_alone: false, literal_z: self.literal_z };
        if self.iso == Iso::Alike
            && let Some(at) = iso::read(text, zone, rules)
        {
            return Some(at);
        }
        let mut fields = Fields::default();
        let strict = match read_items(&self.items, text.as_bytes(), &mut fields) {
            Some([]) => fields.instant(zone),
            _ => None,
        };
        strict.or_else(|| (self.iso == Iso::Instead).then(|| iso::read(text, zone, rules)).flatten())
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
    zone: Option<ReadZone<'a>>,
}

/// A zone in a text.
#[derive(Clone, Copy, PartialEq)]
enum ReadZone<'a> {
    Known(Zone),
    Name(&'a str),
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
    for item in items {
        text = read_item(item, text, fields)?;
    }
    Some(text)
}

fn read_item<'a>(item: &Item, text: &'a [u8], fields: &mut Fields<'a>) -> Option<&'a [u8]> {
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
            let (half, rest) = text.split_at_checked(2)?;
            let afternoon = half.eq_ignore_ascii_case(b"PM");
            (afternoon || half.eq_ignore_ascii_case(b"AM")).then_some(())?;
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
            let (zone, rest) = read_zone(text.strip_prefix(b" ").unwrap_or(text))?;
            agree(&mut fields.zone, zone)?;
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

/// A full name or its first three letters, in any case; gives its index.
fn read_name<'a>(text: &'a [u8], names: &[&str]) -> Option<(u32, &'a [u8])> {
    let (short, behind) = text.split_at_checked(3)?;
    let (index, name) = (0..).zip(names).find(|(_, name)| name.as_bytes()[..3].eq_ignore_ascii_case(short))?;
    let full = name.len() - 3;
    let rest = match behind.split_at_checked(full) {
        Some((tail, rest)) if tail.eq_ignore_ascii_case(&name.as_bytes()[3..]) => rest,
        _ => behind,
    };
    Some((index, rest))
}

/// An offset, an IANA name, or a name such as `PDT`; `GMT` and `UTC` may have an offset behind them.
fn read_zone(text: &[u8]) -> Option<(ReadZone<'_>, &[u8])> {
    if let Some((seconds, end)) = read_offset(text) {
        return Some((ReadZone::Known(Zone::Fixed(seconds, None)), &text[end..]));
    }
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(letters);
    if matches!(word, b"GMT" | b"UTC" | b"UT") {
        if let Some((seconds, end)) = read_offset(rest) {
            return Some((ReadZone::Known(Zone::Fixed(seconds, None)), &rest[end..]));
        }
        return Some((ReadZone::Known(Zone::GMT), rest));
    }
    if matches!(rest, [b'/' | b'_' | b'0'..=b'9', ..]) {
        let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte)).count();
        let zone = Zone::parse(str::from_utf8(&text[..length]).ok()?)?;
        return Some((ReadZone::Known(zone), &text[length..]));
    }
    match word {
        [] => None,
        b"Z" | b"z" => Some((ReadZone::Known(Zone::GMT), rest)),
        _ => Some((ReadZone::Name(str::from_utf8(word).ok()?), rest)),
    }
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

    fn instant(&self, zone: Zone) -> Option<DateTime<Utc>> {
        let hour = match (self.hour, self.half_hour, self.afternoon) {
            (Some(hour), ..) => hour,
            (None, Some(hour), afternoon) => hour + if afternoon? { 12 } else { 0 },
            (None, None, _) => 0,
        };
        let (minute, second, nanos) = (self.minute.unwrap_or(0), self.second.unwrap_or(0), self.nanos.unwrap_or(0));
        let local = iso::time_on(self.date()?, hour, minute, second, nanos)?;
        match self.zone {
            None => zone.instant(local),
            Some(ReadZone::Known(known)) => known.instant(local),
            Some(ReadZone::Name(name)) => zone.instant_by_name(local, name),
        }
    }
}

/// Index of a weekday in [`WEEKDAYS`].
pub(super) fn weekday_index(weekday: Weekday) -> usize {
    weekday.num_days_from_monday() as usize
}
