//! The same in a cluster: statuses, `ConfigMaps` and a Secret that 0.1.0 left are given to an operator of this version.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use pollinator::api::identity::InstanceRef;
use pollinator::instances::Instances as _;
use pollinator::state::wish::{Parked, Wish};
use serde_json::{Value, json};

use super::{BY_CONTENT, beginning, fixtures};
use crate::control_plane::instances::instances;
use crate::rig::control_plane::shared;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::rig::oracle::{self, Delivered};
use crate::rig::provider::{self, Provider};
use crate::rig::scene::ids;

/// What is known fits into the status; in `ConfigMaps`; and a Secret holds an event.
const INSTANCES: [&str; 3] = ["dated", "content", "waiting"];
/// Id of an event that is parked, and of its object, which is no longer listed.
const PARKED: &str = "parked";
/// Members of an object that belong to one server.
const OF_SERVER: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"];

fn folder() -> PathBuf {
    fixtures().join("cluster")
}

/// All instances poll one provider, at an address of its own: the origin is a part of what a cursor means.
fn provider() -> Provider {
    Provider::start_at(SocketAddr::from(([127, 77, 1, 9], 18_401)))
}

fn instance(cluster: &Cluster<'_>, name: &str) -> Instance {
    let mut instance = cluster.instance();
    if name == "content" {
        instance = instance.resource(BY_CONTENT);
    }
    (instance.name, instance.callback_url) = (name.to_owned(), cluster.receiver.url(name));
    instance
}

fn strip(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for member in OF_SERVER {
        metadata.remove(member);
    }
}

/// Puts what the released version left into the namespace, as the state of instances that are new to this server.
fn restore(cluster: &Cluster<'_>) {
    let kept: Value = serde_json::from_str(&read("objects.json")).expect("JSON");
    for name in INSTANCES {
        cluster.create(&instance(cluster, name));
        let uid = cluster.ns.get_instance(name)["metadata"]["uid"].clone();
        for kind in ["configmaps", "secrets"] {
            let owned = |object: &&Value| object["metadata"]["ownerReferences"][0]["name"] == name;
            for mut part in kept[kind].as_array().into_iter().flatten().filter(owned).cloned() {
                part["metadata"]["ownerReferences"][0]["uid"] = uid.clone();
                cluster.ns.api().create(&cluster.ns.core(kind), &part).ok();
            }
        }
        cluster.ns.edit_status(name, |status| *status = kept["statuses"][name].clone());
    }
}

fn read(file: &str) -> String {
    let path = folder().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn wait_delivered(cluster: &Cluster<'_>, name: &str, count: u64) -> Value {
    cluster.ns.wait_instance(name, &format!("{count} delivered"), |one| {
        (one["status"]["delivered"] == count).then(|| one["status"].clone())
    })
}

#[test]
fn statuses_and_what_stands_beside_them_go_on() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::with(plane, "taken-over", provider().page_size(200).goes_on(&read("provider.json")));
    restore(&cluster);
    let sent: BTreeMap<String, Vec<Delivered>> = serde_json::from_str(&read("sent.json")).expect("what was sent");
    let before = INSTANCES.map(|name| cluster.ns.get_instance(name)["status"].clone());

    let operator = cluster.start();
    for name in INSTANCES {
        cluster.wait_ready(name);
    }
    cluster.provider.wait_polled(2 * INSTANCES.len());
    assert_eq!(cluster.receiver.count(), 0, "nothing is sent again\n{}", operator.stderr());

    cluster.provider.update("old-00003");
    cluster.provider.create("taken-over");
    cluster.provider.delete("new-00001");
    cluster.provider.pass(TimeDelta::hours(3));
    cluster.provider.update("new-00002");
    // as the API and the console do it
    let (service, of) = (instances(&cluster.ns, cluster.ns.kubeconfig(), None), InstanceRef::new(cluster.ns.name(), "waiting"));
    let waits = plane.runtime().block_on(service.waiting(&of)).expect("what waits");
    let parked: Vec<_> =
        waits.iter().filter(|event| event.is_parked()).map(|event| (&*event.object, event.event.as_str())).collect();
    assert_eq!(parked, [(PARKED, PARKED)], "{waits:?}");
    let again = Wish::Redeliver(Parked { resource: "records".to_owned(), event: Some(PARKED.to_owned()) });
    plane.runtime().block_on(service.ask(&of, again)).expect("it is asked for");
    for (name, before) in INSTANCES.iter().zip(before) {
        let more = if *name == "waiting" { 5 } else { 4 };
        let after = wait_delivered(&cluster, name, before["delivered"].as_u64().expect("a counter") + more);
        let (parked, new): (Vec<_>, Vec<_>) =
            cluster.receiver.delivered(name).into_iter().partition(|event| event.object == PARKED);
        assert_eq!(parked.iter().map(|event| event.event_id.as_str()).collect::<Vec<_>>(), vec![PARKED; parked.len()]);
        assert_eq!(parked.len(), usize::from(*name == "waiting"), "{name}");
        let all: Vec<_> = sent[*name].iter().cloned().chain(new).collect();
        let verdict = oracle::judge(&cluster.provider.truth(), &all, provider::version);
        assert!(verdict.is_perfect(), "{name}:\n{verdict}\n{}", operator.report(name));
        assert!(after["resources"][0]["resetReason"].is_null(), "{name}: {after}");
        let since = |status: &Value| status["resources"][0]["cursor"]["since"].as_str().map(str::to_owned);
        assert!(since(&after) >= since(&before), "{name}: {before} {after}");
    }
    cluster.ns.wait_instance("waiting", "none parked", |one| (one["status"]["parked"] == 0).then_some(()));
}

#[test]
#[ignore = "writes fixtures with a released binary"]
fn make_fixtures_of_a_cluster() {
    let plane = shared().expect("a control plane");
    let released = env::var("POLLINATOR_RELEASED").expect("POLLINATOR_RELEASED names a released binary");
    let cluster = Cluster::with(plane, "released", provider().clock_at(beginning()).page_size(200));
    cluster.provider.baseline(ids("old", 500));
    for name in INSTANCES {
        cluster.apply(&instance(&cluster, name));
    }
    let mut operator = cluster.start_released(&released);
    for name in INSTANCES {
        cluster.wait_ready(name);
    }
    cluster.provider.pass(TimeDelta::minutes(1));
    cluster.provider.create_all(ids("new", 30));
    for name in INSTANCES {
        wait_delivered(&cluster, name, 30);
    }
    assert!(operator.sigterm().success());

    park(&cluster);
    cluster.provider.pass(TimeDelta::minutes(1));
    cluster.provider.create_all(ids("last", 10));
    let mut operator = cluster.start_released(&released);
    for name in INSTANCES {
        wait_delivered(&cluster, name, 40);
    }
    cluster.ns.wait_condition("waiting", "EventsWaiting", "True", "EventsParked");
    assert!(operator.sigterm().success());
    write(&cluster);
}

/// To be refused until it is parked takes an event hours: this is what is left then.
fn park(cluster: &Cluster<'_>) {
    let object = cluster.ns.get_instance("waiting");
    let event = json!({
        "id": PARKED, "kind": "created", "resource": "records", "objectId": PARKED,
        "detectedAt": "2026-11-24T10:00:00Z", "data": {"id": PARKED, "version": 1}
    });
    let ledger = json!([4, [{"object": 7, "event": event, "attempts": 5, "refusals": 5}]]);
    let secret = json!({
        "metadata": {"name": "waiting-set-aside-events", "ownerReferences": [{
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "name": "waiting",
            "uid": object["metadata"]["uid"]
        }]},
        "stringData": {"events.json": ledger.to_string()}
    });
    cluster.ns.api().create(&cluster.ns.core("secrets"), &secret).ok();
    cluster.ns.edit_status("waiting", |status| {
        let mut bookkeeping: Value = serde_json::from_str(status["bookkeeping"].as_str().expect("bookkeeping")).expect("JSON");
        bookkeeping["ledger"] = json!(4);
        status["bookkeeping"] = json!(bookkeeping.to_string());
    });
}

/// What the operator left, without what belongs to this server.
fn write(cluster: &Cluster<'_>) {
    let mut kept = json!({"statuses": {}});
    for name in INSTANCES {
        kept["statuses"][name] = cluster.ns.get_instance(name)["status"].clone();
    }
    for kind in ["configmaps", "secrets"] {
        let objects = cluster.owned(kind).into_iter().map(|(name, _)| {
            let mut object = cluster.ns.api().get(&cluster.ns.core(&format!("{kind}/{name}"))).ok();
            strip(&mut object);
            object
        });
        kept[kind] = objects.collect();
    }
    let sent: BTreeMap<_, _> = INSTANCES.iter().map(|name| (*name, cluster.receiver.delivered(name))).collect();
    fs::create_dir_all(folder()).expect("the fixture");
    let put = |file: &str, text: String| fs::write(folder().join(file), text + "\n").expect("the fixture");
    put("objects.json", serde_json::to_string_pretty(&kept).expect("JSON"));
    put("sent.json", serde_json::to_string_pretty(&sent).expect("JSON"));
    put("provider.json", cluster.provider.keep());
}
