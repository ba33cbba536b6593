//! The request by which a connector shows whether its provider accepts the credentials, and what the response says of them. Pure.

use chrono::{DateTime, Utc};
use http::StatusCode;

use super::answer::{self, Verdict};
use super::error_shape::{self, Rows};
use super::position::Position;
use super::request;
use crate::api::conditions::Problem;
use crate::egress::{Request, Response};
use crate::plan::{RequestPlan, ResourcePlan, error_rules};

/// The request, without authentication. `resource` is one of the instance's: they all have the same credentials, limits and TLS.
///
/// # Errors
/// `InvalidSpec` when it cannot be sent.
pub fn build(probe: &RequestPlan, resource: &ResourcePlan, now: DateTime<Utc>) -> Result<Request, Problem> {
    request::build(probe, &resource.macros(now), &Position::Start)
}

/// What a response says of the credentials: nothing against them.
///
/// # Errors
/// It does not accept them, sorted by what happens next.
pub fn read(resource: &ResourcePlan, response: &Response, now: DateTime<Utc>) -> Result<(), Problem> {
    let Response { status, headers, body, .. } = response;
    let verdict = match error_rules::meaning(&resource.extract.error_rules, *status, body) {
        Some(means) => answer::by_rule(means, *status, headers, resource.limits.as_deref(), now),
        None => answer::interpret(*status, headers, body, now),
    };
    let accepted = verdict.and_then(|verdict| match verdict {
        Verdict::Body if answer::is_problem_type(headers) || is_error(body) => Err(answer::error_in_response()),
        Verdict::NotModified => Err(answer::unasked_304()),
        Verdict::Body | Verdict::Success | Verdict::NoBody | Verdict::Empty => Ok(()),
    });
    accepted.map_err(|problem| of_probe(problem, *status))
}

fn is_error(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| error_shape::is_error(text, &[], Rows::Absent))
}

/// A problem of the probe, where it speaks of a list.
fn of_probe(problem: Problem, status: StatusCode) -> Problem {
    if !problem.message.starts_with("resources[]") {
        return problem;
    }
    let code = status.as_u16();
    let message = format!(
        "probe of the connector: the provider answered {code}, which does not show that it accepts the credentials; check them, baseUrl, \
         and the probe against its documentation"
    );
    Problem { message, ..problem }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use url::Url;

    use super::*;
    use crate::api::conditions::Reason;
    use crate::plan::sample;

    fn says(status: u16, body: &str) -> Result<(), Problem> {
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: Url::parse("https://api.example.com/me").unwrap(),
        };
        read(&sample::resource(), &response, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_answer_that_is_no_error_accepts_the_credentials() {
        for (status, body) in [(200, "{\"id\":7}"), (200, "[]"), (200, "{\"ok\":true}"), (204, ""), (200, "pong"), (200, "")] {
            assert_eq!(says(status, body), Ok(()), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_names_credentials_or_probe_and_no_list() {
        for (status, body, reason, field) in [
            (401, "", Reason::Unauthorized, "auth: "),
            (403, "", Reason::Forbidden, "auth: "),
            (200, "{\"ok\":false,\"error\":\"invalid_auth\"}", Reason::ErrorInResponse, "probe of the connector: "),
            (404, "{}", Reason::NotFound, "probe of the connector: "),
            (400, "{}", Reason::UnexpectedStatus, "probe of the connector: "),
            (302, "", Reason::RedirectRefused, "probe of the connector: "),
            (500, "", Reason::ProviderError, "baseUrl: "),
        ] {
            let problem = says(status, body).unwrap_err();
            assert_eq!(problem.reason, reason, "{status} {body}");
            assert!(problem.message.starts_with(field) && !problem.message.contains("resources[]"), "{problem}");
        }
    }
}
