//! The connect page, and nothing else, at its own address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::console::instance::href as console_page;
use super::{Peer, Server};
use crate::api::identity::InstanceRef;
use crate::api::names;
use crate::connect::address::{CALLBACK, path};
use crate::connect::budget::Budgets;
use crate::connect::candidate::Need;
use crate::connect::consent::{Answer, LIFETIME, LONGEST_QUERY, Refusal};
use crate::connect::flow::Flow;
use crate::connect::page::{self, Page, content_security_policy};

/// Beginning of the name of the cookie that ties an answer to the browser that asked.
const COOKIE_NAME: &str = "pollinator-connect";

/// Serves the page until `stop`, then lets consents under way end.
pub async fn serve(server: Server, flow: Flow, stop: CancellationToken) {
    let pages = Arc::new(Pages { flow, running: TaskTracker::new(), budgets: Mutex::default() });
    server.run(router(Arc::clone(&pages)), stop).await;
    pages.running.close();
    pages.running.wait().await;
}

fn router(pages: Arc<Pages>) -> Router {
    let at_home = from_fn_with_state(Arc::clone(&pages), at_home);
    Router::new()
        .route(CALLBACK, any(callback))
        .route("/connect/{namespace}/{name}", any(instance))
        .fallback(|| async { shown(page::refused(&Refusal::UnknownInstance, None)) })
        .layer(at_home)
        .layer(axum::middleware::map_response(guard))
        .with_state(pages)
}

/// Answers what asks for the page under its own address: a name that leads here without being ours (DNS rebinding) shows nothing to anyone.
async fn at_home(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let address = &pages.flow.address;
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    // A target in absolute form wins over the header (RFC 9112 §3.2.2), so both must be ours.
    let is_target = request.uri().authority().is_none_or(|authority| address.is_host(authority.as_str()));
    let is_home = is_target && host.is_some_and(|host| address.is_host(host));
    if is_home { next.run(request).await } else { shown(page::refused(&Refusal::OtherAddress, None)) }
}

/// The headers of every answer, whichever handler gave it.
async fn guard(mut response: Response) -> Response {
    let busy = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (CONTENT_SECURITY_POLICY, content_security_policy()),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The address of an answer has a code in it.
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if busy {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn shown(page: Page) -> Response {
    let mut response = Response::new(Body::from(page.html));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn not_allowed(methods: &'static str) -> Response {
    let page = page::refused(&Refusal::Malformed, None);
    let mut response = shown(Page { status: 405, ..page });
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// What the handlers share.
struct Pages {
    flow: Flow,
    /// Consents under way are ended even when the browser goes away: their codes serve once.
    running: TaskTracker,
    budgets: Mutex<Budgets>,
}

/// The page of one instance, and its button. HEAD is refused as every other method is: it would be answered like GET.
async fn instance(
    State(pages): State<Arc<Pages>>,
    Extension(Peer(client)): Extension<Peer>,
    place: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((namespace, name))) = place else { return shown(page::refused(&Refusal::UnknownInstance, None)) };
    // What can be no name costs nothing and gets nowhere.
    if !names::is_label(&namespace) || !names::is_subdomain(&name) {
        return shown(page::refused(&Refusal::UnknownInstance, None));
    }
    match method {
        Method::GET => pages.look(client, &namespace, &name).await,
        Method::POST => pages.press(client, &namespace, &name, &headers).await,
        _ => not_allowed("GET, POST"),
    }
}

/// Where the provider sends people back. HEAD is refused, too: a code serves once, and is for the browser that can show the answer.
async fn callback(
    State(pages): State<Arc<Pages>>,
    Extension(Peer(client)): Extension<Peer>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match method {
        Method::GET => pages.finish(client, &query.unwrap_or_default(), &headers).await,
        _ => not_allowed("GET"),
    }
}

impl Pages {
    /// Whether this client may ask for work. What is refused before any is done is not counted.
    fn may(&self, client: IpAddr) -> bool {
        self.budgets.lock().take(client, Instant::now())
    }

    async fn look(&self, client: IpAddr, namespace: &str, name: &str) -> Response {
        if !self.may(client) {
            return shown(page::refused(&Refusal::Busy, None));
        }
        let mut response = shown(match self.flow.candidate(namespace, name).await {
            Ok(candidate) => match candidate.need {
                Need::Waits => {
                    let host = candidate.plan.authorization_url.as_ref().and_then(url::Url::host_str);
                    page::offer(namespace, name, host.unwrap_or_default(), &candidate.plan.secret)
                }
                Need::Connected => page::connected(namespace, name, &self.flow.place(namespace, &candidate)),
                Need::Unsettled => page::unsettled(namespace, name),
            },
            Err(refusal) => page::refused(&refusal, None),
        });
        // Its address has no secret, and under `no-referrer` browsers send its form with `Origin: null`.
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    async fn press(&self, client: IpAddr, namespace: &str, name: &str, headers: &HeaderMap) -> Response {
        // What is no text is a value all the same, and not ours.
        let header = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if !self.flow.address.is_own_form(header(ORIGIN), header(HeaderName::from_static("sec-fetch-site"))) {
            return shown(page::refused(&Refusal::OtherSite, None));
        }
        if !self.may(client) {
            return shown(page::refused(&Refusal::Busy, None));
        }
        let begun = match self.flow.begin(namespace, name).await {
            Ok(begun) => begun,
            Err(refusal) => {
                log(namespace, name, &refusal);
                return shown(page::refused(&refusal, None));
            }
        };
        tracing::info!(namespace, instance = name, "consent started at the connect page");
        let mut response = shown(Page { status: 303, html: String::new() });
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

    async fn finish(self: &Arc<Self>, client: IpAddr, query: &str, headers: &HeaderMap) -> Response {
        if query.len() > LONGEST_QUERY {
            return shown(page::refused(&Refusal::Malformed, None));
        }
        let parsed = Answer::parse(query).and_then(|answer| answer.state().map(|state| (answer, state)));
        let (answer, state) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return shown(page::refused(&refusal, None)),
        };
        if !self.may(client) {
            return shown(page::refused(&Refusal::Busy, None));
        }
        let (namespace, name) = (state.namespace.clone(), state.name.clone());
        let cookie = cookie(headers, &self.cookie_name(&namespace, &name)).map(str::to_owned);
        let finishing = {
            let pages = Arc::clone(self);
            self.running.spawn(async move { pages.flow.finish(&state, &answer, cookie.as_deref()).await })
        };
        let ended = finishing.await.unwrap_or(Err(Refusal::Ambiguous));
        let mut response = shown(match &ended {
            Ok(()) => {
                tracing::info!(namespace, instance = name, "consent given at the connect page");
                let of = InstanceRef::new(&*namespace, &*name);
                let console = self.flow.console.as_ref().map(|console| format!("{console}{}", console_page(&of)));
                page::success(&namespace, &name, console.as_deref())
            }
            Err(refusal) => {
                log(&namespace, &name, refusal);
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
        // No other host may set a cookie of that beginning (RFC 6265bis §4.1.3.2).
        let beginning = if self.flow.address.is_secure() { "__Host-" } else { "" };
        format!("{beginning}{COOKIE_NAME}-{hash:016x}")
    }

    fn cookie(&self, namespace: &str, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.flow.address.is_secure() { "; Secure" } else { "" };
        let name = self.cookie_name(namespace, name);
        // Lax: it comes along when the provider sends the browser back.
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// Codes and states are in no refusal.
fn log(namespace: &str, name: &str, refusal: &Refusal) {
    match refusal {
        Refusal::UnknownState | Refusal::Malformed | Refusal::UnknownInstance | Refusal::Connected | Refusal::Unsettled => {
            tracing::debug!(namespace, instance = name, ?refusal, "request for an unknown path of the connect page");
        }
        Refusal::Failed(problem) => {
            tracing::warn!(namespace, instance = name, reason = %problem.reason, "no consent: {}", problem.message);
        }
        refusal => tracing::warn!(namespace, instance = name, ?refusal, "consent failed at the connect page"),
    }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(have, _)| *have == name).map(|(_, value)| value)
}
