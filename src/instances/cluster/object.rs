//! An instance as the API server has it: what is read of it, and what a caller writes into it. Pure.

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::api::identity::{InstanceRef, NUMBER_LABEL, number};
use crate::api::instance::ConnectorInstance;
use crate::api::status::ConnectorInstanceStatus;
use crate::instances::InstancesError;
use crate::operator::stored;

/// Lays what a caller decides over an object.
pub(super) fn lay(object: &mut Value, declared: &ConnectorInstance) {
    object["metadata"]["labels"] = json!(declared.metadata.labels);
    object["metadata"]["annotations"] = json!(declared.metadata.annotations);
    object["spec"] = json!(declared.spec);
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
