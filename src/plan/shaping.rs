//! Which records are delivered and what of them: resource → [`FilterPlan`], [`Shape`].

use std::sync::Arc;

use serde::Serialize;

use super::ExtractPlan;
use super::expression::Expression;
use super::field_path::FieldPath;
use super::problems::{Problems, at, field, invalid};
use crate::api::conditions::Problem;
use crate::api::resource::Resource;
use crate::api::shaping;

/// Which records are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterPlan {
    /// True for those that are.
    pub expression: Arc<Expression>,
    /// What is sent when a known record no longer matches.
    pub on_leave: OnLeave,
}

/// What is sent when a known record no longer matches the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLeave {
    /// Nothing.
    Ignore,
    /// It is deleted, as far as the receiver is concerned.
    Deleted,
}

/// What of a record is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Which members.
    pub members: Members,
    /// Those whose value is replaced.
    pub masked: Vec<Masked>,
}

/// Which members of a record are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Members {
    /// All.
    #[default]
    All,
    /// These alone.
    Keep(Vec<FieldPath>),
    /// All but these.
    Drop(Vec<FieldPath>),
}

/// A member whose value is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Its path; a key that meets an array applies to each of its elements.
    pub path: FieldPath,
    /// What takes its place.
    pub mask: Mask,
}

/// What takes the place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Three asterisks.
    Text,
    /// A hash of the value and of the instance's identity.
    Hash,
}

impl Shape {
    /// Whether a record is delivered as it was sent.
    pub fn is_whole(&self) -> bool {
        self.members == Members::All && self.masked.is_empty()
    }
}

/// Filter, shape and rules for responses as `pollinator plan` prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrintedShaping<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_leave: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keep_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drop_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mask_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    error_rules: Vec<String>,
}

impl<'a> PrintedShaping<'a> {
    pub(super) fn of(extract: &'a ExtractPlan) -> Self {
        let ExtractPlan { filter, shape: Shape { members, masked }, error_rules, .. } = extract;
        let texts = |paths: &[FieldPath]| paths.iter().map(ToString::to_string).collect();
        let (keep_fields, drop_fields) = match members {
            Members::All => (Vec::new(), Vec::new()),
            Members::Keep(paths) => (texts(paths), Vec::new()),
            Members::Drop(paths) => (Vec::new(), texts(paths)),
        };
        let with = |mask: Mask| if mask == Mask::Hash { "a hash" } else { "***" };
        Self {
            filter: filter.as_ref().map(|filter| filter.expression.text()),
            on_leave: filter.as_ref().map(|filter| match filter.on_leave {
                OnLeave::Ignore => "Ignore",
                OnLeave::Deleted => "Deleted",
            }),
            keep_fields,
            drop_fields,
            mask_fields: masked.iter().map(|Masked { path, mask }| format!("{path} as {}", with(*mask))).collect(),
            error_rules: error_rules.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Which records are delivered; `None`: all.
pub(super) fn filter(resource: &Resource) -> Result<Option<FilterPlan>, Problem> {
    let Some(text) = &resource.filter else {
        return match resource.on_leave {
            Some(shaping::OnLeave::Deleted) => {
                Err(invalid(format!("{} needs filter; set filter, or leave onLeave out", field(&resource.name, "onLeave"))))
            }
            Some(shaping::OnLeave::Ignore) | None => Ok(None),
        };
    };
    let expression = Expression::compile(text).map_err(at(&field(&resource.name, "filter")))?;
    let on_leave = match resource.on_leave {
        Some(shaping::OnLeave::Deleted) => OnLeave::Deleted,
        Some(shaping::OnLeave::Ignore) | None => OnLeave::Ignore,
    };
    Ok(Some(FilterPlan { expression, on_leave }))
}

/// What of a record is delivered.
pub(super) fn shape(resource: &Resource) -> Result<Shape, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut path = |name: &str, text: &str| problems.keep(FieldPath::parse(text).map_err(at(&field(&resource.name, name))));
    let keep: Vec<_> = resource.keep_fields.iter().filter_map(|text| path("keepFields", text)).collect();
    let drop: Vec<_> = resource.drop_fields.iter().filter_map(|text| path("dropFields", text)).collect();
    let masked = resource.mask_fields.iter().filter_map(|mask| {
        let with = match mask.with {
            Some(shaping::Mask::Hash) => Mask::Hash,
            Some(shaping::Mask::Text) | None => Mask::Text,
        };
        path("maskFields", &mask.field).map(|path| Masked { path, mask: with })
    });
    let masked = masked.collect();
    if !resource.keep_fields.is_empty() && !resource.drop_fields.is_empty() {
        problems.0.push(invalid(format!("{} must be left out where keepFields is set", field(&resource.name, "dropFields"))));
    }
    let members = match (keep.is_empty(), drop.is_empty()) {
        (false, _) => Members::Keep(keep),
        (true, false) => Members::Drop(drop),
        (true, true) => Members::All,
    };
    if problems.0.is_empty() { Ok(Shape { members, masked }) } else { Err(problems.0) }
}
