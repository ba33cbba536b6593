//! What each answer of a receiver leads to. The schedule is hours long: where a test needs its later steps, it stops the process
//! and turns the clock of the stored state forward ([`crate::rig::pollinator::Site::age`]).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::rig::http::{Answer, Body, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::stamps::Unit;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::scene::{Scene, ids};
use crate::rig::{self, PATIENCE};

const DATES: &str = "datesConfiguration: {updatedDateField: updated, createdDateField: created}";

/// The identity of the request, which is unsigned.
fn event_id(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).expect("an event is JSON");
    body["id"].as_str().or(body["message"]["eventId"].as_str()).expect("an event has an id").to_owned()
}

/// Answers the first request of each event with the answer, all others with 204.
fn fail_first(receiver: &Receiver, answer: impl Fn(&str) -> Option<Answer> + Send + 'static) {
    let mut failed = BTreeSet::new();
    receiver.answer(move |ask| {
        if failed.insert(event_id(&ask.body)) {
            answer(ask.path()).unwrap_or_else(|| Answer::status(204))
        } else {
            Answer::status(204)
        }
    });
}

/// From the address of a server where nothing must arrive.
type MakeAnswer = fn(&str) -> Answer;

#[test]
fn a_failed_request_is_repeated_with_the_same_id_and_body() {
    let trap = Server::start(|_| Answer::status(204));
    let elsewhere = trap.url();
    let answers: [(&str, MakeAnswer); 16] = [
        ("r400", |_| Answer::status(400)),
        ("r404", |_| Answer::status(404)),
        ("r408", |_| Answer::status(408)),
        ("r409", |_| Answer::status(409)),
        ("r413", |_| Answer::status(413)),
        ("r422", |_| Answer::status(422)),
        ("r425", |_| Answer::status(425)),
        ("r429", |_| Answer::status(429).header("Retry-After", "1")),
        ("r500", |_| Answer::status(500)),
        ("r503", |_| Answer::status(503).header("Retry-After", "soon")),
        ("close", |_| Answer::hang_up()),
        ("silence", |_| Answer::status(204).after(Duration::from_secs(5))),
        ("r302", |elsewhere| Answer::status(302).header("Location", elsewhere)),
        ("r307", |elsewhere| Answer::status(307).header("Location", elsewhere)),
        ("r304", |_| Answer::status(304)),
        ("r302-near", |_| Answer::status(302).header("Location", "/elsewhere")),
    ];
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let documents: Vec<_> = answers
        .iter()
        .map(|(name, _)| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().callback("timeout: 1s").yaml())
        .collect();
    fail_first(&receiver, move |path| {
        answers.iter().find(|(name, _)| path == format!("/{name}")).map(|(_, answer)| answer(&elsewhere))
    });
    let site = Site::new(&documents);
    let pollinator = site.start();
    for (name, _) in &answers {
        pollinator.wait_ready(name);
    }
    provider.create("one");
    for (name, _) in &answers {
        let posts = receiver.try_wait_count(name, PATIENCE, 2).unwrap_or_else(|| panic!("{name}\n{}", pollinator.report(name)));
        assert_eq!(event_id(&posts[0].ask.body), event_id(&posts[1].ask.body), "{name}");
        assert_eq!(posts[0].event().data, posts[1].event().data, "{name}");
        pollinator.wait_for(name, "it was delivered", |row| row.delivered == 1);
    }
    provider.wait_polled(answers.len() * 2);
    for (name, _) in &answers {
        assert_eq!(receiver.posts(name).len(), 2, "{name}: once accepted, never again");
    }
    assert_eq!(trap.connections() + receiver.posts("elsewhere").len(), 0, "no redirect is followed");
}

#[test]
fn an_endless_answer_counts_by_its_status() {
    let scene = Scene::new();
    scene.receiver.answer(|_| {
        let filler = std::iter::repeat_with(|| vec![b'x'; 64 * 1024]);
        Answer::status(200).body(Body::Stream(Box::new(filler)))
    });
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 20));
    scene.assert_perfect(&pollinator);
    pollinator.wait_for("it", "all counted", |row| row.delivered == 20);
    assert!(pollinator.peak_memory().is_none_or(|mebibytes| mebibytes < 300));
}

#[test]
fn a_callback_that_hangs_holds_up_nobody_else() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|ask| {
        let hangs = ask.path().starts_with("/hangs");
        Answer::status(204).after(if hangs { Duration::from_mins(10) } else { Duration::ZERO })
    });
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().callback("timeout: 2m");
    let names: Vec<_> = (0..10).map(|n| format!("hangs-{n}")).collect();
    let mut documents: Vec<_> = names.iter().map(|name| instance(name).yaml()).collect();
    documents.push(instance("flows").yaml());
    let site = Site::new(&documents);
    let mut command = site.command();
    command.args(["--grace", "1s"]);
    let mut pollinator = site.spawn(command);
    for name in &names {
        pollinator.wait_ready(name);
    }
    pollinator.wait_ready("flows");
    provider.create_all(ids("r", 100));
    for name in &names {
        let caught = receiver.try_wait(name, PATIENCE, |posts| (!posts.is_empty()).then_some(()));
        assert!(caught.is_some(), "{}", pollinator.report(name));
    }
    for round in 0..3 {
        provider.create(&format!("after-{round}"));
        let verdict = rig::settle(&receiver, "flows", || provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &pollinator, "flows");
    }
    // requests that hang do not keep it from ending either
    assert!(pollinator.sigterm().success());
}

#[test]
fn a_callback_that_drips_ends_at_the_deadline_or_counts_by_its_status() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|ask| match ask.path() {
        "/head" => Answer::status(200).body(Body::DrippingHead),
        "/body" => Answer::status(200).body(Body::Stream(Box::new(std::iter::repeat_with(|| {
            std::thread::park_timeout(Duration::from_millis(100));
            b"x".to_vec()
        })))),
        _ => Answer::status(204),
    });
    let names = ["head", "body", "flows"];
    let instance = |name: &&str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().callback("timeout: 3s");
    let site = Site::new(&names.iter().map(|name| instance(name).yaml()).collect::<Vec<_>>());
    let pollinator = site.start();
    for name in names {
        pollinator.wait_ready(name);
    }
    provider.create_all(ids("r", 3));
    for name in ["body", "flows"] {
        let verdict = rig::settle(&receiver, name, || provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &pollinator, name);
    }
    pollinator.wait_reason("head", "CallbackUnreachable");
    let first = receiver.posts("head")[0].event().event_id;
    receiver.answer(|_| Answer::status(204));
    let again = receiver.try_wait("head", PATIENCE, |posts| {
        posts.iter().any(|post| post.status == Some(204) && post.event().event_id == first).then_some(())
    });
    assert!(again.is_some(), "{}", pollinator.report("head"));
}

#[test]
fn after_410_nothing_is_sent_until_the_callback_changes() {
    let scene = Scene::new();
    scene.receiver.answer(|ask| Answer::status(if ask.path() == "/it" { 410 } else { 204 }));
    let pollinator = scene.start();
    scene.provider.create("first");
    pollinator.wait_reason("it", "CallbackGone");
    scene.provider.create("second");
    let sent = scene.receiver.posts("it").len();
    // a restart does not forget it
    drop(pollinator);
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "CallbackGone");
    assert_eq!(scene.receiver.posts("it").len(), sent);
    let moved = Instance { callback_url: scene.receiver.url("moved"), ..scene.instance() };
    manifest::write(&scene.site.manifests(), "instances.yaml", &[moved.yaml()]);
    let verdict = rig::settle(&scene.receiver, "moved", || scene.provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "it");
    assert_eq!(scene.receiver.posts("it").len(), sent);
}

#[test]
fn a_callback_that_is_down_and_comes_back_gets_everything_once() {
    let mut scene = Scene::new();
    let pollinator = scene.start();
    scene.receiver.go_down();
    for (n, id) in (0..).zip(ids("r", 300)) {
        scene.provider.create_dated(&id, TimeDelta::milliseconds(n * 5));
    }
    let row = pollinator.wait_for("it", "CallbackUnreachable", |row| row.tells("CallbackUnreachable"));
    let message = row.told("CallbackUnreachable").unwrap();
    let host = scene.receiver.url("it").trim_start_matches("http://").trim_end_matches("/it").to_owned();
    assert!(message.starts_with(&format!("spec.callback.url ({host}): the connection was refused; ")), "{message}");
    assert_eq!((row.parked, row.set_aside), (0, 0), "the provider is the log");
    scene.receiver.come_back();
    scene.assert_perfect(&pollinator);
    pollinator.wait_for("it", "Ready again", |row| row.ready == "True" && row.delivered == 300);
}

#[test]
fn a_callback_that_is_down_gets_one_probe_a_step() {
    let scene = Scene::new();
    scene.receiver.answer(|_| Answer::status(503));
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("r", 50));
    let message = pollinator.wait_reason("it", "CallbackDown");
    assert!(message.contains(") answered 503: make the receiver answer 2xx; the last five distinct objects"), "{message}");
    for _ in 0..4 {
        assert!(pollinator.sigterm().success());
        let before = scene.receiver.count();
        scene.site.age(TimeDelta::hours(25));
        pollinator = scene.site.start();
        scene.wait_posts(before + 1, &pollinator);
        pollinator.wait_reason("it", "CallbackDown");
        // the wait before the next probe is minutes at least by now: a restart neither tries early nor burns a try
        assert!(pollinator.sigterm().success());
        pollinator = scene.site.start();
        pollinator.wait_for("it", "its first job", |row| row.tells("CallbackDown"));
        assert_eq!(scene.receiver.count(), before + 1, "one probe");
    }
    scene.receiver.answer(|_| Answer::status(204));
    assert!(pollinator.sigterm().success());
    scene.site.age(TimeDelta::hours(25));
    let pollinator = scene.site.start();
    scene.assert_perfect(&pollinator);
}

/// The manifest with this number of resources, `r0` and so on, that all list the same.
fn with_resources(instance: &Instance, count: usize) -> String {
    let yaml = instance.yaml();
    let (head, rest) = yaml.split_once("  - name: records\n").expect("it has one resource");
    let (resource, tail) = rest.split_once("  callback:\n").expect("a callback follows");
    let resources: Vec<_> = (0..count).map(|number| format!("  - name: r{number}\n{resource}")).collect();
    format!("{head}{}  callback:\n{tail}", resources.concat())
}

#[test]
fn a_callback_that_is_down_gets_one_probe_a_step_from_all_resources_together() {
    const RESOURCES: usize = 8;
    let scene = Scene::new();
    manifest::write(&scene.site.manifests(), "instances.yaml", &[with_resources(&scene.instance(), RESOURCES)]);
    scene.receiver.answer(|_| Answer::status(503));
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("r", 10));
    pollinator.wait_reason("it", "CallbackDown");
    assert!(pollinator.sigterm().success());
    let before = scene.receiver.count();
    scene.site.age(TimeDelta::hours(25));
    // long enough for each resource to find that a probe is due
    scene.receiver.answer(|_| Answer::status(503).after(Duration::from_secs(2)));
    let mut pollinator = scene.site.start();
    scene.wait_posts(before + 1, &pollinator);
    pollinator.wait_for("it", "the job of each resource has ended", |row| {
        row.resources.iter().all(|resource| resource.conditions.iter().any(|condition| condition.kind == "Polled"))
    });
    assert!(pollinator.sigterm().success());
    assert_eq!(scene.receiver.count(), before + 1, "one probe");
    scene.receiver.answer(|_| Answer::status(204));
    scene.site.age(TimeDelta::hours(25));
    let pollinator = scene.site.start();
    pollinator.wait_for("it", "all are delivered", |row| row.delivered == 10 * RESOURCES as u64);
}

/// Requests for one object get this status as long as told, all others are accepted.
fn refuse(receiver: &Receiver, object: &'static str, status: u16) {
    receiver.answer(move |ask| {
        let event: Value = serde_json::from_slice(&ask.body).unwrap();
        Answer::status(if event["subject"] == object { status } else { 204 })
    });
}

fn tries(scene: &Scene, object: &str) -> usize {
    scene.receiver.posts("it").iter().filter(|post| post.event().object == object).count()
}

#[test]
fn a_poisonous_object_is_set_aside_then_parked_while_the_rest_flows() {
    let scene = Scene::new();
    refuse(&scene.receiver, "bad", 422);
    let mut pollinator = scene.start();
    scene.provider.create("bad");
    for attempt in 1..=5 {
        let tried = scene.receiver.try_wait("it", PATIENCE, |posts| {
            (posts.iter().filter(|post| post.event().object == "bad").count() >= attempt).then_some(())
        });
        assert!(tried.is_some(), "try {attempt}\n{}", pollinator.report("it"));
        let flowing = u64::try_from(attempt).unwrap();
        scene.provider.create(&format!("good-{attempt}"));
        pollinator.wait_for("it", "the rest flows", |row| row.delivered == flowing);
        // the second try comes after seconds, the others are hours apart
        if (2..5).contains(&attempt) {
            let waits = u64::from(attempt >= 3);
            let what = "set aside after three tries";
            pollinator.wait_for("it", what, |row| row.set_aside == waits && row.parked == 0);
            assert!(pollinator.sigterm().success());
            assert_eq!(tries(&scene, "bad"), attempt, "not before its time");
            scene.site.age(TimeDelta::hours(25));
            pollinator = scene.site.start();
        }
    }
    let row = pollinator.wait_for("it", "parked after five refusals", |row| row.parked == 1);
    assert_eq!(row.set_aside, 0);
    assert!(row.tells("EventsParked"));
    // it stays parked, whatever the time, until a person asks
    assert!(pollinator.sigterm().success());
    scene.site.age(TimeDelta::hours(100));
    let pollinator = scene.site.start();
    scene.provider.create("good-last");
    pollinator.wait_for("it", "the rest flows", |row| row.delivered == 6 && row.parked == 1);
    assert_eq!(tries(&scene, "bad"), 5);
    scene.receiver.answer(|_| Answer::status(204));
    manifest::write(
        &scene.site.manifests(),
        "instances.yaml",
        &[scene.instance().annotated("pollinator.dev/redeliver: records").yaml()],
    );
    pollinator.wait_for("it", "redelivered", |row| row.parked == 0 && row.delivered == 7);
    scene.assert_perfect(&pollinator);
}

/// A first read has no lower bound until all of it is sent, however far apart the dates of its records are.
#[test]
fn a_refused_event_of_the_first_read_brings_no_other_again() {
    let row = |id: i64| {
        let at = (Utc::now() - TimeDelta::days(20 - id)).format("%Y-%m-%dT00:00:00Z");
        format!(r#"{{"id":{id},"updated":"{at}","created":"{at}"}}"#)
    };
    for order in ["Ascending", "Descending", "Unordered"] {
        let mut rows: Vec<_> = (1..=13).map(row).collect();
        if order == "Descending" {
            rows.reverse();
        }
        let server = Server::start(move |_| Answer::json(format!("[{}]", rows.join(","))));
        let receiver = Receiver::start();
        let resource = format!("url: /c\npagination: {{none: {{}}}}\norder: {order}\n{DATES}");
        let instance = Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource(&resource);
        let polls = Polls::new(&[instance.yaml()]);
        let newest = |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|event| event["subject"] == "13");
        receiver.answer(move |ask| Answer::status(if newest(&ask.body) { 500 } else { 204 }));
        for _ in 0..3 {
            polls.poll();
            assert_eq!(receiver.delivered("it").len(), 12, "{order}");
        }
        receiver.answer(|_| Answer::status(204));
        polls.age();
        polls.poll();
        polls.poll();
        assert_eq!(receiver.delivered("it").len(), 13, "{order}");
    }
}

#[test]
fn a_poisonous_object_in_a_batch_takes_no_other_with_it() {
    let scene = Scene::with(Provider::start(), |instance| instance.callback("format: OpenConnectors"));
    scene.receiver.answer(|ask| {
        let body = String::from_utf8_lossy(&ask.body).into_owned();
        Answer::status(if body.contains("\"bad\"") { 422 } else { 204 })
    });
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 14).chain(["bad".to_owned()]).chain(ids("s", 14)));
    pollinator.wait_for("it", "the rest flows", |row| row.delivered == 28);
    let delivered = scene.receiver.delivered("it");
    let objects: BTreeSet<_> = delivered.iter().map(|event| &event.object).collect();
    assert_eq!((delivered.len(), objects.len()), (28, 28), "each once");
    let troubled = pollinator.rows("it").into_iter().find(|row| row.ready == "False");
    assert!(troubled.is_none(), "one refused object is not the callback's trouble: {troubled:?}");
}

/// Creates an object that the receiver refuses three times; the process that is left has just sent it for the third time.
fn refused_three_times(scene: &Scene) -> Pollinator {
    refuse(&scene.receiver, "bad", 500);
    let mut pollinator = scene.start();
    scene.provider.create("bad");
    for attempt in 1..=3 {
        scene.wait_posts(attempt, &pollinator);
        if attempt < 3 {
            assert!(pollinator.sigterm().success());
            scene.site.age(TimeDelta::hours(1));
            pollinator = scene.site.start();
        }
    }
    pollinator
}

#[test]
fn a_newer_version_takes_the_place_of_the_one_set_aside() {
    let scene = Scene::new();
    let pollinator = refused_three_times(&scene);
    pollinator.wait_for("it", "set aside", |row| row.set_aside == 1);
    scene.receiver.answer(|_| Answer::status(204));
    scene.provider.update("bad");
    pollinator.wait_for("it", "the newer one was delivered", |row| row.set_aside == 0 && row.delivered == 1);
    let versions: Vec<_> = scene.receiver.delivered("it").iter().map(|event| provider::version(&event.data)).collect();
    assert_eq!(versions, [Some(2)], "latest state wins");
}

#[test]
fn what_is_set_aside_is_sent_whatever_the_provider_lacks() {
    let scene = Scene::new();
    assert!(refused_three_times(&scene).sigterm().success());
    scene.site.age(TimeDelta::hours(1));
    scene.receiver.answer(|_| Answer::status(204));
    let locked_out = Instance { auth: "basic: {secretRef: {name: absent}}".to_owned(), ..scene.instance() };
    manifest::write(&scene.site.manifests(), "instances.yaml", &[locked_out.yaml()]);
    let pollinator = scene.site.start();
    pollinator.wait_for("it", "it was sent", |row| row.set_aside == 0 && row.delivered == 1 && row.tells("SecretNotFound"));
    assert_eq!(tries(&scene, "bad"), 4);
}

#[test]
fn a_wish_for_patience_holds_over_a_restart() {
    let scene = Scene::new();
    let until = httpdate::fmt_http_date((Utc::now() + TimeDelta::hours(2)).into());
    scene.receiver.answer(move |_| Answer::status(429).header("Retry-After", until.clone()));
    let mut pollinator = scene.start();
    scene.provider.create("one");
    scene.wait_posts(1, &pollinator);
    scene.provider.create("two");
    scene.provider.create("three");
    assert!(pollinator.sigterm().success());
    let sent = scene.receiver.count();
    scene.site.age(TimeDelta::minutes(90));
    let mut pollinator = scene.site.start();
    pollinator.wait_reason("it", "CallbackFailing");
    assert!(pollinator.sigterm().success());
    assert_eq!(scene.receiver.count(), sent, "half an hour is left");
    scene.receiver.answer(|_| Answer::status(204));
    scene.site.age(TimeDelta::minutes(40));
    let pollinator = scene.site.start();
    scene.assert_perfect(&pollinator);
}

#[test]
fn refused_credentials_are_tried_again_slowly() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|ask| Answer::status(if ask.path() == "/r401" { 401 } else { 403 }));
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().yaml();
    let site = Site::new(&[instance("r401"), instance("r403")]);
    let mut pollinator = site.start();
    for name in ["r401", "r403"] {
        pollinator.wait_ready(name);
    }
    provider.create_all(ids("r", 10));
    for name in ["r401", "r403"] {
        let message = pollinator.wait_reason(name, "CallbackUnauthorized");
        assert!(message.contains("callback"), "{message}");
    }
    assert!(pollinator.sigterm().success());
    receiver.answer(|_| Answer::status(204));
    site.age(TimeDelta::hours(1));
    let pollinator = site.start();
    for name in ["r401", "r403"] {
        let verdict = rig::settle(&receiver, name, || provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &pollinator, name);
    }
}

#[test]
fn what_was_refused_for_its_credentials_is_tried_as_soon_as_the_secret_is_mended() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|ask| Answer::status(if ask.header("x-key") == Some("good") { 204 } else { 401 }));
    let documents = |key: &str| {
        let instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth();
        let secret =
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, namespace: it}}\nstringData: {{X-Key: {key}}}\n");
        [instance.callback("headersSecretRef: {name: keys}").yaml(), secret]
    };
    let site = Site::new(&documents("bad"));
    let pollinator = site.start();
    pollinator.wait_ready("it");
    provider.create("one");
    pollinator.wait_reason("it", "CallbackUnauthorized");
    // the next try by itself is minutes away
    manifest::write(&site.manifests(), "instances.yaml", &documents("good"));
    let verdict = rig::settle(&receiver, "it", || provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "it");
}

#[test]
fn a_deletion_comes_again_under_its_id_although_the_cursor_has_left_the_version_before_it() {
    let start = "2026-11-24T10:00:05Z".parse().unwrap();
    let provider = Provider::start().clock_at(start).unit(Unit::Minute);
    let receiver = Receiver::start();
    let instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth();
    let polls = Polls::new(&[instance.resource(&provider.resource()).yaml()]);
    polls.poll();
    // two versions of one minute: that the second is another one is remembered, and a part of the id of what follows
    provider.create("a");
    polls.poll();
    provider.update("a");
    polls.poll();
    provider.pass(TimeDelta::hours(1));
    fail_first(&receiver, |_| Some(Answer::hang_up()));
    provider.delete("a");
    polls.poll();
    let lost = receiver.posts("it").pop().unwrap();
    polls.age();
    polls.poll();
    let again = receiver.posts("it").pop().unwrap();
    assert_eq!((lost.status, again.status), (None, Some(204)));
    assert_eq!(event_id(&again.ask.body), event_id(&lost.ask.body));
    let verdict = rig::settle(&receiver, "it", || provider.truth(), provider::version);
    assert!(verdict.is_sound(), "{verdict}");
}
