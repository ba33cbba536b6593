//! `callback.batch`: CloudEvents several a request. A receiver that refuses a request for one event's sake gets all others, whatever is
//! killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::rig::http::Answer;
use crate::rig::provider::Provider;
use crate::rig::receiver::Post;
use crate::rig::scene::{Scene, ids};
use crate::rig::{PATIENCE, canary, manifest};

const CALLBACK: &str = "batch: {maxEvents: 40, maxBytes: 16384}\nsignature: {secretRef: {name: signing, key: signing-key}}";
/// What the receiver takes, which is less than what it may be sent.
const TAKEN: usize = 8_192;

fn is_alone(post: &Post) -> bool {
    post.events().iter().all(|event| event.object == "bad")
}

#[test]
fn of_refused_batches_the_bad_event_alone_is_parked_and_a_kill_loses_nothing() {
    let scene = Scene::with(Provider::start().page_size(100), |instance| instance.callback(CALLBACK));
    manifest::write(
        &scene.site.manifests(),
        "signing.yaml",
        &[manifest::secret("signing", &[("signing-key", canary::SIGNING_KEY)])],
    );
    scene.receiver.answer(|ask| {
        let is_bad = String::from_utf8_lossy(&ask.body).contains("\"bad\"");
        Answer::status(if ask.body.len() > TAKEN {
            413
        } else if is_bad {
            422
        } else {
            204
        })
    });
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("r", 299));
    scene.wait_posts(4, &pollinator);
    pollinator.kill9();
    scene.provider.create("bad");
    let mut pollinator = scene.start();
    let others = scene.receiver.try_wait("it", PATIENCE, |posts| {
        let accepted = posts.iter().filter(|post| post.accepted()).flat_map(|post| post.events());
        (accepted.map(|event| event.object).collect::<BTreeSet<_>>().len() == 299).then_some(())
    });
    assert!(others.is_some(), "the others\n{}", pollinator.report("it"));
    for attempt in 1..=5 {
        let tried = scene
            .receiver
            .try_wait("it", PATIENCE, |posts| (posts.iter().filter(|post| is_alone(post)).count() >= attempt).then_some(()));
        assert!(tried.is_some(), "try {attempt}\n{}", pollinator.report("it"));
        if attempt < 5 {
            assert!(pollinator.sigterm().success());
            scene.site.age(TimeDelta::hours(25));
            pollinator = scene.site.start();
        }
    }
    let row = pollinator.wait_for("it", "parked after five refusals", |row| row.parked == 1);
    assert_eq!(row.set_aside, 0, "no other waits");
    check(&scene.receiver.posts("it"));

    scene.receiver.answer(|_| Answer::status(204));
    let redelivered = scene.instance().callback(CALLBACK).annotated("pollinator.dev/redeliver: records").yaml();
    manifest::write(&scene.site.manifests(), "instances.yaml", &[redelivered]);
    pollinator.wait_for("it", "redelivered", |row| row.parked == 0);
    let verdict = scene.verdict();
    assert!(verdict.is_sound() && verdict.duplicates.len() <= 256, "{verdict}\n{}", pollinator.report("it"));
}

/// What holds for every request.
fn check(posts: &[Post]) {
    let mut bodies = BTreeMap::new();
    let mut lengths = BTreeSet::new();
    for post in posts {
        assert!(post.verifies(canary::SIGNING_KEY), "signed over the whole body");
        assert_eq!(post.ask.header("content-type"), Some("application/cloudevents-batch+json; charset=utf-8"));
        let events: Vec<cloudevents::Event> = serde_json::from_slice(&post.ask.body).expect("the official library reads it");
        assert!((1..=40).contains(&events.len()) && post.ask.body.len() <= 16_384, "{} events", events.len());
        lengths.insert(events.len());
        let id = post.ask.header("webhook-id").expect("it has one").to_owned();
        let told: Vec<_> = post.events().into_iter().map(|event| event.event_id).collect();
        assert!(told.len() > 1 || told[0] == id, "a single event has its own");
        assert_eq!(bodies.entry(id).or_insert_with(|| told.clone()), &told, "one id, the same events");
    }
    let distinct: BTreeSet<_> = bodies.values().collect();
    assert_eq!(distinct.len(), bodies.len(), "the same events, one id");
    assert!(lengths.last() > Some(&20), "batches of {lengths:?}");
}
