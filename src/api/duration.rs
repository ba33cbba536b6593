//! Durations as texts: `90s`, `15m`, `1h30m`.
//!
//! The form is that of Gateway API (GEP-2257) without milliseconds: one to three groups of one to five digits and a unit.

use std::fmt::Write;
use std::time::Duration;

use kube::core::Rule;

/// What the API server checks before it compares; the same form as [`parse`].
pub(super) const PATTERN: &str = "^([0-9]{1,5}(h|m|s)){1,3}$";

/// The length of a duration text, or `None` when it does not have the form.
pub fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds, mut groups) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        groups += 1;
        if !(1..=5).contains(&digits) || groups > 3 {
            return None;
        }
        let unit = match rest.as_bytes().get(digits)? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        seconds += rest[..digits].parse::<u64>().ok()? * unit;
        rest = &rest[digits + 1..];
    }
    (groups > 0).then_some(Duration::from_secs(seconds))
}

/// The shortest text for whole seconds; fractions are dropped.
pub fn print(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    for (amount, unit) in [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')] {
        if amount > 0 {
            let _ = write!(text, "{amount}{unit}"); // writing to a String cannot fail
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Whether a CEL rule is one of [`between`].
pub(super) fn is_rule(rule: &str) -> bool {
    rule.strip_prefix("self.matches('").and_then(|rest| rest.strip_prefix(PATTERN)).is_some_and(|rest| rest.starts_with('\''))
}

/// One rule with one message for every kind of bad duration.
pub(super) fn between(min: &str, max: &str) -> Rule {
    Rule::new(format!(
        "self.matches('{PATTERN}') && duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"
    ))
    .message(format!("must be a duration such as 90s, 15m or 1h30m, between {min} and {max}").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h30m", 5400), ("0s", 0), ("99999h", 359_996_400), ("1s1s1s", 3)] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_all_else() {
        for text in ["", "90", "15 m", "15min", "1d", "PT15M", "1.5h", "-5m", "500ms", "123456s", "1s1s1s1s", "m", "1m ", "٣m"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_is_the_inverse(seconds in 0u64..359_996_400) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&print(duration)), Some(duration));
        }
    }
}
