//! Serves the connect page, and nothing else, at its own address.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{CALLBACK, path};
use super::candidate::Need;
use super::consent::{Answer, LIFETIME, LONGEST_QUERY, Refusal};
use super::flow::Flow;
use super::page::{self, Page, content_security_policy};

/// Connections at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 128;
/// A connection ends after this: enough for a page, its form and what follows.
const CONNECTION: Duration = Duration::from_mins(3);
/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// How many requests are answered at once, and then how many each second: people click, they do not hammer.
const BURST: u32 = 60;
const EACH_SECOND: u32 = 10;
/// Beginning of the name of the cookie that ties an answer to the browser that asked.
const COOKIE_NAME: &str = "pollinator-connect";

/// The connect page at one address.
pub struct ConnectServer {
    flow: Flow,
    policy: String,
    allowance: Mutex<Allowance>,
    /// Consents under way are ended even when the browser goes away: their codes serve once.
    running: TaskTracker,
}

/// What may still be answered.
struct Allowance {
    left: u32,
    counted: Instant,
}

impl Allowance {
    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let more = (now - self.counted).as_secs();
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX).saturating_mul(EACH_SECOND);
            self.left = self.left.saturating_add(more).min(BURST);
            self.counted = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl ConnectServer {
    /// A server that has answered nothing.
    pub fn new(flow: Flow) -> Arc<Self> {
        Arc::new(Self {
            flow,
            policy: content_security_policy(),
            allowance: Mutex::new(Allowance { left: BURST, counted: Instant::now() }),
            running: TaskTracker::new(),
        })
    }

    /// Serves until it is told to stop, then lets consents under way end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async {
                    // Only a closed semaphore refuses, and none is ever closed.
                    let place = Arc::clone(&places).acquire_owned().await.ok();
                    (listener.accept().await, place)
                } => accepted,
            };
            match accepted {
                (Ok((stream, _)), place) => {
                    let (server, stop) = (Arc::clone(&self), stop.clone());
                    tokio::spawn(async move {
                        server.converse(stream, stop).await;
                        drop(place);
                    });
                }
                // Out of file handles, for example: it may pass.
                (Err(error), _) => {
                    tracing::warn!("the connect page cannot take a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        self.running.close();
        self.running.wait().await;
    }

    async fn converse<S>(self: Arc<Self>, stream: S, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let server = Arc::clone(&self);
            async move {
                let (head, _) = request.into_parts();
                let answer = server.answer(&head.method, head.uri.path(), head.uri.query(), &head.headers).await;
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::time::timeout(CONNECTION, async {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        });
        if let Ok(Err(error)) = ended.await {
            tracing::debug!("a connection to the connect page ended: {error}");
        }
    }

    /// Answers one request; its body is not looked at.
    async fn answer(self: &Arc<Self>, method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Response<Body> {
        if !self.allowance.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return self.shown(page::refused(&Refusal::Busy, None));
        }
        if path == CALLBACK {
            return match *method {
                Method::GET => self.callback(query.unwrap_or_default(), headers).await,
                _ => self.not_allowed("GET"),
            };
        }
        let Some((namespace, name)) = path.strip_prefix("/connect/").and_then(|rest| rest.split_once('/')) else {
            return self.shown(page::refused(&Refusal::UnknownInstance, None));
        };
        match *method {
            Method::GET => self.look(namespace, name).await,
            Method::POST => self.press(namespace, name, headers).await,
            _ => self.not_allowed("GET, POST"),
        }
    }

    async fn look(&self, namespace: &str, name: &str) -> Response<Body> {
        self.shown(match self.flow.candidate(namespace, name).await {
            Ok(candidate) => match candidate.need {
                Need::Waits => {
                    let host = candidate.plan.authorization_url.as_ref().and_then(url::Url::host_str);
                    page::offer(namespace, name, host.unwrap_or_default(), &candidate.plan.secret)
                }
                Need::Connected => page::connected(namespace, name, &self.flow.place(namespace, &candidate)),
                Need::Unsettled => page::unsettled(namespace, name),
            },
            Err(refusal) => page::refused(&refusal, None),
        })
    }

    async fn press(&self, namespace: &str, name: &str, headers: &HeaderMap) -> Response<Body> {
        // Browsers say where a form stands (Fetch Metadata); what does not say it has no cookie of ours to misuse.
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
            return self.shown(page::refused(&Refusal::OtherSite, None));
        }
        let begun = match self.flow.begin(namespace, name).await {
            Ok(begun) => begun,
            Err(refusal) => {
                tell(namespace, name, &refusal);
                return self.shown(page::refused(&refusal, None));
            }
        };
        tracing::info!(namespace, instance = name, "a consent was begun at the connect page");
        let mut response = self.shown(Page { status: 303, html: String::new() });
        let headers = response.headers_mut();
        let cookie = self.cookie(namespace, name, &begun.cookie, LIFETIME.num_seconds());
        for (name, value) in [(LOCATION, begun.authorization_url.as_str()), (SET_COOKIE, &cookie)] {
            // A URL and a cookie of Base64 are visible ASCII.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        response
    }

    async fn callback(self: &Arc<Self>, query: &str, headers: &HeaderMap) -> Response<Body> {
        if query.len() > LONGEST_QUERY {
            return self.shown(page::refused(&Refusal::Malformed, None));
        }
        let parsed = Answer::parse(query).and_then(|answer| answer.state().map(|state| (answer, state)));
        let (answer, state) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return self.shown(page::refused(&refusal, None)),
        };
        let (namespace, name) = (state.namespace.clone(), state.name.clone());
        let cookie = cookie(headers, &self.cookie_name(&namespace, &name)).map(str::to_owned);
        let finishing = {
            let server = Arc::clone(self);
            self.running.spawn(async move { server.flow.finish(&state, &answer, cookie.as_deref()).await })
        };
        let ended = finishing.await.unwrap_or(Err(Refusal::Ambiguous));
        let mut response = self.shown(match &ended {
            Ok(()) => {
                tracing::info!(namespace, instance = name, "a consent was given at the connect page");
                page::success(&namespace, &name)
            }
            Err(refusal) => {
                tell(&namespace, &name, refusal);
                page::refused(refusal, Some(&path(&namespace, &name)))
            }
        });
        if ended != Err(Refusal::UnknownState)
            && let Ok(over) = HeaderValue::from_str(&self.cookie(&namespace, &name, "", 0))
        {
            response.headers_mut().insert(SET_COOKIE, over);
        }
        response
    }

    /// Each instance has its own, so that two consents in one browser do not disturb each other.
    fn cookie_name(&self, namespace: &str, name: &str) -> String {
        let hash = xxhash_rust::xxh3::xxh3_64(path(namespace, name).as_bytes());
        // Nobody else may set a cookie of that beginning (RFC 6265bis §4.1.3.2).
        let beginning = if self.flow.address.is_secure() { "__Host-" } else { "" };
        format!("{beginning}{COOKIE_NAME}-{hash:016x}")
    }

    fn cookie(&self, namespace: &str, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.flow.address.is_secure() { "; Secure" } else { "" };
        let name = self.cookie_name(namespace, name);
        // Lax: it comes along when the provider sends the browser back.
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    fn not_allowed(&self, methods: &'static str) -> Response<Body> {
        let page = page::refused(&Refusal::Malformed, None);
        let mut response = self.shown(Page { status: 405, ..page });
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        response
    }

    fn shown(&self, page: Page) -> Response<Body> {
        let mut response = Response::new(Body::from(page.html));
        *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            // The address of an answer has a code in it.
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::from_str(&self.policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if page.status == 503 {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// Codes and states are in no refusal.
fn tell(namespace: &str, name: &str, refusal: &Refusal) {
    match refusal {
        Refusal::UnknownState | Refusal::Malformed | Refusal::UnknownInstance | Refusal::Connected | Refusal::Unsettled => {
            tracing::debug!(namespace, instance = name, ?refusal, "the connect page was asked for what it does not have");
        }
        Refusal::Failed(problem) => {
            tracing::warn!(namespace, instance = name, reason = %problem.reason, "no consent: {}", problem.message);
        }
        refusal => tracing::warn!(namespace, instance = name, ?refusal, "no consent was given at the connect page"),
    }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(have, _)| *have == name).map(|(_, value)| value)
}
