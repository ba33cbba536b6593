//! What a receiver gets, judged by official libraries, and by the code that the documentation offers.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use cloudevents::AttributesReader as _;
use cloudevents::event::ExtensionValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::Provider;
use crate::rig::receiver::{Post, Receiver};
use crate::rig::{PATIENCE, canary};

mod snippets;

const SIGNED: &str = "signature: {secretRef: {name: signing, key: signing-key}}";

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
        assert!(post.verifies(old) && !post.verifies(new), "{}", post.ask.path());
    }
    // a change of manifests is picked up within a second; until then the old key signs
    let mut turned = |entries: &[(&str, &str)], round: &str, done: &dyn Fn(&Post) -> bool| {
        rotate(entries);
        for attempt in 0..10 {
            let posts = send(&format!("{round}-{attempt}"));
            if posts.iter().all(done) {
                return;
            }
            // the change may come between the two
            assert!(posts.iter().all(|post| done(post) || post.verifies(old)), "a request that no key verifies");
        }
        panic!("the new secret was not picked up");
    };
    turned(&[("signing-key", new), ("signing-key-previous", old)], "both", &|post| post.verifies(old) && post.verifies(new));
    turned(&[("signing-key", new)], "after", &|post| post.verifies(new) && !post.verifies(old));

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
        assert!(!post.ask.headers.iter().any(|(name, _)| name.starts_with("webhook-")), "no half of the headers");
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
