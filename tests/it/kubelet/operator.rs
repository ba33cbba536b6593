//! The operator with three replicas as a Deployment, by a manifest of this test's own.

use crate::rig::control_plane::{ControlPlane, shared_with_controllers};
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;
use crate::rig::operator::Cluster;
use crate::rig::scene::ids;
use crate::rig::{provider, settle};

const INSTANCES: usize = 20;

fn names() -> impl Iterator<Item = String> {
    (0..INSTANCES).map(|index| format!("it-{index}"))
}

/// Three replicas and twenty instances, all ready. Admission enforces restricted pods.
fn installed(plane: &'static ControlPlane, test: &str) -> Option<(Cluster<'static>, Kubelet)> {
    let cluster = Cluster::new(plane, test);
    let kubelet = Kubelet::start(plane, cluster.ns.name(), &[Image::pollinator("registry.example/pollinator")])?;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    cluster.ns.kubectl(&["label", "namespace", cluster.ns.name(), restricted]).ok();
    cluster.ns.apply(include_str!("operator.yaml"));
    for name in names() {
        let mut instance = cluster.instance();
        (instance.callback_url, instance.name) = (cluster.receiver.url(&name), name);
        cluster.apply(&instance);
    }
    rolled_out(&cluster, &kubelet);
    names().for_each(|name| drop(cluster.wait_ready(&name)));
    Some((cluster, kubelet))
}

fn rolled_out(cluster: &Cluster<'_>, kubelet: &Kubelet) {
    let told = cluster.ns.kubectl(&["rollout", "status", "deployment/pollinator", "--timeout=120s"]);
    assert_eq!(told.code, Some(0), "{told:?}\n{}", kubelet.report());
}

fn assert_perfect(cluster: &Cluster<'_>, kubelet: &Kubelet) {
    for name in names() {
        let verdict = settle(&cluster.receiver, &name, || cluster.provider.truth(), provider::version);
        assert!(verdict.is_perfect(), "{name}: {verdict}\n{}", kubelet.report());
    }
}

#[test]
fn a_rollout_restart_during_traffic_loses_and_repeats_nothing() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some((cluster, kubelet)) = installed(plane, "rollout") else { return };
    let before = kubelet.running();
    assert_eq!(before.len(), 3);
    cluster.provider.create_all(ids("before", 5));
    cluster.ns.kubectl(&["rollout", "restart", "deployment/pollinator"]).ok();
    std::thread::scope(|threads| {
        let rolling = threads.spawn(|| rolled_out(&cluster, &kubelet));
        let mut round = 0;
        while !rolling.is_finished() {
            round += 1;
            cluster.provider.create_all(ids(&format!("during{round}"), 2));
            cluster.provider.wait_polled(INSTANCES);
        }
        rolling.join().unwrap();
    });
    cluster.provider.create_all(ids("after", 5));
    assert_perfect(&cluster, &kubelet);
    assert!(kubelet.running().iter().filter(|name| before.contains(name)).count() < 3, "no pod was replaced");
}
