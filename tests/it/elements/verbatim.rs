//! The body of the page, nothing changed but credentials and callback, against a strict mock that is made from what Keap published.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};

use super::Api;
use crate::rig::canary::{CLIENT_SECRET, OAUTH};
use crate::rig::described::{Mock, is_possible};
use crate::rig::page_body::verbatim;
use crate::rig::pollinator::Site;
use crate::rig::receiver::Receiver;
use crate::rig::{PATIENCE, skip};

const KEY: &str = "infusionsoftrest";
const NAME: &str = "api-instance-with-polling";

#[test]
fn the_body_of_the_page_polls_what_keap_describes() {
    if !is_possible() {
        return skip("the body of the page", "no published descriptions");
    }
    let (mock, _) = Mock::start(Utc::now());
    let (receiver, site) = (Receiver::start(), Site::new(&[]));
    let catalog = site.path().join("catalog");
    fs::create_dir(&catalog).expect("a folder");
    fs::write(catalog.join("infusionsoftrest.yaml"), mock.connector(KEY)).expect("a file");
    let before = files(&site);
    let api = Api::start(&site);
    let body = verbatim(&format!("{OAUTH}-code"), ("the-client", CLIENT_SECRET), &receiver.url(NAME));
    let body: Value = serde_json::from_str(&body).expect("JSON");

    let created = api.must("POST", "/instances", Some(&body));
    let (id, token) = (created["id"].as_u64().expect("a number"), created["token"].as_str().expect("a token"));
    assert!(id > 0 && !token.is_empty(), "{created}");
    let path = format!("/instances/{id}");
    assert_eq!(api.must("GET", &path, None)["configuration"]["event.poller.refresh_interval"], "15");
    api.local.wait_ready(NAME);

    // The next poll would be in 15 minutes.
    let changed = api.must("PATCH", &path, Some(&json!({"configuration": {"event.poller.refresh_interval": "0.1"}})));
    assert_eq!(changed["configuration"]["event.poller.refresh_interval"], "0.1");
    let moved = mock.change(Utc::now());
    let (.., object) = moved.iter().find(|(key, resource, _)| (*key, &**resource) == (KEY, "appointments")).expect("it");
    let posts = receiver.try_wait_count(NAME, PATIENCE, 1);
    let posts = posts.unwrap_or_else(|| panic!("no event\n{}\n{:#?}", api.local.report(NAME), mock.faults()));
    let sent: Value = serde_json::from_slice(&posts[0].ask.body).expect("JSON");
    let (message, event) = (&sent["message"], &sent["message"]["events"][0]);
    assert_eq!((message["instanceId"].as_u64(), &message["elementKey"]), (Some(id), &json!(KEY)));
    assert_eq!((&message["instanceName"], &message["instanceTags"]), (&json!("API Instance with Polling"), &json!(["Docs"])));
    assert_eq!([&event["objectType"], &event["objectId"], &event["eventType"]], ["appointments", object, "UPDATED"]);
    assert_eq!(message["raw"]["appointments"][0]["id"].to_string().trim_matches('"'), object);
    assert_eq!(mock.faults(), [], "requests that the description forbids");

    api.must("DELETE", &path, None);
    assert_eq!(api.must("GET", "/instances", None), json!([]));
    let deadline = Instant::now() + PATIENCE;
    while files(&site) != before {
        assert!(Instant::now() < deadline, "{:?} are left", files(&site));
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// All that is in the folders of manifests and state, but for what belongs to the process.
fn files(site: &Site) -> Vec<String> {
    let names = [site.manifests(), site.state()].into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name != "lock" && name != "api-credentials").collect();
    names.sort();
    names
}
