//! What the state on the API server relies on: a PUT of the object last read, on `/status`, with its `resourceVersion`.

use serde_json::{Value, json};

use crate::rig::control_plane::api::Reply;
use crate::rig::control_plane::{Namespace, shared};
use crate::rig::manifest::Instance;

struct Written<'p> {
    ns: Namespace<'p>,
    path: String,
}

/// An instance with a cursor.
fn written(test: &str) -> Option<Written<'static>> {
    let ns = shared()?.namespace(test);
    let yaml = Instance::new("shop", "https://api.example.com", "https://hooks.example.org/in").yaml();
    ns.apply(&yaml.replace("namespace: it, ", ""));
    let written = Written { path: format!("{}/status", ns.instance("shop")), ns };
    let mut object = written.read();
    object["status"] = json!({
        "delivered": 1, "conditions": [condition("Ready")],
        "resources": [{"name": "records", "cursor": {"meaning": "m", "since": "2026-01-31T00:00:00Z"}}]
    });
    written.put(&object).ok();
    Some(written)
}

impl Written<'_> {
    fn read(&self) -> Value {
        self.ns.get_instance("shop")
    }

    fn put(&self, object: &Value) -> Reply {
        self.ns.api().replace(&self.path, object)
    }
}

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "Polling", "message": "", "lastTransitionTime": "2026-01-31T00:00:00Z"})
}

#[test]
fn a_stale_version_is_a_conflict_that_names_no_manager() {
    let Some(written) = written("stale") else { return };
    let stale = written.read();
    let mut fresh = stale.clone();
    fresh["status"]["delivered"] = json!(2);
    written.put(&fresh).ok();

    let mut late = stale;
    late["status"]["delivered"] = json!(3);
    let refused = written.put(&late);
    assert_eq!((refused.status, refused.reason()), (409, "Conflict"));
    assert!(refused.message().contains("the object has been modified"), "{}", refused.message());
    // a conflict of managers is a 409 as well, and told apart by its causes
    assert!(refused.body["details"]["causes"].is_null(), "{}", refused.body);
    assert_eq!(written.read()["status"]["delivered"], 2);

    let version = late["metadata"]["resourceVersion"].clone();
    let patch = json!({"metadata": {"resourceVersion": version}, "status": {"delivered": 4}});
    assert_eq!(written.ns.api().merge(&written.path, &patch).status, 409);
}

#[test]
fn another_s_condition_survives_or_is_a_conflict() {
    let Some(written) = written("foreign") else { return };
    let before = written.read();
    let mut foreign = before.clone();
    foreign["status"]["conditions"].as_array_mut().unwrap().push(condition("example.org/Billed"));
    written.put(&foreign).ok();

    assert_eq!(written.put(&before).status, 409, "it appeared in between");
    let mut object = written.read();
    object["status"]["delivered"] = json!(5);
    let stored = written.put(&object).ok();
    let conditions = stored["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|one| one["type"] == "example.org/Billed"), "{conditions:?}");

    // why it is not a merge patch: lists are replaced whole
    written.ns.api().merge(&written.path, &json!({"status": {"conditions": [condition("Ready")]}})).ok();
    assert_eq!(written.read()["status"]["conditions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_field_that_the_crd_does_not_know_is_missing_from_the_answer() {
    let Some(written) = written("pruned") else { return };
    let mut object = written.read();
    object["status"]["resources"][0]["cursor"]["newer"] = json!("field");
    object["status"]["newer"] = json!("field");
    let reply = written.put(&object);
    let warned = reply.warnings.join(" ");
    let stored = reply.ok();
    assert_ne!(stored["status"], object["status"], "a 200 that lost something");
    assert!(stored["status"]["resources"][0]["cursor"].get("newer").is_none(), "{}", stored["status"]);
    assert!(stored["status"].get("newer").is_none());
    assert!(warned.contains("unknown field"), "{warned}");
    // asked to be strict, it refuses
    object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    let strict = written.ns.api().replace(&format!("{}?fieldValidation=Strict", written.path), &object);
    assert_eq!(strict.status, 400, "{}", strict.message());
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let Some(written) = written("same") else { return };
    let before = written.read();
    let stored = written.put(&before).ok();
    assert_eq!(stored["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert_eq!(stored["metadata"]["generation"], 1);
}

#[test]
fn spec_and_status_keep_apart() {
    let Some(written) = written("apart") else { return };
    let mut object = written.read();
    object["spec"]["suspend"] = json!(true);
    object["status"]["delivered"] = json!(9);
    let stored = written.put(&object).ok();
    assert_eq!((&stored["spec"]["suspend"], &stored["status"]["delivered"]), (&json!(false), &json!(9)));

    object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    object["status"]["delivered"] = json!(10);
    let stored = written.ns.api().replace(&written.ns.instance("shop"), &object).ok();
    assert_eq!((&stored["spec"]["suspend"], &stored["status"]["delivered"]), (&json!(true), &json!(9)));
    assert_eq!(stored["metadata"]["generation"], 2);
}

/// Why state is never written by apply: what a manager no longer mentions is deleted with a 200.
#[test]
fn an_apply_that_omits_the_cursors_deletes_them() {
    let Some(written) = written("apply") else { return };
    let apply = |status: Value| {
        let object = json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"name": "shop"}, "status": status
        });
        let path = format!("{}?force=true&fieldManager=pollinator", written.path);
        let body = ("application/apply-patch+yaml", object.to_string());
        written.ns.api().try_send("PATCH", &path, Some(body)).unwrap().ok()
    };
    apply(json!({"delivered": 1, "resources": [{"name": "records", "cursor": {"meaning": "applied"}}]}));
    assert_eq!(written.read()["status"]["resources"][0]["cursor"]["meaning"], "applied");
    // the fields that a PUT of another manager owns as well stay; those that only the apply owned go
    let stored = apply(json!({"delivered": 2}));
    assert!(stored["status"]["resources"][0]["cursor"]["meaning"] != "applied", "{}", stored["status"]);
}

#[test]
fn a_bad_condition_is_refused() {
    let Some(written) = written("condition") else { return };
    for (field, value) in [("status", "Maybe"), ("reason", ""), ("reason", "with space")] {
        let mut object = written.read();
        object["status"]["conditions"][0][field] = json!(value);
        let refused = written.put(&object);
        assert_eq!(refused.status, 422, "{field}={value}: {}", refused.message());
    }
}

#[test]
fn an_instance_that_is_gone_is_not_found() {
    let Some(written) = written("gone") else { return };
    let object = written.read();
    written.ns.api().delete(&written.ns.instance("shop")).ok();
    assert_eq!(written.put(&object).status, 404);
    // nor does a status of the old one reach a new one of the same name
    let yaml = Instance::new("shop", "https://api.example.com", "https://hooks.example.org/in").yaml();
    written.ns.apply(&yaml.replace("namespace: it, ", ""));
    assert_eq!(written.put(&object).status, 409);
    assert_eq!(written.read()["status"], json!({"observedGeneration": -1}));
}
