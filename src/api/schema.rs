//! The CRDs as they are installed: what the derive makes, cleaned.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::connector::Connector;
use super::instance::ConnectorInstance;

/// Both CRDs, `ConnectorInstance` first.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![finish(ConnectorInstance::crd()), finish(Connector::crd())]
}

/// Both CRDs as one YAML text of two documents, what `pollinator crds` prints.
pub fn crds_yaml() -> String {
    crds().iter().map(crd_yaml).fold(String::new(), |all, crd| all + "---\n" + &crd)
}

/// One CRD as YAML.
#[expect(clippy::expect_used, reason = "a CRD is a tree of maps with text keys, which every YAML writer can write")]
fn crd_yaml(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(crd).expect("a CRD can be written as YAML")
}

#[expect(clippy::expect_used, reason = "the CRD comes from the derive and keeps its form")]
fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(crd).expect("a CRD is JSON");
    for version in crd["spec"]["versions"].as_array_mut().expect("a CRD has versions") {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        clean(schema);
        // kstatus takes an object without conditions for finished; a generation that was never seen makes it one in progress.
        if let Some(status) = schema["properties"].get_mut("status") {
            status["default"] = json!({"observedGeneration": -1});
        }
    }
    serde_json::from_value(crd).expect("the cleaned CRD still is one")
}

/// No `nullable` (the server then drops an explicit null instead of keeping it), no null in enums, and for every externally
/// tagged enum one CEL rule with a readable message in place of `oneOf`, merged atomically.
fn clean(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("nullable");
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    let members: Option<Vec<String>> = schema.get("oneOf").and_then(Value::as_array).and_then(|variants| {
        variants.iter().map(|variant| Some(variant.get("required")?.as_array()?.first()?.as_str()?.to_owned())).collect()
    });
    if let Some(members) = members {
        schema.remove("oneOf");
        let has: Vec<_> = members.iter().map(|member| format!("has(self.{member})")).collect();
        let rule = json!({
            "rule": format!("[{}].exists_one(x, x)", has.join(", ")),
            "message": format!("exactly one of {} must be set", members.join(", ")),
        });
        if let Some(rules) = schema.entry("x-kubernetes-validations").or_insert_with(|| json!([])).as_array_mut() {
            rules.push(rule);
        }
        schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
    }
    for key in ["properties", "additionalProperties", "items"] {
        match schema.get_mut(key) {
            Some(Value::Object(children)) if key == "properties" => children.values_mut().for_each(clean),
            Some(child) => clean(child),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_clean() {
        let text = serde_json::to_string(&crds()).unwrap();
        for bad in ["nullable", "oneOf", "anyOf", "\"uint", "x-kubernetes-struct-type"] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    /// kubectl explain shows these texts; a field without one helps no one.
    #[test]
    fn every_field_is_described() {
        fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                if !field["description"].is_string() {
                    missing.push(path.clone());
                }
                walk(&path, field, missing);
            }
            if schema["items"].is_object() {
                walk(&format!("{path}[]"), &schema["items"], missing);
            }
        }
        let mut missing = Vec::new();
        for crd in crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            for part in ["spec", "status"] {
                walk(part, &schema["properties"][part], &mut missing);
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    /// `UPDATE_GENERATED=1 cargo test` rewrites the files.
    #[test]
    fn the_committed_files_are_fresh() {
        for crd in crds() {
            let plural = &crd.spec.names.plural;
            let text = format!("# Made by `pollinator crds` from src/api; do not edit.\n{}", crd_yaml(&crd));
            // kustomize loads no file from outside the folder of a kustomization, hence the copy
            for folder in ["crds", "deploy/crds"] {
                let path = format!("{}/{folder}/{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
                if std::env::var_os("UPDATE_GENERATED").is_some_and(|value| value == "1") {
                    std::fs::write(&path, &text).unwrap();
                } else {
                    assert!(
                        std::fs::read_to_string(&path).is_ok_and(|committed| committed == text),
                        "{folder}/{plural}.yaml is stale: run the tests once with UPDATE_GENERATED=1"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let printed = crds_yaml();
        let read: Vec<Value> = serde_saphyr::from_multiple(&printed).unwrap();
        let made: Vec<Value> = crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
        assert_eq!(read, made);
    }

    /// The server writes defaults into the object: below a list or a union they make a second field manager conflict, and
    /// elsewhere they would hide what the connector says.
    #[test]
    fn only_three_fields_have_schema_defaults() {
        fn walk(path: &str, schema: &Value, found: &mut Vec<String>) {
            if schema.get("default").is_some_and(|d| !d.is_object())
                || (schema.get("default").is_some() && !schema["properties"].is_object())
            {
                found.push(path.to_owned());
            }
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}.{name}"), field, found);
            }
            if schema["items"].is_object() {
                walk(&format!("{path}[]"), &schema["items"], found);
            }
        }
        let mut found = Vec::new();
        for crd in crds() {
            let crd = serde_json::to_value(crd).unwrap();
            walk("spec", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &mut found);
        }
        found.sort();
        assert_eq!(found, ["spec.callback.allowInsecureHttp", "spec.callback.format", "spec.suspend"]);
    }
}
