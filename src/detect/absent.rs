//! A date field that no record of a listing has: its name is most likely misspelt. Pure.
//!
//! Some servers leave the updated date out until a record is changed. So a field that all records lack is reported only where a field with
//! a similar name is seen, or where the records have no date at all.

use std::fmt;

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
    /// Notes which of them a record has, as its view was read from `json`.
    pub(super) fn note(&mut self, plan: &ExtractPlan, view: &RecordView<'_>, json: &str) {
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
    use crate::plan::sample;

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
