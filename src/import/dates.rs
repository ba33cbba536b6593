//! Date patterns and zones as they are met in configurations → such as can be planned.

use crate::plan::date_format::DateFormat;

/// The longest pattern that a manifest takes.
const MAX_PATTERN: usize = 64;

/// A pattern or a zone after repairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    /// What to write; `None`: leave it out, the default holds.
    pub text: Option<String>,
    /// What was done, or what is odd.
    pub note: Option<String>,
    /// Whether a person must look at it.
    pub is_guess: bool,
}

impl Repaired {
    fn kept(text: &str) -> Self {
        Self { text: Some(text.to_owned()), note: None, is_guess: false }
    }

    fn noted(text: Option<&str>, note: impl Into<String>) -> Self {
        Self { text: text.map(str::to_owned), note: Some(note.into()), is_guess: false }
    }

    fn guessed(text: Option<&str>, note: impl Into<String>) -> Self {
        Self { is_guess: true, ..Self::noted(text, note) }
    }
}

/// A pattern; `zone` is the one configured next to it.
pub(super) fn pattern(given: &str, zone: Option<&str>) -> Repaired {
    for word in ["milliseconds", "seconds"] {
        if given.trim().eq_ignore_ascii_case(word) && given != word {
            return Repaired::noted(Some(word), "it is written in small letters");
        }
    }
    let lettered = fixed_offset(given).map(|(before, letters)| format!("{before}{letters}"));
    if let Some(lettered) = lettered.filter(|lettered| is_pattern(lettered)) {
        return Repaired::noted(
            Some(&lettered),
            "the fixed offset became the letters for the offset of each date, since a zone has another one in summer",
        );
    }
    // A double quote is a letter of the text in Java; at the end of a pattern it is a slip.
    if is_pattern(given) && !given.ends_with('"') {
        let is_zoned = zone.is_some_and(|zone| !["", "GMT", "UTC", "Z"].contains(&zone.to_ascii_uppercase().as_str()));
        if given.contains("'Z'") && is_zoned {
            return Repaired::noted(Some(given), "the quoted Z is a letter and not a zone here: the configured zone applies");
        }
        return Repaired::kept(given);
    }
    if let Some(quoted) = requoted(given) {
        return Repaired::noted(
            Some(&quoted),
            "the quotes around T and Z were missing, as a shell removes them; they are restored",
        );
    }
    let mut shorter = given;
    while let Some(rest) = shorter.strip_suffix(['\'', '"', ' ', '}']).or_else(|| shorter.strip_prefix(['"', ' ', '{'])) {
        shorter = rest;
        if is_pattern(shorter) {
            return Repaired::noted(Some(shorter), "an extra quote or brace was removed");
        }
    }
    let words = given.to_ascii_lowercase();
    let digits = given.len() > 7 && given.bytes().all(|b| b.is_ascii_digit());
    if digits && given.len() > 11 || words.contains("milli") {
        return Repaired::guessed(Some("milliseconds"), "it is not a pattern and looks like milliseconds since 1970; check it");
    }
    if digits || ["unix", "epoch", "seconds"].iter().any(|word| words.contains(word)) {
        return Repaired::guessed(Some("seconds"), "it is not a pattern and looks like seconds since 1970; check it");
    }
    Repaired::guessed(
        None,
        "it is not a Java date pattern, and was left out, which means RFC 3339; write the pattern of the provider's dates",
    )
}

/// What is before the fixed offset at the end of a pattern such as `yyyy-MM-dd HH:mm:ss -0800`, and the letters that stand for the offset
/// of each date: a fixed one is an hour off while summer time is in force.
pub(super) fn fixed_offset(pattern: &str) -> Option<(&str, &'static str)> {
    let (before, offset) = pattern.split_at(pattern.rfind(['+', '-'])?);
    let form: String = offset.chars().skip(1).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let letters = match form.as_str() {
        "0000" => "Z",
        "00:00" => "XXX",
        _ => return None,
    };
    before.contains("HH").then_some((before, letters))
}

/// A pattern whose quotes were lost: in a body that stands between single quotes, as in the example of Open Connectors, a shell takes
/// all others away.
fn requoted(given: &str) -> Option<String> {
    let quoted = given.replacen("ddTHH", "dd'T'HH", 1);
    let quoted = match quoted.strip_suffix('Z') {
        Some(rest) if quoted != given => format!("{rest}'Z'"),
        _ => quoted,
    };
    (quoted != given && is_pattern(&quoted)).then_some(quoted)
}

/// Whether a manifest can have this pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_PATTERN && DateFormat::new(Some(text), None).is_ok()
}

/// A zone.
pub(super) fn zone(given: &str) -> Repaired {
    let fixed = ["EST", "MST", "HST"];
    match given {
        _ if !is_zone(given) => Repaired::guessed(
            None,
            "it is not a time zone, and was left out, which means GMT; write a name such as America/Denver",
        ),
        short if fixed.contains(&short) => {
            Repaired::noted(Some(short), "it has no summer time, as in Java; a name such as America/New_York has")
        }
        _ => Repaired::kept(given),
    }
}

fn is_zone(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+:/-".contains(&b);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) && DateFormat::new(None, Some(text)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The patterns that were counted in published configurations.
    #[test]
    fn patterns_of_the_wild() {
        for kept in [
            "milliseconds",
            "yyyy-MM-dd'T'HH:mm:ssXXX",
            "yyyy-MM-dd'T'HH:mm:ss'Z'",
            "yyyy-MM-dd HH:mm:ss",
            "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
            "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "EEE, dd MMM yyyy HH:mm:ss Z",
            "MM/dd/yyyy HH:mm:ss",
            "yyyy-MM-dd'T'HH:mm:ss.SSS",
            "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
            "yyyy-MM-dd",
            "yyyy-MM-dd'T'HH:mm:ss",
            "yyyy-MM-dd' 'HH:mm:ss",
            "yyyy-MM-dd'T'HH:mmz",
            "yyyy-MM-dd'T'HH:mm:ss.SSSX",
            "yyyy-MM-dd'T'HH:mm:ssZ",
            "yyyy/MM/dd HH:mm:ss",
            "dd/MM/yyyy'T'HH:mm:ssXXX",
            "MM/dd/yyy'T'HH:mm:ssXXX",
            "yyyy-MM-dd'T'HH:mm:ssSSSSSSXXX",
        ] {
            assert_eq!(pattern(kept, None), Repaired::kept(kept), "{kept}");
        }
        for (given, text, guess) in [
            ("yyyy-MM-dd'T'HH:mm:ssXXX'", Some("yyyy-MM-dd'T'HH:mm:ssXXX"), false),
            ("yyyy-MM-dd HH:mm:ss\"", Some("yyyy-MM-dd HH:mm:ss"), false),
            ("yyyy-MM-ddTHH:mm:ss.SSSZ", Some("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), false),
            ("yyyy-MM-ddTHH:mm:ssXXX", Some("yyyy-MM-dd'T'HH:mm:ssXXX"), false),
            ("10 digit integer Unix time", Some("seconds"), true),
            ("518862600", Some("seconds"), true),
            ("1518862600000", Some("milliseconds"), true),
            ("yyyy-MM-dd HH:mm:ss -0800", Some("yyyy-MM-dd HH:mm:ss Z"), false),
            ("yyyy-MM-dd'T'HH:mm:ss+01:00", Some("yyyy-MM-dd'T'HH:mm:ssXXX"), false),
            ("MILLISECONDS", Some("milliseconds"), false),
            ("Seconds", Some("seconds"), false),
            ("no pattern", None, true),
        ] {
            let repaired = pattern(given, None);
            assert_eq!((repaired.text.as_deref(), repaired.is_guess), (text, guess), "{given}");
            assert!(repaired.note.is_some());
        }
        assert!(pattern("yyyy-MM-dd'T'HH:mm:ss'Z'", Some("PST")).note.unwrap().contains("the configured zone applies"));
        assert_eq!(pattern("yyyy-MM-dd'T'HH:mm:ss'Z'", Some("GMT")).note, None);
    }

    #[test]
    fn zones_of_the_wild() {
        for kept in ["GMT", "PST", "CST", "America/Denver", "UTC", "-8:00", "+6:00", "EDT"] {
            assert_eq!(zone(kept).text.as_deref(), Some(kept), "{kept}");
        }
        assert!(zone("EST").note.is_some() && !zone("EST").is_guess);
        for wrong in ["{TimeZone}", "Mars/Base", "a b"] {
            assert!(zone(wrong).text.is_none() && zone(wrong).is_guess, "{wrong}");
        }
    }
}
