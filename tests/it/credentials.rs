//! OAuth 2.0 with `local`: the double is strict and logs every use of a token, which is the oracle.
//!
//! - [`grants`]: every grant and every way to prove that one is the client; access tokens that end all the time.
//! - [`kills`]: the process dies between marker, answer, write and use.
//! - [`real`]: the same against a server that this project did not write.
//! - [`refusals`]: what the token endpoint, the API and the Secret can have wrong, each with its condition.
//! - [`shared`]: several instances of one Secret, and tokens that version 0.1.0 kept for each of them.

mod grants;
mod kills;
mod real;
mod refusals;
mod shared;

use std::time::{Duration, Instant};

use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::oracle::Verdict;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::{PATIENCE, assert_perfect, settle};

/// Waits until a refresh `came`, and gives consent where a kill turns out to have lost the token: that is found out when the next one is
/// needed, which may be polls after the start. Returns how often that was.
fn wait_refresh(pollinator: &Pollinator, came: impl Fn(Duration) -> bool, consent: impl Fn()) -> usize {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !came(Duration::from_secs(1)) {
        assert!(Instant::now() < deadline, "no refresh: {}", pollinator.report("it"));
        if pollinator.rows("it").last().is_some_and(|row| row.reason == "ReauthorizationRequired") {
            consent();
            assert!(came(PATIENCE), "no refresh after the consent: {}", pollinator.report("it"));
            return 1;
        }
    }
    0
}

/// An authorization server, a provider that takes its access tokens, one instance called `it`, one receiver.
pub struct Scene {
    pub oauth: OauthServer,
    pub provider: Provider,
    pub receiver: Receiver,
    pub site: Site,
}

impl Scene {
    /// `members` of `auth.oauth2` beside tokenUrl and secretRef; `secret` beside the client.
    pub fn new(oauth: OauthServer, members: &str, secret: &[(&str, &str)]) -> Self {
        let provider = Provider::start().taking(oauth.takes());
        let receiver = Receiver::start();
        let scene = Self { oauth, provider, receiver, site: Site::new(&[]) };
        scene.declare(members);
        scene.secret(secret);
        scene
    }

    /// The everyday manifest with these members.
    pub fn instance(&self, members: &str) -> Instance {
        let auth = format!("oauth2: {{tokenUrl: \"{}\", secretRef: {{name: oauth}}, {members}}}", self.oauth.token_url());
        Instance { auth, ..Instance::new("it", &self.provider.url(), &self.receiver.url("it")) }
    }

    pub fn declare(&self, members: &str) {
        manifest::write(&self.site.manifests(), "instances.yaml", &[self.instance(members).yaml()]);
    }

    /// Writes the user's Secret: the client, and this.
    pub fn secret(&self, entries: &[(&str, &str)]) {
        let client = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let missing = client.iter().filter(|(name, _)| entries.iter().all(|(other, _)| other != name));
        let entries: Vec<_> = missing.chain(entries).copied().collect();
        self.raw_secret(&entries);
    }

    /// Writes the user's Secret with nothing but this.
    pub fn raw_secret(&self, entries: &[(&str, &str)]) {
        manifest::write(&self.site.manifests(), "oauth.yaml", &[manifest::secret("oauth", entries)]);
    }

    pub fn start(&self) -> Pollinator {
        let pollinator = self.site.start_tracing();
        pollinator.wait_ready("it");
        pollinator
    }

    pub fn verdict(&self) -> Verdict {
        settle(&self.receiver, "it", || self.provider.truth(), provider::version)
    }

    pub fn assert_perfect(&self, pollinator: &Pollinator) {
        assert_perfect(&self.verdict(), pollinator, "it");
    }
}
