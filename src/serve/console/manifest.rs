//! The manifest of an instance as people keep it in Git: what they decide, and nothing that a program wrote. Pure.

use serde_json::{Map, Value, json};

use crate::api::API_VERSION;
use crate::api::identity::NUMBER_LABEL;
use crate::api::instance::ConnectorInstance;
use crate::api::visible::Lines;
use crate::catalog::starter::REPLACE;
use crate::instances::secret_edits::SecretEdits;

/// An annotation that holds the whole object again.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// As YAML, with its Secrets before it, in which placeholders stand for the values.
pub fn with_secrets(instance: &ConnectorInstance, secrets: &SecretEdits) -> String {
    let mut text = String::new();
    for (name, keys) in secrets.each() {
        let values: Map<_, _> = keys.keys().map(|key| (key.clone(), json!(REPLACE))).collect();
        let metadata = json!({"name": name, "namespace": instance.metadata.namespace});
        let object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": values});
        text += &yaml(&object);
        text += "---\n";
    }
    text + &manifest(instance)
}

/// As YAML. It names Secrets and has none of their values.
pub fn manifest(instance: &ConnectorInstance) -> String {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(instance.metadata.name));
    metadata.insert("namespace".to_owned(), json!(instance.metadata.namespace));
    for (field, values, not) in
        [("labels", &instance.metadata.labels, NUMBER_LABEL), ("annotations", &instance.metadata.annotations, LAST_APPLIED)]
    {
        let kept: Map<_, _> =
            values.iter().flatten().filter(|(key, _)| *key != not).map(|(k, v)| (k.clone(), json!(v))).collect();
        if !kept.is_empty() {
            metadata.insert(field.to_owned(), Value::Object(kept));
        }
    }
    let object = json!({"apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": metadata, "spec": instance.spec});
    yaml(&object)
}

fn yaml(object: &Value) -> String {
    let mut text = serde_saphyr::to_string(object).unwrap_or_else(|error| format!("# it cannot be written as YAML: {error}"));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Lines(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::manifest::{Manifest, read};

    #[test]
    fn it_is_read_back_without_what_programs_wrote() {
        let written = json!({
            "apiVersion": API_VERSION, "kind": "ConnectorInstance",
            "metadata": {
                "namespace": "crm", "name": "keap", "uid": "u", "resourceVersion": "7", "labels": {NUMBER_LABEL: "1", "team": "a"},
                "annotations": {LAST_APPLIED: "{}", "pollinator.dev/poll-now": "x"},
            },
            "spec": {"baseUrl": "https://a.example", "resources": [{"name": "a", "url": "/a"}], "callback": {"url": "https://h.example/in"}},
            "status": {"delivered": 3},
        });
        let instance: ConnectorInstance = serde_json::from_value(written).unwrap();
        let text = manifest(&instance);
        for never in [NUMBER_LABEL, LAST_APPLIED, "uid", "resourceVersion", "status"] {
            assert!(!text.contains(never), "{never}: {text}");
        }
        let declared = read("it.yaml", &text);
        let [(_, Manifest::ConnectorInstance(again))] = &declared.manifests[..] else { panic!("{text}") };
        assert_eq!(again.spec, instance.spec);
        assert_eq!(again.metadata.labels.as_ref().unwrap()["team"], "a");
    }

    #[test]
    fn values_of_secrets_are_placeholders() {
        let instance: ConnectorInstance = serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "keap"},
            "spec": {"connector": "keap", "callback": {"url": "https://h.example/in"}},
        }))
        .unwrap();
        let mut secrets = SecretEdits::default();
        secrets.set("keap", "client_secret", "hunter2".to_owned());
        let text = with_secrets(&instance, &secrets);
        assert!(text.contains("client_secret: replace-me") && !text.contains("hunter2"), "{text}");
        assert_eq!(read("it.yaml", &text).manifests.len(), 2, "{text}");
    }
}
