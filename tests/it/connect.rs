//! The connect page: a person gives consent, and the instance is polled.
//!
//! - [`browser`]: in headless Chromium.
//! - [`forms`]: with `local` and a person who fills in forms; all that can go wrong on the way.
//! - [`replicas`]: on a cluster, with three replicas.
//! - [`served`]: what the page looks like from outside: headers, methods, bounds.

mod browser;
mod forms;
mod replicas;
mod served;

use std::thread;
use std::time::{Duration, Instant};

use crate::rig::PATIENCE;
use crate::rig::ingress::Ingress;
use crate::rig::manifest::{self, Instance};
use crate::rig::oidc::OAuthServer;
use crate::rig::person::{Page, Person};
use crate::rig::pollinator::{Pollinator, Row, Site};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// A real OAuth server, a provider that takes its access tokens, one instance called `it` that is polled once an hour, and an
/// address for the connect page.
pub struct Scene {
    pub oauth: OAuthServer,
    pub provider: Provider,
    pub receiver: Receiver,
    pub ingress: Ingress,
    pub site: Site,
}

impl Scene {
    /// With the client `user-basic` and one record at the provider.
    pub fn new() -> Option<Self> {
        let oauth = OAuthServer::start()?;
        let provider = Provider::start().taking(oauth.takes());
        provider.create("first");
        let scene = Self { oauth, provider, receiver: Receiver::start(), ingress: Ingress::start(), site: Site::new(&[]) };
        scene.declare(&[scene.instance(&scene.oauth.auth(""))]);
        scene.secret("user-basic");
        Some(scene)
    }

    /// The everyday instance with this `spec.auth`.
    pub fn instance(&self, auth: &str) -> Instance {
        let instance = Instance::new("it", &self.provider.url(), &self.receiver.url("it")).earliest();
        Instance { auth: auth.to_owned(), ..instance }
    }

    /// Only a wake brings the next poll in time.
    pub fn declare(&self, instances: &[Instance]) {
        let hourly = |instance: &Instance| instance.yaml().replace("interval: 5s", "interval: 1h");
        manifest::write(&self.site.manifests(), "instances.yaml", &instances.iter().map(hourly).collect::<Vec<_>>());
    }

    /// Writes the Secret of a client.
    pub fn secret(&self, client: &str) {
        manifest::write(&self.site.manifests(), "oauth.yaml", &[OAuthServer::secret(client, &[])]);
    }

    /// Starts `local`, and waits until the instance asks for consent.
    pub fn start(&self) -> Pollinator {
        let mut command = self.site.command();
        command.args(["--connect-url", &self.ingress.url(), "--connect-listen", "127.0.0.1:0", "--log", "trace"]);
        let pollinator = self.site.spawn(command);
        self.ingress.route(&[&pollinator]);
        pollinator
    }

    /// Waits until an instance asks for consent, and returns the address of its page.
    pub fn wait_asking(pollinator: &Pollinator, instance: &str) -> String {
        let asking = |row: &Row| row.connect.is_some() && row.tells("ReauthorizationRequired");
        pollinator.wait_for(instance, "a consent is asked for", asking).connect.expect("just seen").url
    }

    /// The address to which the provider sends a person back who agreed.
    pub fn agree(person: &mut Person, page: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut seen = person.visit(page);
            assert_eq!(seen.status(), 200, "{}", seen.body());
            if heading(&seen).starts_with("Connect ") {
                seen = person.submit(&seen, &[]);
                if !is_unsettled(&seen) {
                    return person.agree_from(seen, false).url.to_string();
                }
            }
            assert!(is_unsettled(&seen) && Instant::now() < deadline, "{}", seen.body());
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Neither tokens nor codes stand anywhere where people read.
    pub fn assert_nothing_secret(&self, pollinator: &Pollinator, codes: &[String]) {
        let tokens = self.oauth.tokens();
        assert!(!tokens.is_empty(), "the OAuth server tells what it issues");
        for secret in tokens.iter().chain(codes) {
            assert!(!pollinator.stdout().contains(secret) && !pollinator.stderr().contains(secret), "{}", pollinator.stderr());
        }
    }
}

/// The instance was just changed, say.
fn is_unsettled(page: &Page) -> bool {
    page.body().contains("<h1>It is not known yet whether")
}

/// What a page says in its heading.
pub fn heading(page: &Page) -> String {
    let heading = page.body().split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next());
    heading.unwrap_or_else(|| panic!("no heading at {}: {} {}", page.url, page.status(), page.body())).to_owned()
}
