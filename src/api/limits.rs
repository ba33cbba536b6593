//! How much a provider lets itself be asked, as connectors declare it.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// How much the provider lets itself be asked.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProviderLimits {
    /// Requests that are allowed per period; all listed limits apply at the same time. Default: none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub requests: Vec<RequestLimit>,
    /// Requests under way at once, 1 to 1000, for all instances of the process that share a credential. More than 4 to one host are never sent. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrent: Option<i32>,
    /// Page of the provider that documents the limit. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^https://[^\\s]+$"))]
    pub source: Option<String>,
}

/// A number of requests that is allowed within any period of one length.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RequestLimit {
    /// Requests within the period, 1 to 100000000.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub count: i32,
    /// Length of the period, 1s to 744h.
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("1s", "744h"))]
    pub period: String,
    /// Whose requests count together: Credential (those of one credential) or Client (those of one OAuth 2.0 client, whatever account they are for). Default: Credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<LimitScope>,
    /// Names of the resources whose requests count. Default: all of the connector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub resources: Vec<String>,
    /// Response header that says how many requests are left, which others may have used up. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub remaining_header: Option<String>,
    /// Response header that says when more are allowed: seconds from now, seconds or milliseconds since 1970, or a date. Default: none, and a full period is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub reset_header: Option<String>,
    /// Time zone in which the period is a calendar day: all requests are allowed again at midnight there, for example America/Los_Angeles. Needs period 24h. Default: none, and the period begins with the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub reset_timezone: Option<String>,
}

/// Whose requests count together.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum LimitScope {
    /// Those of one credential.
    Credential,
    /// Those of one OAuth 2.0 client.
    Client,
}
