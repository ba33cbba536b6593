//! The connect page, and nothing else, at its own address.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::any;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Server;
use crate::connect::address::{CALLBACK, path};
use crate::connect::candidate::Need;
use crate::connect::consent::{Answer, LIFETIME, LONGEST_QUERY, Refusal};
use crate::connect::flow::Flow;
use crate::connect::page::{self, Page, content_security_policy};

/// How many requests are answered at once, and then how many each second: people click, they do not hammer.
const BURST: u32 = 60;
const EACH_SECOND: u32 = 10;
/// Beginning of the name of the cookie that ties an answer to the browser that asked.
const COOKIE_NAME: &str = "pollinator-connect";

/// What may still be answered.
struct Allowance {
    left: u32,
    counted: Instant,
}

impl Allowance {
    fn new() -> Self {
        Self { left: BURST, counted: Instant::now() }
    }

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

/// Serves the page until `stop`, then lets consents under way end.
pub async fn serve(server: Server, flow: Flow, stop: CancellationToken) {
    let pages = Arc::new(Pages { flow, running: TaskTracker::new() });
    server.run(router(Arc::clone(&pages)), stop).await;
    pages.running.close();
    pages.running.wait().await;
}

fn router(pages: Arc<Pages>) -> Router {
    let allowance = Arc::new(Mutex::new(Allowance::new()));
    Router::new()
        .route(CALLBACK, any(callback))
        .route("/connect/{namespace}/{name}", any(instance))
        .fallback(|| async { shown(page::refused(&Refusal::UnknownInstance, None)) })
        .layer(from_fn_with_state(allowance, bound))
        .layer(axum::middleware::map_response(guard))
        .with_state(pages)
}

/// Answers as many as are allowed.
async fn bound(State(allowance): State<Arc<Mutex<Allowance>>>, request: Request, next: Next) -> Response {
    let allowed = allowance.lock().take(Instant::now());
    if allowed { next.run(request).await } else { shown(page::refused(&Refusal::Busy, None)) }
}

/// What every answer has, whoever gave it.
async fn guard(mut response: Response) -> Response {
    let busy = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        // The address of an answer has a code in it.
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (CONTENT_SECURITY_POLICY, content_security_policy()),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
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
}

/// The page of one instance, and its button. HEAD is refused as every other method is: it would be answered like GET.
async fn instance(
    State(pages): State<Arc<Pages>>,
    place: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((namespace, name))) = place else { return shown(page::refused(&Refusal::UnknownInstance, None)) };
    match method {
        Method::GET => pages.look(&namespace, &name).await,
        Method::POST => pages.press(&namespace, &name, &headers).await,
        _ => not_allowed("GET, POST"),
    }
}

/// Where the provider sends people back. HEAD is refused, too: a code serves once, and is for the browser that can show the answer.
async fn callback(State(pages): State<Arc<Pages>>, method: Method, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    match method {
        Method::GET => pages.finish(&query.unwrap_or_default(), &headers).await,
        _ => not_allowed("GET"),
    }
}

impl Pages {
    async fn look(&self, namespace: &str, name: &str) -> Response {
        shown(match self.flow.candidate(namespace, name).await {
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

    async fn press(&self, namespace: &str, name: &str, headers: &HeaderMap) -> Response {
        // Browsers say where a form stands (Fetch Metadata); what does not say it has no cookie of ours to misuse.
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
            return shown(page::refused(&Refusal::OtherSite, None));
        }
        let begun = match self.flow.begin(namespace, name).await {
            Ok(begun) => begun,
            Err(refusal) => {
                log(namespace, name, &refusal);
                return shown(page::refused(&refusal, None));
            }
        };
        tracing::info!(namespace, instance = name, "a consent was begun at the connect page");
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

    async fn finish(self: &Arc<Self>, query: &str, headers: &HeaderMap) -> Response {
        if query.len() > LONGEST_QUERY {
            return shown(page::refused(&Refusal::Malformed, None));
        }
        let parsed = Answer::parse(query).and_then(|answer| answer.state().map(|state| (answer, state)));
        let (answer, state) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return shown(page::refused(&refusal, None)),
        };
        let (namespace, name) = (state.namespace.clone(), state.name.clone());
        let cookie = cookie(headers, &self.cookie_name(&namespace, &name)).map(str::to_owned);
        let finishing = {
            let pages = Arc::clone(self);
            self.running.spawn(async move { pages.flow.finish(&state, &answer, cookie.as_deref()).await })
        };
        let ended = finishing.await.unwrap_or(Err(Refusal::Ambiguous));
        let mut response = shown(match &ended {
            Ok(()) => {
                tracing::info!(namespace, instance = name, "a consent was given at the connect page");
                page::success(&namespace, &name)
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
}

/// Codes and states are in no refusal.
fn log(namespace: &str, name: &str, refusal: &Refusal) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_allowance_fills_again_and_no_further() {
        let begun = Instant::now();
        let mut allowance = Allowance { left: BURST, counted: begun };
        assert_eq!((0..100).filter(|_| allowance.take(begun)).count(), 60);
        let later = begun + Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| allowance.take(later)).count(), 20);
        let much_later = begun + Duration::from_hours(1);
        assert_eq!((0..100).filter(|_| allowance.take(much_later)).count(), 60);
    }
}
