//! The page from outside.

use super::Scene;
use crate::rig::client::{self, Reply};
use crate::rig::ingress;
use crate::rig::pollinator::{Pollinator, binary};

fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
    client::exchange(method, url, headers, None).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

#[test]
fn every_answer_is_guarded_and_nothing_else_is_served() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let base = scene.ingress.url();
    let long = format!("{base}/connect/callback?code={}", "a".repeat(20_000));
    for (method, url, status) in [
        ("GET", page.as_str(), 200),
        ("POST", &page, 303),
        ("PUT", &page, 405),
        ("DELETE", &format!("{base}/connect/callback"), 405),
        ("POST", &format!("{base}/connect/callback?code=c"), 405),
        ("GET", &format!("{base}/connect/callback"), 400),
        ("GET", &format!("{base}/connect/callback?code=c&state=it.it.x"), 400),
        ("GET", &format!("{base}/connect/callback?code=c&code=d"), 400),
        ("GET", &long, 400),
        ("GET", &format!("{base}/nobody/it/it"), 404),
        ("GET", &format!("{base}/connect/it/it/more"), 404),
        ("GET", &format!("{base}/connect/it/..%2f..%2fmetrics"), 404),
        ("GET", &format!("{base}/connect/%3Cscript%3E/x"), 404),
        ("GET", &format!("{base}/connect/it/%2e%2e%2fit"), 404),
        ("POST", &format!("{base}/connect/IT/it"), 404),
        ("GET", &format!("{base}/metrics"), 404),
        ("GET", &base, 404),
    ] {
        let reply = ask(method, url, &[]);
        assert_eq!(reply.status, status, "{method} {url}: {}", reply.body);
        let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        for (name, value) in [
            ("referrer-policy", if method == "GET" && status == 200 { "same-origin" } else { "no-referrer" }),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(header(name), value, "{method} {url}");
        }
        assert!(!reply.body.contains("<script"), "{}", reply.body);
        let cookie = header("set-cookie");
        assert_eq!(status == 303, !cookie.is_empty(), "{method} {url}: {cookie}");
        if status == 303 {
            assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.contains("; Max-Age=600"), "{cookie}");
        }
    }
}

/// One request to the process itself, without what is in front of it, from 127.0.0.`from`.
fn raw(pollinator: &Pollinator, from: u8, head: &str) -> String {
    let at = ingress::page_of(pollinator).parse().expect("an address");
    crate::rig::raw::exchange(at, from, &format!("{head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}

#[test]
fn a_form_of_another_site_and_a_page_under_another_name_begin_nothing() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let own = scene.ingress.url();
    for (site, origin, status) in [
        (Some("cross-site"), None, 403),
        (Some("same-site"), None, 403),
        (Some("cross-site"), Some(own.as_str()), 403),
        (None, Some("null"), 403),
        (None, Some("https://evil.example"), 403),
        (Some("same-origin"), Some("https://evil.example"), 403),
        (None, Some("http://127.0.0.1"), 403),
        (Some("same-origin"), None, 303),
        (Some("same-origin"), Some("null"), 303),
        (None, Some(&own), 303),
    ] {
        let headers = site.map(|site| ("Sec-Fetch-Site", site)).into_iter().chain(origin.map(|origin| ("Origin", origin)));
        let reply = ask("POST", &page, &headers.collect::<Vec<_>>());
        assert_eq!((reply.status, reply.headers.contains_key("set-cookie")), (status, status == 303), "{site:?} {origin:?}");
    }

    let host = own.trim_start_matches("http://");
    for (head, status) in [
        (format!("GET /connect/it/it HTTP/1.1\r\nhost: {host}"), "200"),
        ("GET /connect/it/it HTTP/1.1\r\nhost: evil.example".to_owned(), "421"),
        ("POST /connect/it/it HTTP/1.1\r\nhost: evil.example\r\nsec-fetch-site: same-origin".to_owned(), "421"),
        ("GET /connect/it/it HTTP/1.1\r\nhost: 127.0.0.1".to_owned(), "421"),
        ("GET /connect/it/it HTTP/1.0".to_owned(), "421"),
        (format!("GET /connect/it/it HTTP/1.1\r\nhost: {host}\r\nhost: evil.example"), "421"),
        (format!("GET http://evil.example/connect/it/it HTTP/1.1\r\nhost: {host}"), "421"),
        (format!("GET /connect/../it HTTP/1.1\r\nhost: {host}"), "404"),
        (format!("GET /connect/it/.. HTTP/1.1\r\nhost: {host}"), "404"),
        (format!("GET /connect/%2e%2e/it HTTP/1.1\r\nhost: {host}"), "404"),
    ] {
        let answer = raw(&pollinator, 1, &head);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        assert!(!answer.contains("set-cookie"), "{head}: {answer}");
    }
}

#[test]
fn who_hammers_is_told_to_wait_and_nobody_else_suffers() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let base = scene.ingress.url();
    // what costs no work is not counted
    let free = (0..300).map(|_| ask("GET", &format!("{base}/connect/it/..%2fit"), &[]));
    assert!(free.into_iter().all(|reply| reply.status == 404));
    let host = base.trim_start_matches("http://");
    let look = format!("GET /connect/it/it HTTP/1.1\r\nhost: {host}");
    let others = |status: &str| raw(&pollinator, 2, &look).split(' ').nth(1) == Some(status);
    let busy = (0..500).map(|_| ask("GET", &page, &[])).find(|reply| reply.status == 503).expect("there is a bound");
    assert_eq!(busy.headers["retry-after"], "5");
    assert!(others("200"), "somebody with another address");
    assert_eq!(ask("GET", &format!("{base}/connect/callback?code=c"), &[]).status, 400, "costs no work");
    assert_eq!(pollinator.rows("it").last().map(|row| row.reason.clone()).as_deref(), Some("ReauthorizationRequired"));
}

#[test]
fn an_address_that_cannot_be_is_refused_at_the_start() {
    for (url, words) in [
        ("http://pollinator.example.com", "must be https"),
        ("https://pollinator.example.com/path", "no path"),
        ("pollinator.example.com", "must be an https URL"),
    ] {
        let output = binary().args(["local", "x", "--state", "y", "--connect-url", url]).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(words), "{url}: {told}");
    }
}
