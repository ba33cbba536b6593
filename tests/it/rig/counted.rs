//! Whether the metrics of processes count what came to the receiver: of what it accepted no more, and no less.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::oracle::Kind;
use super::pollinator::Pollinator;
use super::receiver::{Post, Receiver};
use super::{PATIENCE, client};

/// Counts by the names of the series.
type Counts = BTreeMap<String, u64>;

const EVENTS: &str = "pollinator_events_total";
const ATTEMPTS: &str = "pollinator_delivery_attempts_total";
const REQUESTS: &str = "pollinator_requests_total";

/// What a process must count that sent these requests.
fn expected(posts: &[Post]) -> Counts {
    let mut counts = Counts::new();
    for (kind, word) in [(Kind::Created, "created"), (Kind::Updated, "updated"), (Kind::Deleted, "deleted")] {
        let of = |posts: &mut dyn Iterator<Item = &Post>| {
            posts.map(|post| post.events().iter().filter(|event| event.kind == kind).count()).sum::<usize>() as u64
        };
        let accepted = of(&mut posts.iter().filter(|post| post.accepted()));
        counts.insert(format!("{EVENTS} {word} accepted"), accepted);
        counts.insert(format!("{ATTEMPTS} {word} accepted"), accepted);
        counts.insert(format!("{ATTEMPTS} {word} not accepted"), of(&mut posts.iter()) - accepted);
    }
    let accepted = posts.iter().filter(|post| post.accepted()).count();
    counts.insert(format!("{REQUESTS} 2xx"), accepted as u64);
    counts.insert(format!("{REQUESTS} other"), (posts.len() - accepted) as u64);
    counts
}

/// The same as a scrape says it.
fn counted(scrape: &str) -> Counts {
    let mut counts = Counts::new();
    for line in scrape.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let label = |name: &str| series.split_once(&format!("{name}=\""))?.1.split('"').next();
        let name = match series.split('{').next() {
            Some(of @ (EVENTS | ATTEMPTS)) => {
                let (kind, outcome) = (label("kind").expect("a kind"), label("outcome").expect("an outcome"));
                format!("{of} {kind} {}", if outcome == "accepted" { "accepted" } else { "not accepted" })
            }
            Some(REQUESTS) if label("peer") == Some("callback") => {
                format!("{REQUESTS} {}", if label("status") == Some("2xx") { "2xx" } else { "other" })
            }
            _ => continue,
        };
        *counts.entry(name).or_default() += value.parse::<u64>().expect("a count");
    }
    counts
}

/// What did not reach the receiver is counted, too: of what was not accepted there may be more.
fn agree(expected: &Counts, counted: &Counts) -> bool {
    let agrees = |(name, sent): (&String, &u64)| {
        let counted = counted.get(name).copied().unwrap_or_default();
        if name.ends_with(" accepted") && !name.ends_with("not accepted") || name.ends_with("2xx") {
            counted == *sent
        } else {
            counted >= *sent
        }
    };
    expected.iter().all(agrees)
}

/// Fails the test unless the process counts all that it has sent since it was started. One that serves no metrics, or was not alone,
/// is not asked: what came could be another's.
pub fn assert_counted(process: &Pollinator, receiver: &Receiver) {
    let (Some(address), true) = (process.metrics_address(), process.was_alone()) else { return };
    wait_counted(receiver, process.started(), || counted(&scrape(&address)));
}

/// What several processes count together from a moment on at which none of them has anything to deliver.
pub struct Together {
    addresses: Vec<String>,
    since: Instant,
    before: Counts,
}

impl Together {
    pub fn begin<'p>(processes: impl IntoIterator<Item = &'p Pollinator>) -> Self {
        let address = |process: &Pollinator| process.metrics_address().expect("a process that serves metrics");
        let addresses: Vec<_> = processes.into_iter().map(address).collect();
        let before = Self::sum(&addresses);
        Self { addresses, since: Instant::now(), before }
    }

    fn sum(addresses: &[String]) -> Counts {
        counted(&addresses.iter().map(|address| scrape(address)).collect::<String>())
    }

    /// Fails the test unless they counted all that came since.
    pub fn assert(&self, receiver: &Receiver) {
        wait_counted(receiver, self.since, || {
            let mut counts = Self::sum(&self.addresses);
            for (name, count) in &mut counts {
                *count -= self.before.get(name).copied().unwrap_or_default();
            }
            counts
        });
    }
}

fn scrape(address: &str) -> String {
    client::must("GET", &format!("{address}/metrics"), None)
}

fn wait_counted(receiver: &Receiver, since: Instant, read: impl Fn() -> Counts) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let posts: Vec<_> = receiver.all().into_iter().filter(|post| post.ask.at >= since).collect();
        let (expected, counted) = (expected(&posts), read());
        if agree(&expected, &counted) {
            return;
        }
        // A request is counted when its answer has arrived, which may be a moment after it was sent.
        assert!(Instant::now() < deadline, "the receiver got {expected:#?}\nthe metrics say {counted:#?}");
        thread::park_timeout(Duration::from_millis(50));
    }
}
