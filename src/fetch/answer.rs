//! What an answer's head means: records, nothing new, or a problem. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::split::{Kind, SplitError};
use crate::api::conditions::{Problem, Reaction, Reason, Remedy};
use crate::api::error_rule::Meaning;
use crate::egress::quota::Quota;
use crate::egress::retry_after::retry_after;
use crate::plan::{LimitsPlan, RecordsAs};

/// How often it is looked whether a quota is renewed of which nothing says when it is.
const LOOK_AT_QUOTA: Duration = Duration::from_hours(1);

/// What an answer's head promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body has the records.
    Body,
    /// 204 or 205: there is no body, and so there are none.
    NoBody,
    /// There are none, as a rule says, or since the list ended before this page.
    Empty,
    /// 304: the list is the same as before.
    NotModified,
}

/// Interprets a response by status and headers.
///
/// # Errors
/// Every status outside 2xx but 304, sorted by what happens next.
pub fn interpret(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Verdict, Problem> {
    let code = status.as_u16();
    let wait = retry_after(headers, now);
    let quota = || Quota::of(headers, now);
    match code {
        204 | 205 => Ok(Verdict::NoBody),
        200..=299 => Ok(Verdict::Body),
        304 => Ok(Verdict::NotModified),
        300..=399 => Err(Problem::human(
            Reason::RedirectRefused,
            format!("resources[].url: the provider answered {code}, a redirect that is not followed; use the URL it leads to"),
        )),
        401 => Err(Problem::human(
            Reason::Unauthorized,
            "auth: the provider answered 401 Unauthorized; check the credentials in the Secret",
        )
        .ended_by(Remedy::RenewedCredentials)),
        403 if wait.is_some() || quota().is_spent() => Err(rate_limited(code, wait.or_else(|| quota().wait()))),
        403 if lacks_scope(headers) => Err(Problem::human(
            Reason::InsufficientScope,
            "auth: the provider answered 403 and says that the token lacks a scope; add it to auth.oauth2.scopes, and give consent \
             again if a person gave it",
        )),
        403 => Err(Problem::human(
            Reason::Forbidden,
            "auth: the provider answered 403 Forbidden; let the credentials read this list",
        )),
        404 | 410 => Err(Problem::human(
            Reason::NotFound,
            format!("resources[].url: the provider answered {code} for the list; check baseUrl and url"),
        )),
        429 => Err(rate_limited(code, wait.or_else(|| quota().wait()))),
        503 if wait.is_some() => Err(rate_limited(code, wait)),
        400 => Err(Problem::human(
            Reason::UnexpectedStatus,
            "resources[].query: the provider answered 400 Bad Request; check url, query, body and the date format of \
             ${since} against its documentation",
        )),
        408 | 425 => Err(Problem::transient(
            Reason::UnexpectedStatus,
            format!("baseUrl: the provider answered {code}; retrying; if this persists, contact the provider"),
        )),
        500..=599 => Err(Problem::transient(
            Reason::ProviderError,
            format!("baseUrl: the provider answered {code}; retrying; if this persists, contact the provider"),
        )),
        _ => Err(Problem::human(
            Reason::UnexpectedStatus,
            format!(
                "resources[].url: the provider answered {code}; check method, url, query and headers against its documentation"
            ),
        )),
    }
}

/// Whether a provider may answer like this to a page behind the last one.
pub(super) fn refuses_a_page(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404 | 410 | 416 | 422)
}

/// The problem of a page after the first, of which `interpret` knows nothing: the list itself is there.
pub(super) fn of_page(problem: Problem, status: StatusCode, page: u32) -> Problem {
    if problem.reaction != Reaction::Human || problem.reason == Reason::InsufficientScope || !refuses_a_page(status) {
        return problem;
    }
    let code = status.as_u16();
    let message = format!(
        "resources[].pagination: the provider answered {code} for page {page}, after pages that it gave; if it lists up to a number of \
         records, set resultCap; if it answers so behind the last page, which is shorter, add {{status: {code}, means: Empty}} to errorRules; \
         else check pagination against its documentation"
    );
    Problem { message, ..problem }
}

/// An answer 202 without records.
pub(super) fn not_prepared(headers: &HeaderMap, now: DateTime<Utc>) -> Problem {
    let problem = Problem::transient(
        Reason::UnexpectedStatus,
        "resources[].url: the provider answered 202 Accepted without records, so the list is not ready yet; retrying. If this persists, \
         check method, url and query against its documentation",
    );
    Problem { retry_after: retry_after(headers, now), ..problem }
}

/// A 304 that nothing asked for.
pub(super) fn unasked_304() -> Problem {
    Problem::transient(
        Reason::UnexpectedStatus,
        "baseUrl: the provider answered 304 to an unconditional request; check any cache in between",
    )
}

/// Whether an answer of this status has a part of what there is (RFC 9110 §15.3.7), or several answers of which some may be errors
/// (RFC 4918 §11.1).
pub fn is_partial(status: StatusCode) -> bool {
    matches!(status.as_u16(), 206 | 207)
}

/// The responses of a first poll have no list.
pub fn hollow_baseline() -> Problem {
    Problem::transient(
        Reason::RecordsNotFound,
        "resources[].recordsPath: the first response has no list at all, so that it does not show which records exist already; retrying. If \
         it is empty and the provider leaves it out, that passes by itself after some polls, or set polling.startFrom to Earliest",
    )
}

/// A page without a list, although the page before it said that one follows: it is no end of the list.
pub fn hollow_page(page: u32) -> Problem {
    Problem::transient(
        Reason::InvalidResponse,
        format!(
            "resources[].pagination: page {page} was announced by the page before it and has no list; retrying; if this persists, \
             contact the provider, or add a rule with means: Empty to errorRules where this is how its lists end"
        ),
    )
}

/// What an answer means to which a rule of the manifest gives this meaning.
///
/// # Errors
/// All meanings but that there are no records.
pub fn by_rule(
    means: Meaning,
    status: StatusCode,
    headers: &HeaderMap,
    limits: Option<&LimitsPlan>,
    now: DateTime<Utc>,
) -> Result<Verdict, Problem> {
    let code = status.as_u16();
    let says = format!("the provider answered {code}, which errorRules take for");
    Err(match means {
        Meaning::Empty => return Ok(Verdict::Empty),
        Meaning::Auth => Problem::human(
            Reason::Unauthorized,
            format!("auth: {says} refused credentials; check the credentials in the Secret"),
        ),
        Meaning::Gone => Problem::human(
            Reason::NotFound,
            format!("resources[].url: {says} a list that does not exist; check baseUrl and url"),
        ),
        Meaning::Retry => Problem::transient(
            Reason::ProviderError,
            format!("baseUrl: {says} a fault that may pass; retrying. If this persists, contact the provider"),
        ),
        Meaning::RateLimited => {
            let wait = retry_after(headers, now).or_else(|| Quota::of(headers, now).wait());
            let text =
                format!("polling.interval: {says} rate limiting; retrying later. Increase the interval if this persists");
            Problem::throttled(Reason::RateLimited, text, wait)
        }
        Meaning::QuotaExhausted => {
            let said = retry_after(headers, now).or_else(|| Quota::of(headers, now).wait());
            let wait = said.or_else(|| limits?.day_ends_in(now)).or(Some(LOOK_AT_QUOTA));
            let text = format!(
                "polling.interval: {says} a quota that is used up; nothing is asked until more is allowed. If this persists, \
                 increase polling.interval, poll fewer resources or raise the quota at the provider"
            );
            Problem::throttled(Reason::RateLimited, text, wait)
        }
        Meaning::Fatal => Problem::human(
            Reason::ErrorInResponse,
            format!("resources[].url: {says} an error that does not pass; check url, query and body against its documentation"),
        ),
    })
}

/// RFC 6750 §3.1.
fn lacks_scope(headers: &HeaderMap) -> bool {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    challenges.into_iter().any(|challenge| challenge.contains("insufficient_scope"))
}

fn rate_limited(code: u16, wait: Option<Duration>) -> Problem {
    Problem::throttled(
        Reason::RateLimited,
        format!(
            "polling.interval: the provider answered {code} to slow down; retrying later. If this persists, increase \
             polling.interval"
        ),
        wait,
    )
}

/// The provider's clock when it answered (`Date`, RFC 9110 §6.6.1).
pub fn server_date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?)
}

/// A header that holds an HTTP date.
pub(super) fn http_date(value: &http::HeaderValue) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok().map(DateTime::from)
}

/// Class of a body's declared type: a closed set, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentClass {
    /// Any JSON type.
    Json,
    /// JSON texts one after another (`application/x-ndjson`, `application/jsonl`, RFC 7464), which are not one list.
    JsonLines,
    /// HTML: a login or error page.
    Html,
    /// XML.
    Xml,
    /// Other text.
    Text,
    /// Anything else.
    Other,
    /// None was declared.
    Undeclared,
}

impl ContentClass {
    /// Reads `Content-Type`.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Undeclared };
        let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            kind if ["ndjson", "jsonl", "json-seq", "jsonlines", "ldjson"].iter().any(|end| kind.ends_with(end)) => {
                Self::JsonLines
            }
            kind if kind.ends_with("json") => Self::Json,
            "text/html" | "application/xhtml+xml" => Self::Html,
            kind if kind.ends_with("/xml") || kind.ends_with("+xml") => Self::Xml,
            kind if kind.starts_with("text/") => Self::Text,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for ContentClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "declared as JSON",
            Self::JsonLines => "declared as many JSON texts, which are not read; ask for one",
            Self::Html => "declared as HTML",
            Self::Xml => "declared as XML",
            Self::Text => "declared as text",
            Self::Other => "declared as another type than JSON",
            Self::Undeclared => "without Content-Type",
        })
    }
}

/// A body that yields no page, as a user sees it: class and byte offset, never content.
pub fn unreadable(error: &SplitError, class: ContentClass, form: RecordsAs) -> Problem {
    match error {
        SplitError::Empty => invalid(&format!("the answer ({class}) has an empty body; check url, query and auth")),
        SplitError::Encoding { at } => {
            invalid(&format!("the answer ({class}) is not UTF-8 at byte {at}; check url and headers"))
        }
        SplitError::Malformed(error) if class == ContentClass::Html => {
            invalid(&format!("the answer is an HTML page, not JSON (at byte {}); check baseUrl, url and auth", error.at))
        }
        SplitError::Malformed(error) => invalid(&format!(
            "the answer ({class}) is not JSON that can be read: {} at byte {}; check baseUrl and url",
            error.fault, error.at
        )),
        SplitError::Null { at } => {
            invalid(&format!("the answer has null at byte {at} where its records should be; check query, or set recordsPath"))
        }
        SplitError::BodyTooLarge => too_large("the answer is larger than 32 MiB; ask for fewer records a page"),
        SplitError::TooManyRecords => too_large("the answer has more than 500,000 records; ask for fewer records a page"),
        SplitError::RecordTooLarge { at } => too_large(&format!(
            "the record at byte {at} is larger than 1 MiB; ask for fewer fields with query, or correct recordsPath"
        )),
        SplitError::Missing { root: Kind::Array, .. } => {
            not_found("the answer itself is the array of records; remove recordsPath")
        }
        SplitError::Missing { arrays, .. } => {
            not_found(&format!("it leads to nothing in the answer{}; correct it", listed(arrays)))
        }
        SplitError::WrongKind { found } => not_found(match (found, form) {
            (Kind::Object, _) => {
                "it leads to an object, not to an array; set recordsAs: Map if its members are the records, else correct it"
            }
            (Kind::Array, _) => "it leads to an array, not to a map of records; set recordsAs: List",
            (Kind::Scalar, RecordsAs::List) => "it leads to a single value, not to an array of records; correct it",
            (Kind::Scalar, RecordsAs::Map) => "it leads to a single value, not to a map of records; correct it",
        }),
        SplitError::Moved { arrays } => not_found(&format!(
            "the records are no longer where they were{}; set recordsPath to where they are now",
            listed(arrays)
        )),
        SplitError::ErrorAnswer => error_in_response(),
        SplitError::Partial { member } => Problem::transient(
            Reason::ErrorInResponse,
            format!(
                "resources[].query: the provider's answer says that records are missing from it ({member}), so nothing of it is used; \
                 retrying. If this persists, filter with query or lower pageSize, so that the provider can answer in full"
            ),
        ),
        SplitError::Undecided { arrays } if arrays.is_empty() => {
            not_found("the answer has no array of records; check url and query, or set recordsPath to the array")
        }
        SplitError::Undecided { arrays } => {
            not_found(&format!("the answer does not say which array has the records{}; set recordsPath to one", listed(arrays)))
        }
    }
}

/// The type of a body that describes a problem (RFC 9457), whatever its status.
pub(super) fn is_problem_type(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.starts_with("application/problem+") || kind.starts_with("application/vnd.error+")
}

/// An answer of status 200 that holds an error.
pub(super) fn error_in_response() -> Problem {
    Problem::transient(
        Reason::ErrorInResponse,
        "resources[].url: the provider answered 200, but the answer says that something went wrong; retrying. If this persists, \
         check url, query, body and auth against its documentation, or, if these are the records, set recordsPath",
    )
}

/// A body of no bytes whose length is declared: it was not cut off.
pub(super) fn is_declared_empty(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0")
        && ContentClass::of(headers) != ContentClass::Html
}

fn listed(arrays: &[String]) -> String {
    if arrays.is_empty() { String::new() } else { format!(" (arrays found: {})", arrays.join(", ")) }
}

fn invalid(text: &str) -> Problem {
    Problem::transient(Reason::InvalidResponse, format!("resources[].url: {text}"))
}

fn too_large(text: &str) -> Problem {
    Problem::human(Reason::ResponseTooLarge, format!("resources[].pageSize: {text}"))
}

fn not_found(text: &str) -> Problem {
    Problem::human(Reason::RecordsNotFound, format!("resources[].recordsPath: {text}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::fetch::scan::{Fault, ScanError};

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn judged(code: u16, pairs: &[(&'static str, &'static str)]) -> Result<Verdict, Problem> {
        interpret(StatusCode::from_u16(code).unwrap(), &headers(pairs), now())
    }

    #[test]
    fn sorts_statuses_by_what_happens_next() {
        assert_eq!(judged(200, &[]), Ok(Verdict::Body));
        assert_eq!(judged(206, &[]), Ok(Verdict::Body));
        assert_eq!(judged(204, &[]), Ok(Verdict::NoBody));
        assert_eq!(judged(304, &[]), Ok(Verdict::NotModified));
        for (code, reason, reaction) in [
            (301, Reason::RedirectRefused, Reaction::Human),
            (400, Reason::UnexpectedStatus, Reaction::Human),
            (401, Reason::Unauthorized, Reaction::Human),
            (403, Reason::Forbidden, Reaction::Human),
            (404, Reason::NotFound, Reaction::Human),
            (408, Reason::UnexpectedStatus, Reaction::Transient),
            (410, Reason::NotFound, Reaction::Human),
            (418, Reason::UnexpectedStatus, Reaction::Human),
            (429, Reason::RateLimited, Reaction::Throttled),
            (500, Reason::ProviderError, Reaction::Transient),
            (503, Reason::ProviderError, Reaction::Transient),
            (599, Reason::ProviderError, Reaction::Transient),
        ] {
            let problem = judged(code, &[]).unwrap_err();
            assert_eq!((problem.reason, problem.reaction), (reason, reaction), "{code}");
            assert_eq!(problem.retry_after, None);
        }
    }

    #[test]
    fn hears_how_long_to_wait() {
        let wait = |code, pairs: &[(&'static str, &'static str)]| {
            let problem = judged(code, pairs).unwrap_err();
            assert_eq!(problem.reason, Reason::RateLimited, "{code} {pairs:?}");
            problem.retry_after.map(|d| d.as_secs())
        };
        assert_eq!(wait(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(wait(429, &[("retry-after", "Fri, 02 Jan 2026 03:05:05 GMT")]), Some(60));
        assert_eq!(wait(503, &[("retry-after", "120")]), Some(120));
        assert_eq!(wait(403, &[("retry-after", "1")]), Some(1));
        assert_eq!(wait(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323055")]), Some(10));
        assert_eq!(wait(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")]), Some(30));
        assert_eq!(wait(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000001")]), Some(0));
        assert_eq!(wait(429, &[("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "30")]), None);
        assert_eq!(judged(403, &[("x-ratelimit-remaining", "10")]).unwrap_err().reason, Reason::Forbidden);
    }

    #[test]
    fn reads_the_providers_clock() {
        assert_eq!(server_date(&headers(&[("date", "Fri, 02 Jan 2026 03:04:05 GMT")])), Some(now()));
        assert_eq!(server_date(&headers(&[("date", "yesterday")])), None);
        assert_eq!(server_date(&headers(&[])), None);
    }

    #[test]
    fn knows_the_class_of_a_body() {
        for (kind, class) in [
            ("application/json", ContentClass::Json),
            ("application/hal+json; charset=utf-8", ContentClass::Json),
            ("application/x-ndjson", ContentClass::JsonLines),
            ("application/jsonl; charset=utf-8", ContentClass::JsonLines),
            ("TEXT/HTML; charset=x", ContentClass::Html),
            ("application/atom+xml", ContentClass::Xml),
            ("text/csv", ContentClass::Text),
            ("image/png", ContentClass::Other),
        ] {
            assert_eq!(ContentClass::of(&headers(&[("content-type", kind)])), class, "{kind}");
        }
        assert_eq!(ContentClass::of(&headers(&[])), ContentClass::Undeclared);
    }

    #[test]
    fn tells_what_to_do_about_a_body() {
        let told = |error: SplitError| unreadable(&error, ContentClass::Html, RecordsAs::List).to_string();
        let malformed = SplitError::Malformed(ScanError { at: 0, fault: Fault::Syntax });
        assert_eq!(
            told(malformed.clone()),
            "InvalidResponse: resources[].url: the answer is an HTML page, not JSON (at byte 0); check baseUrl, url and auth"
        );
        assert_eq!(
            unreadable(&malformed, ContentClass::Json, RecordsAs::List).message,
            "resources[].url: the answer (declared as JSON) is not JSON that can be read: it has a character out of place \
             at byte 0; check baseUrl and url"
        );
        assert_eq!(
            told(SplitError::Undecided { arrays: vec!["data".into(), "r.docs".into()] }),
            "RecordsNotFound: resources[].recordsPath: the answer does not say which array has the records (arrays found: \
             data, r.docs); set recordsPath to one"
        );
        assert!(told(SplitError::Undecided { arrays: vec![] }).contains("has no array"));
        assert!(told(SplitError::Missing { root: Kind::Array, arrays: vec![] }).ends_with("remove recordsPath"));
        assert!(told(SplitError::Null { at: 8 }).starts_with("InvalidResponse"));
        assert!(told(SplitError::RecordTooLarge { at: 8 }).starts_with("ResponseTooLarge"));
    }
}
