//! `/metrics`, `/livez`, `/readyz`.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics::Metrics;

/// `OpenMetrics` 1.0 §5.1.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Seen {
    metrics: Metrics,
    ready: watch::Receiver<bool>,
}

/// Serves metrics and health until the future is dropped. `/livez` answers 200 as long as the run time makes progress and the
/// scheduler comes round, else 503 or not at all, and depends on nothing outside; `/readyz` answers 200 while `ready` is true, else
/// 503.
///
/// Errors: the listener failed.
pub async fn serve(listener: TcpListener, metrics: Metrics, ready: watch::Receiver<bool>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(exposition))
        .route("/livez", get(liveness))
        .route("/readyz", get(readiness))
        .with_state(Seen { metrics, ready });
    axum::serve(listener, router).await
}

async fn exposition(State(seen): State<Seen>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], seen.metrics.encode())
}

async fn liveness(State(seen): State<Seen>) -> impl IntoResponse {
    if seen.metrics.pulse().has_stopped(Instant::now()) {
        (StatusCode::SERVICE_UNAVAILABLE, "the scheduler stands still\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readiness(State(seen): State<Seen>) -> impl IntoResponse {
    if *seen.ready.borrow() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Egress, EgressPolicy, Limits, Overflow, Redirects, Request, Response};
    use crate::observe::pulse::STOPPED;
    use std::time::Duration;

    async fn ask(base: &str, path: &str) -> Response {
        let egress = Egress::new(EgressPolicy { allow: Vec::new(), allow_loopback: true }).expect("client");
        let request = Request {
            method: http::Method::GET,
            url: format!("{base}{path}").parse().expect("url"),
            headers: http::HeaderMap::new(),
            body: None,
            redirects: Redirects::Never,
            limits: Limits {
                body: 1024 * 1024,
                overflow: Overflow::Refuse,
                first_byte: Duration::from_secs(30),
                total: Duration::from_secs(30),
            },
        };
        egress.send(request).await.expect("answer")
    }

    #[tokio::test]
    async fn a_scheduler_that_stands_still_is_not_alive() {
        let Some(begun) = Instant::now().checked_sub(STOPPED * 2) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let metrics = Metrics::begun(begun);
        let server = tokio::spawn(serve(listener, metrics.clone(), watch::channel(true).1));
        assert_eq!(ask(&base, "/livez").await.status, StatusCode::SERVICE_UNAVAILABLE);
        metrics.pulse().beat(Instant::now());
        assert_eq!(ask(&base, "/livez").await.status, StatusCode::OK);
        server.abort();
    }

    #[tokio::test]
    async fn health_and_metrics_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let (ready, watched) = watch::channel(false);
        let metrics = Metrics::new();
        metrics.panic();
        let server = tokio::spawn(serve(listener, metrics, watched));

        assert_eq!(ask(&base, "/livez").await.status, StatusCode::OK);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        ready.send_replace(true);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::OK);
        ready.send_replace(false);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        let scrape = ask(&base, "/metrics").await;
        assert_eq!(scrape.headers[header::CONTENT_TYPE], OPEN_METRICS);
        let text = String::from_utf8(scrape.body.to_vec()).expect("text");
        assert!(text.contains("pollinator_panics_total 1\n") && text.ends_with("# EOF\n"), "{text}");
        assert_eq!(ask(&base, "/").await.status, StatusCode::NOT_FOUND);
        server.abort();
    }
}
