//! An instance as the API server has it: what is read of it, and what a caller writes into it. Pure.

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::api::identity::{InstanceRef, NUMBER_LABEL, number};
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::api::status::ConnectorInstanceStatus;
use crate::instances::InstancesError;
use crate::operator::stored;

/// Lays what a caller decides over an object. Fields of the spec that this version does not know stay.
pub(super) fn lay(object: &mut Value, declared: &ConnectorInstance) {
    // Absent, the server keeps them.
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object["metadata"]["labels"] = json!(declared.metadata.labels);
    object["metadata"]["annotations"] = json!(declared.metadata.annotations);
    let known = ConnectorInstanceSpec::deserialize(&object["spec"]).map_or(Value::Null, |spec| json!(spec));
    let wanted = json!(declared.spec);
    if known != wanted {
        overlay(&mut object["spec"], &known, &wanted);
    }
}

/// Makes `wanted` of what is `stored`, of which this version reads what is `known`: what it does not read it does not change.
fn overlay(stored: &mut Value, known: &Value, wanted: &Value) {
    match (&mut *stored, known, wanted) {
        (Value::Object(stored), Value::Object(known), Value::Object(wanted)) => {
            stored.retain(|field, _| wanted.contains_key(field) || !known.contains_key(field));
            for (field, value) in wanted {
                match (stored.get_mut(field), known.get(field)) {
                    // What is as it was keeps its spelling, and a default stays unsaid.
                    (_, Some(known)) if known == value => {}
                    (Some(stored), Some(known)) => overlay(stored, known, value),
                    (_, _) => drop(stored.insert(field.clone(), value.clone())),
                }
            }
        }
        (Value::Array(there), Value::Array(known), Value::Array(wanted))
            if wanted.iter().all(|item| item["name"].is_string()) =>
        {
            let named = |items: &[Value], name: &Value| items.iter().find(|item| item["name"] == *name).cloned();
            let item = |value: &Value| match (named(there, &value["name"]), named(known, &value["name"])) {
                (Some(mut item), Some(known)) => {
                    overlay(&mut item, &known, value);
                    item
                }
                _ => value.clone(),
            };
            let items = wanted.iter().map(item).collect();
            *there = items;
        }
        (stored, _, wanted) => *stored = wanted.clone(),
    }
}

/// Reads an object. A status of another version is none: it will be written again.
pub(super) fn instance(mut object: Value) -> Result<ConnectorInstance, InstancesError> {
    let status = object["status"].take();
    let of = {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        InstanceRef::new(text("namespace"), text("name"))
    };
    let mut instance = ConnectorInstance::deserialize(object).map_err(|error| InstancesError::NotUnderstood(of, error))?;
    let identity = status["bookkeeping"].as_str().and_then(stored::identity);
    let identity = identity.map(String::from).or_else(|| instance.metadata.uid.clone());
    if let Some(identity) = identity {
        let labels = instance.metadata.labels.get_or_insert_default();
        labels.insert(NUMBER_LABEL.to_owned(), number(&identity).to_string());
    }
    instance.status = ConnectorInstanceStatus::deserialize(status).ok().map(readable);
    Ok(instance)
}

/// Leaves out what only the engine reads.
fn readable(mut status: ConnectorInstanceStatus) -> ConnectorInstanceStatus {
    status.bookkeeping = None;
    for resource in &mut status.resources {
        resource.failing = None;
        if let Some(cursor) = &mut resource.cursor {
            (cursor.known, cursor.blobs, cursor.token) = (None, None, None);
            if let Some(deleted) = &mut cursor.deleted_list {
                (deleted.known, deleted.blobs) = (None, None);
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::API_VERSION;

    #[test]
    fn an_edit_changes_what_it_names_and_keeps_what_this_version_does_not_know() {
        let stored = json!({
            "baseUrl": "https://api.example.com", "later": {"a": 1}, "callback": {"url": "https://h.example/in", "later": true},
            "auth": {"bearer": {"secretRef": {"name": "s", "key": "token"}}},
            "resources": [{"name": "a", "url": "/a", "later": [1]}, {"name": "b", "url": "/b"}, {"name": "c", "url": "/c", "later": 2}],
        });
        let object = |spec: &Value| {
            json!({
                "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "keap"}, "spec": spec,
            })
        };
        let laid = |edit: &dyn Fn(&mut ConnectorInstance)| {
            let mut there = object(&stored);
            let mut wanted = instance(there.clone()).unwrap();
            edit(&mut wanted);
            lay(&mut there, &wanted);
            there["spec"].take()
        };
        assert_eq!(laid(&|_| {}), stored, "without a change nothing is written, not even a default");

        let edited = laid(&|own| {
            own.spec.suspend = true;
            own.spec.auth = serde_json::from_value(json!({"basic": {"secretRef": {"name": "s"}}})).unwrap();
            own.spec.callback.url = "https://other.example/in".to_owned();
            own.spec.resources.remove(1);
            own.spec.resources[1].url = Some("/d".to_owned());
            own.spec.resources.push(serde_json::from_value(json!({"name": "e", "url": "/e"})).unwrap());
        });
        let mut expected = stored.clone();
        expected["suspend"] = true.into();
        expected["auth"] = json!({"basic": {"secretRef": {"name": "s"}}});
        expected["callback"]["url"] = "https://other.example/in".into();
        expected["resources"] = json!([
            {"name": "a", "url": "/a", "later": [1]}, {"name": "c", "url": "/d", "later": 2}, {"name": "e", "url": "/e"},
        ]);
        assert_eq!(edited, expected);
    }

    #[test]
    fn what_a_newer_version_wrote_is_named_and_a_strange_status_is_none() {
        let mut object = json!({
            "apiVersion": API_VERSION, "kind": "ConnectorInstance",
            "metadata": {"namespace": "crm", "name": "keap", "uid": "u1", "resourceVersion": "7"},
            "spec": {"baseUrl": "https://api.example.com", "callback": {"url": "https://h.example/in"}, "later": true},
            "status": {"delivered": 3, "bookkeeping": "{}", "resources": [
                {"name": "a", "failing": "x", "cursor": {"meaning": "m", "known": "x", "since": "2026-01-31T00:00:00Z"}},
            ]},
        });
        let read = instance(object.clone()).unwrap();
        assert_eq!((read.metadata.uid.as_deref(), read.metadata.resource_version.as_deref()), (Some("u1"), Some("7")));
        let status = serde_json::to_value(read.status.unwrap()).unwrap();
        let cursor = json!({"meaning": "m", "since": "2026-01-31T00:00:00Z"});
        assert_eq!(status, json!({"delivered": 3, "resources": [{"name": "a", "cursor": cursor}]}));

        object["status"]["delivered"] = "three".into();
        assert_eq!(instance(object.clone()).unwrap().status, None);
        object["spec"]["callback"] = "https://h.example/in".into();
        let told = instance(object).unwrap_err().to_string();
        assert!(told.starts_with("instance crm/keap is not understood: "), "{told}");
    }
}
