//! Manifests in the pages: the API server takes each by its strict judgement, and Pollinator plans it.

use std::fs;

use serde_json::Value;

use super::names;
use crate::rig::control_plane::{Namespace, shared};
use crate::rig::markdown::{self, Fence};
use crate::rig::reader::Reader;

/// Kinds that neither the API server nor Pollinator knows: what reads them, and is not here.
const OTHERS: [(&str, &str); 1] = [("Kustomization", "kubectl kustomize reads it, and what it makes is judged")];

/// What a part of a manifest stands in.
const BASE: &str = "\
apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {name: it}
spec:
  baseUrl: https://api.example.com
  resources:
  - {name: contacts, url: /contacts}
  callback: {url: https://receiver.example.com/events}
";

fn documents(yaml: &str, place: &str) -> Vec<Value> {
    let parts = yaml.split("\n---\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{place}: {error}"))).collect()
}

/// A merge patch (RFC 7386) over an object.
fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes {
        merge(fields.entry(name).or_insert(Value::Null), change);
    }
}

/// A part of a manifest where it belongs: members of the whole, or of its spec.
fn placed(part: &Value, place: &str) -> Value {
    let fields = names::fields();
    let is_of =
        |prefix: &str| part.as_object().is_some_and(|part| part.keys().all(|key| fields.contains(&format!("{prefix}{key}"))));
    let is_whole = part.as_object().is_some_and(|part| {
        part.keys().all(|key| ["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()))
    });
    assert!(is_whole || is_of("spec."), "{place}: neither a manifest nor a part of a spec: {part}");
    if is_whole { part.clone() } else { serde_json::json!({"spec": part}) }
}

const DRY_RUN: [&str; 7] = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];

/// The API server takes them, without keeping them.
fn assert_taken(ns: &Namespace<'_>, place: &str, yaml: &str) {
    let run = ns.kubectl_with(&DRY_RUN, yaml);
    assert_eq!(run.code, Some(0), "{place}: {}\n{yaml}", run.stderr);
    assert!(!run.stderr.contains("Warning"), "{place}: {}", run.stderr);
}

/// Manifests with the places where they are.
type Places = Vec<(String, String)>;

/// The same of all of them, by one process unless something is wrong: one for each would take longer than everything else.
fn assert_all_taken(ns: &Namespace<'_>, manifests: &[(String, String)]) {
    let all: Vec<_> = manifests.iter().map(|(_, yaml)| yaml.as_str()).collect();
    // a stream that begins with JSON would have to be JSON to its end
    let run = ns.kubectl_with(&DRY_RUN, &format!("---\n{}", all.join("\n---\n")));
    if run.code != Some(0) || run.stderr.contains("Warning") {
        for (place, yaml) in manifests {
            assert_taken(ns, place, yaml);
        }
        panic!("{}", run.stderr);
    }
    let taken = run.stdout.lines().filter(|line| line.ends_with("(server dry run)")).count();
    assert!(taken >= manifests.len(), "{taken} of {}: {}", manifests.len(), run.stdout);
}

/// Pollinator knows what to do.
fn assert_planned(reader: &Reader, place: &str, yaml: &str) {
    fs::write(reader.place().join("judged.yaml"), yaml).unwrap();
    let run = reader.run("pollinator plan judged.yaml");
    assert_eq!(run.code, Some(0), "{place}: {}{}\n{yaml}", run.stdout, run.stderr);
}

/// Reads an overlay that lies beside a copy of the repository, and judges what it makes, in the test's own namespace.
fn judge_overlay(ns: &Namespace<'_>, reader: &Reader, place: &str, kustomization: &Value) {
    let folder = reader.home().join("../overlay");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let made = ns.kubectl(&["kustomize", folder.to_str().unwrap()]).ok();
    let namespace = kustomization["namespace"].as_str().unwrap_or_else(|| panic!("{place}: an overlay names its namespace"));
    assert!(made.contains(&format!("namespace: {namespace}\n")), "{made}");
    assert_taken(ns, place, &made.replace(&format!("namespace: {namespace}\n"), &format!("namespace: {}\n", ns.name())));
    for change in kustomization["images"].as_array().into_iter().flatten() {
        let image = format!("{}:{}", change["newName"].as_str().unwrap(), change["newTag"].as_str().unwrap());
        assert!(made.contains(&image), "{place}: the image is not {image}");
    }
}

#[test]
fn every_manifest_in_a_page_is_judged_and_planned() {
    let Some(plane) = shared() else { return };
    let (ns, reader) = (plane.namespace("documented"), Reader::new());
    let (mut judged, mut wholes) = (0, Places::new());
    for (name, text) in markdown::pages() {
        for fence in markdown::fences(&text).iter().filter(|fence| fence.language == "yaml") {
            judged += 1;
            let at = format!("{name}:{}", fence.line);
            wholes.extend(validate(&ns, &reader, &at, fence).map(|whole| (at, whole)));
        }
    }
    assert_all_taken(&ns, &wholes);
    assert!(judged > 1, "{judged}");
}

/// The manifest that it is or belongs to, once Pollinator has planned it; of an overlay nothing is left to do.
fn validate(ns: &Namespace<'_>, reader: &Reader, place: &str, fence: &Fence) -> Option<String> {
    let documents = documents(&fence.text, place);
    let kinds: Vec<_> = documents.iter().map(|one| one["kind"].as_str().unwrap_or_default()).collect();
    if let [kind] = kinds[..]
        && let Some((kind, _)) = OTHERS.iter().find(|(other, _)| *other == kind)
    {
        assert_eq!(*kind, "Kustomization");
        judge_overlay(ns, reader, place, &documents[0]);
        return None;
    }
    let is_part = |one: &Value| one["kind"].is_null() || (one["kind"] == "ConnectorInstance" && one["spec"].is_null());
    let whole = if documents.iter().all(is_part) {
        let mut object: Value = serde_saphyr::from_str(BASE).unwrap();
        for part in &documents {
            merge(&mut object, &placed(part, place));
        }
        object.to_string()
    } else {
        fence.text.clone()
    };
    // Secrets of a plan are of no interest to the server's judgement of it, and the reverse
    if documents.iter().all(|one| one["kind"].is_null() || one["kind"] == "ConnectorInstance" || one["kind"] == "Secret") {
        assert_planned(reader, place, &whole);
    }
    Some(whole)
}

#[test]
fn every_example_is_taken_by_the_server() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("examples");
    let mut all = Places::new();
    for folder in ["examples", "examples/tour", "catalog"] {
        let files = crate::rig::control_plane::manifests(folder);
        assert!(!files.is_empty(), "{folder}");
        all.extend(files.into_iter().map(|(name, yaml)| (format!("{folder}/{name}"), yaml)));
    }
    assert_all_taken(&ns, &all);
}

#[test]
fn every_block_of_json_is_json() {
    for (name, text) in markdown::pages() {
        for fence in markdown::fences(&text).iter().filter(|fence| fence.language == "json") {
            let read: Result<Value, _> = serde_json::from_str(&fence.text);
            assert!(read.is_ok(), "{name}:{}: {read:?}", fence.line);
        }
    }
}
