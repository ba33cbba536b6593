//! Instances, connectors and Secrets come, change and go.

use std::time::Instant;
use std::{env, thread};

use serde_json::{Value, json};

use crate::rig::PATIENCE;
use crate::rig::canary;
use crate::rig::client;
use crate::rig::control_plane::shared;
use crate::rig::fleet;
use crate::rig::history::History;
use crate::rig::manifest;
use crate::rig::operator::Cluster;
use crate::rig::provider::Provider;

/// Instances that are deleted at once, unless the variable says otherwise.
const DELETED: usize = 200;
const DELETED_VARIABLE: &str = "POLLINATOR_DELETED";

#[test]
fn a_secret_that_comes_or_changes_is_used_at_once() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "secret");
    cluster.ns.kubectl(&["delete", "secret", "login"]).ok();
    // so long an interval that only the Secret can be the reason for a poll
    let slow = cluster.instance().and_resource("interval: 1h");
    cluster.apply(&slow);
    let operator = cluster.start();
    let message = cluster.ns.wait_condition("it", "Ready", "False", "SecretNotFound");
    assert!(message.contains("Secret login does not exist"), "{message}");
    cluster.ns.wait_condition("it", "Stalled", "True", "SecretNotFound");
    assert_eq!(cluster.provider.asked(), 0);

    cluster.apply_yaml(&manifest::login());
    let ready = cluster.wait_ready("it");
    assert!(ready["status"]["conditions"].as_array().unwrap().iter().all(|one| one["type"] != "Stalled"), "{ready}");
    // metadata alone is no change
    let asked = cluster.provider.asked();
    cluster.ns.kubectl(&["label", "secret", "login", "by=hand"]).ok();
    cluster.apply_yaml(&manifest::secret("login", &[("username", canary::USER), ("password", canary::TOKEN)]));
    let refused = cluster.ns.wait_condition("it", "Authenticated", "False", "Unauthorized");
    assert!(refused.contains("401"), "{refused}\n{}", operator.report("it"));
    assert_eq!(cluster.provider.asked(), asked + 1, "one poll for the change of the password, none for the label");
    // nobody else's Secrets are read
    let read = cluster.proxy.calls();
    assert!(read.iter().filter(|call| call.is("get", "secrets")).all(|call| call.name == "login"), "{read:?}");
}

#[test]
fn a_connector_of_the_namespace_is_used_and_followed() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "connector");
    let connector = |url: &str| {
        format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: shop, namespace: it}}\nspec: {{baseUrl: \"{url}\"}}\n"
        )
    };
    let instance = cluster.instance().spec("connector: shop");
    let yaml = instance.yaml().replace(&format!("  baseUrl: \"{}\"\n", cluster.provider.url()), "");
    cluster.apply_yaml(&yaml);
    let operator = cluster.start();
    cluster.ns.wait_condition("it", "Ready", "False", "ConnectorNotFound");
    cluster.apply_yaml(&connector(&cluster.provider.url()));
    cluster.wait_ready("it");
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);

    // another origin: the cursor means nothing there, and what is there already is no news
    let other = Provider::start();
    other.baseline(["old".to_owned()]);
    cluster.apply_yaml(&connector(&other.url()));
    let note = cluster.wait_event("CursorReset");
    assert!(note.contains("origin of baseUrl"), "{note}");
    // The first of them may still be reading the baseline, in which "b" would be no news.
    other.wait_polled(2);
    let posts = cluster.receiver.count();
    other.create("b");
    cluster.wait_posts(posts + 1, &operator);
    other.wait_polled(2);
    assert_eq!(cluster.receiver.count(), posts + 1);
}

#[test]
fn annotations_ask_once() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "annotations");
    cluster.apply(&cluster.instance().and_resource("interval: 1h"));
    let operator = cluster.start();
    cluster.wait_ready("it");
    let asked = cluster.provider.asked();
    cluster.ns.kubectl(&["annotate", "coni", "it", "reconcile.fluxcd.io/requestedAt=2026-01-31T00:00:00Z"]).ok();
    cluster.wait_status("/lastHandledReconcileAt", &json!("2026-01-31T00:00:00Z"));
    assert!(cluster.provider.try_wait_asked(asked + 1, PATIENCE));
    cluster.ns.kubectl(&["annotate", "coni", "it", "example.com/note=1"]).ok();
    cluster.ns.kubectl(&["label", "coni", "it", "by=hand"]).ok();
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/reset=records"]).ok();
    cluster.wait_status("/resources/0/resetReason", &json!("asked for by annotation"));
    cluster.wait_event("CursorReset");
    // one poll for each wish, none for what asks for nothing
    assert!(cluster.provider.try_wait_asked(asked + 2, PATIENCE));
    cluster.wait_ready("it");
    assert!(cluster.provider.asked() <= asked + 3, "{} polls", cluster.provider.asked() - asked);

    // what names no resource is said, and of the two that ask for a poll the last one is echoed
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/redeliver=record"]).ok();
    let note = cluster.wait_event("UnknownResource");
    assert!(note.contains("redeliver names resource record,") && note.ends_with("its resources are records"), "{note}");
    operator.wait_stderr(&note);
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/poll-now=1"]).ok();
    cluster.wait_status("/lastHandledReconcileAt", &json!("1"));
}

#[test]
fn a_suspended_instance_is_left_alone_and_goes_on_where_it_stood() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "suspended");
    let operator = cluster.begin();
    let neighbour = Provider::start();
    let mut beside = cluster.instance();
    (beside.name, beside.base_url) = ("beside".to_owned(), neighbour.url());
    cluster.apply(&beside);
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"spec": {"suspend": true}}"#]).ok();
    cluster.ns.wait_condition("it", "Ready", "True", "Suspended");
    assert_eq!(cluster.ns.get_instance("it")["status"]["observedGeneration"], 2);
    let asked = cluster.provider.asked();
    cluster.provider.create("meanwhile");
    neighbour.wait_polled(3);
    assert_eq!((cluster.provider.asked(), cluster.receiver.count()), (asked, 0));
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"spec": {"suspend": false}}"#]).ok();
    cluster.assert_perfect(&operator);
}

#[test]
fn a_deleted_instance_is_polled_no_more_and_its_name_starts_afresh() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "deleted");
    let operator = cluster.begin();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    // while somebody's finalizer holds it, it is as good as gone
    let finalizer = r#"{"metadata": {"finalizers": ["example.com/audit"]}}"#;
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", finalizer]).ok();
    cluster.ns.kubectl(&["delete", "coni", "it", "--wait=false"]).ok();
    cluster.ns.wait_condition("it", "Ready", "False", "Deleting");
    let neighbour = Provider::start();
    let mut beside = cluster.instance();
    (beside.name, beside.base_url) = ("beside".to_owned(), neighbour.url());
    cluster.apply(&beside);
    neighbour.wait_polled(1);
    let asked = cluster.provider.asked();
    cluster.provider.create("b");
    neighbour.wait_polled(2);
    assert!(cluster.provider.asked() <= asked + 1, "it goes on being polled");

    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]).ok();
    cluster.ns.kubectl(&["wait", "--for=delete", "coni/it", "--timeout=30s"]).ok();
    cluster.apply(&cluster.instance());
    let fresh = cluster.wait_ready("it");
    assert_eq!(fresh["status"]["delivered"], 0, "{fresh}");
    let posts = cluster.receiver.count();
    cluster.provider.create("c");
    cluster.wait_posts(posts + 1, &operator);
    cluster.provider.wait_polled(2);
    assert_eq!(cluster.receiver.count(), posts + 1, "what was there before is its silent baseline");
}

#[test]
fn a_bad_instance_harms_no_other() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "bad");
    let operator = cluster.begin();
    let mut bad = cluster.instance().and_resource("headers: {x: \"${nothing}\"}");
    bad.name = "bad".to_owned();
    cluster.apply(&bad);
    let message = cluster.ns.wait_condition("bad", "Ready", "False", "InvalidSpec");
    assert!(message.contains("${nothing}"), "{message}");
    cluster.ns.wait_condition("bad", "Stalled", "True", "InvalidSpec");
    assert_eq!(cluster.ns.get_instance("bad")["status"]["observedGeneration"], 1);
    cluster.provider.create("a");
    cluster.assert_stays_perfect(&operator);
    // mended, it runs
    let mut good = cluster.instance();
    good.name = "bad".to_owned();
    cluster.apply(&good);
    cluster.wait_ready("bad");
}

#[test]
fn hundreds_that_are_deleted_at_once_are_polled_no_more_and_delay_no_other() {
    let Some(plane) = shared() else { return };
    let count = env::var(DELETED_VARIABLE).map_or(DELETED, |text| text.parse().expect("a number"));
    let cluster = Cluster::new(plane, "stays");
    let (leaves, crowd) = (plane.namespace("leaves"), Provider::start());
    let of_crowd = |yaml: &str| yaml.replace("namespace: it", &format!("namespace: {}", leaves.name()));
    leaves.apply(&of_crowd(&manifest::login()));
    let alone = fleet::alone();
    let versions = History::watch(leaves.api(), &leaves.instances());
    let create = |number: usize| {
        let mut instance = cluster.instance().and_resource("interval: 15s");
        (instance.name, instance.base_url) = (format!("leaves-{number}"), crowd.url());
        let object: Value = serde_saphyr::from_str(&of_crowd(&instance.yaml())).expect("a manifest");
        leaves.api().create(&leaves.instances(), &object).ok();
    };
    let create = &create;
    thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || (0..count).filter(|number| number % 8 == part).for_each(create));
        }
    });
    cluster.apply(&cluster.instance());
    let operator = cluster.start_with(&["--watch-namespace", leaves.name()]);
    let is_ready = |instance: &Value| {
        let conditions = instance["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    versions.wait_each(count, PATIENCE, is_ready).unwrap_or_else(|ready| panic!("{ready} of {count} are ready"));
    drop(alone);
    cluster.wait_ready("it");

    // the server gives up on thousands after a minute; who deletes a namespace asks it again, too
    while leaves.api().delete(&leaves.instances()).ok_unless("Timeout").is_none() {}
    let metrics = format!("{}/metrics", operator.metrics_address().expect("it serves metrics"));
    let running = || {
        let scrape = client::must("GET", &metrics, None);
        let counts = scrape.lines().filter(|line| line.starts_with("pollinator_instances{"));
        counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let deadline = Instant::now() + PATIENCE;
    while running() > 1 {
        assert!(Instant::now() < deadline, "{} instances are still there", running());
        thread::park_timeout(std::time::Duration::from_millis(50));
    }
    let asked = crowd.asked();
    // An interval of theirs, and more.
    cluster.provider.wait_polled(4);
    assert_eq!(crowd.asked(), asked, "who is deleted is not polled");
    cluster.provider.create("after");
    cluster.assert_perfect(&operator);
}
