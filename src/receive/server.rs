//! A callback on a loopback port, well or ill behaved.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::read::{ReadError, Received, read};
use super::verify::{Key, verify};
use crate::serve::{Limits, Server};

/// Ten events of 256 KiB each may be in one request of the Open Connectors format.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// A request whose body takes longer is answered 408.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Events that may wait to be looked at; a sender waits for its answer while there are more.
const MAX_WAITING: usize = 1024;
/// Senders keep their connections: none may be ended under a request that is on its way, so theirs end first (ours after a minute).
const LIMITS: Limits = Limits {
    connections: 1024,
    of_one_peer: 1024,
    head: Duration::from_mins(2),
    head_bytes: 64 * 1024,
    body: MAX_BODY,
    unread: Limits::DEFAULT.unread,
    connection: Duration::MAX,
};

/// Said where `requires_standard` is set.
const NOT_STANDARD: &str =
    "webhook-signature is missing, and elements-webhook-signature alone covers no time: a copy would pass, too";

/// How a receiver behaves.
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    /// 0: a free one.
    pub port: u16,
    /// Accepted secrets; none: signatures are not looked at.
    pub keys: Vec<Key>,
    /// Refuse what only the signature of Open Connectors proves: it covers no time, so a copied request passes again.
    pub requires_standard: bool,
    /// The answer to a good request. Another class than 2xx means that nothing is accepted.
    pub status: StatusCode,
    /// Waited before every answer.
    pub delay: Duration,
    /// Share of requests, 0 to 1, that are answered 503 without being looked at.
    pub fail_rate: f64,
    /// Which ones fail: the same seed gives the same sequence.
    pub seed: u64,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            port: 0,
            keys: Vec::new(),
            requires_standard: false,
            status: StatusCode::NO_CONTENT,
            delay: Duration::ZERO,
            fail_rate: 0.0,
            seed: 0,
        }
    }
}

/// Starts receivers.
#[derive(Debug)]
pub struct Receiver;

/// A receiver that listens until it is shut down or dropped.
#[derive(Debug)]
pub struct RunningReceiver {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What was accepted, in the order of acceptance. An event is here before its sender has the answer.
    pub events: mpsc::Receiver<Received>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Listens on 127.0.0.1 and answers every path.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn start(options: ReceiverOptions) -> io::Result<RunningReceiver> {
        let server = Server::bind((Ipv4Addr::LOCALHOST, options.port).into(), LIMITS).await?;
        let addr = server.address();
        let (accepted, events) = mpsc::channel(MAX_WAITING);
        let luck = Mutex::new(StdRng::seed_from_u64(options.seed));
        let desk = Arc::new(Desk { options, accepted, luck });
        let router = axum::Router::new().fallback(answer).with_state(desk);
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.run(router, stop.clone()));
        Ok(RunningReceiver { addr, events, stop, server })
    }
}

impl RunningReceiver {
    /// Its URL, for `spec.callback.url`.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.addr)
    }

    /// Takes no more requests, lets those under way end, and returns the events that were not read.
    pub async fn shutdown(mut self) -> Vec<Received> {
        self.stop.cancel();
        // A sender may be waiting for room.
        self.events.close();
        let _ = (&mut self.server).await;
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

impl Drop for RunningReceiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Desk {
    options: ReceiverOptions,
    accepted: mpsc::Sender<Received>,
    luck: Mutex<StdRng>,
}

impl Desk {
    fn fails(&self) -> bool {
        self.luck.lock().random::<f64>() < self.options.fail_rate
    }

    async fn take(&self, headers: &HeaderMap, body: &Bytes) -> Result<(), (StatusCode, String)> {
        let keys = &self.options.keys;
        if !keys.is_empty() {
            let verified = verify(headers, body, keys, Utc::now());
            let proof = verified.map_err(|refusal| (StatusCode::UNAUTHORIZED, refusal.to_string()))?;
            if self.options.requires_standard && !proof.standard_webhooks {
                return Err((StatusCode::UNAUTHORIZED, NOT_STANDARD.to_owned()));
            }
        }
        let events = read(headers, body).map_err(|error| {
            let status = match error {
                ReadError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ReadError::Form | ReadError::OtherId | ReadError::Records => StatusCode::BAD_REQUEST,
            };
            (status, error.to_string())
        })?;
        if !self.options.status.is_success() {
            return Err((self.options.status, "answered with the status of --status".into()));
        }
        if events.len() > MAX_WAITING {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "too many events in one request".into()));
        }
        // All or nothing: an answer speaks for the whole request.
        let Ok(places) = self.accepted.reserve_many(events.len()).await else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "shutting down".into()));
        };
        for (place, event) in places.zip(events) {
            place.send(event);
        }
        Ok(())
    }
}

async fn answer(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], "send events with POST\n").into_response();
    }
    let headers = request.headers().clone();
    let taken = match body_of(request).await {
        Ok(body) => {
            tokio::time::sleep(desk.options.delay).await;
            if desk.fails() {
                Err((StatusCode::SERVICE_UNAVAILABLE, "failed by --fail-rate".into()))
            } else {
                desk.take(&headers, &body).await
            }
        }
        Err(refusal) => Err(refusal),
    };
    match taken {
        Ok(()) => desk.options.status.into_response(),
        Err((status, why)) => {
            tracing::warn!(status = status.as_u16(), why, "request refused");
            (status, format!("{why}\n")).into_response()
        }
    }
}

async fn body_of(request: Request) -> Result<Bytes, (StatusCode, String)> {
    match tokio::time::timeout(BODY_DEADLINE, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err((rejection.status(), rejection.body_text())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into())),
    }
}

#[cfg(test)]
mod tests;
