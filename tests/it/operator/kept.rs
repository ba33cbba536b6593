//! State that does not fit into the status, and state that somebody else touched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::rig::control_plane::{shared, shared_with_controllers};
use crate::rig::http::{Answer, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::operator::{Cluster, metric, wait_ready_to_serve};
use crate::rig::provider::Provider;
use crate::rig::rights;
use crate::rig::scene::{BY_CONTENT, ids};

pub fn by_content(cluster: &Cluster<'_>) -> Instance {
    cluster.instance().resource(BY_CONTENT)
}

#[test]
fn many_known_records_are_kept_outside_and_one_change_rewrites_one_part() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "blobs");
    cluster.provider.baseline(ids("old", 3000));
    cluster.apply(&by_content(&cluster));
    let mut operator = cluster.start();
    let ready = cluster.wait_ready("it");
    let status = ready["status"].to_string();
    assert!(status.len() < 4096, "{status}");
    let before = cluster.owned("configmaps");
    assert!(before.len() > 1, "{before:?}");

    cluster.provider.update("old-00007");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (before.into_iter().collect(), cluster.owned("configmaps").into_iter().collect());
    assert_eq!(before.difference(&after).count(), 1, "{before:?} {after:?}");

    assert!(operator.sigterm().success());
    cluster.provider.update("old-00008");
    cluster.provider.create("new");
    let operator = cluster.start();
    cluster.assert_stays_perfect(&operator);

    // and all of it goes with the instance
    cluster.ns.kubectl(&["delete", "coni", "it"]).ok();
    let (name, _) = after.first().unwrap();
    cluster.ns.kubectl(&["wait", "--for=delete", &format!("configmap/{name}"), "--timeout=60s"]).ok();
}

#[test]
fn a_part_that_is_missing_is_never_a_fresh_start() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "missing");
    cluster.provider.baseline(ids("old", 300));
    cluster.apply(&by_content(&cluster));
    let mut operator = cluster.start();
    cluster.wait_ready("it");
    assert!(operator.sigterm().success());
    let (name, _) = cluster.owned("configmaps").remove(0);
    cluster.ns.kubectl(&["delete", "configmap", &name]).ok();

    let asked = cluster.provider.asked();
    let operator = cluster.start();
    let message = cluster.ns.wait_condition("it", "Ready", "False", "StateUnavailable");
    assert!(message.contains(&name) && message.contains("pollinator.dev/reset: records"), "{message}");
    assert_eq!(cluster.provider.asked(), asked);
    // the way out
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/reset=records"]).ok();
    cluster.wait_ready("it");
    cluster.provider.create("new");
    cluster.assert_stays_perfect(&operator);
}

/// Parks an event of the instance while no operator runs.
fn park(cluster: &Cluster<'_>) {
    // as an operator before left it; to get there by failing takes hours
    let instance = cluster.ns.get_instance("it");
    let event = json!({
        "id": "parked", "kind": "created", "resource": "records", "objectId": "x",
        "detectedAt": "2026-01-31T00:00:00Z", "data": {"id": "x", "version": 1}
    });
    let ledger = json!([4, [{"object": 7, "event": event, "attempts": 5, "refusals": 5}]]);
    let secret = json!({
        "metadata": {"name": "it-set-aside-events", "ownerReferences": [{
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "name": "it",
            "uid": instance["metadata"]["uid"]
        }]},
        "stringData": {"events.json": ledger.to_string()}
    });
    cluster.ns.api().create(&cluster.ns.core("secrets"), &secret).ok();
    cluster.ns.edit_status("it", |status| {
        let mut bookkeeping: Value = serde_json::from_str(status["bookkeeping"].as_str().unwrap()).unwrap();
        bookkeeping["ledger"] = json!(4);
        status["bookkeeping"] = json!(bookkeeping.to_string());
    });
}

#[test]
fn events_that_were_set_aside_survive_in_a_secret() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "aside");
    let mut operator = cluster.begin();
    assert!(operator.sigterm().success());
    park(&cluster);
    let mut operator = cluster.start();
    cluster.ns.wait_condition("it", "EventsWaiting", "True", "EventsParked");
    cluster.wait_event("EventsParked");
    cluster.provider.create("a");
    cluster.wait_status("/delivered", &json!(1));
    let status = cluster.wait_status("/parked", &json!(1));
    assert_eq!(status["resources"][0]["parked"], 1);
    // deleted by someone else: memory has what was in it
    cluster.ns.kubectl(&["delete", "secret", "it-set-aside-events"]).ok();
    let path = format!("{}/it-set-aside-events", cluster.ns.core("secrets"));
    cluster.ns.api().wait_for(&path, "the Secret again", |secret| secret["data"].is_object().then_some(()));
    operator.wait_stderr("the Secret with the retry queue was deleted by another writer");
    // and what waits is reported while the instance cannot be run
    assert!(metric(&operator, "pollinator_parked_events") > 0.5);
    let edit = |spec: &str| cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "--patch", spec]).ok();
    edit(r#"{"spec":{"connector":"no-such"}}"#);
    cluster.ns.wait_condition("it", "Ready", "False", "ConnectorNotFound");
    cluster.ns.wait_condition("it", "EventsWaiting", "True", "EventsParked");
    assert!(metric(&operator, "pollinator_parked_events") > 0.5);
    assert!(operator.sigterm().success());
    let operator = cluster.start();
    operator.wait_stderr("spec.connector names no-such");
    cluster.ns.wait_condition("it", "EventsWaiting", "True", "EventsParked");
    wait_ready_to_serve(&operator);
    assert!(metric(&operator, "pollinator_parked_events") > 0.5, "as the status says");
    edit(r#"{"spec":{"connector":null}}"#);
    cluster.wait_ready("it");
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/redeliver=records"]).ok();
    cluster.wait_status("/delivered", &json!(2));
    cluster.wait_status("/parked", &json!(0));
    let posts = cluster.receiver.posts("it");
    assert!(posts.iter().any(|post| post.events()[0].event_id == "parked"), "{}", operator.report("it"));
    cluster.ns.kubectl(&["wait", "--for=delete", "secret/it-set-aside-events", "--timeout=30s"]).ok();
}

#[test]
fn events_that_go_with_a_renamed_resource_are_counted() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "renamed");
    let mut operator = cluster.begin();
    assert!(operator.sigterm().success());
    park(&cluster);
    let operator = cluster.start();
    cluster.ns.wait_condition("it", "EventsWaiting", "True", "EventsParked");
    let rename = r#"[{"op": "replace", "path": "/spec/resources/0/name", "value": "people"}]"#;
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=json", "--patch", rename]).ok();
    let note = cluster.wait_event("EventsDropped");
    assert!(note.starts_with("resource records was removed from the spec or renamed, so 1 event"), "{note}");
    operator.wait_stderr(&note);
    cluster.wait_status("/parked", &json!(0));
}

#[test]
fn the_schedule_of_a_failing_callback_survives_a_restart() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "down");
    let mut operator = cluster.begin();
    cluster.receiver.answer(|_| Answer::status(500));
    cluster.provider.create_all(ids("r", 8));
    cluster.ns.wait_condition("it", "CallbackReachable", "False", "CallbackDown");
    cluster.ns.wait_condition("it", "Ready", "False", "CallbackDown");
    assert!(operator.sigterm().success());
    let posts = cluster.receiver.count();
    let operator = cluster.start();
    // it asks nobody before the callback's time has come; a neighbour shows that it is at work
    let neighbour = crate::rig::provider::Provider::start();
    let mut beside = cluster.instance();
    (beside.name, beside.base_url) = ("beside".to_owned(), neighbour.url());
    cluster.apply(&beside);
    cluster.wait_ready("beside");
    assert!(cluster.receiver.count() <= posts + 1, "one probe at most\n{}", operator.report("it"));
    cluster.ns.wait_condition("it", "Ready", "False", "CallbackDown");
}

#[test]
fn conditions_of_others_stay() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "foreign");
    let operator = cluster.begin();
    cluster.ns.edit_status("it", |status| {
        status["conditions"].as_array_mut().unwrap().push(json!({
            "type": "example.com/Audited", "status": "True", "reason": "ByHand", "message": "",
            "lastTransitionTime": "2026-01-31T00:00:00Z"
        }));
    });
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    let status = cluster.wait_status("/delivered", &json!(1));
    assert!(status.to_string().contains("example.com/Audited"), "{status}");
    assert!(!operator.stderr().contains("another writer"), "a condition is no state");
}

#[test]
fn a_state_that_somebody_else_wrote_is_read_again_and_never_overwritten() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "zombie");
    let operator = cluster.begin();
    cluster.provider.create_all(ids("r", 5));
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(5));

    // an owner that came after us has delivered more
    cluster.ns.edit_status("it", |status| {
        status["delivered"] = json!(105);
        status["resources"][0]["delivered"] = json!(105);
    });
    cluster.provider.create("next");
    operator.wait_stderr("changed by another writer");
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}");
    cluster.wait_status("/delivered", &json!(106));
    cluster.wait_ready("it");

    // While no one runs it, nothing in memory can be outdated: what is wrong is said, whoever wrote the state.
    refuse(&cluster, "absent");
    cluster.ns.edit_status("it", |status| status["resources"][0]["delivered"] = json!(500));
    refuse(&cluster, "lacking");
    cluster.apply(&cluster.instance());
    cluster.wait_ready("it");
    cluster.provider.create("last");
    cluster.wait_status("/delivered", &json!(501));
}

/// Names a connector that does not exist, and waits until the status says so.
fn refuse(cluster: &Cluster<'_>, connector: &str) {
    cluster.apply(&cluster.instance().spec(&format!("connector: {connector}")));
    cluster.ns.wait_instance("it", &format!("there is no connector {connector}"), |instance| {
        let ready = instance["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == "Ready")?;
        (ready["status"] == "False" && ready["message"].as_str()?.contains(connector)).then_some(())
    });
}

/// One more than can be kept: told at once, and nothing of it is stored.
#[test]
fn more_records_than_can_be_kept_are_told_and_not_half_stored() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::with(plane, "too-many", Provider::start().page_size(10_000));
    cluster.provider.baseline(ids("old", 50_001));
    cluster.apply(&by_content(&cluster));
    let _operator = cluster.start();
    cluster.ns.wait_condition("it", "Ready", "False", "StateTooLarge");
    let instance = cluster.ns.get_instance("it");
    let message = instance["status"]["conditions"].to_string();
    assert!(message.contains("filter the list with ${since}"), "{message}");
    assert_eq!(instance["status"].pointer("/resources/0/cursor/since"), None, "{instance}");
    assert!(cluster.receiver.delivered("it").is_empty());
}

/// Who wipes a status takes the state away, too. The operator that runs the instance has it in memory.
#[test]
fn a_status_that_is_wiped_comes_back_and_nothing_is_repeated() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "wiped");
    cluster.apply(&cluster.instance().earliest());
    // The times of conditions that were removed are not known any more, so the proxy does not look at what is written.
    let operator = cluster.start_beside();
    cluster.wait_ready("it");
    cluster.provider.create("a");
    cluster.wait_status("/delivered", &json!(1));
    let read = ["conditions", "observedGeneration"];
    cluster.ns.edit_status("it", |status| status.as_object_mut().unwrap().retain(|member, _| read.contains(&member.as_str())));
    cluster.provider.create("b");
    cluster.wait_status("/delivered", &json!(2));
    cluster.wait_ready("it");
    cluster.provider.create("c");
    cluster.wait_status("/delivered", &json!(3));
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", operator.report("it"));
    let delivered = cluster.receiver.delivered("it");
    let ids: BTreeSet<_> = delivered.iter().map(|event| &event.event_id).collect();
    assert_eq!((ids.len(), delivered.len()), (3, 3), "{delivered:?}");
}

#[test]
fn an_older_state_that_is_put_back_repeats_with_the_same_ids() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "older");
    let mut operator = cluster.begin();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    cluster.ns.wait_condition("it", "CallbackReachable", "True", "Delivering");
    let backup = cluster.ns.get_instance("it")["status"].clone();
    cluster.provider.create_all(ids("since", 3));
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(4));
    assert!(operator.sigterm().success());

    // as a restore of etcd does, which keeps the uid
    cluster.ns.edit_status("it", |status| *status = backup.clone());
    let operator = cluster.start();
    cluster.wait_status("/delivered", &json!(4));
    cluster.provider.create("next");
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", operator.report("it"));
    cluster.wait_status("/delivered", &json!(5));
    let mut delivered: Vec<_> = cluster.receiver.delivered("it").into_iter().map(|event| event.event_id).collect();
    assert_eq!(delivered.len(), 1 + 3 + 3 + 1);
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), 1 + 3 + 1, "what comes again has the same id");
}

/// What docs/operate/operator.md lists, and nothing more.
#[test]
fn the_permissions_that_are_documented_are_enough() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "rbac");
    rights::grant(&cluster.ns, &["operator"]);
    cluster.provider.baseline(ids("old", 200));
    cluster.apply_yaml(&manifest::secret("unrelated", &[("key", "value")]));
    cluster.apply(&by_content(&cluster));
    let operator = cluster.start_as(&cluster.ns.token("operator"), &[]);
    cluster.wait_ready("it");
    cluster.receiver.answer(|_| Answer::status(400));
    cluster.provider.create("refused");
    cluster.wait_posts(1, &operator);
    cluster.receiver.answer(|_| Answer::status(204));
    cluster.provider.create("taken");
    cluster.ns.wait_instance("it", "a stored change", |instance| instance["status"]["delivered"].as_u64().filter(|n| *n > 0));
    cluster.wait_event("Polling");
    let calls = cluster.proxy.calls();
    let refused: Vec<_> = calls.iter().filter(|call| call.status == Some(403)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(calls.iter().any(|call| call.is("create", "configmaps")), "{calls:?}");
    // Lists and watches carry no values: only Secrets that an instance names are read, one by one.
    for verb in ["list", "watch"] {
        let mut secrets = calls.iter().filter(|call| call.is(verb, "secrets")).peekable();
        assert!(secrets.peek().is_some(), "{verb}: {calls:?}");
        assert!(secrets.all(|call| call.accept.contains("as=PartialObjectMetadata")), "{verb}");
    }
    let read: BTreeSet<_> = calls.iter().filter(|call| call.is("get", "secrets")).map(|call| call.name.as_str()).collect();
    assert!(read.contains("login") && !read.contains("unrelated"), "{read:?}");
}

/// A provider whose tokens for the next poll have this many bytes: a number, and filling before it. What has changed since is its record of
/// that number.
fn tokens_of(length: Arc<AtomicUsize>, asked: Arc<AtomicUsize>) -> Server {
    Server::start(move |ask| {
        let since = ask.query().into_iter().find(|(name, _)| name == "syncToken").map(|(_, token)| token);
        asked.store(since.as_ref().map_or(0, String::len), Ordering::SeqCst);
        let number: usize = since.map_or(0, |token| token.trim_start_matches('x').parse().unwrap());
        let filling = "x".repeat(length.load(Ordering::SeqCst) - (number + 1).to_string().len());
        Answer::json(format!(r#"{{"items":[{{"id":"r-{number}"}}],"nextSyncToken":"{filling}{}"}}"#, number + 1))
    })
}

#[test]
fn the_longest_token_is_kept_by_a_real_server_and_a_longer_one_is_told() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "tokens");
    let (length, asked) = (Arc::new(AtomicUsize::new(4_000)), Arc::new(AtomicUsize::new(0)));
    let server = tokens_of(Arc::clone(&length), Arc::clone(&asked));
    let mut instance = cluster.instance().resource(
        "url: /list\nquery: {syncToken: \"${cursor}\"}\nrecordsPath: items\nidField: id\ndelta: {token: {field: nextSyncToken}}\n",
    );
    instance.base_url = server.url();
    cluster.apply(&instance);
    let mut operator = cluster.start();
    cluster.wait_posts(1, &operator);
    let kept = cluster.ns.wait_instance("it", "a stored token", |one| {
        one["status"]["resources"][0]["cursor"]["token"].as_str().filter(|token| token.len() > 4_000).map(str::to_owned)
    });
    assert_eq!(kept.len(), 16 + 1 + 4_000);
    assert!(operator.sigterm().success());
    // it goes on with that token, and each record has come once
    let operator = cluster.start();
    let seen = cluster.receiver.count();
    cluster.wait_posts(seen + 2, &operator);
    assert_eq!(asked.load(Ordering::SeqCst), 4_000);
    let objects: Vec<_> = cluster.receiver.delivered("it").into_iter().map(|event| event.object).collect();
    assert_eq!(objects.iter().collect::<BTreeSet<_>>().len(), objects.len(), "{objects:?}");
    length.store(4_001, Ordering::SeqCst);
    cluster.ns.wait_instance("it", "what is wrong", |one| {
        one["status"]["resources"].to_string().contains("is longer than 4000 bytes").then_some(())
    });
}
