//! The kustomization installs what the chart does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Objects, Rendered, objects, rendered};
use crate::rig::control_plane::{Namespace, shared};

/// The objects of an overlay under `deploy/`.
fn overlay(ns: &Namespace<'_>, name: &str) -> Objects {
    let folder = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    objects(&ns.kubectl(&["kustomize", &folder]).ok())
}

/// Without what only the one or the other can have: the release's marks, Helm's test, and the namespace, which Helm makes itself.
fn comparable(objects: Objects) -> Objects {
    let mut objects: BTreeMap<_, _> = objects.into_iter().filter(|(name, _)| !name.starts_with("Namespace/")).collect();
    objects.retain(|name, _| !name.starts_with("Pod/"));
    for object in objects.values_mut() {
        strip(object);
    }
    objects
}

fn pretty(object: &Value) -> String {
    serde_json::to_string_pretty(object).expect("JSON")
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for mark in
                ["helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"]
            {
                fields.remove(mark);
            }
            fields.values_mut().for_each(strip);
            fields.retain(|name, value| !(name == "annotations" && value.as_object().is_some_and(serde_json::Map::is_empty)));
            // the chart names a version, the kustomization leaves that to `images`
            if fields.get("image").is_some_and(|image| image.as_str().is_some_and(|image| image.starts_with("ghcr.io/"))) {
                fields.insert("image".into(), json!("pollinator"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        // schemars writes bounds as floats, kustomize writes them anew
        Value::Number(number) => {
            *number = number.as_f64().and_then(serde_json::Number::from_f64).unwrap_or_else(|| number.clone());
        }
        _ => {}
    }
}

#[test]
fn chart_and_kustomization_describe_the_same() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("same");
    let namespaced: &[(&str, &Value)] = &[("watchNamespace", &json!("pollinator-system")), ("crds.enabled", &json!(false))];
    let cases: [(&str, &[(&str, &Value)]); 4] =
        [("", &[]), ("cluster", &[]), ("namespaced", namespaced), ("high-availability", &[("replicaCount", &json!(3))])];
    for (name, values) in cases {
        let Some(Rendered { objects: chart, error }) = rendered(&ns, &[], values) else { return };
        assert_eq!(error, "");
        let (chart, kustomization) = (comparable(chart), comparable(overlay(&ns, name)));
        let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&kustomization), "deploy/{name}");
        for (object, one) in &chart {
            let (one, other) = (pretty(one), pretty(&kustomization[object]));
            let difference = one.lines().zip(other.lines()).find(|(one, other)| one != other);
            assert_eq!(difference, None, "deploy/{name}: {object}");
            assert_eq!(one.len(), other.len(), "deploy/{name}: {object}");
        }
    }
}
