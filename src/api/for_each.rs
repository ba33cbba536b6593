//! A list that is polled once for each of several values, as users declare it.
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the docs of fields are read in kubectl explain, where backticks are noise"
)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a list is polled for: its request has the macro ${each}, which stands for one value after the other. Each value has a cursor of its own.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ForEach {
    /// Values that ${each} stands for, such as the ids of tenants. The records of each value are records of their own, even if they have the same ids. A new value begins as a new resource does, by polling.startFrom.
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<String>,
}
