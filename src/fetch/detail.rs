//! The request for the whole record before its event is sent, and what the response says. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::answer::{self, ContentClass, Verdict};
use super::one_record;
use crate::api::conditions::{Problem, Reason};
use crate::api::error_rule::Meaning;
use crate::egress::{Limits, Overflow, Request, Response};
use crate::plan::date_format::{DateReading, Zeros};
use crate::plan::json::scalar_text;
use crate::plan::template::MacroContext;
use crate::plan::{ChangeBy, DateField, DetailPlan, RecordsAs, ResourcePlan, error_rules};

/// Bytes of one record that are still read.
const MAX_RECORD: usize = 1 << 20;
/// Bytes of a response in addition to its record.
const ENVELOPE: usize = 64 * 1024;
const LIMITS: Limits = Limits {
    body: MAX_RECORD + ENVELOPE,
    overflow: Overflow::Refuse,
    first_byte: Duration::from_secs(30),
    total: Duration::from_mins(1),
};

/// What a response says of a record that the list has.
#[derive(Clone, Debug)]
pub enum Detail {
    /// The record, byte for byte.
    Record(Box<RawValue>),
    /// There is none: it was deleted since, or it is not there yet.
    Missing,
}

/// The request for the record with this id, without authentication.
///
/// # Errors
/// `InvalidSpec` when id or macros make a URL or header that cannot be sent.
pub fn build(plan: &DetailPlan, id: &str, context: &MacroContext<'_>) -> Result<Request, Problem> {
    one_record::build(("resources[].detail.url", &plan.url), &plan.headers, LIMITS, id, context)
}

/// What a response says of the record with this id.
///
/// # Errors
/// It says nothing of the record, sorted by what happens next; a record that is another one.
pub fn read(
    resource: &ResourcePlan,
    plan: &DetailPlan,
    id: &str,
    response: &Response,
    now: DateTime<Utc>,
) -> Result<Detail, Problem> {
    let Response { status, headers, body, .. } = response;
    let verdict = match error_rules::meaning(&resource.extract.error_rules, *status, body) {
        Some(Meaning::Gone) => return Ok(Detail::Missing),
        Some(means) => answer::by_rule(means, *status, headers, resource.limits.as_deref(), now),
        None if matches!(status.as_u16(), 404 | 410) => return Ok(Detail::Missing),
        None => answer::interpret(*status, headers, body, now),
    };
    let verdict = verdict?;
    match verdict {
        Verdict::Body | Verdict::Success => {}
        Verdict::Empty | Verdict::NoBody => return Ok(Detail::Missing),
        Verdict::NotModified => return Err(answer::unasked_304()),
    }
    if verdict == Verdict::Body && answer::is_problem_type(headers) {
        return Err(answer::error_in_response());
    }
    record(resource, plan, id, body).map(Detail::Record).ok_or_else(|| {
        let class = ContentClass::of(headers);
        Problem::human(
            Reason::InvalidResponse,
            format!(
                "detail: the response ({class}) has no record with the id that was asked for; set detail.recordPath to the path of the \
                 record, and check detail.url"
            ),
        )
    })
}

/// The record in a body. An error that is sent as a success has no id, and another record has another one.
fn record(resource: &ResourcePlan, plan: &DetailPlan, id: &str, body: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim();
    // All of it is JSON, or the path could lead into what is cut off.
    let whole: &RawValue = serde_json::from_str(text).ok()?;
    let json = match &plan.record {
        Some(path) => path.find(whole.get())?,
        None => whole.get(),
    };
    let says_id = resource.feed.is_none() && resource.extract.records_as == RecordsAs::List;
    let id_at = &resource.extract.id;
    if says_id && id_at.find(json).is_none_or(|own| id_at.text(&own).is_none_or(|own| own != id)) {
        return None;
    }
    (json.starts_with('{') && json.len() <= MAX_RECORD).then(|| RawValue::from_string(json.to_owned()).ok()).flatten()
}

/// Whether a record is an older version than the row of `listed`, as a server shows that lags behind the one of the list. Only what a date of
/// change cannot stand for any more is older: it may be less exact than that of the row.
pub fn is_older(resource: &ResourcePlan, json: &str, listed: Option<DateTime<Utc>>) -> bool {
    if resource.feed.is_some() || resource.change_by != ChangeBy::Updated {
        return false;
    }
    let end = |field: &Option<DateField>| {
        let field = field.as_ref()?;
        match field.format.read_written(&scalar_text(field.path.find(json)?)?) {
            DateReading::At(date) => Some(field.format.end_of(&date, Zeros::Any)),
            DateReading::Never | DateReading::Unreadable => None,
        }
    };
    let (updated, created) = (end(&resource.extract.updated), end(&resource.extract.created));
    updated.zip(listed).is_some_and(|(updated, listed)| created.max(Some(updated)) <= Some(listed))
}

/// What to report of records that are older than their rows.
pub fn older() -> Problem {
    Problem::transient(
        Reason::InvalidResponse,
        "detail: the record is an older version than its row in the list; its event waits for up to 10 minutes and is then sent with what \
         the provider has; if this persists, contact the provider, or remove detail",
    )
}

/// What to report of a record that cannot be read.
pub fn explained(problem: Problem) -> Problem {
    if problem.message.starts_with("detail") {
        return problem;
    }
    Problem { message: format!("detail: a record cannot be read: {}", problem.message), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reaction;
    use crate::plan::date_format::DateFormat;
    use crate::plan::field_path::FieldPath;
    use crate::plan::sample;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use url::Url;

    fn plan(record: Option<&str>) -> DetailPlan {
        let url = vec!["https://api.example.com/contacts/".into(), "".into()];
        DetailPlan { url, headers: Vec::new(), record: record.map(|path| FieldPath::parse(path).unwrap()) }
    }

    fn answered(status: u16, body: &str, record: Option<&str>) -> Result<Option<String>, (Reaction, Reason)> {
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: Url::parse("https://api.example.com").unwrap(),
        };
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        match read(&sample::resource(), &plan(record), "9007199254740993", &response, now) {
            Ok(Detail::Record(json)) => Ok(Some(json.get().to_owned())),
            Ok(Detail::Missing) => Ok(None),
            Err(problem) => Err((problem.reaction, problem.reason)),
        }
    }

    #[test]
    fn the_record_is_taken_byte_for_byte_where_it_is_and_no_other_one() {
        let record = r#"{"id": 9007199254740993, "price": 1.10}"#;
        assert_eq!(answered(200, record, None), Ok(Some(record.to_owned())));
        assert_eq!(answered(200, &format!("\u{feff} {record} "), None), Ok(Some(record.to_owned())));
        assert_eq!(
            answered(200, &format!(r#"{{"data": {{"contact": {record}}}}}"#), Some("data.contact")),
            Ok(Some(record.to_owned()))
        );
        let quoted = record.replace("9007199254740993", r#""9007199254740993""#);
        assert_eq!(answered(200, &quoted, None), Ok(Some(quoted.clone())), "1 and \"1\" are the same id");
        let unusable = Err((Reaction::Human, Reason::InvalidResponse));
        for body in [
            r#"{"id": 9007199254740992}"#,
            r#"{"error": "try later"}"#,
            r#"[{"id": 9007199254740993}]"#,
            r#"{"id": 9007199254740993"#,
            "<html>",
            "",
            "null",
        ] {
            assert_eq!(answered(200, body, None), unusable, "{body}");
        }
        assert_eq!(answered(200, record, Some("data")), unusable);
    }

    #[test]
    fn a_status_says_whether_the_record_is_missing_or_the_request_failed() {
        for status in [404, 410, 204] {
            assert_eq!(answered(status, "", None), Ok(None), "{status}");
        }
        for (status, expected) in [
            (401, (Reaction::Human, Reason::Unauthorized)),
            (403, (Reaction::Human, Reason::Forbidden)),
            (429, (Reaction::Throttled, Reason::RateLimited)),
            (500, (Reaction::Transient, Reason::ProviderError)),
            (304, (Reaction::Transient, Reason::UnexpectedStatus)),
        ] {
            assert_eq!(answered(status, "", None), Err(expected), "{status}");
        }
    }

    #[test]
    fn a_record_is_older_only_where_no_reading_of_its_date_reaches_the_row() {
        let resource = sample::resource();
        let older = |json: &str| is_older(&resource, json, "2026-11-24T10:00:05.300Z".parse().ok());
        for (json, expected) in [
            (r#"{"id":1,"updated":"2026-11-24T10:00:04Z"}"#, true),
            (r#"{"id":1,"updated":"2026-11-24T10:00:04.299Z"}"#, true),
            (r#"{"id":1,"updated":"2026-11-24T10:00:05.299Z"}"#, false),
            (r#"{"id":1,"updated":"2026-11-24T10:00:05.3Z"}"#, false),
            (r#"{"id":1,"updated":"2026-11-24T10:00:05Z"}"#, false),
            (r#"{"id":1,"updated":"2026-11-24T10:00:00Z"}"#, false),
            (r#"{"id":1,"updated":"2026-11-24T10:00:06Z"}"#, false),
            (r#"{"id":1,"updated":"2026-11-24T09:00:01Z","created":"2026-11-24T10:00:07Z"}"#, false),
            (r#"{"id":1,"created":"2026-11-24T09:00:01Z"}"#, false),
            (r#"{"id":1,"updated":"yesterday"}"#, false),
            (r#"{"id":1}"#, false),
        ] {
            assert_eq!(older(json), expected, "{json}");
        }
        assert!(!is_older(&resource, r#"{"updated":"2026-11-24T09:00:04Z"}"#, None));
        let by_created = ResourcePlan { change_by: ChangeBy::Created, ..sample::resource() };
        assert!(!is_older(&by_created, r#"{"updated":"2026-11-24T09:00:04Z"}"#, "2026-11-24T10:00:05Z".parse().ok()));
    }

    #[test]
    fn an_id_is_one_segment_of_the_path() {
        let format = DateFormat::default();
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        let context = MacroContext { since: None, now, until: now, since_format: &format, token: None };
        let url = build(&plan(None), "a/b?c", &context).unwrap().url;
        assert_eq!(url.as_str(), "https://api.example.com/contacts/a%2Fb%3Fc");
        assert_eq!(build(&plan(None), "..", &context).unwrap_err().reason, Reason::InvalidSpec);
    }
}
