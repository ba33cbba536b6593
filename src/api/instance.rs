//! `ConnectorInstance`: one account at one provider.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use std::collections::BTreeMap;

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Auth, SecretKeyRef, SecretRef, Tls};
use super::duration;
use super::resource::Resource;
use super::shape::short_map;
use super::status::ConnectorInstanceStatus;

/// Polls the list endpoints of one account at one provider and delivers every change to a callback URL.
#[allow(clippy::duplicated_attributes)] // printcolumn(..) repeats keys by design
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pollinator.dev",
    version = "v1alpha1",
    kind = "ConnectorInstance",
    namespaced,
    status = "ConnectorInstanceStatus",
    derive = "PartialEq",
    shortname = "coni",
    category = "pollinator",
    doc = "ConnectorInstance polls the list endpoints of one account at one provider and delivers every change to a callback URL.",
    selectable = ".spec.connector",
    selectable = ".spec.suspend",
    printcolumn(name = "Connector", type_ = "string", json_path = ".spec.connector"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.delivered"),
    printcolumn(name = "Parked", type_ = "integer", json_path = ".status.parked"),
    printcolumn(name = "Last Change", type_ = "date", json_path = ".status.lastChangeTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName", priority = 1),
    printcolumn(name = "Callback", type_ = "string", json_path = ".spec.callback.url", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 63").message("name must be no more than 63 characters")
)]
#[x_kube(
    validation = Rule::new("has(self.connector) || has(self.baseUrl)")
        .message("baseUrl is required when no connector is named").reason(Reason::FieldValueRequired).field_path(".baseUrl"),
    validation = Rule::new("has(self.connector) || (has(self.resources) && self.resources.size() > 0)")
        .message("at least one resource is required when no connector is named").reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.connector) || !has(self.resources) || self.resources.all(r, has(r.url))")
        .message(Message::Expression("'resource ' + self.resources.map(r, !has(r.url), r.name)[0] + ' needs a url: no connector is named that could supply it'".into())).reason(Reason::FieldValueRequired).field_path(".resources"),
    validation = Rule::new("has(self.connector) || !has(self.resources) || self.resources.all(r, !has(r.datesConfiguration) || has(r.datesConfiguration.updatedDateField) || has(r.datesConfiguration.createdDateField))")
        .message(Message::Expression("'datesConfiguration of resource ' + self.resources.map(r, has(r.datesConfiguration) && !has(r.datesConfiguration.updatedDateField) && !has(r.datesConfiguration.createdDateField), r.name)[0] + ' needs updatedDateField or createdDateField; leave it out to find changes by content'".into())).field_path(".resources"),
    validation = Rule::new("has(self.connector) || !has(self.auth) || !has(self.auth.oauth2) || (has(self.auth.oauth2.grant) && has(self.auth.oauth2.tokenUrl))")
        .message("oauth2 needs grant and tokenUrl when no connector is named").reason(Reason::FieldValueRequired).field_path(".auth.oauth2"),
    validation = Rule::new("!has(self.resources) || !has(self.baseUrl) || self.resources.all(r, !has(r.url) || !r.url.matches('^[A-Za-z][A-Za-z0-9+.-]*:') || r.url.find('^https?://[^/?#]+') == self.baseUrl.find('^https?://[^/?#]+'))")
        .message(Message::Expression("'the url of resource ' + self.resources.map(r, has(r.url) && r.url.matches('^[A-Za-z][A-Za-z0-9+.-]*:') && r.url.find('^https?://[^/?#]+') != self.baseUrl.find('^https?://[^/?#]+'), r.name)[0] + ' must be a path or have the origin of baseUrl'".into())).field_path(".resources"),
    validation = sweep_not_shorter_than_poll(),
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorInstanceSpec {
    /// Name of the Connector whose settings this instance starts from; a Connector in this namespace takes precedence over the built-in catalog. Fields set here override its fields one by one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub connector: Option<String>,

    /// Values for the {placeholders} in the connector's templates, for example `subdomain: acme`. In a URL a value is a part of a host name, a path segment or a query value, and nothing else. Not for secrets. Default: the connector's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "short_map")]
    pub parameters: BTreeMap<String, String>,

    /// Where the provider's API starts, for example https://api.example.com/v2. Default: the connector's; required without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && self.matches('^(?i:https?)://') && url(self).getHost() != '' && !self.contains('#') && !self.contains('?') && !self.contains('{')")
        .message("must be an http or https URL without query or fragment, such as https://api.example.com/v2"))]
    pub base_url: Option<String>,

    /// Name for people, such as Keap of the sales team: kubectl shows it in wide output. It may change at any time; events and state do not contain it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,

    /// Free labels that are copied into every event: instanceTags of format OpenConnectors; the attribute tags of CloudEvents, separated by commas. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tags: Vec<String>,

    /// How requests to the provider are authenticated: exactly one of apiKey, basic, bearer, oauth2. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// Client certificate and private authorities for the provider and its token endpoint, in addition to any auth. Default: no certificate is shown, and public authorities are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// When polling happens, for all resources. Default: the connector's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polling: Option<Polling>,

    /// The list endpoints to poll. With a connector, resources of the same name are overridden field by field. Default: all of the connector's; required without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resources: Vec<Resource>,

    /// Where events go.
    pub callback: Callback,

    /// Stops polling and delivery and keeps all state. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// When polling happens.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Polling {
    /// Time between two polls of a resource, 5s to 168h. Default: the connector's, else 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("5s", "168h"))]
    pub interval: Option<String>,
    /// What the first poll does with records that already exist: Now (nothing is sent), Earliest (all are sent as created), or an RFC 3339 time from which on records are sent. Default: the connector's, else Now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new(r"self in ['Now', 'Earliest'] || (self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$') && timestamp(self).getFullYear() > 1900)")
        .message("must be Now, Earliest or an RFC 3339 time such as 2026-01-31T00:00:00Z"))]
    pub start_from: Option<String>,
}

/// Where events go.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.url.startsWith('https://') || self.allowInsecureHttp")
        .message("url must be https; http needs allowInsecureHttp: true").reason(Reason::FieldValueForbidden).field_path(".url"),
    validation = Rule::new("!has(self.auth) || !has(self.auth.oauth2) || (has(self.auth.oauth2.grant) && has(self.auth.oauth2.tokenUrl))")
        .message("oauth2 needs grant and tokenUrl").reason(Reason::FieldValueRequired).field_path(".auth.oauth2"),
    validation = Rule::new("!has(self.batch) || self.format == 'CloudEvents'")
        .message("batch needs format: CloudEvents; OpenConnectors sends up to ten events a request without it")
        .reason(Reason::FieldValueForbidden).field_path(".batch"),
)]
pub struct Callback {
    /// Where events are POSTed: https, or http with allowInsecureHttp.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && self.matches('^(?i:https?)://') && url(self).getHost() != '' && !self.contains('#')")
        .message("must be an http or https URL without fragment"))]
    pub url: String,
    /// Shape of the events: CloudEvents (1.0, structured JSON, one event a request unless batch is set) or OpenConnectors (the body of SAP Open Connectors, up to ten events a request). Default: CloudEvents.
    #[serde(default = "cloud_events")]
    pub format: Format,
    /// Sends several CloudEvents of one resource in one request, in the batched content mode (application/cloudevents-batch+json): what a page holds, without waiting for more. Default: one event a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Signs every request. Default: requests are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// A Secret whose every key is sent as a header. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretRef>,
    /// How requests to the callback are authenticated: exactly one of apiKey, basic, bearer, oauth2. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Client certificate and private authorities for the callback and its token endpoint, in addition to any auth. Default: no certificate is shown, and public authorities are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Requests to the callback under way at once, for all resources, 1 to 64. Default: 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_in_flight: Option<i32>,
    /// Deadline of one request to the callback, 1s to 2m. Default: 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("1s", "2m"))]
    pub timeout: Option<String>,
    /// Allows an http url. Default: false.
    #[serde(default)]
    pub allow_insecure_http: bool,
}

/// How much one request carries.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Events of one request at most, 1 to 128. Default: 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128))]
    pub max_events: Option<i32>,
    /// Bytes of the body of one request at most, 1024 to 4194304 (4 MiB); a larger event is sent alone. Default: 262144 (256 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_024, max = 4_194_304))]
    pub max_bytes: Option<i32>,
}

/// Shape of the events.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Format {
    /// CloudEvents 1.0, structured JSON, one event a request unless batched.
    CloudEvents,
    /// The body of SAP Open Connectors, up to ten events a request.
    OpenConnectors,
}

/// Signs every request.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// The Secret and its key that hold the signing key: `whsec_` and Base64, or raw bytes. While the key rotates, the old one stands under the same key with the suffix `-previous`.
    pub secret_ref: SecretKeyRef,
}

fn cloud_events() -> Format {
    Format::CloudEvents
}

/// Spelt out for each field that the interval may come from: the server's cost estimate knows the size of a field, but not of a
/// value picked by a condition. A malformed duration is the leaf's matter and passes here.
fn sweep_not_shorter_than_poll() -> Rule {
    let form = duration::PATTERN;
    let not_shorter =
        |poll: &str| format!("(!{poll}.matches('{form}') || duration(r.deletes.snapshot.interval) >= duration({poll}))");
    Rule::new(format!(
        "!has(self.resources) || self.resources.all(r, !has(r.deletes) || !has(r.deletes.snapshot) || !has(r.deletes.snapshot.interval) \
         || !r.deletes.snapshot.interval.matches('{form}') || (has(r.interval) ? {} \
         : (!has(self.polling) || !has(self.polling.interval) || {})))",
        not_shorter("r.interval"),
        not_shorter("self.polling.interval"),
    ))
    .message("deletes.snapshot.interval must not be shorter than the polling interval")
    .field_path(".resources")
}
