//! One body of the instances API → what it declares.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::Known;
use super::fields::Place;
use super::instance::{self, Names};
use super::read::{self, Kind, Part};
use super::report::{Line, Section, Severity, Verdict};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::IMPORTED_NAME;
use crate::api::instance::ConnectorInstanceSpec;

/// What a body declares. Its `Debug` shows no value of a Secret.
#[derive(Debug)]
pub struct Posted {
    /// Name of the manifest.
    pub name: String,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The instance, without what only a person can know: see [`Self::open`].
    pub spec: ConnectorInstanceSpec,
    secrets: super::draft::Secrets,
    section: Section,
}

impl Posted {
    /// Values of Secrets, by the Secret's name and key; `None`: the body has none for a key that is needed, or a mask in its place.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        self.secrets.values()
    }

    /// Secrets that the body hides whole, so that no key of them is known.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        self.secrets.names().filter(|name| self.secrets.values().all(|(other, ..)| other != *name))
    }

    /// What keeps it from working, one sentence each.
    pub fn open(&self) -> Vec<String> {
        self.lines(|line| line.verdict == Verdict::ToDo && line.severity == Severity::Verdict)
    }

    /// Values that the body masks, one sentence each.
    pub fn masked(&self) -> Vec<String> {
        self.lines(|line| line.verdict == Verdict::Masked)
    }

    /// What in the body has no effect, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.lines(|line| line.severity == Severity::Warning)
    }

    fn lines(&self, is_meant: impl Fn(&Line) -> bool) -> Vec<String> {
        self.section.lines.iter().filter(|line| is_meant(line)).map(Line::sentence).collect()
    }
}

/// Reads the text of a body.
///
/// # Errors
/// It is no object of JSON.
pub fn body(text: &str) -> Result<Map<String, Value>, String> {
    match read::json(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("the body must be a JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

/// The key of the connector that a body names.
pub fn element_key(body: &Map<String, Value>) -> Option<&str> {
    let of = |name: &str| match body.get(name)? {
        Value::Object(element) => element.get("key")?.as_str(),
        other => other.as_str(),
    };
    ["element", "elementKey", "element.key"].into_iter().find_map(of).map(str::trim).filter(|key| !key.is_empty())
}

/// Imports a body as an instance of this connector. `name`: that of the manifest, when there is one already.
///
/// # Errors
/// It says nothing to poll; the sentences say why.
pub fn posted(mut body: Map<String, Value>, name: Option<&str>, connector: &ConnectorSpec) -> Result<Posted, Vec<String>> {
    let display = match name {
        Some(name) => body.insert("name".to_owned(), name.into()),
        None => None,
    };
    let mut section = Section::default();
    // An unknown member of the body is none of the parts that an export has around an instance.
    let part = Part { kind: Kind::Instance, place: Place::default(), value: Value::Object(body), around: Vec::new() };
    let known = |_: &str| Known { spec: Some(connector), filters: None };
    let draft = instance::import(part, "instance", &mut Names::default(), &known, &mut section);
    let Some(mut draft) = draft else { return Err(section.lines.iter().rev().take(1).map(Line::sentence).collect()) };
    if name.is_some() {
        match display.as_ref().and_then(Value::as_str) {
            Some(display) => drop(draft.annotations.insert(IMPORTED_NAME.to_owned(), display.chars().take(253).collect())),
            None => drop(draft.annotations.remove(IMPORTED_NAME)),
        }
    }
    let name = name.map_or(draft.name, str::to_owned);
    Ok(Posted { name, annotations: draft.annotations, spec: draft.spec, secrets: draft.secrets, section })
}
