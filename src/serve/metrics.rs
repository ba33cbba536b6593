//! `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::observe::Metrics;

/// `OpenMetrics` 1.0 §5.1.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process as text.
pub fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(exposition)).with_state(metrics)
}

async fn exposition(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::sample::{ask, serve};

    #[tokio::test]
    async fn what_was_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.panic();
        let base = serve(router(metrics)).await;
        let scrape = ask(&base, "/metrics").await;
        assert_eq!(scrape.headers[header::CONTENT_TYPE], OPEN_METRICS);
        let text = String::from_utf8(scrape.body.to_vec()).expect("text");
        assert!(text.contains("pollinator_panics_total 1\n") && text.ends_with("# EOF\n"), "{text}");
    }
}
