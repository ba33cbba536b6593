//! Attackers in a namespace beside honest instances of another: what the honest ones get does not change.

use serde_json::Value;

use crate::rig::control_plane::{Namespace, shared};
use crate::rig::fleet;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::rig::siege::Siege;
use crate::rig::strain::Strain;

fn create(ns: &Namespace<'_>, instance: &Instance) {
    let yaml = instance.yaml().replace("namespace: it", &format!("namespace: {}", ns.name()));
    let object: Value = serde_saphyr::from_str(&yaml).expect("a manifest");
    ns.api().create(&ns.instances(), &object).ok();
}

#[test]
fn attackers_of_another_namespace_take_no_poll_no_probe_and_no_lease_from_honest_instances() {
    let Some(plane) = shared() else { return };
    let _alone = fleet::alone();
    let cluster = Cluster::new(plane, "honest");
    let hostile = plane.namespace("hostile");
    let siege = Siege::prepare();
    let honest = siege.honest(&cluster.receiver);
    for instance in &honest {
        create(&cluster.ns, instance);
    }
    let operator = cluster.start_with(&["--watch-namespace", hostile.name()]);
    for instance in &honest {
        cluster.wait_ready(&instance.name);
    }
    let strain = Strain::measure(cluster.ns.api());
    siege.run(&operator, &cluster.receiver, &strain, |attackers| {
        for instance in &attackers {
            create(&hostile, instance);
        }
    });
    assert!(!operator.stderr().contains("range lost"), "{}", operator.stderr());
}
