//! What it delivers, what it writes for it, and what a restart repeats.

use serde_json::{Value, json};

use crate::rig::control_plane::shared;
use crate::rig::operator::{Cluster, health};
use crate::rig::scene::ids;

#[test]
fn changes_are_delivered_and_the_status_tells_of_them() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "everyday");
    let operator = cluster.begin();
    cluster.provider.create_all(ids("r", 30));
    cluster.provider.update("r-00003");
    cluster.assert_perfect(&operator);
    cluster.provider.delete("r-00004");
    cluster.assert_stays_perfect(&operator);

    let delivered = cluster.receiver.count();
    let status = cluster.wait_status("/delivered", &json!(delivered));
    assert_eq!((&status["parked"], &status["setAside"], &status["observedGeneration"]), (&json!(0), &json!(0), &json!(1)));
    assert!(status["lastChangeTime"].is_string() && status["resources"][0]["cursor"]["since"].is_string(), "{status}");
    // what people and pipelines use
    cluster.ns.kubectl(&["wait", "--for=condition=Ready", "--timeout=10s", "coni/it"]).ok();
    let table = cluster.ns.kubectl(&["get", "coni", "it"]).ok();
    assert!(table.contains("True") && table.contains("Polling") && table.contains(&delivered.to_string()), "{table}");
    assert!(cluster.wait_event("Polling").contains("polled"));
    assert_eq!((health(&operator, "/livez"), health(&operator, "/readyz")), (200, 200));
}

#[test]
fn an_idle_poll_writes_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "idle");
    let operator = cluster.begin();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    cluster.provider.wait_polled(2);
    let calls = cluster.proxy.calls().len();
    cluster.provider.wait_polled(3);
    let later = cluster.proxy.calls();
    // a watch that ends by its own time is begun again, and claims are renewed; nothing else is asked
    let others: Vec<_> = later[calls..].iter().filter(|call| call.verb != "watch" && call.resource != "leases").collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_new_instance_costs_few_writes_and_a_restart_none() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "writes");
    let mut operator = cluster.begin();
    cluster.provider.wait_polled(1);
    let statuses = cluster.statuses_written();
    // that it is starting, its first cursor, that it is ready; the first two in one unless the machine is too busy to poll at once
    assert!((1..=3).contains(&statuses.len()), "{statuses:#?}");
    let told = |status: &Value| {
        let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready").cloned();
        (ready.map(|ready| ready["status"].clone()), status["resources"][0]["cursor"]["since"].clone())
    };
    let told: Vec<_> = statuses.iter().map(told).collect();
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "each write tells something new: {told:?}");
    assert_eq!(cluster.writes() - statuses.len(), 1, "a probe whether the CRD keeps what is stored");
    // the first event also shows that the callback accepts events
    cluster.provider.create("first");
    cluster.assert_perfect(&operator);
    cluster.ns.wait_condition("it", "CallbackReachable", "True", "Delivering");
    assert!(operator.sigterm().success());
    let writes = cluster.writes();

    let before = cluster.ns.get_instance("it");
    let operator = cluster.start();
    cluster.provider.wait_polled(2);
    cluster.provider.create("after");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(2));
    let all = cluster.writes();
    // one probes whether the CRD keeps what is stored, one stores the change
    assert!(all - writes <= 2, "{:?}", cluster.proxy.calls());
    let after = cluster.ns.get_instance("it");
    assert_eq!(after["status"]["conditions"], before["status"]["conditions"], "nothing changed for a reader");
}

#[test]
fn a_restart_after_sigterm_repeats_and_loses_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "restart");
    let mut operator = cluster.begin();
    for round in 0..3 {
        cluster.provider.create_all(ids(&format!("round{round}"), 150));
        cluster.wait_posts(round * 150 + 20, &operator);
        // in the middle of delivering
        assert!(operator.sigterm().success());
        operator = cluster.start();
    }
    cluster.assert_perfect(&operator);
}

#[test]
fn a_kill_repeats_little_and_loses_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "kill");
    let mut operator = cluster.begin();
    cluster.provider.create_all(ids("r", 600));
    cluster.wait_posts(300, &operator);
    operator.kill9();
    let _operator = cluster.start();
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}");
    assert!(verdict.duplicates.len() <= 256, "{verdict}");
}
