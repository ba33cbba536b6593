//! What the tests are built from.
//!
//! A test writes manifests ([`manifest`]), starts the binary on them ([`pollinator`]), changes records at a provider
//! ([`provider`], [`real_server`]), and asks the [`oracle`] to compare the provider's history with what the [`receiver`] got.
//! Doubles speak HTTP through [`http`], so that they can also speak it badly. Everything that happens is written to a [`log`],
//! and waiting means waiting for the log. Pages of the documentation are read by [`markdown`], and what they say is typed by a
//! [`reader`].

pub mod api_proxy;
pub mod axe;
pub mod browser;
pub mod bucket;
pub mod canary;
pub mod claims;
pub mod client;
pub mod clock;
pub mod control_plane;
pub mod counted;
pub mod described;
pub mod faults;
pub mod fleet;
pub mod history;
pub mod http;
pub mod in_process;
pub mod ingress;
pub mod kubelet;
pub mod log;
pub mod manifest;
pub mod markdown;
pub mod memory_limit;
pub mod oauth_server;
pub mod oidc;
pub mod operator;
pub mod oracle;
pub mod page_body;
pub mod person;
pub mod pollinator;
pub mod provider;
pub mod raw;
pub mod reader;
pub mod real_server;
pub mod receiver;
pub mod rights;
pub mod scene;
pub mod siege;
pub mod status_lint;
pub mod strain;
pub mod tls;
pub mod traffic;
pub mod turns;
pub mod zoo;

use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for several polls at the shortest interval on a busy machine; a test that meets it has failed.
pub const PATIENCE: Duration = Duration::from_mins(3);

use oracle::{Delivered, Truth, Verdict};

/// Runs a test of this binary again as a process that can be killed. `inner` is set there; what it prints behind `word` on a line is
/// returned.
pub fn run_again(test: &str, inner: &str, word: &str) -> (Child, String) {
    turns::take();
    let mut again = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "--nocapture", test])
        .env(inner, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let lines = BufReader::new(again.stdout.take().expect("piped")).lines();
    let found = lines.map_while(Result::ok).find_map(|line| line.split_once(word).map(|(_, rest)| rest.to_owned()));
    (again, found.expect("it says so"))
}
use pollinator::Pollinator;
use receiver::Receiver;

/// Says in one loud line that tests cannot run here; where `POLLINATOR_REQUIRE_CONTROL_PLANE` or CI ask for them, fails instead.
pub fn skip(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}");
    let is_required = env::var("POLLINATOR_REQUIRE_CONTROL_PLANE").is_ok_and(|value| value == "1")
        || env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_required, "{line}");
    // not eprintln!, which the test runner would keep to itself
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says in one loud line that a part of a test needs a program that nobody must have, such as another shell.
pub fn leave_out(what: &str, why: &str) {
    let _ = writeln!(io::stderr(), "left out: {what}: {why}");
}

/// Whether a program, or a part of one such as `cargo cyclonedx`, can be run here.
pub fn is_installed(program: &str) -> bool {
    let mut words = program.split(' ');
    Command::new(words.next().unwrap_or_default())
        .args(words)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A port that was free a moment ago; another process may take it, so whoever uses it tries again with another.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Waits until every object's last state has come, then judges all that came. Patience begins anew with each arrival. A state
/// that does not come in time is a missing one, not a panic: the caller shows the verdict. The truth is asked for each time, since it may go on changing.
pub fn settle(
    receiver: &Receiver,
    instance: &str,
    truth: impl Fn() -> Truth,
    version: impl Fn(&str) -> Option<i64> + Copy,
) -> Verdict {
    let mut deadline = Instant::now() + PATIENCE;
    let mut arrived = 0;
    loop {
        let truth = truth();
        let delivered: Vec<Delivered> = receiver.delivered(instance);
        if delivered.len() > arrived {
            arrived = delivered.len();
            deadline = Instant::now() + PATIENCE;
        }
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
