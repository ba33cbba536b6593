//! Manifests change while it runs: what goes on, what starts afresh, and that nothing is lost on the way.

use std::fs;
use std::time::Duration;

use crate::rig;
use crate::rig::http::Answer;
use crate::rig::manifest::{self, Instance, PROVIDER_RESOURCE};
use crate::rig::pollinator::Site;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::{Post, Receiver};
use crate::rig::scene::{Scene, ids};

fn rewrite(scene: &Scene, instance: &Instance) {
    manifest::write(&scene.site.manifests(), "instances.yaml", &[instance.yaml()]);
}

#[test]
fn instances_come_are_suspended_and_go_on() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth();
    let site = Site::new(&[instance("one").yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("one");
    manifest::write(&site.manifests(), "two.yaml", &[instance("two").yaml()]);
    pollinator.wait_ready("two");
    // a bad edit changes nothing and says so
    fs::write(site.manifests().join("two.yaml"), "kind: [").unwrap();
    pollinator.wait_stderr("two.yaml");
    provider.create("still");
    for name in ["one", "two"] {
        pollinator.wait_for(name, "still delivered", |row| row.delivered == 1);
    }
    manifest::write(&site.manifests(), "two.yaml", &[instance("two").spec("suspend: true").yaml()]);
    pollinator.wait_reason("two", "Suspended");
    provider.create("unseen");
    pollinator.wait_for("one", "delivered here", |row| row.delivered == 2);
    assert_eq!(receiver.posts("two").len(), 1, "suspended, it neither polls nor delivers");
    manifest::write(&site.manifests(), "two.yaml", &[instance("two").yaml()]);
    pollinator.wait_for("two", "caught up", |row| row.delivered == 2);
}

#[test]
fn a_new_callback_gets_what_the_old_one_did_not() {
    let scene = Scene::new();
    // slow enough that the edit falls into the middle of the delivery
    scene.receiver.answer(|ask| Answer::status(204).after(Duration::from_millis(if ask.path() == "/it" { 200 } else { 0 })));
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 200));
    scene.wait_posts(20, &pollinator);
    rewrite(&scene, &Instance { callback_url: scene.receiver.url("new"), ..scene.instance() });
    // all that came, wherever it came: the old and the new callback share the work without a gap or a repeat
    let both = || {
        let mut delivered = scene.receiver.delivered("it");
        delivered.extend(scene.receiver.delivered("new"));
        rig::oracle::judge(&scene.provider.truth(), &delivered, provider::version)
    };
    let wait = |what: &dyn Fn(&Post) -> bool| {
        let seen = scene.receiver.try_wait("new", rig::PATIENCE, |posts| posts.iter().any(|post| what(post)).then_some(()));
        assert!(seen.is_some(), "{}", pollinator.report("it"));
    };
    wait(&Post::accepted);
    scene.provider.create("last");
    wait(&|post| post.accepted() && post.event().object == "last");
    let old = scene.receiver.posts("it").len();
    scene.provider.wait_polled(1);
    rig::assert_perfect(&both(), &pollinator, "it");
    assert_eq!(scene.receiver.posts("it").len(), old, "nothing more goes to the old one");
}

#[test]
fn an_edit_that_keeps_the_meaning_keeps_the_cursor() {
    let scene = Scene::new();
    let pollinator = scene.start();
    scene.provider.create_all(ids("before", 30));
    scene.assert_perfect(&pollinator);
    rewrite(&scene, &scene.instance().and_resource("lookback: 1m\ncreatedTolerance: 20s").spec("tags: [Edited]"));
    scene.provider.create_all(ids("after", 30));
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn another_origin_starts_afresh_and_says_why() {
    let scene = Scene::new();
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 10));
    scene.assert_perfect(&pollinator);
    let other = Provider::start();
    other.baseline(ids("r", 10));
    rewrite(&scene, &Instance { base_url: other.url(), ..scene.instance() });
    // the first poll of the other origin has ended: what it saw is the baseline
    pollinator.wait_for("it", "the reason and the first poll", |row| {
        row.ready == "True" && row.resources.iter().any(|resource| resource.reset_reason.is_some())
    });
    let old = scene.receiver.posts("it").len();
    other.create("new-here");
    let posts = scene.wait_posts(old + 1, &pollinator);
    let objects: Vec<_> = posts[old..].iter().map(|post| post.event().object).collect();
    assert_eq!(objects, ["new-here"], "what the other origin had already is its baseline");
}

#[test]
fn resources_come_and_go_each_with_its_own_cursor() {
    let scene = Scene::new();
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 10));
    scene.assert_perfect(&pollinator);
    // a second resource over the same list begins with its own now
    let second = PROVIDER_RESOURCE.trim_end().replace('\n', "\n    ");
    let both = scene.instance().yaml().replace("  callback:", &format!("  - name: again\n    {second}\n  callback:"));
    manifest::write(&scene.site.manifests(), "instances.yaml", &[both]);
    pollinator.wait_for("it", "both polled", |row| row.resources.len() == 2 && row.ready == "True");
    scene.provider.wait_polled(2);
    assert_eq!(scene.receiver.posts("it").len(), 10);
    scene.provider.create("seen-twice");
    let posts = scene.wait_posts(12, &pollinator);
    let ids: std::collections::BTreeSet<_> = posts[10..].iter().map(|post| post.event().event_id).collect();
    assert_eq!(ids.len(), 2, "one event a resource, each with its own id");
    rewrite(&scene, &scene.instance());
    pollinator.wait_for("it", "one left", |row| row.resources.len() == 1 && row.ready == "True");
    scene.provider.create("seen-once");
    scene.wait_posts(13, &pollinator);
    scene.provider.wait_polled(1);
    assert_eq!(scene.receiver.posts("it").len(), 13);
}

#[test]
fn poll_now_does_not_wait_for_the_interval() {
    let scene = Scene::with(Provider::start(), |instance| instance.and_resource("interval: 1h"));
    let pollinator = scene.start();
    for request in ["first", "second"] {
        scene.provider.create(request);
        let annotation = format!("pollinator.dev/poll-now: {request}");
        rewrite(&scene, &scene.instance().and_resource("interval: 1h").annotated(&annotation));
        scene.assert_perfect(&pollinator);
    }
}

#[test]
fn what_waits_for_its_next_try_is_sent_at_once_on_request_and_to_another_callback() {
    for is_moved in [false, true] {
        let scene = Scene::new();
        let mut pollinator = scene.start();
        scene.provider.create("first");
        scene.assert_perfect(&pollinator);
        assert!(pollinator.sigterm().success());
        // an event that the callback refused before, and that is to be tried again in many years
        let event = serde_json::json!({
            "id": "waiting", "kind": "updated", "resource": "records", "objectId": "x",
            "detectedAt": "2026-11-24T10:00:00Z", "data": {"id": "x"},
        });
        let queued = serde_json::json!([{
            "object": 1, "attempts": 5, "refusals": 0, "event": event, "nextTry": "2200-01-01T00:00:00Z",
        }]);
        scene.site.edit_state(r"^\{", &format!("{{\"ledger\":{queued},"));
        let pollinator = scene.site.start();
        pollinator.wait_ready("it");
        let (path, edited) = if is_moved {
            ("moved", Instance { callback_url: scene.receiver.url("moved"), ..scene.instance() })
        } else {
            ("it", scene.instance().annotated("pollinator.dev/poll-now: again"))
        };
        let is_waiting = |post: &Post| post.event().event_id == "waiting";
        assert!(!scene.receiver.posts("it").iter().any(is_waiting));
        rewrite(&scene, &edited);
        let seen =
            scene.receiver.try_wait(path, rig::PATIENCE, |posts| posts.iter().any(|post| is_waiting(post)).then_some(()));
        assert!(seen.is_some(), "{}", pollinator.report("it"));
    }
}
