//! Schemas of fields that the derive cannot make by itself.

use kube::core::Rule;
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

/// At most 64 types of events with their meaning.
pub(super) fn feed_types(_: &mut SchemaGenerator) -> Schema {
    let kinds = ["Created", "Updated", "Deleted", "Ignored"];
    json_schema!({"type": "object", "minProperties": 1, "maxProperties": 64, "additionalProperties": {"type": "string", "enum": kinds}})
}

/// Any JSON object; its size is bounded in the planner.
pub(super) fn json_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic", "maxProperties": 64})
}

/// `metav1.Time`, which the API server reads as RFC 3339.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// `metav1.Condition` with the limits that the Go type's markers give.
///
/// k8s-openapi can make schemas of its types, but then it does so for all of them, which takes long to compile. A test compares the two.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 32, "items": condition(), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]
    })
}

fn condition() -> Value {
    json!({
        "description": "Condition contains details for one aspect of the current state of this API Resource.",
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {
                "description": "lastTransitionTime is the last time the condition transitioned from one status to another. This should be when the \
                    underlying condition changed.  If that is not known, then using the time when the API field changed is acceptable.",
                "type": "string",
                "format": "date-time",
            },
            "message": {
                "description": "message is a human readable message indicating details about the transition. This may be an empty string.",
                "type": "string",
                "maxLength": 32768,
            },
            "observedGeneration": {
                "description": "observedGeneration represents the .metadata.generation that the condition was set based upon. For instance, if \
                    .metadata.generation is currently 12, but the .status.conditions[x].observedGeneration is 9, the condition is out of date \
                    with respect to the current state of the instance.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
            },
            "reason": {
                "description": "reason contains a programmatic identifier indicating the reason for the condition's last transition. Producers of \
                    specific condition types may define expected values and meanings for this field, and whether the values are considered a \
                    guaranteed API. The value should be a CamelCase string. This field may not be empty.",
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "status": {
                "description": "status of the condition, one of True, False, Unknown.",
                "type": "string",
                "enum": ["True", "False", "Unknown"],
            },
            "type": {
                "description": "type of condition in CamelCase or in foo.example.com/CamelCase.",
                "type": "string",
                "maxLength": 316,
                "pattern":
                    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            },
        },
    })
}

/// A value is in exactly one of the two.
pub(super) fn field_or_header() -> Rule {
    Rule::new("has(self.field) != has(self.header)").message("exactly one of field, header must be set")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use schemars::generate::SchemaSettings;

    use super::*;

    #[test]
    fn conditions_and_times_are_those_of_kubernetes_with_limits() {
        let mut generator = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true).into_generator();
        let mut ours = condition();
        for field in ours["properties"].as_object_mut().expect("properties").values_mut() {
            let field = field.as_object_mut().expect("a schema");
            field.retain(|name, _| ["description", "type", "format"].contains(&name.as_str()));
        }
        assert_eq!(ours, generator.subschema_for::<Condition>().to_value());
        let mut theirs = generator.subschema_for::<Time>().to_value();
        theirs.as_object_mut().expect("a schema").remove("description");
        assert_eq!(time(&mut generator).to_value(), theirs);
    }
}
