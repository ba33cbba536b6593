//! Manifests with the verdicts of a real API server, for the tests of [`validate`](super::validate) and for the integration tests, which
//! ask the real server again.

use serde_json::{Map, Value, json};

/// What the server accepts, laid over the base.
pub const ACCEPTED: &str = include_str!("validate_accepted.yaml");

/// What the server refuses, laid over the base, each with the messages.
pub const REFUSED: &str = include_str!("validate_refused.yaml");

/// A valid manifest.
pub fn base() -> Value {
    json!({
        "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"name": "shop", "namespace": "crm"},
        "spec": {
            "baseUrl": "https://api.example.com/v2",
            "auth": {"bearer": {"secretRef": {"name": "shop", "key": "token"}}},
            "resources": [{"name": "contacts", "url": "/contacts"}],
            "callback": {"url": "https://hooks.example.org/in"}
        }
    })
}

/// Lays one object over another: `DELETE` takes a member out, a list is taken as it is.
fn lay(over: &Value, under: &mut Value) {
    match (over, under) {
        (Value::Object(over), Value::Object(under)) => {
            for (key, value) in over {
                if value == "DELETE" {
                    under.remove(key);
                } else {
                    lay(value, under.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())));
                }
            }
        }
        (over, under) => *under = over.clone(),
    }
}

/// A case's object: `spec` is laid over the base's, `resource` over the base's first resource, `object` over the whole.
pub fn object(case: &Value) -> Value {
    let mut object = base();
    if case["without"] == "base" {
        object["spec"] = json!({"callback": {"url": "https://hooks.example.org/in"}});
    }
    lay(&case["object"].as_object().cloned().unwrap_or_default().into(), &mut object);
    lay(&case["spec"].as_object().cloned().unwrap_or_default().into(), &mut object["spec"]);
    if case["resource"].is_object() {
        lay(&case["resource"], &mut object["spec"]["resources"][0]);
    }
    object
}

/// The cases of one of the two tables.
pub fn cases(table: &str) -> Vec<Value> {
    serde_saphyr::from_str(table).unwrap()
}
