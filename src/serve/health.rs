//! `/livez` and `/readyz`.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

use crate::observe::Pulse;

/// `/livez` answers 200 as long as the run time makes progress and the scheduler comes round, else 503 or not at all, and depends
/// on nothing outside; `/readyz` answers 200 while `ready` is true, else 503.
pub fn router(pulse: Pulse, ready: watch::Receiver<bool>) -> Router {
    let live = Router::new().route("/livez", get(liveness)).with_state(pulse);
    Router::new().route("/readyz", get(readiness)).with_state(ready).merge(live)
}

async fn liveness(State(pulse): State<Pulse>) -> (StatusCode, &'static str) {
    if pulse.has_stopped(Instant::now()) {
        (StatusCode::SERVICE_UNAVAILABLE, "the scheduler is not running\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readiness(State(ready): State<watch::Receiver<bool>>) -> (StatusCode, &'static str) {
    if *ready.borrow() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::pulse::STOPPED;
    use crate::serve::sample::{ask, serve};

    #[tokio::test]
    async fn a_scheduler_that_stands_still_is_not_alive() {
        let Some(begun) = Instant::now().checked_sub(STOPPED * 2) else { return };
        let pulse = Pulse::new(begun);
        let base = serve(router(pulse.clone(), watch::channel(true).1)).await;
        assert_eq!(ask(&base, "/livez").await.status, StatusCode::SERVICE_UNAVAILABLE);
        pulse.beat(Instant::now());
        assert_eq!(ask(&base, "/livez").await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn readiness_is_what_the_process_says_of_itself() {
        let (ready, watched) = watch::channel(false);
        let base = serve(router(Pulse::new(Instant::now()), watched)).await;
        assert_eq!(ask(&base, "/livez").await.status, StatusCode::OK);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        ready.send_replace(true);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::OK);
        ready.send_replace(false);
        assert_eq!(ask(&base, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&base, "/").await.status, StatusCode::NOT_FOUND);
    }
}
