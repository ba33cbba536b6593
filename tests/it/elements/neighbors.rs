//! What a change must not reach, and what must not keep it from taking effect: another receiver, and a damaged file next to it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Scene;
use crate::rig::PATIENCE;
use crate::rig::receiver::Receiver;

const NAME: &str = "api-instance-with-polling";

#[test]
fn a_secret_of_one_receiver_never_reaches_another() {
    let scene = Scene::new();
    let api = scene.start();
    let mut page = scene.page();
    let own = scene.receiver.url(NAME);
    page["configuration"]["event.notification.callback.url"] = format!("{own}?token=T0KEN-1").into();
    page["configuration"]["event.notification.callback.headers"] = "X-Own: hunter2".into();
    let created = api.must("POST", "/instances/", Some(&json!({"status": "success", "elementInstance": page})));
    let path = format!("/instances/{}", created["id"]);
    api.local.wait_ready(NAME);
    scene.provider.create("first");
    let posts = scene.receiver.try_wait_count(NAME, PATIENCE, 1).unwrap_or_else(|| panic!("{}", api.local.report(NAME)));
    assert!(posts[0].ask.target.ends_with("?token=T0KEN-1"), "{}", posts[0].ask.target);
    assert_eq!(created["configuration"]["event.notification.callback.url"], format!("{own}?token=********"));

    // what comes back as it was given out changes nothing, with or without the tokens of the consent
    let mut whole = created.clone();
    let settings = whole["configuration"].as_object_mut().expect("settings");
    settings.remove("oauth.user.refresh_token").expect("a mask");
    assert_eq!(api.must("PUT", &format!("{path}/"), Some(&whole)), created);
    let file = scene.site.manifests().join(format!("default.{NAME}.yaml"));
    let manifest = || fs::read_to_string(&file).expect("a file");
    assert!(manifest().contains("T0KEN-1") && manifest().contains("hunter2"));

    let other = Receiver::start();
    let moved = json!({"configuration": {"event.notification.callback.url": other.url(NAME)}});
    let reply = api.ask("PATCH", &path, Some(&moved));
    let warnings: Vec<_> = reply.headers.get_all("warning").iter().map(|value| value.to_str().expect("text")).collect();
    assert!(
        reply.status == 200 && warnings.iter().any(|one| one.contains("headers of the callback were removed")),
        "{warnings:?}"
    );
    assert!(!manifest().contains("T0KEN-1") && !manifest().contains("hunter2"), "nothing of it is left");
    scene.provider.create("second");
    let posts = other.try_wait_count(NAME, PATIENCE, 1).unwrap_or_else(|| panic!("{}", api.local.report(NAME)));
    assert!(!posts[0].ask.target.contains('?'), "{}", posts[0].ask.target);
    assert!(posts[0].ask.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("x-own")), "{:?}", posts[0].ask.headers);
    assert_eq!(scene.receiver.count(), 1);
}

#[test]
fn a_damaged_file_keeps_no_change_from_taking_effect() {
    let scene = Scene::new();
    let api = scene.start();
    let created = api.must("POST", "/instances", Some(&scene.page()));
    let path = format!("/instances/{}", created["id"]);
    api.local.wait_ready(NAME);
    fs::write(scene.site.manifests().join("zz.yaml"), "kind: [\n").expect("a file");
    api.local.wait_stderr("some manifests cannot be used");

    assert_eq!(api.must("DELETE", &format!("{path}/enabled"), None)["disabled"], true);
    api.local.wait_reason(NAME, "Suspended");
    let mut second = scene.page();
    second["name"] = "second".into();
    api.must("POST", "/instances", Some(&second));
    api.local.wait_ready("second");

    // a setting that has no value yet, and one that is taken away
    let key = format!("{path}/configuration/event.notification.signature.key");
    let signed = api.must("PATCH", &key, Some(&json!({"propertyValue": "a-key-of-some-length"})));
    assert_eq!((&signed["key"], &signed["propertyValue"]), (&json!("event.notification.signature.key"), &json!("********")));
    assert_eq!(api.must("PATCH", &key, Some(&json!({"propertyValue": ""})))["propertyValue"], Value::Null);
    let all = api.must("GET", &format!("{path}/configuration"), None);
    let page = api.must("GET", &format!("{path}/configuration?page=2&pageSize=2"), None);
    assert_eq!((&page[0], page.as_array().map(Vec::len)), (&all[2], Some(2)));

    // one's own damaged file is called that
    let file = scene.site.manifests().join(format!("default.{NAME}.yaml"));
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replace("idField", "idfield")).expect("a file");
    let told = api.refused(409, "PATCH", &path, Some(&json!({"tags": ["a"]})));
    assert!(told.contains("cannot be used") && told.contains("idField"), "{told}");
    fs::write(&file, text).expect("a file");

    // an id that was left empty names nothing, whatever the token says
    let own = format!("{}, Element {}", api.authorization, created["token"].as_str().expect("a token"));
    assert_eq!(api.ask_as(&own, "DELETE", "/instances/", None).status, 404);
    assert_eq!(api.ask_as(&own, "GET", "/instances/", None).status, 200);

    // what is deleted ends: the engine lets go of its state
    api.must("DELETE", &path, None);
    let state = scene.site.state().join(format!("default.{NAME}.json"));
    let deadline = Instant::now() + PATIENCE;
    while state.exists() {
        assert!(Instant::now() < deadline, "{}", api.local.stderr());
        thread::park_timeout(Duration::from_millis(50));
    }
    api.local.wait_ready("second");
}
