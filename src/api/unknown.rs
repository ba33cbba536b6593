//! Fields that a schema does not have, with the name that was most likely meant.

use serde_json::Value;

use super::finding::Finding;
use super::nearest::nearest;

/// Names that Open Connectors or older habits use, and ours.
const RENAMED: [(&str, &str); 7] = [
    ("createdCheckTolerance", "createdTolerance"),
    ("pollDelay", "lookback"),
    ("filterByUpdatedDate", "changeBy"),
    ("intervalSeconds", "interval"),
    ("schedule", "polling"),
    ("connectorRef", "connector"),
    ("secretName", "secretRef"),
];

/// Takes unknown fields out, as the server does, and reports each in its words: `unknown field "spec.poling"`.
pub(super) fn take_out(schema: &Value, value: &mut Value, path: &str, findings: &mut Vec<Finding>) {
    match value {
        Value::Array(items) if schema["type"] == "array" => {
            for (index, item) in items.iter_mut().enumerate() {
                take_out(&schema["items"], item, &format!("{path}[{index}]"), findings);
            }
        }
        Value::Object(members) if schema["type"] == "object" => {
            let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
            let others = &schema["additionalProperties"];
            let known = schema["properties"].as_object();
            if !free && others.is_null() {
                let unknown: Vec<String> =
                    members.keys().filter(|name| known.is_none_or(|known| !known.contains_key(*name))).cloned().collect();
                for name in unknown {
                    members.remove(&name);
                    findings.push(Finding { path: path.to_owned(), message: message(schema, path, &name) });
                }
            }
            for (name, member) in members {
                let schema = known.and_then(|known| known.get(name)).unwrap_or(others);
                if schema.is_object() {
                    take_out(schema, member, &join(path, name), findings);
                }
            }
        }
        _ => {}
    }
}

/// `path.name`, or the name alone at the root.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn message(schema: &Value, path: &str, name: &str) -> String {
    let field = join(path, name);
    match meant(schema, name) {
        Some(meant) => format!("unknown field \"{field}\", did you mean \"{meant}\"?"),
        None => format!("unknown field \"{field}\""),
    }
}

/// A renamed field, a near name, or the same name one level deeper (`spec.interval` for `spec.polling.interval`).
fn meant(schema: &Value, name: &str) -> Option<String> {
    let known = schema["properties"].as_object()?;
    let renamed = RENAMED.iter().find(|(old, new)| *old == name && known.contains_key(*new)).map(|(_, new)| (*new).to_owned());
    let near = || nearest(name, known.keys().map(String::as_str)).map(str::to_owned);
    let deeper = || {
        let holder = known.iter().find(|(_, child)| child["properties"].get(name).is_some())?;
        Some(format!("{}.{name}", holder.0))
    };
    renamed.or_else(near).or_else(deeper)
}
