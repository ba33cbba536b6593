//! Values that say nothing: what a value is replaced by when only its type and form are kept. Pure.

use super::pseudonyms::is_uuid;

/// Words that say how a request went or what form an answer has, and nothing about anyone.
const WORDS: [&str; 16] = [
    "ok",
    "OK",
    "success",
    "SUCCESS",
    "Success",
    "succeeded",
    "complete",
    "completed",
    "list",
    "collection",
    "true",
    "false",
    "none",
    "null",
    "0",
    "1",
];

/// Whether a text says nothing by itself.
pub fn is_neutral(text: &str) -> bool {
    text.trim().is_empty() || WORDS.contains(&text)
}

/// A text of the same form: digits for digits, an address for an address, words of about the same length for words.
pub fn text(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if text.trim().is_empty() {
        return if text.is_empty() { "" } else { " " }.to_owned();
    }
    if is_uuid(text) {
        return "11111111-1111-4111-8111-111111111111".to_owned();
    }
    if text.contains("://") {
        return "https://example.com/masked".to_owned();
    }
    if text.contains('@') && !text.contains(char::is_whitespace) {
        return "someone@example.com".to_owned();
    }
    let is_stamp = text.chars().all(|c| c.is_ascii_digit() || "-:./+TZ ,()".contains(c));
    if digits > 0 && letters <= 2 && is_stamp && text.len() <= 40 {
        return text.chars().map(|c| if c.is_ascii_digit() { '1' } else { c }).collect();
    }
    let words = match text.chars().count() {
        0..=8 => "masked",
        9..=32 => "a masked text",
        33..=256 => "a masked text of some length, which was longer than a name",
        _ => {
            "a masked text of a greater length: what stood here was longer than a line, such as a description, a comment, a message or the \
             body of a document, and what it said is of no importance to the way in which the list is read, so that it was left out when \
             the exchange was recorded"
        }
    };
    if text.is_ascii() { words.to_owned() } else { format!("{words} ü") }
}

/// A number that is spelt alike: as many digits, with its sign, point and exponent. Zero stays zero.
pub fn number(json: &str) -> String {
    let end = json.find(['.', 'e', 'E']).unwrap_or(json.len());
    let (whole, rest) = json.split_at(end);
    let ones = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '1' } else { c }).collect::<String>();
    if whole.trim_start_matches('-') == "0" {
        format!("{whole}{}", ones(rest))
    } else {
        format!("{}{}", ones(whole), ones(rest))
    }
}

/// Whether the name of a member looks like one that a programmer chose. What has an address, a date, a number or a sentence for a name is a
/// map, whose keys are data.
pub fn is_name(name: &str) -> bool {
    let plain = name.strip_prefix(['@', '$', '_', '#']).unwrap_or(name).replacen("@odata.", ".", 1);
    let digits = plain.chars().filter(char::is_ascii_digit).count();
    plain.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && plain.chars().all(|c| c.is_alphanumeric() || "_-.:$#".contains(c))
        && plain.chars().count() <= 64
        && digits * 3 <= plain.len()
        && !is_uuid(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_form_of_a_value_stays() {
        for (value, masked) in [
            ("", ""),
            ("  ", " "),
            ("Ada", "masked"),
            ("Ada Lovelace", "a masked text"),
            ("Müller", "masked ü"),
            ("ada@lovelace.example", "someone@example.com"),
            ("https://lovelace.example/ada", "https://example.com/masked"),
            ("+44 (20) 7946-0958", "+11 (11) 1111-1111"),
            ("1815-12-10T00:00:00.000Z", "1111-11-11T11:11:11.111Z"),
            ("10.0.0.7", "11.1.1.1"),
            ("3f2b8a10-11aa-4bbb-8ccc-0123456789ab", "11111111-1111-4111-8111-111111111111"),
        ] {
            assert_eq!(text(value), masked);
        }
        for (value, masked) in [
            ("0", "0"),
            ("-0", "-0"),
            ("42", "11"),
            ("-1.50", "-1.11"),
            ("0.5", "0.1"),
            ("1e308", "1e111"),
            ("9007199254740993", "1111111111111111"),
        ] {
            assert_eq!(number(value), masked);
        }
    }

    #[test]
    fn keys_that_are_data_are_no_names() {
        for name in [
            "id",
            "first_name",
            "@odata.nextLink",
            "name@odata.type",
            "_links",
            "größe",
            "hs-object.v2",
            "$ref",
            "customfield_10",
        ] {
            assert!(is_name(name), "{name}");
        }
        for data in [
            "",
            "7",
            "ada@lovelace.example",
            "Ada Lovelace",
            "2026-01-01",
            "3f2b8a10-11aa-4bbb-8ccc-0123456789ab",
            "a1234567",
            "http://h/x",
        ] {
            assert!(!is_name(data), "{data}");
        }
    }

    proptest! {
        #[test]
        fn words_of_the_same_length_become_the_same(one in "[A-Za-z]{9,32}", other in "[A-Za-z]{9,32}") {
            prop_assert_eq!(text(&one), text(&other));
        }

        #[test]
        fn a_number_stays_one(value in any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()), whole in any::<i64>()) {
            for json in [serde_json::to_string(&value).unwrap(), whole.to_string()] {
                let masked = number(&json);
                prop_assert_eq!(masked.len(), json.len());
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&masked).is_ok(), "{}", masked);
            }
        }
    }
}
