//! The resources of a definition: each list → a resource of the `Connector`, with its paging, and how a `where` reaches it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::definition::Defined;
use super::draft::Filter;
use super::fields::{Field, Fields};
use super::hub::{guess, with_dashes};
use super::injected::Injected;
use super::report::{Section, Verdict};
use super::stub;
use super::value::{self, Said, slug};
use crate::api::connector::ConnectorResource;
use crate::api::resource::{Method, Offset, Page, Pagination, Resource, Token};
use crate::api::secrecy::is_secret;
use crate::plan::field_path::FieldPath;

/// How the definition's lists are paged.
pub(super) struct Pages {
    kind: String,
    most: Option<i32>,
    first: Option<i32>,
}

impl Pages {
    /// Takes the settings of paging.
    pub fn take(settings: &mut Fields, section: &mut Section) -> Self {
        let mut pages = Self { kind: String::new(), most: None, first: None };
        let number = |field: &Field, least: f64, most: f64| {
            #[allow(clippy::cast_possible_truncation, reason = "bounded by most")]
            value::number(&field.value).filter(|number| (least..=most).contains(number)).map(|number| number as i32)
        };
        if let Some(field) = settings.take("pagination.type") {
            if let Said::Text(kind) = Said::of(&field.value) {
                pages.kind = kind.to_ascii_lowercase();
            }
            section.changed(&field.place, "pagination of each resource");
        }
        if let Some(field) = settings.take("pagination.max") {
            pages.most = number(&field, 1.0, 10_000.0);
            section.changed(&field.place, "pageSize of each resource that is paged by a parameter");
        }
        if let Some(field) = settings.take("pagination.page.startindex") {
            pages.first = number(&field, 0.0, 1.0);
            section.changed(&field.place, "pagination.page.first of each resource that is paged by number");
        }
        pages
    }
}

/// Adds the lists among the resources of a definition. Parameters that their requests need are added to `wanted`.
pub(super) fn resources(
    defined: &mut Defined,
    field: &Field,
    pages: &Pages,
    wanted: &mut BTreeSet<String>,
    section: &mut Section,
) {
    let Some(items) = field.value.as_array().filter(|items| !items.is_empty()) else {
        section.dropped(&field.place, "it lists no resources");
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let place = field.place.item(index);
        match resource(item, pages, wanted) {
            Ok(_) if defined.spec.resources.len() >= 256 => section.ask(&place, "a Connector has at most 256 resources"),
            Ok((mut found, filter, note)) => {
                let taken = |name: &str| defined.spec.resources.iter().any(|other| other.resource.name == name);
                if taken(&found.resource.name) {
                    section.dropped(&place, "another list has the same path");
                    continue;
                }
                let (verdict, text) = match note {
                    Some(note) => (Verdict::ToDo, format!("resource {}; {note}", found.resource.name)),
                    None => (Verdict::Changed, format!("resource {}", found.resource.name)),
                };
                section.field(verdict, &place, text);
                found.hub_paths.truncate(16);
                defined.filters.extend(filter.map(|filter| (found.resource.name.clone(), filter)));
                defined.spec.resources.push(found);
            }
            Err(reason) => section.dropped(&place, reason),
        }
    }
}

type Found = (ConnectorResource, Option<Filter>, Option<&'static str>);

/// A list; anything else is not polled.
fn resource(item: &Value, pages: &Pages, wanted: &mut BTreeSet<String>) -> Result<Found, &'static str> {
    let text = |name: &str| item[name].as_str().unwrap_or_default().trim();
    let (path, vendor_path) = (text("path"), text("vendorPath"));
    if !text("method").eq_ignore_ascii_case("GET") || path.is_empty() {
        return Err("only lists are polled, and this is not one");
    }
    let ends_in_id = path.trim_end_matches('/').ends_with('}');
    if ends_in_id || path.len() > 256 || vendor_path.is_empty() || vendor_path.len() > 2048 {
        return Err("only lists are polled, and this is not one");
    }
    let method = match text("vendorMethod").to_ascii_uppercase().as_str() {
        "" | "GET" => None,
        "POST" => Some(Method::Post),
        _ => return Err("its method is one that polls do not use"),
    };
    let name = guess(path);
    let plain = slug(&name);
    let mut resource = Resource { name: if plain.is_empty() { slug(path) } else { plain }, method, ..Resource::default() };
    if resource.name.is_empty() {
        return Err("its path has no name in it");
    }
    let mut note = None;
    let (vendor_path, query) = vendor_path.split_once('?').unwrap_or((vendor_path, ""));
    for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        if is_secret(name, value) {
            note = Some("a secret in its vendorPath was left out; auth sends it");
        } else if !value.contains('$') {
            resource.query.insert(name.to_owned(), value.to_owned());
        }
    }
    resource.url =
        Some(with_dashes(&vendor_path.replace(['#', '\\'], ""))).filter(|url| !url.is_empty() && !url.starts_with("//"));
    if resource.url.as_deref().is_none_or(|url| url.contains("${") || url.contains(' ')) {
        return Err("its vendorPath is not a path");
    }
    let root = text("rootKey");
    let root = root.rsplit('|').next().unwrap_or_default().trim();
    resource.records_path = Some(root.to_owned()).filter(|root| root.len() <= 256 && FieldPath::parse(root).is_ok());
    let parameters = item["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    for parameter in parameters.iter().map(Injected::read) {
        wanted.extend(parameter.parameter());
        match parameter {
            Injected::Header(name, template) => drop(resource.headers.insert(name, template)),
            Injected::Query(name, template) => drop(resource.query.insert(name, template)),
            Injected::HeaderCredential(_) | Injected::QueryCredential(_) => {
                note = Some("a parameter that looks like a credential was left out; auth sends it");
            }
            Injected::Path(_) | Injected::Elsewhere => {}
            Injected::Unknown => note = Some("a parameter of its requests was left out; check what they need"),
        }
    }
    resource.pagination = pagination(parameters, pages, item["paginationType"].as_str());
    if let Some(
        Pagination::Offset(Offset { size_parameter: Some(_), .. }) | Pagination::Page(Page { size_parameter: Some(_), .. }),
    ) = resource.pagination
    {
        resource.page_size = pages.most;
    }
    let filter = parameter(parameters, "where").map(|name| match name.strip_prefix("converter:") {
        Some("toQueryParameters") => Filter::Parameters,
        Some(other) if other.to_ascii_lowercase().contains("odata") => Filter::Rewritten("$filter".to_owned()),
        Some(_) => Filter::Rewritten("where".to_owned()),
        None => Filter::Whole(name),
    });
    let hub_paths = vec![path.to_owned()];
    Ok((stub::list(hub_paths, resource), filter, note))
}

/// The provider's name of a query parameter.
fn parameter(parameters: &[Value], name: &str) -> Option<String> {
    let found = parameters.iter().find(|parameter| parameter["name"] == name)?;
    let is_query = found["vendorType"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("query"));
    let vendor = found["vendorName"].as_str().unwrap_or_default().trim();
    (is_query && (1..=128).contains(&vendor.len())).then(|| vendor.to_owned())
}

fn pagination(parameters: &[Value], pages: &Pages, own: Option<&str>) -> Option<Pagination> {
    let own = own.map(str::to_ascii_lowercase);
    let kind = own.as_deref().unwrap_or(&pages.kind);
    let size_parameter = parameter(parameters, "pageSize");
    let position = parameter(parameters, "page").or_else(|| parameter(parameters, "offset"));
    match (kind, position) {
        ("offset", Some(parameter)) => Some(Pagination::Offset(Offset { parameter, size_parameter })),
        (kind, Some(parameter)) if kind.contains("page") => {
            Some(Pagination::Page(Page { parameter, first: pages.first, size_parameter }))
        }
        ("cursor", _) => {
            let taken = parameter(parameters, "nextPage")?;
            let field = Some("next_page_token".to_owned());
            // Where the answer has it, a definition says in code.
            (taken != "nextPage").then_some(Pagination::Token(Token { field, header: None, parameter: taken, place: None }))
        }
        _ => None,
    }
}
