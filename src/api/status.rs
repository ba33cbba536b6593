//! What users read back. Cursors live here too: the API server is where a small state is kept.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shape::{conditions, time};

/// What the operator saw and did.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorInstanceStatus {
    /// The current state; Ready sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The generation that was last processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Echo of the annotation that last asked for a poll at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
    /// Events accepted by the callback, all resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<i64>,
    /// Events parked until a person asks for them, all resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<i64>,
    /// Events in the retry queue, all resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<i64>,
    /// Events that failed and will be retried, in the retry queue or not; only while there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub waiting: Option<Waiting>,
    /// When a change was last delivered, any resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_change_time: Option<Time>,
    /// Where a person can give consent; only while that is what is missing and the connect page is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
    /// One entry for each resource; names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub resources: Vec<ResourceStatus>,
    /// What must outlive the operator and is of no use to a reader: the form of the state, the health of the callback, the annotations acted on. JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub bookkeeping: Option<String>,
}

/// Where a person can give consent.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    /// The page at which to do it.
    #[schemars(length(max = 2048))]
    pub url: String,
}

/// What failed and will be tried again.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Events.
    pub events: i64,
    /// When the oldest of them was found, or first failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub oldest: Option<Time>,
    /// When the next one is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub next_try: Option<Time>,
}

/// What is known of one resource.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Name of the resource.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Where the next poll starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub cursor: Option<Cursor>,
    /// Why the cursor was last reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reset_reason: Option<String>,
    /// Where the records were last found in a response, as it would be written in the spec; $ is the response itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub records_path: Option<String>,
    /// The pagination that was detected, as it would be written in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub pagination: Option<String>,
    /// When a change was last delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_change_time: Option<Time>,
    /// When a poll last succeeded. Written with other changes only, since an idle poll writes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_successful_poll_time: Option<Time>,
    /// When the next poll is due. Written with other changes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub next_poll_time: Option<Time>,
    /// Events accepted by the callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<i64>,
    /// Events parked until a person asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<i64>,
    /// Packed tries of the changes that failed once or twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub failing: Option<String>,
    /// The current state of this resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Where the next poll starts.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Hash of the cursor scope (origin, connector, id field); if it changes, the cursor is void.
    #[schemars(length(max = 64))]
    pub meaning: String,
    /// The first read is over. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// Lower bound of the next poll, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub since: Option<String>,
    /// Dedup window in seconds: how far behind since the known records extend. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub reach_seconds: Option<i64>,
    /// Digest of the ignoreFields and compareContent under which content was hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hashed_without: Option<String>,
    /// How many minutes the dates of new records were behind the provider's clock, and in how many polls in a row, such as 300/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub zone_evidence: Option<String>,
    /// In how many polls in a row, counted up to 3, most of the list was from days before what the request asks for. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub filter_ignored_polls: Option<i64>,
    /// Digest of the declared order and of its request, if rows of the list were not in that order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub broken_order: Option<String>,
    /// What the last complete reading of the list has shown: when it was, how many of the known records it did not show, and how many of these wait for approval or delivery. JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub sweep: Option<String>,
    /// Digest of the request, and the token or URL of the provider with which the next poll continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub token: Option<String>,
    /// Packed hashes of the known records, while they are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub known: Option<String>,
    /// Where the known records are once there are many: generations of ConfigMaps in the order of their partitions, such as 3,5,3,4, or a
    /// set in the state store, such as store:00c0ffee00c0ffee:5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub blobs: Option<String>,
    /// The same for the list of deleted ids, with deletes.feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_list: Option<DeletedListCursor>,
}

/// Where the next poll of a list of deleted ids starts.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DeletedListCursor {
    /// Hash of what gives the cursor its meaning (origin, connector, id field); another one voids it.
    #[schemars(length(max = 64))]
    pub meaning: String,
    /// The first read is over. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// Lower bound of the next poll, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub since: Option<String>,
    /// How many seconds before since the known rows begin. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub reach_seconds: Option<i64>,
    /// Where the rows were last found in an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub records_path: Option<String>,
    /// Packed hashes of the known rows, while they are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub known: Option<String>,
    /// Where the known rows are once there are many, as in cursor.blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub blobs: Option<String>,
}
