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
    let images = [Image::pollinator("registry.example/pollinator")];
    let kubelet = Kubelet::start_with(plane, cluster.ns.name(), &images, &cluster.proxy.url())?;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    cluster.ns.kubectl(&["label", "namespace", cluster.ns.name(), restricted]).ok();
    cluster.ns.apply(include_str!("operator.yaml"));
    for name in names() {
        let mut instance = cluster.instance();
        (instance.callback_url, instance.name) = (cluster.receiver.url(&name), name);
        cluster.apply(&instance);
    }
    kubelet.wait_rolled_out(&cluster.ns);
    names().for_each(|name| drop(cluster.wait_ready(&name)));
    Some((cluster, kubelet))
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
        let rolling = threads.spawn(|| kubelet.wait_rolled_out(&cluster.ns));
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

#[test]
fn scaled_down_and_up_and_evicted_it_loses_and_repeats_nothing() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some((cluster, kubelet)) = installed(plane, "scale") else { return };
    let ns = &cluster.ns;
    let pod = kubelet.running().remove(0);
    let eviction = serde_json::json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    cluster.provider.create_all(ids("evicted", 5));
    let budget = ns.group("policy/v1", "poddisruptionbudgets/pollinator");
    ns.api().wait_for(&budget, "a disruption", |budget| (budget["status"]["disruptionsAllowed"] == 1).then_some(()));
    ns.api().create(&ns.core(&format!("pods/{pod}/eviction")), &eviction).ok();
    ns.api().wait_for(&ns.core(&format!("pods/{pod}")), "its end", |pod| pod.is_null().then_some(()));
    kubelet.wait_ready_replicas(&cluster.ns, 3);
    for replicas in [1, 3] {
        cluster.provider.create_all(ids(&format!("before{replicas}"), 5));
        ns.kubectl(&["scale", "deployment/pollinator", &format!("--replicas={replicas}")]).ok();
        cluster.provider.create_all(ids(&format!("during{replicas}"), 5));
        kubelet.wait_ready_replicas(&cluster.ns, replicas);
    }
    cluster.provider.create_all(ids("after", 5));
    assert_perfect(&cluster, &kubelet);
    assert_eq!(kubelet.restarts(&cluster.ns), 0);
}

#[test]
fn an_api_server_that_is_away_restarts_no_pod() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some((cluster, kubelet)) = installed(plane, "away") else { return };
    cluster.proxy.freeze();
    // their claims have run out by then, which takes longer than the liveness probes would bear
    kubelet.wait_ready_replicas(&cluster.ns, 0);
    assert_eq!(kubelet.restarts(&cluster.ns), 0);
    cluster.provider.create_all(ids("away", 5));
    cluster.proxy.thaw();
    kubelet.wait_ready_replicas(&cluster.ns, 3);
    assert_perfect(&cluster, &kubelet);
    assert_eq!(kubelet.restarts(&cluster.ns), 0, "{}", kubelet.report());
}

#[test]
fn a_replica_that_hangs_is_restarted() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some((cluster, kubelet)) = installed(plane, "hangs") else { return };
    let pod = kubelet.running().remove(0);
    kubelet.signal(&pod, "STOP");
    cluster.provider.create_all(ids("hung", 5));
    cluster.ns.api().wait_for(&cluster.ns.core(&format!("pods/{pod}")), "a restart", |pod| {
        let main = &pod["status"]["containerStatuses"][0];
        (main["restartCount"] == 1 && main["lastState"]["terminated"]["exitCode"] == 137).then_some(())
    });
    kubelet.wait_ready_replicas(&cluster.ns, 3);
    cluster.provider.create_all(ids("after", 5));
    for name in names() {
        let verdict = settle(&cluster.receiver, &name, || cluster.provider.truth(), provider::version);
        assert!(verdict.is_sound(), "{name}: {verdict}\n{}", kubelet.report());
    }
}
