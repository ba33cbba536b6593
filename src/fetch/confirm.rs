//! The request for one record that a complete list no longer shows, and what its answer says. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use super::one_record;
use super::split::MAX_BODY;
use crate::api::conditions::{Problem, Reaction};
use crate::detect::sweep::Answer;
use crate::egress::{Limits, Overflow, Request};
use crate::plan::ConfirmPlan;
use crate::plan::template::MacroContext;

/// The body says nothing that counts.
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

/// What an answer says about the record. Only a clear one counts.
pub fn read(plan: &ConfirmPlan, status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Answer {
    let code = status.as_u16();
    // Some providers say 403 when they are asked too often.
    let is_throttled =
        matches!(super::answer::interpret(status, headers, now), Err(problem) if problem.reaction == Reaction::Throttled);
    match code {
        200 => Answer::Lives,
        _ if plan.gone.contains(&code) && !is_throttled => Answer::Gone,
        _ => Answer::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::date_format::DateFormat;

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

    #[test]
    fn only_a_clear_answer_counts() {
        let read = |gone: &[u16], status: u16, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("retry-after", value.parse().unwrap());
            }
            super::read(&plan(gone), StatusCode::from_u16(status).unwrap(), &headers, DateTime::UNIX_EPOCH)
        };
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
}
