//! How much one host is asked: requests under way at once, and the waits that it demanded, shared by everything that asks it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Origin;

/// Requests under way to one origin at once.
const PER_HOST: usize = 4;
/// Requests under way in all.
const IN_ALL: usize = 256;
/// Waits that are kept before the expired ones are looked for.
const SWEEP: usize = 64;

/// Shares out requests to hosts. A clone shares the budget. Origins without requests or waits take no memory.
#[derive(Clone, Debug)]
pub struct HostBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    per_host: usize,
    in_all: Arc<Semaphore>,
    lanes: Mutex<HashMap<Origin, Lane>>,
    holds: Mutex<Holds>,
}

/// The permits of one origin, and how many callers hold or await one.
#[derive(Debug)]
struct Lane {
    permits: Arc<Semaphore>,
    callers: usize,
}

/// Until when a credential may not be used with an origin.
#[derive(Debug, Default)]
struct Holds {
    until: HashMap<(Origin, u64), Instant>,
    /// Number of entries at which the expired ones are dropped.
    sweep_at: usize,
}

/// One request's share. Dropping it gives the share back.
#[derive(Debug)]
pub struct Permit {
    // Before the lane: a waiting caller must find the permit free when it is counted.
    _host: OwnedSemaphorePermit,
    _global: OwnedSemaphorePermit,
    _caller: Caller,
}

/// Counts a caller in a lane; the last one to leave takes the lane away.
#[derive(Debug)]
struct Caller {
    shared: Arc<Shared>,
    origin: Origin,
}

impl Default for HostBudget {
    /// Four requests a host, 256 in all.
    fn default() -> Self {
        Self::new(PER_HOST, IN_ALL)
    }
}

impl HostBudget {
    /// A budget of `per_host` requests under way to one origin and `in_all` to all of them.
    pub fn new(per_host: usize, in_all: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                per_host,
                in_all: Arc::new(Semaphore::new(in_all)),
                lanes: Mutex::default(),
                holds: Mutex::default(),
            }),
        }
    }

    /// Waits for a share of the origin. Callers are served in the order in which they came.
    ///
    /// Errors: how long the origin asked this credential to wait, if the wait is not over; nothing is waited for then, so that the
    /// caller can put the whole poll off.
    pub async fn acquire(&self, origin: &Origin, credential: u64) -> Result<Permit, Duration> {
        self.check(origin, credential)?;
        let (caller, permits) = Caller::enter(&self.shared, origin);
        // The host first: who queues for a slow host must not keep a share of the whole.
        let (Ok(host), Ok(global)) = (permits.acquire_owned().await, Arc::clone(&self.shared.in_all).acquire_owned().await)
        else {
            // Only a closed semaphore refuses, and none is ever closed.
            return Err(Duration::from_secs(1));
        };
        // Another caller may have been told to wait in the meantime.
        self.check(origin, credential)?;
        Ok(Permit { _host: host, _global: global, _caller: caller })
    }

    /// Keeps a credential from asking an origin until then. An earlier end than the present one changes nothing.
    pub fn hold(&self, origin: &Origin, credential: u64, until: Instant) {
        self.shared.holds.lock().extend(origin, credential, until, Instant::now());
    }

    fn check(&self, origin: &Origin, credential: u64) -> Result<(), Duration> {
        self.shared.holds.lock().wait(origin, credential, Instant::now()).map_or(Ok(()), Err)
    }
}

impl Holds {
    fn extend(&mut self, origin: &Origin, credential: u64, until: Instant, now: Instant) {
        if self.until.len() >= self.sweep_at {
            self.until.retain(|_, end| *end > now);
            self.sweep_at = (self.until.len() * 2).max(SWEEP);
        }
        let end = self.until.entry((origin.clone(), credential)).or_insert(until);
        *end = until.max(*end);
    }

    /// What is left of the wait, or `None` if there is none; one that is over is dropped.
    fn wait(&mut self, origin: &Origin, credential: u64, now: Instant) -> Option<Duration> {
        if self.until.is_empty() {
            return None;
        }
        let key = (origin.clone(), credential);
        let wait = self.until.get(&key)?.saturating_duration_since(now);
        if wait.is_zero() {
            self.until.remove(&key);
            return None;
        }
        Some(wait)
    }
}

impl Caller {
    fn enter(shared: &Arc<Shared>, origin: &Origin) -> (Self, Arc<Semaphore>) {
        let mut lanes = shared.lanes.lock();
        let lane = lanes
            .entry(origin.clone())
            .or_insert_with(|| Lane { permits: Arc::new(Semaphore::new(shared.per_host)), callers: 0 });
        lane.callers += 1;
        let permits = Arc::clone(&lane.permits);
        (Self { shared: Arc::clone(shared), origin: origin.clone() }, permits)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut lanes = self.shared.lanes.lock();
        if let Some(lane) = lanes.get_mut(&self.origin) {
            lane.callers -= 1;
            if lane.callers == 0 {
                lanes.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use url::Url;

    fn origin(url: &str) -> Origin {
        Url::parse(url).expect(url).origin()
    }

    /// The outcome if it needs no waiting.
    fn now(budget: &HostBudget, origin: &Origin, credential: u64) -> Option<Result<Permit, Duration>> {
        budget.acquire(origin, credential).now_or_never()
    }

    #[tokio::test]
    async fn a_host_is_asked_so_often_at_once_and_no_more() {
        let budget = HostBudget::new(2, 10);
        let (a, b) = (origin("https://a.example"), origin("https://b.example"));
        let first = now(&budget, &a, 1).expect("free").expect("no hold");
        let _second = now(&budget, &a, 2).expect("free").expect("no hold");
        assert!(now(&budget, &a, 1).is_none(), "a third request to the same host must wait");
        assert!(now(&budget, &b, 1).is_some(), "another host has its own budget");
        drop(first);
        assert!(now(&budget, &a, 1).is_some(), "a share given back is free");
    }

    #[tokio::test]
    async fn all_hosts_share_the_whole() {
        let budget = HostBudget::new(2, 2);
        let held = [now(&budget, &origin("https://a.example"), 1), now(&budget, &origin("https://b.example"), 1)];
        assert!(held.iter().all(Option::is_some));
        assert!(now(&budget, &origin("https://c.example"), 1).is_none());
        drop(held);
        assert!(now(&budget, &origin("https://c.example"), 1).is_some());
    }

    #[tokio::test]
    async fn who_queues_for_a_host_keeps_no_share_of_the_whole() {
        let budget = HostBudget::new(1, 2);
        let a = origin("https://a.example");
        let _held = now(&budget, &a, 1).expect("free").expect("no hold");
        let mut queued = Box::pin(budget.acquire(&a, 1));
        assert!(queued.as_mut().now_or_never().is_none());
        assert!(now(&budget, &origin("https://b.example"), 1).is_some(), "the second share is free for another host");
    }

    #[test]
    fn a_hold_counts_for_its_origin_and_credential_until_it_ends() {
        let mut holds = Holds::default();
        let now = Instant::now();
        let (a, second) = (origin("https://a.example"), Duration::from_secs(1));
        holds.extend(&a, 1, now + 30 * second, now);
        holds.extend(&a, 1, now + 10 * second, now);
        assert_eq!(holds.wait(&a, 1, now), Some(30 * second), "a shorter wait does not end a longer one");
        assert_eq!(holds.wait(&a, 2, now), None, "another credential is not held");
        assert_eq!(holds.wait(&origin("https://b.example"), 1, now), None, "another host is not held");
        assert_eq!(holds.wait(&origin("https://a.example:8443"), 1, now), None, "another port is another origin");
        assert_eq!(holds.wait(&a, 1, now + 29 * second), Some(second));
        assert_eq!(holds.wait(&a, 1, now + 30 * second), None);
        assert!(holds.until.is_empty(), "an expired hold is dropped");
    }

    #[test]
    fn expired_holds_are_dropped_on_the_way() {
        let mut holds = Holds::default();
        let (a, mut now) = (origin("https://a.example"), Instant::now());
        for credential in 0..10_000 {
            holds.extend(&a, credential, now + Duration::from_secs(1), now);
            now += Duration::from_millis(100);
            assert!(holds.until.len() <= SWEEP);
        }
    }

    #[tokio::test]
    async fn a_hold_reaches_those_who_already_queue() {
        let budget = HostBudget::new(1, 10);
        let a = origin("https://a.example");
        let held = now(&budget, &a, 1).expect("free").expect("no hold");
        let mut queued = Box::pin(budget.acquire(&a, 1));
        assert!(queued.as_mut().now_or_never().is_none());
        budget.hold(&a, 1, Instant::now() + Duration::from_hours(1));
        drop(held);
        assert!(queued.await.is_err_and(|wait| wait <= Duration::from_hours(1)));
        assert!(now(&budget, &a, 2).expect("free").is_ok(), "who was turned away keeps no share");
    }

    #[tokio::test]
    async fn nothing_is_kept_for_an_idle_host() {
        let budget = HostBudget::new(1, 10);
        let a = origin("https://a.example");
        let held = now(&budget, &a, 1);
        {
            let mut given_up = Box::pin(budget.acquire(&a, 1));
            assert!(given_up.as_mut().now_or_never().is_none());
        }
        assert_eq!(budget.shared.lanes.lock().len(), 1);
        drop(held);
        assert!(budget.shared.lanes.lock().is_empty());
    }
}
