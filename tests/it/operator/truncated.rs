//! Answers of the API server that end too early: what is in them is in no log.

use crate::rig::api_proxy::Fault;
use crate::rig::control_plane::shared;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;
use crate::rig::{canary, manifest};

/// Reads and lists Secrets, whose answers are cut, until both were tried again.
fn suffer(cluster: &Cluster<'_>, log: &str) -> Pollinator {
    cluster.proxy.script(|call| (call.resource == "secrets" && call.verb != "watch").then_some(Fault::CutAnswer));
    let before = cluster.proxy.calls().len();
    let operator = cluster.start_with(&["--log", log]);
    let of = ["get", "list"];
    cluster.proxy.wait("each answer is cut and asked for again", |calls| {
        let count =
            |verb: &str| calls[before..].iter().filter(|call| call.is(verb, "secrets") && call.status.is_some()).count();
        of.iter().all(|verb| count(verb) >= 2).then_some(())
    });
    cluster.proxy.behave();
    cluster.wait_ready("it");
    let output = operator.stderr() + &operator.stdout();
    assert_eq!(canary::find_in_output(&output), None, "{log}: {output}");
    operator
}

#[test]
fn secrets_in_answers_that_are_cut_are_in_no_log_and_no_condition() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "truncated");
    // as people create them: with all values in an annotation
    let login = manifest::login().replace("namespace: it", &format!("namespace: {}", cluster.ns.name()));
    cluster.ns.apply(&login);
    let secrets = cluster.ns.api().get(&cluster.ns.core("secrets")).ok().to_string();
    assert!(secrets.contains("last-applied-configuration") && canary::find_in(&secrets).is_some());
    cluster.apply(&cluster.instance());
    for log in ["info", "debug", "trace"] {
        let mut operator = suffer(&cluster, log);
        assert!(operator.sigterm().success());
        let shown = cluster.ns.get_instance("it").to_string();
        assert_eq!(canary::find_in(&shown), None, "{shown}");
    }
    let events = cluster.ns.api().get(&cluster.ns.group("events.k8s.io/v1", "events")).ok().to_string();
    assert_eq!(canary::find_in(&events), None, "{events}");
}
