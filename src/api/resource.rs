//! One list endpoint, as users declare it.
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the docs of fields are read in kubectl explain, where backticks are noise"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::changes::Changes;
use super::dates::DatesConfiguration;
use super::deletes::Deletes;
use super::delta::Delta;
use super::detail::Detail;
use super::duration;
use super::error_rule::ErrorRule;
use super::feed::Feed;
use super::for_each::ForEach;
use super::full_sweep::FullSweep;
use super::shape::{field_or_header, json_object, template_map};
use super::shaping::{MaskField, OnLeave, keep_or_drop};

/// One list endpoint.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = body_needs_post())]
#[x_kube(validation = keep_or_drop())]
#[x_kube(validation = one_id())]
pub struct Resource {
    /// Name of the resource, unique in the instance; the object type of events.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// Path under baseUrl, or an absolute URL of the same origin; may contain macros such as ${since}. Default: the connector's; required without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = resource_url())]
    pub url: Option<String>,
    /// GET or POST. Default: the connector's, else GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Query parameters; values may contain macros. Quote numbers and booleans. Default: the connector's; merged with them by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "template_map")]
    pub query: BTreeMap<String, String>,
    /// Extra request headers; values may contain macros. Credentials belong in auth. Default: the connector's; merged with them by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "template_map")]
    #[x_kube(validation = no_credentials())]
    pub headers: BTreeMap<String, String>,
    /// JSON body of a POST; strings in it may contain macros. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "json_object")]
    pub body: Option<Value>,
    /// Path to the records in the response, for example data.items or ['Modified Items']. Default: the connector's, else the response itself if it is an array, else its only array member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub records_path: Option<String>,
    /// Form of the records: List (an array) or Map (an object, id to record; a key whose value is null has no record). Default: the connector's, else List.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_as: Option<RecordsAs>,
    /// Path to the id in a record. At most one of idField, idFields. Default: the connector's, else id; for recordsAs Map the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id_field: Option<String>,
    /// Paths to 2 to 4 members that identify a record together, where no member is unique alone, for example [type, id]. The id of a record is their texts in this order with colons between them, such as folder:42; % and : inside them are written %25 and %3A. Default: the connector's, else idField applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 2, max = 4), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub id_fields: Vec<String>,
    /// Where a record says when it was changed and created. Default: the connector's; without any, changes are found by content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates_configuration: Option<DatesConfiguration>,
    /// What makes a record count as changed: Updated (its date of change), Created (its date of creation: updates are not seen) or Content (it differs from what was seen). Default: the connector's, else Updated with an updatedDateField, Created with only a createdDateField, Content without dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_by: Option<ChangeBy>,
    /// Whether a record also counts as changed when its content differs although its date is the same. Only what the provider lists is compared, so leave macros of the cursor out of the request to see every change; the first poll reads the whole list. Default: the connector's, else true with delta or fullSweep and false without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_content: Option<bool>,
    /// Paths of members that say nothing about a change, such as view counts or signed links: content is compared without them. A path that leads into an array applies to each of its elements. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ignore_fields: Vec<String>,
    /// A record whose updated and created dates differ by no more than this counts as created, 0s to 24h. Default: the connector's, else 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("0s", "24h"))]
    pub created_tolerance: Option<String>,
    /// How far behind the cursor each poll reads again, to find records that appear late, 0s to 168h. Every poll reads at least one minute again, since the clocks of servers differ. Default: the connector's, else 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("0s", "168h"))]
    pub lookback: Option<String>,
    /// How long after its date a record may appear in the list, 0s to 168h. Polls read this far behind the cursor until this time has passed on the provider's clock without a later record, and then as far as lookback says. Default: the connector's, else 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("0s", "168h"))]
    pub lateness: Option<String>,
    /// How far ahead of the provider's clock the date of a record may be, 0s to 168h. Records that are further ahead are delivered, never move the cursor, and are reported by the condition DatesPlausible. Default: the connector's, else 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("0s", "168h"))]
    pub max_future: Option<String>,
    /// How far back the provider lists changes, 24h to 24000h; some answer an error when they are asked for older ones. Macros of the cursor such as ${since} never stand for a time before that. Default: the connector's, else no age is too great.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("24h", "24000h"))]
    pub max_age: Option<String>,
    /// A complete reading of the list from time to time, to find records that change without a later date: each is compared by content. It implies compareContent. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_sweep: Option<FullSweep>,
    /// The most records that the provider lists for one request with all its pages, 10 to 1000000, as searches do that end after 10000. A poll that finds more reads the list in parts, oldest first, and needs macros for both ends of a part: one of the cursor such as ${since}, and ${until}. Default: the connector's, else none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub result_cap: Option<i32>,
    /// Records requested per page, 1 to 10000; used by paginations with a sizeParameter. Default: the connector's, else the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub page_size: Option<i32>,
    /// Polls the list once for each of several values, which the macro ${each} stands for in url, query, headers or body. Default: the connector's, else the list is polled once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// Time between two polls of this resource, 5s to 168h. Default: polling.interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("5s", "168h"))]
    pub interval: Option<String>,
    /// The order in which the provider lists records by date: Ascending, Descending or Unordered. Default: the connector's, else Unordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// How further pages are requested: exactly one of none, linkHeader, nextLink, token, lastId, keyset, offset, page. Default: the connector's, else found out from the first response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// How each poll continues where the last one ended, for lists that return what has changed since a token: exactly one of token, link. Default: the connector's, else polls continue by date or compare the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// How to read records that are events about objects, such as customer.deleted. Needs idField or idFields (the id of the event), datesConfiguration.createdDateField (its date) and order. Default: the connector's, else the records are the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
    /// How deleted records are found: exactly one of flag, snapshot, feed. Default: the connector's, else they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<Deletes>,
    /// Whether events of updates name the fields that changed, in their attribute changes. Hashes of the fields are remembered, no values. Every record that is listed is remembered, and the first poll reads the whole list. Needs callback.format CloudEvents. Default: the connector's, else they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// A request for the whole record before an event is sent, for lists that show only a part of it. Its response becomes the data of the event; changes are still detected in the list. Default: the connector's, else the record of the list is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// CEL expression over record that says which records are delivered, for example record.status != 'draft'. A record that is excluded is remembered, and is sent as created once it matches. A record for which the expression cannot be evaluated is delivered, and a condition says why. Default: the connector's, else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub filter: Option<String>,
    /// What is sent when a known record no longer matches filter: Ignore (nothing) or Deleted. Default: the connector's, else Ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_leave: Option<OnLeave>,
    /// Paths of the members that are delivered, and no others. Changes are still detected in the whole record. A path that leads into an array applies to each of its elements. At most one of keepFields, dropFields. Default: the connector's, else all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub keep_fields: Vec<String>,
    /// Paths of members that are not delivered. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub drop_fields: Vec<String>,
    /// Members whose value is replaced before it is delivered. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    pub mask_fields: Vec<MaskField>,
    /// What responses mean that their status does not say, errors in a response with status 200 included. The first rule that matches decides, before the status does. Default: none; the connector's follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub error_rules: Vec<ErrorRule>,
}

/// Method of the list request.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The everyday form.
    Get,
    /// For search endpoints that take a JSON body.
    Post,
}

/// Form of the records.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum RecordsAs {
    /// An array.
    List,
    /// An object, id to record.
    Map,
}

/// What makes a record a changed one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum ChangeBy {
    /// Its date of change.
    Updated,
    /// Its date of creation.
    Created,
    /// It differs from what was seen.
    Content,
}

/// The order in which the provider lists records by date.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
    /// Nothing is promised.
    Unordered,
}

/// Exactly one member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Pagination {
    /// There is only one page.
    None(Empty),
    /// `Link` response header with rel="next" (RFC 8288).
    LinkHeader(Empty),
    /// The response carries the URL of the next page, absolute or relative to the request URL.
    NextLink(NextLink),
    /// The response carries a token for the next page.
    Token(Token),
    /// The request carries the id of the last record of the page before.
    LastId(LastId),
    /// There are no further pages: the list is requested again from the date of the last record. Needs pageSize, order Ascending and a macro of the cursor such as ${since}.
    Keyset(Keyset),
    /// A query parameter carries the number of records to skip.
    Offset(Offset),
    /// A query parameter carries the page number.
    Page(Page),
}

/// No fields: written `{}`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Empty {}

/// Where the URL of the next page stands.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = field_or_header())]
pub struct NextLink {
    /// Path to the URL in the response. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
    /// Response header with the URL. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub header: Option<String>,
}

/// Where the token for the next page stands and where it goes.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = field_or_header())]
pub struct Token {
    /// Path to the token in the response. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
    /// Response header with the token. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub header: Option<String>,
    /// Name of the query parameter, header or (dotted) body field that takes the token in the next request.
    #[schemars(length(min = 1, max = 128))]
    pub parameter: String,
    /// Where the token goes in the next request: Query, Header or Body. Default: Query.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<TokenPlace>,
}

/// Where the token goes in the next request.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum TokenPlace {
    /// Query parameter.
    Query,
    /// Request header.
    Header,
    /// Field of the JSON body.
    Body,
}

/// Pages by the id of the last record.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastId {
    /// Name of the query parameter, header or (dotted) body field that takes the id, such as starting_after.
    #[schemars(length(min = 1, max = 128))]
    pub parameter: String,
    /// Where the id goes in the next request: Query, Header or Body. Default: Query.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<TokenPlace>,
    /// Path to the value in a record; required with idFields. Default: idField.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
}

/// Lists that are asked for again from the date of their last record.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Keyset {
    /// Query parameter that carries pageSize. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub size_parameter: Option<String>,
}

/// Pages by number of records to skip.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Offset {
    /// Query parameter that carries the number of records to skip.
    #[schemars(length(min = 1, max = 128))]
    pub parameter: String,
    /// Query parameter that carries pageSize. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub size_parameter: Option<String>,
}

/// Pages by number.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Query parameter that carries the page number.
    #[schemars(length(min = 1, max = 128))]
    pub parameter: String,
    /// Number of the first page, 0 or 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub first: Option<i32>,
    /// Query parameter that carries pageSize. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub size_parameter: Option<String>,
}

pub(super) fn body_needs_post() -> Rule {
    Rule::new("!has(self.body) || (has(self.method) && self.method == 'POST')")
        .message("body needs method POST")
        .field_path(".method")
}

fn one_id() -> Rule {
    Rule::new("!has(self.idField) || !has(self.idFields)")
        .message("at most one of idField, idFields may be set")
        .field_path(".idFields")
}

pub(super) fn resource_url() -> Rule {
    Rule::new(r"!self.startsWith('//') && !self.contains('\\') && !self.contains('#')")
        .message("must be a path under baseUrl, without backslash or fragment")
}

pub(super) fn no_credentials() -> Rule {
    Rule::new("self.all(k, !(k.lowerAscii() in ['authorization', 'proxy-authorization', 'cookie', 'host', 'content-length']))")
        .message("Authorization, Proxy-Authorization, Cookie, Host and Content-Length cannot be set here; credentials belong in spec.auth")
}
