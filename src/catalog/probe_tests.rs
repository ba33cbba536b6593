//! What each entry of a provider says beyond its lists: a probe that is proven, and what answers mean that their status does not say.

use std::fs;

use super::described_tests::entries;
use super::description_tests::Description;
use super::published_tests::{address, file_name, folder};
use crate::api::connector::{ConnectorSpec, Probe};

/// Entries of a form of answers and not of one provider.
const GENERIC: &[&str] = &["hal", "json-api", "odata-v2", "odata-v4"];

/// What a comment begins with that names where the probe is documented, and one that says why there are no rules.
const SOURCE: &str = "# Probe: https://";
const NO_RULES: &str = "# Errors: ";

/// What is wrong with the entry of a provider.
fn faults(key: &str, text: &str, connector: &ConnectorSpec, descriptions: &[Description]) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let has_comment = |start: &str| text.lines().any(|line| line.trim_start().starts_with(start));
    let says_rules = !connector.error_rules.is_empty()
        || connector.resources.iter().any(|of| !of.resource.error_rules.is_empty())
        || has_comment(NO_RULES);
    if !says_rules {
        faults.push("it has neither errorRules nor a comment that begins with \"# Errors: \"");
    }
    match &connector.probe {
        None => faults.push("it has no probe"),
        Some(probe) => {
            let is_described = is_described(key, connector, probe, descriptions);
            if !is_described && !has_comment(SOURCE) {
                faults.push(
                    "its probe is not in the description, and no comment \"# Probe: https://…\" says where it is documented",
                );
            }
        }
    }
    faults
}

/// Whether the published description has the request of the probe, with all its parameters.
fn is_described(key: &str, connector: &ConnectorSpec, probe: &Probe, descriptions: &[Description]) -> bool {
    let (url, query) = probe.url.split_once('?').unwrap_or((&probe.url, ""));
    let of_url = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    let parameters: Vec<_> = of_url.chain(probe.query.keys().map(String::as_str)).collect();
    let address = address(key, connector.base_url.as_deref(), Some(url));
    let operations = descriptions.iter().filter_map(|description| description.operation("GET", &address));
    operations.into_iter().any(|operation| parameters.iter().all(|name| operation.parameter(name, "query").is_some()))
}

#[test]
fn every_provider_has_a_proven_probe_and_says_how_it_refuses() {
    let mut wrong = Vec::new();
    for (key, text) in entries().into_iter().filter(|(key, _)| !GENERIC.contains(&key.as_str())) {
        let published = fs::read_to_string(folder().join(file_name(&key))).unwrap_or_else(|_| "{}".to_owned());
        let descriptions = Description::read(&published).unwrap();
        let (_, connector) = super::entry(&key, &text).unwrap_or_else(|errors| panic!("{key}: {errors:?}"));
        wrong.extend(faults(&key, &text, &connector, &descriptions).into_iter().map(|fault| format!("{key}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_probe_that_nothing_proves_is_found() {
    let published = r#"{"openapi":"3.0.0","servers":[{"url":"https://api.example.com"}],"paths":{"/me":{"get":{"parameters":
        [{"name":"fields","in":"query","schema":{"type":"string"}}]}}}}"#;
    let descriptions = Description::read(published).unwrap();
    for (comment, probe, count) in [
        ("# Errors: none.", "{url: /me}", 0),
        ("# Errors: none.", "{url: /me, query: {fields: id}}", 0),
        ("# Errors: none.", "{url: '/me?fields=id'}", 0),
        ("# Errors: none.", "{url: /me, query: {field: id}}", 1),
        ("# Errors: none.", "{url: /you}", 1),
        ("# Errors: none.\n# Probe: https://docs.example.com/you", "{url: /you}", 0),
        ("", "{url: /me}", 1),
        ("", "null", 2),
    ] {
        let text = format!("{comment}\nbaseUrl: https://api.example.com\nprobe: {probe}\n");
        let connector: ConnectorSpec = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(faults("example", &text, &connector, &descriptions).len(), count, "{text}");
    }
}
