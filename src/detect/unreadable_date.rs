//! Dates of records that do not match `datesConfiguration`: how many, where, and what the first of them looks like. Pure.
//!
//! Such a record is delivered and compared by its content. It moves no cursor: what was read of it says nothing about the order of the list.

use std::fmt;

use super::unidentified::rounded;
use crate::api::visible;
use crate::plan::date_format::{DateFormat, DateReading};
use crate::plan::json::scalar_text;
use crate::plan::{DateField, ExtractPlan};

/// Characters of a path that a message shows.
const LONGEST: usize = 80;
/// Patterns that providers use, of which no two read the same text.
const PATTERNS: &[&str] = &[
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd HH:mm",
    "yyyy/MM/dd HH:mm:ss",
    "yyyy/MM/dd",
    "dd.MM.yyyy HH:mm:ss",
    "dd.MM.yyyy",
    "yyyyMMddHHmmss",
    "EEE, dd MMM yyyy HH:mm:ss Z",
    "EEE MMM dd HH:mm:ss Z yyyy",
];

/// Dates that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableDate {
    records: u64,
    /// The field of `datesConfiguration` that has the path, and the one that has the format.
    fields: (&'static str, &'static str),
    path: String,
    fits: Option<Fits>,
}

/// What reads the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    Rfc3339,
    Pattern(&'static str),
}

impl UnreadableDate {
    /// Notes a record that has one.
    pub(super) fn note(noted: &mut Option<Self>, plan: &ExtractPlan, json: &str) {
        match noted {
            Some(noted) => noted.records += 1,
            None => *noted = Self::of(plan, json),
        }
    }

    pub(crate) fn of(plan: &ExtractPlan, json: &str) -> Option<Self> {
        let unread = |field: &Option<DateField>, fields| {
            let field = field.as_ref()?;
            let text = field.path.find(json).map(|sent| scalar_text(sent).unwrap_or_default())?;
            (field.format.read(&text) == DateReading::Unreadable).then(|| Self {
                records: 1,
                fields,
                path: visible::beginning(&field.path.to_string(), LONGEST),
                fits: fits(&text),
            })
        };
        unread(&plan.updated, ("updatedDateField", "updatedDateFormat"))
            .or_else(|| unread(&plan.created, ("createdDateField", "createdDateFormat")))
    }

    /// Adds those of another list of the same resource.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self { records: self.records + other.records, ..self }
    }
}

/// What a user reads of it: field, cause and fix. The number is round, for a status that changes is written.
impl fmt::Display for UnreadableDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, fields: (field, format), path, fits } = self;
        let number = rounded(*records);
        write!(
            f,
            "datesConfiguration.{field}: some records have a value at {path} that does not match {format}, are compared by content and move \
             no cursor ({number} when rows were last listed); "
        )?;
        match fits {
            Some(Fits::Rfc3339) => write!(f, "remove {format}, for these dates are RFC 3339"),
            Some(Fits::Pattern(pattern)) => write!(f, "set {format} to {pattern}"),
            None => write!(f, "correct the field or its format, or the records at the provider"),
        }
    }
}

/// The format of a date, where it can only mean one.
fn fits(text: &str) -> Option<Fits> {
    let reads = |pattern: Option<&str>| {
        DateFormat::new(pattern, None).is_ok_and(|format| matches!(format.read(text), DateReading::At(_)))
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) && matches!(text.len(), 10 | 13) {
        return Some(Fits::Pattern(if text.len() == 10 { "seconds" } else { "milliseconds" }));
    }
    if reads(None) {
        return Some(Fits::Rfc3339);
    }
    PATTERNS.iter().find(|pattern| reads(Some(pattern))).map(|pattern| Fits::Pattern(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::field_path::FieldPath;
    use crate::plan::sample;

    fn said(updated: Option<&str>, records: &[&str]) -> Option<String> {
        let mut plan = ExtractPlan::clone(&sample::resource().extract);
        let dated = |path: &str, format| DateField { path: FieldPath::parse(path).unwrap(), format };
        plan.updated = Some(dated("u", DateFormat::new(updated, None).unwrap()));
        plan.created = Some(dated("c", DateFormat::default()));
        let mut noted = None;
        for json in records {
            UnreadableDate::note(&mut noted, &plan, json);
        }
        noted.map(|noted| noted.to_string())
    }

    #[test]
    fn what_the_date_looks_like_is_named() {
        for (format, value, fix) in [
            (None, "1795170187919", "set updatedDateFormat to milliseconds"),
            (None, r#""1795170187""#, "set updatedDateFormat to seconds"),
            (
                Some("milliseconds"),
                r#""Mon, 30 Nov 2026 10:00:00 GMT""#,
                "set updatedDateFormat to EEE, dd MMM yyyy HH:mm:ss Z",
            ),
            (None, r#""30.11.2026 10:00:00""#, "set updatedDateFormat to dd.MM.yyyy HH:mm:ss"),
            (Some("dd.MM.yyyy"), r#""2026-11-30T10:00:00Z""#, "remove updatedDateFormat, for these dates are RFC 3339"),
            (None, r#""yesterday""#, "correct the field or its format, or the records at the provider"),
            (None, "true", "correct the field or its format, or the records at the provider"),
        ] {
            let said = said(format, &[&format!(r#"{{"id":1,"u":{value}}}"#)]).unwrap();
            assert!(said.ends_with(fix), "{value}: {said}");
        }
    }

    #[test]
    fn the_field_is_the_one_that_has_the_date() {
        assert_eq!(
            said(None, &[r#"{"id":1,"u":null,"c":"soon"}"#, r#"{"id":2,"u":"x"}"#]).unwrap(),
            "datesConfiguration.createdDateField: some records have a value at c that does not match createdDateFormat, are compared by \
             content and move no cursor (up to 10 when rows were last listed); correct the field or its format, or the records at the provider"
        );
        assert_eq!(said(None, &[r#"{"id":1,"u":"2026-11-30T10:00:00Z"}"#]), None);
    }
}
