//! Values made from a published schema: the same schema always gives the same value.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::description::Description;

/// Objects within objects that are filled; what is deeper is empty.
const DEEPEST: usize = 4;

/// A value of a schema. Every member that is described is there.
pub fn of(description: &Description, schema: &Value) -> Value {
    at_depth(description, schema, 0)
}

fn at_depth(description: &Description, schema: &Value, depth: usize) -> Value {
    let parts = parts(description, schema);
    let first = |key: &str| parts.iter().find_map(|part| part.get(key));
    if let Some(only) = first("const") {
        return only.clone();
    }
    if let Some(Value::Array(values)) = first("enum") {
        return values.iter().find(|value| !value.is_null()).cloned().unwrap_or_default();
    }
    let is_object = parts.iter().any(|part| part["properties"].is_object());
    match kind(&parts) {
        Some("object") | None if is_object => {
            if depth >= DEEPEST {
                return json!({});
            }
            let members = parts.iter().filter_map(|part| part["properties"].as_object()).flatten();
            let filled = members.map(|(name, schema)| (name.clone(), at_depth(description, schema, depth + 1)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Some("array") => match first("items") {
            Some(items) if depth < DEEPEST => json!([at_depth(description, items, depth + 1)]),
            _ => json!([]),
        },
        Some("object") => json!({}),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some(_) | None => Value::from(text(first("format").and_then(Value::as_str))),
    }
}

fn text(format: Option<&str>) -> &'static str {
    match format {
        Some("date-time" | "google-datetime") => "2024-01-02T03:04:05Z",
        Some("date") => "2024-01-02",
        Some("uuid") => "00000000-0000-4000-8000-000000000001",
        Some("uri" | "url") => "https://example.com/1",
        Some("email") => "a@example.com",
        Some("int64" | "uint64" | "int32" | "decimal" | "double") => "1",
        _ => "text",
    }
}

/// The schemas that one value obeys together: of alternatives the first that is not null.
pub fn parts<'a>(description: &'a Description, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = Vec::new();
    collect(description, schema, 0, &mut found);
    found
}

fn collect<'a>(description: &'a Description, schema: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
    let schema = description.resolve(schema);
    if depth > 12 {
        return;
    }
    found.push(schema);
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| collect(description, part, depth + 1, found));
    for union in ["oneOf", "anyOf"] {
        let is_null = |part: &&Value| description.resolve(part)["type"] == "null";
        if let Some(part) = schema[union].as_array().into_iter().flatten().find(|part| !is_null(part)) {
            collect(description, part, depth + 1, found);
        }
    }
}

/// The type that the schemas name; of several the first that is not null.
pub fn kind<'a>(parts: &[&'a Value]) -> Option<&'a str> {
    parts.iter().find_map(|part| match &part["type"] {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    })
}

/// How dates may be written as text.
const LAYOUTS: [&str; 13] = [
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.3fZ",
    "%Y-%m-%dT%H:%M:%S%.6fZ",
    "%Y-%m-%dT%H:%M:%S+00:00",
    "%Y-%m-%dT%H:%M:%S%.3f+00:00",
    "%Y-%m-%dT%H:%M:%S%.6f+00:00",
    "%Y-%m-%dT%H:%M:%S%.3f+0000",
    "%Y-%m-%dT%H:%M:%S+0000",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.6f",
    "%Y-%m-%d %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S +0000",
    "%Y-%m-%d",
];

/// A date as the schema at its place says that dates are written there: by the example if there is one, else by type and format.
/// `None`: the schema does not say.
pub fn date(description: &Description, schema: &Value, at: DateTime<Utc>) -> Option<Value> {
    let parts = parts(description, schema);
    let first = |key: &str| parts.iter().find_map(|part| part.get(key));
    let example = first("example").or_else(|| first("x-example")).or_else(|| first("examples")?.get(0));
    if let Some(example) = example {
        let shown = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        let written = LAYOUTS.iter().map(|layout| at.format(layout).to_string()).find(|text| shape(text) == shape(&shown));
        let millis = || format!("/Date({})/", at.timestamp_millis());
        if let Some(text) = written.or_else(|| (shape(&shown) == shape(&millis())).then(millis)) {
            return Some(text.into());
        }
    }
    match (kind(&parts), first("format").and_then(Value::as_str)) {
        (Some("integer" | "number"), _) => {
            let is_long = example.and_then(Value::as_f64).is_some_and(|number| number > 1e11);
            let says = |word: &str| first("description").and_then(Value::as_str).is_some_and(|text| text.contains(word));
            Some(if is_long || says("millisecond") { at.timestamp_millis().into() } else { at.timestamp().into() })
        }
        (_, Some("date-time" | "google-datetime")) => Some(at.to_rfc3339_opts(SecondsFormat::Secs, true).into()),
        (_, Some("date")) => Some(at.format("%Y-%m-%d").to_string().into()),
        _ => None,
    }
}

/// A text with each digit as 9 and each letter run that may vary as a: what two dates of one layout have in common.
fn shape(text: &str) -> String {
    let weekday_or_month = |word: &str| word.len() == 3 && word != "GMT" && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let digits = text.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect::<String>();
    digits
        .split_inclusive([' ', ','])
        .map(|word| if weekday_or_month(word.trim_end_matches([' ', ','])) { "aaa" } else { word })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_description_shows_them() {
        let description = Description::read("{}").unwrap().remove(0);
        let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let date = |schema: Value| {
            date(&description, &schema, at).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        for (schema, written) in [
            (json!({"type": "string", "example": "2013-04-08T10:14:59.006+0000"}), Some("2026-01-02T03:04:05.678+0000")),
            (json!({"type": "string", "format": "date-time"}), Some("2026-01-02T03:04:05Z")),
            (json!({"type": "string", "format": "date"}), Some("2026-01-02")),
            (json!({"type": "string", "example": "Mon, 16 Aug 2010 03:45:01 +0000"}), Some("Fri, 02 Jan 2026 03:04:05 +0000")),
            (json!({"type": "string", "example": "/Date(1573755038314)/"}), Some("/Date(1767323045678)/")),
            (json!({"type": "integer"}), Some("1767323045")),
            (json!({"type": "integer", "example": 1_573_755_038_314_u64}), Some("1767323045678")),
            (json!({"type": "string"}), None),
        ] {
            assert_eq!(date(schema.clone()).as_deref(), written, "{schema}");
        }
    }

    #[test]
    fn a_value_has_every_member_that_is_described() {
        let text = json!({"components": {"schemas": {"Base": {"properties": {"id": {"type": "integer"}}}}}}).to_string();
        let description = Description::read(&text).unwrap().remove(0);
        let schema = json!({"allOf": [{"$ref": "#/components/schemas/Base"}], "type": ["null", "object"], "properties": {
            "kind": {"enum": [null, "a"]}, "list": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}},
            "cut": {"x-trimmed-ref": "Other"}, "seen": {"type": "string", "format": "date"},
        }});
        let value = json!({"id": 1, "kind": "a", "list": [false], "cut": "text", "seen": "2024-01-02"});
        assert_eq!(of(&description, &schema), value);
    }
}
