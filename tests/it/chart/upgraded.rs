//! From the chart and the definitions of the version before to these, and back, with instances that have state.
//!
//! The program is this one all the time: that of the version before is not kept (tests/data/previous). With a released one, `released` does
//! the same.

use serde_json::Value;

use super::CHART;
use super::installed::{enforce_restricted_pods, helm, kubelet};
use crate::rig::control_plane::{ControlPlane, shared_with_controllers};
use crate::rig::kubelet::Kubelet;
use crate::rig::operator::Cluster;
use crate::rig::scene::ids;
use crate::rig::{provider, settle};

const PREVIOUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/previous/pollinator.tgz");

/// Remembers ids near the cursor; the same with a field of the state that the version before does not know; remembers everything, in
/// `ConfigMaps`.
const INSTANCES: [(&str, &str); 3] = [
    ("plain", ""),
    ("reaching", "lookback: 10m"),
    ("many", "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}"),
];

fn assert_perfect(cluster: &Cluster<'_>, kubelet: &Kubelet, when: &str) {
    for (name, _) in INSTANCES {
        let verdict = settle(&cluster.receiver, name, || cluster.provider.truth(), provider::version);
        assert!(verdict.is_perfect(), "{when}: {name}: {verdict}\n{}", kubelet.report());
    }
}

/// The status of each once it counts so many events.
fn stored(cluster: &Cluster<'_>, delivered: usize) -> Vec<Value> {
    let of = |(name, _): (&str, &str)| {
        cluster.ns.wait_instance(name, &format!("{delivered} delivered"), |one| {
            (one["status"]["delivered"] == delivered).then(|| one["status"].clone())
        })
    };
    INSTANCES.map(of).into()
}

#[test]
fn the_chart_before_and_this_one_hand_state_over_in_both_directions() {
    if shared_with_controllers().is_none() {
        return;
    }
    let Some(plane) = ControlPlane::start() else { return };
    let cluster = Cluster::new(&plane, "upgraded");
    let (ns, name) = (&cluster.ns, cluster.ns.name());
    enforce_restricted_pods(ns);
    let Some(kubelet) = kubelet(&plane, name) else { return };
    let release = |verb: &str, chart: &str| {
        let base = ["pollinator", chart, "--namespace", name, "--wait", "--timeout", "180s"];
        helm(ns, &kubelet, &[&[verb], &base[..], &["--set", "operator.allowEgress={127.0.0.0/8}"]].concat())
    };
    ns.kubectl(&["delete", "crd", "connectorinstances.pollinator.dev", "connectors.pollinator.dev"]).ok();
    if release("install", CHART).is_none() {
        return;
    }
    cluster.provider.baseline(ids("old", 200));
    for (name, resource) in INSTANCES {
        let mut instance = cluster.instance();
        instance = if resource.starts_with("url") { instance.resource(resource) } else { instance.and_resource(resource) };
        (instance.name, instance.callback_url) = (name.to_owned(), cluster.receiver.url(name));
        cluster.apply(&instance);
    }
    for (name, _) in INSTANCES {
        cluster.wait_ready(name);
    }
    // somebody else's condition has to stay through all of it
    let audit = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {name: plain}\nstatus: {conditions: [{type: \
                 example.com/Audited, status: \"True\", reason: ByHand, message: seen, lastTransitionTime: \"2026-01-31T00:00:00Z\"}]}\n";
    ns.api().apply(&format!("{}/status", ns.instance("plain")), "auditor", audit).ok();
    cluster.provider.create_all(ids("first", 3));
    assert_perfect(&cluster, &kubelet, "before");
    let first = stored(&cluster, 3);
    assert!(first[1]["resources"][0]["cursor"]["reachSeconds"].is_number(), "{}", first[1]);
    assert!(first[2]["resources"][0]["cursor"]["blobs"].is_string(), "{}", first[2]);

    // back: the definitions drop what they do not know, so nothing is stored, nothing is asked, and nothing is lost
    release("upgrade", PREVIOUS).unwrap();
    ns.kubectl(&["--namespace", name, "rollout", "restart", "deployment/pollinator"]).ok();
    kubelet.wait_rolled_out(ns);
    for (name, _) in INSTANCES {
        let message = ns.wait_condition(name, "CrdOutdated", "True", "CrdOutdated");
        assert!(message.contains("apply the CRDs"), "{message}");
    }
    let asked = cluster.provider.asked();
    cluster.provider.create_all(ids("outdated", 3));
    // whoever writes an object now writes it without the new fields, as the version before would have stored it
    ns.kubectl(&["annotate", "coni", "--all", "example.com/touched=yes"]).ok();
    for ((name, _), before) in INSTANCES.iter().zip(&first) {
        let status = &ns.get_instance(name)["status"];
        let cursor = |status: &Value| {
            let mut cursor = status["resources"][0]["cursor"].clone();
            cursor.as_object_mut().unwrap().remove("reachSeconds");
            cursor
        };
        assert!(
            status["resources"][0]["cursor"]["reachSeconds"].is_null(),
            "the definitions before have no such field: {status}"
        );
        assert_eq!((cursor(status), &status["delivered"]), (cursor(before), &before["delivered"]), "{name}");
    }
    assert_eq!(cluster.provider.asked(), asked, "what cannot be stored is not begun");

    // and forth, with state as the version before leaves it
    release("upgrade", CHART).unwrap();
    assert_perfect(&cluster, &kubelet, "after");
    cluster.provider.create_all(ids("last", 3));
    assert_perfect(&cluster, &kubelet, "later");
    for ((name, _), after) in INSTANCES.iter().zip(stored(&cluster, 9)) {
        assert!(after["resources"][0]["resetReason"].is_null(), "{name}: {after}");
        let conditions = after["conditions"].as_array().unwrap();
        assert!(!conditions.iter().any(|one| one["type"] == "CrdOutdated"), "{name}: {after}");
        let audited = conditions.iter().any(|one| one["type"] == "example.com/Audited");
        assert_eq!(audited, *name == "plain", "{after}");
    }
    let generations = ns.kubectl(&["get", "coni", "-o", "jsonpath={.items[*].metadata.generation}"]).ok();
    assert_eq!(generations, "1 1 1", "nobody changed a spec");
}
