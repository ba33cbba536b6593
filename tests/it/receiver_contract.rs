//! What a receiver gets, judged by official libraries, and what each of its answers leads to.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use cloudevents::AttributesReader as _;
use cloudevents::event::ExtensionValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::Sha256;
use standardwebhooks::Webhook;

use crate::rig::http::{Answer, Ask, Body, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::{Post, Receiver};
use crate::rig::{self, PATIENCE, canary};

const SIGNED: &str = "signature: {secretRef: {name: signing, key: signing-key}}";

fn headers(ask: &Ask) -> HeaderMap {
    let pair = |(name, value): &(String, String)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    ask.headers.iter().map(pair).collect()
}

fn verifies(post: &Post, key: &str) -> bool {
    Webhook::new(key).unwrap().verify(&post.ask.body, &headers(&post.ask)).is_ok()
}

fn accepted(receiver: &Receiver, instance: &str, count: usize, pollinator: &Pollinator) -> Vec<Post> {
    let enough = |posts: &[&Post]| {
        let accepted: Vec<_> = posts.iter().filter(|post| post.accepted()).map(|post| Post::clone(post)).collect();
        (accepted.len() >= count).then_some(accepted)
    };
    receiver
        .try_wait(instance, PATIENCE, enough)
        .unwrap_or_else(|| panic!("{instance}: too few\n{}", pollinator.report(instance)))
}

#[test]
fn the_official_library_verifies_every_request_while_the_secret_rotates() {
    let (new, old) = (canary::SIGNING_KEY, canary::SIGNING_KEY_PREVIOUS);
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth();
    let site = Site::new(&[
        instance("events").callback(SIGNED).yaml(),
        instance("elements").callback(&format!("format: OpenConnectors\n{SIGNED}")).yaml(),
        instance("unsigned").yaml(),
    ]);
    let rotate =
        |entries: &[(&str, &str)]| manifest::write(&site.manifests(), "signing.yaml", &[manifest::secret("signing", entries)]);
    rotate(&[("signing-key", old)]);
    let pollinator = site.start();
    for name in ["events", "elements", "unsigned"] {
        pollinator.wait_ready(name);
    }
    let mut seen = BTreeMap::new();
    let mut send = |round: &str| {
        provider.create(&format!("r-{round}"));
        let mut new_posts = Vec::new();
        for name in ["events", "elements"] {
            let before = seen.insert(name, receiver.posts(name).len()).unwrap_or(0);
            new_posts.extend(accepted(&receiver, name, before + 1, &pollinator).split_off(before));
            seen.insert(name, before + 1);
        }
        new_posts
    };
    for post in send("before") {
        assert!(verifies(&post, old) && !verifies(&post, new), "{}", post.ask.path());
    }
    // a change of manifests is picked up within a second; until then the old key signs
    let mut turned = |entries: &[(&str, &str)], round: &str, done: &dyn Fn(&Post) -> bool| {
        rotate(entries);
        for attempt in 0..10 {
            let posts = send(&format!("{round}-{attempt}"));
            if posts.iter().all(done) {
                return;
            }
            assert!(posts.iter().all(|post| verifies(post, old)), "a request that no key verifies");
        }
        panic!("the new secret was not picked up");
    };
    turned(&[("signing-key", new), ("signing-key-previous", old)], "both", &|post| verifies(post, old) && verifies(post, new));
    turned(&[("signing-key", new)], "after", &|post| verifies(post, new) && !verifies(post, old));

    for post in receiver.posts("elements") {
        let given = post.ask.header("elements-webhook-signature").expect("signed");
        let made = |key: &str| {
            let key = STANDARD.decode(key.trim_start_matches("whsec_")).unwrap();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(&post.ask.body);
            format!("sha256={}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        assert!(given == made(new) || given == made(old));
        assert_eq!(post.ask.header("elements-webhook-id"), post.ask.header("webhook-id"));
    }
    for post in receiver.posts("unsigned") {
        assert!(post.ask.header("webhook-signature").is_none() && post.ask.header("webhook-id").is_some());
    }
}

#[test]
fn the_official_library_parses_every_event() {
    let provider =
        Provider::start().extra(",\"big\":9007199254740993,\"exact\":1.10,\"text\":\"Zoë \\u20ac\",\"nothing\":null");
    let receiver = Receiver::start();
    let site = Site::new(&[Instance::new("parsed", &provider.url(), &receiver.url("parsed"))
        .basic_auth()
        .callback("headersSecretRef: {name: extra}")
        .yaml()]);
    manifest::write(&site.manifests(), "extra.yaml", &[manifest::secret("extra", &[("X-Api-Key", canary::HEADER)])]);
    let pollinator = site.start();
    pollinator.wait_ready("parsed");
    provider.create("r/1 ä");
    provider.create("r-2");
    accepted(&receiver, "parsed", 2, &pollinator);
    provider.update("r-2");
    accepted(&receiver, "parsed", 3, &pollinator);
    provider.delete("r-2");
    accepted(&receiver, "parsed", 4, &pollinator);

    let mut types = Vec::new();
    for post in receiver.posts("parsed") {
        assert_eq!(post.ask.method, "POST");
        assert_eq!(post.ask.header("x-api-key"), Some(canary::HEADER));
        let media = post.ask.header("content-type").unwrap();
        assert!(media.starts_with("application/cloudevents+json"), "{media}");
        let event: cloudevents::Event = serde_json::from_slice(&post.ask.body).expect("a CloudEvent");
        assert_eq!(event.specversion().to_string(), "1.0");
        assert_eq!(event.source(), "/namespaces/it/connectorinstances/parsed");
        assert_eq!(Some(event.id()), post.ask.header("webhook-id"));
        assert!(!event.id().contains('.'), "Standard Webhooks allows no dot in an id");
        assert_eq!(event.extension("resource"), Some(&ExtensionValue::String("records".into())));
        assert!(event.extension("polltime").is_some() && event.time().is_some());
        types.push(format!("{} {}", event.ty().rsplit('.').next().unwrap(), event.subject().unwrap()));
        if event.ty().ends_with("deleted") {
            continue;
        }
        // exactly as the provider sent it: numbers, escapes, order
        let raw = String::from_utf8(post.ask.body.clone()).unwrap();
        assert!(raw.contains(",\"big\":9007199254740993,\"exact\":1.10,\"text\":\"Zoë \\u20ac\",\"nothing\":null"), "{raw}");
    }
    types.sort();
    assert_eq!(types, ["created r-2", "created r/1 ä", "deleted r-2", "updated r-2"]);
}

#[test]
fn open_connectors_bodies_look_as_its_formulas_expect() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("old", &provider.url(), &receiver.url("old"))
        .basic_auth()
        .spec("tags: [Docs, Trial]")
        .callback("format: OpenConnectors")
        .yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("old");
    provider.create_all((0..25).map(|n| format!("r-{n:02}")));
    let posts = accepted(&receiver, "old", 3, &pollinator);
    let mut objects = BTreeSet::new();
    for post in &posts {
        let body: Value = serde_json::from_slice(&post.ask.body).unwrap();
        let message = &body["message"];
        let events = message["events"].as_array().unwrap();
        assert!((1..=10).contains(&events.len()), "{}", events.len());
        assert_eq!(message["raw"]["events"], message["events"]);
        assert_eq!(message["raw"]["objectType"], "records");
        assert_eq!(message["raw"]["eventId"], message["eventId"]);
        assert_eq!(message["instanceTags"], serde_json::json!(["Docs", "Trial"]));
        assert_eq!(message["eventId"].as_str(), post.ask.header("elements-webhook-id"));
        let records = message["raw"]["records"].as_array().unwrap();
        assert_eq!(records.len(), events.len(), "just the records of these events");
        for (event, record) in events.iter().zip(records) {
            assert_eq!((&event["objectType"], &event["eventType"]), (&"records".into(), &"CREATED".into()));
            assert_eq!(event["objectId"], record["id"], "in the same order");
            for field in ["date", "pollDate"] {
                assert!(DateTime::parse_from_rfc3339(event[field].as_str().unwrap()).is_ok(), "{field}: {}", event[field]);
            }
            assert!(objects.insert(record["id"].clone().to_string()), "each once");
        }
    }
    assert_eq!(objects.len(), 25);
}

/// Answers the first request of each event with the answer, all others with 204.
fn fail_first(receiver: &Receiver, answer: impl Fn(&str) -> Option<Answer> + Send + 'static) {
    let mut failed = BTreeSet::new();
    receiver.answer(move |ask| {
        let id = ask.header("webhook-id").unwrap_or_default().to_owned();
        if failed.insert(id) { answer(ask.path()).unwrap_or_else(|| Answer::status(204)) } else { Answer::status(204) }
    });
}

#[test]
fn a_failed_request_is_repeated_with_the_same_id_and_body() {
    let trap = Server::start(|_| Answer::status(204));
    let elsewhere = trap.url();
    let answers: [(&str, fn(&str) -> Answer); 15] = [
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
        ("silence", |_| Answer::status(204).after(std::time::Duration::from_secs(5))),
        ("r302", |elsewhere| Answer::status(302).header("Location", elsewhere)),
        ("r307", |elsewhere| Answer::status(307).header("Location", elsewhere)),
        ("r304", |_| Answer::status(304)),
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
        let two = |posts: &[&Post]| (posts.len() >= 2).then(|| posts.iter().map(|post| Post::clone(post)).collect::<Vec<_>>());
        let posts = receiver.try_wait(name, PATIENCE, two).unwrap_or_else(|| panic!("{name}\n{}", pollinator.report(name)));
        assert_eq!(posts[0].ask.header("webhook-id"), posts[1].ask.header("webhook-id"), "{name}");
        assert_eq!(posts[0].event().data, posts[1].event().data, "{name}");
        pollinator.wait_for(name, "it was delivered", |row| row.delivered == 1);
    }
    provider.wait_polled(answers.len() * 2);
    for (name, _) in &answers {
        assert_eq!(receiver.posts(name).len(), 2, "{name}: once accepted, never again");
    }
    assert_eq!(trap.connections(), 0, "no redirect is followed");
}

#[test]
fn an_endless_answer_counts_by_its_status() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|_| {
        let filler = std::iter::repeat_with(|| vec![b'x'; 64 * 1024]);
        Answer::status(200).body(Body::Stream(Box::new(filler)))
    });
    let site = Site::new(&[Instance::new("chatty", &provider.url(), &receiver.url("chatty")).basic_auth().yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("chatty");
    provider.create_all((0..20).map(|n| format!("r-{n}")));
    let verdict = rig::settle(&receiver, "chatty", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "chatty");
    pollinator.wait_for("chatty", "all counted", |row| row.delivered == 20);
    assert!(pollinator.peak_memory().is_none_or(|mebibytes| mebibytes < 300));
}

#[test]
fn after_410_nothing_is_sent_until_the_callback_changes() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|ask| Answer::status(if ask.path() == "/gone" { 410 } else { 204 }));
    let instance = |name: &str| Instance::new("moved", &provider.url(), &receiver.url(name)).basic_auth();
    let site = Site::new(&[instance("gone").yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("moved");
    provider.create("first");
    pollinator.wait_reason("moved", "CallbackGone");
    provider.create("second");
    let sent = receiver.posts("gone").len();
    // a restart does not forget it
    drop(pollinator);
    let pollinator = site.start();
    pollinator.wait_reason("moved", "CallbackGone");
    assert_eq!(receiver.posts("gone").len(), sent);
    manifest::write(&site.manifests(), "instances.yaml", &[instance("new").yaml()]);
    let verdict = rig::settle(&receiver, "new", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "moved");
    assert_eq!(receiver.posts("gone").len(), sent);
}

#[test]
fn a_callback_that_is_down_and_comes_back_gets_everything_once() {
    let (provider, mut receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("down", &provider.url(), &receiver.url("down")).basic_auth().yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("down");
    receiver.go_down();
    provider.create_all((0..300).map(|n| format!("r-{n:03}")));
    let row = pollinator.wait_for("down", "CallbackDown", |row| row.tells("CallbackDown"));
    assert_eq!((row.parked, row.set_aside), (0, 0), "the provider is the log");
    receiver.come_back();
    let verdict = rig::settle(&receiver, "down", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "down");
    pollinator.wait_for("down", "Ready again", |row| row.ready == "True" && row.delivered == 300);
}

#[test]
fn a_callback_that_is_down_gets_one_probe_a_step() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    receiver.answer(|_| Answer::status(503));
    let site = Site::new(&[Instance::new("probed", &provider.url(), &receiver.url("probed")).basic_auth().yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("probed");
    provider.create_all((0..50).map(|n| format!("r-{n:02}")));
    pollinator.wait_reason("probed", "CallbackDown");
    for _ in 0..4 {
        assert!(pollinator.sigterm().success());
        let before = receiver.count();
        site.age(TimeDelta::hours(25));
        pollinator = site.start();
        let probed = receiver.try_wait("probed", PATIENCE, |posts| (posts.len() > before).then_some(()));
        assert!(probed.is_some(), "{}", pollinator.report("probed"));
        pollinator.wait_reason("probed", "CallbackDown");
        // the wait before the next probe is hours by now: a restart neither tries early nor burns a try
        let after = receiver.count();
        pollinator.kill9();
        pollinator = site.start();
        pollinator.wait_reason("probed", "CallbackDown");
        assert_eq!(receiver.count(), after);
        assert_eq!(after, before + 1, "one probe");
    }
    receiver.answer(|_| Answer::status(204));
    assert!(pollinator.sigterm().success());
    site.age(TimeDelta::hours(25));
    let pollinator = site.start();
    let verdict = rig::settle(&receiver, "probed", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "probed");
}

/// A request for one object is refused as long as told, everything else is accepted.
fn refuse(receiver: &Receiver, object: &'static str, status: u16) {
    receiver.answer(move |ask| {
        let event: Value = serde_json::from_slice(&ask.body).unwrap();
        Answer::status(if event["subject"] == object { status } else { 204 })
    });
}

fn tries(receiver: &Receiver, instance: &str, object: &str) -> usize {
    receiver.posts(instance).iter().filter(|post| post.event().object == object).count()
}

#[test]
fn a_poisonous_object_is_set_aside_then_parked_while_the_rest_flows() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = || Instance::new("poison", &provider.url(), &receiver.url("poison")).basic_auth();
    refuse(&receiver, "bad", 422);
    let site = Site::new(&[instance().yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("poison");
    provider.create("bad");
    let mut flowing = 0;
    // five tries, hours apart by the schedule: the clock is turned forward between them
    for attempt in 1..=5 {
        let tried = receiver.try_wait("poison", PATIENCE, |posts| {
            (posts.iter().filter(|post| post.event().object == "bad").count() >= attempt).then_some(())
        });
        assert!(tried.is_some(), "try {attempt}\n{}", pollinator.report("poison"));
        provider.create(&format!("good-{attempt}"));
        flowing += 1;
        pollinator.wait_for("poison", "the rest flows", |row| row.delivered == flowing);
        if attempt < 5 {
            let waits = if attempt >= 3 { 1 } else { 0 };
            pollinator.wait_for("poison", "set aside after three tries", |row| row.set_aside == waits && row.parked == 0);
            assert!(pollinator.sigterm().success());
            assert_eq!(tries(&receiver, "poison", "bad"), attempt, "not before its time");
            site.age(TimeDelta::hours(25));
            pollinator = site.start();
        }
    }
    let row = pollinator.wait_for("poison", "parked after five refusals", |row| row.parked == 1);
    assert_eq!(row.set_aside, 0);
    assert!(row.tells("EventsParked"));
    // it stays parked, whatever the time, until a person asks
    assert!(pollinator.sigterm().success());
    site.age(TimeDelta::hours(100));
    let pollinator = site.start();
    provider.create("good-last");
    pollinator.wait_for("poison", "the rest flows", |row| row.delivered == flowing + 1 && row.parked == 1);
    assert_eq!(tries(&receiver, "poison", "bad"), 5);
    receiver.answer(|_| Answer::status(204));
    let asked_for =
        instance().yaml().replace("namespace: it}", "namespace: it, annotations: {pollinator.dev/redeliver: records}}");
    manifest::write(&site.manifests(), "instances.yaml", &[asked_for]);
    pollinator.wait_for("poison", "redelivered", |row| row.parked == 0 && row.delivered == flowing + 2);
    let verdict = rig::settle(&receiver, "poison", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "poison");
}

#[test]
fn a_newer_version_takes_the_place_of_the_one_set_aside() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    refuse(&receiver, "bad", 500);
    let site = Site::new(&[Instance::new("newer", &provider.url(), &receiver.url("newer")).basic_auth().yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("newer");
    provider.create("bad");
    for attempt in 1..=3 {
        let tried = receiver.try_wait("newer", PATIENCE, |posts| (posts.len() >= attempt).then_some(()));
        assert!(tried.is_some(), "try {attempt}\n{}", pollinator.report("newer"));
        if attempt < 3 {
            pollinator.sigterm();
            site.age(TimeDelta::hours(1));
            pollinator = site.start();
        }
    }
    pollinator.wait_for("newer", "set aside", |row| row.set_aside == 1);
    receiver.answer(|_| Answer::status(204));
    provider.update("bad");
    pollinator.wait_for("newer", "the newer one was delivered", |row| row.set_aside == 0 && row.delivered == 1);
    let delivered = receiver.delivered("newer");
    assert_eq!(
        delivered.iter().map(|event| provider::version(&event.data)).collect::<Vec<_>>(),
        [Some(2)],
        "latest state wins"
    );
}

#[test]
fn a_wish_for_patience_holds_over_a_restart() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let until = Utc::now() + TimeDelta::hours(2);
    let date = httpdate::fmt_http_date(until.into());
    receiver.answer(move |_| Answer::status(429).header("Retry-After", date.clone()));
    let site = Site::new(&[Instance::new("patient", &provider.url(), &receiver.url("patient")).basic_auth().yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("patient");
    provider.create("one");
    let seen = receiver.try_wait("patient", PATIENCE, |posts| (!posts.is_empty()).then_some(()));
    assert!(seen.is_some(), "{}", pollinator.report("patient"));
    provider.create("two");
    provider.create("three");
    pollinator.sigterm();
    let sent = receiver.count();
    site.age(TimeDelta::minutes(90));
    let mut pollinator = site.start();
    pollinator.wait_for("patient", "it runs", |row| row.ready != "Unknown" || row.tells("Starting"));
    pollinator.sigterm();
    assert_eq!(receiver.count(), sent, "half an hour is left");
    receiver.answer(|_| Answer::status(204));
    site.age(TimeDelta::minutes(40));
    let pollinator = site.start();
    let verdict = rig::settle(&receiver, "patient", &provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "patient");
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
    provider.create_all((0..10).map(|n| format!("r-{n}")));
    for name in ["r401", "r403"] {
        let message = pollinator.wait_reason(name, "CallbackUnauthorized");
        assert!(message.contains("callback"), "{message}");
    }
    pollinator.sigterm();
    receiver.answer(|_| Answer::status(204));
    site.age(TimeDelta::hours(1));
    let pollinator = site.start();
    for name in ["r401", "r403"] {
        let verdict = rig::settle(&receiver, name, &provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &pollinator, name);
    }
}
