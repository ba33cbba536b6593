//! Complete readings of a list that is polled by date, as users declare them.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// A complete reading of the list from time to time.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FullSweep {
    /// Time between two complete readings, 5s to 720h, not shorter than the polling interval. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("5s", "720h"))]
    pub interval: Option<String>,
}
