//! Which records are delivered and what of them, as users declare it.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when a known record no longer matches the filter.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum OnLeave {
    /// Nothing is sent.
    Ignore,
    /// It is sent as deleted.
    Deleted,
}

/// A member whose value is not to be delivered as it is.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaskField {
    /// Path to the member. A path that leads into an array applies to each of its elements.
    #[schemars(length(min = 1, max = 256))]
    pub field: String,
    /// What takes the place of the value: Text (three asterisks) or Hash (64 hexadecimal digits, the same for the same value of one instance). null stays null. Default: Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Mask>,
}

/// What takes the place of a value.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Mask {
    /// Three asterisks.
    Text,
    /// A hash.
    Hash,
}

pub(super) fn keep_or_drop() -> Rule {
    Rule::new("!has(self.keepFields) || !has(self.dropFields)")
        .message("at most one of keepFields, dropFields may be set")
        .field_path(".dropFields")
}
