//! The definition of a connector (element.json) → a `Connector`: where the provider's API starts, and which list stands for which hub
//! path.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::credentials::is_endpoint;
use super::draft::{Draft, Filter, Known, Scheme};
use super::fields::{Field, Fields, Place};
use super::hub::{placeholders, with_dashes};
use super::injected::Injected;
use super::lists::{Pages, resources};
use super::poller::Pollers;
use super::read::unwrapped;
use super::report::{About, Section, Verdict};
use super::stub::{self, NO_PROVIDER};
use super::value::{self, Said, duration, slug};
use crate::api::auth::{self, ClientAuthentication, ClientPlace};
use crate::api::connector::{ConnectorAuth, ConnectorSpec, Parameter};
use crate::api::instance::Polling;
use crate::api::resource::Resource;
use crate::api::secrecy::{is_secret, is_secret_name};

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
    let declared_settings: BTreeMap<String, Option<String>> = settings.iter().map(default_of).collect();
    let kind = fields.take("authentication");
    let declared = kind.as_ref().and_then(|field| field.value["type"].as_str()).map(str::to_ascii_lowercase);
    if let Some(field) = &kind {
        section.kept(&field.place, "spec.auth");
    }
    authentication(&mut defined, declared.as_deref(), &mut settings, section);
    base_url(&mut defined, settings.take("base.url"), section);
    let pages = Pages::take(&mut settings, section);
    let mut wanted = BTreeSet::new();
    if let Some(field) = fields.take("resources") {
        resources(&mut defined, &field, &pages, &mut wanted, section);
    }
    if let Some(field) = fields.take("parameters") {
        inject(&mut defined, &field, &mut wanted, section);
    }
    events(&mut defined, &mut settings, section);
    parameters(&mut defined, wanted, &declared_settings);
    for field in settings {
        let own = field.name.replace('.', "-");
        if defined.spec.parameters.iter().any(|parameter| parameter.name == own) {
            section.changed(&field.place, format!("spec.parameters, {own}"));
            continue;
        }
        let text = if is_secret_name(&field.name) {
            "an instance's Secret holds it"
        } else {
            "no field of a Connector corresponds to it"
        };
        section.dropped(&field.place, text);
    }
    for field in fields {
        section.dropped(&field.place, "no field of a Connector corresponds to it");
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
                    None => section.dropped(&place, "it is not a setting: a key is expected"),
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
                defined.spec.base_url = Some(with_dashes(&url));
            }
            _ => section.ask(&field.place, text),
        },
    }
}

/// A URL, optionally with placeholders in braces.
fn is_template(url: &str) -> bool {
    let filled = url.replace(['{', '}'], "x");
    is_endpoint(&filled)
}

fn authentication(defined: &mut Defined, declared: Option<&str>, settings: &mut Fields, section: &mut Section) {
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
                    let url = with_dashes(&url);
                    if is_token {
                        auth.token_url = url;
                        is_complete = true;
                    } else {
                        auth.authorization_url = Some(url);
                    }
                }
                _ => section.dropped(&field.place, "it is not a URL that a Connector accepts"),
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

/// The polling that the definition has by default: ids and dates of its resources.
fn events(defined: &mut Defined, settings: &mut Fields, section: &mut Section) {
    if let Some(field) = settings.take("event.poller.refresh_interval") {
        match value::number(&field.value).filter(|minutes| (0.1..=10_080.0).contains(minutes)) {
            Some(minutes) => {
                let interval = duration(minutes * 60.0);
                section.changed(&field.place, format!("spec.polling.interval: {interval}"));
                defined.spec.polling = Some(Polling { interval: Some(interval), start_from: None });
            }
            None => section.dropped(&field.place, "it is not a number of minutes: 15m applies"),
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
    let mut reader = Pollers { known, zone: Some("GMT".to_owned()), draft: &mut draft, section: &mut inner };
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
            (under.resource.id_field, under.resource.id_fields) = (polled.id_field, polled.id_fields);
            under.resource.dates_configuration = polled.dates_configuration;
            under.resource.change_by = polled.change_by;
            under.resource.created_tolerance = polled.created_tolerance;
            under.resource.lookback = polled.lookback;
            under.resource.page_size = polled.page_size.or(under.resource.page_size);
        }
        None if polled.url.is_some() && is_new => {
            spec.resources.push(stub::list(Vec::new(), polled));
        }
        None => {}
    }
}

/// What a definition sends with every request.
fn inject(defined: &mut Defined, field: &Field, wanted: &mut BTreeSet<String>, section: &mut Section) {
    let Some(items) = field.value.as_array().filter(|items| !items.is_empty()) else {
        section.dropped(&field.place, "it lists no parameters");
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let place = field.place.item(index);
        let injected = Injected::read(item);
        wanted.extend(injected.parameter());
        match injected {
            Injected::Header(name, template) => {
                section.changed(&place, format!("spec.headers, {name}"));
                defined.spec.headers.insert(name, template);
            }
            Injected::Query(name, template) => {
                section.changed(&place, format!("query of each resource, {name}"));
                for resource in &mut defined.spec.resources {
                    resource.resource.query.entry(name.clone()).or_insert_with(|| template.clone());
                }
            }
            Injected::Path(name) => section.changed(&place, format!("the placeholder {{{}}} in URLs", name.replace('.', "-"))),
            Injected::HeaderCredential(name) => credential(defined, &place, auth::Place::Header, &name, section),
            Injected::QueryCredential(name) => credential(defined, &place, auth::Place::Query, &name, section),
            Injected::Elsewhere => section.dropped(&place, "polls do not send it"),
            Injected::Unknown => {
                section.ask(&place, "it is neither a header nor a query parameter, and was left out; check what requests need");
            }
        }
    }
}

/// A credential that is a parameter: it is what `auth` sends, or a second one.
fn credential(defined: &mut Defined, place: &Place, at: auth::Place, name: &str, section: &mut Section) {
    match &mut defined.spec.auth {
        Some(ConnectorAuth::ApiKey(key)) if key.place.is_none() => {
            section.changed(place, format!("spec.auth.apiKey: {name}"));
            key.place = Some(at);
            name.clone_into(&mut key.name);
        }
        Some(ConnectorAuth::Basic(_) | ConnectorAuth::Bearer(_) | ConnectorAuth::Oauth2(_))
            if name.eq_ignore_ascii_case("authorization") =>
        {
            section.dropped(place, "auth sends it");
        }
        _ => section.ask(place, "it looks like a credential, and was left out; write auth so that requests have it"),
    }
}

/// The name of a setting as a parameter, and the value that it has by default.
fn default_of(field: &Field) -> (String, Option<String>) {
    let text = match Said::of(&field.value) {
        Said::Text(text) if text.len() <= 256 && !is_secret(&field.name, &text) => Some(text),
        _ => None,
    };
    (field.name.replace('.', "-"), text)
}

/// Every placeholder of the templates is a parameter of the instance; in the paths of resources those that are settings.
fn parameters(defined: &mut Defined, wanted: BTreeSet<String>, settings: &BTreeMap<String, Option<String>>) {
    let mut names = wanted;
    names.extend(placeholders(defined.spec.base_url.as_deref().unwrap_or_default()));
    if let Some(ConnectorAuth::Oauth2(auth)) = &defined.spec.auth {
        names.extend(placeholders(&auth.token_url));
        names.extend(placeholders(auth.authorization_url.as_deref().unwrap_or_default()));
    }
    let paths = defined.spec.resources.iter().filter_map(|resource| resource.resource.url.as_deref());
    names.extend(paths.flat_map(placeholders).filter(|name| settings.contains_key(name)));
    let parameter = |name: String| Parameter { default_value: settings.get(&name).cloned().flatten(), ..stub::parameter(name) };
    defined.spec.parameters = names.into_iter().take(32).map(parameter).collect();
}
