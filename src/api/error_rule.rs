//! What a provider's response means where its status does not say so, as users declare it.
#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "the docs of fields are read in kubectl explain, where backticks are noise and [0] is a path"
)]

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A response that is recognized, and what it means. All that is set must hold.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = says_when())]
pub struct ErrorRule {
    /// HTTP status, 100 to 599. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<i32>,
    /// Path in the JSON body to the member that is looked at, for example error.code or [0].errorCode. Without match, the rule matches when it is true or set. Default: the first 64 KiB of the body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub body_path: Option<String>,
    /// Regular expression (RE2) that must be found in the text at bodyPath. Needs bodyPath or status. Default: none.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub pattern: Option<String>,
    /// What the response means: Auth (credentials are refused, as with 401), Gone (the list does not exist, as with 404), Empty (there are no records), Retry (it may pass, as with 500), RateLimited (as with 429), QuotaExhausted (all requests of a day or month are used up: nothing is asked until more are allowed), Fatal (only you can fix it, as with 400) or Success (it has the records or says that there are none, though a member looks like an error or says that records are missing; of responses with a status of 2xx).
    pub means: Meaning,
}

/// What a response means.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Meaning {
    /// Credentials are refused.
    Auth,
    /// The list does not exist.
    Gone,
    /// There are no records.
    Empty,
    /// It may pass by itself.
    Retry,
    /// The provider is rate limiting.
    RateLimited,
    /// The requests of a long period are used up.
    QuotaExhausted,
    /// Only a person can fix it.
    Fatal,
    /// It is a usual response, whatever its members look like.
    Success,
}

fn says_when() -> Rule {
    Rule::new("has(self.status) || has(self.bodyPath)").message("at least one of status, bodyPath must be set")
}
