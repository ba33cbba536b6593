use serde_json::json;

use super::*;
use crate::api::API_VERSION;
use crate::catalog;
use crate::serve::console::edit_form::edit_form;
use crate::serve::console::manifest::manifest;

/// An instance with more than any form knows.
fn instance(spec: &Value) -> ConnectorInstance {
    serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "shop", "labels": {"team": "a"}},
        "spec": spec,
    }))
    .unwrap()
}

fn plain() -> ConnectorInstance {
    instance(&json!({
        "baseUrl": "https://api.example.com/v1", "displayName": "Shop", "tags": ["Docs"], "tls": {"clientCertificateRef": {"name": "client"}},
        "auth": {"apiKey": {"in": "Query", "name": "key", "prefix": "k ", "secretRef": {"name": "own", "key": "api"}}},
        "polling": {"interval": "5m", "startFrom": "2026-01-31T00:00:00Z"},
        "resources": [
            {"name": "orders", "url": "/orders", "query": {"since": "${since}"}, "lookback": "5m",
             "datesConfiguration": {"updatedDateField": "at", "updatedDateFormat": "seconds"}, "deletes": {"snapshot": {"interval": "24h"}}},
            {"name": "a.b", "url": "/b", "idField": "key"},
        ],
        "callback": {
            "url": "https://h.example/in", "format": "CloudEvents", "batch": {"maxEvents": 3}, "maxInFlight": 2, "timeout": "9s",
            "signature": {"secretRef": {"name": "sign", "key": "current"}}, "headersSecretRef": {"name": "more"},
        },
    }))
}

fn github() -> ConnectorInstance {
    instance(&json!({
        "connector": "github", "parameters": {"owner": "rust-lang", "repo": "rust", "other": "x"},
        "auth": {"bearer": {"secretRef": {"name": "own", "key": "token"}}},
        "resources": [{"name": "issues", "interval": "1m"}, {"name": "mine", "url": "/mine"}],
        "callback": {"url": "https://h.example/in"}, "suspend": true,
    }))
}

/// What the form of an instance sends back when a person changes these fields in it and nothing else.
fn sent(instance: &ConnectorInstance, origin: Origin<'_>, edits: &[(&str, &str)]) -> Fields {
    let was = filled(instance, spec_of(origin));
    let view = edit_form(instance, origin, &was, |_| false);
    let mut sent: Vec<(String, String)> = Vec::new();
    let texts = view.base_url.iter().chain(&view.parameters).chain(&view.header);
    let texts = texts.chain(view.lists.iter().flat_map(|list| &list.fields));
    for field in texts.chain([&view.interval, &view.callback]) {
        let is_option = field.options.is_empty() || field.options.contains(&field.value);
        assert!(is_option, "a browser would choose another one of {field:?}");
        sent.push((field.name.clone(), field.value.clone()));
    }
    let auths = view.auth.iter().flatten().map(|choice| ("auth", choice));
    let resources = view.resources.iter().map(|choice| ("resource", choice));
    let starts = view.starts.iter().map(|choice| ("startFrom", choice));
    let formats = view.formats.iter().map(|choice| ("format", choice));
    for (name, choice) in auths.chain(resources).chain(starts).chain(formats).filter(|(_, choice)| choice.is_chosen) {
        sent.push((name.to_owned(), choice.value.clone()));
    }
    if view.has_events {
        sent.push(("events".to_owned(), "on".to_owned()));
    }
    let is_edited = |name: &str| edits.iter().any(|(edited, _)| *edited == name);
    sent.retain(|(name, _)| !is_edited(name));
    sent.extend(edits.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    // what a form carries for its own sake is no field of an instance
    sent.extend(["was", "do", "kept"].map(|name| (name.to_owned(), "x".to_owned())));
    completed(&was, &Fields::new(sent))
}

fn spec_of(origin: Origin<'_>) -> Option<&ConnectorSpec> {
    if let Origin::Connector(_, spec) = origin { Some(spec) } else { None }
}

fn edited(instance: &ConnectorInstance, origin: Origin<'_>, edits: &[(&str, &str)]) -> Value {
    let entered = sent(instance, origin, edits);
    let was = filled(instance, spec_of(origin));
    let (changed, secrets) = changed(instance, origin, (&was, &entered), |_| None).unwrap();
    assert!(secrets.is_empty());
    assert_eq!(changed.metadata, instance.metadata);
    json!(changed.spec)
}

fn github_origin() -> Origin<'static> {
    Origin::Connector("github", catalog::built_in("github").unwrap())
}

#[test]
fn a_form_that_comes_back_as_it_was_changes_nothing() {
    for (instance, origin) in [(plain(), Origin::Plain), (github(), github_origin())] {
        assert_eq!(edited(&instance, origin, &[]), json!(instance.spec));
    }
    for key in catalog::names() {
        let spec = catalog::built_in(key).unwrap();
        let instance = instance(&json!({"connector": key, "callback": {"url": "https://h.example/in"}}));
        assert_eq!(edited(&instance, Origin::Connector(key, spec), &[]), json!(instance.spec), "{key}");
    }
    // what the form does not know is not lost, either
    for auth in [
        json!({"oauth2": {"grant": "ClientCredentials", "tokenUrl": "https://a.example/t", "secretRef": {"name": "o"}}}),
        Value::Null,
    ] {
        let mut own = plain();
        own.spec.auth = serde_json::from_value(auth).unwrap();
        assert_eq!(edited(&own, Origin::Plain, &[]), json!(own.spec));
    }
    let mut own = github();
    own.spec.auth = serde_json::from_value(json!({"basic": {"secretRef": {"name": "o"}}})).unwrap();
    assert_eq!(edited(&own, github_origin(), &[]), json!(own.spec));
}

#[test]
fn each_field_changes_its_place_and_no_other() {
    let cases: [(&str, &str, &str, Value); 13] = [
        ("baseUrl", "https://b.example", "/baseUrl", json!("https://b.example")),
        ("header", "X-Key", "/auth/apiKey/name", json!("X-Key")),
        ("interval", " 1h ", "/polling/interval", json!("1h")),
        ("interval", "", "/polling/interval", Value::Null),
        ("startFrom", "Now", "/polling/startFrom", json!("Now")),
        ("callback", "https://h.example/other", "/callback/url", json!("https://h.example/other")),
        ("format", "OpenConnectors", "/callback/format", json!("OpenConnectors")),
        ("events", "", "/suspend", json!(true)),
        ("list.orders.url", "/o", "/resources/0/url", json!("/o")),
        ("list.orders.idField", "uid", "/resources/0/idField", json!("uid")),
        ("list.orders.updatedDateField", "changed", "/resources/0/datesConfiguration/updatedDateField", json!("changed")),
        ("list.a.b.idField", "", "/resources/1/idField", Value::Null),
        ("list.a.b.recordsPath", "data", "/resources/1/recordsPath", json!("data")),
    ];
    for (name, value, pointer, expected) in cases {
        let mut spec = edited(&plain(), Origin::Plain, &[(name, value)]);
        assert_eq!(spec.pointer(pointer).cloned().unwrap_or_default(), expected, "{name}");
        // with what was there before it is what it was
        let mut before = json!(plain().spec);
        for object in [&mut spec, &mut before] {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
        }
        assert_eq!(spec, before, "{name}");
    }
    let spec = edited(&plain(), Origin::Plain, &[("callback", "http://127.0.0.1:9/in")]);
    assert_eq!(spec["callback"]["allowInsecureHttp"], true);
    let spec = edited(&plain(), Origin::Plain, &[("auth", "none"), ("interval", ""), ("startFrom", "")]);
    assert!(spec.get("auth").is_none() && spec.get("polling").is_none(), "{spec}");
    // the Secret that was named is named again
    let spec = edited(&plain(), Origin::Plain, &[("auth", "bearer")]);
    assert_eq!(spec["auth"], json!({"bearer": {"secretRef": {"name": "own", "key": "token"}}}));
}

#[test]
fn resources_are_chosen_and_keep_their_settings() {
    let names =
        |spec: &Value| spec["resources"].as_array().into_iter().flatten().map(|own| own["name"].clone()).collect::<Vec<_>>();
    let origin = github_origin();
    let Origin::Connector(_, spec) = origin else { return };
    let other = spec.resources.iter().map(|own| own.resource.name.as_str()).find(|name| *name != "issues").unwrap();
    let chosen = edited(&github(), origin, &[("resource", "issues"), ("resource", other), ("resource", "mine")]);
    assert_eq!(names(&chosen), ["issues", "mine", other]);
    assert_eq!((&chosen["resources"][0]["interval"], &chosen["resources"][1]["url"]), (&json!("1m"), &json!("/mine")));
    assert_eq!(names(&edited(&github(), origin, &[("resource", "mine")])), ["mine"]);
    assert_eq!(names(&edited(&github(), origin, &[("resource", "")])), Vec::<Value>::new());
    let spec = edited(&github(), origin, &[("parameter.repo", "cargo"), ("events", "on")]);
    assert_eq!(spec["parameters"], json!({"owner": "rust-lang", "repo": "cargo", "other": "x"}));
    assert_eq!(spec["suspend"], false);
}

#[test]
fn another_origin_gets_no_credential_of_the_old_receiver() {
    let origin = Origin::Plain;
    let mut own = plain();
    own.spec.callback.auth =
        serde_json::from_value(json!({"bearer": {"secretRef": {"name": "shop-callback", "key": "token"}}})).unwrap();
    let edited = |url: &str| {
        let was = filled(&own, None);
        changed(&own, origin, (&was, &sent(&own, origin, &[("callback", url)])), |_| None).unwrap()
    };
    let (same, secrets) = edited("https://h.example/other");
    assert!(same.spec.callback.auth.is_some() && same.spec.callback.headers_secret_ref.is_some() && secrets.is_empty());
    let (other, secrets) = edited("https://other.example/in");
    let callback = &other.spec.callback;
    assert!(callback.auth.is_none() && callback.headers_secret_ref.is_none() && callback.signature.is_some(), "{callback:?}");
    assert_eq!(secrets.names().collect::<Vec<_>>(), ["shop-callback"], "a Secret of another name may belong to another owner");
}

#[test]
fn credentials_stay_unless_replaced_where_they_are() {
    let with = |instance: &ConnectorInstance, origin: Origin<'_>, edits: &[(&str, &str)], secrets: &[(&str, &'static str)]| {
        let entered = sent(instance, origin, edits);
        let was = filled(instance, spec_of(origin));
        let secret = |field: &str| secrets.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
        changed(instance, origin, (&was, &entered), secret).unwrap()
    };
    let (own, edits) = with(&plain(), Origin::Plain, &[], &[("credential.key", "hunter2"), ("signing-key", "hunter3")]);
    let mut expected = SecretEdits::default();
    expected.set("own", "api", "hunter2".to_owned());
    expected.set("sign", "current", "hunter3".to_owned());
    assert_eq!((json!(own.spec), edits), (json!(plain().spec), expected));
    assert!(!manifest(&own).contains("hunter"));

    // an instance that was not signed, or not authenticated, names its Secret from now on
    let mut bare = github();
    (bare.spec.auth, bare.spec.callback.signature) = (None, None);
    let (own, edits) = with(&bare, github_origin(), &[], &[("credential.token", "a"), ("signing-key", "b")]);
    assert_eq!(json!(own.spec.auth), json!({"bearer": {"secretRef": {"name": "shop", "key": "token"}}}));
    assert_eq!(edits.names().collect::<Vec<_>>(), ["shop", "shop-callback"]);
    let (own, edits) = with(&bare, github_origin(), &[], &[]);
    assert!(edits.is_empty() && own.spec.auth.is_none());

    let view = edit_form(&plain(), Origin::Plain, &filled(&plain(), None), |_| false);
    assert!(view.credentials[0].is_stored && view.signing_key.is_stored);

    // OAuth 2.0 that the manifest declares is kept, and its client can be replaced
    let mut oauth = plain();
    let auth = json!({"oauth2": {"grant": "ClientCredentials", "tokenUrl": "https://a.example/t", "secretRef": {"name": "o"}}});
    oauth.spec.auth = serde_json::from_value(auth.clone()).unwrap();
    let view = edit_form(&oauth, Origin::Plain, &filled(&oauth, None), |_| false);
    let names: Vec<_> = view.credentials.iter().map(|own| (&*own.name, own.is_stored)).collect();
    assert_eq!(names, [("credential.client_id", true), ("credential.client_secret", true)]);
    let (own, edits) = with(&oauth, Origin::Plain, &[], &[("credential.client_secret", "hunter2")]);
    let mut expected = SecretEdits::default();
    expected.set("o", "client_secret", "hunter2".to_owned());
    assert_eq!((json!(own.spec), edits), (json!(oauth.spec), expected));
    // of another kind of authentication, the credentials take the place of those before
    for (own, before) in [(plain(), &["api", "key"][..]), (oauth.clone(), &["client_id", "client_secret"][..])] {
        let name = if before[0] == "api" { "own" } else { "o" };
        let (own, edits) = with(&own, Origin::Plain, &[("auth", "bearer")], &[("credential.token", "hunter2")]);
        let mut expected = SecretEdits::default();
        expected.set(name, "token", "hunter2".to_owned());
        for key in before {
            expected.remove(name, *key);
        }
        assert_eq!((json!(own.spec.auth)["bearer"]["secretRef"]["name"].as_str(), edits), (Some(name), expected));
    }
    // another kind of authentication needs its credentials
    let entered = sent(&plain(), Origin::Plain, &[("auth", "basic")]);
    assert_eq!(required(&plain(), Origin::Plain, &entered).len(), 2);
    assert!(!edit_form(&plain(), Origin::Plain, &entered, |_| false).credentials[0].is_stored);
    assert!(required(&plain(), Origin::Plain, &sent(&plain(), Origin::Plain, &[])).is_empty());
}

#[test]
fn what_others_changed_is_told_and_what_a_person_entered_is_kept() {
    let was = filled(&plain(), None);
    let entered = sent(&plain(), Origin::Plain, &[("interval", "1h"), ("callback", "https://mine.example/in")]);
    let mut now = plain();
    now.spec.callback.url = "https://theirs.example/in".to_owned();
    now.spec.suspend = true;
    now.spec.display_name = Some("Other".to_owned());
    let now = filled(&now, None);
    assert_eq!(
        told(&was, &now),
        [
            "spec.callback.url: it was https://h.example/in and is now https://theirs.example/in",
            "spec.suspend: it was false and is now true"
        ]
    );
    let merged = merged(&was, &entered, &now);
    assert_eq!((merged.one("interval"), merged.one("callback"), merged.one("events")), ("1h", "https://mine.example/in", ""));
    assert_eq!(uncarried(&carried(&was)), was);
    assert_eq!(path("parameter.owner"), "spec.parameters.owner");
    assert_eq!(path("list.a.b.updatedDateField"), "spec.resources.a.b.datesConfiguration.updatedDateField");
}

#[test]
fn all_secrets_of_an_instance_are_found() {
    assert_eq!(secret_names(&plain()).into_iter().collect::<Vec<_>>(), ["client", "more", "own", "sign"]);
}
