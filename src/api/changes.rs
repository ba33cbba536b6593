//! The names of changed fields in events, as users ask for them.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Names of changed fields in the events of updates.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Fields of a record that are compared one by one, 1 to 64; what comes after them by name counts as one field without a name. Each costs 8 bytes of state a record. Default: 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_fields: Option<i32>,
}
