//! A field that no record of a listing has, though the plan names it: it is most likely misspelt. Pure.
//!
//! Some servers leave the updated date out until a record is changed. So a field that all records lack is reported only where a field with
//! a similar name is seen, or where the records have no date at all.

use std::fmt;

use super::mark::Mark;
use super::record::RecordView;
use crate::api::nearest::nearest;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_member, member};
use crate::plan::{DateField, ExtractPlan};

/// A date field that no record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentDate {
    /// The field of `datesConfiguration` that names it.
    pub field: &'static str,
    /// The path that it says.
    pub path: String,
    /// A path that the first record has and that it most likely stands for.
    pub near: Option<String>,
}

/// What a user reads of it: field, cause and fix.
impl fmt::Display for AbsentDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, path, near } = self;
        write!(f, "datesConfiguration.{field}: no record has {path}; ")?;
        match near {
            Some(near) => write!(f, "did you mean {near}?"),
            None => f.write_str("correct the name, or remove the field from datesConfiguration"),
        }
    }
}

/// Which date fields the records of a listing have.
#[derive(Clone, Debug, Default)]
pub(super) struct DateFields {
    /// Another listing has begun. One that shows nothing says no more than the one before.
    is_over: bool,
    records: u64,
    updated: Field,
    created: Field,
}

#[derive(Clone, Debug, Default)]
struct Field {
    /// A record has it.
    is_there: bool,
    /// What the first record has instead.
    near: Option<String>,
}

impl DateFields {
    /// Another listing begins.
    pub(super) fn begin_listing(&mut self) {
        self.is_over = true;
    }

    /// Notes which of them a record has, as its view was read from `json`.
    pub(super) fn note(&mut self, plan: &ExtractPlan, view: &RecordView<'_>, json: &str) {
        if std::mem::take(&mut self.is_over) {
            *self = Self::default();
        }
        let is_first = self.records == 0;
        self.records += 1;
        for (field, own, is_there) in [
            (&plan.updated, &mut self.updated, view.has_updated_field),
            (&plan.created, &mut self.created, view.has_created_field),
        ] {
            own.is_there |= is_there;
            if is_first && !is_there {
                own.near = field.as_ref().and_then(|field| like(&field.path, json));
            }
        }
    }

    /// The field that is most likely misspelt, once all records of the listing were noted.
    pub(super) fn absent(&self, plan: &ExtractPlan) -> Option<AbsentDate> {
        let is_dated = self.updated.is_there || self.created.is_there;
        let absent = |name, field: &Option<DateField>, own: &Field| {
            let field = field.as_ref().filter(|_| self.records > 0 && !own.is_there && (own.near.is_some() || !is_dated))?;
            Some(AbsentDate { field: name, path: field.path.to_string(), near: own.near.clone() })
        };
        absent("updatedDateField", &plan.updated, &self.updated)
            .or_else(|| absent("createdDateField", &plan.created, &self.created))
    }
}

/// The field of the mark of deleted records, which no record has, while they have one of a similar name. Many providers mark deleted
/// records alone, so that none has it says nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentMark {
    /// The path that `deletes.flag.field` says.
    pub path: String,
    /// A path that the first record has and that it most likely stands for.
    pub near: String,
}

/// What a user reads of it: field, cause and fix.
impl fmt::Display for AbsentMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, near } = self;
        write!(f, "deletes.flag.field: no record has {path}, so no deletion is recognized; did you mean {near}?")
    }
}

/// Whether the records of a listing have the mark of deleted records.
#[derive(Clone, Debug, Default)]
pub(super) struct MarkField {
    /// As that of [`DateFields`].
    is_over: bool,
    records: u64,
    own: Field,
}

impl MarkField {
    /// Another listing begins.
    pub(super) fn begin_listing(&mut self) {
        self.is_over = true;
    }

    /// Notes whether a record has it, as its view was read from `json`.
    pub(super) fn note(&mut self, plan: &ExtractPlan, view: &RecordView<'_>, json: &str) {
        let Some(flag) = &plan.deleted else { return };
        if std::mem::take(&mut self.is_over) {
            *self = Self::default();
        }
        let is_there = view.mark != Mark::Absent;
        self.own.is_there |= is_there;
        if self.records == 0 && !is_there {
            self.own.near = same(&flag.path, json).or_else(|| like(&flag.path, json));
        }
        self.records += 1;
    }

    /// The field that is most likely misspelt, once all records of the listing were noted.
    pub(super) fn absent(&self, plan: &ExtractPlan) -> Option<AbsentMark> {
        let near = self.own.near.clone().filter(|_| !self.own.is_there)?;
        Some(AbsentMark { path: plan.deleted.as_ref()?.path.to_string(), near })
    }

    /// No record has it, and none has one of a similar name, either.
    pub(super) fn is_unseen(&self, plan: &ExtractPlan) -> bool {
        plan.deleted.is_some() && self.records > 0 && !self.own.is_there && self.own.near.is_none()
    }
}

/// The path in a record that says the same as `path` in another spelling, such as `isDeleted` for `is_deleted`, or `metadata.deleted` for
/// `meta.deleted`.
fn same(path: &FieldPath, json: &str) -> Option<String> {
    let mut at = json;
    let mut told = String::new();
    for segment in path.segments() {
        let Segment::Key(key) = segment else { return None };
        let wanted = plain(key);
        let (mut found, mut longer) = (None, None);
        for_each_member(at, |name, value| {
            let name_is = plain(name);
            if found.is_none() && name_is == wanted {
                found = Some((name.to_owned(), value));
            }
            let begins =
                wanted.len() > 2 && name_is.len() > 2 && (name_is.starts_with(&wanted) || wanted.starts_with(&name_is));
            if longer.is_none() && begins && value.starts_with('{') {
                longer = Some((name.to_owned(), value));
            }
        });
        let (name, below) = found.or(longer)?;
        if !told.is_empty() {
            told.push('.');
        }
        told.push_str(&name);
        at = below;
    }
    Some(told)
}

/// A name without its spelling.
fn plain(name: &str) -> String {
    let letters: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    letters.strip_prefix("is").map(str::to_owned).unwrap_or(letters)
}

/// The path in a record that differs from `path` by one name, which is near.
fn like(path: &FieldPath, json: &str) -> Option<String> {
    let mut at = json;
    let mut told = String::new();
    for segment in path.segments() {
        let Segment::Key(key) = segment else { return None };
        if !told.is_empty() {
            told.push('.');
        }
        if let Some(below) = member(at, key) {
            told.push_str(key);
            at = below;
            continue;
        }
        let mut names = Vec::new();
        for_each_member(at, |name, _| names.push(name.to_owned()));
        let near = nearest(key, names.iter().map(String::as_str))?;
        return Some(told + near);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::record::RecordReader;
    use crate::plan::{DeletedFlag, sample};

    fn absent(updated: &str, created: Option<&str>, records: &[&str]) -> Option<AbsentDate> {
        let mut plan = ExtractPlan::clone(&sample::resource().extract);
        let named = |path: &str| DateField { path: FieldPath::parse(path).unwrap(), ..plan.updated.clone().unwrap() };
        (plan.created, plan.updated) = (created.map(named), Some(named(updated)));
        let reader = RecordReader::new(&plan);
        let mut fields = DateFields::default();
        for json in records {
            fields.note(&plan, &reader.read(json, None).unwrap(), json);
        }
        fields.absent(&plan)
    }

    fn told(field: &'static str, path: &str, near: Option<&str>) -> AbsentDate {
        AbsentDate { field, path: path.into(), near: near.map(str::to_owned) }
    }

    #[test]
    fn a_mark_is_missed_where_records_have_one_that_is_spelt_otherwise() {
        let absent = |path: &str, records: &[&str]| {
            let mut plan = ExtractPlan::clone(&sample::resource().extract);
            plan.deleted = Some(DeletedFlag { path: FieldPath::parse(path).unwrap(), value: None });
            let reader = RecordReader::new(&plan);
            let mut field = MarkField::default();
            for json in records {
                field.note(&plan, &reader.read(json, None).unwrap(), json);
            }
            (field.absent(&plan).map(|absent| absent.near), field.is_unseen(&plan))
        };
        for (path, record, near) in [
            ("is_deleted", r#"{"id":1,"isDeleted":false}"#, "isDeleted"),
            ("deleted", r#"{"id":1,"is_deleted":false}"#, "is_deleted"),
            ("meta.deleted", r#"{"id":1,"metadata":{"deleted":false}}"#, "metadata.deleted"),
            ("delted", r#"{"id":1,"deleted":false}"#, "deleted"),
        ] {
            assert_eq!(absent(path, &[record]), (Some(near.to_owned()), false), "{path}");
        }
        for (path, record) in [
            ("deleted", r#"{"id":1}"#),
            ("deleted", r#"{"id":1,"deletable":true}"#),
            ("deleted", r#"{"id":1,"owner":{"deleted":false}}"#),
            ("meta.deleted", r#"{"id":1,"metadata":{"size":1}}"#),
        ] {
            assert_eq!(absent(path, &[record]), (None, true), "{path} {record}: deleted records alone may have it");
        }
        let tombstone = r#"{"id":2,"is_deleted":true}"#;
        assert_eq!(absent("is_deleted", &[r#"{"id":1,"isDeleted":false}"#, tombstone]), (None, false));
    }

    #[test]
    fn a_field_that_no_record_has_is_told_with_what_it_stands_for() {
        let records = [r#"{"id":1,"modified":"2026-01-01T00:00:00Z"}"#, r#"{"id":2,"modified":null}"#];
        assert_eq!(absent("modified", None, &records), None);
        assert_eq!(absent("modfied", None, &records), Some(told("updatedDateField", "modfied", Some("modified"))));
        assert_eq!(absent("changed_on", None, &records), Some(told("updatedDateField", "changed_on", None)), "no date at all");
        assert_eq!(
            absent("modified", Some("creatd"), &[r#"{"id":1,"modified":1,"created":1}"#]),
            Some(told("createdDateField", "creatd", Some("created")))
        );
        assert_eq!(absent("modfied", None, &[]), None, "nothing was seen");
    }

    #[test]
    fn a_nested_name_is_compared_where_it_stands() {
        let records = [r#"{"id":1,"meta":{"updatedAt":"x"},"updated":"x"}"#];
        assert_eq!(
            absent("meta.updated_at", None, &records),
            Some(told("updatedDateField", "meta.updated_at", Some("meta.updatedAt")))
        );
        assert_eq!(absent("mta.updatedAt", None, &records), Some(told("updatedDateField", "mta.updatedAt", Some("meta"))));
    }

    #[test]
    fn a_date_that_records_get_when_they_change_is_not_missed() {
        let never_changed = [r#"{"id":1,"created":"x"}"#, r#"{"id":2,"created":"x"}"#];
        assert_eq!(absent("changed_on", Some("created"), &never_changed), None);
        let changed = [never_changed[0], r#"{"id":2,"created":"x","modified":"x"}"#];
        assert_eq!(absent("modified", Some("created"), &changed), None);
        assert_eq!(absent("modified", None, &[r#"{"id":1}"#, changed[1]]), None, "one record has it");
    }
}
