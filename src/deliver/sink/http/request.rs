//! One signed request to a callback.

use std::borrow::Borrow;
use std::sync::Arc;

use chrono::Utc;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::format::{Envelope, Payload, encode};
use super::interpret::{Answer, Silence, interpret};
use super::signature::sign;
use crate::api::conditions::Problem;
use crate::auth::{self, RequestAuth, Secrets};
use crate::deliver::sink::Delivery;
use crate::detect::event::Event;
use crate::egress::{Egress, Limits, Overflow, Peer, Redirects, Request};
use crate::observe::metrics::Metrics;
use crate::plan::CallbackPlan;

/// Bytes of an answer that are read; nothing in it matters but its end, which keeps the connection usable.
const MAX_ANSWER: usize = 16 * 1024;

/// A callback with its secrets resolved; lives as long as one job.
pub struct PreparedCallback {
    plan: Arc<CallbackPlan>,
    keys: Vec<Vec<u8>>,
    headers: HeaderMap,
}

/// The way to the callback, and what all events of the instance have in common.
pub struct Post<'a> {
    /// The one HTTP client.
    pub egress: &'a Egress,
    /// Counters.
    pub metrics: &'a Metrics,
    /// What is the same for all events.
    pub envelope: &'a Envelope<'a>,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// What the answer means. `Unusable`: the request could not be made at all, since the address is not allowed, or the URL or
    /// a certificate is no good.
    pub delivery: Delivery,
    /// The answer was 401: other credentials may help.
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

    /// Sends events in one request and interprets the answer.
    pub async fn post<E: Borrow<Event>>(&self, post: &Post<'_>, auth: &RequestAuth, events: &[E]) -> Posted {
        let started = std::time::Instant::now();
        let mut request = self.request(encode(self.plan.format, post.envelope, events));
        auth.apply(&mut request);
        let sent = post.egress.send_as(request, auth.identity.as_deref()).await;
        post.metrics.delivery(started.elapsed());
        post.metrics.request(Peer::Callback, sent.as_ref().ok().map(|response| response.status));
        let delivery = match &sent {
            Ok(response) => interpret(Answer::Status {
                status: response.status,
                retry_after: crate::egress::retry_after::retry_after(&response.headers, Utc::now()),
            }),
            Err(error) => match Silence::of(error) {
                Some(silence) => interpret(Answer::Silent(silence)),
                None => Delivery::Unusable(error.clone().into_problem(Peer::Callback)),
            },
        };
        if delivery != Delivery::Accepted {
            let why = match &sent {
                Ok(response) => response.status.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::debug!(events = events.len(), why, "the callback did not accept");
        }
        let is_unauthorized = sent.is_ok_and(|response| response.status == StatusCode::UNAUTHORIZED);
        Posted { delivery, is_unauthorized }
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
            credentials: Vec::new(),
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
