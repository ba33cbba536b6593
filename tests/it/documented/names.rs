//! Names in the text of the pages: fields, values of the chart, variables and options exist as they are written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::rig::control_plane::CRDS;
use crate::rig::markdown;

/// What looks like a path of a field and is none of ours, and whose it is.
const ELSEWHERE: [(&str, &str); 13] = [
    ("ca.crt", "a Secret of type kubernetes.io/tls"),
    ("dev.pollinator.record.created", "a type of events"),
    ("element.key", "SAP Open Connectors"),
    ("event.notification.callback.url", "SAP Open Connectors"),
    ("event.notification.signature.key", "SAP Open Connectors"),
    ("message.eventId", "the body of an event"),
    ("message.events[]", "the body of an event"),
    ("message.events[].eventId", "the body of an event"),
    ("metadata.name", "Kubernetes"),
    ("metadata.uid", "Kubernetes"),
    ("providerData.code", "SAP Open Connectors"),
    ("tls.crt", "a Secret of type kubernetes.io/tls"),
    ("tls.key", "a Secret of type kubernetes.io/tls"),
];

/// All paths of a schema, `[]` behind lists; below a map, anything.
fn walk(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone());
        walk(member, &path, found);
    }
    if schema["items"].is_object() {
        found.insert(format!("{path}[]"));
        walk(&schema["items"], &format!("{path}[]"), found);
    }
    if schema["additionalProperties"].is_object() {
        found.insert(format!("{path}.*"));
    }
}

/// The fields of both kinds.
pub fn fields() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, yaml) in CRDS {
        let crd: Value = serde_saphyr::from_str(yaml).unwrap();
        walk(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
    }
    assert!(found.contains("spec.resources[].datesConfiguration.updatedDateField"), "{found:?}");
    found
}

/// The values of the chart, each of which has its default.
fn values() -> BTreeSet<String> {
    fn collect(values: &Value, path: &str, found: &mut BTreeSet<String>) {
        for (name, value) in values.as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            found.insert(path.clone());
            collect(value, &path, found);
        }
    }
    let values = fs::read_to_string(root().join("charts/pollinator/values.yaml")).unwrap();
    let mut found = BTreeSet::new();
    collect(&serde_saphyr::from_str(&values).unwrap(), "", &mut found);
    assert!(found.contains("operator.allowEgress"), "{found:?}");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a path names something of a set: whole, or from any of its members on, as the text does that is about a resource.
fn names(paths: &BTreeSet<String>, path: &str) -> bool {
    let bare = |text: &str| text.replace("[]", "");
    let path = bare(path);
    paths.iter().map(|known| bare(known)).any(|known| known == path || known.ends_with(&format!(".{path}")))
}

#[test]
fn fields_and_values_that_the_text_names_exist() {
    let path = Regex::new(r"^[a-z][A-Za-z]*(?:\[\])?(?:\.[a-z][A-Za-z]*(?:\[\])?)+$").unwrap();
    let file = Regex::new(r"\.(?:json|yaml|yml|md|lua|rs|toml|go|tgz|dev|com|net|org|io|svc|fyi)$").unwrap();
    let (fields, values) = (fields(), values());
    let (mut checked, mut elsewhere) = (0, BTreeSet::new());
    let mut wrong = Vec::new();
    for (name, text) in markdown::pages() {
        for (line, span) in markdown::spans(&text) {
            // `field: value` names the field
            let span = span.split(": ").next().unwrap_or_default();
            if !path.is_match(span) || file.is_match(span) {
                continue;
            }
            checked += 1;
            if ELSEWHERE.iter().any(|(one, _)| *one == span) {
                elsewhere.insert(span.to_owned());
            } else if !names(&fields, span) && !names(&values, span) {
                wrong.push(format!("{name}:{line}: {span}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these fields do not exist:\n{}", wrong.join("\n"));
    assert!(checked > 50, "{checked}");
    for (span, _) in ELSEWHERE {
        assert!(elsewhere.contains(span), "no page names {span} any more: take it off ELSEWHERE");
    }
}

/// All text of the sources below a folder.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            text += &sources(path.strip_prefix(root()).unwrap().to_str().unwrap());
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn variables_that_the_text_names_exist() {
    let variable = Regex::new(r"\bPOLLINATOR_[A-Z_]+[A-Z]\b").unwrap();
    let commands = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let tests = sources("tests") + &sources("src/catalog");
    let mut checked = BTreeSet::new();
    for (name, text) in markdown::pages() {
        for found in variable.find_iter(&text).map(|found| found.as_str()) {
            let is_read = commands.contains(&format!("[env: {found}")) || tests.contains(&format!("\"{found}\""));
            assert!(is_read, "{name}: nobody reads {found}");
            checked.insert(found.to_owned());
        }
    }
    assert!(checked.len() > 5, "{checked:?}");
}

#[test]
fn options_that_the_text_names_exist() {
    let option = Regex::new(r"(?:^|\s)(--[a-z][a-z-]+)").unwrap();
    let commands = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let known: BTreeSet<_> = option.captures_iter(&commands).map(|found| found[1].to_owned()).collect();
    let mut checked = 0;
    for (name, text) in markdown::pages() {
        for (line, span) in markdown::spans(&text) {
            if !span.starts_with("--") && !span.starts_with("pollinator ") {
                continue;
            }
            for found in option.captures_iter(&span) {
                checked += 1;
                assert!(known.contains(&found[1]), "{name}:{line}: pollinator has no option {}", &found[1]);
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

/// A command in the text is one of the program's.
#[test]
fn commands_that_the_text_names_exist() {
    let commands = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let word = Regex::new("^pollinator ([a-z]+)").unwrap();
    for (name, text) in markdown::pages() {
        for (line, span) in markdown::spans(&text) {
            if let Some(found) = word.captures(&span) {
                let heading = format!("## `pollinator {}`", &found[1]);
                assert!(commands.contains(&heading), "{name}:{line}: pollinator has no command {}", &found[1]);
            }
        }
    }
}
