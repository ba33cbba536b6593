//! Pattern letters → items, checked once.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::DateFormatError;

/// Longest pattern, in characters.
pub(super) const MAX_LENGTH: usize = 200;

/// A checked pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub(super) items: Box<[Item]>,
    /// Whether a text may be read as RFC 3339.
    pub(super) iso: Iso,
    /// Ends in a quoted `'Z'`.
    pub(super) literal_z: bool,
    /// What a text says of its zone.
    pub(super) says: Says,
    /// The year is written with two digits.
    pub(super) short_year: bool,
    /// The smallest unit.
    pub(super) granule: Duration,
}

/// What the text of a pattern says of its zone, which decides whether two instants can have the same text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    /// Nothing, or its region: an hour that comes twice has one text.
    #[default]
    Nothing,
    /// A name such as `PST`.
    Name,
    /// The offset.
    Offset,
}

/// What RFC 3339 is to a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Iso {
    /// Year, month, day and time in its order: the fast way to read nearly every text.
    Alike,
    /// A text that does not match the pattern may be read as it.
    Instead,
    /// The pattern has the day before the month: such a text might mean something else.
    Never,
}

/// One piece of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// Written literally.
    Literal(char),
    /// `G`
    Era,
    /// `y`, `Y`, `u` with their number; digits stand on a neighbouring side.
    Year { width: u8, proleptic: bool, adjacent: bool },
    /// A number of at least `width` digits.
    Number { field: Field, width: u8, adjacent: bool },
    /// `MMM`, `MMMM`
    MonthName { full: bool },
    /// `E`
    WeekdayName { full: bool },
    /// `a`
    HalfDay,
    /// `S`
    Fraction { width: u8, adjacent: bool },
    /// `X`, `x`, `Z`, `O`
    Offset(OffsetStyle),
    /// `z`
    ZoneName,
    /// `zzzz`, next to an offset
    ZoneWords,
    /// `VV`
    ZoneId,
    /// `[…]`
    Optional(Box<[Item]>),
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Month,
    Day,
    DayOfYear,
    /// 0–23
    Hour,
    /// 1–24
    HourFromOne,
    /// 1–12
    HalfHour,
    /// 0–11
    HalfHourFromZero,
    Minute,
    Second,
}

/// How an offset is written; all are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetStyle {
    /// Text of no offset.
    pub(super) zero: &'static str,
    /// Text in front of an offset.
    pub(super) prefix: &'static str,
    /// `:` between hours and minutes.
    pub(super) colon: bool,
    /// Minutes, and the zero of hours below ten.
    pub(super) parts: Parts,
}

/// How much of an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// `+8`, minutes if there are any.
    Shortest,
    /// `+08`, minutes if there are any.
    Hours,
    /// `+0800`
    Minutes,
}

impl OffsetStyle {
    /// `GMT+01:00`
    pub(super) const GMT: Self = Self { zero: "GMT", prefix: "GMT", colon: true, parts: Parts::Minutes };
}

impl Pattern {
    /// Checks a pattern, or finds it among those in use: the instances of one connector share theirs.
    pub(super) fn shared(text: &str) -> Result<Arc<Self>, DateFormatError> {
        static IN_USE: Mutex<BTreeMap<Box<str>, Weak<Pattern>>> = Mutex::new(BTreeMap::new());
        // A panic under the lock leaves whole entries.
        let mut in_use = IN_USE.lock();
        if let Some(found) = in_use.get(text).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let compiled = Arc::new(Self::compile(text)?);
        if in_use.len().is_power_of_two() {
            in_use.retain(|_, pattern| pattern.strong_count() > 0);
        }
        in_use.insert(text.into(), Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// Checks a pattern.
    fn compile(text: &str) -> Result<Self, DateFormatError> {
        if text.chars().count() > MAX_LENGTH {
            return Err(DateFormatError::TooLong);
        }
        let mut characters = text.chars().peekable();
        let mut open = Vec::new();
        let mut items = Vec::new();
        while let Some(character) = characters.next() {
            match character {
                '\'' if characters.next_if_eq(&'\'').is_some() => items.push(Item::Literal('\'')),
                '\'' => loop {
                    match characters.next().ok_or(DateFormatError::UnbalancedQuote)? {
                        '\'' if characters.next_if_eq(&'\'').is_none() => break,
                        literal => items.push(Item::Literal(literal)),
                    }
                },
                '[' => open.push(std::mem::take(&mut items)),
                ']' => {
                    let outer = open.pop().ok_or(DateFormatError::UnbalancedBracket)?;
                    let inner = std::mem::replace(&mut items, outer);
                    items.push(Item::Optional(inner.into()));
                }
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1_u8;
                    while characters.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    items.push(Item::of(letter, count)?);
                }
                literal => items.push(Item::Literal(literal)),
            }
        }
        if !open.is_empty() {
            return Err(DateFormatError::UnbalancedBracket);
        }
        mark_neighbours(&mut items);
        let mut seen = Seen::default();
        seen.all(&items);
        let granule = seen.check()?;
        let iso = match (is_iso(&items), seen.day_before_month) {
            (true, _) => Iso::Alike,
            (false, false) => Iso::Instead,
            (false, true) => Iso::Never,
        };
        let literal_z = items.ends_with(&[Item::Literal('Z')]);
        let short_year = seen.short_year && !seen.long_year;
        Ok(Self { iso, literal_z, says: seen.says, short_year, granule, items: items.into() })
    }
}

impl Item {
    /// The meaning of a letter and its repetitions (`java.time.format.DateTimeFormatter`).
    fn of(letter: char, count: u8) -> Result<Self, DateFormatError> {
        let number = |field, most| {
            if count <= most {
                Ok(Self::Number { field, width: count, adjacent: false })
            } else {
                Err(DateFormatError::Repetition(letter))
            }
        };
        let offset = |zero, prefix, colon, parts| Ok(Self::Offset(OffsetStyle { zero, prefix, colon, parts }));
        match (letter, count) {
            ('G', 1..=3) => Ok(Self::Era),
            ('y' | 'Y' | 'u', 1..=9) => Ok(Self::Year { width: count, proleptic: letter == 'u', adjacent: false }),
            ('M' | 'L', 1..=2) => number(Field::Month, 2),
            ('M' | 'L', 3..=4) => Ok(Self::MonthName { full: count == 4 }),
            ('d', _) => number(Field::Day, 2),
            ('D', _) => number(Field::DayOfYear, 3),
            ('E', 1..=4) => Ok(Self::WeekdayName { full: count == 4 }),
            ('a', 1) => Ok(Self::HalfDay),
            ('H', _) => number(Field::Hour, 2),
            ('k', _) => number(Field::HourFromOne, 2),
            ('h', _) => number(Field::HalfHour, 2),
            ('K', _) => number(Field::HalfHourFromZero, 2),
            ('m', _) => number(Field::Minute, 2),
            ('s', _) => number(Field::Second, 2),
            ('S', 1..=9) => Ok(Self::Fraction { width: count, adjacent: false }),
            ('X', 1) => offset("Z", "", false, Parts::Hours),
            ('X', 2 | 4) => offset("Z", "", false, Parts::Minutes),
            ('X', 3 | 5) | ('Z', 5) => offset("Z", "", true, Parts::Minutes),
            ('x', 1) => offset("+00", "", false, Parts::Hours),
            ('x', 2 | 4) | ('Z', 1..=3) => offset("+0000", "", false, Parts::Minutes),
            ('x', 3 | 5) => offset("+00:00", "", true, Parts::Minutes),
            ('Z' | 'O', 4) => offset("GMT", "GMT", true, Parts::Minutes),
            ('O', 1) => offset("GMT", "GMT", true, Parts::Shortest),
            ('z', 1..=3) => Ok(Self::ZoneName),
            ('z', 4) => Ok(Self::ZoneWords),
            ('V', 2) => Ok(Self::ZoneId),
            ('G' | 'y' | 'Y' | 'u' | 'M' | 'L' | 'E' | 'a' | 'S' | 'X' | 'x' | 'Z' | 'O' | 'z' | 'V', _) => {
                Err(DateFormatError::Repetition(letter))
            }
            _ => Err(DateFormatError::UnknownLetter(letter)),
        }
    }
}

/// Marks numbers that are adjacent to another one: they must have exactly their width, or it is unknown where they end.
fn mark_neighbours(items: &mut [Item]) {
    let digits: Vec<bool> = items
        .iter()
        .map(|item| match item {
            Item::Literal(literal) => literal.is_ascii_digit(),
            Item::Year { .. } | Item::Number { .. } | Item::Fraction { .. } => true,
            // what stands inside may be left out, so it is taken as digits
            Item::Optional(inner) => !matches!(inner.first(), Some(Item::Literal(literal)) if !literal.is_ascii_digit()),
            _ => false,
        })
        .collect();
    for (at, item) in items.iter_mut().enumerate() {
        let beside = (at > 0 && digits[at - 1]) || digits.get(at + 1).is_some_and(|digits| *digits);
        match item {
            Item::Year { adjacent, .. } | Item::Number { adjacent, .. } | Item::Fraction { adjacent, .. } => *adjacent = beside,
            Item::Optional(inner) => mark_neighbours(inner),
            _ => {}
        }
    }
}

/// Whether items are those of `yyyy-MM-dd'T'HH:mm:ss`, optionally with a fraction, a literal Z or a zone.
fn is_iso(items: &[Item]) -> bool {
    let two = |item: &Item, expected| matches!(item, Item::Number { field, width: 2, .. } if *field == expected);
    let (date, time) = match items {
        [year, Item::Literal('-'), month, Item::Literal('-'), day, Item::Literal('T' | ' '), time @ ..] => {
            ((year, month, day), time)
        }
        _ => return false,
    };
    let [hour, Item::Literal(':'), minute, Item::Literal(':'), second, rest @ ..] = time else { return false };
    if !(matches!(date.0, Item::Year { width: 4, .. })
        && two(date.1, Field::Month)
        && two(date.2, Field::Day)
        && two(hour, Field::Hour)
        && two(minute, Field::Minute)
        && two(second, Field::Second))
    {
        return false;
    }
    let end = if let [Item::Literal('.' | ','), Item::Fraction { .. }, end @ ..] = rest { end } else { rest };
    matches!(end, [] | [Item::Literal('Z') | Item::Offset(_) | Item::ZoneName | Item::ZoneId])
}

/// Which fields a pattern has.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are a set, asked by name")]
struct Seen {
    short_year: bool,
    long_year: bool,
    month: bool,
    day: bool,
    day_of_year: bool,
    hour: bool,
    half_hour: bool,
    half_day: bool,
    minute: bool,
    second: bool,
    fraction: u8,
    says: Says,
    zone_words: bool,
    day_before_month: bool,
    /// The number before this place was the hour.
    behind_hour: bool,
    month_after_hour: bool,
}

impl Seen {
    fn all(&mut self, items: &[Item]) {
        for item in items {
            let is_hour = matches!(
                item,
                Item::Number { field: Field::Hour | Field::HourFromOne | Field::HalfHour | Field::HalfHourFromZero, .. }
            );
            match item {
                Item::Year { width: 2, .. } => self.short_year = true,
                Item::Year { .. } => self.long_year = true,
                Item::MonthName { .. } => self.month = true,
                Item::Number { field, .. } => match field {
                    Field::Month => {
                        self.month_after_hour |= self.behind_hour;
                        self.month = true;
                    }
                    Field::Day => {
                        self.day_before_month |= !self.month;
                        self.day = true;
                    }
                    Field::DayOfYear => self.day_of_year = true,
                    Field::Hour | Field::HourFromOne => self.hour = true,
                    Field::HalfHour | Field::HalfHourFromZero => self.half_hour = true,
                    Field::Minute => self.minute = true,
                    Field::Second => self.second = true,
                },
                Item::HalfDay => self.half_day = true,
                Item::Fraction { width, .. } => self.fraction = self.fraction.max(*width),
                Item::Offset(_) => self.says = Says::Offset,
                Item::ZoneName => self.says = self.says.max(Says::Name),
                Item::ZoneWords => self.zone_words = true,
                Item::Optional(inner) => self.all(inner),
                Item::Literal(_) | Item::Era | Item::WeekdayName { .. } | Item::ZoneId => {}
            }
            if !matches!(item, Item::Literal(_) | Item::Optional(_)) {
                self.behind_hour = is_hour;
            }
        }
    }

    /// Every field needs the coarser ones, otherwise a later date could read as an earlier one. Gives the smallest unit.
    fn check(&self) -> Result<Duration, DateFormatError> {
        if !self.short_year && !self.long_year {
            return Err(DateFormatError::NoYear);
        }
        if self.zone_words && self.says != Says::Offset {
            return Err(DateFormatError::Repetition('z'));
        }
        if self.day_of_year && self.month {
            return Err(DateFormatError::DayOfYear);
        }
        if self.month_after_hour {
            return Err(DateFormatError::MonthAfterHour);
        }
        let day = 24 * 3600;
        let ladder = [
            (self.month || self.day_of_year, "M (month)", 31 * day),
            (self.day || self.day_of_year, "d (day of the month)", day),
            (self.hour || self.half_hour, "H (hour)", 3600),
            (self.minute, "m (minute)", 60),
            (self.second, "s (second)", 1),
            (self.fraction > 0, "S (fraction of a second)", 0),
        ];
        let mut granule = Duration::from_secs(366 * day);
        let mut missing = None;
        for (present, name, seconds) in ladder {
            match (present, missing) {
                (true, Some(coarser)) => return Err(DateFormatError::Gap { finer: name, coarser }),
                (true, None) => granule = Duration::from_secs(seconds),
                (false, None) => missing = Some(name),
                (false, Some(_)) => {}
            }
        }
        if self.half_hour && !self.half_day && !self.hour {
            return Err(DateFormatError::TwelveHours);
        }
        if self.fraction > 0 {
            granule = Duration::from_nanos(10_u64.pow(9 - u32::from(self.fraction.min(9))));
        }
        Ok(granule)
    }
}
