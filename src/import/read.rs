//! A file's text → what is in it, recognised by its shape.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::fields::Place;
use crate::api::document::{Document, Rules};

/// How deeply JSON may be nested in strings of JSON.
const MAX_WRAPPED: usize = 4;

/// What a part of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An instance: a body of `POST /instances`, or one of an export.
    Instance,
    /// The definition of a connector: element.json.
    Definition,
    /// Pollers by resource: the value of `event.poller.configuration`.
    Pollers,
    /// Settings alone: an object of dotted keys, or the list that `GET /instances/{id}/configuration` answers.
    Settings,
    /// The value of `event.poller.urls`, which is no JSON.
    PollerUrls,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "an instance",
            Self::Definition => "the definition of a connector",
            Self::Pollers => "a poller configuration",
            Self::Settings => "the settings of an instance",
            Self::PollerUrls => "poller URLs",
        })
    }
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub kind: Kind,
    pub place: Place,
    pub value: Value,
    /// Members of the answer around it, which say nothing about it.
    pub around: Vec<Place>,
}

/// Why a file cannot be imported. Never shows what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Neither JSON nor poller URLs.
    #[error("is neither JSON nor a list of poller URLs: {0}")]
    NotJson(String),
    /// JSON that is nothing of this kind.
    #[error(
        "{0} is no instance, no definition of a connector and no poller configuration; export instances with GET /instances, or save the \
         value of event.poller.configuration"
    )]
    Unknown(Place),
}

/// The parts of a file, in its order.
///
/// # Errors
/// The first part that is nothing known.
pub(super) fn read(text: &str) -> Result<Vec<Part>, ReadError> {
    let value = match json(text) {
        Ok(Value::String(inner)) => unwrapped(&inner).unwrap_or(Value::String(inner)),
        Ok(value) => value,
        Err(_) if super::legacy::is_poller_urls(text) => Value::String(text.to_owned()),
        Err(error) => return Err(ReadError::NotJson(error)),
    };
    parts(Place::default(), value)
}

fn parts(place: Place, value: Value) -> Result<Vec<Part>, ReadError> {
    if let Some(kind) = kind(&value) {
        return Ok(vec![Part { kind, place, value, around: Vec::new() }]);
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let each = items.into_iter().enumerate().map(|(index, item)| parts(place.item(index), item));
            Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        Value::Object(mut members) if members.get("elementInstance").is_some_and(Value::is_object) => {
            let inner = members.remove("elementInstance").unwrap_or_default();
            let around = members.keys().map(|name| place.member(name)).collect();
            Ok(vec![Part { kind: Kind::Instance, place: place.member("elementInstance"), value: inner, around }])
        }
        _ => Err(ReadError::Unknown(place)),
    }
}

fn kind(value: &Value) -> Option<Kind> {
    if let Value::String(text) = value {
        return super::legacy::is_poller_urls(text).then_some(Kind::PollerUrls);
    }
    let is_setting = |item: &Value| item["key"].is_string() && item.get("propertyValue").is_some();
    if let Some(items) = value.as_array() {
        return (!items.is_empty() && items.iter().all(is_setting)).then_some(Kind::Settings);
    }
    let object = value.as_object().filter(|object| !object.is_empty())?;
    let has = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
    let has_list = |name: &str| object.get(name).is_some_and(Value::is_array);
    let is_definition = has("key") && (has_list("configuration") || has_list("resources"));
    if is_definition {
        return Some(Kind::Definition);
    }
    if object.contains_key("elementInstance") {
        return None;
    }
    if has("configuration") || has("providerData") || has("element") {
        return Some(Kind::Instance);
    }
    if object.values().all(super::poller::is_poller) {
        return Some(Kind::Pollers);
    }
    let dotted = ["event.", "oauth.", "base.url"];
    object.keys().any(|key| dotted.iter().any(|start| key.starts_with(start))).then_some(Kind::Settings)
}

/// The JSON in a string, as often as it is wrapped; `None` when there is none.
pub(super) fn unwrapped(text: &str) -> Option<Value> {
    let mut found = json(text).ok()?;
    for _ in 0..MAX_WRAPPED {
        match &found {
            Value::String(inner) => found = json(inner).ok()?,
            _ => break,
        }
    }
    (found.is_object() || found.is_array()).then_some(found)
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map(|Document::<AllAreTold>(value, _)| value).map_err(|error| error.to_string())
}

/// A key that occurs twice has its last value, as in other parsers; the earlier one is kept under a name of its own, so that the report
/// lists it.
struct AllAreTold;

impl Rules for AllAreTold {
    fn number(value: f64) -> Result<Value, &'static str> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn member(members: &mut Map<String, Value>, name: String, value: Value) -> Result<(), &'static str> {
        if let Some(earlier) = members.insert(name.clone(), value) {
            let mut other = format!("{name} (earlier)");
            while members.contains_key(&other) {
                other.push('+');
            }
            members.insert(other, earlier);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, String)> {
        read(text).unwrap().into_iter().map(|part| (part.kind, part.place.to_string())).collect()
    }

    #[test]
    fn the_shape_tells_the_kind() {
        let whole = "the whole document".to_owned();
        for (text, kind) in [
            (r#"{"element": {"key": "a"}, "configuration": {}}"#, Kind::Instance),
            (r#"{"key": "a", "configuration": [], "resources": []}"#, Kind::Definition),
            (r#"{"events": {"url": "/a", "idField": "id"}}"#, Kind::Pollers),
            (r#"{"event.poller.refresh_interval": "15"}"#, Kind::Settings),
            (r#"[{"id": 1, "key": "base.url", "name": "x", "propertyValue": "https://a.example"}]"#, Kind::Settings),
            (r#""{\"events\": {\"url\": \"/a\"}}""#, Kind::Pollers),
            ("contacts|/hubs/crm/contacts|id|updated|yyyy|GMT|created|yyyy|GMT\n", Kind::PollerUrls),
            ("contacts|leads", Kind::PollerUrls),
        ] {
            assert_eq!(kinds(text), [(kind, whole.clone())], "{text}");
        }
    }

    #[test]
    fn exports_are_lists_and_answers_have_a_wrapper() {
        let instance = r#"{"element": {"key": "a"}, "configuration": {}}"#;
        let listed = kinds(&format!("[{instance}, {instance}]"));
        assert_eq!(listed.iter().map(|(_, place)| place.as_str()).collect::<Vec<_>>(), ["[0]", "[1]"]);
        let wrapped = read(&format!(r#"{{"status": "success", "elementInstance": {instance}}}"#)).unwrap();
        assert_eq!(wrapped[0].place.to_string(), "elementInstance");
        assert_eq!(wrapped[0].around.iter().map(ToString::to_string).collect::<Vec<_>>(), ["status"]);
        assert_eq!(kinds(&format!("\u{feff}[{instance}]")).len(), 1);
    }

    #[test]
    fn what_is_nothing_of_the_kind_is_refused() {
        for (text, start) in [
            ("{", "is neither JSON nor a list of poller URLs: EOF"),
            ("[1]", "[0] is no instance"),
            ("[]", "the whole document is no instance"),
            ("{\"a\": {}}", "the whole document is no instance"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn the_earlier_of_two_keys_does_not_vanish() {
        let Ok(Value::Object(read)) = json(r#"{"a": 1, "a": 2, "a": 3}"#) else { panic!() };
        assert_eq!(Value::Object(read), serde_json::json!({"a": 3, "a (earlier)": 1, "a (earlier)+": 2}));
    }
}
