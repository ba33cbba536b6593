//! Drafts → files: manifests, and Secrets apart from them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::draft::{Draft, Secrets};
use crate::api::API_VERSION;
use crate::api::connector::ConnectorSpec;
use crate::api::instance::ConnectorInstanceSpec;

/// A file to be written. The `Debug` of one with Secrets shows no text.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name, without a folder.
    pub name: String,
    /// Whether it holds values of Secrets. Then only its owner may read it.
    pub is_secret: bool,
    /// YAML.
    pub text: String,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.is_secret { "…" } else { &self.text };
        f.debug_struct("Written").field("name", &self.name).field("text", &text).finish_non_exhaustive()
    }
}

/// The manifest of an instance.
pub(super) fn instance(draft: &Draft, namespace: Option<&str>) -> Written {
    let mut metadata = metadata(&draft.name, namespace);
    if !draft.annotations.is_empty() {
        metadata["annotations"] = json!(draft.annotations);
    }
    let object =
        json!({"apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": metadata, "spec": spec(&draft.spec)});
    Written { name: format!("{}.yaml", draft.name), is_secret: false, text: yaml(&object) }
}

/// The manifest of a connector.
pub(super) fn connector(key: &str, spec: &ConnectorSpec, namespace: Option<&str>) -> Written {
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let object = json!({"apiVersion": API_VERSION, "kind": "Connector", "metadata": metadata(key, namespace), "spec": spec});
    Written { name: format!("{key}.connector.yaml"), is_secret: false, text: yaml(&object) }
}

/// The Secrets of an instance, if it has any; `withheld`: with placeholders in the place of all values.
pub(super) fn secrets(name: &str, secrets: &Secrets, namespace: Option<&str>, withheld: bool) -> Option<Written> {
    let documents: Vec<_> = secrets
        .entries(withheld)
        .map(|(name, entries)| {
            let entries: BTreeMap<&str, &str> = entries;
            yaml(&json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata(name, namespace), "type": "Opaque", "stringData": entries
            }))
        })
        .collect();
    let text = documents.join("---\n");
    (!documents.is_empty()).then(|| Written { name: format!("{name}.secret.yaml"), is_secret: !withheld, text })
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

/// The spec without the members that say what holds anyway.
fn spec(spec: &ConnectorInstanceSpec) -> Value {
    let mut spec = serde_json::to_value(spec).unwrap_or_default();
    let without = |object: &mut Value, name: &str| {
        if let Some(members) = object.as_object_mut().filter(|members| members.get(name) == Some(&Value::Bool(false))) {
            members.remove(name);
        }
    };
    without(&mut spec, "suspend");
    without(&mut spec["callback"], "allowInsecureHttp");
    spec
}

/// JSON is YAML: what the writer does not take is written so.
fn yaml(object: &Value) -> String {
    let mut text = serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
