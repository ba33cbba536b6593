//! Schemas of fields that the derive cannot make by itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The fields of `ObjectMeta` that a manifest may carry, since exported ones come along.
pub(super) fn object_meta() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"type": "object", "required": ["name"], "properties": {
        "name": text, "namespace": text, "generateName": text, "labels": texts, "annotations": texts,
        "uid": text, "resourceVersion": text, "selfLink": text, "creationTimestamp": text, "deletionTimestamp": text,
        "generation": {"type": "integer"}, "deletionGracePeriodSeconds": {"type": "integer"},
        "finalizers": {"type": "array", "items": text},
        "ownerReferences": {"type": "array", "items": free}, "managedFields": {"type": "array", "items": free}
    }})
}

/// At most 32 short texts by name.
pub(super) fn short_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 256}})
}

/// At most 32 templates by name.
pub(super) fn template_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 2048}})
}

/// Any JSON object; its size is bounded in the planner.
pub(super) fn json_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic", "maxProperties": 64})
}

/// `metav1.Condition` with the limits that the Go type's markers give, which the k8s-openapi schema lacks.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut item = generator.subschema_for::<Condition>().to_value();
    let fields = &mut item["properties"];
    fields["type"]["maxLength"] = json!(316);
    fields["type"]["pattern"] = json!(
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
    );
    fields["status"]["enum"] = json!(["True", "False", "Unknown"]);
    fields["reason"]["minLength"] = json!(1);
    fields["reason"]["maxLength"] = json!(1024);
    fields["reason"]["pattern"] = json!("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$");
    fields["message"]["maxLength"] = json!(32768);
    fields["observedGeneration"]["minimum"] = json!(0);
    json_schema!({"type": "array", "maxItems": 32, "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
}
