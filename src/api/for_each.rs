//! A list that is polled once for each of several values, as users declare it.
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the docs of fields are read in kubectl explain, where backticks are noise"
)]

use kube::KubeSchema;
use kube::core::Rule;
use serde::{Deserialize, Serialize};

/// What a list is polled for: its request has the macro ${each}, which stands for one value after the other. Each value has a cursor of its own.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_source())]
#[x_kube(validation = field_of_records())]
pub struct ForEach {
    /// Values that ${each} stands for, such as the ids of tenants. Exactly one of values, resource must be set. The records of each value are records of their own, even if they have the same ids. A new value begins as a new resource does, by polling.startFrom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<String>,
    /// Name of another resource of the instance, whose records are the parents: ${each} stands for the id of one after the other. Each poll reads its list to the end. The records of a parent that appears later are sent as created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub resource: Option<String>,
    /// Path in the records of resource to what ${each} stands for. Default: their id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
}

fn one_source() -> Rule {
    Rule::new("has(self.values) != has(self.resource)").message("exactly one of values, resource must be set")
}

fn field_of_records() -> Rule {
    Rule::new("!has(self.field) || has(self.resource)").message("field needs resource, in whose records it is")
}
