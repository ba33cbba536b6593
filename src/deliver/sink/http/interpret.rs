//! What the answer to a delivery means, or its absence. Pure.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::conditions::{Problem, Reason};
use crate::deliver::sink::{Cause, Delivery, Pace};
use crate::egress::error::{BrokenAnswer, Phase, Unreachable};
use crate::egress::{EgressError, Peer};
use crate::plan::{AuthPlan, CallbackPlan};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With an answer.
    Status {
        /// Its status.
        status: StatusCode,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Without one.
    Silent(Silence),
}

/// Why there was no answer, where that may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Silence {
    /// No connection.
    Unreachable(Unreachable),
    /// A deadline passed.
    Timeout(Phase),
    /// What came is no answer.
    Broken(BrokenAnswer),
}

impl Silence {
    /// Nothing where a person must act: an address that is not allowed, a URL or a certificate that is no good.
    pub fn of(error: &EgressError) -> Option<Self> {
        match *error {
            EgressError::Unreachable(kind) => Some(Self::Unreachable(kind)),
            EgressError::Timeout(phase) => Some(Self::Timeout(phase)),
            EgressError::BrokenAnswer(fault) => Some(Self::Broken(fault)),
            _ => None,
        }
    }
}

impl From<Silence> for EgressError {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Unreachable(kind) => Self::Unreachable(kind),
            Silence::Timeout(phase) => Self::Timeout(phase),
            Silence::Broken(fault) => Self::BrokenAnswer(fault),
        }
    }
}

/// How a callback failed, as far as the person who fixes it must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HttpCause {
    /// It did not answer.
    Silent(Silence),
    /// It answered 401 or 403.
    Unauthorized,
    /// It answered with another status outside 2xx.
    Status(u16),
}

impl HttpCause {
    pub(in crate::deliver::sink) fn explain(self, callback: &CallbackPlan) -> Problem {
        let host = callback.host();
        match self {
            Self::Unauthorized => Problem::human(
                Reason::CallbackUnauthorized,
                format!("spec.callback.url ({host}) answered 401 or 403: {}", fix_credentials(callback)),
            ),
            Self::Silent(silence) => {
                let Problem { message, .. } = EgressError::from(silence).into_problem(Peer::Callback);
                let failure = message.strip_prefix("callback.url").unwrap_or(&message);
                Problem::transient(Reason::CallbackUnreachable, format!("spec.callback.url ({host}){failure}"))
            }
            Self::Status(status) => Problem::transient(
                Reason::CallbackFailing,
                format!("spec.callback.url ({host}) answered {status}: make the receiver answer 2xx"),
            ),
        }
    }
}

/// What a person does about credentials that the receiver does not accept: correct those that there are.
fn fix_credentials(callback: &CallbackPlan) -> String {
    let fields = [
        (!matches!(*callback.auth, AuthPlan::None), "auth"),
        (callback.signature.is_some(), "signature"),
        (callback.headers_secret.is_some(), "headersSecretRef"),
    ];
    let used = fields.iter().filter(|(is_used, _)| *is_used);
    let used: Vec<_> = used.map(|(_, field)| format!("spec.callback.{field}")).collect();
    match used.as_slice() {
        [] => "the receiver requires credentials; set spec.callback.auth, signature or headersSecretRef".to_owned(),
        used => format!("fix {}", used.join(" or ")),
    }
}

/// What an answer means. Redirects are failures and never followed: an event must not go to a place that was not configured. A 429, 502,
/// 503 or 504 speaks for the whole callback with its `Retry-After`, as Standard Webhooks has it.
pub fn interpret(answer: Answer) -> Delivery {
    let (status, retry_after) = match answer {
        Answer::Status { status, retry_after } => (status.as_u16(), retry_after),
        Answer::Silent(silence) => return retry(HttpCause::Silent(silence), None),
    };
    match status {
        200..=299 => Delivery::Accepted,
        401 | 403 => Delivery::Retry { pace: Pace::Slow, retry_after: None, cause: Cause::Http(HttpCause::Unauthorized) },
        400 | 413 | 415 | 422 => Delivery::Refused { cause: Cause::Http(HttpCause::Status(status)) },
        410 => Delivery::Gone,
        429 | 502..=504 => retry(HttpCause::Status(status), retry_after),
        _ => retry(HttpCause::Status(status), None),
    }
}

fn retry(cause: HttpCause, retry_after: Option<Duration>) -> Delivery {
    Delivery::Retry { pace: Pace::Usual, retry_after, cause: Cause::Http(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<Duration>) -> Delivery {
        interpret(Answer::Status { status: StatusCode::from_u16(status).unwrap(), retry_after })
    }

    #[test]
    fn each_class_of_answers_has_its_meaning() {
        let silence = Silence::Timeout(Phase::FirstByte);
        assert_eq!(interpret(Answer::Silent(silence)), retry(HttpCause::Silent(silence), None));
        let again = |status| retry(HttpCause::Status(status), None);
        let slow = Delivery::Retry { pace: Pace::Slow, retry_after: None, cause: Cause::Http(HttpCause::Unauthorized) };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(answered(status, None), Delivery::Accepted, "{status}");
        }
        for status in [100, 101, 300, 301, 302, 303, 304, 307, 308] {
            assert_eq!(answered(status, None), again(status), "{status}");
        }
        for status in [401, 403] {
            assert_eq!(answered(status, None), slow, "{status}");
        }
        for status in [400, 413, 415, 422] {
            let refused = Delivery::Refused { cause: Cause::Http(HttpCause::Status(status)) };
            assert_eq!(answered(status, None), refused, "{status}");
        }
        assert_eq!(answered(410, None), Delivery::Gone);
        for status in [402, 404, 405, 406, 408, 409, 411, 418, 425, 429, 431, 499, 500, 501, 502, 503, 504, 599, 600, 999] {
            assert_eq!(answered(status, None), again(status), "{status}");
        }
    }

    #[test]
    fn retry_after_counts_where_a_receiver_or_what_stands_before_it_is_busy() {
        let ten = Some(Duration::from_secs(10));
        for status in [429, 502, 503, 504] {
            assert_eq!(answered(status, ten), retry(HttpCause::Status(status), ten), "{status}");
        }
        for status in [301, 404, 500, 501, 505] {
            assert_eq!(answered(status, ten), retry(HttpCause::Status(status), None), "{status}");
        }
    }

    #[test]
    fn refused_credentials_are_fixed_where_the_callback_has_them() {
        use crate::plan::{SecretKey, sample};
        use std::sync::Arc;
        let key = || SecretKey { name: "s".to_owned(), key: "k".to_owned() };
        let none = (*sample::instance(sample::resource()).callback).clone();
        let auth = CallbackPlan { auth: Arc::new(AuthPlan::Bearer { secret: key() }), ..none.clone() };
        let signature = CallbackPlan { signature: Some(key()), ..none.clone() };
        let headers = CallbackPlan { headers_secret: Some("s".to_owned()), ..none.clone() };
        let all =
            CallbackPlan { auth: Arc::clone(&auth.auth), headers_secret: headers.headers_secret.clone(), ..signature.clone() };
        for (callback, fix) in [
            (none, "the receiver requires credentials; set spec.callback.auth, signature or headersSecretRef"),
            (auth, "fix spec.callback.auth"),
            (signature, "fix spec.callback.signature"),
            (headers, "fix spec.callback.headersSecretRef"),
            (all, "fix spec.callback.auth or spec.callback.signature or spec.callback.headersSecretRef"),
        ] {
            let problem = HttpCause::Unauthorized.explain(&callback);
            assert_eq!(problem.message, format!("spec.callback.url (hooks.example.org) answered 401 or 403: {fix}"));
        }
    }

    /// The form in which versions that know one protocol store and read it.
    #[test]
    fn a_cause_is_stored_without_the_name_of_its_protocol() {
        for (cause, text) in [
            (HttpCause::Unauthorized, r#""Unauthorized""#),
            (HttpCause::Status(503), r#"{"Status":503}"#),
            (HttpCause::Silent(Silence::Timeout(Phase::FirstByte)), r#"{"Silent":{"Timeout":"FirstByte"}}"#),
            (HttpCause::Silent(Silence::Unreachable(Unreachable::Refused)), r#"{"Silent":{"Unreachable":"Refused"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&Cause::Http(cause)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Cause>(text).unwrap(), Cause::Http(cause));
        }
    }
}
