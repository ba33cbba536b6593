//! The API server misbehaves, is away, or answers too late.

use std::collections::HashMap;

use serde_json::json;

use crate::rig::api_proxy::{Fault, WatchFault};
use crate::rig::control_plane::shared;
use crate::rig::manifest::Instance;
use crate::rig::operator::{Cluster, metric};
use crate::rig::scene::ids;

#[test]
fn conflicts_are_read_again_and_cost_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "conflicts");
    let operator = cluster.begin();
    // every other status write meets somebody who was faster
    let mut turn = 0;
    cluster.proxy.script(move |call| {
        turn += usize::from(call.is("update", "connectorinstances/status"));
        (call.is("update", "connectorinstances/status") && turn % 2 == 1).then_some(Fault::Answer(409))
    });
    cluster.provider.create_all(ids("r", 300));
    cluster.assert_stays_perfect(&operator);
    cluster.wait_status("/delivered", &json!(300));
    // and they are counted as what they are: some of the writes have conditions alone, which are no commits
    let refused = cluster.proxy.calls().iter().filter(|call| call.is("update", "connectorinstances/status")).count() / 2 + 1;
    let counted = |outcome: &str| metric(&operator, &format!("pollinator_commits_total{{outcome=\"{outcome}\"}}"));
    let conflicts = counted("conflict");
    assert!((1.0..=f64::from(u32::try_from(refused).unwrap())).contains(&conflicts), "{conflicts} of {refused}");
    assert!(counted("stored") > 0.0 && counted("failed") == 0.0);
}

#[test]
fn an_answer_that_is_lost_is_no_foreign_write() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "lost");
    cluster.provider.baseline(ids("old", 300));
    let by_content = "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}\n";
    cluster.apply(&cluster.instance().resource(by_content));
    let operator = cluster.start();
    cluster.wait_ready("it");
    // status and blobs alike: each first try of a write is done, and its answer is lost
    let mut seen: HashMap<String, usize> = HashMap::new();
    cluster.proxy.script(move |call| {
        if !call.is_write() || call.resource == "events" {
            return None;
        }
        let tries = seen.entry(format!("{} {}", call.resource, call.name)).or_default();
        *tries += 1;
        (*tries % 2 == 1).then_some(Fault::LoseAnswer)
    });
    cluster.provider.create_all(ids("r", 40));
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", operator.report("it"));
    cluster.wait_status("/delivered", &json!(40));
    assert!(!operator.stderr().contains("another writer"), "{}", operator.stderr());
    cluster.proxy.behave();
    cluster.provider.create("after");
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}");
}

#[test]
fn a_server_that_is_away_stops_nothing_but_what_must_be_stored() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "away");
    let mut operator = cluster.begin();
    cluster.proxy.script(|call| (!matches!(&*call.resource, "events" | "leases")).then_some(Fault::Answer(503)));
    cluster.proxy.cut();
    cluster.provider.create_all(ids("r", 400));
    // no more than a crash may repeat
    cluster.wait_posts(1, &operator);
    operator.wait_stderr("does not store the state");
    let tries = cluster.proxy.calls().len();
    cluster.proxy.wait("it tries again", |calls| {
        (calls[tries..].iter().filter(|call| call.is("get", "connectorinstances")).count() >= 2).then_some(())
    });
    assert!(cluster.receiver.count() <= 256, "{} requests", cluster.receiver.count());
    assert_eq!(crate::rig::operator::health(&operator, "/livez"), 200);
    cluster.proxy.behave();
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(400));
    assert!(operator.sigterm().success());
}

#[test]
fn whoever_cannot_renew_its_claims_stops_and_begins_anew() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "claims");
    let operator = cluster.begin();
    cluster.proxy.freeze();
    operator.wait_stderr("range lost");
    let (asked, posts) = (cluster.provider.asked(), cluster.receiver.count());
    cluster.provider.create_all(ids("r", 10));
    // another process takes over meanwhile, and nobody else does anything
    let other = cluster.start_beside();
    cluster.wait_posts(posts + 10, &other);
    assert!(cluster.provider.asked() > asked);
    cluster.proxy.thaw();
    cluster.provider.create("after");
    let verdict = cluster.verdict();
    assert!(verdict.is_perfect(), "{verdict}\n{}", other.report("it"));
}

#[test]
fn sigterm_while_the_server_is_away_ends_within_the_grace() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "term");
    cluster.apply(&cluster.instance());
    let mut operator = cluster.start_with(&["--grace", "3s"]);
    cluster.wait_ready("it");
    cluster.proxy.freeze();
    cluster.provider.create_all(ids("r", 20));
    cluster.wait_posts(20, &operator);
    assert!(operator.sigterm().success());
    cluster.proxy.thaw();
    let operator = cluster.start();
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", operator.report("it"));
}

#[test]
fn a_watch_that_is_cut_expires_or_forgets_catches_up() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "watch");
    let operator = cluster.begin();
    let suspend = |value: bool| {
        let patch = format!(r#"{{"spec": {{"suspend": {value}}}}}"#);
        cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", &patch]).ok();
    };
    for fault in [WatchFault::Cut, WatchFault::Expire] {
        let mut once = true;
        cluster.proxy.watch_script(move |call, event| {
            (call.resource == "connectorinstances" && event.kind == "MODIFIED" && std::mem::take(&mut once)).then_some(fault)
        });
        suspend(true);
        cluster.ns.wait_condition("it", "Ready", "True", "Suspended");
        cluster.proxy.behave();
        suspend(false);
        cluster.wait_ready("it");
    }
    // deleted while nobody looks
    let mut beside = cluster.instance();
    beside.name = "beside".to_owned();
    cluster.apply(&beside);
    cluster.wait_ready("beside");
    cluster.proxy.script(|call| (call.verb == "watch" || call.verb == "list").then_some(Fault::Answer(500)));
    cluster.proxy.cut();
    cluster.ns.kubectl(&["delete", "coni", "beside"]).ok();
    cluster.proxy.behave();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
}

#[test]
fn a_forbidden_secret_names_the_permission() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "forbidden");
    cluster.proxy.script(|call| call.is("get", "secrets").then_some(Fault::Answer(403)));
    cluster.apply(&cluster.instance());
    let _operator = cluster.start();
    let message = cluster.ns.wait_condition("it", "Ready", "False", "SecretUnreadable");
    assert!(message.contains("allow it get on secrets"), "{message}");
}

#[test]
fn an_instance_whose_status_is_refused_stops_no_other() {
    const STATUS: &str = "connectorinstances/status";
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "refused-one");
    cluster.proxy.script(|call| (call.is("update", STATUS) && call.target.contains("/bad/")).then_some(Fault::Answer(422)));
    let bad = Instance { name: "bad".to_owned(), ..cluster.instance() };
    cluster.apply(&bad);
    // the first that is read, and all that this process has seen of the definition
    let operator = cluster.start();
    operator.wait_stderr("the API server refuses to store a state");
    cluster.apply(&cluster.instance());
    cluster.wait_ready("it");
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    let stderr = operator.stderr();
    assert!(!stderr.contains("the installed CRD"), "{stderr}");
}

#[test]
fn a_status_that_is_always_refused_is_told_and_makes_no_hot_loop() {
    const STATUS: &str = "connectorinstances/status";
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "refused-status");
    let operator = cluster.begin();
    let tries = || cluster.proxy.count("update", STATUS);
    cluster.proxy.script(|call| call.is("update", STATUS).then_some(Fault::Answer(403)));
    let (before, begun) = (tries(), std::time::Instant::now());
    cluster.provider.create("a");
    cluster.wait_posts(1, &operator);
    operator.wait_stderr("the operator is not permitted to store or read the state of this instance");
    // what was delivered must be stored before anything else is asked for
    cluster.proxy.wait("another try", |calls| {
        (calls.iter().filter(|call| call.is("update", STATUS)).count() >= before + 3).then_some(())
    });
    let most = 4 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(tries() - before <= most, "{} tries, at most {most}", tries() - before);
    cluster.proxy.behave();
    cluster.provider.create("b");
    cluster.wait_status("/delivered", &json!(2));
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}");
}
