//! The chart and the kustomization: what can be set, what comes of it, and that both install the same.

use std::collections::BTreeMap;
use std::fs;

use parking_lot::Mutex;
use serde_json::Value;

use crate::rig::control_plane::{Namespace, Run};

mod conforming;
mod endured;
mod forwarded;
mod healthy;
mod installed;
mod kustomized;
mod monitored;
mod released;
mod rendered;
mod upgraded;
mod values;

/// The chart's folder.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pollinator");

/// Objects by `Kind/name`.
type Objects = BTreeMap<String, Value>;

/// What came of `helm template`: objects, or why there are none.
struct Rendered {
    objects: Objects,
    error: String,
}

fn chart_file(name: &str) -> String {
    fs::read_to_string(format!("{CHART}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The chart as release `pollinator` in `pollinator-system`. `None`: Helm cannot be had here, which one loud line said.
fn rendered(ns: &Namespace<'_>, sets: &[String], values: &[(&str, &Value)]) -> Option<Rendered> {
    let run = rendered_text(ns, sets, values)?;
    Some(match run.code {
        Some(0) => Rendered { objects: objects(&run.stdout), error: String::new() },
        _ => Rendered { objects: Objects::new(), error: run.stderr },
    })
}

/// The same as text. What was rendered by one test is not rendered again for another.
fn rendered_text(ns: &Namespace<'_>, sets: &[String], values: &[(&str, &Value)]) -> Option<Run> {
    static RENDERED: Mutex<BTreeMap<Vec<String>, Run>> = Mutex::new(BTreeMap::new());
    let mut arguments: Vec<String> =
        ["template", "pollinator", CHART, "--namespace", "pollinator-system"].map(str::to_owned).into();
    for set in sets {
        arguments.extend(["--set".to_owned(), set.clone()]);
    }
    for (path, value) in values {
        arguments.extend(["--set-json".to_owned(), format!("{path}={value}")]);
    }
    if let Some(known) = RENDERED.lock().get(&arguments) {
        return Some(known.clone());
    }
    let run = ns.helm(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    RENDERED.lock().insert(arguments, run.clone());
    Some(run)
}

/// The objects of a stream of documents.
fn objects(yaml: &str) -> Objects {
    let mut found = Objects::new();
    for document in yaml.split("\n---\n") {
        let Some(object) = read_once(document) else { continue };
        let name = format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        // The roles of several namespaces have one name.
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = if found.contains_key(&name) { format!("{name}/{namespace}") } else { name };
        assert!(found.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    found
}

/// The object that a document contains. Most documents, and all that are long, are the same whatever is set; each is read once.
fn read_once(document: &str) -> Option<Value> {
    static READ: Mutex<BTreeMap<String, Option<Value>>> = Mutex::new(BTreeMap::new());
    if let Some(known) = READ.lock().get(document) {
        return known.clone();
    }
    let object: Option<Value> = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
    let object = object.filter(Value::is_object);
    READ.lock().insert(document.to_owned(), object.clone());
    object
}
