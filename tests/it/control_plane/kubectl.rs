//! What a person sees through kubectl.

use std::fs;
use std::process::Command;

use pollinator::api::manifest::{self, Manifest};
use serde_json::{Value, json};

use crate::rig::control_plane::{CRDS, Namespace, Run, kubectl_alone, manifests, shared};
use crate::rig::manifest::Instance;

#[path = "../../../src/api/file_cases.rs"]
mod file_cases;

/// An everyday manifest without a namespace, which kubectl is to fill in.
fn manifest(name: &str) -> String {
    let yaml = Instance::new(name, "https://api.example.com/v2", "https://hooks.example.org/in").basic_auth().yaml();
    yaml.replace("namespace: it, ", "")
}

#[test]
fn applying_the_crds_again_warns_of_nothing() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("crds");
    for (name, yaml) in CRDS {
        let applied = ns.kubectl_with(&["apply", "--server-side", "--field-manager=it", "-f", "-"], yaml);
        assert_eq!(applied.stderr, "", "{name}");
        assert!(applied.ok().contains("serverside-applied"));
        // what client-side apply keeps in an annotation has a bound of 256 KiB
        let applied = ns.kubectl_with(&["create", "--dry-run=client", "-o", "name", "-f", "-"], yaml);
        assert_eq!(applied.stderr, "", "{name}");
        assert!(yaml.len() < 256 << 10);
    }
}

/// What people type, with the folder as it is in the repository: `crds/` holds definitions only, and `deploy/` loads their copies.
#[test]
fn the_folders_of_the_repository_apply_as_they_are() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("folders");
    let at = |folder: &str| format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let defined = |output: &str| {
        let lines = output.lines().filter_map(|line| line.strip_prefix("customresourcedefinition."));
        let mut names: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let both = "apiextensions.k8s.io/connectorinstances.pollinator.dev apiextensions.k8s.io/connectors.pollinator.dev";
    let (crds, deploy) = (at("crds/"), at("deploy/"));
    for arguments in [
        &["apply", "--dry-run=server", "-f", crds.as_str()][..],
        &["apply", "--server-side", "--field-manager=it", "-f", crds.as_str()],
    ] {
        let applied = ns.kubectl(arguments);
        assert_eq!(defined(&applied.clone().ok()), both, "{arguments:?}: {applied:?}");
    }
    // a server would refuse what belongs to a namespace that does not exist; chart tests apply an overlay for real
    let rendered = ns.kubectl(&["create", "--dry-run=client", "-k", &deploy]);
    assert_eq!(defined(&rendered.clone().ok()), both, "{rendered:?}");
    assert!(rendered.stdout.contains("deployment.apps/pollinator"), "{rendered:?}");
}

#[test]
fn applying_twice_changes_nothing() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("twice");
    let yaml = manifest("shop");
    let applied = ns.kubectl_with(&["apply", "-f", "-"], &yaml);
    assert_eq!((applied.stderr.as_str(), applied.stdout.contains("created")), ("", true), "{applied:?}");
    let before = ns.get_instance("shop");

    assert!(ns.kubectl_with(&["apply", "-f", "-"], &yaml).ok().contains("unchanged"));
    assert_eq!(ns.kubectl_with(&["diff", "-f", "-"], &yaml).ok(), "");
    assert_eq!(ns.kubectl_with(&["diff", "--server-side", "--field-manager=kubectl", "-f", "-"], &yaml).ok(), "");
    assert_eq!(ns.get_instance("shop"), before);

    // nor does what the operator writes show as drift
    put_status(&ns, "shop");
    assert!(ns.kubectl_with(&["apply", "-f", "-"], &yaml).ok().contains("unchanged"));
    assert_eq!(ns.kubectl_with(&["diff", "-f", "-"], &yaml).ok(), "");
    let after = ns.get_instance("shop");
    assert_eq!(after["metadata"]["generation"], 1);
    assert_eq!(after["status"]["delivered"], 7);
}

#[test]
fn the_examples_apply_without_a_warning() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("examples");
    for (file, yaml) in manifests("examples") {
        let applied = ns.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &yaml);
        assert_eq!(applied.stderr, "", "{file}");
        assert!(applied.ok().contains("connectorinstance.pollinator.dev/"), "{file}");
        let again = ns.kubectl_with(&["apply", "-f", "-"], &yaml).ok();
        // a Secret is "configured" each time: stringData is never read back
        let ours: Vec<_> = again.lines().filter(|line| line.starts_with("connectorinstance")).collect();
        assert!(!ours.is_empty() && ours.iter().all(|line| line.ends_with("unchanged")), "{file}: {again}");
    }
}

#[test]
fn two_managers_of_the_same_manifest_do_not_fight() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("managers");
    let yaml = manifest("shop");
    ns.apply(&yaml);
    // moving from client-side to server-side apply, and a GitOps tool beside it
    for manager in ["kubectl", "argocd-controller", "kustomize-controller"] {
        let applied = ns.kubectl_with(&["apply", "--server-side", &format!("--field-manager={manager}"), "-f", "-"], &yaml);
        assert_eq!(applied.stderr, "", "{manager}");
        applied.ok();
    }
    assert_eq!(ns.get_instance("shop")["metadata"]["generation"], 1);
    // an honest conflict: another value of the same field
    let other = yaml.replace("interval: 5s", "interval: 1h");
    let refused = ns.kubectl_with(&["apply", "--server-side", "--field-manager=other", "-f", "-"], &other);
    assert!(refused.code != Some(0) && refused.stderr.contains(".spec.polling.interval"), "{refused:?}");
}

/// kubectl alone, without a server: what it reads in the files of which our own tests say what they hold.
#[test]
fn kubectl_reads_what_we_read() {
    let Some(kubectl) = kubectl_alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in file_cases::cases() {
        // a file that is named is read whatever its ending
        let file = folder.path().join("case");
        fs::write(&file, &case.bytes).unwrap();
        let mut command = Command::new(kubectl);
        command.args(["label", "--local", "--overwrite", "-o", "json", "-f"]).arg(&file).arg("read=yes");
        let run = Run::of(command.env("KUBECONFIG", "/dev/null"), "");
        let objects: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&run.stdout).into_iter().collect();
        let specs: Vec<_> = objects.unwrap_or_default().into_iter().map(|mut object| object["spec"].take()).collect();
        if specs != case.specs {
            wrong.push(format!("{}: {} {}", case.what, Value::from(specs), run.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `kubectl get` prints of objects on a server is read as what was applied, alone and in a list, as YAML and JSON.
#[test]
fn what_kubectl_prints_is_what_was_applied() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("printed");
    let applied = format!(
        "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{username: u, password: ''}}\n",
        manifest("shop").replace("name: shop", "name: shop, labels: {a: b}")
    );
    ns.apply(&applied);
    put_status(&ns, "shop");
    let read = |text: &str| {
        let declared = manifest::read("printed", text);
        assert_eq!(declared.errors, [], "{text}");
        let specs = declared.manifests.into_iter().map(|(_, manifest)| match manifest {
            Manifest::ConnectorInstance(instance) => serde_json::to_value(&instance.spec).unwrap(),
            Manifest::Secret(secret) => json!(secret.data),
            Manifest::Connector(_) => panic!("none was applied"),
        });
        specs.collect::<Vec<_>>()
    };
    let meant = read(&applied);
    for form in ["yaml", "json"] {
        let list = ns.kubectl(&["get", "coni/shop", "secret/login", "-o", form, "--show-managed-fields"]).ok();
        assert!(list.contains("List") && list.contains("managedFields") && list.contains("observedGeneration"), "{list}");
        assert_eq!(read(&list), meant, "{list}");
        let one = ns.kubectl(&["get", "coni", "shop", "-o", form]).ok();
        assert_eq!(read(&one), meant[..1], "{one}");
    }
}

#[test]
fn a_misspelt_field_is_named() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("misspelt");
    let yaml = manifest("shop").replace("polling:", "poling:").replace("idField:", "idfield:");
    let refused = ns.kubectl_with(&["apply", "-f", "-"], &yaml);
    assert!(refused.code != Some(0), "{refused:?}");
    for field in ["spec.poling", "spec.resources[0].idfield"] {
        assert!(refused.stderr.contains(field), "{}", refused.stderr);
    }
}

/// Writes a status as the operator would.
fn put_status(ns: &Namespace<'_>, name: &str) {
    let written = json!({
        "observedGeneration": 1, "delivered": 7, "parked": 2, "lastChangeTime": "2026-01-31T00:00:00Z",
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Polling", "message": "All resources are polled.",
            "lastTransitionTime": "2026-01-31T00:00:00Z", "observedGeneration": 1
        }],
        "resources": [{"name": "records", "cursor": {"meaning": "m", "since": "2026-01-31T00:00:00Z"}, "delivered": 7}]
    });
    ns.edit_status(name, |status| *status = written.clone());
}

#[test]
fn columns_tell_how_it_goes() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("columns");
    ns.apply(&manifest("shop"));
    ns.apply("apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {name: own}\nspec: {title: Own, baseUrl: \"https://x.example\"}\n");
    put_status(&ns, "shop");
    assert_eq!(ns.wait_condition("shop", "Ready", "True", "Polling"), "All resources are polled.");
    let columns = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let table = ns.kubectl(&["get", "coni"]).ok();
    assert_eq!(
        columns(&table),
        ["NAME", "CONNECTOR", "READY", "REASON", "SUSPENDED", "DELIVERED", "PARKED", "LAST CHANGE", "AGE"]
    );
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["shop", "True", "Polling", "false", "7", "2"], "{table}");
    let wide = ns.kubectl(&["get", "coni", "-o", "wide"]).ok();
    assert!(columns(&wide).ends_with(&["CALLBACK".to_owned(), "MESSAGE".to_owned()]), "{wide}");
    assert!(wide.contains("https://hooks.example.org/in") && wide.contains("All resources are polled."), "{wide}");

    // the category shows both kinds; the plural of one kind never names the other
    let all = ns.kubectl(&["get", "pollinator", "-o", "name"]).ok();
    assert_eq!(all.split_whitespace().count(), 2, "{all}");
    assert_eq!(ns.kubectl(&["get", "connectors", "-o", "name"]).ok().trim(), "connector.pollinator.dev/own");
    let waited = ns.kubectl(&["wait", "coni/shop", "--for=condition=Ready", "--timeout=30s"]).ok();
    assert!(waited.contains("condition met"), "{waited}");
    assert_eq!(ns.kubectl(&["get", "coni", "--field-selector", "spec.suspend=false", "-o", "name"]).ok().lines().count(), 1);
    assert_eq!(ns.kubectl(&["get", "coni", "--field-selector", "spec.connector=keap", "-o", "name"]).ok(), "");
}

#[test]
fn every_field_is_explained() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("explain");
    let document = ns.api().get("/openapi/v3/apis/pollinator.dev/v1alpha1").ok();
    for kind in ["ConnectorInstance", "Connector"] {
        let schema = &document["components"]["schemas"][&format!("dev.pollinator.v1alpha1.{kind}")];
        let mut unexplained = Vec::new();
        for part in ["spec", "status"] {
            if schema["properties"][part].is_object() {
                collect_unexplained(&schema["properties"][part], part, &mut unexplained);
            }
        }
        assert!(schema["properties"]["spec"].is_object());
        assert_eq!(unexplained, [""; 0], "{kind}");
    }
    let told = ns.kubectl(&["explain", "coni.spec.resources.order"]).ok();
    assert!(told.contains("ENUM") && told.contains("Ascending") && told.contains("DESCRIPTION"), "{told}");
    let told = ns.kubectl(&["explain", "coni.spec", "--recursive"]).ok();
    assert!(told.contains("datesConfiguration"), "{told}");
}

/// Members without a description, through lists and maps.
fn collect_unexplained(schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        found.push(path.to_owned());
    }
    let inner = if schema["items"].is_object() { &schema["items"] } else { &schema["additionalProperties"] };
    for schema in [schema, inner] {
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            collect_unexplained(member, &format!("{path}.{name}"), found);
        }
    }
}
