//! Why a request is not granted, as Open Connectors says it: a status, and a body with `requestId` and `message`.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::instances::InstancesError;
use crate::operator::cluster::{CallError, Denial, Denied};

/// Why a request is not granted.
#[derive(Debug)]
pub enum Failure {
    /// The header names no user, or an unknown one.
    Unauthorized(String),
    /// The caller may not do it.
    Forbidden(String),
    /// What is sent cannot be used: one sentence for each fault.
    Unusable(Vec<String>),
    /// There is no such thing.
    Unknown(String),
    /// The method is none of this path.
    WrongMethod,
    /// It is there already, belongs to another owner, or has changed meanwhile.
    Conflict(String),
    /// More than a body may have.
    TooLarge,
    /// A body of another kind.
    NotJson,
    /// Too many requests.
    Busy,
    /// It may pass.
    Unavailable(String),
    /// A fault here, or on the disk.
    Broken(String),
}

impl Failure {
    /// The same with one sentence.
    pub fn unusable(sentence: impl Into<String>) -> Self {
        Self::Unusable(vec![sentence.into()])
    }

    fn parts(self) -> (StatusCode, String) {
        match self {
            Self::Unauthorized(message) => (StatusCode::UNAUTHORIZED, message),
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, message),
            Self::Unusable(sentences) => (StatusCode::BAD_REQUEST, sentences.join("; ")),
            Self::Unknown(message) => (StatusCode::NOT_FOUND, message),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method".to_owned()),
            Self::Conflict(message) => (StatusCode::CONFLICT, message),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB; send one instance".to_owned()),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON; send content-type: application/json".to_owned())
            }
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "too many requests; send fewer at a time".to_owned()),
            Self::Unavailable(message) => (StatusCode::SERVICE_UNAVAILABLE, message),
            Self::Broken(message) => (StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = self.parts();
        let request = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 12]>());
        if status.is_server_error() {
            tracing::warn!(request, %status, "instances API: {message}");
        } else {
            tracing::debug!(request, %status, "instances API: {message}");
        }
        let mut response = (status, Json(json!({"requestId": request, "message": message}))).into_response();
        let header = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "User")),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, "1")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<InstancesError> for Failure {
    fn from(error: InstancesError) -> Self {
        use InstancesError as E;
        let words = error.to_string();
        match error {
            // A repeated call completes it.
            E::SecretsNotSaved(_, why) => Self::from(*why),
            E::NotFound(_) | E::Call(CallError::NotFound) => Self::Unknown(words),
            E::Exists(_)
            | E::Leaving(_)
            | E::Changed(_)
            | E::Pending(_)
            | E::NotOurs(..)
            | E::Damaged(..)
            | E::SecretNotOurs(_)
            | E::Last(_)
            | E::NotRun(_)
            | E::NoFolder
            | E::Call(CallError::Conflict) => Self::Conflict(words),
            E::Refused(lines) => Self::Unusable(lines.lines().map(str::to_owned).collect()),
            E::Call(CallError::Forbidden(Denial { of: Denied::Caller, words })) => Self::Unauthorized(words),
            E::Call(CallError::Forbidden(Denial { of: Denied::Call | Denied::Quota, words })) => Self::Forbidden(words),
            E::Call(CallError::Refused(words) | CallError::Forbidden(Denial { of: Denied::Policy, words })) => {
                Self::unusable(words)
            }
            E::Call(CallError::Unavailable(_)) | E::State(_) => Self::Unavailable(words),
            E::NotUnderstood(..) | E::File { .. } => Self::Broken(words),
        }
    }
}
