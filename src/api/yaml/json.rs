//! JSON documents in a row, which kubectl tries first.

use serde_json::{Map, Value};

use super::number;
use crate::api::document::{Document, Rules};

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
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Document<NothingIsLost>>();
    while let Some(Ok(Document(value, _))) = stream.next() {
        found.push(Ok(value));
        end = start + stream.byte_offset();
    }
    let rest = &text[end..];
    let blanks =
        if rest.trim_start().is_empty() { rest.len() } else { rest.len() - rest.trim_start_matches([' ', '\t']).len() };
    (found, end + blanks)
}

/// Unlike `serde_json` it refuses what would be lost: a key that stands twice, and digits.
struct NothingIsLost;

impl Rules for NothingIsLost {
    fn number(value: f64) -> Result<Value, &'static str> {
        number(value)
    }

    fn member(members: &mut Map<String, Value>, key: String, value: Value) -> Result<(), &'static str> {
        members.insert(key, value).map_or(Ok(()), |_| Err("a key occurs twice in one map"))
    }
}
