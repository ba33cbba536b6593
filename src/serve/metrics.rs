//! `/metrics`, in the format that the client wants.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::observe::Metrics;
use crate::observe::metrics::Format;

/// All metrics of the process as text.
pub fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(exposition)).with_state(metrics)
}

async fn exposition(State(metrics): State<Metrics>, headers: HeaderMap) -> impl IntoResponse {
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::wanted(&accept.join(","));
    ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], metrics.encode(format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::sample::{ask_for, serve};

    #[tokio::test]
    async fn what_was_counted_is_shown_in_the_wanted_format() {
        let metrics = Metrics::new();
        metrics.panic();
        let base = serve(router(metrics)).await;
        let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let text = "text/plain; version=0.0.4; charset=utf-8";
        for (accept, media, kind, end) in [
            (Some("application/openmetrics-text"), open_metrics, "# TYPE pollinator_panics counter\n", true),
            (Some("text/plain"), text, "# TYPE pollinator_panics_total counter\n", false),
            (None, text, "# TYPE pollinator_panics_total counter\n", false),
        ] {
            let scrape = ask_for(&base, "/metrics", accept).await;
            assert_eq!(scrape.headers[header::CONTENT_TYPE], media);
            assert_eq!(scrape.headers[header::VARY], "accept");
            let shown = String::from_utf8(scrape.body.to_vec()).expect("text");
            assert!(shown.contains("pollinator_panics_total 1\n") && shown.contains(kind), "{shown}");
            assert_eq!(shown.ends_with("# EOF\n"), end, "{shown}");
        }
    }
}
