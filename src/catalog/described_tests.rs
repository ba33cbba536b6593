//! Every entry against what the provider published: the folder `../shared/openapi` next to the repository, or the one that
//! `POLLINATOR_DESCRIPTIONS` names.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use serde_json::Value;

use super::description_tests::{Description, Found, Operation, Records};
use super::published_tests::{EXCEPTIONS, UNDESCRIBED, address, file_name, folder, method};
use crate::api::auth::Grant;
use crate::api::connector::{ConnectorAuth, ConnectorResource, ConnectorSpec};
use crate::api::deletes::Deletes;
use crate::api::delta::Delta;
use crate::api::resource::{Pagination, TokenPlace};
use crate::plan::field_path::{FieldPath, Segment};

/// Keys and texts as they are in the repository now, not as they were embedded.
pub(super) fn entries() -> Vec<(String, String)> {
    let folders = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog")).unwrap().map(|folder| folder.unwrap());
    let text = |folder: &fs::DirEntry| fs::read_to_string(folder.path().join("connector.yaml")).unwrap();
    let mut found: Vec<_> = folders.map(|folder| (folder.file_name().into_string().unwrap(), text(&folder))).collect();
    found.sort();
    found
}

/// The facts of one resource that its description does not confirm.
struct Check<'a> {
    operation: Operation<'a>,
    records: Records<'a>,
    unconfirmed: Vec<String>,
}

impl Check<'_> {
    fn expect(&mut self, fact: &str, found: Found) {
        match found {
            Found::Yes => {}
            Found::No => self.unconfirmed.push(fact.to_owned()),
            Found::Cut => self.unconfirmed.push(format!("{fact} (cut off)")),
        }
    }

    fn parameter(&mut self, name: &str, place: &str) {
        let found = if self.operation.parameter(name, place).is_some() { Found::Yes } else { Found::No };
        self.expect(&format!("{place} {name}"), found);
    }

    fn size(&mut self, parameter: &str, asked: i64) {
        if let Some(most) = self.operation.maximum(parameter)
            && asked > most
        {
            self.unconfirmed.push(format!("{parameter} {asked} is above {most}"));
        }
    }

    fn envelope(&mut self, path: &str) {
        let steps = steps(path);
        let found = self.operation.envelope(&steps.iter().map(String::as_str).collect::<Vec<_>>());
        self.expect(&format!("answer {path}"), found);
    }

    fn field(&mut self, path: &str) {
        let steps = steps(path);
        let found = self.operation.field(&self.records, &steps.iter().map(String::as_str).collect::<Vec<_>>());
        self.expect(&format!("record {path}"), found);
    }
}

fn steps(path: &str) -> Vec<String> {
    let path = FieldPath::parse(path).unwrap();
    let names = path.segments().iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key.clone()),
        Segment::Index(_) => None,
    });
    names.collect()
}

fn unconfirmed(key: &str, connector: &ConnectorSpec, of: &ConnectorResource, descriptions: &[Description]) -> Vec<String> {
    let resource = &of.resource;
    let (method, address) = (method(resource.method), address(key, connector.base_url.as_deref(), resource.url.as_deref()));
    let Some(operation) = descriptions.iter().find_map(|one| one.operation(method, &address)) else {
        return vec![format!("operation {method} {address}")];
    };
    let at = resource.records_path.as_deref().map(steps).unwrap_or_default();
    let records = match &resource.records_path {
        Some(_) => Records::At(at.iter().map(String::as_str).collect()),
        None => Records::Root,
    };
    let mut check = Check { operation, records, unconfirmed: Vec::new() };
    resource.query.keys().for_each(|name| check.parameter(name, "query"));
    resource.headers.keys().for_each(|name| check.parameter(name, "header"));
    if let Some(Value::Object(body)) = &resource.body {
        for name in body.keys() {
            let found = check.operation.body(&[name]);
            check.expect(&format!("body {name}"), found);
        }
    }
    for (name, value) in &resource.query {
        if let Ok(asked) = value.parse() {
            check.size(name, asked);
        }
    }
    let sizes = [resource.page_size, of.max_page_size].into_iter().flatten().max();
    match resource.pagination.as_ref().or(connector.pagination.as_ref()) {
        Some(Pagination::Offset(offset)) => {
            check.parameter(&offset.parameter, "query");
            sized(&mut check, offset.size_parameter.as_deref(), sizes);
        }
        Some(Pagination::Page(page)) => {
            check.parameter(&page.parameter, "query");
            sized(&mut check, page.size_parameter.as_deref(), sizes);
        }
        Some(Pagination::Token(token)) => {
            if let Some(field) = &token.field {
                check.envelope(field);
            }
            match token.place {
                Some(TokenPlace::Header) => check.parameter(&token.parameter, "header"),
                Some(TokenPlace::Body) => {
                    let found = check.operation.body(&token.parameter.split('.').collect::<Vec<_>>());
                    check.expect(&format!("body {}", token.parameter), found);
                }
                Some(TokenPlace::Query) | None => check.parameter(&token.parameter, "query"),
            }
        }
        Some(Pagination::LastId(last)) => {
            check.parameter(&last.parameter, "query");
            last.field.iter().for_each(|field| check.field(field));
        }
        Some(Pagination::Keyset(keyset)) => sized(&mut check, keyset.size_parameter.as_deref(), sizes),
        Some(Pagination::NextLink(next)) => next.field.iter().for_each(|field| check.envelope(field)),
        Some(Pagination::None(_) | Pagination::LinkHeader(_)) | None => {}
    }
    match &*resource.id_fields {
        [] => check.field(resource.id_field.as_deref().unwrap_or("id")),
        fields => fields.iter().for_each(|field| check.field(field)),
    }
    if let Some(dates) = &resource.dates_configuration {
        for field in [&dates.updated_date_field, &dates.created_date_field].into_iter().flatten() {
            check.field(field);
        }
    }
    match &resource.delta {
        Some(Delta::Token(token)) => token.field.iter().for_each(|field| check.envelope(field)),
        Some(Delta::Link(link)) => link.field.iter().for_each(|field| check.envelope(field)),
        None => {}
    }
    if let Some(feed) = &resource.feed {
        check.field(&feed.type_field);
    }
    if let Some(Deletes::Flag(flag)) = &resource.deletes {
        check.field(&flag.field);
    }
    resource.ignore_fields.iter().for_each(|field| check.field(field));
    for (name, place) in check.operation.required() {
        let given = match place.as_str() {
            "query" => resource.query.contains_key(&name),
            _ => connector.headers.keys().chain(resource.headers.keys()).any(|header| header.eq_ignore_ascii_case(&name)),
        };
        // the engine sends these, and credentials are the instance's matter
        if !given && !["accept", "content-type", "authorization", "token"].contains(&&*name.to_lowercase()) {
            check.unconfirmed.push(format!("{place} {name} is required"));
        }
    }
    check.unconfirmed
}

/// The scopes of which an operation needs one, and where the description says so: next to the operation, or for all of them. Providers write
/// those that suffice by themselves into one list, whatever `OpenAPI` makes of it.
fn needed<'a>(operation: &Operation<'a>) -> (Option<&'a str>, Vec<&'a str>) {
    let texts = |list: &'a Value| list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let own = operation.parts[0];
    if own["scopes"].is_array() {
        return (None, texts(&own["scopes"]).collect());
    }
    let (place, security) = match own.get("security") {
        Some(security) => (None, security),
        None => (Some("auth"), &operation.description.root["security"]),
    };
    let schemes = schemes(&operation.description.root);
    let is_oauth2 = |name: &str| schemes.get(name).is_some_and(|scheme| scheme["type"] == "oauth2");
    let members = security.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    (place, members.filter(|(name, _)| is_oauth2(name)).flat_map(|(_, scopes)| texts(scopes)).collect())
}

fn schemes(root: &Value) -> &Value {
    root["components"].get("securitySchemes").unwrap_or(&root["securityDefinitions"])
}

/// The flows of OAuth 2.0 of a description.
fn flows(description: &Description) -> Vec<&Value> {
    let discovery = &description.root["auth"]["oauth2"];
    let schemes = schemes(&description.root).as_object().into_iter().flatten().map(|(_, scheme)| scheme);
    let schemes = schemes.filter(|scheme| scheme["type"] == "oauth2");
    let flows = schemes.flat_map(|scheme| match scheme["flows"].as_object() {
        Some(flows) => flows.values().collect(),
        None => vec![scheme],
    });
    flows.chain(discovery.is_object().then_some(discovery)).collect()
}

/// What the descriptions say in another way of how tokens are obtained: resource (or `auth`) and fact.
fn unconfirmed_auth(key: &str, connector: &ConnectorSpec, descriptions: &[Description]) -> Vec<(String, String)> {
    let Some(ConnectorAuth::Oauth2(auth)) = &connector.auth else { return Vec::new() };
    let mut wrong = BTreeSet::new();
    let flows: Vec<_> = descriptions.iter().flat_map(flows).collect();
    for (name, ours) in [("tokenUrl", Some(&auth.token_url)), ("authorizationUrl", auth.authorization_url.as_ref())] {
        let published: Vec<_> = flows.iter().filter_map(|flow| flow[name].as_str()).collect();
        let bare = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
        // Some are relative to wherever the API is.
        let is_same = |published: &&str| match ours {
            Some(ours) if published.starts_with('/') => bare(ours).ends_with(published),
            Some(ours) => bare(ours) == bare(published),
            None => false,
        };
        if !published.is_empty() && !published.iter().any(is_same) {
            let ours = ours.map_or("none", String::as_str);
            wrong.insert(("auth".to_owned(), format!("{name} {ours}, not {}", published[0])));
        }
    }
    let mut known: BTreeSet<&str> =
        flows.iter().filter_map(|flow| flow["scopes"].as_object()).flat_map(|of| of.keys().map(String::as_str)).collect();
    for of in &connector.resources {
        let resource = &of.resource;
        let address = address(key, connector.base_url.as_deref(), resource.url.as_deref());
        let found = descriptions.iter().find_map(|one| one.operation(method(resource.method), &address));
        let (place, scopes) = found.as_ref().map(needed).unwrap_or_default();
        known.extend(&scopes);
        // A client without scopes gets those that it was registered with (RFC 6749 §3.3).
        let is_client = auth.grant == Grant::ClientCredentials && auth.scopes.is_empty();
        if !scopes.is_empty() && !is_client && !auth.scopes.iter().any(|own| scopes.contains(&own.as_str())) {
            wrong.insert((place.unwrap_or(&resource.name).to_owned(), format!("scope {}", scopes.join(" or "))));
        }
    }
    for scope in &auth.scopes {
        if !known.is_empty() && !known.contains(scope.as_str()) {
            wrong.insert(("auth".to_owned(), format!("scope {scope} is not known")));
        }
        let ends = ["write", "full", "manage", "delete", "admin", ".all"];
        if ends.iter().any(|end| scope.to_lowercase().ends_with(end)) {
            wrong.insert(("auth".to_owned(), format!("scope {scope} allows more than to read")));
        }
    }
    wrong.into_iter().collect()
}

fn sized(check: &mut Check<'_>, parameter: Option<&str>, asked: Option<i32>) {
    let Some(parameter) = parameter else { return };
    check.parameter(parameter, "query");
    if let Some(asked) = asked {
        check.size(parameter, asked.into());
    }
}

#[test]
fn every_entry_says_what_the_provider_published() {
    let folder = folder();
    if !folder.is_dir() {
        let why = format!("no folder {}: the catalog is not checked against published descriptions", folder.display());
        let is_set = |name: &str, to: &str| std::env::var(name).is_ok_and(|value| value == to);
        assert!(!is_set("POLLINATOR_REQUIRE_CONTROL_PLANE", "1") && !is_set("CI", "true"), "{why}");
        // not eprintln!, which the test runner would keep to itself
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
        return;
    }
    let (mut wrong, mut used, mut undescribed) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (key, text) in entries() {
        let key = key.as_str();
        let Ok(published) = fs::read_to_string(folder.join(file_name(key))) else {
            undescribed.push(key.to_owned());
            continue;
        };
        let descriptions = Description::read(&published).unwrap();
        let (_, connector) = super::entry(key, &text).unwrap_or_else(|errors| panic!("{key}: {errors:?}"));
        let of_resources = connector.resources.iter().flat_map(|resource| {
            let facts = unconfirmed(key, &connector, resource, &descriptions);
            facts.into_iter().map(|fact| (resource.resource.name.clone(), fact))
        });
        for (name, fact) in of_resources.chain(unconfirmed_auth(key, &connector, &descriptions)) {
            let excepted = EXCEPTIONS.iter().position(|(entry, of, what, _)| (*entry, *of, *what) == (key, &*name, &*fact));
            match excepted {
                Some(at) => drop(used.insert(at)),
                None => wrong.push(format!("    (\"{key}\", \"{name}\", \"{fact}\", \"\"),")),
            }
        }
    }
    assert!(wrong.is_empty(), "the published descriptions lack:\n{}", wrong.join("\n"));
    assert_eq!(undescribed, UNDESCRIBED.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    let idle = EXCEPTIONS.iter().enumerate().filter(|(at, _)| !used.contains(at)).map(|(_, exception)| exception);
    assert_eq!(idle.collect::<Vec<_>>(), [] as [&(&str, &str, &str, &str); 0], "exceptions that are not needed");
}

#[test]
fn each_kind_of_fault_is_found() {
    let published = serde_json::json!({"openapi": "3.0.0", "servers": [{"url": "https://api.example.com/v1"}], "paths": {"/shops/{shop}/orders": {"get": {
        "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
            {"name": "cursor", "in": "query"}, {"name": "shop_token", "in": "query", "required": true},
            {"name": "created", "in": "query", "style": "deepObject", "schema": {"properties": {"gte": {}}}},
        ],
        "responses": {"200": {"content": {"application/json": {"schema": {"properties": {
            "next": {"type": "string"},
            "orders": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/Order"}]}},
        }}}}}},
    }}}, "components": {"schemas": {"Order": {"properties": {"id": {}, "updated": {}, "buyer": {"x-trimmed-ref": "Buyer"}}}}}});
    let descriptions = Description::read(&published.to_string()).unwrap();
    let found = |resource: &str| {
        let text = format!("{{baseUrl: 'https://api.example.com/v1', resources: [{resource}]}}");
        let connector: ConnectorSpec = serde_saphyr::from_str(&text).unwrap();
        unconfirmed("shop", &connector, &connector.resources[0], &descriptions)
    };
    let good = "name: orders, url: '/shops/{shop}/orders', recordsPath: orders, query: {limit: '100', shop_token: x, 'created[gte]': since}, \
                pagination: {token: {field: next, parameter: cursor}}, datesConfiguration: {updatedDateField: updated}";
    assert_eq!(found(&format!("{{{good}}}")), [""; 0]);
    for (from, to, fault) in [
        ("/orders", "/order", "operation GET https://api.example.com/v1/shops/{shop}/order"),
        ("recordsPath: orders", "recordsPath: items", "record id"),
        ("limit: '100'", "limit: '101'", "limit 101 is above 100"),
        ("limit:", "size:", "query size"),
        ("created[gte]", "created[gt]", "query created[gt]"),
        (", shop_token: x", "", "query shop_token is required"),
        ("field: next", "field: after", "answer after"),
        ("parameter: cursor", "parameter: after", "query after"),
        ("updatedDateField: updated", "updatedDateField: changed", "record changed"),
        ("updatedDateField: updated", "updatedDateField: buyer.seen", "record buyer.seen (cut off)"),
    ] {
        let faults = found(&format!("{{{}}}", good.replacen(from, to, 1)));
        assert_eq!(faults.first().map(String::as_str), Some(fault), "{from} → {to}");
    }
}

#[test]
fn scopes_and_token_endpoints_are_compared() {
    let published = serde_json::json!({"openapi": "3.0.0", "servers": [{"url": "https://api.example.com"}],
        "components": {"securitySchemes": {"key": {"type": "apiKey"}, "login": {"type": "oauth2", "flows": {"authorizationCode": {
            "authorizationUrl": "https://example.com/authorize", "tokenUrl": "/token", "scopes": {"orders.read": "", "orders.write": "", "all": ""},
        }}}}},
        "security": [{"login": ["all"]}],
        "paths": {"/orders": {"get": {"security": [{"key": []}, {"login": ["orders.write", "orders.read"]}]}}, "/shops": {"get": {}}},
    });
    let descriptions = Description::read(&published.to_string()).unwrap();
    let found = |auth: &str| {
        let resources = "resources: [{name: orders, url: /orders}, {name: shops, url: /shops}]";
        let text = format!("{{baseUrl: 'https://api.example.com', auth: {{oauth2: {{{auth}}}}}, {resources}}}");
        unconfirmed_auth("shop", &serde_saphyr::from_str(&text).unwrap(), &descriptions)
    };
    let good = "grant: RefreshToken, tokenUrl: 'https://api.example.com/token', authorizationUrl: 'https://example.com/authorize?a=b', \
                scopes: [orders.read, all]";
    assert_eq!(found(good), []);
    for (from, to, place, fault) in [
        ("/token", "/tokens", "auth", "tokenUrl https://api.example.com/tokens, not /token"),
        ("e.com/authorize?a=b", "e.org/", "auth", "authorizationUrl https://example.org/, not https://example.com/authorize"),
        ("[orders.read, all]", "[all]", "orders", "scope orders.write or orders.read"),
        ("[orders.read, all]", "[orders.read]", "auth", "scope all"),
        ("[orders.read, all]", "[orders.read, all, order.read]", "auth", "scope order.read is not known"),
        ("[orders.read, all]", "[orders.write, all]", "auth", "scope orders.write allows more than to read"),
    ] {
        let expected = [(place.to_owned(), fault.to_owned())];
        assert_eq!(found(&good.replacen(from, to, 1)), expected, "{from} → {to}");
    }
    assert_eq!(
        found(
            "grant: ClientCredentials, tokenUrl: 'https://api.example.com/token', authorizationUrl: 'https://example.com/authorize'"
        ),
        []
    );
}
