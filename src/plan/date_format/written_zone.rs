//! The zones written in a text: offsets, names and regions, several of them at once.
//!
//! `2026-11-24T11:00:00+01:00[Europe/Paris]` (java.time, RFC 9557), `11:00:00 +0100 (CET)` (RFC 5322 comment), `GMT+0100 (Central European
//! Standard Time)` (JavaScript), `+0100 CET` (Go). An offset alone says which instant is meant; a name next to it says for which region it
//! was written. So nothing is refused because of a name or region next to an offset, even if it is unknown or contradicts the rules that we
//! know of the zone. Java's `ISO_ZONED_DATE_TIME` keeps the instant of the offset in the same way.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::zone::{Zone, is_known_name, read_offset};

/// A zone in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WrittenZone<'a> {
    /// Seconds east of Greenwich.
    Offset(i32),
    /// `Europe/Paris`
    Region(Zone),
    /// `CET`, `Central European Standard Time`, or a region that is not known.
    Name(&'a str),
}

/// Names and regions of one text that are looked at.
const MAX_NAMES: usize = 3;

/// All zones of a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenZones<'a> {
    offset: Option<i32>,
    names: [Option<WrittenZone<'a>>; MAX_NAMES],
}

impl<'a> WrittenZones<'a> {
    /// Adds a zone; `None` when it is a second offset that differs.
    pub(super) fn add(&mut self, zone: WrittenZone<'a>) -> Option<()> {
        if let WrittenZone::Offset(seconds) = zone {
            let agrees = self.offset.is_none_or(|known| known == seconds);
            self.offset = Some(seconds);
            return agrees.then_some(());
        }
        if let Some(free) = self.names.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(zone);
            return Some(());
        }
        self.offset.map(|_| ())
    }

    /// Whether the text says no zone.
    pub(super) fn is_empty(&self) -> bool {
        self.offset.is_none() && self.names[0].is_none()
    }

    /// The instant of a local time with these zones; `zone` is that of a text without any.
    ///
    /// The offset decides. Without one a name such as `PDT` does, which also distinguishes the two passes of an hour that comes twice, and
    /// then the region. `None` when two of the same rank name two instants, or when nothing is known of any.
    pub(super) fn instant(&self, local: NaiveDateTime, zone: Zone) -> Option<DateTime<Utc>> {
        if let Some(seconds) = self.offset {
            return Zone::Fixed(seconds, None).instant(local);
        }
        if self.is_empty() {
            return zone.instant(local);
        }
        let words = || self.names.iter().flatten();
        let region = words().find_map(|word| match word {
            WrittenZone::Region(region) => Some(*region),
            _ => None,
        });
        let around = region.unwrap_or(zone);
        let by_name = words().filter_map(|word| match word {
            WrittenZone::Name(name) => around.instant_by_name(local, name),
            _ => None,
        });
        let by_region = words().filter_map(|word| match word {
            WrittenZone::Region(region) => region.instant(local),
            _ => None,
        });
        match only(by_name) {
            Found::Nothing => match only(by_region) {
                Found::One(at) => Some(at),
                Found::Nothing | Found::Several => None,
            },
            Found::One(at) => Some(at),
            Found::Several => None,
        }
    }

    /// The zone by whose clock a local time with these zones is written; `None` where an offset or a name such as `PDT` says which of two
    /// instants is meant.
    pub(super) fn clock(&self, zone: Zone) -> Option<Zone> {
        let names = || self.names.iter().flatten();
        let says_offset = self.offset.is_some() || names().any(|word| !matches!(word, WrittenZone::Region(_)));
        let region = names().find_map(|word| if let WrittenZone::Region(region) = word { Some(*region) } else { None });
        (!says_offset).then_some(region.unwrap_or(zone))
    }

    /// Reads what may follow a time: zones with or without brackets, separated by blanks or not. `None` when it is anything else.
    pub(super) fn read_all(&mut self, mut text: &'a [u8]) -> Option<()> {
        loop {
            let blank = text.starts_with(b" ");
            text = text.strip_prefix(b" ").unwrap_or(text);
            let (inside, close) = match text {
                [] => return Some(()),
                [b'[', inside @ ..] => (inside, b']'),
                [b'(', inside @ ..] => (inside, b')'),
                word => {
                    let (zone, rest) = read_zone(word)?;
                    let is_zone = !matches!(zone, WrittenZone::Name(name) if !looks_like_zone(name));
                    if !is_zone || !(blank || self.is_empty()) {
                        return None;
                    }
                    self.add(zone)?;
                    text = rest;
                    continue;
                }
            };
            let end = inside.iter().position(|byte| *byte == close)?;
            self.read_bracket(&inside[..end])?;
            text = &inside[end + 1..];
        }
    }

    /// The text in brackets: a zone, with or without `!` before it, or a tag such as `u-ca=iso8601` (RFC 9557 §3).
    fn read_bracket(&mut self, inside: &'a [u8]) -> Option<()> {
        let inside = inside.strip_prefix(b"!").unwrap_or(inside);
        if inside.is_empty() || inside.contains(&b'=') {
            return Some(());
        }
        match read_zone(inside) {
            // after a zone that was read already, brackets only repeat it
            Some((WrittenZone::Offset(_), [])) if !self.is_empty() => Some(()),
            Some((zone, [])) => self.add(zone),
            _ => self.add(WrittenZone::Name(str::from_utf8(inside).ok()?)),
        }
    }
}

enum Found {
    Nothing,
    One(DateTime<Utc>),
    Several,
}

fn only(mut instants: impl Iterator<Item = DateTime<Utc>>) -> Found {
    match instants.next() {
        None => Found::Nothing,
        Some(first) if instants.all(|other| other == first) => Found::One(first),
        Some(_) => Found::Several,
    }
}

/// An offset, an IANA name, or a name such as `PDT` or `Pacific Daylight Time`; `GMT` and `UTC` may have an offset behind them.
pub(super) fn read_zone(text: &[u8]) -> Option<(WrittenZone<'_>, &[u8])> {
    if let Some((seconds, end)) = read_offset(text) {
        return Some((WrittenZone::Offset(seconds), &text[end..]));
    }
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(letters);
    if matches!(word, b"GMT" | b"UTC" | b"UT")
        && let Some((seconds, end)) = read_offset(rest)
    {
        return Some((WrittenZone::Offset(seconds), &rest[end..]));
    }
    if matches!(rest, [b'/' | b'_' | b'0'..=b'9', ..]) {
        let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte)).count();
        let id = str::from_utf8(&text[..length]).ok()?;
        return Some((Zone::parse(id).map_or(WrittenZone::Name(id), WrittenZone::Region), &text[length..]));
    }
    match word {
        [] => None,
        b"Z" | b"z" => Some((WrittenZone::Offset(0), rest)),
        _ => {
            let length = long_name(text).unwrap_or(letters);
            Some((WrittenZone::Name(str::from_utf8(&text[..length]).ok()?), &text[length..]))
        }
    }
}

/// Whether a word without brackets can only be a zone: `PM` and `noon` are none.
fn looks_like_zone(name: &str) -> bool {
    let capitals = (3..=5).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase());
    capitals || name.contains(' ') || is_known_name(name)
}

/// The length of a name in words that ends in `Time`, such as `Central European Standard Time`.
fn long_name(text: &[u8]) -> Option<usize> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphabetic() || b" .'-".contains(byte)).count();
    text[..length].windows(5).rposition(|window| window.eq_ignore_ascii_case(b" time")).map(|at| at + 5)
}

/// The text of a pattern's `zzzz`: words up to a bracket or the end. Only read next to an offset, so any will do.
pub(super) fn read_words(text: &[u8]) -> Option<(WrittenZone<'_>, &[u8])> {
    let length = text.iter().position(|byte| b")]".contains(byte)).unwrap_or(text.len());
    let words = str::from_utf8(&text[..length]).ok()?;
    (!words.is_empty()).then_some((WrittenZone::Name(words), &text[length..]))
}
