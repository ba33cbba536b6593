//! Spans of time as servers write them in headers: seconds, perhaps with a fraction, and with units. Pure.

use std::time::Duration;

/// Units, with the milliseconds that each has.
const UNITS: [(&str, f64); 11] = [
    ("ms", 1.0),
    ("milliseconds", 1.0),
    ("s", 1_000.0),
    ("sec", 1_000.0),
    ("seconds", 1_000.0),
    ("second", 1_000.0),
    ("m", 60_000.0),
    ("min", 60_000.0),
    ("minutes", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];

/// A number of seconds (`7`, `6.5`), numbers with units (`7s`, `1m30s`, `6s500ms`, `12 seconds`), or several numbers between commas, of which
/// the greatest counts. At most `longest`; `None`: it is nothing of that.
pub(super) fn span(text: &str, longest: Duration) -> Option<Duration> {
    let part = |part: &str| {
        let part = part.trim();
        let milliseconds = match number(part) {
            Some((seconds, "")) => seconds * 1_000.0,
            _ => with_units(part)?,
        };
        Duration::try_from_secs_f64((milliseconds / 1_000.0).min(longest.as_secs_f64())).ok()
    };
    text.split(',').map(part).try_fold(None, |greatest: Option<Duration>, span| Some(greatest.max(Some(span?)))).flatten()
}

fn with_units(text: &str) -> Option<f64> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (amount, behind) = number(rest)?;
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
        sum += amount * size;
        rest = next.trim_start();
    }
    (!text.is_empty()).then_some(sum)
}

/// The number that a text begins with, without sign and exponent, and what is behind it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn spans_are_read_as_servers_write_them() {
        for (text, milliseconds) in [
            ("7", 7_000),
            (" 7 ", 7_000),
            ("6.5", 6_500),
            ("0.25", 250),
            ("7s", 7_000),
            ("12 s", 12_000),
            ("12 Seconds", 12_000),
            ("500ms", 500),
            ("6s500ms", 6_500),
            ("1m30s", 90_000),
            ("6m0s", 360_000),
            ("1h 2m", 3_720_000),
            ("7, 7", 7_000),
            ("5,60, 7", 60_000),
            ("99999999999999999999999999", 86_400_000),
            ("9999d", 86_400_000),
        ] {
            assert_eq!(span(text, DAY), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", " ", "-1", "+5", "1e3", "0x10", "soon", "s", "5 parsecs", "1.2.3", ".", "7,", "7, soon", "5s7", "1.5.s"]
        {
            assert_eq!(span(text, DAY), None, "{text:?}");
        }
    }
}
