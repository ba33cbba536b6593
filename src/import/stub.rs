//! The `Connector` of an unknown key: what instances show of it, with placeholders where a person knows more.

use std::collections::BTreeMap;

use super::draft::{Scheme, Stub};
use super::report::{Section, Verdict};
use crate::api::auth::Grant;
use crate::api::connector::{ConnectorApiKey, ConnectorAuth, ConnectorOauth2, ConnectorResource, ConnectorSpec, Parameter};
use crate::api::resource::{Empty, Resource};

/// Where a provider is until a person says where.
pub(super) const NO_PROVIDER: &str = "https://replace-me.invalid";

/// The connector of all instances that name it. `entries` are the keys of the catalog.
pub(super) fn connector<'a>(
    key: &str,
    stubs: &[&Stub],
    entries: impl Iterator<Item = &'a str>,
    section: &mut Section,
) -> ConnectorSpec {
    let mut paths: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (path, (name, guess)) in stubs.iter().flat_map(|stub| &stub.paths) {
        paths.entry(path).or_insert((name, guess));
    }
    let mut spec = ConnectorSpec {
        title: Some(key.to_owned()),
        base_url: Some(NO_PROVIDER.to_owned()),
        auth: stubs.iter().find_map(|stub| stub.scheme).map(auth),
        ..ConnectorSpec::default()
    };
    for (path, (name, guess)) in paths {
        let taken = |name: &str| spec.resources.iter().any(|other: &ConnectorResource| other.resource.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        let resource = Resource { name, url: Some(guess.to_owned()), ..Resource::default() };
        let hub_paths = vec![format!("/{path}")];
        spec.resources.push(list(hub_paths, resource));
    }
    let said =
        "the catalog has no entry of this name: write baseUrl, auth, and of each resource the url, recordsPath and pagination";
    let text = match of_same_provider(key, entries) {
        Some(entry) => {
            format!("{said}; it has {entry}: if that is the same provider, write spec.connector: {entry} instead")
        }
        None => said.to_owned(),
    };
    section.result(Verdict::ToDo, format!("Connector {key}"), text);
    spec
}

/// The entry of the catalog whose name a key begins with: Open Connectors has several connectors for some providers, such as
/// `servicenowoauth` and `hubspotcrm`.
fn of_same_provider<'a>(key: &str, entries: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    entries.filter(|entry| entry.len() > 4 && key.starts_with(entry)).max_by_key(|entry| entry.len())
}

/// Authentication of a kind, with placeholders for what only a person knows.
pub(super) fn auth(scheme: Scheme) -> ConnectorAuth {
    match scheme {
        Scheme::Basic => ConnectorAuth::Basic(Empty {}),
        Scheme::Bearer => ConnectorAuth::Bearer(Empty {}),
        Scheme::ApiKey => ConnectorAuth::ApiKey(ConnectorApiKey { place: None, name: "X-API-Key".to_owned(), prefix: None }),
        Scheme::Oauth2 => ConnectorAuth::Oauth2(Box::new(ConnectorOauth2 {
            grant: Grant::RefreshToken,
            token_url: format!("{NO_PROVIDER}/token"),
            authorization_url: None,
            issuer: None,
            scopes: Vec::new(),
            audience: None,
            extra_parameters: BTreeMap::new(),
            client_authentication: None,
            jwt: None,
            token_response: None,
            refresh: None,
        })),
    }
}

/// A parameter that every instance must give.
pub(super) fn parameter(name: String) -> Parameter {
    Parameter { name, description: None, default_value: None, pattern: None, one_of: Vec::new() }
}

/// A list that stands for hub paths.
pub(super) fn list(hub_paths: Vec<String>, resource: Resource) -> ConnectorResource {
    ConnectorResource { hub_paths, resource, ..ConnectorResource::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn connectors_of_a_provider_that_the_catalog_has() {
        for (key, entry) in [("servicenowoauth", "servicenow"), ("hubspotcrm", "hubspot"), ("boxever", ""), ("sagecrm", "")] {
            assert_eq!(of_same_provider(key, catalog::names()).unwrap_or_default(), entry, "{key}");
            let mut section = Section::default();
            connector(key, &[], catalog::names(), &mut section);
            assert_eq!(section.lines[0].text.contains("write spec.connector: "), !entry.is_empty(), "{key}");
        }
    }
}
