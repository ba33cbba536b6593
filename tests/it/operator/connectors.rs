//! What the status of a Connector says, and what it costs.

use serde_json::{Value, json};

use crate::rig::api_proxy::{Call, Fault};
use crate::rig::control_plane::{Namespace, shared};
use crate::rig::operator::Cluster;

const STATUS: &str = "connectors/status";

/// A Connector with one resource at this url.
fn connector(name: &str, base_url: &str, url: &str) -> String {
    format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {name}, namespace: it}}\nspec:\n  baseUrl: \"{base_url}\"\n  \
         resources:\n  - {{name: records, url: \"{url}\", datesConfiguration: {{updatedDateField: updated}}}}\n"
    )
}

/// The everyday instance, which gets its base URL from this connector.
fn instance(cluster: &Cluster<'_>, name: &str, connector: &str) -> String {
    let mut instance = cluster.instance().spec(&format!("connector: {connector}"));
    name.clone_into(&mut instance.name);
    instance.yaml().replace(&format!("  baseUrl: \"{}\"\n", cluster.provider.url()), "")
}

fn path(ns: &Namespace<'_>, name: &str) -> String {
    ns.group("pollinator.dev/v1alpha1", &format!("connectors/{name}"))
}

/// Waits until a Connector is told to be accepted or not, in the generation that it has, and is named by so many instances.
fn wait_status(ns: &Namespace<'_>, name: &str, accepted: &str, instances: i64) -> Value {
    ns.api().wait_for(&path(ns, name), &format!("{name}: Accepted={accepted}, {instances} instances"), |connector| {
        let (status, generation) = (&connector["status"], &connector["metadata"]["generation"]);
        let condition = status["conditions"].as_array()?.iter().find(|one| one["type"] == "Accepted")?;
        let is_current = status["observedGeneration"] == *generation && condition["observedGeneration"] == *generation;
        (is_current && condition["status"] == accepted && status["instances"] == instances).then(|| condition.clone())
    })
}

#[test]
fn a_connector_says_whether_it_is_accepted_and_how_many_instances_name_it() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "con-status");
    let ns = &cluster.ns;
    let url = cluster.provider.url();
    cluster.apply_yaml(&connector("shop", &url, "/records"));
    cluster.apply_yaml(&connector("odd", &url, "/records?since=${sinze}"));
    cluster.apply_yaml(&instance(&cluster, "it", "shop"));
    cluster.apply_yaml(&instance(&cluster, "other", "odd").replace("url: /records", "method: GET"));
    let operator = cluster.start();
    let good = wait_status(ns, "shop", "True", 1);
    assert_eq!((&good["reason"], &good["message"]), (&json!("Accepted"), &json!("instances can use this connector")));
    let bad = wait_status(ns, "odd", "False", 1);
    assert_eq!(bad["reason"], "InvalidSpec");
    let told = ns.wait_condition("other", "Ready", "False", "InvalidSpec");
    assert!(told.starts_with("spec.resources[records].url "), "{told}");
    assert_eq!(bad["message"], told, "what an instance that uses it is told");
    let shown = ns.kubectl(&["get", "con"]).ok();
    let columns: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(columns[0].contains("ACCEPTED INSTANCES AGE"), "{shown}");
    assert!(columns.iter().any(|line| line.starts_with("odd ") && line.contains(" False 1 ")), "{shown}");

    // deliveries write statuses of instances, which are no news here, and neither is what was written to a Connector
    let patches = |calls: &[Call]| calls.iter().filter(|call| call.is("patch", STATUS)).count();
    let counts = |calls: &[Call]| calls.iter().filter(|call| call.target.contains("includeObject=None")).count();
    cluster.wait_ready("it");
    let counted = counts(&cluster.proxy.calls());
    let before = (patches(&cluster.proxy.calls()), ns.api().get(&path(ns, "shop")).ok()["metadata"]["resourceVersion"].clone());
    cluster.provider.create("a");
    cluster.wait_posts(1, &operator);
    cluster.provider.wait_polled(3);
    let after = (patches(&cluster.proxy.calls()), ns.api().get(&path(ns, "shop")).ok()["metadata"]["resourceVersion"].clone());
    assert_eq!(before, after, "a status that says it already is not written");
    // the last instance may have come after the first count
    assert!(counts(&cluster.proxy.calls()) <= counted + 1, "instances that deliver are not counted again");

    // what changes is told: who uses it, and what it says
    ns.kubectl(&["delete", "coni", "other"]).ok();
    wait_status(ns, "odd", "False", 0);
    cluster.apply_yaml(&connector("odd", &url, "/records?since=${since}"));
    wait_status(ns, "odd", "True", 0);
    cluster.apply_yaml(&instance(&cluster, "second", "shop"));
    wait_status(ns, "shop", "True", 2);
    // somebody else's edit is put right
    let wrong = json!({"status": {"instances": 99}});
    ns.api().merge(&format!("{}/status", path(ns, "shop")), &wrong).ok();
    wait_status(ns, "shop", "True", 2);
    assert_eq!(cluster.receiver.count(), 1, "nothing of this is a change of a record");
}

#[test]
fn a_status_of_a_connector_that_is_always_refused_is_tried_ever_more_slowly() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "con-refused");
    cluster.proxy.script(|call| call.is("patch", STATUS).then_some(Fault::Answer(403)));
    cluster.apply_yaml(&connector("shop", &cluster.provider.url(), "/records"));
    cluster.apply_yaml(&instance(&cluster, "it", "shop"));
    let operator = cluster.start();
    operator.wait_stderr("the status of the connector is not written: forbidden");
    cluster.wait_ready("it");
    // one try, and others only after pauses that are longer than a few polls; an instance that changes hastens none
    let tries = || cluster.proxy.count("patch", STATUS);
    let begun = std::time::Instant::now();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.provider.wait_polled(2);
    let most = 2 + usize::try_from(begun.elapsed().as_secs() / 5).unwrap();
    assert!(tries() <= most, "{} tries, at most {most}", tries());
    cluster.proxy.behave();
    wait_status(&cluster.ns, "shop", "True", 1);
}

#[test]
fn of_two_replicas_one_writes_the_status_of_a_connector() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "con-replicas");
    let ns = &cluster.ns;
    cluster.apply_yaml(&connector("shop", &cluster.provider.url(), "/records"));
    cluster.apply_yaml(&instance(&cluster, "it", "shop"));
    let _replicas = [cluster.start(), cluster.start()];
    cluster.wait_ready("it");
    wait_status(ns, "shop", "True", 1);
    for number in 1..4 {
        cluster.apply_yaml(&connector("shop", &cluster.provider.url(), &format!("/records?edit={number}")));
        wait_status(ns, "shop", "True", 1);
    }
    cluster.provider.wait_polled(2);
    // a write for each edit and one for the first sight; a hand-over between the two may cost a read, and no write
    let calls = cluster.proxy.calls();
    let writes: Vec<_> = calls.iter().filter(|call| call.is("patch", STATUS)).map(|call| call.json().to_string()).collect();
    assert!((4..=5).contains(&writes.len()), "{writes:#?}");
}
