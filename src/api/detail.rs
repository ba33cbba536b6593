//! A request for the whole record before an event is sent, as users declare it.
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the docs of fields are read in kubectl explain, where backticks are noise"
)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::resource::resource_url;

/// A request for one record.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Path of one record under baseUrl, or an absolute URL of the same origin, with the macro ${id}, for example /contacts/${id}; with forEach, it may have ${each}, too.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = resource_url())]
    pub url: String,
    /// Path to the record in the response. Default: the response itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub record_path: Option<String>,
}
