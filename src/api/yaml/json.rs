//! JSON documents in a row, which kubectl tries first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::number;

/// The JSON objects at the beginning of a text, and where what is no JSON begins. YAML reads what JSON cannot (a key without quotes,
/// `---`), and says where the fault is when there is one.
pub(super) fn documents(text: &str) -> (Vec<Result<Value, String>>, usize) {
    let start = text.len() - text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
    if !text[start..].starts_with('{') {
        return (Vec::new(), 0);
    }
    let mut found = Vec::new();
    // Tabs before a brace are white space here, and none to YAML.
    let mut end = start;
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Document>();
    while let Some(Ok(Document(value))) = stream.next() {
        found.push(Ok(value));
        end = start + stream.byte_offset();
    }
    let rest = &text[end..];
    let blanks =
        if rest.trim_start().is_empty() { rest.len() } else { rest.len() - rest.trim_start_matches([' ', '\t']).len() };
    (found, end + blanks)
}

/// One document.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

/// Unlike that of `serde_json` it refuses what would be lost: a key that stands twice, and digits.
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

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        number(value).map_err(E::custom)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice in one map"));
            }
        }
        Ok(members.into())
    }
}
