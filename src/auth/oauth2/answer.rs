//! What an answer of the token endpoint means (RFC 6749 §5). Pure.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::api::auth::ExpiresUnit;
use crate::egress::retry_after::retry_after;
use crate::plan::TokenResponsePlan;
use crate::plan::json::{member, scalar_text};

/// Life times above ten years mean nothing more than "long": the token is used until it is refused.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;
/// Longest token that is kept: what fits into a header with room for others.
const MAX_TOKEN: usize = 16 * 1024;

/// Tokens. Its `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    /// The access token.
    pub access_token: String,
    /// The refresh token, if one came.
    pub refresh_token: Option<String>,
    /// How long the access token lives; `None` when the answer does not say, or says nothing that can be meant.
    pub expires_in: Option<Duration>,
    /// The scopes that were granted, when the answer names them.
    pub scope: Option<String>,
    /// `token_type`, when the answer names one.
    pub token_type: Option<String>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Why an answer brought no access token, sorted by what happens next.
#[derive(Clone, PartialEq, Eq)]
pub enum Failure {
    // Only a person can fix it.
    /// The refresh token, code or assertion is invalid, expired, revoked or used before (`invalid_grant`).
    InvalidGrant,
    /// The client is unknown, proved itself wrongly or may not use this grant.
    InvalidClient,
    /// A scope is unknown or exceeds what was consented to.
    InvalidScope,
    /// Any other refusal: its status, and its error code if it is one that is known.
    Refused(u16, Option<&'static str>),
    /// A redirect, which is never followed.
    Redirect(u16),
    /// An answer of success without an access token where the plan looks for it. A refresh token may have come nevertheless.
    NoAccessToken {
        /// The newest refresh token: the one that was sent may be spent.
        refresh_token: Option<String>,
    },
    /// The tokens cannot be carried in a header: too long, or with characters that none may have.
    Unusable,
    // It may pass by itself.
    /// An answer of success that is no JSON object: a maintenance or login page.
    NotJson {
        /// It is HTML.
        html: bool,
    },
    /// The endpoint is rate limiting requests.
    Throttled(Option<Duration>),
    /// The endpoint has trouble; what was sent is not spent.
    Trouble(u16),
    /// A gateway has no answer: it is unknown whether what was sent is spent.
    Lost(u16),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidGrant => f.write_str("InvalidGrant"),
            Self::InvalidClient => f.write_str("InvalidClient"),
            Self::InvalidScope => f.write_str("InvalidScope"),
            Self::Refused(status, code) => write!(f, "Refused({status}, {code:?})"),
            Self::Redirect(status) => write!(f, "Redirect({status})"),
            Self::NoAccessToken { refresh_token } => write!(f, "NoAccessToken({})", refresh_token.is_some()),
            Self::Unusable => f.write_str("Unusable"),
            Self::NotJson { html } => write!(f, "NotJson({html})"),
            Self::Throttled(wait) => write!(f, "Throttled({wait:?})"),
            Self::Trouble(status) => write!(f, "Trouble({status})"),
            Self::Lost(status) => write!(f, "Lost({status})"),
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// [`Failure`].
pub fn read(
    plan: &TokenResponsePlan,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Granted, Failure> {
    let code = status.as_u16();
    let text = std::str::from_utf8(body).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    let object = Some(text).filter(|text| text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    let error = object.and_then(error_of);
    match code {
        200..=299 => match (object, error) {
            // Some servers answer 200 and put the refusal into the body.
            (_, Some(error)) => Err(refusal(code, &error)),
            (Some(object), None) => granted(plan, object, now),
            (None, None) => Err(Failure::NotJson { html: text.starts_with('<') }),
        },
        300..=399 => Err(Failure::Redirect(code)),
        429 => Err(Failure::Throttled(retry_after(headers, now))),
        // Some servers answer a bad request with 5xx; the error code shows it.
        500..=599 if error.as_deref().is_some_and(|error| known(error).is_some_and(|known| known.kind != Kind::Trouble)) => {
            Err(refusal(code, &error.unwrap_or_default()))
        }
        502 | 504 | 520..=527 => Err(Failure::Lost(code)),
        503 if retry_after(headers, now).is_some() => Err(Failure::Throttled(retry_after(headers, now))),
        408 | 425 | 500..=599 => Err(Failure::Trouble(code)),
        _ => match error {
            Some(error) => Err(refusal(code, &error)),
            None if code == 401 => Err(Failure::InvalidClient),
            None => Err(Failure::Refused(code, None)),
        },
    }
}

/// The error code: `error` as RFC 6749 §5.2 has it; some servers nest it in an object with `code`, `type` or `name`.
fn error_of(object: &str) -> Option<String> {
    let error = member(object, "error")?;
    let text =
        |json: &str| scalar_text(json).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty() && text != "false");
    text(error)
        .or_else(|| ["code", "type", "name"].iter().find_map(|key| member(error, key).and_then(text)))
        .or_else(|| (error.starts_with(['{', '['])).then(|| "unknown".to_owned()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grant,
    Client,
    Scope,
    Request,
    Trouble,
}

#[derive(Clone, Copy)]
struct Known {
    code: &'static str,
    kind: Kind,
}

/// Error codes of RFC 6749 §5.2 and §4.1.2.1, of RFC 8707, and those by which GitHub and Slack say the same.
const KNOWN: [Known; 20] = [
    Known { code: "invalid_grant", kind: Kind::Grant },
    Known { code: "bad_verification_code", kind: Kind::Grant },
    Known { code: "bad_refresh_token", kind: Kind::Grant },
    Known { code: "invalid_code", kind: Kind::Grant },
    Known { code: "code_already_used", kind: Kind::Grant },
    Known { code: "invalid_refresh_token", kind: Kind::Grant },
    Known { code: "token_expired", kind: Kind::Grant },
    Known { code: "token_revoked", kind: Kind::Grant },
    Known { code: "interaction_required", kind: Kind::Grant },
    Known { code: "invalid_client", kind: Kind::Client },
    Known { code: "unauthorized_client", kind: Kind::Client },
    Known { code: "incorrect_client_credentials", kind: Kind::Client },
    Known { code: "invalid_client_id", kind: Kind::Client },
    Known { code: "bad_client_secret", kind: Kind::Client },
    Known { code: "invalid_scope", kind: Kind::Scope },
    Known { code: "invalid_request", kind: Kind::Request },
    Known { code: "unsupported_grant_type", kind: Kind::Request },
    Known { code: "invalid_target", kind: Kind::Request },
    Known { code: "server_error", kind: Kind::Trouble },
    Known { code: "temporarily_unavailable", kind: Kind::Trouble },
];

fn known(error: &str) -> Option<Known> {
    KNOWN.into_iter().find(|known| known.code.eq_ignore_ascii_case(error))
}

fn refusal(status: u16, error: &str) -> Failure {
    let Some(known) = known(error) else {
        return if status == 401 { Failure::InvalidClient } else { Failure::Refused(status, None) };
    };
    match known.kind {
        Kind::Grant => Failure::InvalidGrant,
        Kind::Client => Failure::InvalidClient,
        Kind::Scope => Failure::InvalidScope,
        Kind::Request => Failure::Refused(status, Some(known.code)),
        Kind::Trouble => Failure::Trouble(status),
    }
}

fn granted(plan: &TokenResponsePlan, object: &str, now: DateTime<Utc>) -> Result<Granted, Failure> {
    let text = |json: &str| scalar_text(json).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty());
    let refresh_token = plan.refresh_token.find(object).and_then(text);
    let Some(access_token) = plan.access_token.find(object).and_then(text) else {
        return Err(Failure::NoAccessToken { refresh_token: refresh_token.filter(|token| token.len() <= MAX_TOKEN) });
    };
    if [Some(&access_token), refresh_token.as_ref()].into_iter().flatten().any(|token| !is_sendable(token)) {
        return Err(Failure::Unusable);
    }
    let expires_in = plan.expires_in.find(object).and_then(text).and_then(|text| life(&text, plan.expires_unit, now));
    Ok(Granted {
        access_token,
        refresh_token,
        expires_in,
        scope: member(object, "scope").and_then(text),
        token_type: member(object, "token_type").and_then(text),
    })
}

/// Visible ASCII and spaces, which all tokens are made of (RFC 6749 Appendix A.12 and A.17).
fn is_sendable(token: &str) -> bool {
    token.len() <= MAX_TOKEN && token.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// A life time that can be meant; zero, negative and absurd numbers and texts that are none say nothing: a token that was just
/// issued is no dead one.
fn life(text: &str, unit: ExpiresUnit, now: DateTime<Utc>) -> Option<Duration> {
    let number: f64 = text.trim().parse().ok()?;
    #[allow(clippy::cast_precision_loss)] // whole milliseconds stay exact far beyond any date that is met
    let seconds = match unit {
        ExpiresUnit::Seconds => number,
        ExpiresUnit::Milliseconds => number / 1000.0,
        ExpiresUnit::UnixSeconds => number - now.timestamp_millis() as f64 / 1000.0,
    };
    (seconds > 0.0 && seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::field_path::FieldPath;
    use crate::plan::sample::oauth2;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn read_as(status: u16, body: &str) -> Result<Granted, Failure> {
        read(&oauth2().response, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), now())
    }

    #[test]
    fn the_example_of_rfc_6749() {
        let body = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
            "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}"#;
        let granted = read_as(200, body).unwrap();
        assert_eq!(granted.access_token, "2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(granted.refresh_token.as_deref(), Some("tGzv3JOkF0XG5Qx2TlKWIA"));
        assert_eq!((granted.expires_in, granted.token_type.as_deref()), (Some(Duration::from_hours(1)), Some("example")));
    }

    #[test]
    fn a_life_time_counts_when_it_can_be_meant() {
        for (said, seconds) in [
            ("3600", Some(3600.0)),
            ("\"3600\"", Some(3600.0)),
            ("\" 60 \"", Some(60.0)),
            ("1.5", Some(1.5)),
            ("1e3", Some(1000.0)),
            ("315360000", Some(315_360_000.0)),
            ("0", None),
            ("-1", None),
            ("\"soon\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("null", None),
            ("true", None),
            ("[3600]", None),
            ("99999999999999999999", None),
            ("1e999", None),
        ] {
            let granted = read_as(200, &format!("{{\"access_token\":\"t\",\"expires_in\":{said}}}"));
            let life = granted.unwrap_or_else(|failure| panic!("{said}: {failure:?}")).expires_in;
            assert_eq!(life, seconds.map(Duration::from_secs_f64), "{said}");
        }
        assert_eq!(read_as(200, r#"{"access_token":"t"}"#).unwrap().expires_in, None);
    }

    #[test]
    fn paths_and_units_are_the_plans() {
        let path = |text: &str| FieldPath::parse(text).unwrap();
        let plan = TokenResponsePlan {
            access_token: path("authed_user.access_token"),
            refresh_token: path("authed_user['refresh token']"),
            expires_in: path("until"),
            expires_unit: ExpiresUnit::UnixSeconds,
        };
        let body = br#"{"authed_user":{"access_token":"a","refresh token":"r"},"until":1800000090,"access_token":"wrong"}"#;
        let granted = read(&plan, StatusCode::OK, &HeaderMap::new(), body, now()).unwrap();
        assert_eq!((granted.access_token.as_str(), granted.refresh_token.as_deref()), ("a", Some("r")));
        assert_eq!(granted.expires_in, Some(Duration::from_secs(90)));
        let plan = TokenResponsePlan { expires_unit: ExpiresUnit::Milliseconds, ..oauth2().response };
        let granted = read(&plan, StatusCode::OK, &HeaderMap::new(), br#"{"access_token":"a","expires_in":1500}"#, now());
        assert_eq!(granted.unwrap().expires_in, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn failures_are_sorted_by_what_happens_next() {
        let error = |code: &str| format!("{{\"error\":\"{code}\",\"error_description\":\"x\"}}");
        for (status, body, expected) in [
            (400, error("invalid_grant"), Failure::InvalidGrant),
            (200, error("invalid_grant"), Failure::InvalidGrant),
            (200, error("bad_verification_code"), Failure::InvalidGrant),
            (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#.to_owned(), Failure::InvalidGrant),
            (500, error("invalid_grant"), Failure::InvalidGrant),
            (401, error("invalid_client"), Failure::InvalidClient),
            (400, error("unauthorized_client"), Failure::InvalidClient),
            (401, String::new(), Failure::InvalidClient),
            (401, error("whatever"), Failure::InvalidClient),
            (400, error("invalid_scope"), Failure::InvalidScope),
            (400, error("unsupported_grant_type"), Failure::Refused(400, Some("unsupported_grant_type"))),
            (400, error("secret words"), Failure::Refused(400, None)),
            (400, r#"{"error":{"code":"invalid_grant"}}"#.to_owned(), Failure::InvalidGrant),
            (400, r#"{"error":{"code":7}}"#.to_owned(), Failure::Refused(400, None)),
            (404, "<html>".to_owned(), Failure::Refused(404, None)),
            (302, String::new(), Failure::Redirect(302)),
            (200, "<html>".to_owned(), Failure::NotJson { html: true }),
            (200, "access_token=x".to_owned(), Failure::NotJson { html: false }),
            (200, String::new(), Failure::NotJson { html: false }),
            (200, "{".to_owned(), Failure::NotJson { html: false }),
            (200, "[]".to_owned(), Failure::NotJson { html: false }),
            (200, r#"{"access_token":""}"#.to_owned(), Failure::NoAccessToken { refresh_token: None }),
            (
                200,
                r#"{"access_token":null,"refresh_token":"r"}"#.to_owned(),
                Failure::NoAccessToken { refresh_token: Some("r".into()) },
            ),
            (200, r#"{"access_token":"a\nb"}"#.to_owned(), Failure::Unusable),
            (200, r#"{"access_token":"ä"}"#.to_owned(), Failure::Unusable),
            (429, String::new(), Failure::Throttled(None)),
            (500, String::new(), Failure::Trouble(500)),
            (503, error("temporarily_unavailable"), Failure::Trouble(503)),
            (400, error("server_error"), Failure::Trouble(400)),
            (408, String::new(), Failure::Trouble(408)),
            (502, String::new(), Failure::Lost(502)),
            (504, "<html>".to_owned(), Failure::Lost(504)),
            (524, String::new(), Failure::Lost(524)),
        ] {
            assert_eq!(read_as(status, &body), Err(expected), "{status} {body}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", http::HeaderValue::from_static("7"));
        for status in [429, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = read(&oauth2().response, status, &headers, b"", now()).unwrap_err();
            assert_eq!(failure, Failure::Throttled(Some(Duration::from_secs(7))));
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", read_as(200, r#"{"access_token":"c4n4ry","refresh_token":"c4n4ry"}"#));
        let failed = format!("{:?}", read_as(200, r#"{"refresh_token":"c4n4ry"}"#));
        assert!(!shown.contains("c4n4ry") && !failed.contains("c4n4ry"), "{shown} {failed}");
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(status in 100u16..1000, body in ".{0,200}") {
            let _ = read_as(status, &body);
        }

        #[test]
        fn no_json_is_a_panic(token in ".*", life in any::<f64>(), error in ".*") {
            let body = serde_json::json!({"access_token": token, "expires_in": life, "error": error}).to_string();
            let _ = read_as(200, &body);
        }
    }
}
