//! Blanks in a date: a run of any kind of them is one space.

use std::borrow::Cow;

/// Whether a character separates words and shows nothing: spaces of any width (CLDR 42 and later put U+202F before AM and PM), tabs
/// and ends of lines.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace()
}

/// Whether a character takes no room at all: marks of direction, which some browsers write around the parts of a date, joiners and
/// the byte order mark.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The text without blanks at its ends, with one space for each run of blanks, and without invisible characters.
pub(super) fn single_spaced(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(|character| is_blank(character) || is_invisible(character));
    if is_single_spaced(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len());
    let mut gap = false;
    for character in text.chars().filter(|character| !is_invisible(*character)) {
        if is_blank(character) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            result.push(' ');
        }
        result.push(character);
    }
    Cow::Owned(result)
}

/// The everyday case: visible ASCII and single spaces.
fn is_single_spaced(text: &[u8]) -> bool {
    let mut before = 0;
    text.iter().all(|&byte| {
        let fits = byte.is_ascii_graphic() || (byte == b' ' && before != b' ');
        before = byte;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_blanks_are_one_space() {
        for blank in [
            " ",
            "  ",
            "\t",
            "\n",
            "\r\n",
            "\u{b}",
            "\u{85}",
            "\u{a0}",
            "\u{1680}",
            "\u{2003}",
            "\u{2009}",
            "\u{200a}",
            "\u{202f}",
            "\u{205f}",
            "\u{3000}",
            "\u{2028}",
            " \u{200b} ",
            "\u{202f}\u{a0}",
        ] {
            assert_eq!(single_spaced(&format!("{blank}a{blank}b 1{blank}")), "a b 1", "{blank:?}");
        }
        assert_eq!(single_spaced("\u{feff}\u{200e}11\u{200e}/\u{200e}24"), "11/24");
        assert_eq!(single_spaced("2026年 11月"), "2026年 11月");
        assert_eq!(single_spaced(" \u{a0}\t"), "");
        assert!(matches!(single_spaced(" 2026-11-24 10:00 "), Cow::Borrowed("2026-11-24 10:00")));
    }
}
