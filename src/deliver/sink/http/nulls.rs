//! A record without the members that are null, as Open Connectors sends records unless `filter.response.nulls` is off. Pure.
//!
//! The text is filtered, and not read into values: numbers stay as the provider wrote them, and nesting costs no stack.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// The record without members that are null. Nulls in arrays stay: they have a place.
pub(super) fn without(record: &RawValue) -> Cow<'_, RawValue> {
    let text = record.get();
    if !text.contains("null") {
        return Cow::Borrowed(record);
    }
    match RawValue::from_string(filtered(text)) {
        Ok(filtered) => Cow::Owned(filtered),
        // Not to be: it would only be sent as it is.
        Err(_) => Cow::Borrowed(record),
    }
}

/// The text of valid JSON without such members, and without blanks between its tokens.
fn filtered(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    // Where the last brace, bracket or comma ends in what is kept, and whether the value that begins next is a member's.
    let (mut start, mut is_member) = (0, false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' => &rest[..string_end(rest)],
            'n' if is_member => {
                rest = &rest["null".len().min(rest.len())..];
                kept.truncate(start);
                is_member = false;
                continue;
            }
            _ => &rest[..first.len_utf8()],
        };
        rest = &rest[token.len()..];
        match first {
            ' ' | '\t' | '\r' | '\n' => continue,
            // The member before it was left out, or all before it.
            ',' if kept.ends_with(['{', ',']) && kept.len() == start => continue,
            '}' if kept.ends_with(',') && kept.len() == start => drop(kept.pop()),
            _ => {}
        }
        kept.push_str(token);
        match first {
            '{' | '[' | ',' => (start, is_member) = (kept.len(), false),
            ':' => is_member = true,
            _ => is_member = false,
        }
    }
    kept
}

/// Where the string at the beginning of a text ends.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn expected(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name.clone(), expected(member)))
                .collect(),
            Value::Array(items) => items.iter().map(expected).collect(),
            other => other.clone(),
        }
    }

    #[test]
    fn members_that_are_null_are_left_out() {
        for (text, without) in [
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":null,"b":1}"#, r#"{"b":1}"#),
            (r#"{"a":1,"b":null}"#, r#"{"a":1}"#),
            (r#"{"a":1,"b":null,"c":null,"d":{"e":null}}"#, r#"{"a":1,"d":{}}"#),
            (r#"{"a":[null,{"b":null}],"c":"null"}"#, r#"{"a":[null,{}],"c":"null"}"#),
            (
                r#"{"a\"null":"x:null,","n":10000000000000000000001.50}"#,
                r#"{"a\"null":"x:null,","n":10000000000000000000001.50}"#,
            ),
            ("null", "null"),
        ] {
            assert_eq!(filtered(text), without, "{text}");
        }
        let spaced = "{ \"a\" : null , \"b\" : [ 1 , null ] ,\n \"c\" : null }";
        assert_eq!(serde_json::from_str::<Value>(&filtered(spaced)).unwrap(), json!({"b": [1, null]}));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(filtered(&deep), deep);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\:,{}n]{0,6}|null".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\",:]{0,4}|null", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_rest_of_a_record_stays(value in values()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let filtered = filtered(&text);
                prop_assert_eq!(serde_json::from_str::<Value>(&filtered).unwrap(), expected(&value));
            }
        }
    }
}
