//! The page from outside.

use super::Scene;
use crate::rig::client::{self, Reply};
use crate::rig::pollinator::binary;

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
        ("GET", &format!("{base}/connect/it/nobody"), 404),
        ("GET", &format!("{base}/connect/it/it/more"), 404),
        ("GET", &format!("{base}/connect/it/..%2f..%2fmetrics"), 404),
        ("GET", &format!("{base}/connect/%3Cscript%3E/x"), 404),
        ("GET", &format!("{base}/metrics"), 404),
        ("GET", &base, 404),
    ] {
        let reply = ask(method, url, &[]);
        assert_eq!(reply.status, status, "{method} {url}: {}", reply.body);
        let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
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

#[test]
fn a_form_of_another_site_begins_nothing() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    for site in ["cross-site", "same-site"] {
        assert_eq!(ask("POST", &page, &[("Sec-Fetch-Site", site)]).status, 403);
    }
    assert_eq!(ask("POST", &page, &[("Sec-Fetch-Site", "same-origin")]).status, 303);
}

#[test]
fn who_hammers_is_told_to_wait_and_nobody_else_suffers() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let busy = (0..500).map(|_| ask("GET", &page, &[])).find(|reply| reply.status == 503).expect("there is a bound");
    assert_eq!(busy.headers["retry-after"], "5");
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
