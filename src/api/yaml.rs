//! YAML (and so JSON) documents as JSON values, one by one, without losing what JSON can hold.
//!
//! Messages never show a scalar of the text, since it may be a Secret's value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Error;

/// Largest whole number that a float keeps exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The documents of a text that hold anything, in order; each with its value or why it has none. After a syntax error no more
/// documents are found.
pub(super) fn documents(text: &str) -> Vec<Result<Value, String>> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut reader = text.as_bytes();
    serde_saphyr::read_with_options::<_, Document>(&mut reader, options)
        .map(|document| document.map(|document| document.0).map_err(|error| tell(&error)))
        .collect()
}

/// Place and cause without content. What a scanner says of a text's form is kept, what quotes the text is told anew.
fn tell(error: &Error) -> String {
    let cause = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} stands twice in one map"),
        Error::DuplicateMappingKey { .. } => "a key stands twice in one map".to_owned(),
        Error::UnknownAnchor { .. } | Error::AliasError { .. } => {
            "an alias (*…) has no anchor; put the text in quotes".to_owned()
        }
        Error::Budget { .. } => "it is larger or deeper than any manifest".to_owned(),
        Error::Message { msg, .. } if msg.starts_with(OURS) => msg[OURS.len()..].to_owned(),
        _ => "it is not well-formed YAML: look for indentation, quotes, brackets and colons".to_owned(),
    };
    match error.location() {
        Some(location) if location.line() > 0 => format!("line {}, column {}: {cause}", location.line(), location.column()),
        _ => cause,
    }
}

/// Marks the messages of [`ValueVisitor`], which hold nothing of the text.
const OURS: &str = "pollinator: ";

/// One document.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// A whole number beyond 64 bits arrives here too, its last digits gone.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) if value.fract() != 0.0 || value.abs() <= EXACT => Ok(number.into()),
            _ => Err(E::custom(format_args!("{OURS}a number has more digits than can be kept; put it in quotes"))),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Document(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((key, Document(value))) = map.next_entry::<String, Document>()? {
            // `1` and `"1"` are two keys to YAML and one to JSON.
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom(format_args!("{OURS}a key stands twice in one map")));
            }
        }
        Ok(members.into())
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
            ("a: 1\na: 2", "line 2, column 1: the key a stands twice in one map"),
            ("{\"a\": {\"b\": 1, \"b\": 2}}", "line 1, column 16: the key b stands twice in one map"),
            ("a: 18446744073709551616", "line 1, column 4: a number has more digits than can be kept; put it in quotes"),
            ("a: [\n", "line 1, column 4: it is not well-formed YAML: look for indentation, quotes, brackets and colons"),
        ] {
            assert_eq!(documents(text), [Err(message.to_owned())], "{text}");
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
