//! Several processes share the ranges through a real kube-apiserver. Each acts in the ranges it owns as fast as it can and writes
//! down every act, on the clock that all processes of a machine have in common; the acts are the oracle.

mod acts;
mod member;

use serde_json::json;

use crate::rig::PATIENCE;
use crate::rig::api_proxy::{ApiProxy, Fault};
use crate::rig::control_plane::shared;
use acts::RANGES;
use member::{LEASE, Scene, now};

#[test]
fn a_killed_process_is_made_up_for() {
    let Some(mut scene) = Scene::start("shards-kill") else { return };
    let [a, b, c] = ["a", "b", "c"].map(|name| scene.join(name));
    scene.wait_balance(&[&a, &b, &c]);
    let kill = scene.kill(&b);
    scene.wait_balance(&[&a, &c]);
    let acts = scene.acts();
    acts.assert_one_owner_at_a_time();
    for range in acts.held_at(&b, kill) {
        let last = acts.last_of(&b, range);
        let (alone, late) = acts.gap_after(range, last, kill);
        // What the others saw last cannot have been older than the last renewal, three renewals a deadline.
        assert!(alone > LEASE / 2, "{range} was taken over {alone:?} after its owner's last act");
        println!("{range}: taken over {late:?} after the kill");
    }
}

#[test]
fn a_paused_process_does_nothing_when_it_goes_on() {
    let Some(mut scene) = Scene::start("shards-pause") else { return };
    let [a, b] = ["a", "b"].map(|name| scene.join(name));
    scene.wait_balance(&[&a, &b]);
    scene.signal(&a, "STOP");
    scene.wait_balance(&[&b]);
    scene.signal(&a, "CONT");
    // It joins again, with claims of its own.
    scene.wait_balance(&[&a, &b]);
    scene.acts().assert_one_owner_at_a_time();
}

#[test]
fn whoever_is_cut_off_stops_by_its_own_clock() {
    let Some(mut scene) = Scene::start("shards-cut-off") else { return };
    let proxy = ApiProxy::start(scene.plane());
    let a = scene.join_through("a", &proxy);
    let b = scene.join("b");
    scene.wait_balance(&[&a, &b]);
    proxy.freeze();
    scene.wait_balance(&[&b]);
    proxy.thaw();
    scene.wait_balance(&[&a, &b]);
    scene.acts().assert_one_owner_at_a_time();
}

#[test]
fn whoever_ends_in_order_hands_over_first() {
    let Some(mut scene) = Scene::start("shards-end") else { return };
    let [a, b, c] = ["a", "b", "c"].map(|name| scene.join(name));
    scene.wait_balance(&[&a, &b, &c]);
    let end = now();
    scene.end(&c);
    scene.wait_balance(&[&a, &b]);
    let acts = scene.acts();
    acts.assert_one_owner_at_a_time();
    for range in acts.held_at(&c, end) {
        let last = acts.last_of(&c, range);
        let (gap, _) = acts.gap_after(range, last, end);
        println!("{range}: handed over within {gap:?}");
        assert!(gap < LEASE, "{range} was left to run out: {gap:?}");
    }
    // Its sign of life went with it.
    let names = scene.lease_names();
    assert_eq!(names.iter().filter(|name| name.contains("-member-")).count(), 2, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.contains("-range-")).count(), usize::from(RANGES), "{names:?}");
}

#[test]
fn lost_answers_are_found_again() {
    let Some(mut scene) = Scene::start("shards-lost") else { return };
    let proxy = ApiProxy::start(scene.plane());
    // Whatever is written: every other answer never comes.
    let mut count = 0;
    proxy.script(move |call| {
        count += usize::from(call.is_write());
        (call.is_write() && count.is_multiple_of(2)).then_some(Fault::LoseAnswer)
    });
    let a = scene.join_through("a", &proxy);
    scene.wait_balance(&[&a]);
    proxy.behave();
    let b = scene.join("b");
    scene.wait_balance(&[&a, &b]);
    scene.acts().assert_one_owner_at_a_time();
}

#[test]
fn deleted_and_forged_leases_give_nobody_a_second_owner() {
    let Some(mut scene) = Scene::start("shards-forged") else { return };
    let [a, b] = ["a", "b"].map(|name| scene.join(name));
    scene.wait_balance(&[&a, &b]);
    let names: Vec<_> = scene.lease_names().into_iter().filter(|name| name.contains("-range-")).collect();
    scene.api().delete(&scene.lease(&names[0])).ok();
    let forged = json!({"spec": {"holderIdentity": "stranger"}});
    scene.api().merge(&scene.lease(&names[1]), &forged).ok();
    let cleared = json!({"spec": {"holderIdentity": null}});
    scene.api().merge(&scene.lease(&names[2]), &cleared).ok();
    // The stranger never renews: its Lease is taken over in the end.
    scene.api().wait_for(&scene.lease(&names[1]), "another holder", |lease| {
        (lease["spec"]["holderIdentity"].as_str()? != "stranger").then_some(())
    });
    scene.wait_balance(&[&a, &b]);
    scene.acts().assert_one_owner_at_a_time();
    let made_again = scene.api().get(&scene.lease(&names[0])).ok();
    assert_eq!(made_again["spec"]["leaseDurationSeconds"], json!(LEASE.as_secs()));
}

#[test]
fn without_rights_it_says_which_are_missing() {
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use std::sync::Arc;

    use pollinator::operator::outage_log::OutageLog;
    use pollinator::operator::shards::lease::{self, Trouble};
    use pollinator::operator::shards::{Shards, ShardsConfig};

    let Some(plane) = shared() else { return };
    let ns = plane.namespace("shards-rights");
    let file = Kubeconfig::read_from(ns.kubeconfig_as("nobody")).unwrap();
    plane.runtime().block_on(async {
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        let shutdown = tokio_util::sync::CancellationToken::new();
        let client = lease::client(config).unwrap();
        let config = ShardsConfig::new(ns.name(), "nobody");
        let (mut shards, _drains) = Shards::start(client, &config, Arc::new(OutageLog::new("")), shutdown.clone()).unwrap();
        let mut health = shards.health();
        let told = health.wait_for(|health| health.trouble.is_some());
        let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().clone();
        assert_eq!(told.trouble, Some(Trouble::Forbidden("list")));
        shutdown.cancel();
        shards.ended().await.unwrap();
    });
}
