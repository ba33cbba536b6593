//! An API server that is behind, whose lists end early, whose writes queue, and that has room for nothing more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kept::by_content;
use crate::rig::PATIENCE;
use crate::rig::api_proxy::{Call, Fault, WatchFault};
use crate::rig::control_plane::{shared, shared_with_controllers};
use crate::rig::history::History;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::rig::oracle;
use crate::rig::provider;
use crate::rig::scene::ids;

const INSTANCES: &str = "connectorinstances";
const STATUS: &str = "connectorinstances/status";

/// The everyday instance under another name, whose events come under that name, too.
fn called(cluster: &Cluster<'_>, name: &str) -> Instance {
    Instance { name: name.to_owned(), callback_url: cluster.receiver.url(name), ..cluster.instance() }
}

/// Has the next event about an instance end its watch, so that all are listed anew.
fn expire_watch(cluster: &Cluster<'_>) {
    let mut once = true;
    cluster.proxy.watch_script(move |call, event| {
        (call.resource == INSTANCES && event.kind == "MODIFIED" && std::mem::take(&mut once)).then_some(WatchFault::Expire)
    });
}

fn lists(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.is("list", INSTANCES) && call.status == Some(200)).count()
}

#[test]
fn a_list_whose_next_page_is_gone_begins_again_and_forgets_no_instance() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "pages");
    let names = ["a", "b", "c"];
    for name in names {
        cluster.apply(&called(&cluster, name));
    }
    // Each page has one instance, and twice the server no longer knows how to go on.
    let mut gone = 0;
    cluster.proxy.script(move |call| match (call.is("list", INSTANCES), call.target.contains("continue=")) {
        (true, true) if gone < 2 => {
            gone += 1;
            Some(Fault::Answer(410))
        }
        (true, _) => Some(Fault::PageOf(1)),
        _ => None,
    });
    let operator = cluster.start();
    for name in names {
        cluster.wait_ready(name);
    }
    let of =
        |status| cluster.proxy.calls().iter().filter(|call| call.is("list", INSTANCES) && call.status == Some(status)).count();
    assert_eq!(of(410), 2);
    assert!(of(200) >= 2 + names.len(), "{} pages", of(200));
    // The same while it runs: what was listed before the break is not taken for all there is.
    let (mut gone, listed) = (0, lists(&cluster.proxy.calls()));
    cluster.proxy.script(move |call| match (call.is("list", INSTANCES), call.target.contains("continue=")) {
        (true, true) if gone < 1 => {
            gone += 1;
            Some(Fault::Answer(410))
        }
        (true, _) => Some(Fault::PageOf(1)),
        _ => None,
    });
    expire_watch(&cluster);
    cluster.provider.create("first");
    cluster.proxy.wait("another list", |calls| (lists(calls) > listed + names.len()).then_some(()));
    cluster.provider.create("second");
    for name in names {
        let verdict = crate::rig::settle(&cluster.receiver, name, || cluster.provider.truth(), provider::version);
        crate::rig::assert_perfect(&verdict, &operator, name);
    }
}

#[test]
fn a_server_that_is_behind_moves_no_cursor_back_and_brings_no_old_callback_back() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "behind");
    let versions = History::watch(cluster.ns.api(), &cluster.ns.instances());
    let mut operator = cluster.begin();
    cluster.provider.create("first");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    // The server will be behind as of now.
    let listed = lists(&cluster.proxy.calls());
    cluster.proxy.remember();
    expire_watch(&cluster);
    cluster.provider.create("second");
    cluster.proxy.wait("a list to remember", |calls| (lists(calls) > listed).then_some(()));
    cluster.wait_status("/delivered", &json!(2));
    cluster.proxy.behave();
    let edited = Instance { callback_url: cluster.receiver.url("new"), ..cluster.instance() };
    cluster.apply(&edited);
    cluster.apply(&called(&cluster, "beside"));
    cluster.wait_ready("beside");
    let arrives = |object: &str, name: &str| {
        let found = cluster.receiver.try_wait(name, PATIENCE, |posts| {
            posts.iter().any(|post| post.accepted() && post.events().iter().any(|event| event.object == object)).then_some(())
        });
        found.unwrap_or_else(|| panic!("{object} does not come to {name}\n{}", operator.report("it")));
    };
    cluster.provider.create("third");
    for name in ["new", "beside"] {
        arrives("third", name);
    }

    // Its lists are behind: of the old spec, and without the instance that is new. What is read one by one is not.
    let old = cluster.receiver.posts("it").len();
    cluster.proxy.script(|call| call.is("list", INSTANCES).then_some(Fault::Earlier));
    let listed = lists(&cluster.proxy.calls());
    expire_watch(&cluster);
    cluster.provider.create("fourth");
    cluster.proxy.wait("an old list", |calls| (lists(calls) > listed).then_some(()));
    cluster.provider.create("fifth");
    for name in ["new", "beside"] {
        arrives("fifth", name);
    }
    assert_eq!(cluster.receiver.posts("it").len(), old, "nothing goes to the old callback");
    // Nothing that decides is asked for from a cache.
    let cached = |call: &&Call| call.is("get", INSTANCES) && call.target.contains("resourceVersion");
    assert!(cluster.proxy.calls().iter().find(cached).is_none());

    // All that it answers is behind, as no server's may be: what was learnt from it can be stored nowhere.
    assert!(operator.sigterm().success());
    cluster.proxy.behave();
    cluster.proxy.script(|call| match &*call.verb {
        "get" | "list" if call.resource == INSTANCES => Some(Fault::Earlier),
        "watch" if call.resource == INSTANCES => Some(Fault::Hold),
        _ => None,
    });
    let operator = cluster.start();
    cluster.provider.create("sixth");
    cluster.proxy.wait("a refused write", |calls| {
        calls.iter().any(|call| call.is("update", STATUS) && call.status == Some(409)).then_some(())
    });
    cluster.proxy.behave();
    cluster.provider.create("seventh");
    let all_come = cluster.receiver.try_wait("new", PATIENCE, |posts| {
        let has = |object: &str| posts.iter().any(|post| post.accepted() && post.events().iter().any(|e| e.object == object));
        // of two objects either may come first
        (has("sixth") && has("seventh")).then_some(())
    });
    all_come.unwrap_or_else(|| panic!("it does not catch up\n{}", operator.report("it")));
    let delivered: Vec<_> = ["it", "new"].iter().flat_map(|name| cluster.receiver.delivered(name)).collect();
    let verdict = oracle::judge(&cluster.provider.truth(), &delivered, provider::version);
    assert!(verdict.is_sound(), "{verdict}\n{}", operator.report("it"));
    println!("behind: {} versions, {} twice", versions.assert_cursors_rise().0, verdict.duplicates.len());
}

#[test]
fn claims_are_renewed_while_no_write_of_a_status_is_answered() {
    const FLOOD: usize = 30;
    /// Renewals of one claim that take longer than a lease: each two ninths of it after the last.
    const RENEWALS: usize = 8;
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "flood");
    let versions = History::watch(cluster.ns.api(), &cluster.ns.instances());
    (0..FLOOD).for_each(|number| cluster.create(&called(&cluster, &format!("flood-{number}"))));
    let operator = cluster.start_with(&["--lease-duration", "8s"]);
    let is_ready = |instance: &Value| {
        let conditions = instance["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    versions.wait_each(FLOOD, PATIENCE, is_ready).expect("all are ready");
    cluster.proxy.script(|call| (call.resource == INSTANCES || call.resource == STATUS).then_some(Fault::Hold));
    let before = cluster.proxy.calls().len();
    cluster.provider.create("flood");
    cluster.proxy.wait("claims are renewed for longer than a lease", |calls| {
        let mut renewed: BTreeMap<&str, usize> = BTreeMap::new();
        for call in calls[before..].iter().filter(|call| call.is("patch", "leases") && call.status == Some(200)) {
            *renewed.entry(&call.name).or_default() += 1;
        }
        (!renewed.is_empty() && renewed.values().all(|count| *count >= RENEWALS)).then_some(())
    });
    assert!(!operator.stderr().contains("range lost"), "{}", operator.stderr());
    cluster.proxy.behave();
    for number in 0..FLOOD {
        let name = format!("flood-{number}");
        let verdict = crate::rig::settle(&cluster.receiver, &name, || cluster.provider.truth(), provider::version);
        crate::rig::assert_perfect(&verdict, &operator, &name);
    }
}

#[test]
fn a_quota_that_is_used_up_is_told_and_what_waits_is_stored_once_there_is_room() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "quota");
    let path = cluster.ns.core("resourcequotas");
    let (none, one) = (json!({"count/configmaps": "0"}), "count~1configmaps");
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": none}});
    cluster.ns.api().create(&path, &quota).ok();
    cluster.ns.api().wait_for(&format!("{path}/none"), "the quota is in force", |quota| {
        quota.pointer(&format!("/status/used/{one}")).map(drop)
    });
    cluster.provider.baseline(ids("old", 1000));
    cluster.apply(&by_content(&cluster));
    let operator = cluster.start();
    let message = cluster.ns.wait_condition("it", "Ready", "False", "StateUnavailable");
    assert!(message.contains("a ResourceQuota of the namespace is used up"), "{message}");
    assert!(cluster.owned("configmaps").is_empty());
    cluster.ns.api().delete(&format!("{path}/none")).ok();
    cluster.wait_ready("it");
    cluster.provider.create("new");
    cluster.assert_perfect(&operator);
    assert!(!cluster.owned("configmaps").is_empty());
}
