//! What a record says of its dates when a provider says "none" in its own way.

use std::sync::Arc;

use super::*;
use crate::plan::date_format::DateFormat;
use crate::plan::sample;

fn plan(pattern: &str) -> ExtractPlan {
    let mut plan = ExtractPlan::clone(&sample::resource().extract);
    let format = DateFormat::new(Some(pattern), None).unwrap();
    for field in [&mut plan.updated, &mut plan.created].into_iter().flatten() {
        field.format = format.clone();
    }
    plan
}

const CREATED: &str = "2026-11-24T10:00:00Z";

#[test]
fn no_date_is_as_null() {
    let created: DateTime<Utc> = CREATED.parse().unwrap();
    for never in [
        "null",
        r#""""#,
        r#"" ""#,
        r#""null""#,
        "[]",
        "{}",
        "[ ]",
        "false",
        "0",
        "0.0",
        "-1",
        r#""0""#,
        "-62135596800",
        "-62135596800000",
        r#""0001-01-01T00:00:00Z""#,
        r#""1970-01-01T00:00:00Z""#,
        r#""0000-00-00 00:00:00""#,
        r#""9999-12-31T23:59:59Z""#,
        r#""\/Date(-62135596800000)\/""#,
        r#""1900-01-01T00:00:00""#,
        "253402300799999",
    ] {
        for pattern in ["", "milliseconds", "yyyy-MM-dd'T'HH:mm:ssXXX"] {
            let plan = plan(pattern);
            let json = format!(r#"{{"id":1,"updated":{never},"created":"{CREATED}"}}"#);
            let view = RecordReader::new(&plan).read(&json, None).unwrap();
            assert_eq!(view.updated_text, None, "{json} {pattern}");
            assert_eq!((view.version_date(), view.created_date()), (Some(created), Some(created)), "{json} {pattern}");
            assert!(!view.bad_date, "{json} {pattern}");
            let json = format!(r#"{{"id":1,"updated":"{CREATED}","created":{never}}}"#);
            let view = RecordReader::new(&plan).read(&json, None).unwrap();
            assert_eq!((view.version_date(), view.created_date()), (Some(created), None), "{json} {pattern}");
            assert_eq!(view.updated_text.as_deref(), Some(CREATED));
            assert!(!view.bad_date, "{json} {pattern}");
        }
    }
}

#[test]
fn what_is_neither_a_date_nor_none_is_reported() {
    let plan = Arc::new(plan(""));
    for bad in
        [r#""yesterday""#, "true", "5", r#"["2026"]"#, r#"{"value":"2026-11-24T10:00:00Z"}"#, r#""2026-13-01T00:00:00Z""#]
    {
        let json = format!(r#"{{"id":1,"updated":{bad}}}"#);
        let view = RecordReader::new(&plan).read(&json, None).unwrap();
        assert!(view.bad_date && view.version_date().is_none(), "{json}");
    }
}
