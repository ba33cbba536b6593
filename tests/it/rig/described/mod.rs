//! A mock of every provider whose entry is in the catalog, driven by what the provider published.
//!
//! The entry is rewritten so that each of its requests goes to the mock, with key and resource in front of the address that the provider
//! has: `http://127.0.0.1:…/<key>/<resource>/<host>/<path>`. An answer is made from the schema that was published for it
//! ([`value`], [`entry`]); a request that the description does not allow gets 400 ([`request`]), one with other credentials than the
//! entry asks for 401. Lists have pages of two records. Per entry, the first request gets 401 and the first second page 429.

#[allow(dead_code, reason = "the unit tests of the catalog, whose file this is, use the rest")]
#[path = "../../../../src/catalog/description_tests.rs"]
mod description;
mod entry;
#[allow(dead_code, reason = "the unit tests of the catalog, whose file this is, use the rest")]
#[path = "../../../../src/catalog/published_tests.rs"]
mod published;
mod request;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use pollinator::api::auth::{ClientPlace, Grant, Place};
use pollinator::api::connector::{ConnectorAuth, ConnectorSpec, Parameter};
use pollinator::api::resource::{Pagination, TokenPlace};
use pollinator::catalog;
use serde_json::{Value, json};

use super::canary;
use super::http::{Answer, Ask, Server};
use description::{Description, json_schema};
use entry::{Mocked, PageFacts, get, steps};

/// Records of a page.
const PAGE: usize = 2;

/// Requests that a description forbids although they are right: entry, resource, how the fault begins, and why it is none.
const ALLOWED: &[(&str, &str, &str, &str)] = &[
    (
        "bigcommerce",
        "orders",
        "query sort=date_modified:asc",
        "the prose adds the direction to the field; the values leave it out",
    ),
    ("pagerduty", "change-events", "query since=", "the pattern is an example of a date, not a regular expression"),
    ("pagerduty", "change-events", "query until=", "the pattern is an example of a date, not a regular expression"),
    ("pipedrive", "deals", "query status=open,won,lost,deleted", "the prose allows several, separated by commas"),
    ("pipedrive", "leads", "query sort=update_time ASC", "the prose adds the direction to the field; the values leave it out"),
    ("sentry", "project-events", "query start=", "the example in the prose has no zone"),
    ("sentry", "project-events", "query end=", "the example in the prose has no zone"),
    ("twiliov2", "calls", "query StartTime>=", "the prose asks for a day, the format for a time"),
    ("twiliov2", "messages", "query DateSent>=", "the prose asks for a day, the format for a time"),
    ("twiliov2", "recordings", "query DateCreated>=", "the prose asks for a day, the format for a time"),
];

/// Whether the published descriptions are at hand.
pub fn is_possible() -> bool {
    published::folder().is_dir()
}

/// All providers at one address.
pub struct Mock {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    mocked: Vec<Mocked>,
    auth: BTreeMap<&'static str, Option<ConnectorAuth>>,
    /// What was wrong with requests: entry, resource, what.
    faults: BTreeSet<(String, String, String)>,
    /// Which of [`ALLOWED`] were needed.
    allowed: BTreeSet<usize>,
    /// Entries whose first request was refused.
    refused: BTreeSet<String>,
    /// Entries that were slowed down.
    slowed: BTreeSet<String>,
    /// Number of the access token that counts.
    tokens: BTreeMap<String, usize>,
    address: String,
}

impl Mock {
    /// Mocks every entry that is described; yields the others, too.
    pub fn start(now: DateTime<Utc>) -> (Self, BTreeSet<&'static str>) {
        let (mut mocked, mut left_out, mut auth) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for key in catalog::names() {
            let spec = catalog::built_in(key).expect("a built-in entry");
            auth.insert(key, spec.auth.clone());
            let Ok(text) = fs::read_to_string(published::folder().join(published::file_name(key))) else {
                left_out.insert(key);
                continue;
            };
            let descriptions: &'static [Description] = Description::read(&text).expect("a description").leak();
            for resource in &spec.resources {
                let one = Mocked::new(key, spec, resource, descriptions, now);
                mocked.push(one.unwrap_or_else(|| panic!("{key} {}: no such operation", resource.resource.name)));
            }
        }
        let state = State {
            mocked,
            auth,
            faults: BTreeSet::new(),
            allowed: BTreeSet::new(),
            refused: BTreeSet::new(),
            slowed: BTreeSet::new(),
            tokens: BTreeMap::new(),
            address: String::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let server = Server::start(move |ask| lock(&answering).answer(ask));
        let address = server.url();
        lock(&state).address = address;
        (Self { server, state }, left_out)
    }

    /// Entry, resource and ids of all records.
    pub fn records(&self) -> Vec<(&'static str, String, Vec<String>)> {
        lock(&self.state).mocked.iter().map(|one| (one.key, one.name().to_owned(), one.ids())).collect()
    }

    /// Something changes in every resource: entry, resource and the id of what did.
    pub fn change(&self, at: DateTime<Utc>) -> Vec<(&'static str, String, String)> {
        lock(&self.state).mocked.iter_mut().map(|one| (one.key, one.name().to_owned(), one.change(at))).collect()
    }

    /// What was wrong with requests so far.
    pub fn faults(&self) -> Vec<(String, String, String)> {
        lock(&self.state).faults.iter().cloned().collect()
    }

    /// Those of [`ALLOWED`] that were not needed.
    pub fn not_needed(&self) -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
        let state = lock(&self.state);
        ALLOWED.iter().enumerate().filter(|(at, _)| !state.allowed.contains(at)).map(|(_, one)| *one).collect()
    }

    /// Entries whose credentials were refused once, and those that were slowed down once.
    pub fn disturbed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let state = lock(&self.state);
        (state.refused.clone(), state.slowed.clone())
    }

    /// The manifests of every entry that is mocked: the rewritten Connector, a Secret, and an instance with all resources.
    pub fn manifests(&self, callback: impl Fn(&str) -> String) -> Vec<String> {
        let keys: BTreeSet<_> = lock(&self.state).mocked.iter().map(|one| one.key).collect();
        keys.into_iter().flat_map(|key| self.manifests_of(key, &callback(key))).collect()
    }

    /// The rewritten Connector of an entry.
    pub fn connector(&self, key: &'static str) -> String {
        self.manifests_of(key, "http://127.0.0.1:9/in").swap_remove(0)
    }

    fn manifests_of(&self, key: &'static str, callback: &str) -> Vec<String> {
        let spec = catalog::built_in(key).expect("a built-in entry");
        let at = |resource: &str, address: &str| {
            format!("{}/{key}/{resource}/{}", self.server.url(), address.trim_start_matches("https://"))
        };
        let mut ours = spec.clone();
        ours.base_url = Some(self.server.url());
        // they would make the test last for minutes
        ours.limits = None;
        if let Some(ConnectorAuth::Oauth2(oauth2)) = &mut ours.auth {
            oauth2.token_url = at("token", &oauth2.token_url);
        }
        for resource in &mut ours.resources {
            let address = published::joined(spec.base_url.as_deref(), resource.resource.url.as_deref());
            resource.resource.url = Some(at(&resource.resource.name, &address));
        }
        let names = lock(&self.state)
            .mocked
            .iter()
            .filter(|one| one.key == key)
            .map(|one| json!({"name": one.name()}))
            .collect::<Vec<_>>();
        let needed = spec.parameters.iter().filter(|parameter| parameter.default_value.is_none());
        let parameters: BTreeMap<_, _> = needed.map(|parameter| (parameter.name.clone(), value_of(parameter))).collect();
        let auth = match &spec.auth {
            Some(ConnectorAuth::ApiKey(_)) => json!({"apiKey": {"secretRef": {"name": key, "key": "token"}}}),
            Some(ConnectorAuth::Basic(_)) => json!({"basic": {"secretRef": {"name": key}}}),
            Some(ConnectorAuth::Bearer(_)) => json!({"bearer": {"secretRef": {"name": key, "key": "token"}}}),
            Some(ConnectorAuth::Oauth2(_)) => json!({"oauth2": {"secretRef": {"name": key}}}),
            None => Value::Null,
        };
        let mut instance = json!({"apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"name": key, "namespace": "it"}, "spec": {
            "connector": key, "parameters": parameters, "auth": auth, "polling": {"startFrom": "Earliest"}, "resources": names,
            "callback": {"url": callback, "allowInsecureHttp": true},
        }});
        if auth_is_absent(spec) {
            instance["spec"].as_object_mut().expect("an object").remove("auth");
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key, "namespace": "it"}, "stringData": {
            "token": token(key), "username": key, "password": canary::ODD_PASSWORD, "client_id": key, "client_secret": canary::CLIENT_SECRET,
            "refresh_token": format!("{}-{key}-refresh", canary::OAUTH),
        }});
        let connector = json!({"apiVersion": "pollinator.dev/v1alpha1", "kind": "Connector", "metadata": {"name": key, "namespace": "it"}, "spec": ours});
        [connector, secret, instance].map(|document| format!("{document}\n")).into()
    }
}

fn auth_is_absent(spec: &ConnectorSpec) -> bool {
    spec.auth.is_none()
}

fn value_of(parameter: &Parameter) -> String {
    parameter.one_of.first().cloned().unwrap_or_else(|| "acme".to_owned())
}

fn token(key: &str) -> String {
    format!("{}-{key}", canary::TOKEN)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, ask: &Ask) -> Answer {
        let path = ask.path().to_owned();
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (key, resource) = (parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default().to_owned());
        if resource == "token" {
            return self.give_token(&key, ask);
        }
        let Some(at) = self.mocked.iter().position(|one| one.key == key && one.name() == resource) else {
            return Answer::status(404);
        };
        if let Err(why) = self.authenticate(&key, ask) {
            if why != "an old token" {
                self.fault(&key, &resource, format!("credentials: {why}"));
            }
            return self.mocked[at].error(401);
        }
        if self.refused.insert(key.clone()) {
            *self.tokens.entry(key).or_default() += 1;
            return self.mocked[at].error(401);
        }
        let one = &self.mocked[at];
        let mut faults = request::faults(&one.operation, ask);
        faults.retain(|fault| !is_allowed(&mut self.allowed, &key, &resource, fault));
        if path.contains('{') || path.contains("%7B") {
            faults.push("a placeholder in the path".to_owned());
        }
        let answered = one.answer_to(ask, &self.address);
        let (answer, is_later) = match answered {
            Ok(answered) => answered,
            Err(why) => {
                faults.push(why);
                (Answer::status(400), false)
            }
        };
        if !faults.is_empty() {
            for fault in faults {
                self.fault(&key, &resource, fault);
            }
            return self.mocked[at].error(400);
        }
        if is_later && self.slowed.insert(key) {
            return self.mocked[at].error(429).header("Retry-After", "1");
        }
        answer
    }

    fn fault(&mut self, key: &str, resource: &str, what: String) {
        self.faults.insert((key.to_owned(), resource.to_owned(), what));
    }

    fn access_token(&self, key: &str) -> String {
        format!("{}-{key}-access-{}", canary::OAUTH, self.tokens.get(key).copied().unwrap_or_default())
    }

    fn authenticate(&self, key: &str, ask: &Ask) -> Result<(), String> {
        let authorization = ask.header("authorization");
        let is_good = match self.auth.get(key).and_then(Option::as_ref) {
            None => true,
            Some(ConnectorAuth::Bearer(_)) => authorization == Some(&format!("Bearer {}", token(key))),
            Some(ConnectorAuth::Basic(_)) => {
                let pair = STANDARD.encode(format!("{key}:{}", canary::ODD_PASSWORD));
                authorization == Some(&format!("Basic {pair}"))
            }
            Some(ConnectorAuth::ApiKey(api_key)) => {
                let expected = format!("{}{}", api_key.prefix.as_deref().unwrap_or_default(), token(key));
                match api_key.place {
                    Some(Place::Query) => ask.query().contains(&(api_key.name.clone(), expected)),
                    Some(Place::Header) | None => ask.header(&api_key.name) == Some(&expected),
                }
            }
            Some(ConnectorAuth::Oauth2(_)) => {
                let bearer = authorization.unwrap_or_default();
                if bearer != format!("Bearer {}", self.access_token(key))
                    && bearer.starts_with(&format!("Bearer {}-{key}-access-", canary::OAUTH))
                {
                    return Err("an old token".to_owned());
                }
                bearer == format!("Bearer {}", self.access_token(key))
            }
        };
        if is_good { Ok(()) } else { Err("not those of the entry".to_owned()) }
    }

    /// The token endpoint: the grant and the client authentication must be those of the entry.
    fn give_token(&mut self, key: &str, ask: &Ask) -> Answer {
        let Some(Some(ConnectorAuth::Oauth2(oauth2))) = self.auth.get(key) else { return Answer::status(404) };
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&ask.body).into_owned().collect();
        let grant = form.get("grant_type").map_or("", String::as_str);
        let is_granted = match oauth2.grant {
            Grant::ClientCredentials => grant == "client_credentials",
            // A code comes with the redirect URI for which it was given (RFC 6749 §4.1.3).
            _ if grant == "authorization_code" => {
                form.get("code").is_some_and(|code| code.starts_with(canary::OAUTH)) && form.contains_key("redirect_uri")
            }
            _ => grant == "refresh_token" && form.get("refresh_token").is_some_and(|token| token.starts_with(canary::OAUTH)),
        };
        let client = oauth2.client_authentication.as_ref();
        let place =
            client.and_then(|client| if grant == "refresh_token" { client.refresh.or(client.code) } else { client.code });
        let in_body = form.get("client_secret").is_some_and(|secret| secret == canary::CLIENT_SECRET);
        let in_header = ask.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        let is_client = match place {
            Some(ClientPlace::Body) => in_body && !in_header,
            Some(ClientPlace::None) => !in_body && !in_header,
            _ => in_header && !in_body,
        };
        if !is_granted || !is_client || ask.method != "POST" {
            self.fault(key, "token", format!("grant {grant}, client in body: {in_body}, in header: {in_header}"));
            return Answer::json(r#"{"error":"invalid_grant"}"#).with_status(400);
        }
        let mut granted = json!({"access_token": self.access_token(key), "token_type": "Bearer", "expires_in": 3600});
        if grant == "authorization_code" {
            granted["refresh_token"] = json!(format!("{}-{key}-refresh", canary::OAUTH));
        }
        Answer::json(granted.to_string())
    }
}

impl Mocked {
    /// An answer with this status and the body that is described for it, or for its kind.
    fn error(&self, status: u16) -> Answer {
        let description = self.operation.description;
        let responses = &self.operation.parts[0]["responses"];
        let names = [status.to_string(), "4XX".to_owned(), "400".to_owned(), "default".to_owned()];
        let described = names.iter().find_map(|name| responses.get(name)).map(|response| description.resolve(response));
        let schema = described.and_then(|response| response.get("schema").or_else(|| json_schema(&response["content"])));
        let body = schema.map_or_else(|| json!({"error": "refused"}), |schema| value::of(description, schema));
        Answer::json(body.to_string()).with_status(status)
    }

    /// The page that is asked for, and whether it is not the first; a fault if none is.
    fn answer_to(&self, ask: &Ask, address: &str) -> Result<(Answer, bool), String> {
        let query = |name: &str| ask.query().into_iter().find(|(have, _)| have == name).map(|(_, value)| value);
        let number = |name: &str, absent: usize| match query(name) {
            Some(value) => value.parse::<usize>().map_err(|_| format!("query {name}={value}: not a number")),
            None => Ok(absent),
        };
        let skip = match &self.pagination {
            Some(Pagination::Offset(offset)) => number(&offset.parameter, 0)?,
            Some(Pagination::Page(page)) => {
                let first = usize::try_from(page.first.unwrap_or(1)).unwrap_or_default();
                let asked = number(&page.parameter, first)?;
                asked.checked_sub(first).ok_or("a page before the first")? * PAGE
            }
            Some(Pagination::Token(token)) => {
                let given = match token.place {
                    Some(TokenPlace::Header) => ask.header(&token.parameter).map(str::to_owned),
                    Some(TokenPlace::Body) => {
                        let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
                        get(&body, &steps(&token.parameter)).map(entry::text)
                    }
                    Some(TokenPlace::Query) | None => query(&token.parameter),
                };
                match given.filter(|given| !given.is_empty()) {
                    Some(given) => token_number(&given).ok_or_else(|| format!("token {given} was never given"))? * PAGE,
                    None => 0,
                }
            }
            Some(Pagination::LastId(last)) => match query(&last.parameter) {
                Some(id) => self.after(&id).ok_or_else(|| format!("{}={id}: no record has this id", last.parameter))?,
                None => 0,
            },
            _ => number(request::OWN, 0)? * PAGE,
        };
        let is_one_page = matches!(self.pagination, Some(Pagination::None(_)) | None);
        let (records, has_more) = self.page(skip, if is_one_page { usize::MAX / 2 } else { PAGE });
        let next = skip / PAGE + 1;
        let link = || {
            let target = ask
                .target
                .split_once(request::OWN)
                .map_or(ask.target.as_str(), |(before, _)| before.trim_end_matches(['&', '?']));
            let mark = if target.contains('?') { '&' } else { '?' };
            format!("{address}{target}{mark}{}={next}", request::OWN)
        };
        let mut extra = Vec::new();
        let mut headers = Vec::new();
        match &self.pagination {
            Some(Pagination::Token(token)) => {
                let value = if has_more { json!(token_text(next)) } else { Value::Null };
                match (&token.field, &token.header) {
                    (Some(field), _) => extra.push((field.clone(), value)),
                    (None, Some(header)) if has_more => headers.push((header.clone(), token_text(next))),
                    _ => {}
                }
            }
            Some(Pagination::NextLink(next)) => match (&next.field, &next.header) {
                (Some(field), _) => extra.push((field.clone(), if has_more { json!(link()) } else { Value::Null })),
                (None, Some(header)) if has_more => headers.push((header.clone(), link())),
                _ => {}
            },
            Some(Pagination::LinkHeader(_)) if has_more => {
                headers.push(("Link".to_owned(), format!("<{}>; rel=\"next\"", link())));
            }
            _ => {}
        }
        let size = if is_one_page { self.total().max(1) } else { PAGE };
        let facts = PageFacts { number: next, size, total: self.total(), has_more };
        let mut answer = Answer::json(self.answer(records, facts, &extra).to_string());
        answer = answer.header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        for (name, value) in headers {
            answer = answer.header(&name, value);
        }
        Ok((answer, skip > 0))
    }
}

/// Whether a fault is one of [`ALLOWED`], or known of the description ([`published::EXCEPTIONS`]).
fn is_allowed(used: &mut BTreeSet<usize>, key: &str, resource: &str, fault: &str) -> bool {
    let is_it =
        |(entry, of, begins, _): &(&str, &str, &str, &str)| (*entry, *of) == (key, resource) && fault.starts_with(begins);
    if let Some(at) = ALLOWED.iter().position(is_it) {
        used.insert(at);
        return true;
    }
    published::EXCEPTIONS
        .iter()
        .any(|(entry, of, fact, _)| (*entry, *of) == (key, resource) && fault.strip_suffix(" is not described") == Some(*fact))
}

fn token_text(number: usize) -> String {
    format!("{}", 7000 + number)
}

fn token_number(text: &str) -> Option<usize> {
    text.parse::<usize>().ok()?.checked_sub(7000)
}
