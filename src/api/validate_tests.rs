//! The manifests that were tried against a real API server (1.36), with its verdicts; the words of its messages where they are
//! worth having.

use serde_json::{Value, json};

use super::super::cases::{ACCEPTED, REFUSED, base, cases, object};
use super::*;

#[test]
fn accepts_what_the_server_accepts() {
    for case in cases(ACCEPTED) {
        let object = object(&case);
        if let Err(findings) = validate(Kind::ConnectorInstance, &object) {
            panic!("{}: {findings:#?}", case["name"]);
        }
    }
}

#[test]
fn refuses_what_the_server_refuses() {
    let mut wrong = Vec::new();
    for case in cases(REFUSED) {
        let found: Vec<_> = match validate(Kind::ConnectorInstance, &object(&case)) {
            Ok(_) => Vec::new(),
            Err(findings) => findings.iter().map(ToString::to_string).collect(),
        };
        let expected: Vec<_> = case["says"].as_array().unwrap().iter().map(|says| says.as_str().unwrap()).collect();
        let matches = found.len() == expected.len() && found.iter().zip(&expected).all(|(found, says)| found == says);
        if !matches {
            wrong.push(format!("{}\n    expected {expected:#?}\n    found {found:#?}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sixty_four_resources_are_enough() {
    let with = |count: usize| {
        let mut object = base();
        object["spec"]["resources"] = (0..count).map(|i| json!({"name": format!("r{i}"), "url": "/r"})).collect();
        validate(Kind::ConnectorInstance, &object)
    };
    assert!(with(64).is_ok());
    assert_eq!(with(65).unwrap_err()[0].to_string(), "spec.resources: Too many: 65: must have at most 64 items");
}

#[test]
fn an_explicit_null_is_no_value() {
    let mut object = base();
    object["spec"]["auth"] = Value::Null;
    object["spec"]["suspend"] = Value::Null;
    object["spec"]["resources"][0]["pagination"] = json!({"none": null, "linkHeader": {}});
    let stored = validate(Kind::ConnectorInstance, &object).unwrap();
    assert!(stored["spec"].get("auth").is_none());
    assert_eq!(stored["spec"]["suspend"], false);
    assert_eq!(stored["spec"]["callback"]["format"], "CloudEvents");

    object["spec"]["resources"][0]["pagination"] = json!({"none": null});
    let refused = validate(Kind::ConnectorInstance, &object).unwrap_err();
    assert_eq!(
        refused[0].to_string(),
        "spec.resources[0].pagination: exactly one of none, linkHeader, nextLink, token, lastId, keyset, offset, page must be set"
    );
    object["spec"]["resources"] = json!([null]);
    let refused = validate(Kind::ConnectorInstance, &object).unwrap_err();
    assert_eq!(refused[0].to_string(), "spec.resources[0]: must be of type object: \"null\"");
}

/// What the server stores parses, whatever was written.
#[test]
fn what_is_accepted_parses() {
    for case in cases(ACCEPTED) {
        let stored = validate(Kind::ConnectorInstance, &object(&case)).unwrap();
        let parsed: Result<crate::api::instance::ConnectorInstance, _> = serde_json::from_value(stored);
        assert!(parsed.is_ok(), "{}: {parsed:?}", case["name"]);
    }
}

#[test]
fn connectors_are_judged_too() {
    let connector = |spec: Value| {
        let object =
            json!({"apiVersion": "pollinator.dev/v1alpha1", "kind": "Connector", "metadata": {"name": "shop"}, "spec": spec});
        validate(Kind::Connector, &object).map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let whole = json!({
        "title": "Shop", "baseUrl": "https://{subdomain}.example.com/v1", "parameters": [{"name": "subdomain", "description": "Yours."}],
        "auth": {"oauth2": {"grant": "RefreshToken", "tokenUrl": "https://{subdomain}.example.com/token"}},
        "resources": [{"name": "orders", "hubPaths": ["/hubs/ecommerce/orders"], "url": "/orders", "query": {"since": "${since}"}}]
    });
    assert!(connector(whole).is_ok());
    assert!(connector(json!({})).is_ok());
    for (spec, message) in [
        (json!({"baseUrl": "api.example.com"}), "spec.baseUrl: should match '^https?://[^\\s?#]+$'"),
        (json!({"auth": {"basic": {}, "bearer": {}}}), "spec.auth: exactly one of apiKey, basic, bearer, oauth2 must be set"),
        (json!({"auth": {"apiKey": {"name": "X Key"}}}), "spec.auth.apiKey.name: name is not a valid header name"),
        (json!({"callback": {}}), "spec: unknown field \"spec.callback\""),
        (json!({"resources": [{"name": "a", "body": {"a": 1}}]}), "spec.resources[0].method: body needs method POST"),
        (
            json!({"headers": {"AUTHORIZATION": "x"}}),
            "spec.headers: Authorization, Proxy-Authorization, Cookie, Host and Content-Length cannot be set here; credentials belong in spec.auth",
        ),
        (
            json!({"resources": [{"name": "a", "hubpaths": ["/hubs/a"]}]}),
            "spec.resources[0]: unknown field \"spec.resources[0].hubpaths\", did you mean \"hubPaths\"?",
        ),
    ] {
        assert_eq!(connector(spec), Err(vec![message.to_owned()]));
    }
}

/// Paths to every field of a spec, through the first item of lists and one entry of maps.
fn paths(schema: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        paths(member, &format!("{path}/{name}"), found);
    }
    if schema["items"].is_object() {
        paths(&schema["items"], &format!("{path}/0"), found);
    }
    if schema["additionalProperties"].is_object() {
        paths(&schema["additionalProperties"], &format!("{path}/key"), found);
    }
}

static FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut found = Vec::new();
    paths(&INSTANCE.schema["properties"]["spec"], "/spec", &mut found);
    found
});

/// Puts a value at a path, making what is missing on the way.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for step in path.split('/').skip(1) {
        at = if step == "0" {
            if at.as_array().is_none_or(Vec::is_empty) {
                *at = json!([{}]);
            }
            &mut at[0]
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            &mut at[step]
        };
    }
    *at = value;
}

proptest::proptest! {
    /// The schema is made from the types, but the rules are ours: nothing that is accepted may fail to parse, and no parsed
    /// manifest may upset the planner.
    #[test]
    fn what_is_accepted_parses_and_can_be_planned(
        fields in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0usize..16), 1..5)
    ) {
        let values = [
            json!(null), json!(true), json!(0), json!(1), json!(-1), json!(65), json!(1.5), json!(""), json!("a"), json!("POST"),
            json!("1h"), json!({}), json!([]), json!(["a"]), json!({"a": 1}), json!([{"name": "a"}]),
        ];
        let mut object = base();
        for (field, value) in fields {
            put(&mut object, field.get::<String>(&FIELDS), values[value].clone());
        }
        if let Ok(stored) = validate(Kind::ConnectorInstance, &object) {
            let parsed: Result<crate::api::instance::ConnectorInstance, _> = serde_json::from_value(stored);
            let parsed = parsed.map_err(|error| proptest::test_runner::TestCaseError::fail(format!("{error}: {object}")))?;
            let _ = crate::plan::resolve(&parsed, Some(&crate::api::connector::ConnectorSpec::default()));
        }
    }
}
