//! Poller entries pasted from SAP Open Connectors ask for hub paths (`/hubs/crm/contacts?where=…`), which no provider has. A
//! connector's resource that stands for the hub path answers in its own way.

use percent_encoding::percent_decode_str;

use crate::api::connector::{ConnectorResource, ConnectorSpec};

/// Whether a resource's url is a hub path.
pub(crate) fn is_hub_path(url: &str) -> bool {
    url.starts_with("/hubs/") || url.starts_with("hubs/")
}

/// The connector's resource that stands for the path of a hub url.
pub(crate) fn stands_for<'a>(url: &str, connector: &'a ConnectorSpec) -> Option<&'a ConnectorResource> {
    let plain = |path: &str| path.trim_matches('/').to_owned();
    let asked = plain(url.split_once('?').map_or(url, |(path, _)| path));
    connector.resources.iter().find(|resource| resource.hub_paths.iter().any(|path| plain(path) == asked))
}

/// What the query of a hub url asks for beyond time and paging, which the connector's resource brings along itself.
pub(super) fn beyond_time(url: &str) -> Vec<String> {
    let Some((_, query)) = url.split_once('?') else { return Vec::new() };
    let mut found = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "page" | "pageSize" | "nextPage" | "orderBy" => {}
            "where" => {
                let value = percent_decode_str(value).decode_utf8_lossy();
                let terms = value.split(" and ").map(str::trim);
                found.extend(terms.filter(|term| !term.is_empty() && !term.contains("${")).map(str::to_owned));
            }
            _ => found.push(part.to_owned()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_resource_by_path() {
        let resource = ConnectorResource { hub_paths: vec!["/hubs/crm/contacts".into()], ..ConnectorResource::default() };
        let connector = ConnectorSpec { resources: vec![resource], ..ConnectorSpec::default() };
        for url in ["/hubs/crm/contacts", "hubs/crm/contacts/", "/hubs/crm/contacts?where=a>'${date}'"] {
            assert!(is_hub_path(url) && stands_for(url, &connector).is_some(), "{url}");
        }
        assert!(stands_for("/hubs/crm/contacts2", &connector).is_none());
    }

    #[test]
    fn time_and_paging_are_the_connectors_matter() {
        for (url, rest) in [
            ("/hubs/crm/contacts", vec![]),
            ("/hubs/crm/contacts?where=lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'&pageSize=200", vec![]),
            ("/hubs/crm/x?where=a%3E'${date}' and status='open'", vec!["status='open'"]),
            ("/hubs/crm/x?where=date_updated>='${date}''", vec![]),
            ("/hubs/crm/x?includeDeleted=true", vec!["includeDeleted=true"]),
        ] {
            assert_eq!(beyond_time(url), rest, "{url}");
        }
    }
}
