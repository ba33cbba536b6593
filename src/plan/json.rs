//! Reading JSON by its bytes: values are handed on as they were sent, so that no number passes through floating point.

pub mod scan;

use std::borrow::Cow;

use scan::{Scan, ScanError};

/// The member `key` of the object `json`; of repeated keys the last.
pub fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    let ended = members(json, |raw, value| {
        if is_name(raw, key) {
            found = Some(value);
        }
    });
    found.filter(|_| ended == Ok(()))
}

/// The element `index` of the array `json`.
pub fn element(json: &str, index: usize) -> Option<&str> {
    let (mut found, mut at) = (None, 0);
    let ended = elements(json, |value| {
        if at == index {
            found = Some(value);
        }
        at += 1;
    });
    found.filter(|_| ended == Ok(()))
}

/// A scalar as the text that was sent: strings unescaped, numbers and booleans digit by digit. `None` for null, arrays and
/// objects.
pub fn scalar_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => {
            let inner = json.get(1..json.len().checked_sub(1)?)?;
            if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// The text of a member's name or string that was sent as `raw` between its quotes. `None` for a lone surrogate.
pub fn name_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('\\') { serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) }
}

/// Whether a name that was sent as `raw` between its quotes is `key`.
pub fn is_name(raw: &str, key: &str) -> bool {
    raw == key || (raw.contains('\\') && name_text(raw).is_some_and(|name| name == key))
}

/// Shows every member of the object `json` in its order, values as sent. Stops silently where `json` is no object or malformed.
pub fn for_each_member<'a>(json: &'a str, mut show: impl FnMut(&str, &'a str)) {
    let mut is_readable = true;
    // Not an object: nothing to show.
    let _ = members(json, |raw, value| match name_text(raw).filter(|_| is_readable) {
        Some(name) => show(&name, value),
        None => is_readable = false,
    });
}

/// Shows every element of the array `json` in its order, as sent. Stops silently where `json` is no array or malformed.
pub fn for_each_element<'a>(json: &'a str, show: impl FnMut(&'a str)) {
    // Not an array: nothing to show.
    let _ = elements(json, show);
}

/// Shows every member of the object `json` in its order, names and values as sent.
///
/// # Errors
/// It is no object, or malformed: what comes before that was shown.
pub fn members<'a>(json: &'a str, mut show: impl FnMut(&'a str, &'a str)) -> Result<(), ScanError> {
    let mut scan = Scan::new(json);
    let mut more = scan.open(b'{', b'}')?;
    while more {
        show(scan.name()?, scan.value()?);
        more = scan.more(b'}')?;
    }
    Ok(())
}

fn elements<'a>(json: &'a str, mut show: impl FnMut(&'a str)) -> Result<(), ScanError> {
    let mut scan = Scan::new(json);
    let mut more = scan.open(b'[', b']')?;
    while more {
        show(scan.value()?);
        more = scan.more(b']')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_members_as_they_were_sent() {
        let mut seen = Vec::new();
        for_each_member(r#"{"a" : 9007199254740993.10 ,"b\u0063":{"x": [1]},"":"","a":null}"#, |key, value| {
            seen.push((key.to_owned(), value.to_owned()));
        });
        let expected = [("a", "9007199254740993.10"), ("bc", r#"{"x": [1]}"#), ("", "\"\""), ("a", "null")];
        assert_eq!(seen, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        for none in ["[1]", "", "{", "7"] {
            for_each_member(none, |key, _| panic!("{none}: {key}"));
        }
    }

    #[test]
    fn takes_the_last_of_repeated_members() {
        let json = r#"{"a":1,"b":[true,{"c":-0.0}],"a":1e400}"#;
        assert_eq!(member(json, "a"), Some("1e400"));
        assert_eq!(member(json, "b").and_then(|b| element(b, 1)).and_then(|e| member(e, "c")), Some("-0.0"));
        assert_eq!(member(json, "x"), None);
        assert_eq!(element(json, 0), None);
    }

    #[test]
    fn gives_scalars_as_text() {
        let text = |json| scalar_text(json).map(Cow::into_owned);
        assert_eq!(text(r#""a\u00e9\"""#).as_deref(), Some("aé\""));
        assert_eq!(text("12345678901234567890.1").as_deref(), Some("12345678901234567890.1"));
        assert_eq!(text("false").as_deref(), Some("false"));
        for none in ["null", "{}", "[]", "", "\"", r#""\ud800""#] {
            assert_eq!(text(none), None, "{none}");
        }
        assert_eq!(name_text(r"\ud800"), None);
        assert_eq!(name_text("plain").as_deref(), Some("plain"));
    }

    proptest! {
        #[test]
        fn members_are_those_that_serde_finds(members in prop::collection::vec((".{0,4}", "[a-z\"\\\\é]{0,4}", 0..4_u32), 0..6)) {
            let value = |text: &str, kind: u32| match kind {
                0 => serde_json::Value::Null,
                1 => serde_json::json!([text, {"a": text}]),
                2 => serde_json::json!({"a": [text]}),
                _ => serde_json::json!(text),
            };
            let written: Vec<_> = members.iter().map(|(name, text, kind)| format!("{}: {}", serde_json::json!(name), value(text, *kind))).collect();
            let json = format!("{{ {} }}", written.join(" ,"));
            let mut seen = Vec::new();
            for_each_member(&json, |name, value| seen.push((name.to_owned(), value.to_owned())));
            let expected: Vec<_> = members.iter().map(|(name, text, kind)| (name.clone(), value(text, *kind).to_string())).collect();
            prop_assert_eq!(&seen, &expected);
            for (name, _) in &expected {
                let last = expected.iter().rfind(|(own, _)| own == name).map(|(_, value)| value.as_str());
                prop_assert_eq!(member(&json, name), last);
            }
        }
    }
}
