//! A list of events about objects, as users declare it.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape::feed_types;

/// What the records of a list of events say about objects.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Feed {
    /// Path to the type of the event in a record.
    #[schemars(length(min = 1, max = 256))]
    pub type_field: String,
    /// What a type means: Created, Updated, Deleted or Ignored. An asterisk in a type stands for any text; a type without one counts before, and of several with one the longest. A type that matches none is ignored.
    #[schemars(schema_with = "feed_types")]
    pub type_map: BTreeMap<String, FeedKind>,
    /// Path to the id of the object in a record; idField is that of the event.
    #[schemars(length(min = 1, max = 256))]
    pub object_id_field: String,
    /// Path to the object in a record, which becomes the data of the event that is sent. Default: the whole record, also where a record has nothing there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub object_field: Option<String>,
}

/// What an event says of its object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum FeedKind {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
    /// Nothing that is to be sent.
    Ignored,
}
