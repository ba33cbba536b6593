//! Instance + connector → [`PollPlan`], or all the reasons why not.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use xxhash_rust::xxh3::Xxh3;

use super::authentication::Root;
use super::id::IdPlan;
use super::placeholders::Placeholders;
use super::problems::{Problems, field, invalid, span};
use super::{Batch, CallbackPlan, EventFormat, PollPlan, ResourcePlan, StartFrom, TlsPlan};
use super::{authentication, changes, deleted_list, delta, detail, extract, feed, for_each, full_sweep, overlay};
use super::{max_age, probe, request, result_cap, snapshot, start_from, tls};
use crate::api::conditions::{Problem, Reason};
use crate::api::connector::{ConnectorSpec, Parameter};
use crate::api::identity::{IMPORTED_NAME, InstanceRef};
use crate::api::instance::{Callback, ConnectorInstance, Format};
use crate::api::nearest::nearest;
use crate::api::resource::Resource;

const INTERVAL: Duration = Duration::from_mins(15);
const MAX_FUTURE: Duration = Duration::from_hours(24);
const CREATED_TOLERANCE: Duration = Duration::from_secs(10);
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_IN_FLIGHT: i32 = 8;
const BATCH_EVENTS: i32 = 64;
const BATCH_BYTES: i32 = 256 * 1024;

/// Lays the instance over its connector, fills in defaults and parameters, and compiles all that has a syntax of its own.
///
/// `connector` is what the look-up found for `spec.connector`; it is ignored when the instance names none.
///
/// # Errors
/// Every problem that a person must fix, each with field, cause and fix; never empty.
pub fn resolve(instance: &ConnectorInstance, connector: Option<&ConnectorSpec>) -> Result<PollPlan, Vec<Problem>> {
    let spec = &instance.spec;
    let namespace = instance.metadata.namespace.as_deref().unwrap_or("default");
    let none = ConnectorSpec::default();
    let connector = match (&spec.connector, connector) {
        (None, _) => &none,
        (Some(_), Some(found)) => found,
        (Some(name), None) => {
            let meant = match nearest(name, crate::catalog::names()) {
                Some(near) => format!("did you mean {near}?"),
                None => "correct the name or create the Connector".to_owned(),
            };
            return Err(vec![Problem::human(
                Reason::ConnectorNotFound,
                format!(
                    "spec.connector names {name}, which is neither a Connector in namespace {namespace} nor an entry of the catalog; \
                     {meant}"
                ),
            )]);
        }
    };
    let mut problems = Problems::default();
    let merged = problems.keep_all(overlay::resources(spec, connector)).unwrap_or_default();
    let has_value = |parameter: &Parameter| parameter.default_value.is_some() || spec.parameters.contains_key(&parameter.name);
    let mut placeholders = Placeholders::new(&spec.parameters, &connector.parameters_for(&merged, has_value))?;

    let base = problems.keep(request::base_url(spec, connector, &mut placeholders));
    let tls = problems.keep(tls::plan("spec.tls", spec.tls.as_ref())).flatten();
    let auth = problems
        .keep_all(authentication::plan(Root::Provider, spec.auth.as_ref(), connector.auth.as_ref(), &mut placeholders))
        .map(|auth| Arc::new(auth.with_tls(tls.as_ref())));
    let probe = base.as_ref().and_then(|base| problems.keep(probe::plan(base, connector, &mut placeholders))).flatten();
    let start_from = problems.keep(start_from::plan(spec, connector));
    let callback = problems.keep_all(callback(&spec.callback, &mut placeholders)).map(Arc::new);

    let mut resources = Vec::with_capacity(merged.len());
    for resource in &merged {
        if resource.url.is_none() {
            problems.0.push(without_url(&resource.name, spec.connector.as_deref(), connector));
            continue;
        }
        let parts = Parts {
            base: base.as_ref(),
            auth: auth.as_ref(),
            tls: tls.as_ref(),
            start_from,
            connector: spec.connector.as_deref(),
            limits: connector,
            format: spec.callback.format,
        };
        if let Some(plan) = problems.keep_all(parts.resource(resource, &mut placeholders)).flatten() {
            resources.push(Arc::new(plan));
        }
    }
    let declared: Vec<_> = merged.iter().map(|resource| resource.name.as_str()).collect();
    problems.0.extend(for_each::link(&mut resources, &declared));
    if !merged.is_empty() {
        problems.0.extend(placeholders.idle());
    }
    match (callback, problems.0.is_empty()) {
        (Some(callback), true) => Ok(PollPlan {
            instance: InstanceRef::new(namespace, instance.metadata.name.as_deref().unwrap_or_default()),
            title: instance
                .metadata
                .annotations
                .as_ref()
                .and_then(|own| own.get(IMPORTED_NAME))
                .map(|name| name.as_str().into()),
            generation: instance.metadata.generation,
            connector: spec.connector.as_deref().map(Into::into),
            tags: spec.tags.clone(),
            suspended: spec.suspend,
            callback,
            probe: probe.map(Arc::new),
            resources,
        }),
        _ => Err(problems.0),
    }
}

/// A resource that neither the instance nor its connector has a URL for.
fn without_url(name: &str, connector: Option<&str>, entry: &ConnectorSpec) -> Problem {
    let at = field(name, "url");
    let Some(key) = connector else {
        return invalid(format!("{at} is required: no connector is named, which could supply it"));
    };
    let names = || entry.resources.iter().map(|entry| entry.resource.name.as_str());
    if names().any(|own| own == name) {
        return invalid(format!("{at} is required: no connector supplies it"));
    }
    let fix = match (nearest(name, names()), names().count()) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, 0) => "write it".to_owned(),
        (None, count) => {
            let first: Vec<_> = names().take(NAMED).collect();
            let more = if count > NAMED { ", …" } else { "" };
            format!("write it, or use one of {}{more}", first.join(", "))
        }
    };
    invalid(format!("{at} is required: the connector {key} has no resource of this name; {fix}"))
}

/// Resources of a connector that a message names.
const NAMED: usize = 10;

/// What all resources of an instance share; a part is missing when it has a problem of its own.
struct Parts<'a> {
    base: Option<&'a Url>,
    auth: Option<&'a Arc<super::AuthPlan>>,
    tls: Option<&'a Arc<TlsPlan>>,
    start_from: Option<StartFrom>,
    connector: Option<&'a str>,
    limits: &'a ConnectorSpec,
    format: Format,
}

impl Parts<'_> {
    /// Reports the resource's own problems even when a shared part is missing; then there is no plan.
    fn resource(&self, resource: &Resource, placeholders: &mut Placeholders) -> Result<Option<ResourcePlan>, Vec<Problem>> {
        let name = resource.name.as_str();
        let mut problems = Problems::default();
        let request = self.base.and_then(|base| problems.keep_all(request::plan(base, resource, placeholders)));
        let extract = problems.keep_all(extract::plan(resource, placeholders));
        let snapshot = self.base.zip(request.as_ref());
        let detail = snapshot.and_then(|(base, list)| problems.keep(detail::plan(base, resource, list, placeholders)));
        let snapshot = snapshot.and_then(|(base, list)| problems.keep_all(snapshot::plan(base, resource, list, placeholders)));
        let change_by = problems.keep(extract::change_by(resource));
        let pagination = problems.keep(extract::pagination(resource));
        let delta = problems.keep(delta::plan(resource, request.as_ref()));
        let feed = problems.keep_all(feed::plan(resource));
        let for_each = problems.keep_all(for_each::plan(resource, request.as_ref()));
        let created_tolerance =
            problems.keep(span(&field(name, "createdTolerance"), resource.created_tolerance.as_deref(), CREATED_TOLERANCE));
        let lookback = problems.keep(span(&field(name, "lookback"), resource.lookback.as_deref(), Duration::ZERO));
        let lateness = problems.keep(span(&field(name, "lateness"), resource.lateness.as_deref(), Duration::ZERO));
        let max_future = problems.keep(span(&field(name, "maxFuture"), resource.max_future.as_deref(), MAX_FUTURE));
        let max_age = problems.keep(max_age::plan(resource));
        let full_sweep = problems.keep(full_sweep::plan(resource, request.as_ref(), change_by));
        let changes = problems.keep(changes::plan(resource, change_by, self.format));
        let interval = problems.keep(interval(name, resource.interval.as_deref()));
        let page_size = problems.keep(extract::page_size(resource));
        let result_cap = problems.keep(result_cap::plan(resource, request.as_ref(), change_by));
        let limits = problems.keep_all(super::limits::plan(self.limits, name));
        if let Some((change_by, request)) = change_by.zip(request.as_ref()) {
            problems.keep(extract::keyset(resource, change_by, request));
        }
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        let whole = || {
            let request = request?;
            let extract = extract?;
            Some(ResourcePlan {
                name: name.into(),
                meaning: meaning(self.connector, &request.origin, &extract.id, for_each::scope(resource)),
                request,
                auth: self.auth?.clone(),
                tls: self.tls.cloned(),
                extract: extract::shared(extract),
                change_by: change_by?,
                compare_content: resource
                    .compare_content
                    .unwrap_or(full_sweep?.is_some() || (resource.delta.is_some() && resource.feed.is_none())),
                created_tolerance: created_tolerance?,
                lookback: lookback?,
                lateness: lateness?,
                max_future: max_future?,
                max_age: max_age?,
                full_sweep: full_sweep?,
                order: extract::order(resource),
                snapshot: snapshot?.map(Arc::new),
                deleted_list: None,
                pagination: pagination?,
                delta: delta?,
                feed: feed?,
                changes: changes?,
                detail: detail?.map(Arc::new),
                for_each: for_each?,
                list_of: None,
                result_cap: result_cap?,
                page_size: page_size?,
                interval: interval?,
                start_from: self.start_from?,
                limits: limits?,
            })
        };
        let Some(mut plan) = whole() else { return Ok(None) };
        if let Some(declared) = deleted_list::declared(resource).map_err(|problem| vec![problem])? {
            let list = self.resource(&declared, placeholders).map_err(|problems| {
                let named = problems.into_iter().map(|problem| deleted_list::as_written(name, problem));
                let mut named: Vec<_> = named.collect();
                // Its one date stands for two.
                named.dedup_by(|one, other| one.message == other.message);
                named
            })?;
            plan.deleted_list = list.map(|list| deleted_list::beside(list, &plan));
        }
        Ok(Some(plan))
    }
}

/// A cursor means something only for this connector, origin and id, and for one list. Zero bytes keep the parts apart.
fn meaning(connector: Option<&str>, origin: &url::Origin, id: &IdPlan, lists: Option<String>) -> u64 {
    let mut hash = Xxh3::new();
    let parts = [connector.unwrap_or_default().to_owned(), origin.ascii_serialization()];
    for part in parts.into_iter().chain(id.scope()) {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    if let Some(lists) = lists {
        hash.update(lists.as_bytes());
    }
    hash.digest()
}

fn interval(resource: &str, text: Option<&str>) -> Result<Duration, Problem> {
    let at = if text.is_some() { field(resource, "interval") } else { String::new() };
    let interval = span(&at, text, INTERVAL)?;
    if interval < Duration::from_secs(5) {
        return Err(invalid(format!("{at} must be at least 5s")));
    }
    Ok(interval)
}

fn callback(callback: &Callback, placeholders: &mut Placeholders) -> Result<CallbackPlan, Vec<Problem>> {
    let mut problems = Problems::default();
    let url = problems.keep(callback_url(callback));
    let timeout = problems.keep(span("spec.callback.timeout", callback.timeout.as_deref(), CALLBACK_TIMEOUT));
    let max_in_flight = problems.keep(match callback.max_in_flight.unwrap_or(MAX_IN_FLIGHT) {
        allowed @ 1..=64 => Ok(allowed.unsigned_abs()),
        _ => Err(invalid("spec.callback.maxInFlight must be between 1 and 64")),
    });
    let auth = problems.keep_all(authentication::plan(Root::Callback, callback.auth.as_ref(), None, placeholders));
    let format = problems.keep(event_format(callback));
    let tls = problems.keep(tls::plan("spec.callback.tls", callback.tls.as_ref())).flatten();
    match (url, timeout, max_in_flight, auth, format, problems.0.is_empty()) {
        (Some(url), Some(timeout), Some(max_in_flight), Some(auth), Some(format), true) => Ok(CallbackPlan {
            url,
            format,
            signature: callback.signature.as_ref().map(|signature| (&signature.secret_ref).into()),
            headers_secret: callback.headers_secret_ref.as_ref().map(|secret| secret.name.clone()),
            auth: Arc::new(auth.with_tls(tls.as_ref())),
            tls,
            max_in_flight,
            timeout,
        }),
        _ => Err(problems.0),
    }
}

fn event_format(callback: &Callback) -> Result<EventFormat, Problem> {
    let Some(batch) = callback.batch else {
        return Ok(match callback.format {
            Format::CloudEvents => EventFormat::CloudEvents,
            Format::OpenConnectors => EventFormat::OpenConnectors,
        });
    };
    if callback.format != Format::CloudEvents {
        return Err(invalid(
            "spec.callback.batch needs format: CloudEvents; OpenConnectors sends up to ten events a request without it",
        ));
    }
    match (batch.max_events.unwrap_or(BATCH_EVENTS), batch.max_bytes.unwrap_or(BATCH_BYTES)) {
        (events @ 1..=128, bytes @ 1_024..=4_194_304) => Ok(EventFormat::CloudEventsBatch(Batch {
            max_events: events.unsigned_abs() as usize,
            max_bytes: bytes.unsigned_abs() as usize,
        })),
        (1..=128, _) => Err(invalid("spec.callback.batch.maxBytes must be between 1024 and 4194304")),
        _ => Err(invalid("spec.callback.batch.maxEvents must be between 1 and 128")),
    }
}

fn callback_url(callback: &Callback) -> Result<Url, Problem> {
    let url = Url::parse(&callback.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url.filter(|url| url.fragment().is_none()) else {
        return Err(invalid(
            "spec.callback.url must be an http or https URL without fragment, such as https://example.com/events",
        ));
    };
    if url.scheme() == "http" && !callback.allow_insecure_http {
        return Err(invalid("spec.callback.url must be https; http needs allowInsecureHttp: true"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "spec.callback.url carries credentials; put them into a Secret and name it in spec.callback.headersSecretRef",
        ));
    }
    if receives_for_open_connectors(&url) {
        return Err(invalid(
            "spec.callback.url is an event endpoint of SAP Open Connectors, which would send the events in a loop; write the URL of \
             the application that receives the events",
        ));
    }
    Ok(url)
}

/// `…/elements/api-v2/events/…` is where that platform takes the webhooks of providers. Configurations of polled instances name it
/// when the platform itself passes the events on; then the platform notifies the callback that it knows of, and so itself.
pub(crate) fn receives_for_open_connectors(url: &Url) -> bool {
    let segments: Vec<_> = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()).collect();
    segments
        .windows(3)
        .any(|three| three.iter().zip(["elements", "api-v2", "events"]).all(|(s, own)| s.eq_ignore_ascii_case(own)))
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
