//! Blocking HTTP clients for driving real servers.

use std::sync::LazyLock;

use http::HeaderMap;
use tokio::runtime::Runtime;

use super::canary;

static CLIENT: LazyLock<(Runtime, reqwest::Client)> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    (runtime, reqwest::Client::builder().no_proxy().build().expect("a client"))
});

/// Sends JSON with the real servers' credentials; returns status, `Date` header and body.
pub fn send(method: &str, url: &str, json: Option<String>) -> Result<(u16, Option<String>, String), reqwest::Error> {
    let (runtime, client) = &*CLIENT;
    runtime.block_on(async {
        let method = method.parse().expect("a method");
        let mut request = client.request(method, url).basic_auth(canary::USER, Some(canary::PASSWORD));
        if let Some(json) = json {
            request = request.header("Content-Type", "application/json").body(json);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        Ok((status, date, answer.text().await?))
    })
}

/// The same, and anything but 2xx is a failed test.
pub fn must(method: &str, url: &str, json: Option<String>) -> String {
    let (status, _, body) = send(method, url, json).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    assert!((200..300).contains(&status), "{method} {url}: {status} {body}");
    body
}

static PLAIN: LazyLock<reqwest::Client> = LazyLock::new(|| {
    LazyLock::force(&CLIENT);
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
});

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// Sends just this, follows no redirect and keeps no cookie.
pub fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: Option<String>) -> Result<Reply, reqwest::Error> {
    CLIENT.0.block_on(async {
        let mut request = PLAIN.request(method.parse().expect("a method"), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await?;
        Ok(Reply { status: answer.status().as_u16(), headers: answer.headers().clone(), body: answer.text().await? })
    })
}
