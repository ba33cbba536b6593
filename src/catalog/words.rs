//! What an entry does, in words for people: on the page of the catalog and at the command line. Pure.

use std::fmt::Write as _;

use crate::api::auth::Grant;
use crate::api::connector::{ConnectorAuth, ConnectorResource, ConnectorSpec, Evidence, Parameter};
use crate::api::deletes::Deletes;
use crate::api::limits::{LimitScope, RequestLimit};
use crate::api::resource::{ChangeBy, Method, Order, Pagination, RecordsAs};

/// What credentials the entry asks for.
pub fn auth(auth: Option<&ConnectorAuth>) -> String {
    match auth {
        None => "as the instance says".to_owned(),
        Some(ConnectorAuth::ApiKey(key)) => format!("apiKey ({})", key.name),
        Some(ConnectorAuth::Basic(_)) => "basic".to_owned(),
        Some(ConnectorAuth::Bearer(_)) => "bearer".to_owned(),
        Some(ConnectorAuth::Oauth2(oauth2)) => {
            let grant = match oauth2.grant {
                Grant::ClientCredentials => "ClientCredentials",
                Grant::RefreshToken => "RefreshToken",
                Grant::AuthorizationCode => "AuthorizationCode",
                Grant::JwtBearer => "JwtBearer",
            };
            format!("oauth2 ({grant})")
        }
    }
}

/// One parameter: its name, and the default or that a value is needed.
pub fn parameter(parameter: &Parameter) -> String {
    let need = match &parameter.default_value {
        Some(default) => format!(" (default {default})"),
        None => String::new(),
    };
    format!("{}{need}", parameter.name)
}

/// How the facts were checked.
pub fn verified(spec: &ConnectorSpec) -> String {
    match &spec.verified {
        None => "not checked".to_owned(),
        Some(verified) => match verified.by {
            Evidence::Description => format!("{}, against the published description", verified.date),
            Evidence::Recording => format!("{}, against recorded exchanges", verified.date),
        },
    }
}

/// Method and path of the list.
pub fn request(of: &ConnectorResource) -> String {
    let method = match of.resource.method {
        Some(Method::Post) => "POST",
        Some(Method::Get) | None => "GET",
    };
    format!("{method} {}", of.resource.url.as_deref().unwrap_or("/"))
}

/// By what changes are found, and how much each poll reads for it.
pub fn changes(of: &ConnectorResource) -> String {
    let resource = &of.resource;
    let dates = resource.dates_configuration.clone().unwrap_or_default();
    let by_content = resource.change_by == Some(ChangeBy::Content);
    let by = match (&dates.updated_date_field, &dates.created_date_field) {
        (Some(updated), _) if !by_content && resource.change_by != Some(ChangeBy::Created) => format!("by {updated}"),
        _ if resource.feed.is_some() => "by events about them".to_owned(),
        (_, Some(created)) if !by_content => format!("only new records, by {created}"),
        _ => "by content".to_owned(),
    };
    let asks_since = {
        let texts = resource.query.values().chain(resource.headers.values()).cloned();
        let texts = texts.chain(resource.url.clone()).chain(resource.body.as_ref().map(ToString::to_string));
        texts.into_iter().any(|text| ["${since", "${gmtDate", "${date", "${epoch"].iter().any(|start| text.contains(start)))
    };
    let reads = match (asks_since, resource.order) {
        _ if resource.delta.is_some() => "continues by token",
        (true, _) => "asks for what changed",
        (false, Some(Order::Descending)) => "newest first, stops at the last one seen",
        (false, _) => "reads the whole list",
    };
    format!("{by}; {reads}")
}

/// How deleted records are seen.
pub fn deletes(of: &ConnectorResource) -> String {
    match &of.resource.deletes {
        None if of.resource.feed.is_some() => "by the type of the event".to_owned(),
        None => "not seen".to_owned(),
        Some(Deletes::Snapshot(_)) => "by complete lists".to_owned(),
        Some(Deletes::Feed(_)) => "by a list of deleted ids".to_owned(),
        Some(Deletes::Flag(flag)) => match &flag.value {
            Some(value) => format!("{} is {value}", flag.field),
            None => format!("{} is set", flag.field),
        },
    }
}

/// How further pages are asked for.
pub fn pages(spec: &ConnectorSpec, of: &ConnectorResource) -> String {
    match of.resource.pagination.as_ref().or(spec.pagination.as_ref()) {
        None => "found out from the first answer".to_owned(),
        Some(Pagination::None(_)) => "one page is all".to_owned(),
        Some(Pagination::LinkHeader(_)) => "Link header".to_owned(),
        Some(Pagination::NextLink(next)) => {
            format!("link in {}", next.field.as_deref().or(next.header.as_deref()).unwrap_or_default())
        }
        Some(Pagination::Token(token)) => {
            format!("{} from {}", token.parameter, token.field.as_deref().or(token.header.as_deref()).unwrap_or_default())
        }
        Some(Pagination::LastId(last)) => format!("{} by the id of the last record", last.parameter),
        Some(Pagination::Keyset(_)) => "again from the last date".to_owned(),
        Some(Pagination::Offset(offset)) => format!("{} by number of records", offset.parameter),
        Some(Pagination::Page(page)) => format!("{} by number of pages", page.parameter),
    }
}

/// What the provider allows; with a resource, only what concerns that one. `None`: nothing is known.
pub fn limits(spec: &ConnectorSpec, resource: Option<&str>) -> Option<String> {
    let limits = spec.limits.as_ref()?;
    let concerns = |limit: &&RequestLimit| {
        limit.resources.is_empty() || resource.is_none_or(|name| limit.resources.iter().any(|one| one == name))
    };
    let requests = limits.requests.iter().filter(concerns).map(|limit| {
        let whose = if limit.per == Some(LimitScope::Client) { " for each OAuth client" } else { "" };
        let of = match (resource, limit.resources.as_slice()) {
            (Some(_), _) | (None, []) => String::new(),
            (None, names) => format!(" of {}", names.join(", ")),
        };
        format!("{} requests{of} in {}{whose}", limit.count, limit.period)
    });
    let under_way = limits.concurrent.map(|most| format!("{most} at once"));
    let all: Vec<_> = requests.chain(under_way).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// One resource in full, a line for each fact.
pub fn explain(key: &str, spec: &ConnectorSpec, of: &ConnectorResource) -> String {
    let resource = &of.resource;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("resource", &format!("{} of {key} ({})", resource.name, spec.title.as_deref().unwrap_or(key)));
    line("request", &format!("{} under {}", request(of), spec.base_url.as_deref().unwrap_or("the baseUrl of the instance")));
    for (name, value) in &resource.query {
        line("query", &format!("{name}={value}"));
    }
    for (name, value) in spec.headers.iter().chain(&resource.headers) {
        line("header", &format!("{name}: {value}"));
    }
    if let Some(body) = &resource.body {
        line("body", &body.to_string());
    }
    let list = if resource.records_as == Some(RecordsAs::Map) { "a map, by id, at " } else { "" };
    line("records", &format!("{list}{}", resource.records_path.as_deref().unwrap_or("the answer itself, or its only array")));
    match &*resource.id_fields {
        [] if !list.is_empty() => {}
        [] => line("id", resource.id_field.as_deref().unwrap_or("id")),
        fields => line("id", &fields.join(", ")),
    }
    line("changes", &changes(of));
    line("deletes", &deletes(of));
    line("pages", &pages(spec, of));
    if let Some(most) = of.max_page_size {
        line("page size", &format!("at most {most}"));
    }
    if let Some(limits) = limits(spec, Some(&resource.name)) {
        line("limits", &limits);
    }
    let polled = std::slice::from_ref(resource);
    for needed in spec.parameters_for(polled, |_| false).iter() {
        let description = needed.description.as_deref().unwrap_or_default();
        line("parameter", &format!("{}: {description}", parameter(needed)));
    }
    line("auth", &auth(spec.auth.as_ref()));
    for path in &of.hub_paths {
        line("hub path", path);
    }
    line("verified", &verified(spec));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::built_in;

    #[test]
    fn a_resource_is_explained() {
        let github = built_in("github").unwrap();
        let text = explain("github", github, &github.resources[0]);
        for line in [
            "resource    issues of github (GitHub)",
            "request     GET /repos/{owner}/{repo}/issues under https://api.github.com",
            "query       sort=updated",
            "records     the answer itself, or its only array",
            "id          id",
            "changes     by updated_at; asks for what changed",
            "deletes     not seen",
            "pages       Link header",
            "limits      5000 requests in 1h; 100 at once",
            "parameter   owner: The account that owns the repository.",
            "auth        bearer",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("org:"), "{text}");
    }

    #[test]
    fn limits_are_told_for_all_resources_or_one() {
        let youtube = built_in("youtube").unwrap();
        let told = |resource| limits(youtube, resource).unwrap();
        let all = "10000 requests in 24h for each OAuth client";
        assert_eq!(told(Some("playlist-items")), all);
        assert_eq!(told(Some("videos")), format!("{all}; 100 requests in 24h for each OAuth client"));
        assert_eq!(told(None), format!("{all}; 100 requests of videos in 24h for each OAuth client"));
        assert_eq!(limits(built_in("hal").unwrap(), None), None);
    }
}
