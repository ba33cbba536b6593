//! Time since 1970-01-01T00:00:00Z, exact at any number of digits.

use chrono::{DateTime, Utc};

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochUnit {
    Seconds,
    Milliseconds,
}

/// More digits than any date needs; the bound keeps the arithmetic in 128 bits.
const MAX_DIGITS: usize = 30;

/// Reads a number, or OData's `/Date(1520000000000)/`.
///
/// The number of digits outweighs the unit where it leaves no doubt: 10 are seconds, 13 milliseconds, 16 microseconds, 19
/// nanoseconds (from 2001 to 2286).
pub(super) fn read(text: &str, unit: EpochUnit) -> Option<DateTime<Utc>> {
    read_short(text, unit).or_else(|| read_any(text, unit))
}

/// The everyday case: digits alone, few enough for fast arithmetic.
fn read_short(text: &str, unit: EpochUnit) -> Option<DateTime<Utc>> {
    if text.is_empty() || text.len() > 13 || text.starts_with('0') {
        return None;
    }
    let number = text.bytes().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))?;
    match (text.len(), unit) {
        (10, _) => DateTime::from_timestamp(number, 0),
        (13, _) | (_, EpochUnit::Milliseconds) => DateTime::from_timestamp_millis(number),
        (_, EpochUnit::Seconds) => DateTime::from_timestamp(number, 0),
    }
}

fn read_any(text: &str, unit: EpochUnit) -> Option<DateTime<Utc>> {
    if let Some(inside) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return read_odata(inside);
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i8>().ok()?),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || whole.len() + fraction.len() > MAX_DIGITS || (mantissa.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut number = digits(whole, 0)?;
    number = digits(fraction, number)?;
    // `number` × 10^`scale` is the value
    let scale = i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
    let magnitude = if exponent == 0 { whole.trim_start_matches('0').len() } else { digits_before_point(number, scale) };
    let power = match magnitude {
        10 => 9,
        13 => 6,
        16 => 3,
        19 => 0,
        _ if unit == EpochUnit::Seconds => 9,
        _ => 6,
    };
    let nanoseconds = shift(number, scale + power)?;
    instant(if negative { -nanoseconds } else { nanoseconds })
}

/// Milliseconds, optionally with an offset that only says how to show them (`1520000000000+0100`).
fn read_odata(inside: &str) -> Option<DateTime<Utc>> {
    let (sign, rest) = match inside.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, inside),
    };
    let end = rest.find(['+', '-']).unwrap_or(rest.len());
    let offset = &rest[end..];
    if end == 0 || end > MAX_DIGITS || (!offset.is_empty() && super::zone::read_offset(offset.as_bytes())?.1 != offset.len()) {
        return None;
    }
    instant(sign * shift(digits(&rest[..end], 0)?, 6)?)
}

fn digits(text: &str, start: i128) -> Option<i128> {
    text.bytes().try_fold(start, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i128::from(byte - b'0')))
}

fn digits_before_point(number: i128, scale: i32) -> usize {
    let length = number.checked_ilog10().map_or(0, |log| i64::from(log) + 1);
    usize::try_from(length + i64::from(scale)).unwrap_or(0)
}

/// `number` × 10^`power`, rounded down.
fn shift(number: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    if power >= 0 { number.checked_mul(factor?) } else { Some(factor.map_or(0, |factor| number / factor)) }
}

fn instant(nanoseconds: i128) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    DateTime::from_timestamp(seconds, u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?)
}

/// The number at an instant, rounded down.
pub(super) fn number(at: DateTime<Utc>, unit: EpochUnit) -> i64 {
    match unit {
        EpochUnit::Seconds => at.timestamp(),
        EpochUnit::Milliseconds => at.timestamp_millis(),
    }
}

/// The number for a lower bound that the server may exclude: one less. Only a bound before 1970 is negative: some servers refuse a
/// negative number, and 0 itself is no date ([`super::DateReading::Never`]).
pub(in crate::plan) fn step_back(number: i64) -> i64 {
    number.saturating_sub(1).max(number.min(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str, unit: EpochUnit) -> Option<i64> {
        read(text, unit).map(|at| at.timestamp_micros())
    }

    #[test]
    fn digits_outweigh_the_unit() {
        for unit in [EpochUnit::Seconds, EpochUnit::Milliseconds] {
            for text in
                ["1520000000", "1520000000000", "1520000000000000", "1520000000000000000", "1.52e9", "1.52E12", "152e10"]
            {
                assert_eq!(micros(text, unit), Some(1_520_000_000_000_000), "{text}");
            }
        }
        assert_eq!(micros("999999999", EpochUnit::Seconds), Some(999_999_999_000_000));
        assert_eq!(micros("0001520000000", EpochUnit::Milliseconds), Some(1_520_000_000_000_000));
        assert_eq!(micros("999999999999", EpochUnit::Milliseconds), Some(999_999_999_999_000));
        assert_eq!(micros("0", EpochUnit::Seconds), Some(0));
        assert_eq!(micros("-1", EpochUnit::Milliseconds), Some(-1_000));
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(micros("1520000000.123", EpochUnit::Seconds), Some(1_520_000_000_123_000));
        assert_eq!(micros("1520000000.123456", EpochUnit::Milliseconds), Some(1_520_000_000_123_456));
        assert_eq!(micros("1520000000123.5", EpochUnit::Milliseconds), Some(1_520_000_000_123_500));
        assert_eq!(micros("1.520000000123456e9", EpochUnit::Seconds), Some(1_520_000_000_123_456));
        let nanos = read("1520000000.1234567899", EpochUnit::Seconds).unwrap();
        assert_eq!(nanos.timestamp_subsec_nanos(), 123_456_789);
    }

    #[test]
    fn odata_dates_are_milliseconds() {
        for unit in [EpochUnit::Seconds, EpochUnit::Milliseconds] {
            assert_eq!(micros("/Date(1520000000000)/", unit), Some(1_520_000_000_000_000));
            assert_eq!(micros("/Date(1520000000000+0100)/", unit), Some(1_520_000_000_000_000));
            assert_eq!(micros("/Date(-86400000)/", unit), Some(-86_400_000_000));
            assert_eq!(micros("/Date(1520000000)/", unit), Some(1_520_000_000_000));
        }
    }

    #[test]
    fn anything_else_is_no_number() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e",
            "1e999",
            "1e127",
            "--1",
            "+1",
            "1_0",
            "0x10",
            "NaN",
            "/Date()/",
            "/Date(1x)/",
            "/Date(1+)/",
        ] {
            assert_eq!(read(text, EpochUnit::Seconds), None, "{text}");
        }
        assert_eq!(read(&"9".repeat(31), EpochUnit::Seconds), None);
        assert_eq!(read(&"9".repeat(30), EpochUnit::Milliseconds), None);
    }

    proptest! {
        #[test]
        fn short_numbers_read_as_long_ones_do(number in 1..9_999_999_999_999_i64, shown in 1..=13_usize) {
            let text = number.to_string();
            let text = &text[..shown.min(text.len())];
            for unit in [EpochUnit::Seconds, EpochUnit::Milliseconds] {
                prop_assert_eq!(read_short(text, unit), read_any(text, unit));
            }
        }
    }
}
