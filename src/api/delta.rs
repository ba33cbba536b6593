//! How a list continues from an opaque token, as users declare it.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape::field_or_header;

/// Exactly one member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Delta {
    /// The response carries a token, which the macro ${cursor} stands for in the next poll, such as nextSyncToken.
    Token(DeltaToken),
    /// The response carries the URL of the next poll, such as @odata.deltaLink.
    Link(DeltaLink),
}

/// Where the token for the next poll stands.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = field_or_header())]
pub struct DeltaToken {
    /// Path to the token in the response; of a list with several pages the last one that has it counts. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
    /// Response header with the token. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub header: Option<String>,
    /// What ${cursor} stands for while there is no token yet, such as now. Default: nothing, and the parameter, header or body member that has the macro is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub first: Option<String>,
    /// How the provider says that a token is no longer valid, if not with status 410. Default: only 410 says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}

/// Where the URL of the next poll stands.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = field_or_header())]
pub struct DeltaLink {
    /// Path to the URL in the response; of a list with several pages the last one that has it counts. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub field: Option<String>,
    /// Response header with the URL. Exactly one of field, header; no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&*+.^_|~-]+$"))]
    pub header: Option<String>,
    /// How the provider says that a link is no longer valid, if not with status 410. Default: only 410 says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}

/// The response to a token that is no longer valid.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Expired {
    /// Status of the response, 400 to 499 without 401 and 429.
    #[schemars(range(min = 400, max = 499))]
    pub status: i32,
    /// Text that its body contains, such as EXPIRED_SYNC_TOKEN. Default: any body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub body_contains: Option<String>,
}
