//! Whatever the chart and the overlays render is of the schemas that the API server publishes, and the server accepts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};

use super::rendered::{each_value, ground};
use super::values::leaves;
use super::{CHART, chart_file, rendered_text};
use crate::rig::control_plane::conform::Schemas;
use crate::rig::control_plane::{ControlPlane, Namespace};

/// Where releases go in these tests.
const PLACES: [&str; 3] = ["pollinator-system", "crm", "shop"];

/// One choice: the path of its value, and what can be set for it; first nothing.
struct Switch {
    path: String,
    choices: Vec<Vec<String>>,
}

/// Choices by the paths of their switches; a switch that is not named is left as it is by default.
type Choices = BTreeMap<String, usize>;

/// Every combination of so many switches that one template reads is rendered.
const TOGETHER: usize = 3;
/// Where all switches of a template have no more combinations than this, each is rendered.
const FEW: usize = 48;

/// What the chart refuses together: for each path whether it is set, or left as it is by default.
const CONTRADICTIONS: [&[(&str, bool)]; 5] = [
    &[("serviceMonitor.enabled", true), ("service.enabled", true)],
    &[("crds.keep", true), ("crds.enabled", false), ("watchNamespace", true)],
    &[("crds.keep", true), ("crds.enabled", false), ("watchNamespaces", true)],
    &[("replicaCount", true), ("console.ingress.enabled", true), ("console.keySecret", false)],
    &[("replicaCount", true), ("console.httpRoute.enabled", true), ("console.keySecret", false)],
];

/// Every value that is true or false, and those that decide by something else what is rendered.
fn switches() -> Vec<Switch> {
    let mut switches = Vec::new();
    for leaf in leaves() {
        let path = leaf.path.as_str();
        let other: &[&str] = match (path, &leaf.default) {
            ("watchNamespace", _) => &["watchNamespace=pollinator-system", "watchNamespace=crm"],
            ("watchNamespaces", _) => &["watchNamespaces={pollinator-system,crm}"],
            ("replicaCount", _) => &["replicaCount=3"],
            ("console.keySecret", _) => &["console.keySecret=key"],
            ("caBundle.configMap", _) => &["caBundle.configMap=roots", "caBundle.secret=roots"],
            ("catalog", _) => &["catalog.crm=kind: Connector"],
            (_, Value::Bool(true)) => &["false"],
            (_, Value::Bool(false)) => &["true"],
            _ => continue,
        };
        let with_ground = |set: &&str| {
            let set = if set.contains('=') { (*set).to_owned() } else { format!("{path}={set}") };
            // the number of replicas is a switch of its own
            let ground = ground(path).into_iter().filter(|set| !set.starts_with("replicaCount="));
            ground.chain([set]).collect::<Vec<_>>()
        };
        let choices = std::iter::once(Vec::new()).chain(other.iter().map(with_ground)).collect();
        switches.push(Switch { path: path.to_owned(), choices });
    }
    switches
}

impl Switch {
    /// Whether what a template reads is this value, has it in it, or is in it.
    fn is_read(&self, read: &BTreeSet<String>) -> bool {
        let is_in =
            |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        read.iter().any(|read| is_in(read, &self.path) || is_in(&self.path, read))
    }
}

/// The paths of all values that a template reads, with those of what it includes. What only refuses does not count.
fn reads(text: &str, helpers: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    let value = Regex::new(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)").unwrap();
    found.extend(value.captures_iter(text).map(|name| name[1].to_owned()));
    let include = Regex::new(r#"(?:include|template) "([^"]+)""#).unwrap();
    for name in include.captures_iter(text).map(|name| name[1].to_owned()).filter(|name| name != "pollinator.check") {
        reads(&helpers[&name], helpers, found);
    }
}

/// Templates by their path in the chart, and what files such as `_helpers.tpl` define.
fn templates() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut found, mut helpers) = (BTreeMap::new(), String::new());
    for folder in ["templates", "templates/tests"] {
        for entry in fs::read_dir(format!("{CHART}/{folder}")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                found.insert(format!("{folder}/{name}"), chart_file(&format!("{folder}/{name}")));
            } else if path.extension().is_some_and(|ending| ending == "tpl") {
                helpers.push_str(&chart_file(&format!("{folder}/{name}")));
            }
        }
    }
    let define = Regex::new(r#"\{\{-? define "([^"]+)""#).unwrap();
    let starts: Vec<_> =
        define.captures_iter(&helpers).map(|name| (name.get(0).unwrap().start(), name[1].to_owned())).collect();
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([helpers.len()]);
    let bodies = starts.iter().zip(ends).map(|((start, name), end)| (name.clone(), helpers[*start..end].to_owned()));
    (found, bodies.collect())
}

/// All ways to choose one of each.
fn product(switches: &[&Switch]) -> Vec<Choices> {
    switches.iter().fold(vec![Choices::new()], |made, switch| {
        let with = |choices: &Choices, choice| {
            let mut choices = choices.clone();
            choices.insert(switch.path.clone(), choice);
            choices
        };
        made.iter().flat_map(|choices| (0..switch.choices.len()).map(|choice| with(choices, choice))).collect()
    })
}

/// All ways to take so many of them.
fn subsets<'s>(switches: &[&'s Switch], size: usize) -> Vec<Vec<&'s Switch>> {
    let Some((first, rest)) = switches.split_first() else { return if size == 0 { vec![Vec::new()] } else { Vec::new() } };
    let without = subsets(rest, size);
    let with = size.checked_sub(1).map(|others| subsets(rest, others)).unwrap_or_default();
    with.into_iter().map(|subset| [vec![*first], subset].concat()).chain(without).collect()
}

/// Which combinations must be rendered, those of many switches first. A template is a function of the values that it reads. One that
/// reads few switches is rendered with every combination of them. One that reads many consists of pieces, each of which one or two
/// switches decide; so with three of them each piece is rendered next to each other one that is there, or is not.
fn targets(switches: &[Switch]) -> Vec<Choices> {
    let (templates, helpers) = templates();
    assert!(switches.len() > 12 && templates.len() > 10, "{} {}", switches.len(), templates.len());
    let mut made = BTreeSet::new();
    for text in templates.values() {
        let mut read = BTreeSet::new();
        reads(text, &helpers, &mut read);
        let relevant: Vec<_> = switches.iter().filter(|switch| switch.is_read(&read)).collect();
        let all: usize = relevant.iter().map(|switch| switch.choices.len()).product();
        let size = if all <= FEW { relevant.len() } else { TOGETHER };
        made.extend(subsets(&relevant, size).iter().flat_map(|subset| product(subset)));
    }
    let used: BTreeSet<_> = made.iter().flat_map(Choices::keys).collect();
    assert_eq!(used, switches.iter().map(|switch| &switch.path).collect(), "each switch is read by a template");
    let mut made: Vec<_> = made.into_iter().filter(|target| !is_contradictory(target)).collect();
    made.sort_by_key(|target| usize::MAX - target.len());
    made
}

/// Whether the chart refuses them, whatever is chosen for switches that are not named.
fn is_contradictory(choices: &Choices) -> bool {
    let holds = |(path, is_set): &(&str, bool)| choices.get(*path).is_some_and(|choice| (*choice > 0) == *is_set);
    CONTRADICTIONS.iter().any(|all| all.iter().all(holds))
}

/// Both, if they do not contradict each other.
fn joined(some: &Choices, others: &Choices) -> Option<Choices> {
    let agree = others.iter().all(|(path, choice)| some.get(path).is_none_or(|known| known == choice));
    let both = || some.iter().chain(others).map(|(path, choice)| (path.clone(), *choice)).collect();
    agree.then(both).filter(|both| !is_contradictory(both))
}

/// Releases that have all targets in them, as many in each as do not contradict each other.
fn releases(switches: &[Switch]) -> Vec<Choices> {
    let mut open = targets(switches);
    let mut made = Vec::new();
    while !open.is_empty() {
        let mut release = Choices::new();
        open.retain(|target| {
            let joined = joined(&release, target);
            let is_left = joined.is_none();
            if let Some(both) = joined {
                release = both;
            }
            is_left
        });
        // what is left as it is must not contradict the rest either
        for switch in switches {
            let mut each = (0..switch.choices.len()).map(|choice| Choices::from([(switch.path.clone(), choice)]));
            release = each.find_map(|choice| joined(&release, &choice)).expect("one of them can be chosen");
        }
        made.push(release);
    }
    made
}

/// What to set for some choices.
fn sets(switches: &[Switch], choices: &Choices) -> Vec<String> {
    let chosen = switches.iter().filter_map(|switch| Some(&switch.choices[*choices.get(&switch.path)?]));
    chosen.flatten().cloned().collect()
}

/// Distinct documents, as they were rendered, with what rendered them first.
#[derive(Default)]
struct Documents(BTreeMap<String, String>);

impl Documents {
    fn add(&mut self, stream: &str, from: &str) {
        for document in stream.split("\n---\n").map(|document| document.trim_start_matches("---\n")) {
            let has_content = document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
            if has_content {
                self.0.entry(document.trim().to_owned()).or_insert_with(|| from.to_owned());
            }
        }
    }

    /// Writes each into a file of its own.
    fn write(&self, folder: &Path) -> Vec<PathBuf> {
        fs::create_dir_all(folder).unwrap();
        let each = self.0.iter().enumerate().map(|(index, (document, from))| {
            let file = folder.join(format!("{index}.yaml"));
            fs::write(&file, format!("# {from}\n{document}\n")).unwrap();
            file
        });
        each.collect()
    }
}

/// Everything that is rendered, each distinct document once. `None`: Helm cannot be had here.
fn documents(ns: &Namespace<'_>) -> Option<Documents> {
    let mut documents = Documents::default();
    let switches = switches();
    let mut add = |sets: &[String], values: &[(&str, &Value)]| {
        documents.add(&rendered_text(ns, sets, values)?.ok(), &format!("helm template, {sets:?} {values:?}"));
        Some(())
    };
    add(&[], &[])?;
    for release in releases(&switches) {
        add(&sets(&switches, &release), &[])?;
    }
    for (path, value, ground) in each_value() {
        add(&ground, &[(path, &value)])?;
    }
    for contradiction in CONTRADICTIONS {
        let choices = contradiction.iter().map(|(path, is_set)| ((*path).to_owned(), usize::from(*is_set))).collect();
        let refused = rendered_text(ns, &sets(&switches, &choices), &[])?;
        assert!(refused.code != Some(0) && refused.stderr.contains("execution error"), "{contradiction:?}: {}", refused.stderr);
    }
    for overlay in ["deploy", "deploy/cluster", "deploy/namespaced", "deploy/high-availability", "deploy/crds"] {
        let folder = format!("{}/{overlay}", env!("CARGO_MANIFEST_DIR"));
        documents.add(&ns.kubectl(&["kustomize", &folder]).ok(), &format!("kubectl kustomize {overlay}"));
    }
    Some(documents)
}

/// A document with one thing changed.
fn changed(documents: &Documents, kind: &str, from: &str, to: &str) -> String {
    let kind = format!("kind: {kind}\n");
    let found = documents.0.keys().find(|document| document.contains(&kind) && document.contains(from));
    found.unwrap_or_else(|| panic!("no {kind} has {from}")).replacen(from, to, 1)
}

/// kubeconform must be able to fail: each of these is wrong, and is found to be.
fn assert_faults_are_found(schemas: &Schemas, documents: &Documents, folder: &Path) {
    for (index, (kind, from, to)) in [
        ("Deployment", "replicas:", "replica:"),
        ("Deployment", "containerPort: 8080", "containerPort: http"),
        ("Deployment", "  replicas: 1\n", "  replicas: 1\n  replicas: 1\n"),
        ("ServiceMonitor", "path: /metrics", "paths: /metrics"),
        ("PrometheusRule", "expr:", "expression:"),
        ("HTTPRoute", "backendRefs:", "backendRef:"),
        ("Ingress", "pathType:", "pathtype:"),
        ("NetworkPolicy", "podSelector:", "podselector:"),
        ("CustomResourceDefinition", "scope: Namespaced", "scopes: Namespaced"),
        ("ClusterRole", "kind: ClusterRole\n", "kind: ClusterRule\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.join(format!("wrong-{index}.yaml"));
        fs::write(&file, changed(documents, kind, from, to)).unwrap();
        let Some((valid, findings)) = schemas.check(None, &[file]) else { return };
        assert_eq!((valid, findings.len()), (0, 1), "{kind}: {to}: {findings:?}");
    }
}

#[test]
fn all_that_is_rendered_conforms_and_the_server_accepts_it() {
    let Some(plane) = ControlPlane::start() else { return };
    if plane.install_foreign_crds().is_none() {
        return;
    }
    let ns = plane.namespace("conforming");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let schemas = plane.schemas(&folder.path().join("schemas"));
    assert!(schemas.kinds() > 100, "{}", schemas.kinds());
    let Some(documents) = documents(&ns) else { return };
    assert!(documents.0.len() > 100, "{}", documents.0.len());
    let files = documents.write(&folder.path().join("rendered"));
    let Some((valid, findings)) = schemas.check(None, &files) else { return };
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| format!("{}: {}: {}", first_line(&finding.file), finding.object, finding.message))
        .collect();
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(usize::try_from(valid).unwrap(), files.len());
    assert_faults_are_found(&schemas, &documents, folder.path());

    // the schemas for editors have the names by which kubeconform finds them
    let ours = format!("{}/schemas/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json", env!("CARGO_MANIFEST_DIR"));
    let examples: Vec<_> = ["examples", "examples/tour", "catalog"].into_iter().flat_map(manifests_in).collect();
    let Some((valid, findings)) = schemas.check(Some(&ours), &examples) else { return };
    assert!(valid > 15 && findings.is_empty(), "{valid} {findings:?}");

    // the server knows more than its schema: rules, names, references, pod security
    for place in PLACES {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place, "labels": labels}});
        plane.api().create("/api/v1/namespaces", &namespace).ok();
        for account in ["pollinator", "pollinator-bee", "bee"] {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
            plane.api().create(&format!("/api/v1/namespaces/{place}/serviceaccounts"), &account).ok();
        }
    }
    let stream = documents.0.keys().map(String::as_str).collect::<Vec<_>>().join("\n---\n");
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-"];
    let run = ns.kubectl_with(&arguments, &stream);
    let accepted = run.stdout.lines().filter(|line| line.ends_with("(server dry run)")).count();
    assert_eq!((run.code, run.stderr.as_str(), accepted), (Some(0), "", files.len()), "{}", run.stdout);
    let wrong = changed(&documents, "ServiceMonitor", "interval: 30s", "interval: often");
    let refused = ns.kubectl_with(&arguments, &wrong);
    assert!(refused.code != Some(0) && refused.stderr.contains("interval"), "{} {}", refused.stdout, refused.stderr);
}

/// The manifests of a folder of the project.
fn manifests_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // an entry of the catalog is a folder
    let files = files.map(|path| if path.is_dir() { path.join("connector.yaml") } else { path });
    files.filter(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "yaml")).collect()
}

/// What rendered a document, from its file.
fn first_line(file: &str) -> String {
    fs::read_to_string(file).ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_else(|| file.to_owned())
}
