//! Validates a manifest as the API server would, without a server: nulls dropped, defaults applied, unknown fields, structural schema, then
//! the CEL rules. `local` accepts a manifest exactly when `kubectl apply` would (server-side field validation `Strict`), so that what runs
//! here runs there.

use std::collections::HashMap;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use serde_json::{Value, json};

use super::finding::{Finding, Findings};
use super::schema::crds;
use super::shape::object_meta;
use super::structure::Patterns;
use super::{names, structure, unknown};

/// A kind that can be validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `pollinator.dev/v1alpha1`, kind `ConnectorInstance`.
    ConnectorInstance,
    /// `pollinator.dev/v1alpha1`, kind `Connector`.
    Connector,
    /// `v1`, kind `Secret`. Findings never show a value of one.
    Secret,
}

/// The object as the server would store it: without nulls, with defaults. `status` is dropped, as it is on creation.
///
/// # Errors
/// All findings, in the order of the checks; never empty. As on the server, CEL rules are not run while a type, a required
/// field, an enum or an upper bound is violated.
pub fn validate(kind: Kind, object: &Value) -> Result<Value, Vec<Finding>> {
    let rules = match kind {
        Kind::ConnectorInstance => &*INSTANCE,
        Kind::Connector => &*CONNECTOR,
        Kind::Secret => &*SECRET,
    };
    let mut object = object.clone();
    structure::drop_nulls(&rules.schema, &mut object);
    let mut findings = Vec::new();
    unknown::take_out(&rules.schema, &mut object, &mut findings);
    if let Some(members) = object.as_object_mut() {
        members.remove("status");
    }
    let mut object = apply_defaults(&rules.schema, &object);
    let mut structural = Findings::default();
    structure::check(&rules.schema, &rules.patterns, &mut object, "", &mut structural);
    check_names(kind, &object, &mut structural);
    let blocked = structural.blocking;
    findings.append(&mut structural.found);
    if !blocked && let Err(violated) = VALIDATOR.validate_compiled(&rules.compiled, &object, None) {
        findings.extend(violated.into_vec().into_iter().map(|error| {
            // A rule that cannot be evaluated (30 February) refuses too; the rule's own words say more than the evaluator's.
            let own = rules.messages.get(&error.rule).filter(|_| error.kind == ErrorKind::EvaluationError);
            Finding { path: error.field_path, message: own.cloned().unwrap_or(error.message) }
        }));
    }
    if findings.is_empty() { Ok(object) } else { Err(findings) }
}

/// The rules for names that the server has in code: RFC 1123 subdomain and label.
fn check_names(kind: Kind, object: &Value, findings: &mut Findings) {
    if let Some(name) = object["metadata"]["name"].as_str()
        && !names::is_subdomain(name)
    {
        findings.add(
            "metadata.name",
            "must consist of lower case letters, digits, - and ., and start and end with a letter or digit, such as keap-orders",
        );
    }
    if let Some(namespace) = object["metadata"]["namespace"].as_str()
        && !names::is_label(namespace)
    {
        findings.add(
            "metadata.namespace",
            "must consist of at most 63 lower case letters, digits and -, and start and end with a letter or digit",
        );
    }
    let key = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) && key.len() <= 253;
    if kind == Kind::Secret {
        for map in ["data", "stringData"] {
            for name in object[map].as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| !key(name)) {
                findings.add(&format!("{map}.{name}"), "a key must consist of letters, digits, -, _ and .");
            }
        }
    }
}

struct Rules {
    schema: Value,
    compiled: CompiledSchema,
    patterns: Patterns,
    /// By the text of the rule.
    messages: HashMap<String, String>,
}

/// With every function of the server.
static VALIDATOR: LazyLock<Validator> = LazyLock::new(Validator::new);
static INSTANCE: LazyLock<Rules> = LazyLock::new(|| of_crd(0));
static CONNECTOR: LazyLock<Rules> = LazyLock::new(|| of_crd(1));
static SECRET: LazyLock<Rules> = LazyLock::new(|| {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    rules(json!({"type": "object", "properties": {
        "type": {"type": "string"}, "immutable": {"type": "boolean"}, "data": texts, "stringData": texts
    }}))
});

fn of_crd(index: usize) -> Rules {
    let schema = crds()
        .get(index)
        .and_then(|crd| crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default();
    rules(schema)
}

/// Adds what every object has.
fn rules(mut schema: Value) -> Rules {
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = object_meta();
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    if !required.contains(&json!("metadata")) {
        required.push(json!("metadata"));
    }
    schema["required"] = required.into();
    let compiled = compile_schema(&schema);
    let mut messages = HashMap::new();
    structure::visit(&schema, &mut |part| {
        for rule in part["x-kubernetes-validations"].as_array().into_iter().flatten() {
            if let (Some(rule), Some(message)) = (rule["rule"].as_str(), rule["message"].as_str()) {
                messages.insert(rule.to_owned(), message.to_owned());
            }
        }
    });
    let patterns = Patterns::of(&schema);
    Rules { schema, compiled, patterns, messages }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
