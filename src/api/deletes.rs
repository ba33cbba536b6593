//! How deleted records are found, as users declare it.
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

use super::dates::date_pattern;
use super::duration;
use super::resource::{Pagination, resource_url};
use super::shape::template_map;

/// Exactly one member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Deletes {
    /// Deleted records stay in the list and are marked.
    Flag(Flag),
    /// Deleted records vanish from complete lists.
    Snapshot(Snapshot),
    /// The provider lists the ids of deleted records elsewhere.
    Feed(DeletedList),
}

/// A mark on deleted records.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    /// Path to the field that marks deleted records.
    #[schemars(length(min = 1, max = 256))]
    pub field: String,
    /// Text that marks a deleted record. Default: a record is deleted when the field is true or set, such as a deletion time; absent, null, false, 0 and empty mean that it lives, and so does a word that any record may have, such as active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub value: Option<String>,
}

/// Complete sweeps.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Time between two complete sweeps, 5s to 720h, not shorter than the polling interval. Default: every poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("5s", "720h"))]
    pub interval: Option<String>,
    /// Deletes are held back when there are more than this number and more than maxPercent. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_count: Option<i32>,
    /// Deletes are held back when there are more than maxCount and more than this percentage of the known records. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: Option<i32>,
    /// A request for one record that proves whether it is deleted. Default: a record is deleted when it is absent from two sweeps in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirm>,
}

/// A request for one record. It is sent for each record that is absent from a sweep; other statuses than 200 and those of goneStatus say nothing, and the record is asked for again after the next sweep.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Confirm {
    /// Path of one record under baseUrl, or an absolute URL of the same origin, with the macro ${id}, for example /contacts/${id}; with forEach, it may have ${each}, too.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = resource_url())]
    pub url: String,
    /// Statuses that mean that the record is deleted: 404, 410 or 403. Default: 404 and 410.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic, validation = gone_status())]
    pub gone_status: Vec<i32>,
}

/// A list of deleted ids. Each poll reads it before the list of the records, from a cursor of its own.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DeletedList {
    /// Path under baseUrl, or an absolute URL of the same origin; may carry macros such as ${since}, which stands for the cursor of this list.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = resource_url())]
    pub url: String,
    /// Query parameters; values may carry macros. Quote numbers and booleans. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "template_map")]
    pub query: BTreeMap<String, String>,
    /// Path to the rows in the response. Default: the response itself if it is an array, else its only array member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub records_path: Option<String>,
    /// Path to the id of the deleted record in a row. Default: id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id_field: Option<String>,
    /// Path to the time of the deletion in a row. It moves the cursor of this list.
    #[schemars(length(min = 1, max = 256))]
    pub date_field: String,
    /// Java date pattern, `milliseconds` or `seconds`. Default: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = date_pattern())]
    pub date_format: Option<String>,
    /// Zone of dates that carry none: IANA name, offset or abbreviation. Default: GMT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+:/{}-]+$"))]
    pub date_timezone: Option<String>,
    /// How further pages are asked for, one of those of the resource but keyset. Default: the resource's; with keyset found out from the first response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

fn gone_status() -> Rule {
    Rule::new("self.all(s, s in [404, 410, 403])").message("must be 404, 410 or 403")
}
