//! Deletions by complete readings of the list, with their state in the cluster.

use std::collections::BTreeSet;

use crate::deletes::{Provider, deleted, told};
use crate::rig::PATIENCE;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::operator::Cluster;

#[test]
fn deletions_that_wait_outlive_the_operator_and_an_annotation_lets_them_pass() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "sweeps");
    // so many that their ids stand in ConfigMaps
    let provider = Provider::start(1..=120);
    cluster.apply(&provider.filtered(&cluster.receiver, ""));
    let mut operator = cluster.start();
    cluster.wait_ready("it");
    assert!(!cluster.owned("configmaps").is_empty());
    provider.remove(1..=60);
    let state = |part: &str| {
        cluster.ns.wait_instance("it", part, |instance| {
            let sweep = instance.pointer("/status/resources/0/cursor/sweep")?.as_str()?;
            sweep.contains(part).then_some(())
        });
    };
    state("\"missing\":60");
    assert!(operator.sigterm().success());
    let operator = cluster.start();
    state("\"held\":60");
    let message = cluster.ns.wait_instance("it", "DeletesHeld", |instance| {
        let conditions = instance.pointer("/status/resources/0/conditions")?.as_array()?;
        let held = conditions.iter().find(|condition| condition["reason"] == "DeletesHeld")?;
        Some(held["message"].as_str()?.to_owned())
    });
    assert!(message.contains("at least 50 records, about 50 % of the known ones"), "{message}");
    assert!(told(&cluster.receiver).is_empty());
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/approve-deletes=records"]).ok();
    let came = cluster.receiver.try_wait_count("it", PATIENCE, 60);
    assert!(came.is_some(), "{}", operator.report("it"));
    cluster.ns.wait_instance("it", "nothing waits", |instance| {
        let sweep = instance.pointer("/status/resources/0/cursor/sweep")?.as_str()?;
        (!sweep.contains("missing")).then_some(())
    });
    let events = told(&cluster.receiver);
    assert_eq!((events.len(), events.into_iter().collect::<BTreeSet<_>>()), (60, deleted(1..=60)));
}
