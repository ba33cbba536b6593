//! The everyday scene: one provider, one instance, one receiver, one folder.

use std::path::PathBuf;

use super::counted::assert_counted;
use super::manifest::Instance;
use super::oracle::Verdict;
use super::pollinator::{Pollinator, Site};
use super::provider::{self, Provider};
use super::receiver::{Post, Receiver};
use super::{PATIENCE, assert_perfect, settle};

/// A resource of the everyday provider. Without dates, every record must be remembered.
pub const BY_CONTENT: &str = "\
url: /records
recordsPath: records
idField: id
pagination: {nextLink: {field: next}}
deletes: {flag: {field: deleted}}
";

/// Its instance is called `it`.
pub struct Scene {
    pub provider: Provider,
    pub receiver: Receiver,
    pub site: Site,
}

impl Scene {
    /// With an everyday provider and an everyday manifest.
    pub fn new() -> Self {
        Self::with(Provider::start(), |instance| instance)
    }

    /// With this provider and a manifest that differs from the everyday one.
    pub fn with(provider: Provider, adjust: impl FnOnce(Instance) -> Instance) -> Self {
        let receiver = Receiver::start();
        let instance = adjust(Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth());
        let site = Site::new(&[instance.yaml()]);
        Self { provider, receiver, site }
    }

    /// The everyday manifest, to be changed and written again.
    pub fn instance(&self) -> Instance {
        Instance::new("it", &self.provider.url(), &self.receiver.url("it")).basic_auth()
    }

    /// Starts `local` and waits for the end of the first poll.
    pub fn start(&self) -> Pollinator {
        let pollinator = self.site.start();
        pollinator.wait_ready("it");
        pollinator
    }

    /// Waits until all is delivered, and judges.
    pub fn verdict(&self) -> Verdict {
        settle(&self.receiver, "it", || self.provider.truth(), provider::version)
    }

    /// Waits until all is delivered; nothing may be wrong, and the metrics count what came.
    pub fn assert_perfect(&self, pollinator: &Pollinator) {
        assert_perfect(&self.verdict(), pollinator, "it");
        assert_counted(pollinator, &self.receiver);
    }

    /// The same, and then two more polls bring nothing again.
    pub fn assert_stays_perfect(&self, pollinator: &Pollinator) {
        self.assert_perfect(pollinator);
        self.provider.wait_polled(2);
        self.assert_perfect(pollinator);
    }

    /// Waits for so many requests in all.
    pub fn wait_posts(&self, count: usize, pollinator: &Pollinator) -> Vec<Post> {
        let found = self.receiver.try_wait_count("it", PATIENCE, count);
        found.unwrap_or_else(|| panic!("fewer than {count} requests\n{}", pollinator.report("it")))
    }

    pub fn state_file(&self) -> PathBuf {
        self.site.state().join("it.it.json")
    }
}

/// So many ids with a prefix.
pub fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{prefix}-{n:05}"))
}
