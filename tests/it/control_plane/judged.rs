//! The real server's judgement of manifests, against our own ([`pollinator::api::validate`]).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rig::control_plane::api::Reply;
use crate::rig::control_plane::{Namespace, manifests, shared};

#[path = "../../../src/api/validate_cases.rs"]
pub mod cases;

#[test]
fn the_crds_are_established_without_a_warning() {
    let Some(plane) = shared() else { return };
    assert_eq!(plane.crd_warnings(), [""; 0]);
    for name in ["connectorinstances", "connectors"] {
        let crd =
            plane.api().get(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}.pollinator.dev")).ok();
        let told = |kind: &str| {
            let conditions = crd["status"]["conditions"].as_array().unwrap();
            conditions.iter().find(|one| one["type"] == kind).map(|one| one["status"].clone())
        };
        assert_eq!(told("Established"), Some(json!("True")));
        assert_eq!(told("NamesAccepted"), Some(json!("True")));
        let structural = told("NonStructuralSchema");
        assert!(structural.is_none() || structural == Some(json!("False")), "{}", crd["status"]);
    }
}

/// A server-side dry run with strict field validation, in a namespace that exists.
fn try_create(ns: &Namespace<'_>, object: &mut Value) -> Reply {
    if object["metadata"]["namespace"] == "crm" {
        object["metadata"]["namespace"] = json!(ns.name());
    }
    ns.api().create(&format!("{}?dryRun=All&fieldValidation=Strict", ns.instances()), object)
}

#[test]
fn the_server_accepts_what_we_accept() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("accepted");
    let mut wrong = Vec::new();
    for case in cases::cases(cases::ACCEPTED) {
        let reply = try_create(&ns, &mut cases::object(&case));
        if reply.status != 201 || !reply.warnings.is_empty() {
            wrong.push(format!("{}: {} {} {:?}", case["name"], reply.status, reply.message(), reply.warnings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nor does the server accept what we refuse; and where the words are ours, or quoted, it says them.
#[test]
fn the_server_refuses_what_we_refuse() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("refused");
    let mut wrong = Vec::new();
    for case in cases::cases(cases::REFUSED) {
        let reply = try_create(&ns, &mut cases::object(&case));
        let says = case["says"].as_array().unwrap().iter().map(|says| says.as_str().unwrap());
        let (said, unsaid): (Vec<_>, Vec<_>) = says.filter(|says| !is_reworded(says)).partition(|says| tells(&reply, says));
        // a 400 is of the decoder, which stops there; validation tells all there is
        let is_told = unsaid.is_empty() || reply.status == 400 && !said.is_empty();
        if !matches!(reply.status, 400 | 422) || !is_told {
            wrong.push(format!("{}: {}\n    server {}\n    unsaid {unsaid:?}", case["name"], reply.status, reply.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the server's own words are less helpful than ours.
fn is_reworded(says: &str) -> bool {
    says.starts_with("metadata.") || says.contains(": must be of type ") || says.contains(": Too long")
}

/// Whether the server's message has our words, which leave out its quotation of the value and add a suggestion.
fn tells(reply: &Reply, says: &str) -> bool {
    let says = says.split(", did you mean").next().unwrap().split("; remove it").next().unwrap();
    let words = says.split_once(": ").map_or(says, |(_, words)| words);
    reply.message().contains(words)
}

#[test]
fn the_server_accepts_as_many_resources_as_the_schema_allows() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("many");
    let mut object = cases::base();
    let resource =
        |n| json!({"name": format!("r{n}"), "url": "/r", "interval": "1m", "deletes": {"snapshot": {"interval": "1h"}}});
    object["spec"]["resources"] = (0..64).map(resource).collect();
    let reply = try_create(&ns, &mut object);
    assert_eq!(reply.status, 201, "{}", reply.message());
}

#[test]
fn the_server_accepts_the_catalogue_and_keeps_all_of_it() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("catalogue");
    let connectors = ns.group("pollinator.dev/v1alpha1", "connectors");
    for (file, yaml) in manifests("catalog") {
        let mut entry: Value = serde_saphyr::from_str(&yaml).unwrap();
        let reply = ns.api().create(&format!("{connectors}?fieldValidation=Strict"), &entry);
        assert_eq!((reply.status, &reply.warnings), (201, &Vec::new()), "{file}: {}", reply.message());
        assert_eq!(reply.body["spec"], entry["spec"].take(), "{file}");
    }
}

/// What `pollinator new` prints of each entry, before anything is replaced.
#[test]
fn the_server_accepts_a_new_manifest_of_each_entry_unchanged() {
    use pollinator::catalog::starter::{Wishes, manifest};
    use pollinator::catalog::{built_in, names};

    let Some(plane) = shared() else { return };
    let ns = plane.namespace("new");
    for key in names() {
        let spec = built_in(key).unwrap();
        let polled: Vec<_> = spec.resources.iter().map(|of| &of.resource).collect();
        let parameters = BTreeMap::new();
        let wishes = Wishes { name: key, namespace: None, callback: "https://example.com/events", parameters: &parameters };
        for document in manifest(key, spec, &polled, &wishes).split("---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            let path = if object["kind"] == "Secret" { ns.core("secrets") } else { ns.instances() };
            let reply = ns.api().create(&format!("{path}?fieldValidation=Strict"), &object);
            assert_eq!((reply.status, &reply.warnings), (201, &Vec::new()), "{key}: {}\n{document}", reply.message());
        }
    }
}
