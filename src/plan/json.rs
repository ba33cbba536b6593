//! Reading JSON by its bytes: values are handed on as they were sent, so that no number passes through floating point.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The member `key` of the object `json`; of repeated keys the last.
pub fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    struct Member<'k>(&'k str);
    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(hit) = map.next_key_seed(Is(self.0))? {
                if hit {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut de = serde_json::Deserializer::from_str(json);
    de.deserialize_map(Member(key)).ok()?.map(RawValue::get)
}

/// The element `index` of the array `json`.
pub fn element(json: &str, index: usize) -> Option<&str> {
    struct Element(usize);
    impl<'de> Visitor<'de> for Element {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            for _ in 0..self.0 {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let found = seq.next_element()?;
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(found)
        }
    }
    let mut de = serde_json::Deserializer::from_str(json);
    de.deserialize_seq(Element(index)).ok()?.map(RawValue::get)
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

/// Shows every member of the object `json` in its order, values as sent. Stops silently where `json` is no object or malformed.
pub fn for_each_member<'a>(json: &'a str, show: impl FnMut(&str, &'a str)) {
    struct Each<F>(F);
    impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for Each<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<Name<'de>, &RawValue>()? {
                (self.0)(&key.0, value.get());
            }
            Ok(())
        }
    }
    // Not an object: nothing to show.
    let _ = serde_json::Deserializer::from_str(json).deserialize_map(Each(show));
}

/// Shows every element of the array `json` in its order, as sent. Stops silently where `json` is no array or malformed.
pub fn for_each_element<'a>(json: &'a str, show: impl FnMut(&'a str)) {
    struct Each<F>(F);
    impl<'de, F: FnMut(&'de str)> Visitor<'de> for Each<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(value) = seq.next_element::<&RawValue>()? {
                (self.0)(value.get());
            }
            Ok(())
        }
    }
    // Not an array: nothing to show.
    let _ = serde_json::Deserializer::from_str(json).deserialize_seq(Each(show));
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Compares a key without keeping it.
struct Is<'k>(&'k str);
impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_str(self)
    }
}
impl Visitor<'_> for Is<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
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
}
