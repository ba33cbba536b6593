//! A person in front of a browser without scripts: keeps cookies, follows redirects, fills in forms, and tries again when told to.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;
use url::Url;

use super::PATIENCE;
use super::client::{self, Reply};
use super::oidc::form;

/// How long they wait when a page is busy.
const A_MOMENT: Duration = Duration::from_millis(200);

/// Redirects in a row, as browsers allow them.
const MAX_REDIRECTS: usize = 20;

/// Somebody with a cookie jar of their own.
#[derive(Debug, Default)]
pub struct Person {
    /// By host, name and path: browsers do not tell ports apart (RFC 6265 §8.5).
    cookies: BTreeMap<(String, String, String), String>,
    /// Where they stop and look: at the first address that has this path, before it is asked for.
    stop_at: Option<String>,
}

/// What they see.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    /// `None`: they stopped before asking.
    pub reply: Option<Reply>,
}

impl Page {
    /// A parameter of the address.
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
    }

    pub fn body(&self) -> &str {
        self.reply.as_ref().map_or("", |reply| &reply.body)
    }

    pub fn status(&self) -> u16 {
        self.reply.as_ref().map_or(0, |reply| reply.status)
    }
}

impl Person {
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an address as it is typed in, and for all that it redirects to.
    pub fn visit(&mut self, url: &str) -> Page {
        self.go("GET", Url::parse(url).expect("an address"), None)
    }

    /// Sends the first form of a page with these values beside the hidden ones.
    pub fn submit(&mut self, page: &Page, values: &[(&str, &str)]) -> Page {
        let shape = Regex::new(r"(?s)<form\b([^>]*)>(.*?)</form>").expect("a pattern");
        let found = shape.captures(page.body()).unwrap_or_else(|| panic!("no form at {}:\n{}", page.url, page.body()));
        assert_eq!(attribute(&found[1], "method").as_deref().map(str::to_ascii_lowercase).as_deref(), Some("post"));
        let target = attribute(&found[1], "action").map_or_else(
            || page.url.clone(),
            |action| page.url.join(&action).unwrap_or_else(|_| panic!("{action} is no address")),
        );
        let inputs = Regex::new(r"<input\b([^>]*)>").expect("a pattern");
        let mut fields = Vec::new();
        for input in inputs.captures_iter(&found[2]) {
            if attribute(&input[1], "type").as_deref() == Some("hidden") {
                fields.push((
                    attribute(&input[1], "name").unwrap_or_default(),
                    attribute(&input[1], "value").unwrap_or_default(),
                ));
            }
        }
        let hidden = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = hidden.chain(values.iter().copied()).collect();
        self.go("POST", target, Some(form(&fields)))
    }

    /// Signs in at the OAuth server, agrees, and stops where they are sent back to.
    pub fn consent(&mut self, authorization: &str) -> Page {
        let page = self.visit(authorization);
        self.agree_from(page, false)
    }

    /// Signs in at the OAuth server, and says no.
    pub fn deny(&mut self, authorization: &str) -> Page {
        let page = self.visit(authorization);
        self.refuse_from(&page, false)
    }

    /// From the OAuth server's first page: signs in, agrees, and goes where they are sent, or stops there.
    pub fn agree_from(&mut self, page: Page, go_back: bool) -> Page {
        self.stop_at = (!go_back).then(|| super::oidc::CALLBACK.to_owned());
        let mut page = page;
        // sign-in, unless they are signed in, then consent
        while page.url.path().starts_with("/interaction/") {
            let values: &[_] =
                if page.body().contains("name=\"login\"") { &[("login", "alice"), ("password", "any")] } else { &[] };
            page = self.submit(&page, values);
        }
        self.stop_at = None;
        page
    }

    /// From the OAuth server's first page: says no, and goes where they are sent, or stops there.
    pub fn refuse_from(&mut self, page: &Page, go_back: bool) -> Page {
        let link = Regex::new(r#"href="([^"]*/abort)""#).expect("a pattern");
        let found = link.captures(page.body()).unwrap_or_else(|| panic!("no way to say no at {}:\n{}", page.url, page.body()));
        self.stop_at = (!go_back).then(|| super::oidc::CALLBACK.to_owned());
        let page = self.go("GET", page.url.join(&found[1]).expect("an address"), None);
        self.stop_at = None;
        page
    }

    fn go(&mut self, method: &str, url: Url, body: Option<String>) -> Page {
        let (mut method, mut url, mut body) = (method, url, body);
        let deadline = Instant::now() + PATIENCE;
        let mut redirects = 0;
        while redirects < MAX_REDIRECTS {
            if method == "GET" && self.stop_at.as_deref() == Some(url.path()) {
                return Page { url, reply: None };
            }
            let cookie = self.cookie(&url);
            let mut headers = Vec::new();
            if !cookie.is_empty() {
                headers.push(("Cookie", cookie.as_str()));
            }
            if body.is_some() {
                headers.push(("Content-Type", "application/x-www-form-urlencoded"));
            }
            let reply = client::exchange(method, url.as_str(), &headers, body.clone())
                .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
            if reply.status == 503 && reply.body.contains("Wait a moment, then try again.") && Instant::now() < deadline {
                thread::park_timeout(A_MOMENT);
                continue;
            }
            (redirects, body) = (redirects + 1, None);
            self.keep_cookies(&url, &reply);
            if !(300..400).contains(&reply.status) {
                return Page { url, reply: Some(reply) };
            }
            let location =
                reply.headers.get("location").and_then(|value| value.to_str().ok()).expect("a redirect names a place");
            url = url.join(location).expect("an address");
            method = "GET";
        }
        panic!("more than {MAX_REDIRECTS} redirects, the last to {url}")
    }

    fn cookie(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let sent = self.cookies.iter().filter(|((of, _, path), _)| of == host && url.path().starts_with(path.as_str()));
        sent.map(|((_, name, _), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&mut self, url: &Url, reply: &Reply) {
        let host = url.host_str().unwrap_or_default();
        for header in reply.headers.get_all("set-cookie") {
            let header = header.to_str().expect("a cookie is ASCII");
            let mut parts = header.split(';').map(str::trim);
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name");
            let attributes: BTreeMap<_, _> = parts
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
            assert!(
                !attributes.contains_key("secure") || url.scheme() == "https",
                "browsers drop {name}, which came over http"
            );
            let key = (host.to_owned(), name.to_owned(), (*attributes.get("path").unwrap_or(&"/")).to_owned());
            let is_over = attributes.get("max-age") == Some(&"0")
                || attributes.get("expires").is_some_and(|until| until.contains("1970"));
            if is_over {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
    }
}

/// The value of an attribute of a tag, the five entities that escape one resolved.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let shape = Regex::new(&format!(r#"(?:^|\s){name}="([^"]*)""#)).expect("a pattern");
    let value = shape.captures(tag)?[1].to_owned();
    let value = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    Some(value.replace("&amp;", "&"))
}
