//! A router at an address, for tests.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::{Limits, Server};
use crate::egress::{Egress, EgressPolicy, Overflow, Redirects, Request, Response};

/// Serves until the test ends; the origin at which it does.
pub async fn serve(router: Router) -> String {
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), Limits::DEFAULT).await.expect("a free port");
    let base = format!("http://{}", server.address());
    tokio::spawn(server.run(router, CancellationToken::new()));
    base
}

/// GET.
pub async fn ask(base: &str, path: &str) -> Response {
    ask_for(base, path, None).await
}

/// The same with an `Accept` header.
pub async fn ask_for(base: &str, path: &str, accept: Option<&'static str>) -> Response {
    let accept = accept.map(|accept| (http::header::ACCEPT, http::HeaderValue::from_static(accept)));
    let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).expect("client");
    let deadline = Duration::from_secs(30);
    let request = Request {
        method: http::Method::GET,
        url: format!("{base}{path}").parse().expect("url"),
        headers: accept.into_iter().collect(),
        body: None,
        credentials: Vec::new(),
        redirects: Redirects::Never,
        limits: crate::egress::Limits { body: 1024 * 1024, overflow: Overflow::Refuse, first_byte: deadline, total: deadline },
    };
    egress.send(request).await.expect("answer")
}
