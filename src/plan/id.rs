//! Where the records of a list have their ids, and what follows from that: the text of an id, the JSON that is kept of it, and a record of
//! which nothing else is left. Pure.
//!
//! An id of several members is the texts of these members with colons between them. Inside a member, `%` becomes `%25` and `:` becomes
//! `%3A`, so different members never make the same id.

use std::borrow::Cow;
use std::fmt;

use super::field_path::{FieldPath, Segment};
use super::json::{for_each_element, scalar_text};
use super::problems::{Problems, at, field, invalid};
use crate::api::conditions::Problem;
use crate::api::deletes::{Deletes, Snapshot};
use crate::api::resource::{Pagination, RecordsAs, Resource};

/// Most members of an id.
pub const MAX_MEMBERS: usize = 4;

/// Where records have their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdPlan {
    /// In a map of records: the key is the id.
    Key,
    /// The value at a path.
    Field(FieldPath),
    /// The values at several paths, none of which is unique alone.
    Fields(IdFields),
}

/// Between two and [`MAX_MEMBERS`] paths to different members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdFields(Box<[FieldPath]>);

impl IdFields {
    /// `None` if they are too few or too many, or if one of them leads to another one or into it.
    fn new(paths: Vec<FieldPath>) -> Option<Self> {
        let overlaps = |(index, path): (usize, &FieldPath)| {
            let mut others = paths.iter().enumerate().filter(|(other, _)| *other != index);
            others.any(|(_, other)| other.segments().starts_with(path.segments()))
        };
        let is_one = (2..=MAX_MEMBERS).contains(&paths.len()) && !paths.iter().enumerate().any(overlaps);
        is_one.then(|| Self(paths.into()))
    }
}

impl IdPlan {
    /// The paths in a record that lead to its id, in their order.
    pub fn paths(&self) -> &[FieldPath] {
        match self {
            Self::Key => &[],
            Self::Field(path) => std::slice::from_ref(path),
            Self::Fields(fields) => &fields.0,
        }
    }

    /// The field of a manifest that names them.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Key | Self::Field(_) => "idField",
            Self::Fields(_) => "idFields",
        }
    }

    /// What to do about records that have the same id.
    pub fn how_to_distinguish(&self) -> &'static str {
        match self {
            Self::Key | Self::Field(_) => {
                "set idField to a path that is unique in the list, or idFields to the members that are unique together, such as \
                 [type, id]"
            }
            Self::Fields(_) => "add the path of a member in which they differ to idFields",
        }
    }

    /// Text and JSON of an id, from the values that were found at the paths and the key of the record in a map. The JSON of one value is
    /// that value as it was sent, and that of several is an array of them; a key has none. `None`: it is no id that can be used.
    pub fn read<'a>(&self, found: &[Option<&'a str>], key: Option<&'a str>) -> Option<(Cow<'a, str>, Option<Cow<'a, str>>)> {
        match self {
            Self::Key => Some((Cow::Borrowed(key?), None)),
            Self::Field(_) => {
                let json = found.first().copied().flatten()?;
                let text = scalar_text(json).filter(|text| !text.is_empty())?;
                Some((text, Some(Cow::Borrowed(json))))
            }
            Self::Fields(fields) => {
                let values = found.iter().take(fields.0.len()).copied().collect::<Option<Vec<_>>>()?;
                Some((Cow::Owned(joined(&values)?), Some(Cow::Owned(array(&values)))))
            }
        }
    }

    /// The JSON of the id in a record, whether it can be used or not; `None` where it is the key of a map, or a member is missing.
    pub fn find<'a>(&self, json: &'a str) -> Option<Cow<'a, str>> {
        match self {
            Self::Key => None,
            Self::Field(path) => path.find(json).map(Cow::Borrowed),
            Self::Fields(fields) => {
                let values = fields.0.iter().map(|path| path.find(json)).collect::<Option<Vec<_>>>()?;
                Some(Cow::Owned(array(&values)))
            }
        }
    }

    /// The text of an id that was kept as JSON. `None`: it is no id of this plan.
    pub fn text<'a>(&self, json: &'a str) -> Option<Cow<'a, str>> {
        match self {
            Self::Key | Self::Field(_) => scalar_text(json),
            Self::Fields(fields) => {
                let values = elements(json);
                if values.len() == fields.0.len() { joined(&values).map(Cow::Owned) } else { None }
            }
        }
    }

    /// A record of which only the id is left, which was kept as JSON: each member is where a record has it.
    pub fn record(&self, json: &str) -> String {
        match self {
            Self::Key => object(&[(vec!["id".to_owned()], json)]),
            Self::Field(path) => object(&[(names(path), json)]),
            Self::Fields(fields) => {
                let members: Vec<_> = fields.0.iter().map(names).zip(elements(json)).collect();
                object(&members)
            }
        }
    }

    /// The record `json` with the id `id`, of which nothing else is delivered.
    pub fn alone(&self, id: &str, json: &str) -> String {
        self.record(&self.find(json).unwrap_or_else(|| Cow::Owned(quoted(id))))
    }

    /// What a cursor depends on, as texts.
    pub(super) fn scope(&self) -> Vec<String> {
        match self {
            Self::Key => vec![String::new()],
            Self::Field(_) | Self::Fields(_) => self.paths().iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for IdPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("the key of the map"),
            Self::Field(_) | Self::Fields(_) => f.write_str(&self.scope().join(", ")),
        }
    }
}

/// The text of an id of these values. `None`: one of them is null or empty, or no scalar.
fn joined(values: &[&str]) -> Option<String> {
    let mut id = String::new();
    for value in values {
        let text = scalar_text(value).filter(|text| !text.is_empty())?;
        if !id.is_empty() {
            id.push(':');
        }
        for c in text.chars() {
            match c {
                '%' => id.push_str("%25"),
                ':' => id.push_str("%3A"),
                c => id.push(c),
            }
        }
    }
    Some(id)
}

fn array(values: &[&str]) -> String {
    format!("[{}]", values.join(","))
}

fn elements(json: &str) -> Vec<&str> {
    let mut values = Vec::new();
    for_each_element(json, |value| values.push(value));
    values
}

/// The names of the members on a path. One that leads into an array is itself the only name.
fn names(path: &FieldPath) -> Vec<String> {
    let keys = path.segments().iter().map(|segment| if let Segment::Key(key) = segment { Some(key.clone()) } else { None });
    keys.collect::<Option<Vec<_>>>().unwrap_or_else(|| vec![path.to_string()])
}

/// An object with these values, each below its names.
fn object<S: AsRef<[String]>>(members: &[(S, &str)]) -> String {
    let mut firsts: Vec<&String> = Vec::new();
    for first in members.iter().filter_map(|(names, _)| names.as_ref().first()) {
        if !firsts.contains(&first) {
            firsts.push(first);
        }
    }
    let member = |first: &String| {
        let below = members.iter().filter_map(|(names, value)| {
            names.as_ref().split_first().filter(|(name, _)| *name == first).map(|(_, rest)| (rest, *value))
        });
        let value = match below.collect::<Vec<_>>().as_slice() {
            [([], value)] => (*value).to_owned(),
            below => object(below),
        };
        format!("{}:{value}", quoted(first))
    };
    format!("{{{}}}", firsts.into_iter().map(member).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where a resource says that records have their ids.
///
/// # Errors
/// Paths that cannot be read or do not make an id, and settings that know ids of one member only.
pub(super) fn plan(resource: &Resource) -> Result<IdPlan, Vec<Problem>> {
    let named = |part: &str| field(&resource.name, part);
    let parsed = |part: &str, text: &str| FieldPath::parse(text).map_err(at(&named(part)));
    if resource.id_fields.is_empty() {
        return match (&resource.id_field, resource.records_as) {
            (None, Some(RecordsAs::Map)) => Ok(IdPlan::Key),
            (given, _) => {
                parsed("idField", given.as_deref().unwrap_or("id")).map(IdPlan::Field).map_err(|problem| vec![problem])
            }
        };
    }
    let mut problems = Problems::default();
    if resource.id_field.is_some() {
        problems.0.push(invalid(format!("{} must be left out where idField is set", named("idFields"))));
    }
    let paths: Vec<_> = resource.id_fields.iter().filter_map(|text| problems.keep(parsed("idFields", text))).collect();
    if problems.0.is_empty() {
        problems.0.extend(refused(resource));
    }
    match (IdFields::new(paths), problems.0.is_empty()) {
        (Some(fields), true) => Ok(IdPlan::Fields(fields)),
        (None, true) => Err(vec![invalid(format!(
            "{} must be 2 to {MAX_MEMBERS} paths to different members; for one member set idField",
            named("idFields")
        ))]),
        (_, false) => Err(problems.0),
    }
}

/// Settings that know ids of one member only.
fn refused(resource: &Resource) -> impl Iterator<Item = Problem> {
    let has_url =
        |part: &'static str| (part, "has ${id}, which cannot be the several members of idFields; set idField, or remove it");
    // With a feed it is the id of the object.
    let detail = (resource.detail.is_some() && resource.feed.is_none()).then(|| has_url("detail.url"));
    let deletes = match &resource.deletes {
        Some(Deletes::Snapshot(Snapshot { confirm: Some(_), .. })) => Some(has_url("deletes.snapshot.confirm.url")),
        Some(Deletes::Feed(_)) => Some((
            "deletes.feed",
            "names records by one member, so they cannot have idFields; set idField, or use deletes.flag or deletes.snapshot",
        )),
        Some(Deletes::Flag(_) | Deletes::Snapshot(_)) | None => None,
    };
    let pages = match &resource.pagination {
        Some(Pagination::LastId(last)) if last.field.is_none() => Some((
            "pagination.lastId.field",
            "must be set where records have idFields; name the member that the parameter takes",
        )),
        _ => None,
    };
    let name = resource.name.clone();
    [detail, deletes, pages].into_iter().flatten().map(move |(part, why)| invalid(format!("{} {why}", field(&name, part))))
}

#[cfg(test)]
#[path = "id_tests.rs"]
mod tests;
