//! What an answer's head means: records, nothing new, or a problem. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::api::conditions::{Problem, Reaction, Reason, Remedy};
use crate::api::error_rule::Meaning;
use crate::api::nearest::plain;
use crate::api::visible;
use crate::egress::quota::Quota;
use crate::egress::retry_after::retry_after;
use crate::plan::LimitsPlan;

/// How often it is looked whether a quota is renewed of which nothing says when it is.
const LOOK_AT_QUOTA: Duration = Duration::from_hours(1);

/// Characters of a path that a message shows.
const LONGEST_PATH: usize = 80;
/// Bytes of a refusal that are looked through for words.
const LONGEST_REFUSAL: usize = 4_096;

/// What an answer's head promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body has the records.
    Body,
    /// The same, as a rule says, whatever in it looks like an error.
    Success,
    /// 204 or 205: there is no body, and so there are none.
    NoBody,
    /// There are none, as a rule says, or since the list ended before this page.
    Empty,
    /// 304: the list is the same as before.
    NotModified,
}

/// Interprets a response by status and headers, and a refusal also by its words.
///
/// # Errors
/// Every status outside 2xx but 304, sorted by what happens next.
pub fn interpret(status: StatusCode, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Verdict, Problem> {
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
        400 | 403 | 405..=428 | 430..=499 if says_too_many(body) => Err(rate_limited(code, wait.or_else(|| quota().wait()))),
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

/// Whether the text of a refusal says that there were too many requests: some providers have no other word for it than 400 or 403 (Google's
/// `userRateLimitExceeded`, Salesforce's `REQUEST_LIMIT_EXCEEDED`, GitHub's secondary rate limit, AWS' `ThrottlingException`).
fn says_too_many(body: &[u8]) -> bool {
    const WORDS: [&str; 6] = ["ratelimit", "toomanyrequests", "throttl", "overqps", "requestlimitexceeded", "quotaexceeded"];
    let beginning = body.get(..LONGEST_REFUSAL).unwrap_or(body);
    let letters = plain(&String::from_utf8_lossy(beginning));
    WORDS.iter().any(|word| letters.contains(word))
}

/// Whether a provider may answer like this to a page behind the last one.
pub(super) fn refuses_a_page(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404 | 410 | 416 | 422)
}

/// The problem of the first page, where its URL is most likely wrong: the path of the base URL is there twice.
pub(super) fn of_url(problem: Problem, url: &Url) -> Problem {
    let Some(twice) = repeated_path(url).filter(|_| problem.reason == Reason::NotFound) else { return problem };
    let message = format!("{}; its path begins with {twice} twice, once from baseUrl: remove it from url", problem.message);
    Problem { message, ..problem }
}

/// What a path begins with twice, such as `/api/v1` in `/api/v1/api/v1/contacts`.
fn repeated_path(url: &Url) -> Option<String> {
    let parts: Vec<_> = url.path_segments()?.collect();
    let half = (1..=parts.len() / 2).find(|half| parts[..*half] == parts[*half..half * 2])?;
    Some(visible::beginning(&format!("/{}", parts[..half].join("/")), LONGEST_PATH)).filter(|path| path.len() > 1)
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
/// All meanings but that there are no records, or that all is well.
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
        Meaning::Success if matches!(code, 204 | 205) => return Ok(Verdict::NoBody),
        Meaning::Success => return Ok(Verdict::Success),
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
    /// Values between commas.
    Csv,
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
            "text/csv" | "application/csv" | "text/tab-separated-values" => Self::Csv,
            kind if kind.starts_with("text/") => Self::Text,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for ContentClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "declared as JSON",
            Self::JsonLines => "declared as many JSON texts",
            Self::Html => "declared as HTML",
            Self::Xml => "declared as XML",
            Self::Csv => "declared as CSV",
            Self::Text => "declared as text",
            Self::Other => "declared as another type than JSON",
            Self::Undeclared => "without Content-Type",
        })
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
         check url, query, body and auth against its documentation, or, if these are the records, set recordsPath; if such a member is \
         data, add a rule with means: Success to errorRules",
    )
}

/// A body of no bytes whose length is declared: it was not cut off.
pub(super) fn is_declared_empty(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0")
        && ContentClass::of(headers) != ContentClass::Html
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn judged(code: u16, pairs: &[(&'static str, &'static str)]) -> Result<Verdict, Problem> {
        interpret(StatusCode::from_u16(code).unwrap(), &headers(pairs), b"", now())
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
    fn a_refusal_that_says_too_many_requests_is_a_rate_limit() {
        let reason = |code, body: &str| {
            let refused = interpret(StatusCode::from_u16(code).unwrap(), &headers(&[]), body.as_bytes(), now());
            refused.unwrap_err().reason
        };
        for (code, body) in [
            (403, r#"{"error":{"errors":[{"reason":"userRateLimitExceeded"}],"code":403}}"#),
            (403, r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#),
            (403, r#"{"message":"You have exceeded a secondary rate limit."}"#),
            (403, "<h1>Developer Over Qps</h1>"),
            (400, r#"{"__type":"ThrottlingException"}"#),
            (400, r#"{"code":"TOO_MANY_REQUESTS"}"#),
            (430, r#"{"errors":"Too many requests"}"#),
        ] {
            assert_eq!(reason(code, body), Reason::RateLimited, "{code} {body}");
        }
        for (code, body, expected) in [
            (403, r#"{"message":"this account may not list contacts"}"#, Reason::Forbidden),
            (400, r#"{"message":"limit exceeds the maximum of 100"}"#, Reason::UnexpectedStatus),
            (404, r#"{"message":"rate limits"}"#, Reason::NotFound),
            (401, r#"{"message":"too many requests"}"#, Reason::Unauthorized),
        ] {
            assert_eq!(reason(code, body), expected, "{code} {body}");
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
    fn a_path_that_is_there_twice_is_named() {
        let said = |url: &str| of_url(judged(404, &[]).unwrap_err(), &url.parse().unwrap()).message;
        let twice = said("https://a.example/api/v1/api/v1/contacts?x=1");
        assert!(twice.ends_with("its path begins with /api/v1 twice, once from baseUrl: remove it from url"), "{twice}");
        for url in
            ["https://a.example/api/v1/contacts", "https://a.example/", "https://a.example//x", "https://a.example/a/b/a/b2"]
        {
            assert!(said(url).ends_with("check baseUrl and url"), "{url}");
        }
        let forbidden = judged(403, &[]).unwrap_err();
        assert_eq!(of_url(forbidden.clone(), &"https://a.example/a/a".parse().unwrap()), forbidden);
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
            ("text/csv; header=present", ContentClass::Csv),
            ("text/plain", ContentClass::Text),
            ("image/png", ContentClass::Other),
        ] {
            assert_eq!(ContentClass::of(&headers(&[("content-type", kind)])), class, "{kind}");
        }
        assert_eq!(ContentClass::of(&headers(&[])), ContentClass::Undeclared);
    }
}
