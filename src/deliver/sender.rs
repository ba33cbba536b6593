//! One signed request to a callback.

use std::borrow::Borrow;
use std::sync::Arc;

use chrono::Utc;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::format::{Envelope, Payload, encode_cloud_event, encode_open_connectors};
use super::schedule::{self, Outcome, Silence, Verdict};
use super::signature::sign;
use crate::api::conditions::Problem;
use crate::auth::{self, RequestAuth, Secrets};
use crate::detect::event::Event;
use crate::egress::{Egress, Limits, Overflow, Peer, Redirects, Request};
use crate::observe::metrics::Metrics;
use crate::plan::{CallbackPlan, EventFormat, PollPlan};

/// Bytes of an answer that are read; nothing in it matters but its end, which keeps the connection usable.
const MAX_ANSWER: usize = 16 * 1024;

/// A callback with its secrets resolved; lives as long as one job.
pub struct PreparedCallback {
    plan: Arc<CallbackPlan>,
    keys: Vec<Vec<u8>>,
    headers: HeaderMap,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// What the answer means.
    pub verdict: Verdict,
    /// It was 401: another access token may help.
    pub is_unauthorized: bool,
}

impl PreparedCallback {
    /// Resolves the Secrets of a callback.
    ///
    /// # Errors
    /// `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`: without them nothing may be sent, so nothing need be asked.
    pub fn prepare(plan: Arc<CallbackPlan>, namespace: &str, secrets: &dyn Secrets) -> Result<Self, Problem> {
        let keys = match &plan.signature {
            Some(key) => auth::signing_keys(key, namespace, secrets)?,
            None => Vec::new(),
        };
        let headers = match &plan.headers_secret {
            Some(secret) => auth::extra_headers(secret, namespace, secrets)?,
            None => HeaderMap::new(),
        };
        Ok(Self { plan, keys, headers })
    }

    /// The callback's plan.
    pub fn plan(&self) -> &CallbackPlan {
        &self.plan
    }

    /// See [`CallbackPlan::fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        self.plan.fingerprint()
    }

    /// Sends events in one request and says what the answer means.
    ///
    /// # Errors
    /// The request could not be made at all, and a person must act: an address that is not allowed, a URL or a certificate that
    /// is no good. That says nothing about the events.
    pub async fn post<E: Borrow<Event>>(
        &self,
        egress: &Egress,
        metrics: &Metrics,
        plan: &PollPlan,
        uid: &str,
        auth: &RequestAuth,
        events: &[E],
    ) -> Result<Posted, Problem> {
        let started = std::time::Instant::now();
        let envelope = Envelope {
            namespace: &plan.instance.namespace,
            name: &plan.instance.name,
            connector: plan.connector.as_deref(),
            tags: &plan.tags,
            uid,
        };
        let payload = match (self.plan.format, events) {
            (EventFormat::CloudEvents, [event]) => encode_cloud_event(&envelope, event.borrow()),
            (EventFormat::CloudEvents | EventFormat::OpenConnectors, events) => encode_open_connectors(&envelope, events),
        };
        let mut request = self.request(payload);
        auth.apply(&mut request);
        let sent = egress.send(request).await;
        metrics.delivery(started.elapsed());
        metrics.request(Peer::Callback, sent.as_ref().ok().map(|response| response.status));
        let outcome = match &sent {
            Ok(response) => Ok(Outcome::Answered {
                status: response.status,
                retry_after: crate::egress::retry_after::retry_after(&response.headers, Utc::now()),
            }),
            Err(error) => Silence::of(error).map(Outcome::NoAnswer).ok_or(error),
        };
        let verdict = outcome.map(schedule::classify);
        if verdict != Ok(Verdict::Accepted) {
            let why = match &sent {
                Ok(response) => response.status.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::debug!(events = events.len(), why, "the callback did not accept");
        }
        let verdict = verdict.map_err(|error| error.clone().into_problem(Peer::Callback))?;
        let is_unauthorized = sent.is_ok_and(|response| response.status == StatusCode::UNAUTHORIZED);
        Ok(Posted { verdict, is_unauthorized })
    }

    fn request(&self, payload: Payload) -> Request {
        let mut headers = sign(&payload, self.plan.format, &self.keys, Utc::now());
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(payload.content_type));
        Request {
            method: Method::POST,
            url: self.plan.url.clone(),
            headers,
            body: Some(payload.body),
            redirects: Redirects::Never,
            limits: Limits {
                body: MAX_ANSWER,
                overflow: Overflow::Discard,
                first_byte: self.plan.timeout,
                total: self.plan.timeout,
            },
        }
    }
}
