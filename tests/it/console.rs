//! The console of `local`: what a person sees and does in a browser, and what others who reach its address cannot do.
//!
//! - [`browser`]: in headless Chromium, with and without scripts.
//! - [`consents`]: a person gives consent on the way from an empty console to the first event.
//! - [`edits`]: the form of an instance that exists.
//! - [`repairs`]: what is wrong is found, fixed and sent again in a browser.
//! - [`samples`]: the sample instance that is offered where there is none.
//! - [`served`]: what it looks like from outside: sessions, forms, headers, bounds.

pub mod browser;
mod consents;
pub mod edits;
mod repairs;
mod samples;
mod served;

use std::fs;
use std::net::SocketAddr;

use crate::rig::canary::{self, TOKEN};
use crate::rig::client::{self, Reply};
use crate::rig::manifest::{Instance, PROVIDER_RESOURCE};
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// `local` with the console, in front of one instance called `it` that is polled once an hour, and one whose callback is nowhere.
pub struct Scene {
    pub provider: Provider,
    pub receiver: Receiver,
    pub site: Site,
    pub local: Pollinator,
    /// Its origin.
    pub base: String,
}

impl Scene {
    /// Without any instance, and with a connector `mockkeap` in front of the provider.
    pub fn empty() -> Self {
        let provider = Provider::start().taking(|ask| ask.header("authorization") == Some(&format!("Bearer {TOKEN}")));
        let receiver = Receiver::start();
        let site = Site::new(&[]);
        let catalog = site.path().join("catalog");
        fs::create_dir(&catalog).expect("a folder");
        let resource = PROVIDER_RESOURCE.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
        let entry = format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: mockkeap}}\nspec:\n  title: Mock Keap\n  baseUrl: \
             \"{}\"\n  auth: {{bearer: {{}}}}\n  resources:\n  - name: records\n{resource}\n",
            provider.url()
        );
        fs::write(catalog.join("mockkeap.yaml"), entry).expect("a file");
        let mut command = site.command();
        command.arg("--catalog").arg(catalog).arg("--console=127.0.0.1:0");
        let local = site.spawn(command);
        let base = ticket(&local, 0).split("/open").next().expect("an origin").to_owned();
        Self { provider, receiver, site, local, base }
    }

    pub fn start() -> Self {
        let (provider, receiver) = (Provider::start(), Receiver::start());
        provider.create("first");
        let healthy = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().earliest();
        let broken = Instance::new("broken", &provider.url(), "http://127.0.0.1:9/in").basic_auth().earliest();
        let hourly = |instance: &Instance| instance.yaml().replace("interval: 5s", "interval: 1h");
        let site = Site::new(&[hourly(&healthy), hourly(&broken)]);
        let mut command = site.command();
        command.arg("--console=127.0.0.1:0");
        let local = site.spawn(command);
        let base = ticket(&local, 0).split("/open").next().expect("an origin").to_owned();
        local.wait_ready("it");
        Self { provider, receiver, site, local, base }
    }

    pub fn address(&self) -> SocketAddr {
        self.base.trim_start_matches("http://").parse().expect("an address")
    }

    /// The URL that was printed as the one of this number, from 0.
    pub fn ticket(&self, number: usize) -> String {
        ticket(&self.local, number)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let reply = client::exchange(method, &url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        assert_eq!(canary::find_in(&reply.body), None, "a secret is shown at {url}: {}", reply.body);
        reply
    }

    /// Signs in with the URL of this number; the cookie as it is sent back.
    pub fn sign_in(&self, number: usize) -> String {
        let opened = self.ask("GET", &self.ticket(number), &[], None);
        assert_eq!(opened.status, 200, "{}", opened.body);
        cookie(&opened).split(';').next().expect("a cookie").to_owned()
    }

    /// Sends a form as the page with this body does.
    pub fn submit(&self, path: &str, cookie: &str, fields: &str) -> Reply {
        let headers = [
            ("Cookie", cookie),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", self.base.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.ask("POST", path, &headers, Some(fields.to_owned()))
    }
}

/// What a reply sets.
pub fn cookie(reply: &Reply) -> String {
    reply.headers.get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The token of the forms of a page.
pub fn token(page: &Reply) -> String {
    let token = page.body.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    token.unwrap_or_else(|| panic!("no form: {}", page.body)).to_owned()
}

fn ticket(local: &Pollinator, number: usize) -> String {
    let find = |text: &str| {
        let urls = text.lines().filter_map(|line| line.split("in the browser to be signed in: ").nth(1));
        urls.map(str::to_owned).nth(number)
    };
    local.wait_stderr("in the browser to be signed in: ");
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        if let Some(url) = find(&local.stderr()) {
            return url;
        }
        assert!(std::time::Instant::now() < deadline, "URL {number} is not printed: {}", local.stderr());
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
