//! What the probes and the disruption budget of an installed release stand: an API server that is away, drains, evictions.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::CHART;
use super::installed::{enforce_restricted_pods, helm, kubelet};
use crate::rig::api_proxy::Fault;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;
use crate::rig::operator::Cluster;
use crate::rig::scene::ids;
use crate::rig::{PATIENCE, provider, settle};

const INSTANCES: usize = 20;

fn names() -> impl Iterator<Item = String> {
    (0..INSTANCES).map(|index| format!("it-{index}"))
}

/// The release `pollinator`, which watches its own namespace, as the chart has it but for loopback. `None`: there is no Helm.
fn release(cluster: &Cluster<'_>, kubelet: &Kubelet, verb: &str, more: &[&str]) -> Option<String> {
    let (ns, name) = (&cluster.ns, cluster.ns.name());
    let watch = format!("watchNamespace={name}");
    let base = ["pollinator", CHART, "--namespace", name, "--wait", "--timeout", "180s", "--set", &watch];
    let ours = ["--set", "crds.enabled=false", "--set", "operator.allowEgress={127.0.0.0/8}"];
    helm(ns, kubelet, &[&[verb], &base[..], &ours, more].concat())
}

/// Twenty instances, each ready.
fn instances(cluster: &Cluster<'_>) {
    for name in names() {
        let mut instance = cluster.instance();
        (instance.callback_url, instance.name) = (cluster.receiver.url(&name), name);
        cluster.create(&instance);
    }
    names().for_each(|name| drop(cluster.wait_ready(&name)));
}

fn assert_perfect(cluster: &Cluster<'_>, kubelet: &Kubelet) {
    for name in names() {
        let verdict = settle(&cluster.receiver, &name, || cluster.provider.truth(), provider::version);
        assert!(verdict.is_perfect(), "{name}: {verdict}\n{}", kubelet.report());
    }
}

/// Waits until so many pods run on these nodes, and returns their names: those that are on their way out are gone.
fn wait_running(nodes: &[&Kubelet], count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pods: Vec<_> = nodes.iter().flat_map(|node| node.running()).collect();
        if pods.len() == count {
            return pods;
        }
        assert!(Instant::now() < deadline, "{pods:?}");
        thread::park_timeout(Duration::from_millis(100));
    }
}

/// Records go on changing until it has returned.
fn while_records_change<R: Send>(cluster: &Cluster<'_>, prefix: &str, during: impl FnOnce() -> R + Send) -> R {
    thread::scope(|threads| {
        let during = threads.spawn(during);
        let mut round = 0;
        while !during.is_finished() {
            round += 1;
            cluster.provider.create_all(ids(&format!("{prefix}{round}"), 2));
            cluster.provider.wait_polled(INSTANCES / 2);
        }
        during.join().unwrap()
    })
}

#[test]
fn a_node_is_drained_during_traffic_and_the_last_worker_is_not_evicted() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "drained");
    let (ns, name) = (&cluster.ns, cluster.ns.name());
    enforce_restricted_pods(ns);
    let (Some(from), Some(to)) = (kubelet(plane, name), kubelet(plane, name)) else { return };
    ns.kubectl(&["cordon", to.node()]).ok();
    if release(&cluster, &from, "install", &["--set", "replicaCount=3"]).is_none() {
        return;
    }
    instances(&cluster);
    assert_eq!((from.running().len(), to.running().len()), (3, 0));
    ns.kubectl(&["uncordon", to.node()]).ok();

    while_records_change(&cluster, "drained", || {
        let drained = ns.kubectl(&["drain", from.node(), "--timeout=180s"]);
        assert_eq!(drained.code, Some(0), "{drained:?}\n{}", from.report());
        to.wait_rolled_out(ns);
    });
    wait_running(&[&to], 3);
    assert_eq!(from.running().len(), 0);
    ns.kubectl(&["uncordon", from.node()]).ok();
    cluster.provider.create_all(ids("after", 5));
    assert_perfect(&cluster, &to);

    // two workers, and no node for a third
    release(&cluster, &to, "upgrade", &["--set", "replicaCount=2"]).unwrap();
    ns.api().wait_for(&ns.group("policy/v1", "poddisruptionbudgets/pollinator"), "two workers", |budget| {
        (budget["status"]["expectedPods"] == 2 && budget["status"]["disruptionsAllowed"] == 1).then_some(())
    });
    ns.kubectl(&["cordon", from.node(), to.node()]).ok();
    let pods = wait_running(&[&from, &to], 2);
    let [first, last] = &pods[..] else { unreachable!() };
    let evict = |pod: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        ns.api().create(&ns.core(&format!("pods/{pod}/eviction")), &eviction)
    };
    evict(first).ok();
    ns.api().wait_for(&ns.core(&format!("pods/{first}")), "its end", |pod| pod.is_null().then_some(()));
    let refused = evict(last);
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.message().contains("disruption budget"), "{refused:?}");
    // which does all the work
    cluster.provider.create_all(ids("alone", 5));
    assert_perfect(&cluster, &to);
    assert_eq!(wait_running(&[&from, &to], 1), std::slice::from_ref(last));
    ns.kubectl(&["uncordon", from.node(), to.node()]).ok();
    to.wait_ready_replicas(ns, 2);
    cluster.provider.create_all(ids("together", 5));
    assert_perfect(&cluster, &to);
    assert_eq!(to.restarts(ns), 0);
}

/// An owner that cannot renew acts for two thirds of a Lease of 15 s, and may then end what it had begun.
const CLAIMS_RUN_OUT: Duration = Duration::from_secs(25);

#[test]
fn two_minutes_without_the_api_server_restart_no_pod() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "minutes");
    let ns = &cluster.ns;
    enforce_restricted_pods(ns);
    // the kubelet's own way to the server stays open, as the node's may
    let images = [Image::pollinator("ghcr.io/pollinator-dev/pollinator")];
    let Some(kubelet) = Kubelet::start_with(plane, ns.name(), &images, &cluster.proxy.url()) else { return };
    if release(&cluster, &kubelet, "install", &["--set", "replicaCount=3"]).is_none() {
        return;
    }
    instances(&cluster);
    cluster.provider.create_all(ids("before", 5));
    assert_perfect(&cluster, &kubelet);
    // what is accepted and not stored when the server goes comes again, and rightly so
    for name in names() {
        ns.wait_instance(&name, "all is stored", |one| (one["status"]["delivered"] == 5).then_some(()));
    }

    let away = Instant::now();
    let pass = |span: Duration| {
        while let Some(left) = span.checked_sub(away.elapsed()) {
            thread::park_timeout(left);
        }
    };
    cluster.proxy.freeze();
    // while the claims last, who finds nothing polls on
    let asked = cluster.provider.asked();
    assert!(cluster.provider.try_wait_asked(asked + INSTANCES / 4, PATIENCE));
    kubelet.wait_ready_replicas(ns, 0);
    pass(CLAIMS_RUN_OUT);
    let asked = cluster.provider.asked();
    cluster.provider.create_all(ids("away", 5));
    pass(Duration::from_mins(1));
    // one that is gone, after one that is silent
    cluster.proxy.script(|_| Some(Fault::HangUp));
    cluster.proxy.thaw();
    cluster.proxy.cut();
    pass(Duration::from_mins(2));
    assert_eq!(cluster.provider.asked(), asked, "nobody may act: another replica might");
    assert_eq!(kubelet.restarts(ns), 0, "{}", kubelet.report());
    cluster.proxy.behave();
    kubelet.wait_ready_replicas(ns, 3);
    cluster.provider.create_all(ids("back", 5));
    assert_perfect(&cluster, &kubelet);
    assert_eq!(kubelet.restarts(ns), 0, "{}", kubelet.report());
}
