//! A plan as YAML, for `pollinator plan FILE`. Secrets appear by name alone: a plan holds no more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::Value;

use super::deleted_list;
use super::delta::{DeltaForm, DeltaPlan};
use super::id::IdPlan;
use super::shaping::PrintedShaping;
use super::tls::PrintedTls;
use super::{AuthPlan, Batch, BodyPlan, CallbackPlan, ChangeBy, ConfirmPlan, DateField, DeletedFlag, EventFormat, Oauth2Plan};
use super::{
    Order, PaginationPlan, PollPlan, RecordsAs, ResourcePlan, SecretKey, SnapshotPlan, StartFrom, TokenPlace, ValueAt,
};
use crate::api::duration;
use crate::api::secrecy::{shown, shown_json, shown_url, without_values};

/// An instant whose parts all differ, to show what a date format looks like: 2031-05-06T17:08:09.123456Z.
const SAMPLE: Option<DateTime<chrono::Utc>> = DateTime::from_timestamp(1_935_853_689, 123_456_000);

/// The plan as YAML, stable from run to run.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the printed form is a tree of maps with text keys, which every YAML writer can write"
)]
pub fn print(plan: &PollPlan) -> String {
    serde_saphyr::to_string(&Printed::from(plan)).expect("a plan can be written as YAML")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    suspend: bool,
    callback: PrintedCallback,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<String>,
    resources: Vec<PrintedResource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedCallback {
    url: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<PrintedBatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(flatten)]
    tls: PrintedTls,
    max_in_flight: u32,
    timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedBatch {
    max_events: usize,
    max_bytes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedResource<'a> {
    name: &'a str,
    method: &'a str,
    url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    auth: String,
    #[serde(flatten)]
    tls: PrintedTls,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_path: Option<String>,
    records_as: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_field: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    id_fields: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<PrintedDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<PrintedDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore_fields: Vec<String>,
    #[serde(flatten)]
    shaping: PrintedShaping<'a>,
    change_by: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compare_content: bool,
    /// What `${since}` is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<PrintedDate>,
    created_tolerance: String,
    lookback: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness: Option<String>,
    max_future: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_sweep: Option<String>,
    order: &'static str,
    pagination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_cap: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_size: Option<u32>,
    interval: String,
    start_from: String,
    /// What may surprise.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Serialize)]
struct PrintedDate {
    field: String,
    /// How 2031-05-06T17:08:09.123456Z reads in the format; for the cursor, how `${since}` reads there: one unit earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
    /// What is odd about the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl<'a> From<&'a PollPlan> for Printed<'a> {
    fn from(plan: &'a PollPlan) -> Self {
        Self {
            namespace: &plan.instance.namespace,
            name: &plan.instance.name,
            connector: plan.connector.as_deref(),
            tags: &plan.tags,
            suspend: plan.suspended,
            callback: PrintedCallback::from(&*plan.callback),
            probe: plan.probe.as_deref().map(super::probe::print),
            resources: plan.resources.iter().map(|resource| PrintedResource::from(&**resource)).collect(),
        }
    }
}

impl From<&CallbackPlan> for PrintedCallback {
    fn from(callback: &CallbackPlan) -> Self {
        Self {
            url: without_values(callback.url.as_str()),
            format: match callback.format {
                EventFormat::CloudEvents | EventFormat::CloudEventsBatch(_) => "CloudEvents",
                EventFormat::OpenConnectors => "OpenConnectors",
            },
            batch: match callback.format {
                EventFormat::CloudEventsBatch(Batch { max_events, max_bytes }) => Some(PrintedBatch { max_events, max_bytes }),
                EventFormat::CloudEvents | EventFormat::OpenConnectors => None,
            },
            signature: callback.signature.as_ref().map(secret),
            headers: callback.headers_secret.as_ref().map(|name| format!("every key of Secret {name}")),
            auth: (*callback.auth != AuthPlan::None).then(|| auth(&callback.auth)),
            tls: PrintedTls::of(callback.tls.as_deref()),
            max_in_flight: callback.max_in_flight,
            timeout: duration::print(callback.timeout),
        }
    }
}

impl<'a> From<&'a ResourcePlan> for PrintedResource<'a> {
    fn from(resource: &'a ResourcePlan) -> Self {
        let request = &resource.request;
        let extract = &resource.extract;
        Self {
            name: &resource.name,
            method: request.method.as_str(),
            url: shown_url(request.url.as_str()),
            query: request.query.iter().map(|(name, value)| (name.as_str(), shown(name, value.as_str()))).collect(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), shown(name.as_str(), value.as_str())))
                .collect(),
            body: request.body.as_ref().map(|own| shown_json("", body(own))),
            auth: auth(&resource.auth),
            tls: PrintedTls::of(resource.tls.as_deref()),
            records_path: extract.records_path.as_ref().map(ToString::to_string),
            records_as: match extract.records_as {
                RecordsAs::List => "List",
                RecordsAs::Map => "Map",
            },
            id_field: (!matches!(extract.id, IdPlan::Fields(_))).then(|| extract.id.to_string()),
            id_fields: match &extract.id {
                IdPlan::Fields(_) => extract.id.paths().iter().map(ToString::to_string).collect(),
                IdPlan::Key | IdPlan::Field(_) => Vec::new(),
            },
            updated: extract.updated.as_ref().map(PrintedDate::from),
            created: extract.created.as_ref().map(PrintedDate::from),
            deleted: match (&extract.deleted, &resource.snapshot) {
                (Some(DeletedFlag { path, value: Some(value) }), _) => Some(format!("when {path} is {value}")),
                (Some(DeletedFlag { path, value: None }), _) => Some(format!(
                    "when {path} is true or set; a word that may be the status of any record counts only as deletes.flag.value"
                )),
                (None, Some(snapshot)) => Some(self::snapshot(snapshot)),
                (None, None) => resource.deleted_list.as_deref().map(|list| deleted_list::print(list, pagination)),
            },
            ignore_fields: extract.ignored.iter().map(ToString::to_string).collect(),
            shaping: PrintedShaping::of(extract),
            change_by: match resource.change_by {
                ChangeBy::Updated => "Updated",
                ChangeBy::Created => "Created",
                ChangeBy::Content => "Content",
            },
            compare_content: resource.compare_content,
            cursor: resource.cursor_date().filter(|_| resource.change_by != ChangeBy::Content).map(|date| PrintedDate {
                field: date.path.to_string(),
                example: SAMPLE.map(|sample| date.format.format_bound(Some(sample))),
                note: None,
            }),
            created_tolerance: duration::print(resource.created_tolerance),
            lookback: duration::print(resource.lookback),
            lateness: (!resource.lateness.is_zero()).then(|| duration::print(resource.lateness)),
            max_future: duration::print(resource.max_future),
            max_age: resource.max_age.map(duration::print),
            full_sweep: resource.full_sweep.map(|interval| format!("every {}, by content", duration::print(interval))),
            order: match resource.order {
                Order::Ascending => "Ascending",
                Order::Descending => "Descending",
                Order::Unordered => "Unordered",
            },
            pagination: pagination(&resource.pagination),
            delta: resource.delta.as_ref().map(delta),
            feed: resource.feed.as_ref().map(|feed| format!("events about {}, kinds by {}", feed.object_id, feed.type_field)),
            changes: resource.changes.map(|changes| format!("up to {} fields of each record are compared", changes.max_fields)),
            detail: resource.detail.as_deref().map(super::detail::print),
            for_each: resource.for_each.as_deref().map(super::for_each::print),
            result_cap: resource.result_cap,
            page_size: resource.page_size,
            interval: duration::print(resource.interval),
            start_from: match resource.start_from {
                StartFrom::Now => "Now".to_owned(),
                StartFrom::Earliest => "Earliest".to_owned(),
                StartFrom::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            },
            note: resource.old_records(),
        }
    }
}

impl From<&DateField> for PrintedDate {
    fn from(date: &DateField) -> Self {
        let note = date
            .format
            .contradicts_itself()
            .then_some("the format ends with 'Z', but the timezone, which applies, is another one");
        Self { field: date.path.to_string(), example: SAMPLE.map(|sample| date.format.format(sample)), note }
    }
}

pub(super) fn body(plan: &BodyPlan) -> Value {
    match plan {
        BodyPlan::Literal(value) => value.clone(),
        BodyPlan::Text(text) => text.as_str().into(),
        BodyPlan::List(items) => items.iter().map(body).collect(),
        BodyPlan::Map(members) => members.iter().map(|(key, value)| (key.clone(), body(value))).collect(),
    }
}

fn auth(plan: &AuthPlan) -> String {
    match plan {
        AuthPlan::None => "none".to_owned(),
        AuthPlan::ApiKeyHeader { name, prefix, secret: key } => {
            format!("header {name}: {prefix}<{}>", secret(key))
        }
        AuthPlan::ApiKeyQuery { name, prefix, secret: key } => format!("query parameter {name}={prefix}<{}>", secret(key)),
        AuthPlan::Basic { secret } => format!("HTTP Basic, keys username and password of Secret {secret}"),
        AuthPlan::Bearer { secret: key } => format!("bearer token, {}", secret(key)),
        AuthPlan::Oauth2(plan) => oauth2(plan),
    }
}

fn oauth2(plan: &Oauth2Plan) -> String {
    let mut text =
        format!("OAuth 2.0 {:?} at {}, client of Secret {}", plan.grant, shown_url(plan.token_url.as_str()), plan.secret);
    let _ = match (plan.client_for_code, plan.client_for_refresh) {
        (code, refresh) if code == refresh => write!(text, ", sent as {code:?}"),
        (code, refresh) => write!(text, ", sent as {code:?} and for a refresh as {refresh:?}"),
    };
    if !plan.scopes.is_empty() {
        let _ = write!(text, ", scopes {}", plan.scopes.join(" "));
    }
    if let Some(audience) = &plan.audience {
        let _ = write!(text, ", audience {audience}");
    }
    for (name, value) in &plan.extra_parameters {
        let _ = write!(text, ", {name}={}", shown(name, value));
    }
    if let Some(rotates) = plan.refresh.rotates {
        let _ = write!(text, ", rotates {rotates:?}");
    }
    if !plan.refresh.grace.is_zero() {
        let _ = write!(text, ", grace {}", duration::print(plan.refresh.grace));
    }
    if let Some(idle) = plan.refresh.idle_ttl {
        let _ = write!(text, ", idle at most {}", duration::print(idle));
    }
    text
}

pub(super) fn secret(secret: &SecretKey) -> String {
    format!("key {} of Secret {}", secret.key, secret.name)
}

fn snapshot(plan: &SnapshotPlan) -> String {
    let SnapshotPlan { interval, max_count, max_percent, confirm, asked: _ } = plan;
    let often =
        interval.map_or_else(|| "with every poll".to_owned(), |interval| format!("every {}", duration::print(interval)));
    let when = match confirm {
        None => "when absent from two readings of the whole list in a row".to_owned(),
        Some(ConfirmPlan { url, gone, .. }) => {
            let gone: Vec<_> = gone.iter().map(ToString::to_string).collect();
            format!("when absent from the whole list and {} answers {}", shown_url(&url.join("${id}")), gone.join(" or "))
        }
    };
    format!("{when}; read {often}; held back when more than {max_count} and more than {max_percent} % are absent")
}

fn pagination(plan: &PaginationPlan) -> String {
    let size = |parameter: &Option<String>| parameter.as_ref().map(|name| format!(", page size in {name}")).unwrap_or_default();
    match plan {
        PaginationPlan::Detect => "found out from the first response".to_owned(),
        PaginationPlan::None => "none".to_owned(),
        PaginationPlan::LinkHeader => "Link header".to_owned(),
        PaginationPlan::NextLink(at) => format!("next link in {}", value_at(at)),
        PaginationPlan::Token { from, parameter, place } => {
            format!("token in {}, sent as {} {parameter}", value_at(from), token_place(*place))
        }
        PaginationPlan::LastId { field, parameter, place } => {
            let field = field.as_ref().map_or_else(|| "id".to_owned(), ToString::to_string);
            format!("{field} of the last record, sent as {} {parameter}", token_place(*place))
        }
        PaginationPlan::Keyset { size_parameter } => format!("again from the last date{}", size(size_parameter)),
        PaginationPlan::Offset { parameter, size_parameter } => format!("offset in {parameter}{}", size(size_parameter)),
        PaginationPlan::Page { parameter, first, size_parameter } => {
            format!("page number in {parameter} from {}{}", first.unwrap_or(1), size(size_parameter))
        }
    }
}

fn token_place(place: TokenPlace) -> &'static str {
    match place {
        TokenPlace::Query => "query parameter",
        TokenPlace::Header => "header",
        TokenPlace::Body => "body field",
    }
}

fn delta(plan: &DeltaPlan) -> String {
    match &plan.form {
        DeltaForm::Token { first: None } => format!("token in {}", value_at(&plan.from)),
        DeltaForm::Token { first: Some(first) } => format!("token in {}, at first {first}", value_at(&plan.from)),
        DeltaForm::Link => format!("URL in {}", value_at(&plan.from)),
    }
}

pub(super) fn value_at(at: &ValueAt) -> String {
    match at {
        ValueAt::Field(path) => format!("field {path}"),
        ValueAt::Header(name) => format!("header {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::resolve;

    #[test]
    fn reads_like_the_manifest_with_its_defaults() {
        let spec = "
baseUrl: https://api.example.com/v2
tags: [Docs]
auth: {apiKey: {prefix: 'Token ', secretRef: {name: shop, key: token}}}
callback: {url: 'https://h.example/in', batch: {maxBytes: 4096}, signature: {secretRef: {name: shop-callback, key: signing-key}}}
resources:
- name: contacts
  url: /search
  method: POST
  query: {since: '${since}'}
  body: {limit: 10, terms: [a]}
  pagination: {token: {field: next, parameter: page_token}}
  datesConfiguration: {updatedDateField: modified}
  deletes: {flag: {field: deleted}}
";
        let instance = ConnectorInstance::new("shop", serde_saphyr::from_str(spec).unwrap());
        let printed = print(&resolve(&instance, None).unwrap());
        let read: Value = serde_saphyr::from_str(&printed).unwrap();
        assert_eq!(read["namespace"], "default");
        assert_eq!(read["callback"]["signature"], "key signing-key of Secret shop-callback");
        assert_eq!(read["callback"]["timeout"], "15s");
        assert_eq!(read["callback"]["batch"], serde_json::json!({"maxEvents": 64, "maxBytes": 4096}));
        let resource = &read["resources"][0];
        for (field, value) in [
            ("url", "https://api.example.com/v2/search"),
            ("auth", "header x-api-key: Token <key token of Secret shop>"),
            ("idField", "id"),
            (
                "deleted",
                "when deleted is true or set; a word that may be the status of any record counts only as deletes.flag.value",
            ),
            ("changeBy", "Updated"),
            ("createdTolerance", "10s"),
            ("pagination", "token in field next, sent as query parameter page_token"),
            ("interval", "15m"),
            ("startFrom", "Now"),
        ] {
            assert_eq!(resource[field], value, "{field}: {printed}");
        }
        assert_eq!(resource["body"], serde_json::json!({"limit": 10, "terms": ["a"]}));
        assert!(resource["updated"]["example"].as_str().unwrap().starts_with("2031-05-06T17:08:09"), "{printed}");
        assert!(
            printed.find("namespace:") < printed.find("callback:") && printed.find("callback:") < printed.find("resources:")
        );
    }

    #[test]
    fn shows_the_date_that_moves_the_cursor_and_how_since_is_written() {
        let cursor = |more: &str| {
            let spec = format!(
                "
baseUrl: https://api.example.com
callback: {{url: 'https://h.example/in'}}
resources:
- name: contacts
  url: /contacts
  {more}
  datesConfiguration:
    {{updatedDateField: modified, updatedDateFormat: milliseconds, createdDateField: born, createdDateFormat: yyyy-MM-dd}}
"
            );
            let instance = ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap());
            let read: Value = serde_saphyr::from_str(&print(&resolve(&instance, None).unwrap())).unwrap();
            read["resources"][0]["cursor"].clone()
        };
        let by_updated = serde_json::json!({"field": "modified", "example": "1935853689122"});
        assert_eq!(cursor(""), by_updated);
        assert_eq!(cursor("changeBy: Updated"), by_updated);
        assert_eq!(cursor("changeBy: Created"), serde_json::json!({"field": "born", "example": "2031-05-05"}));
        assert_eq!(cursor("changeBy: Content"), Value::Null);
    }
}
