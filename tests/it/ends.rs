//! The two ends that come with the binary: `receive` and `demo`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::rig::canary::SIGNING_KEY;
use crate::rig::client;
use crate::rig::manifest::{Instance, secret};
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;

fn receive(site: &Site, arguments: &[&str]) -> (Pollinator, String) {
    let mut command = binary();
    command.args(["receive", "--output", "json"]).args(arguments);
    let run = site.spawn(command);
    let line = run.wait_stderr("listening on ");
    let url = line.split_whitespace().last().expect("an address").to_owned();
    (run, url)
}

fn lines(run: &Pollinator) -> Vec<Value> {
    run.stdout().lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn signed(callback: &str, provider: &Provider) -> [String; 2] {
    let instance = Instance::new("ends", &provider.url(), &format!("{callback}/events"))
        .basic_auth()
        .callback("signature: {secretRef: {name: hook, key: signing-key}}");
    [instance.yaml(), secret("hook", &[("signing-key", SIGNING_KEY)])]
}

fn secret_file(folder: &Path) -> String {
    let file = folder.join("secret");
    fs::write(&file, format!("{SIGNING_KEY}\n")).expect("the test's own folder");
    file.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn receive_prints_what_local_delivers_and_ends_with_0_on_sigterm() {
    let provider = Provider::start();
    let own = Site::new(&[]);
    let (mut receiver, url) = receive(&own, &["--secret-file", &secret_file(own.path())]);
    let site = Site::new(&signed(&url, &provider));
    let pollinator = site.start();
    pollinator.wait_ready("ends");
    provider.create("first");
    pollinator.wait_for("ends", "the event is accepted", |row| row.delivered == 1);
    let (status, _, why) = client::send("POST", &format!("{url}/events"), Some("{}".to_owned())).expect("an answer");
    assert_eq!(status, 401, "{why}");
    assert_eq!(receiver.sigterm().code(), Some(0), "{}", receiver.stderr());
    let [event] = &lines(&receiver)[..] else { panic!("one event: {}", receiver.stdout()) };
    assert_eq!(
        (&event["kind"], &event["resource"], &event["objectId"]),
        (&"created".into(), &"records".into(), &"first".into())
    );
    assert_eq!(event["data"]["id"], "first");
}

#[test]
fn receive_fails_on_request_and_local_tells() {
    let provider = Provider::start();
    let own = Site::new(&[]);
    let (mut receiver, url) = receive(&own, &["--fail-rate", "1"]);
    let site = Site::new(&signed(&url, &provider));
    let pollinator = site.start();
    pollinator.wait_ready("ends");
    provider.create_all((0..5).map(|n| format!("r-{n}")));
    pollinator.wait_reason("ends", "CallbackDown");
    assert_eq!(receiver.sigterm().code(), Some(0));
    assert_eq!(receiver.stdout(), "");
}

#[test]
fn receive_says_what_it_cannot_use() {
    let site = Site::new(&[]);
    for (arguments, part) in [
        (&["--secret-file", "/nowhere/secret"][..], "--secret-file /nowhere/secret"),
        (&["--fail-rate", "2"], "must be a number from 0 to 1"),
        (&["--status", "100"], "must be a status from 200 to 599"),
        (&["--delay", "soon"], "must be a duration"),
    ] {
        let mut command = binary();
        command.arg("receive").args(arguments);
        let mut run = site.spawn(command);
        assert_eq!(run.wait().code(), Some(2), "{arguments:?}");
        assert!(run.stderr().contains(part), "{arguments:?}: {}", run.stderr());
        assert!(!run.stderr().contains("listening"), "{arguments:?}");
    }
}

#[test]
fn the_demo_loses_and_repeats_nothing() {
    let site = Site::new(&[]);
    let mut command = binary();
    command.args(["demo", "--events", "30", "--seed", "5", "--output", "json"]);
    let mut demo = site.spawn(command);
    assert_eq!(demo.wait().code(), Some(0), "{}\n{}", demo.stdout(), demo.stderr());
    let mut lines = lines(&demo);
    let summary = lines.pop().expect("a summary")["summary"].clone();
    assert_eq!((&summary["changes"], &summary["clean"]), (&30.into(), &true.into()), "{summary}");
    assert_eq!(summary["delivered"], lines.len());
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line["event"]["resource"] == "contacts" && line["latencyMs"].is_u64())
    );
}

#[test]
fn an_interrupted_demo_judges_nothing() {
    let site = Site::new(&[]);
    let mut command = binary();
    command.args(["demo", "--events", "100000"]);
    let mut demo = site.spawn(command);
    demo.wait_stderr("sample provider at");
    demo.signal("INT");
    assert_eq!(demo.wait().code(), Some(130), "{}", demo.stderr());
    assert!(demo.stderr().contains("interrupted") && !demo.stdout().contains("changes at the provider"));
}
