//! What the tests are built from.
//!
//! A test writes manifests ([`manifest`]), starts the binary on them ([`pollinator`]), changes records at a provider
//! ([`provider`], [`real_server`]), and asks the [`oracle`] to compare the provider's history with what the [`receiver`] got.
//! Doubles speak HTTP through [`http`], so that they can also speak it badly. Everything that happens is written to a [`log`],
//! and waiting means waiting for the log.

pub mod canary;
pub mod client;
pub mod faults;
pub mod http;
pub mod log;
pub mod manifest;
pub mod oracle;
pub mod pollinator;
pub mod provider;
pub mod real_server;
pub mod receiver;
pub mod scene;
pub mod traffic;

use std::time::{Duration, Instant};

/// Long enough for several polls at the shortest interval on a busy machine; a test that meets it has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

use oracle::{Delivered, Truth, Verdict};
use pollinator::Pollinator;
use receiver::Receiver;

/// Waits until every object's last state has come, then judges all that came. A state that does not come in time is a missing
/// one, not a panic: the caller shows the verdict. The truth is asked for each time, since it may go on changing.
pub fn settle(
    receiver: &Receiver,
    instance: &str,
    truth: impl Fn() -> Truth,
    version: impl Fn(&str) -> Option<i64> + Copy,
) -> Verdict {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let truth = truth();
        let delivered: Vec<Delivered> = receiver.delivered(instance);
        let verdict = oracle::judge(&truth, &delivered, version);
        let left = deadline.saturating_duration_since(Instant::now());
        if verdict.missing.is_empty() || left.is_zero() {
            return verdict;
        }
        let want = truth.changed_objects().max(delivered.len() + 1);
        receiver.try_wait(instance, left.min(Duration::from_secs(1)), |posts| {
            (posts.iter().filter(|post| post.accepted()).count() >= want).then_some(())
        });
    }
}

/// Fails the test with all there is to read unless the verdict is perfect.
pub fn assert_perfect(verdict: &Verdict, pollinator: &Pollinator, instance: &str) {
    assert!(verdict.is_perfect(), "{instance}:\n{verdict}\n{}", pollinator.report(instance));
}
