//! RFC 3339 with the liberties that servers take; the fast way for most dates met.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::WrittenDate;
use super::written_zone::WrittenZones;
use super::zone::Zone;

/// How much is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// A date without time is midnight.
    pub(super) date_alone: bool,
    /// A final `Z` says nothing, because the pattern has it in quotes: the zone of the format counts.
    pub(super) literal_z: bool,
}

/// Reads `2020-01-31T10:20:30.123Z` with a space instead of the T, any number of digits in the fraction or none, without seconds (as Java's
/// `OffsetDateTime` prints a full minute), with an offset in any form, with names of the zone after it or instead of it (RFC 9557:
/// `+01:00[Europe/Paris]`), or without a zone. The text is single-spaced.
pub(super) fn read(text: &str, zone: Zone, rules: Rules) -> Option<WrittenDate> {
    let text = text.as_bytes();
    let date = text.first_chunk::<10>()?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = two(date[0], date[1])? * 100 + two(date[2], date[3])?;
    let day = NaiveDate::from_ymd_opt(year.cast_signed(), two(date[5], date[6])?, two(date[8], date[9])?)?;
    if text.len() == 10 {
        let midnight = day.and_hms_opt(0, 0, 0)?;
        let at = rules.date_alone.then(|| zone.instant(midnight)).flatten()?;
        return Some(WrittenDate { at, written: midnight, zone: Some(zone), unit: Duration::from_hours(24) });
    }
    let (padded, time) = match &text[10..] {
        [b'T' | b't', b' ', time @ ..] | [b' ', time @ ..] => (true, time),
        [b'T' | b't', time @ ..] => (false, time),
        _ => return None,
    };
    let (hour, rest) = match time {
        [tens, ones, b':', rest @ ..] => (two(*tens, *ones)?, rest),
        // a blank fills up the hour
        [ones, b':', rest @ ..] if padded => (two(b'0', *ones)?, rest),
        _ => return None,
    };
    let [tens, ones, rest @ ..] = rest else { return None };
    let (minute, mut rest) = (two(*tens, *ones)?, rest);
    let (mut second, mut nanos, mut unit) = (0, 0, Duration::from_mins(1));
    if let [b':', tens, ones, after @ ..] = rest {
        (second, unit) = (two(*tens, *ones)?, Duration::ZERO);
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            (nanos, rest) = fraction(after)?;
        }
    }
    let written = time_on(day, hour, minute, second, nanos)?;
    let (at, zone) = match rest {
        [] => (zone.instant(written)?, Some(zone)),
        [b'Z' | b'z'] if !rules.literal_z => (written.and_utc(), None),
        words => {
            let said = if rules.literal_z { words.strip_prefix(b"Z").or_else(|| words.strip_prefix(b"z")) } else { None };
            let mut zones = WrittenZones::default();
            zones.read_all(said.unwrap_or(words))?;
            (zones.instant(written, zone)?, zones.clock(zone))
        }
    };
    Some(WrittenDate { at, written, zone, unit })
}

/// A time of a day; 24:00 is the end of it (ISO 8601), and a leap second is the first of the next minute.
pub(super) fn time_on(day: NaiveDate, hour: u32, minute: u32, second: u32, nanos: u32) -> Option<NaiveDateTime> {
    if hour == 24 && minute == 0 && second == 0 && nanos == 0 {
        return day.succ_opt()?.and_hms_opt(0, 0, 0);
    }
    if second == 60 {
        return day.and_hms_opt(hour, minute, 59)?.checked_add_signed(TimeDelta::seconds(1));
    }
    day.and_hms_nano_opt(hour, minute, second, nanos)
}

/// Digits of a fraction of a second, as nanoseconds; further digits are cut off. Returns the rest of the text.
pub(super) fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut nanos = 0;
    let mut read = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if read < 9 {
            nanos = nanos * 10 + u32::from(digit);
        }
        read += 1;
    }
    if read == 0 {
        return None;
    }
    Some((nanos * 10_u32.pow(9_u32.saturating_sub(u32::try_from(read).unwrap_or(9))), &text[read..]))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}
