//! One list for each of several tenants, with their cursors in the cluster.

use std::collections::BTreeSet;

use serde_json::json;

use crate::rig::control_plane::shared;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::tenants::{Tenants, for_each, long_ago, told};

#[test]
fn cursors_of_tenants_are_kept_next_to_the_status_and_outlive_the_operator() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "tenants");
    let tenants = Tenants::default();
    let server = tenants.serve();
    let names: Vec<String> = (0..200).map(|n| format!("t-{n}")).collect();
    for name in &names {
        (1..=2).for_each(|id| tenants.set(name, id, long_ago()));
    }
    let instance =
        |names: &[String]| Instance::new("it", &server.url(), &cluster.receiver.url("it")).resource(&for_each(names));
    cluster.apply(&instance(&names));
    let mut operator = cluster.start();
    let ready = cluster.wait_ready("it");
    let status = ready["status"].to_string();
    assert!(status.len() < 4096 && !status.contains("t-7"), "{status}");
    assert_eq!(cluster.owned("configmaps").len(), 4, "the cursors of two hundred lists");
    let mut expected = Vec::new();
    for name in names.iter().step_by(4) {
        tenants.set(name, 1, chrono::Utc::now());
        expected.push(format!("updated {name} 1 v2"));
    }
    cluster.wait_status("/delivered", &json!(50));
    assert!(operator.sigterm().success());
    // while it is away
    tenants.set("t-3", 7, chrono::Utc::now());
    expected.push("created t-3 7 v1".to_owned());
    expected.sort();
    let mut operator = cluster.start();
    cluster.wait_status("/delivered", &json!(51));
    let (events, ids) = told(&cluster.receiver.posts("it"));
    assert_eq!((events, ids.len()), (expected, 51), "{}", operator.report("it"));

    // few are left: their cursors need one object
    let before = cluster.owned("configmaps");
    cluster.apply(&instance(&names[..3]));
    for (name, _) in before {
        cluster.ns.kubectl(&["wait", "--for=delete", &format!("configmap/{name}"), "--timeout=60s"]).ok();
    }
    assert_eq!(cluster.owned("configmaps").len(), 1);
    assert!(operator.sigterm().success());
    tenants.asked();
    tenants.set("t-1", 8, chrono::Utc::now());
    let _operator = cluster.start();
    cluster.wait_status("/delivered", &json!(52));
    let asked: BTreeSet<_> = tenants.asked().into_iter().collect();
    assert!(asked.iter().all(|name| names[..3].contains(name)), "{asked:?}");
}
