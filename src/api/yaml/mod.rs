//! Manifests as text → JSON values, document by document, read as kubectl reads them.
//!
//! kubectl takes a text that begins with `{` for JSON as long as it is, and everything else for YAML in the dialect of go-yaml v2:
//! libyaml's grammar, and scalars by YAML 1.1 (`yes` is a boolean, `010` is eight). A reader of YAML 1.2 would accept other files and
//! see other values. Narrower than kubectl on purpose: a key that stands twice and a number that loses digits are refused.
//!
//! Messages never show a scalar of the text, since it may be a Secret's value.

mod compose;
mod json;
mod scalar;

use serde_json::{Number, Value};

/// Largest whole number that a float keeps exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;
const DIGITS: &str = "a number has more digits than can be kept; put it in quotes";
const DEEP: &str = "it is larger or deeper than any manifest";

/// The documents of a text that hold anything, in order; each with its value or why it has none. A bad document does not keep those
/// behind the next `---` from being read.
pub(super) fn documents(text: &str) -> Vec<Result<Value, String>> {
    let text = as_lines(text);
    let (mut found, rest) = json::documents(&text);
    found.extend(compose::documents(&text, rest));
    found
}

/// The text as kubectl hands it to its parser: lines that end with a line feed, the last one too. `---#` separates, although YAML wants
/// a blank between. The byte order mark of a file that was joined to another is dropped at the start of any line; for libyaml it would
/// be a column.
fn as_lines(text: &str) -> String {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    for (given, meant) in [("\n\u{feff}", "\n"), ("\n---#", "\n--- #")] {
        if lines.contains(given) {
            lines = lines.replace(given, meant);
        }
    }
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

/// A number as the API server keeps it: whole ones are integers, however they were written.
fn number(value: f64) -> Result<Value, &'static str> {
    match Number::from_f64(value) {
        None => Err("a number that is infinite or none cannot be kept; put it in quotes"),
        Some(number) if value.fract() != 0.0 => Ok(number.into()),
        #[allow(clippy::cast_possible_truncation, reason = "whole, and far from the bounds")]
        Some(_) if value.abs() <= EXACT => Ok((value as i64).into()),
        Some(_) => Err(DIGITS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_types_and_digits() {
        let text = "
a: 100
b: '100'
c: 18446744073709551615
d: -9223372036854775808
e: 2026-01-31T00:00:00Z
f: 1.5
g: ~
h: [true, no]
1: x
---
{\"json\": 9007199254740993}
";
        let read: Vec<_> = documents(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(
            read,
            [
                json!({"a": 100, "b": "100", "c": u64::MAX, "d": i64::MIN, "e": "2026-01-31T00:00:00Z", "f": 1.5, "g": null, "h": [true, false], "1": "x"}),
                json!({"json": 9_007_199_254_740_993_u64}),
            ]
        );
    }

    #[test]
    fn refuses_what_json_cannot_hold() {
        for (text, message) in [
            ("a: 1\na: 2", "line 2, column 1: the key a occurs twice in one map"),
            ("{\"a\": {\"b\": 1, \"b\": 2}}", "line 1, column 16: the key b occurs twice in one map"),
            ("a: 18446744073709551616", "line 1, column 4: a number has more digits than can be kept; put it in quotes"),
            ("a: [\n", "line 1, column 4: it is not well-formed YAML: look for indentation, quotes, brackets and colons"),
        ] {
            assert_eq!(documents(text), [Err(message.to_owned())], "{text}");
        }
    }

    #[test]
    fn reading_goes_on_at_the_document_behind_a_fault() {
        let told = |text: &str| {
            let found = documents(text).into_iter().map(|document| match document {
                Ok(value) => value.to_string(),
                Err(error) => error.split(": ").next().unwrap().to_owned(),
            });
            found.collect::<Vec<_>>()
        };
        assert_eq!(told("a: [\n---\nb: 1\n"), ["line 2, column 1", "{\"b\":1}"]);
        assert_eq!(
            told("a: 1\n---\nb: 'x\n---\nc: 3\n---\nd: {e\n"),
            ["{\"a\":1}", "line 4, column 1", "{\"c\":3}", "line 7, column 4"]
        );
        assert_eq!(told("--- @\n--- @\n--- a\n"), ["line 1, column 5", "line 2, column 5", "\"a\""]);
        assert_eq!(told("{\"a\": 1}\n{\"b\": 1, \"b\": 2}\n---\nc: 3\n"), ["{\"a\":1}", "line 2, column 10", "{\"c\":3}"]);
    }

    /// libyaml, and with it kubectl, refuses these; JSON that is pasted in has them (a number as last member).
    #[test]
    fn tabs_are_white_space_inside_brackets() {
        for (text, value) in [
            ("a: [1\n\t]", json!({"a": [1]})),
            ("a:\n  b: [1,\n  \t2,\t3\n  \t\t]\n  c: x", json!({"a": {"b": [1, 2, 3], "c": "x"}})),
            (
                "r:\n- {\n\t\"a\": true,\n\t\"b\": {\n\t\t\"c\": 1\n\t},\n\t\"d\": null\n\t}\n- {\"e\": 1}",
                json!({"r": [{"a": true, "b": {"c": 1}, "d": null}, {"e": 1}]}),
            ),
            ("a: {b: one\n\ttwo}", json!({"a": {"b": "one two"}})),
        ] {
            assert_eq!(documents(text), [Ok(value)], "{text}");
        }
        for text in ["a: b\n\tc", "a: [b]\nc: d\n\te", "a: '['\nb: c\n\td", "a:\n\tb: [c\n\t]", "a: b # [\n\tc"] {
            assert!(documents(text)[0].as_ref().unwrap_err().contains("a tab is used where"), "{text:?}");
        }
        let many = format!("x: 1\n---\na: [{}1\n\t]\n---\nb: 2\n", "{\"b\": 1\n\t\t},\n".repeat(300));
        assert_eq!(documents(&many).iter().filter(|document| document.is_ok()).count(), 3);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("a:\n\tb: 1", "line 2, column 1: a tab is used where YAML allows only spaces; replace it with spaces"),
            ("a: *b", "line 1, column 4: an alias (*…) has no anchor; if it is text, put it in quotes"),
            ("a: &b {c: *b}", "line 1, column 11: an alias (*…) has no anchor; if it is text, put it in quotes"),
            ("? [a]\n: b", "line 1, column 3: a key is empty, a list or a map; it must be a text"),
            ("~: b", "line 1, column 1: a key is empty, a list or a map; it must be a text"),
            ("a: !!int x", "line 1, column 4: a value is not of the type that its tag (!!…) says"),
            ("a: !!binary '!'", "line 1, column 4: a value with the tag !!binary is not Base64"),
            ("a: .inf", "line 1, column 4: a number that is infinite or none cannot be kept; put it in quotes"),
            ("a: 1e30", "line 1, column 4: a number has more digits than can be kept; put it in quotes"),
            ("a: {<<: 1}", "line 1, column 9: << must have a map, or a list of maps"),
            ("a: 1\n1: b\n'1': c", "line 3, column 1: the key 1 occurs twice in one map"),
            // the port of libyaml panics here
            ("a: [!b, c]", "line 1, column 5: it is not well-formed YAML: look for indentation, quotes, brackets and colons"),
        ] {
            assert_eq!(documents(text), [Err(message.to_owned())], "{text}");
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        let deep = |depth: usize| format!("a: {}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(documents(&deep(200))[0].is_ok());
        for depth in [300, 9_000] {
            assert!(documents(&deep(depth))[0].as_ref().unwrap_err().ends_with(DEEP));
        }
        let line = |n: usize| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9));
        let laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned() + &(1..12).map(line).collect::<String>();
        assert!(documents(&laughs)[0].as_ref().unwrap_err().ends_with(DEEP));
    }

    proptest::proptest! {
        /// Nor does any text end the process: signs of YAML in any order.
        #[test]
        fn no_text_is_a_panic(text in "([-:?,#&*!|>'\"%@`{}\\[\\] \t\r\na1<~.]|\\n---|\\n  |: |- |\u{feff}|é){0,60}") {
            let _ = documents(&text);
        }
    }

    #[test]
    fn goes_on_behind_a_bad_document() {
        let read = documents("a: 1\n---\nb: 1\nb: 2\n---\n# nothing\n---\nc: 3\n");
        assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    /// A password may start with any of the signs that YAML gives a meaning.
    #[test]
    fn messages_hold_nothing_of_the_text() {
        for bad in [
            "*hunter2",
            "&hunter2",
            "!hunter2 [",
            "%hunter2",
            "@hunter2",
            "`hunter2",
            "\"hunter2",
            "'hunter2",
            "{hunter2",
            "[hunter2",
            "hunter2: hunter2",
            "|hunter2",
            ">hunter2",
            "!!binary hunter2*",
            "!!int hunter2",
            "${hunter2}",
            "\thunter2",
            "- hunter2: - a",
        ] {
            for error in
                documents(&format!("kind: Secret\nstringData:\n  password: {bad}\n")).into_iter().filter_map(Result::err)
            {
                assert!(!error.contains("hunter2"), "{bad}: {error}");
            }
        }
    }
}
