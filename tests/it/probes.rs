//! The request by which a connector shows whether credentials are accepted: a trial sends it first, and pollers never.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::http::{Answer, Server};
use crate::rig::pollinator::binary;

const CREDENTIALS: &str = "Bearer it-is-accepted";

/// A provider, and how often its accounts were asked for.
fn provider() -> (Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&asked);
    let server = Server::start(move |ask| {
        own.fetch_add(usize::from(ask.path() == "/me"), Ordering::SeqCst);
        let is_accepted = ask.header("authorization") == Some(CREDENTIALS);
        match (ask.path(), is_accepted) {
            ("/me", true) => Answer::json(r#"{"id":7,"name":"Ada"}"#),
            ("/session", true) => Answer::json(r#"{"ok":true}"#),
            ("/session", false) => Answer::json(r#"{"ok":false,"error":"invalid_auth"}"#),
            ("/list", true) => Answer::json(r#"[{"id":1,"updated":"2026-11-30T10:00:00Z"}]"#),
            (_, true) => Answer::status(404),
            (_, false) => Answer::status(401),
        }
    });
    (server, asked)
}

/// What `try` prints of an instance with this key, and how it ends.
fn tried(server: &Server, key: &str, probe: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let manifests = format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: login}}
stringData: {{key: {key}}}
---
apiVersion: pollinator.dev/v1alpha1
kind: Connector
metadata: {{name: crm}}
spec:
  baseUrl: {}
  auth: {{bearer: {{}}}}
{probe}
  resources: [{{name: things, url: /list, datesConfiguration: {{updatedDateField: updated}}}}]
---
apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {{name: it}}
spec:
  connector: crm
  auth: {{bearer: {{secretRef: {{name: login, key: key}}}}}}
  callback: {{url: 'https://receiver.example.com/in'}}
",
        server.url()
    );
    let file = folder.path().join("it.yaml");
    fs::write(&file, manifests).unwrap();
    let output = binary().args(["try"]).arg(&file).output().expect("it runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_trial_says_first_whether_the_credentials_are_accepted() {
    let (server, asked) = provider();
    for (probe, accepted, refused) in [
        ("{url: /me, query: {fields: id}}", "the provider accepts them", "Unauthorized: auth: the provider answered 401"),
        ("{url: /session}", "the provider accepts them", "ErrorInResponse: probe of the connector: the provider answered 200"),
        ("{url: /nowhere}", "NotFound: probe of the connector: the provider answered 404", "Unauthorized: auth: "),
    ] {
        for (key, says, code) in [("it-is-accepted", accepted, 0), ("it-is-not", refused, 1)] {
            let (printed, ended) = tried(&server, key, &format!("  probe: {probe}"));
            let (first, rest) = printed.split_once("default/it, resource things").unwrap_or_else(|| panic!("{printed}"));
            assert!(first.starts_with("default/it, probe\n  GET http://") && first.contains(says), "{printed}");
            assert!(!printed.contains(key), "{printed}");
            assert_eq!(ended, Some(code), "the list decides: {rest}");
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once a trial");
}

#[test]
fn without_a_probe_a_trial_begins_with_the_lists() {
    let (printed, ended) = tried(&provider().0, "it-is-accepted", "");
    assert!(printed.starts_with("default/it, resource things"), "{printed}");
    assert_eq!(ended, Some(0));
}
