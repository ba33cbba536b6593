//! Several replicas share the work, and take it over from one another.

use crate::rig::control_plane::shared;
use crate::rig::operator::{Cluster, metric};
use crate::rig::oracle::Verdict;
use crate::rig::scene::ids;
use crate::rig::{provider, settle};

const INSTANCES: usize = 12;
/// As by default.
const SHARDS: [&str; 2] = ["--shards", "16"];

/// Twelve instances of one provider, all ready.
fn many(cluster: &Cluster<'_>) {
    for name in names() {
        let mut instance = cluster.instance();
        (instance.callback_url, instance.name) = (cluster.receiver.url(&name), name);
        cluster.apply(&instance);
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..INSTANCES).map(|index| format!("it-{index}"))
}

fn verdicts(cluster: &Cluster<'_>) -> Vec<Verdict> {
    names().map(|name| settle(&cluster.receiver, &name, || cluster.provider.truth(), provider::version)).collect()
}

#[test]
fn a_rolling_update_repeats_and_loses_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "rolling");
    many(&cluster);
    let mut old = cluster.start_with(&SHARDS);
    names().for_each(|name| drop(cluster.wait_ready(&name)));
    for round in 0..3 {
        let new = cluster.start_with(&SHARDS);
        new.wait_stderr("range owned");
        cluster.provider.create_all(ids(&format!("both{round}"), 5));
        assert!(old.sigterm().success(), "{}", old.stderr());
        cluster.provider.create_all(ids(&format!("alone{round}"), 5));
        old = new;
    }
    for (name, verdict) in names().zip(verdicts(&cluster)) {
        assert!(verdict.is_perfect(), "{name}: {verdict}\n{}", old.stderr());
    }
    names().for_each(|name| drop(cluster.wait_ready(&name)));
}

#[test]
fn what_a_killed_replica_leaves_is_taken_over() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "takeover");
    many(&cluster);
    let mut first = cluster.start_with(&SHARDS);
    names().for_each(|name| drop(cluster.wait_ready(&name)));
    assert!((metric(&first, "pollinator_owned_shards") - 16.0).abs() < f64::EPSILON, "all of them");
    let second = cluster.start_with(&SHARDS);
    second.wait_stderr("range owned");
    cluster.provider.create_all(ids("before", 5));
    first.kill9();
    cluster.provider.create_all(ids("after", 5));
    for (name, verdict) in names().zip(verdicts(&cluster)) {
        assert!(verdict.is_sound(), "{name}: {verdict}\n{}", second.stderr());
    }
    assert!(metric(&second, "pollinator_owned_shards") >= 1.0);
}

#[test]
fn a_paused_replica_brings_no_old_state_back() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "paused");
    many(&cluster);
    let paused = cluster.start_with(&SHARDS);
    names().for_each(|name| drop(cluster.wait_ready(&name)));
    paused.signal("STOP");
    let other = cluster.start_with(&SHARDS);
    other.wait_stderr("range owned");
    cluster.provider.create_all(ids("meanwhile", 5));
    let before = verdicts(&cluster);
    paused.signal("CONT");
    paused.wait_stderr("range lost");
    cluster.provider.create_all(ids("after", 5));
    for ((name, verdict), before) in names().zip(verdicts(&cluster)).zip(before) {
        assert!(verdict.is_sound() && before.is_sound(), "{name}: {verdict}\n{}", other.stderr());
        assert!(verdict.duplicates.is_empty(), "{name}: {verdict}\n{}", paused.stderr());
    }
}
