//! The definition of a connector (element.json) → a `Connector`: where the provider's API starts, and which list stands for which hub
//! path.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::credentials::is_endpoint;
use super::draft::{Draft, Filter, Known, Scheme};
use super::fields::{Field, Fields, Place};
use super::hub::{guess, placeholders};
use super::poller::Pollers;
use super::read::unwrapped;
use super::report::{About, Section, Verdict};
use super::stub::{self, NO_PROVIDER};
use super::value::{self, Said, duration, is_secret_name, slug};
use crate::api::auth::{ClientAuthentication, ClientPlace};
use crate::api::connector::{ConnectorAuth, ConnectorResource, ConnectorSpec};
use crate::api::instance::Polling;
use crate::api::resource::{Method, Offset, Page, Pagination, Resource, Token};
use crate::plan::field_path::FieldPath;

/// A connector from its definition.
#[derive(Debug)]
pub(super) struct Defined {
    pub key: String,
    pub spec: ConnectorSpec,
    /// How a `where` reaches the provider, by resource.
    pub filters: BTreeMap<String, Filter>,
}

/// The key of a definition, as `spec.connector` names it.
pub(super) fn key(value: &Value) -> String {
    Some(slug(value["key"].as_str().unwrap_or_default()))
        .filter(|key| !key.is_empty())
        .unwrap_or_else(|| "connector".to_owned())
}

/// Imports a definition.
pub(super) fn import(place: &Place, value: &Value, section: &mut Section) -> Defined {
    let mut defined = Defined { key: key(value), spec: ConnectorSpec::default(), filters: BTreeMap::new() };
    let members = value.as_object().cloned().unwrap_or_default();
    let mut fields = Fields::of(place, &members);
    if let Some(field) = fields.take("key") {
        section.kept(&field.place, format!("Connector {}", defined.key));
    }
    if let Some(field) = fields.take("name") {
        match Said::of(&field.value) {
            Said::Text(name) => {
                defined.spec.title = Some(name.chars().take(128).collect());
                section.kept(&field.place, "spec.title");
            }
            _ => section.dropped(&field.place, "it has no value"),
        }
    }
    let mut settings = settings(fields.take("configuration"), section);
    let kind = fields.take("authentication");
    let declared = kind.as_ref().and_then(|field| field.value["type"].as_str()).map(str::to_ascii_lowercase);
    if let Some(field) = &kind {
        section.kept(&field.place, "spec.auth");
    }
    auth(&mut defined, declared.as_deref(), &mut settings, section);
    base_url(&mut defined, settings.take("base.url"), section);
    let pages = Pages::take(&mut settings, section);
    if let Some(field) = fields.take("resources") {
        resources(&mut defined, &field, &pages, section);
    }
    events(&mut defined, &mut settings, section);
    parameters(&mut defined);
    for field in settings {
        let text =
            if is_secret_name(&field.name) { "an instance's Secret holds it" } else { "no field of a Connector stands for it" };
        section.dropped(&field.place, text);
    }
    for field in fields {
        section.dropped(&field.place, "no field of a Connector stands for it");
    }
    defined
}

/// The default values by key; each stands for its whole item.
fn settings(field: Option<Field>, section: &mut Section) -> Fields {
    let mut found = Fields::default();
    let Some(field) = field else { return found };
    match field.value {
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.into_iter().enumerate() {
                let place = field.place.item(index);
                match item["key"].as_str() {
                    Some(name) => found.add(Field { name: name.to_owned(), place, value: item["defaultValue"].clone() }),
                    None => section.dropped(&place, "it is no setting: a key is expected"),
                }
            }
        }
        _ => section.dropped(&field.place, "it holds no settings"),
    }
    found
}

fn base_url(defined: &mut Defined, field: Option<Field>, section: &mut Section) {
    let text = format!("it is {NO_PROVIDER}; write where the provider's API starts");
    defined.spec.base_url = Some(NO_PROVIDER.to_owned());
    match field {
        None => section.result(Verdict::ToDo, format!("Connector {}, spec.baseUrl", defined.key), text),
        Some(field) => match Said::of(&field.value) {
            Said::Text(url) if is_template(&url) && !url.contains('?') => {
                section.kept(&field.place, "spec.baseUrl");
                defined.spec.base_url = Some(url);
            }
            _ => section.to_do(&field.place, text),
        },
    }
}

/// A URL, perhaps with placeholders in braces.
fn is_template(url: &str) -> bool {
    let filled = url.replace(['{', '}'], "x");
    is_endpoint(&filled)
}

fn auth(defined: &mut Defined, declared: Option<&str>, settings: &mut Fields, section: &mut Section) {
    let has = |name: &str| settings.peek(name).is_some();
    let scheme = match declared {
        Some("oauth2" | "oauth2password") => Some(Scheme::Oauth2),
        Some("basic") => Some(Scheme::Basic),
        _ if has("oauth.api.key") || has("oauth.token.url") => Some(Scheme::Oauth2),
        _ if settings.iter().any(|field| field.name.ends_with("password") && !field.name.starts_with("event.")) => {
            Some(Scheme::Basic)
        }
        _ if settings.iter().any(|field| field.name.ends_with("api.key")) => Some(Scheme::ApiKey),
        _ => None,
    };
    defined.spec.auth = scheme.map(stub::auth);
    let mut is_complete = false;
    if let Some(ConnectorAuth::Oauth2(auth)) = &mut defined.spec.auth {
        for (name, is_token) in [("oauth.token.url", true), ("oauth.authorization.url", false)] {
            let Some(field) = settings.take(name) else { continue };
            match Said::of(&field.value) {
                Said::Text(url) if is_template(&url) => {
                    section.kept(&field.place, "spec.auth.oauth2");
                    if is_token {
                        auth.token_url = url;
                        is_complete = true;
                    } else {
                        auth.authorization_url = Some(url);
                    }
                }
                _ => section.dropped(&field.place, "it is no URL that a Connector takes"),
            }
        }
        for name in ["oauth.scope", "oauth.scopes"] {
            let Some(field) = settings.take(name) else { continue };
            let Said::Text(text) = Said::of(&field.value) else {
                section.dropped(&field.place, "it has no value");
                continue;
            };
            let scopes: BTreeSet<_> = text.split([' ', ',']).filter(|scope| (1..=256).contains(&scope.len())).collect();
            auth.scopes = scopes.into_iter().take(64).map(str::to_owned).collect();
            section.changed(&field.place, "spec.auth.oauth2.scopes");
        }
        if let Some(field) = settings.take("oauth.basic.header") {
            let place = if value::switch(&field.value) == Some(true) { ClientPlace::Basic } else { ClientPlace::Body };
            auth.client_authentication = Some(ClientAuthentication { code: Some(place), refresh: None });
            section.changed(&field.place, format!("spec.auth.oauth2.clientAuthentication.code: {place:?}"));
        }
    }
    let what = format!("Connector {}, spec.auth", defined.key);
    match &defined.spec.auth {
        None => section.result(Verdict::ToDo, what, "the definition does not say how requests are authenticated; write auth"),
        Some(ConnectorAuth::Oauth2(_)) if !is_complete => {
            section.result(Verdict::ToDo, what, format!("tokenUrl is {NO_PROVIDER}; write the provider's token endpoint"));
        }
        Some(ConnectorAuth::ApiKey(_)) => {
            section.result(Verdict::ToDo, what, "the key goes into the header X-API-Key; write where the provider wants it");
        }
        Some(_) => {}
    }
}

/// How the definition's lists are paged.
struct Pages {
    kind: String,
    most: Option<i32>,
    first: Option<i32>,
}

impl Pages {
    fn take(settings: &mut Fields, section: &mut Section) -> Self {
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

fn resources(defined: &mut Defined, field: &Field, pages: &Pages, section: &mut Section) {
    let Some(items) = field.value.as_array().filter(|items| !items.is_empty()) else {
        section.dropped(&field.place, "it lists no resources");
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let place = field.place.item(index);
        match resource(item, pages) {
            Ok(_) if defined.spec.resources.len() >= 256 => section.to_do(&place, "a Connector has at most 256 resources"),
            Ok((mut found, filter, note)) => {
                let taken = |name: &str| defined.spec.resources.iter().any(|other| other.resource.name == name);
                if taken(&found.resource.name) {
                    section.dropped(&place, "another list of the same path is there already");
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
fn resource(item: &Value, pages: &Pages) -> Result<Found, &'static str> {
    let text = |name: &str| item[name].as_str().unwrap_or_default().trim();
    let (path, vendor_path) = (text("path"), text("vendorPath"));
    if !text("method").eq_ignore_ascii_case("GET") || path.is_empty() {
        return Err("only lists are polled, and it is none");
    }
    let ends_in_id = path.trim_end_matches('/').ends_with('}');
    if ends_in_id || path.len() > 256 || vendor_path.is_empty() || vendor_path.len() > 2048 {
        return Err("only lists are polled, and it is none");
    }
    let method = match text("vendorMethod").to_ascii_uppercase().as_str() {
        "" | "GET" => None,
        "POST" => Some(Method::Post),
        _ => return Err("the provider is asked by a method that no poll uses"),
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
        if is_secret_name(name) {
            note = Some("a secret in its vendorPath was left out; auth sends it");
        } else if !value.contains('$') {
            resource.query.insert(name.to_owned(), value.to_owned());
        }
    }
    resource.url = Some(vendor_path.replace(['#', '\\'], "")).filter(|url| !url.is_empty() && !url.starts_with("//"));
    if resource.url.as_deref().is_none_or(|url| url.contains("${") || url.contains(' ')) {
        return Err("its vendorPath is no path");
    }
    let root = text("rootKey");
    let root = root.rsplit('|').next().unwrap_or_default().trim();
    resource.records_path = Some(root.to_owned()).filter(|root| root.len() <= 256 && FieldPath::parse(root).is_ok());
    let parameters = item["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
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
    Ok((ConnectorResource { hub_paths, resource, ..ConnectorResource::default() }, filter, note))
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

/// The polling that the definition has by default: ids and dates of its resources.
fn events(defined: &mut Defined, settings: &mut Fields, section: &mut Section) {
    if let Some(field) = settings.take("event.poller.refresh_interval") {
        match value::number(&field.value).filter(|minutes| (0.1..=10_080.0).contains(minutes)) {
            Some(minutes) => {
                let interval = duration(minutes * 60.0);
                section.changed(&field.place, format!("spec.polling.interval: {interval}"));
                defined.spec.polling = Some(Polling { interval: Some(interval), start_from: None });
            }
            None => section.dropped(&field.place, "it is no number of minutes: 15m holds"),
        }
    }
    let Some(field) = settings.take("event.poller.configuration") else { return };
    let pollers = match &field.value {
        Value::String(text) => unwrapped(text),
        other => Some(other.clone()),
    };
    let Some(Value::Object(pollers)) = pollers.filter(|pollers| pollers.as_object().is_some_and(|members| !members.is_empty()))
    else {
        section.dropped(&field.place, "it holds no pollers");
        return;
    };
    section.changed(&field.place, "query, ids and dates of the resources, as the lines that name it say");
    // The item has its line: those of its pollers name results.
    let mut inner = Section::default();
    let mut draft = Draft::new(defined.key.clone());
    let spec = defined.spec.clone();
    let known = Known { spec: Some(&spec), filters: Some(&defined.filters) };
    let mut reader = Pollers { known, zone: "GMT".to_owned(), draft: &mut draft, section: &mut inner };
    for (name, poller) in &pollers {
        reader.add(name, &field.place.member(name), poller);
    }
    for line in inner.lines {
        let about = match line.about {
            About::Field(place) => place.to_string(),
            About::Result(what) => what,
        };
        section.result(line.verdict, about, line.text);
    }
    for polled in draft.spec.resources {
        lay_over(&mut defined.spec, polled);
    }
}

/// A poller's resource over that of its hub path; one that is of no hub path is a resource of its own.
fn lay_over(spec: &mut ConnectorSpec, polled: Resource) {
    let path = polled.url.clone().unwrap_or_default();
    let plain = path.trim_matches('/').to_owned();
    let is_new = spec.resources.iter().all(|other| other.resource.name != polled.name);
    let under = spec.resources.iter_mut().find(|under| {
        under.hub_paths.iter().any(|path| path.trim_matches('/') == plain)
            || (path.is_empty() && under.resource.name == polled.name)
    });
    match under {
        Some(under) => {
            under.resource.query.extend(polled.query);
            under.resource.id_field = polled.id_field;
            under.resource.dates_configuration = polled.dates_configuration;
            under.resource.change_by = polled.change_by;
            under.resource.created_tolerance = polled.created_tolerance;
            under.resource.lookback = polled.lookback;
            under.resource.page_size = polled.page_size.or(under.resource.page_size);
        }
        None if polled.url.is_some() && is_new => {
            spec.resources.push(ConnectorResource { resource: polled, ..ConnectorResource::default() });
        }
        None => {}
    }
}

/// Every placeholder of the templates is a parameter of the instance.
fn parameters(defined: &mut Defined) {
    let mut names = BTreeSet::new();
    names.extend(placeholders(defined.spec.base_url.as_deref().unwrap_or_default()));
    if let Some(ConnectorAuth::Oauth2(auth)) = &defined.spec.auth {
        names.extend(placeholders(&auth.token_url));
        names.extend(placeholders(auth.authorization_url.as_deref().unwrap_or_default()));
    }
    defined.spec.parameters = names.into_iter().take(32).map(stub::parameter).collect();
}
