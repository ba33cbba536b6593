//! The request of the page of Open Connectors, host and credentials apart, in front of three replicas: each call is answered by another one.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Api, role, start};
use crate::rig::PATIENCE;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer, Proof};
use crate::rig::operator::Cluster;
use crate::rig::page_body;
use crate::rig::provider::Provider;

/// The name that is made of the page's.
const NAME: &str = "api-instance-with-polling";

#[test]
fn the_request_of_the_page_is_served_by_three_replicas() {
    let Some(plane) = shared_with_controllers() else { return };
    let oauth = OauthServer::start().proofs(Proof::Body, Proof::Basic);
    let cluster = Cluster::with(plane, "api-three", Provider::start().taking(oauth.takes()));
    let ns = &cluster.ns;
    let token = ns.token("caller");
    ns.apply(&role(ns, "caller"));
    // the page's key, in front of the doubles
    cluster.apply_yaml(&format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: infusionsoftrest, namespace: it}}\nspec:\n  baseUrl: \
         \"{}\"\n  auth: {{oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", clientAuthentication: {{code: Body, refresh: Basic}}}}}}\n  \
         resources:\n  - name: appointments\n    hubPaths: [/hubs/crm/appointments]\n    url: /records\n    recordsPath: records\n    \
         query: {{since: \"${{since}}\"}}\n    pagination: {{nextLink: {{field: next}}}}\n",
        cluster.provider.url(),
        oauth.token_url()
    ));
    let replicas = [(); 3].map(|()| start(&cluster));
    let [first, second, third] = [0, 1, 2].map(|at| Api::of(&replicas[at], token.clone()));

    let code = oauth.code(Some("https://mycoolapp.com"), None);
    let body = page_body::of("API Instance with Polling", &code, &cluster.receiver.url(NAME));
    let created = first.must(ns, "POST", "/instances", Some(&body));
    let (id, path) = (created["id"].as_u64().expect("a number"), format!("/instances/{}", created["id"]));
    assert!(created["token"].as_str().is_some_and(|token| token.len() == 44), "{created}");
    // again, at another one, as after an answer that was lost
    assert_eq!(second.must(ns, "POST", "/instances", Some(&body))["id"], created["id"]);
    cluster.wait_ready(NAME);
    cluster.provider.create("first");
    let posts = cluster.receiver.try_wait_count(NAME, PATIENCE, 1);
    let posts = posts.unwrap_or_else(|| panic!("no event\n{}", replicas[0].report(NAME)));
    let sent: Value = serde_json::from_slice(&posts[0].ask.body).expect("JSON");
    let event = &sent["message"]["events"][0];
    assert_eq!(sent["message"]["instanceId"].as_u64(), Some(id));
    assert_eq!([&event["objectType"], &event["objectId"], &event["eventType"]], ["appointments", "first", "CREATED"]);
    assert_eq!(oauth.granted(), 1, "the code was sent once");

    for api in [&first, &second, &third] {
        let shown = api.must(ns, "GET", &path, None).to_string();
        for secret in [CLIENT_SECRET, CLIENT_ID, &code] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let slower = json!({"configuration": {"event.poller.refresh_interval": "30"}});
    assert_eq!(third.must(ns, "PATCH", &path, Some(&slower))["configuration"]["event.poller.refresh_interval"], "30");
    assert_eq!(ns.get_instance(NAME)["spec"]["polling"]["interval"], "30m");
    second.must(ns, "DELETE", &path, None);
    assert_eq!(third.ask_in(ns.name(), "GET", &path, None).status, 404);
    let left = |kind: &str| {
        let list = ns.api().get(&ns.core(kind)).ok();
        let names = list["items"].as_array().expect("a list").iter().map(|item| item["metadata"]["name"].to_string());
        names.filter(|name| name.contains(NAME)).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while !left("secrets").is_empty() || !left("configmaps").is_empty() {
        assert!(Instant::now() < deadline, "{:?} {:?}", left("secrets"), left("configmaps"));
        thread::park_timeout(Duration::from_millis(50));
    }
}
