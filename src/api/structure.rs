//! The structural part of a schema: types, required fields, enums, patterns, bounds and unique list items, in the server's words.

use std::collections::{HashMap, HashSet};

use regex::Regex;
use serde_json::{Value, json};

use super::finding::Findings;
use super::unknown::join;

/// Drops explicit nulls of members, which the server does for fields that are not nullable (none of ours is). A null in a list
/// stays and is refused by its type.
pub(super) fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(&schema["items"], item)),
        Value::Object(members) if schema["x-kubernetes-preserve-unknown-fields"] != true => {
            members.retain(|_, member| !member.is_null());
            for (name, member) in members {
                let known = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                drop_nulls(known, member);
            }
        }
        _ => {}
    }
}

/// The patterns of a schema, ready for use: to read one takes far longer than to match it.
pub(super) struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Those of a schema. One that cannot be read refuses nothing, as the server would not have taken it.
    pub(super) fn of(schema: &Value) -> Self {
        let mut patterns = HashMap::new();
        visit(schema, &mut |part| {
            if let Some(pattern) = part["pattern"].as_str()
                && let Ok(regex) = Regex::new(pattern)
            {
                patterns.insert(pattern.to_owned(), regex);
            }
        });
        Self(patterns)
    }

    fn refuse(&self, pattern: &str, text: &str) -> bool {
        self.0.get(pattern).is_some_and(|regex| !regex.is_match(text))
    }
}

/// Shows a schema and all schemas inside it.
pub(super) fn visit(schema: &Value, see: &mut impl FnMut(&Value)) {
    see(schema);
    let members = schema["properties"].as_object().into_iter().flat_map(serde_json::Map::values);
    let inner = [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|inner| inner.is_object());
    members.chain(inner).for_each(|inner| visit(inner, see));
}

/// Checks a value against its schema, whose patterns these are. A whole float where an integer is asked for becomes one, as on the server.
pub(super) fn check(schema: &Value, patterns: &Patterns, value: &mut Value, path: &str, findings: &mut Findings) {
    let wanted = schema["type"].as_str().unwrap_or("object");
    if wanted == "integer"
        && let Some(float) = value.as_f64().filter(|_| value.is_f64())
        && float.fract() == 0.0
        && let Ok(whole) = format!("{float:.0}").parse::<i64>()
    {
        *value = json!(whole);
    }
    let given = type_of(value);
    if given != wanted && !(wanted == "number" && given == "integer") {
        let hint =
            if wanted == "string" && matches!(given, "integer" | "number" | "boolean") { "; put it in quotes" } else { "" };
        findings.block(path, format!("must be of type {wanted}: \"{given}\"{hint}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        findings.block(path, format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")));
    }
    match value {
        Value::String(text) => check_text(schema, patterns, text, path, findings),
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default(), path, findings),
        Value::Array(items) => check_list(schema, patterns, items, path, findings),
        Value::Object(members) => {
            if let Some(most) = bound(schema, "maxProperties")
                && members.len() > most
            {
                findings.block(path, format!("Too many: {}: must have at most {most} items", members.len()));
            }
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    findings.block(&join(path, name), "Required value");
                }
            }
            for (name, member) in members {
                let known = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                if known.is_object() {
                    check(known, patterns, member, &join(path, name), findings);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_text(schema: &Value, patterns: &Patterns, text: &str, path: &str, findings: &mut Findings) {
    let length = text.chars().count();
    if let Some(most) = bound(schema, "maxLength")
        && length > most
    {
        findings.block(path, format!("Too long: may not be more than {most} characters"));
    }
    if let Some(least) = bound(schema, "minLength")
        && length < least
    {
        findings.add(path, format!("should be at least {least} chars long"));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && patterns.refuse(pattern, text)
    {
        findings.add(path, format!("should match '{pattern}'"));
    }
}

fn check_number(schema: &Value, number: f64, path: &str, findings: &mut Findings) {
    if let Some(least) = schema["minimum"].as_f64()
        && number < least
    {
        findings.add(path, format!("should be greater than or equal to {least}"));
    }
    if let Some(most) = schema["maximum"].as_f64()
        && number > most
    {
        findings.add(path, format!("should be less than or equal to {most}"));
    }
}

fn check_list(schema: &Value, patterns: &Patterns, items: &mut [Value], path: &str, findings: &mut Findings) {
    if let Some(most) = bound(schema, "maxItems")
        && items.len() > most
    {
        findings.block(path, format!("Too many: {}: must have at most {most} items", items.len()));
    }
    if let Some(least) = bound(schema, "minItems")
        && items.len() < least
    {
        findings.add(path, format!("should have at least {least} items"));
    }
    for (index, item) in items.iter_mut().enumerate() {
        check(&schema["items"], patterns, item, &format!("{path}[{index}]"), findings);
    }
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.to_string()),
        Some("map") => {
            Some(Value::Object(keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect()).to_string())
        }
        _ => None,
    };
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(identity) = identity(item)
            && !seen.insert(identity.clone())
        {
            findings.add(&format!("{path}[{index}]"), format!("Duplicate value: {identity}"));
        }
    }
}

fn bound(schema: &Value, keyword: &str) -> Option<usize> {
    usize::try_from(schema[keyword].as_u64()?).ok()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
