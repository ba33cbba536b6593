//! The request for one record that a complete list no longer shows, and what its answer says. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::error_shape::{self, Rows};
use super::one_record;
use super::split::MAX_BODY;
use crate::api::conditions::{Problem, Reaction};
use crate::api::nearest::plain;
use crate::detect::mark;
use crate::detect::sweep::Answer;
use crate::egress::{Limits, Overflow, Request, Response};
use crate::plan::ConfirmPlan;
use crate::plan::id::IdPlan;
use crate::plan::json::{for_each_element, for_each_member};
use crate::plan::template::MacroContext;

/// Objects in a body this deep are looked at for the id: a record is often wrapped.
const DEPTH: u32 = 3;

const LIMITS: Limits =
    Limits { body: MAX_BODY, overflow: Overflow::Discard, first_byte: Duration::from_secs(30), total: Duration::from_mins(1) };

/// The request for the record with this id, without authentication.
///
/// # Errors
/// `InvalidSpec` when id or macros make a URL or header that cannot be sent.
pub fn build(plan: &ConfirmPlan, id: &str, context: &MacroContext<'_>) -> Result<Request, Problem> {
    let at = ("resources[].deletes.snapshot.confirm.url", plan.url.as_slice());
    one_record::build(at, &plan.headers, LIMITS, id, context)
}

/// What a response says about the record with this id. Only a clear one counts.
pub fn read(plan: &ConfirmPlan, id_at: &IdPlan, id: &str, response: &Response, now: DateTime<Utc>) -> Answer {
    let Response { status, headers, body, .. } = response;
    let code = status.as_u16();
    // Some providers say 403 when they are asked too often.
    let is_throttled = matches!(super::answer::interpret(*status, headers, body, now), Err(problem) if problem.reaction == Reaction::Throttled);
    match code {
        200 => std::str::from_utf8(body).map_or(Answer::Unclear, |text| shown(text, id_at, id)),
        _ if plan.gone.contains(&code) && !is_throttled => Answer::Gone,
        _ => Answer::Unclear,
    }
}

/// What a body says that came as a success. Records that were merged into others lead to those, and what was deleted softly or archived may
/// still be shown. An error that is sent as a success, and null, show no record.
fn shown(text: &str, id_at: &IdPlan, id: &str) -> Answer {
    let text = text.trim_start_matches('\u{feff}').trim();
    let Ok(whole) = serde_json::from_str::<&RawValue>(text) else { return Answer::Unclear };
    if *id_at == IdPlan::Key {
        let is_something = whole.get().len() > "null".len();
        return if is_something { Answer::Lives } else { Answer::Unclear };
    }
    let mut found = Found { id_at, id, other: false, record: None };
    found.look(whole.get(), DEPTH);
    match found {
        Found { record: Some(record), .. } if is_marked(record) => Answer::Replaced,
        Found { record: Some(_), .. } => Answer::Lives,
        // An error may have an id of its own.
        Found { other: true, .. } if !error_shape::is_error(text, &[], Rows::Absent) => Answer::Replaced,
        Found { .. } => Answer::Unclear,
    }
}

/// The record in a body.
struct Found<'p, 'b> {
    id_at: &'p IdPlan,
    id: &'p str,
    /// The outermost object that has an id has another one.
    other: bool,
    record: Option<&'b str>,
}

impl<'b> Found<'_, 'b> {
    fn look(&mut self, json: &'b str, depth: u32) {
        if self.record.is_some() || depth == 0 {
            return;
        }
        if json.starts_with('[') {
            for_each_element(json, |element| self.look(element, depth - 1));
        }
        if !json.starts_with('{') {
            return;
        }
        match self.id_at.find(json).and_then(|own| self.id_at.text(&own).map(|own| own == self.id)) {
            Some(true) => self.record = Some(json),
            Some(false) => self.other = true,
            None => for_each_member(json, |_, value| self.look(value, depth - 1)),
        }
    }
}

/// Whether a record says of itself that it is deleted or archived.
fn is_marked(record: &str) -> bool {
    let mut is_marked = false;
    for_each_member(record, |name, value| {
        let name = plain(name);
        let name = name.strip_prefix("is").unwrap_or(&name);
        let says = ["deleted", "removed", "trashed", "archived", "deletedat", "deletedon", "archivedat", "removedat"];
        is_marked |= says.contains(&name) && mark::is_set(value);
    });
    is_marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::date_format::DateFormat;
    use crate::plan::sample;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use url::Url;

    fn plan(gone: &[u16]) -> ConfirmPlan {
        ConfirmPlan {
            url: vec!["https://api.example.com/contacts/".into(), "?fields=id".into()],
            headers: Vec::new(),
            gone: gone.to_vec(),
        }
    }

    #[test]
    fn an_id_stays_in_its_place() {
        let format = DateFormat::default();
        let context = MacroContext {
            since: None,
            now: DateTime::UNIX_EPOCH,
            until: DateTime::UNIX_EPOCH,
            since_format: &format,
            token: None,
        };
        let url = |id: &str| build(&plan(&[404]), id, &context).map(|request| request.url.to_string()).ok();
        let at = |id: &str| Some(format!("https://api.example.com/contacts/{id}?fields=id"));
        assert_eq!(url("42"), at("42"));
        assert_eq!(url("a/b?c#d e"), at("a%2Fb%3Fc%23d%20e"));
        assert_eq!(url("../x"), at("..%2Fx"));
        assert_eq!(url("é%"), at("%C3%A9%25"));
        assert_eq!((url(".."), url(".")), (None, None));
    }

    fn answered(gone: &[u16], status: u16, header: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("retry-after", value.parse().unwrap());
        }
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: Url::parse("https://api.example.com").unwrap(),
        };
        let id_at = &sample::resource().extract.id.clone();
        super::read(&plan(gone), id_at, "7", &response, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_a_clear_answer_counts() {
        let read = |gone: &[u16], status: u16, header: Option<&str>| answered(gone, status, header, r#"{"id":7}"#);
        assert_eq!(read(&[404, 410], 404, None), Answer::Gone);
        assert_eq!(read(&[404, 410], 410, None), Answer::Gone);
        assert_eq!(read(&[404, 410], 200, None), Answer::Lives);
        for status in [201, 204, 301, 304, 400, 401, 403, 429, 500, 503] {
            assert_eq!(read(&[404, 410], status, None), Answer::Unclear, "{status}");
        }
        assert_eq!(read(&[403], 403, None), Answer::Gone);
        assert_eq!(read(&[403], 403, Some("30")), Answer::Unclear, "it was asked too often");
        assert_eq!(read(&[403], 404, None), Answer::Unclear);
    }

    #[test]
    fn a_success_must_show_the_record_that_was_asked_for() {
        for (body, expected) in [
            (r#"{"id":7,"name":"a"}"#, Answer::Lives),
            (r#"{"id":"7"}"#, Answer::Lives),
            (r#"{"data":{"id":7,"owner":{"id":1}}}"#, Answer::Lives),
            (r#"{"contact":{"data":{"id":7}}}"#, Answer::Lives),
            (r#"[{"id":7}]"#, Answer::Lives),
            (r#"{"data":[{"id":1},{"id":7}]}"#, Answer::Lives),
            (r#"{"id":7,"archived":false,"deletedAt":null,"is_deleted":0}"#, Answer::Lives),
            (r#"{"id":1,"name":"the one that it was merged into"}"#, Answer::Replaced),
            (r#"{"data":{"id":1}}"#, Answer::Replaced),
            (r#"{"id":7,"archived":true}"#, Answer::Replaced),
            (r#"{"data":{"id":7,"deleted_at":"2026-11-24T10:00:00Z"}}"#, Answer::Replaced),
            (r#"{"error":{"code":404,"message":"not found"}}"#, Answer::Unclear),
            (r#"{"error":{"id":"req-1","message":"not found"}}"#, Answer::Unclear),
            (r#"{"data":null}"#, Answer::Unclear),
            ("null", Answer::Unclear),
            ("[]", Answer::Unclear),
            ("{}", Answer::Unclear),
            ("", Answer::Unclear),
            ("<html>", Answer::Unclear),
        ] {
            assert_eq!(answered(&[404, 410], 200, None, body), expected, "{body}");
        }
    }
}
