//! What users declare and what they read back: types and words, no I/O.
//!
//! The types are the source of the CRDs ([`crds`]) and of the offline validation of manifests ([`validate`]). Rules that shaped them:
//!
//! - What a [`Connector`](connector::Connector) can supply is optional and has no schema default on the instance: the server would write
//!   the default into the instance and hide the connector's value. Such defaults live in [`plan`](crate::plan); the field's doc states
//!   them.
//! - No schema default inside a list or a union either: client-side apply, Argo CD and a second field manager trip over it.
//! - Completeness ("needs a url") is a conditional rule on the spec, `has(self.connector) || …`; all else sits on the leaf, so that
//!   a rule tightened later does not block other edits of an old object.
//! - Unions are externally tagged enums; [`schema`] turns their `oneOf` into one CEL rule that names the members.
//! - Every string, list and map is bounded, or the CEL cost estimate of the API server refuses the CRD.

// These docs are the field descriptions of the custom resources, where angle brackets around a URL would be shown.
#![allow(rustdoc::bare_urls)]

pub mod auth;
pub mod changes;
mod chapters;
pub mod conditions;
pub mod connector;
pub mod dates;
pub mod deletes;
pub mod delta;
pub mod detail;
pub mod document;
pub mod duration;
pub mod editor;
pub mod encoding;
pub mod error_rule;
pub mod feed;
pub mod fields;
pub mod finding;
pub mod for_each;
pub mod full_sweep;
pub mod identity;
pub mod instance;
pub mod limits;
pub mod manifest;
pub mod names;
pub mod nearest;
pub mod resource;
pub mod schema;
pub(crate) mod secrecy;
mod shape;
pub mod shaping;
pub mod status;
mod structure;
mod unknown;
pub mod uri;
pub mod validate;
pub mod visible;
mod yaml;

#[cfg(test)]
#[path = "validate_cases.rs"]
mod cases;
#[cfg(test)]
mod file_cases;

pub use schema::{crds, crds_yaml};

/// API group of all kinds.
pub const GROUP: &str = "pollinator.dev";

/// `apiVersion` of all kinds.
pub const API_VERSION: &str = "pollinator.dev/v1alpha1";
