//! Specs, Secrets and whole namespaces change while records do: nothing is lost, and nothing old reaches what is new.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::control_plane::{shared, shared_with_controllers};
use crate::rig::http::Answer;
use crate::rig::manifest::{self, Instance, PROVIDER_RESOURCE};
use crate::rig::operator::{Cluster, health};
use crate::rig::oracle::{Delivered, judge};
use crate::rig::pollinator::Pollinator;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Post;
use crate::rig::traffic::meanwhile;
use crate::rig::{PATIENCE, assert_perfect, canary};

/// Applies an edit and waits until it is in force and polled by.
fn edit(cluster: &Cluster<'_>, instance: &Instance) {
    cluster.apply(instance);
    wait_observed(cluster, "Polling");
    cluster.provider.wait_polled(1);
}

/// Waits until the status is about the present spec and `Ready` is true for this reason.
fn wait_observed(cluster: &Cluster<'_>, reason: &str) {
    let what = format!("the present generation is {reason}");
    cluster.ns.wait_instance("it", &what, |instance| {
        let ready = instance["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == "Ready")?;
        let is_present = instance["status"]["observedGeneration"] == instance["metadata"]["generation"];
        (is_present && ready["status"] == "True" && ready["reason"] == reason).then_some(())
    });
}

/// Waits for a request with this path that carries this object.
fn wait_object(cluster: &Cluster<'_>, path: &str, object: &str, operator: &Pollinator) {
    let seen = cluster.receiver.try_wait(path, PATIENCE, |posts| {
        posts.iter().any(|post| post.accepted() && post.events().iter().any(|event| event.object == object)).then_some(())
    });
    assert!(seen.is_some(), "{object} does not come to {path}\n{}", operator.report("it"));
}

/// The old callback takes so long that an edit falls into the middle of a delivery.
fn slow(cluster: &Cluster<'_>) {
    let delay = |path: &str| Duration::from_millis(if path == "/it" { 300 } else { 0 });
    cluster.receiver.answer(move |ask| Answer::status(204).after(delay(ask.path())));
}

fn is_of_burst(event: &Delivered) -> bool {
    event.object.starts_with("burst-")
}

fn carries_old(post: &Post) -> bool {
    post.ask.path() == "/it"
}

/// Events of one resource that were accepted.
fn of_resource<'a>(posts: impl IntoIterator<Item = &'a Post>, resource: &str) -> Vec<Delivered> {
    let is_of = |post: &&Post| {
        serde_json::from_slice::<Value>(&post.ask.body).is_ok_and(|event| event["resource"] == resource) && post.accepted()
    };
    posts.into_iter().filter(is_of).map(Post::event).collect()
}

#[test]
fn edits_that_keep_the_meaning_lose_and_repeat_nothing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "edits");
    let operator = cluster.begin();
    let base = || cluster.instance();
    meanwhile(&cluster.provider, 11, || {
        edit(&cluster, &base().and_resource("interval: 6s"));
        let with = |from: &str, to: &str| base().resource(&PROVIDER_RESOURCE.replace(from, to));
        // the same dates, read by another pattern and in another zone; and by the update alone
        edit(&cluster, &with("ss.SSS'Z'", "ss.SSSXXX"));
        edit(&cluster, &with("Timezone: GMT", "Timezone: Etc/UTC"));
        edit(&cluster, &base().and_resource("createdTolerance: 1m\nlookback: 1m"));
        // the filter moves into the URL, and is gone
        edit(&cluster, &with("url: /records\nquery: {since: \"${since}\"}", "url: \"/records?since=${since}\""));
        edit(&cluster, &with("query: {since: \"${since}\"}\n", ""));
        edit(&cluster, &base().callback("maxInFlight: 2\ntimeout: 10s").spec("tags: [Edited]"));
        cluster.apply(&base().spec("suspend: true"));
        wait_observed(&cluster, "Suspended");
        let (asked, posts) = (cluster.provider.asked(), cluster.receiver.count());
        cluster.provider.create("while-suspended");
        cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/poll-now=1"]).ok();
        cluster.wait_status("/lastHandledReconcileAt", &json!("1"));
        assert_eq!(
            (cluster.provider.asked(), cluster.receiver.count()),
            (asked, posts),
            "suspended, it asks and sends nothing"
        );
        edit(&cluster, &base());
    });
    cluster.assert_stays_perfect(&operator);
    let status = cluster.ns.get_instance("it")["status"].clone();
    assert!(status["resources"][0]["resetReason"].is_null(), "{status}");
}

#[test]
fn no_event_of_the_old_spec_goes_to_the_new_callback() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "callback");
    slow(&cluster);
    let operator = cluster.begin();
    let new = Instance { callback_url: cluster.receiver.url("new"), ..cluster.instance() };
    meanwhile(&cluster.provider, 12, || {
        cluster.provider.create_all((0..200).map(|n| format!("burst-{n}")));
        cluster.wait_posts(10, &operator);
        cluster.apply(&new.callback("format: OpenConnectors"));
        cluster.provider.create("marker");
        wait_object(&cluster, "new", "marker", &operator);
    });
    let old: Vec<_> = cluster.receiver.delivered("it");
    let both = |new: &[&Post]| {
        let new = new.iter().filter(|post| post.accepted()).flat_map(|post| post.events());
        judge(&cluster.provider.truth(), &old.iter().cloned().chain(new).collect::<Vec<_>>(), provider::version)
    };
    cluster.receiver.try_wait("new", PATIENCE, |posts| both(posts).missing.is_empty().then_some(()));
    assert!(cluster.receiver.delivered("new").iter().any(is_of_burst), "the edit came too late to mean anything");
    assert_perfect(&both(&cluster.receiver.posts("new").iter().collect::<Vec<_>>()), &operator, "it");

    let posts = cluster.receiver.all();
    let first = posts.iter().position(|post| !carries_old(post)).unwrap();
    assert!(!posts[first..].iter().any(carries_old), "the old callback is asked after the new one was");
    let is_old_form = |post: &Post| post.ask.header("content-type").is_some_and(|media| media.contains("cloudevents"));
    assert!(posts[..first].iter().all(is_old_form) && !posts[first..].iter().any(is_old_form), "a form of the other spec");
}

#[test]
fn resources_come_and_go_while_the_others_go_on() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "resources");
    let operator = cluster.begin();
    let second = PROVIDER_RESOURCE.trim_end().replace('\n', "\n    ");
    let both = cluster.instance().yaml().replace("  callback:", &format!("  - name: again\n    {second}\n  callback:"));
    let (posted, gone) = meanwhile(&cluster.provider, 13, || {
        cluster.apply_yaml(&both);
        wait_observed(&cluster, "Polling");
        let first = |posts: &[&Post]| (!of_resource(posts.iter().copied(), "again").is_empty()).then_some(());
        let seen = cluster.receiver.try_wait("it", PATIENCE, first);
        assert!(seen.is_some(), "{}", operator.report("it"));
        edit(&cluster, &cluster.instance());
        let posted = of_resource(&cluster.receiver.posts("it"), "again").len();
        // nobody polls it now, and it starts afresh when it returns
        cluster.provider.create("between");
        wait_object(&cluster, "it", "between", &operator);
        let status = cluster.ns.get_instance("it")["status"].clone();
        assert_eq!(status["resources"].as_array().unwrap().len(), 1, "{status}");
        let gone = of_resource(&cluster.receiver.posts("it"), "again").len();
        cluster.apply_yaml(&both);
        wait_observed(&cluster, "Polling");
        cluster.provider.create("later");
        let came = |posts: &[&Post], object: &str| {
            of_resource(posts.iter().copied(), "again").iter().any(|event| event.object == object)
        };
        let seen = cluster.receiver.try_wait("it", PATIENCE, |posts| came(posts, "later").then(|| came(posts, "between")));
        assert_eq!(seen, Some(false), "what came while it was not declared is its silent baseline\n{}", operator.report("it"));
        (posted, gone)
    });
    assert_eq!(posted, gone, "a resource that was removed is polled on");
    let verdict =
        |posts: &[&Post]| judge(&cluster.provider.truth(), &of_resource(posts.iter().copied(), "records"), provider::version);
    cluster.receiver.try_wait("it", PATIENCE, |posts| verdict(posts).missing.is_empty().then_some(()));
    let posts = cluster.receiver.posts("it");
    assert_perfect(&verdict(&posts.iter().collect::<Vec<_>>()), &operator, "it");
    // the second one began late, so it misses what was before; beside that it is as good as the first
    let second = judge(&cluster.provider.truth(), &of_resource(&posts, "again"), provider::version);
    let wrong = [&second.conflicts, &second.order_breaks, &second.invented, &second.duplicates];
    assert!(wrong.iter().all(|list| list.is_empty()), "{second}");
    let ids = |resource| of_resource(&posts, resource).into_iter().map(|event| event.event_id).collect::<BTreeSet<_>>();
    assert!(ids("records").is_disjoint(&ids("again")), "the resource is part of the id");
}

#[test]
fn an_edit_that_changes_the_meaning_starts_afresh_and_says_why() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "meaning");
    let connector = |name: &str| {
        let url = cluster.provider.url();
        format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {name}, namespace: it}}\nspec: {{baseUrl: \"{url}\"}}\n"
        )
    };
    cluster.apply_yaml(&format!("{}---\n{}", connector("one"), connector("two")));
    let operator = cluster.begin();
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    let by_created = PROVIDER_RESOURCE.replace("idField: id", "idField: created");
    let moved = "connector, origin of baseUrl, idField, idFields or the use of forEach changed";
    let by_content = "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}\n";
    for (index, (instance, subject, reason)) in [
        (cluster.instance().spec("connector: one"), "id", moved),
        (cluster.instance().spec("connector: two"), "id", moved),
        (cluster.instance().spec("connector: two").resource(&by_created), "created", moved),
        (cluster.instance().spec("connector: two"), "id", moved),
        (
            cluster.instance().spec("connector: two").resource(by_content),
            "id",
            "changes are found by content now: changeBy or datesConfiguration changed",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        // what comes before the edit is polled, but not announced again
        let posts = cluster.receiver.count();
        edit(&cluster, &instance);
        cluster.wait_status("/resources/0/resetReason", &json!(reason));
        cluster.provider.wait_polled(1);
        assert_eq!(cluster.receiver.count(), posts, "edit {index}: the baseline is silent");
        cluster.provider.create(&format!("after-{index}"));
        let came = cluster.wait_posts(posts + 1, &operator).pop().unwrap();
        let event: Value = serde_json::from_slice(&came.ask.body).unwrap();
        assert_eq!(event["subject"], event["data"][subject], "{event}");
        assert_eq!(event["data"]["id"], format!("after-{index}"));
    }
    assert!(cluster.wait_event("CursorReset").contains("idField"));
}

const SIGNED: &str = "signature: {secretRef: {name: signing, key: signing-key}}";

#[test]
fn a_signing_key_that_rotates_breaks_or_goes_lets_nothing_out_unsigned() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "signing");
    let (new, old) = (canary::SIGNING_KEY, canary::SIGNING_KEY_PREVIOUS);
    let keep = |entries: &[(&str, &str)]| cluster.apply_yaml(&manifest::secret("signing", entries));
    keep(&[("signing-key", old)]);
    cluster.apply(&cluster.instance().callback(SIGNED));
    let operator = cluster.start();
    cluster.wait_ready("it");
    let wait_signed = |what: &str, is_so: &dyn Fn(&Post) -> bool| {
        let seen =
            cluster.receiver.try_wait("it", PATIENCE, |posts| posts.last().is_some_and(|post| is_so(post)).then_some(()));
        assert!(seen.is_some(), "{what}: no such signature\n{}", operator.report("it"));
    };
    meanwhile(&cluster.provider, 14, || {
        wait_signed("before", &|post| post.verifies(old) && !post.verifies(new));
        keep(&[("signing-key", new), ("signing-key-previous", old)]);
        wait_signed("both", &|post| post.verifies(old) && post.verifies(new));
        let stopped = |reason: &str| {
            let message = cluster.ns.wait_condition("it", "CallbackReachable", "False", reason);
            cluster.ns.wait_condition("it", "Ready", "False", reason);
            cluster.ns.wait_condition("it", "Stalled", "True", reason);
            assert!(message.contains("signing"), "names the Secret: {message}");
            (cluster.receiver.count(), cluster.provider.asked())
        };
        keep(&[("signing-key", "whsec_no base64"), ("signing-key-previous", old)]);
        let malformed = stopped("SecretInvalid");
        cluster.ns.kubectl(&["delete", "secret", "signing"]).ok();
        assert_eq!(stopped("SecretNotFound"), malformed, "without a key nothing is sent, and nothing asked");
        cluster.apply_yaml(&manifest::secret("signing", &[("other", new)]));
        assert_eq!(stopped("SecretKeyMissing"), malformed);
        keep(&[("signing-key", new)]);
        wait_signed("after", &|post| post.verifies(new) && !post.verifies(old));
    });
    cluster.assert_stays_perfect(&operator);
    assert!(
        cluster.receiver.all().iter().all(|post| post.verifies(new) || post.verifies(old)),
        "a request without a signature"
    );
    wait_observed(&cluster, "Polling");
}

#[test]
fn an_instance_that_is_replaced_under_its_name_shares_nothing_with_the_old_one() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "replaced");
    slow(&cluster);
    let operator = cluster.begin();
    let new = Instance { callback_url: cluster.receiver.url("new"), ..cluster.instance() };
    meanwhile(&cluster.provider, 15, || {
        cluster.provider.create_all((0..200).map(|n| format!("burst-{n}")));
        cluster.wait_posts(10, &operator);
        // in the middle of a delivery, and without a moment between
        cluster.ns.kubectl(&["delete", "coni", "it"]).ok();
        cluster.apply(&new);
        wait_observed(&cluster, "Polling");
        cluster.provider.wait_polled(1);
        cluster.provider.create("marker");
        wait_object(&cluster, "new", "marker", &operator);
    });
    let posts = cluster.receiver.all();
    let first = posts.iter().position(|post| !carries_old(post)).unwrap();
    assert!(!posts[first..].iter().any(carries_old), "the old one delivers on");
    let (before, after) = (cluster.receiver.delivered("it"), cluster.receiver.delivered("new"));
    let ids = |events: &[Delivered]| events.iter().map(|event| event.event_id.clone()).collect::<BTreeSet<_>>();
    assert!(ids(&before).is_disjoint(&ids(&after)), "the uid is part of the id");
    // it began with what there was then: only what it missed before that is missing
    let verdict = judge(&cluster.provider.truth(), &after, provider::version);
    let wrong = [&verdict.conflicts, &verdict.order_breaks, &verdict.invented, &verdict.duplicates];
    assert!(wrong.iter().all(|list| list.is_empty()), "{verdict}");
    assert!(before.iter().filter(|event| is_of_burst(event)).count() < 200, "it was replaced too late to mean anything");
    assert!(!after.iter().any(is_of_burst), "its baseline is silent");
}

#[test]
fn a_namespace_that_ends_stops_its_instances_and_starts_afresh_when_it_returns() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "ends");
    cluster.receiver.answer(|ask| Answer::status(if ask.path() == "/it" { 204 } else { 400 }));
    cluster.apply(&cluster.instance());
    let mut refused = cluster.instance();
    (refused.name, refused.callback_url) = ("refused".to_owned(), cluster.receiver.url("refused"));
    cluster.apply(&refused);
    // claims are kept elsewhere, as in an installation that serves many namespaces
    let leases = plane.namespace("ends-leases");
    let mut operator = cluster.start_with(&["--lease-namespace", leases.name()]);
    for name in ["it", "refused"] {
        cluster.wait_ready(name);
    }
    let name = format!("/api/v1/namespaces/{}", cluster.ns.name());
    meanwhile(&cluster.provider, 16, || {
        cluster.wait_posts(5, &operator);
        plane.api().delete(&name).ok();
        plane.api().wait_for(&name, "its end", |namespace| namespace.is_null().then_some(()));
    });
    // the same name once more, with another provider
    let other = Provider::start();
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.ns.name()}});
    plane.api().create("/api/v1/namespaces", &object).ok();
    cluster.apply_yaml(&manifest::login());
    cluster.apply(&Instance { base_url: other.url(), callback_url: cluster.receiver.url("new"), ..cluster.instance() });
    cluster.wait_ready("it");
    other.wait_polled(1);
    let (asked, posts) = (cluster.provider.asked(), cluster.receiver.posts("it").len());
    cluster.provider.create("nobody-looks");
    other.wait_polled(2);
    assert_eq!((cluster.provider.asked(), cluster.receiver.posts("it").len()), (asked, posts), "the old ones are polled on");
    assert_eq!((health(&operator, "/livez"), health(&operator, "/readyz")), (200, 200));
    let loud: Vec<_> = operator.stderr().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    assert!(operator.sigterm().success());
}
