//! What is wrong with a connector, whichever instance uses it: plans are made for instances that give all that is left to them. Pure.

use std::collections::BTreeMap;

use super::{parameter, resolve};
use crate::api::auth::{ApiKey, Auth, Basic, Bearer, Grant, Oauth2, SecretKeyRef, SecretRef};
use crate::api::conditions::Problem;
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::api::instance::{Callback, ConnectorInstance, ConnectorInstanceSpec, Format};
use crate::api::resource::Resource;

/// Values that a parameter could have: a name, a number and a time zone. What is wrong with all of them is wrong with the connector.
const VALUES: [&str; 3] = ["x", "1", "UTC"];
/// Most resources that one instance may poll.
const AT_ONCE: usize = 64;

/// What each instance that uses the connector would report, in the same words. Empty when the connector can be used.
pub fn findings(name: &str, connector: &ConnectorSpec) -> Vec<Problem> {
    let mut common = found_with(name, connector, VALUES[0]);
    for value in &VALUES[1..] {
        if common.is_empty() {
            break;
        }
        let other = found_with(name, connector, value);
        common.retain(|problem| other.contains(problem));
    }
    common
}

/// What an instance would report whose parameters have this value wherever the connector does not say which are possible.
fn found_with(name: &str, connector: &ConnectorSpec, value: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut connector = connector.clone();
    let mut parameters = BTreeMap::new();
    for declared in connector.parameters.iter_mut().filter(|declared| declared.default_value.is_none()) {
        problems.extend(parameter::pattern(declared).err());
        // The value of an instance would match.
        declared.pattern = None;
        parameters.insert(declared.name.clone(), declared.one_of.first().cloned().unwrap_or_else(|| value.to_owned()));
    }
    let mut resources = listed(&connector);
    while !resources.is_empty() {
        let rest = resources.split_off(resources.len().min(AT_ONCE));
        let spec = ConnectorInstanceSpec {
            connector: Some(name.to_owned()),
            parameters: parameters.clone(),
            base_url: connector.base_url.is_none().then(|| "https://api.example.com".to_owned()),
            display_name: None,
            tags: Vec::new(),
            auth: connector.auth.as_ref().map(credentials),
            tls: None,
            polling: None,
            resources,
            callback: callback(),
            suspend: false,
        };
        let found = resolve(&ConnectorInstance::new(name, spec), Some(&connector)).err().unwrap_or_default();
        for problem in found {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        resources = rest;
    }
    problems
}

/// All resources of a connector by name, or one of the instance's own if it has none.
fn listed(connector: &ConnectorSpec) -> Vec<Resource> {
    let own = |name: &str, url: Option<&String>| Resource {
        name: name.to_owned(),
        url: url.is_none().then(|| "/".to_owned()),
        ..Resource::default()
    };
    if connector.resources.is_empty() {
        return vec![own("records", None)];
    }
    connector.resources.iter().map(|of| own(&of.resource.name, of.resource.url.as_ref())).collect()
}

/// Credentials of the kind that the connector asks for.
fn credentials(asked: &ConnectorAuth) -> Auth {
    let secret = || SecretRef { name: "credentials".to_owned() };
    let key = || SecretKeyRef { name: "credentials".to_owned(), key: "key".to_owned() };
    match asked {
        ConnectorAuth::ApiKey(_) => Auth::ApiKey(ApiKey { place: None, name: None, prefix: None, secret_ref: key() }),
        ConnectorAuth::Basic(_) => Auth::Basic(Basic { secret_ref: secret() }),
        ConnectorAuth::Bearer(_) => Auth::Bearer(Bearer { secret_ref: key() }),
        ConnectorAuth::Oauth2(under) => {
            let lacks_page = under.grant == Grant::AuthorizationCode && under.authorization_url.is_none();
            Auth::Oauth2(Box::new(Oauth2 {
                grant: None,
                token_url: None,
                authorization_url: lacks_page.then(|| "https://login.example.com/authorize".to_owned()),
                issuer: None,
                scopes: Vec::new(),
                audience: None,
                extra_parameters: BTreeMap::new(),
                client_authentication: None,
                jwt: None,
                token_response: None,
                refresh: None,
                secret_ref: secret(),
            }))
        }
    }
}

fn callback() -> Callback {
    Callback {
        url: "https://receiver.example.com/events".to_owned(),
        format: Format::CloudEvents,
        batch: None,
        tls: None,
        signature: None,
        headers_secret_ref: None,
        auth: None,
        max_in_flight: None,
        timeout: None,
        allow_insecure_http: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn messages(connector: &str) -> Vec<String> {
        let spec: ConnectorSpec = serde_saphyr::from_str(connector).unwrap();
        findings("shop", &spec).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn every_entry_of_the_catalogue_is_accepted() {
        for key in catalog::names() {
            assert_eq!(findings(key, catalog::built_in(key).unwrap()), Vec::new(), "{key}");
        }
    }

    #[test]
    fn what_is_left_to_instances_is_no_finding() {
        for connector in [
            "{}",
            "{title: Shop, auth: {basic: {}}}",
            "{resources: [{name: orders}]}",
            "{auth: {oauth2: {grant: AuthorizationCode, tokenUrl: 'https://login.example.com/token'}}}",
            "{baseUrl: 'https://{site}.example.com:{port}', parameters: [{name: site, pattern: '[a-z]{4}'}, {name: port}]}",
            "{parameters: [{name: zone}], resources: [{name: a, url: '/a?since=${dateTimeZone:{zone}:yyyy}'}]}",
            "{parameters: [{name: region, enum: [eu, us], pattern: '..'}], baseUrl: 'https://{region}.example.com'}",
        ] {
            assert_eq!(messages(connector), Vec::<String>::new(), "{connector}");
        }
    }

    #[test]
    fn what_every_instance_would_be_told_is_a_finding() {
        for (connector, expected) in [
            (
                "{baseUrl: 'https://{host}.example.com'}",
                "spec.baseUrl has the placeholder {host} that no parameter fills; set spec.parameters.host",
            ),
            (
                "{parameters: [{name: dc, pattern: '('}]}",
                "spec.parameters.dc cannot be checked: its pattern in the connector is not a regular expression, or too large; correct \
                 the pattern",
            ),
            ("{parameters: [{name: dc, pattern: 'eu', default: us}]}", "spec.parameters.dc must match eu"),
        ] {
            assert_eq!(messages(connector), [expected], "{connector}");
        }
        let unknown = messages("{resources: [{name: orders, url: '/orders?since=${sinze}'}]}");
        assert!(unknown.len() == 1 && unknown[0].starts_with("spec.resources[orders].url "), "{unknown:?}");
    }

    #[test]
    fn each_resource_is_looked_at_and_what_is_common_is_told_once() {
        let mut spec: ConnectorSpec = serde_saphyr::from_str("{baseUrl: 'https://{host}.example.com'}").unwrap();
        let resource = |number: usize| {
            let since = if number == 99 { "${sinze}" } else { "${since}" };
            serde_saphyr::from_str(&format!(
                "{{name: r{number}, url: '/r?since={since}', datesConfiguration: {{updatedDateField: u}}}}"
            ))
        };
        spec.resources = (0..100).map(|number| resource(number).unwrap()).collect();
        // Without a base URL there are no requests to look at.
        let found = findings("shop", &spec);
        assert!(found.len() == 1 && found[0].message.starts_with("spec.baseUrl "), "{found:?}");
        spec.base_url = None;
        let found = findings("shop", &spec);
        assert!(found.len() == 1 && found[0].message.starts_with("spec.resources[r99].url "), "{found:?}");
    }
}
