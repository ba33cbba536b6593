//! Fields that a schema does not have, with the name that was most likely meant.

use serde_json::Value;

use super::finding::Finding;
use super::nearest::nearest;

/// Names that Open Connectors or older habits use, and the path of today's field from the object that has the old one. Where a name
/// may be at several levels, the first path that the schema has is proposed.
const RENAMED: [(&str, &str); 27] = [
    ("event.poller.refresh_interval", "polling.interval"),
    ("event.poller.refresh_interval", "interval"),
    ("refresh_interval", "polling.interval"),
    ("refresh_interval", "interval"),
    ("refreshInterval", "polling.interval"),
    ("refreshInterval", "interval"),
    ("event.poller.configuration", "resources"),
    ("event.poller.urls", "resources"),
    ("event.objects", "resources"),
    ("event.notification.enabled", "suspend"),
    ("event.notification.callback.url", "callback.url"),
    ("event.notification.callback.headers", "callback.headersSecretRef"),
    ("event.notification.signature.key", "callback.signature"),
    ("event.notification.basic.username", "callback.auth.basic"),
    ("event.notification.basic.password", "callback.auth.basic"),
    ("element", "connector"),
    ("element.key", "connector"),
    ("elementKey", "connector"),
    ("providerData", "auth"),
    ("filterByUpdateDate", "changeBy"),
    ("createdCheckTolerance", "createdTolerance"),
    ("pollDelay", "lookback"),
    ("filterByUpdatedDate", "changeBy"),
    ("intervalSeconds", "interval"),
    ("schedule", "polling"),
    ("connectorRef", "connector"),
    ("secretName", "secretRef"),
];

/// Settings of Open Connectors that need no field here, and why.
const NEEDLESS: [(&str, &str); 2] = [
    ("filterByCurrentDate", "a record with a date in the future is delivered once and does not move the cursor"),
    ("event.vendor.type", "every resource is polled"),
];

/// Takes unknown fields out, as the server does, and reports each in its words: `unknown field "spec.poling"`.
pub(super) fn take_out(schema: &Value, value: &mut Value, findings: &mut Vec<Finding>) {
    take_out_of(schema, (schema, ""), value, findings);
}

/// The same, of a value at a path in the object whose schema is `root`.
fn take_out_of(root: &Value, (schema, path): (&Value, &str), value: &mut Value, findings: &mut Vec<Finding>) {
    match value {
        Value::Array(items) if schema["type"] == "array" => {
            for (index, item) in items.iter_mut().enumerate() {
                take_out_of(root, (&schema["items"], &format!("{path}[{index}]")), item, findings);
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
                    findings.push(Finding { path: path.to_owned(), message: message(root, schema, path, &name) });
                }
            }
            for (name, member) in members {
                let schema = known.and_then(|known| known.get(name)).unwrap_or(others);
                if schema.is_object() {
                    take_out_of(root, (schema, &join(path, name)), member, findings);
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

fn message(root: &Value, schema: &Value, path: &str, name: &str) -> String {
    let field = join(path, name);
    if let Some((_, reason)) = NEEDLESS.iter().find(|(old, _)| *old == name) {
        return format!("unknown field \"{field}\"; remove it: {reason}");
    }
    match meant(root, schema, name) {
        Some(meant) => format!("unknown field \"{field}\", did you mean \"{meant}\"?"),
        None => format!("unknown field \"{field}\""),
    }
}

/// A renamed field, here or where it is now, a near name, or the same name one level deeper (`spec.interval` for
/// `spec.polling.interval`).
fn meant(root: &Value, schema: &Value, name: &str) -> Option<String> {
    let known = schema["properties"].as_object()?;
    let old = || RENAMED.iter().filter(|(old, _)| *old == name).map(|(_, new)| *new);
    let renamed = old().find(|new| has(schema, new)).map(str::to_owned);
    let spec = &root["properties"]["spec"];
    let places = [("spec", spec), ("spec.resources[]", &spec["properties"]["resources"]["items"])];
    let elsewhere = || places.iter().find_map(|(path, place)| Some(join(path, old().find(|new| has(place, new))?)));
    let near = || nearest(name, known.keys().map(String::as_str)).map(str::to_owned);
    let deeper = || {
        let holder = known.iter().find(|(_, child)| child["properties"].get(name).is_some())?;
        Some(format!("{}.{name}", holder.0))
    };
    renamed.or_else(elsewhere).or_else(near).or_else(deeper)
}

/// Whether a schema has a field at this path.
fn has(schema: &Value, path: &str) -> bool {
    path.split('.').try_fold(schema, |schema, name| schema["properties"].get(name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::crds;

    /// A name that no schema can offer would be dead weight, or misspelt.
    #[test]
    fn every_old_name_gets_a_field_that_exists() {
        let crd = serde_json::to_value(&crds()[0]).unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &root["properties"]["spec"];
        let properties = &spec["properties"];
        let auth = &properties["auth"]["properties"]["bearer"];
        let levels = [spec, &properties["polling"], &properties["resources"]["items"], auth];
        for (old, new) in RENAMED {
            let hint = format!("unknown field \"{old}\", did you mean \"{new}\"?");
            assert!(levels.iter().any(|level| message(root, level, "", old) == hint), "{old} → {new}");
        }
        // where it does not belong, it leads to where it is now
        for (level, old, new) in [
            (&properties["polling"], "event.notification.callback.url", "spec.callback.url"),
            (&properties["callback"], "filterByUpdatedDate", "spec.resources[].changeBy"),
            (&properties["resources"]["items"], "elementKey", "spec.connector"),
            (auth, "event.poller.refresh_interval", "spec.polling.interval"),
        ] {
            assert_eq!(message(root, level, "x", old), format!("unknown field \"x.{old}\", did you mean \"{new}\"?"));
        }
        for (old, reason) in NEEDLESS {
            assert_eq!(message(root, spec, "spec", old), format!("unknown field \"spec.{old}\"; remove it: {reason}"));
        }
    }
}
