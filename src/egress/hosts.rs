//! How much one host is asked: requests under way at once, and the waits that it demanded, shared by everything that asks it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use url::Origin;

use super::error::EgressError;
use super::spending::{Charge, Spending};
use super::turns::{Permits, Standing, Ticket, Turns};
use crate::api::identity::InstanceRef;

/// Requests under way to one origin at once.
const PER_HOST: usize = 4;
/// Requests under way in all. Most of them only wait for an answer, which costs a socket each: enough that a thousand hosts that hang leave
/// a quarter to the others.
const IN_ALL: usize = 1_280;
/// A wait that a request spends in its place; after a longer one it is to come again.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// An instance whose last request took longer than this leaves some permits to others, as if it had had no answer.
const LONG: Duration = Duration::from_secs(10);
/// Waits that are kept before the expired ones are looked for.
const SWEEP: usize = 64;
/// How long it is remembered how an instance's last request ended, at least.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Instances that are remembered before the old ones are looked for.
const SWEEP_STANDINGS: usize = 1_024;

/// Shares out requests to hosts, fairly between namespaces and their instances. A clone shares the budget. Origins without requests or
/// waits take no memory.
#[derive(Clone, Debug)]
pub struct HostBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    holds: Mutex<Holds>,
    spending: Spending,
}

/// Who has a permit, who waits for one, and how to wake the next one.
#[derive(Debug)]
struct Queue {
    turns: Turns<Origin>,
    calls: HashMap<Ticket, oneshot::Sender<()>>,
    standings: Standings,
}

/// How the last request of each instance ended, and when.
#[derive(Debug, Default)]
struct Standings {
    by_instance: HashMap<InstanceRef, (Standing, Instant)>,
    /// Number of entries at which the old ones are dropped.
    sweep_at: usize,
}

/// Until when a credential may not be used with an origin.
#[derive(Debug, Default)]
struct Holds {
    until: HashMap<(Origin, u64), Instant>,
    /// Number of entries at which the expired ones are dropped.
    sweep_at: usize,
}

/// Why a request is put off, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOff {
    /// The origin asked this credential to wait.
    Held(Duration),
    /// The requests that the provider allows are used up.
    UsedUp(Duration),
}

/// One request's share. Dropping it gives the share back.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    instance: InstanceRef,
    ticket: Ticket,
    /// When it was its turn.
    granted: Instant,
}

impl Default for HostBudget {
    /// Four requests a host, 1,280 in all.
    fn default() -> Self {
        Self::new(PER_HOST, IN_ALL)
    }
}

impl HostBudget {
    /// A budget of `per_host` requests under way to one origin and `in_all` to all of them.
    pub fn new(per_host: usize, in_all: usize) -> Self {
        let turns = Turns::new(Permits { per_lane: per_host, in_all });
        let queue = Queue { turns, calls: HashMap::new(), standings: Standings::default() };
        Self { shared: Arc::new(Shared { queue: Mutex::new(queue), holds: Mutex::default(), spending: Spending::new() }) }
    }

    /// Waits for a permit of the origin. The callers of one instance are served in the order in which they came; [`super::turns`] says
    /// which instance is next.
    ///
    /// Errors: how long the origin asked this credential to wait, if its retry-after has not passed; nothing is waited for then, so that
    /// the caller can put the whole poll off.
    pub async fn acquire(&self, origin: &Origin, instance: &InstanceRef, credential: u64) -> Result<Permit, Duration> {
        self.check(origin, credential)?;
        let (ticket, called) = self.shared.queue.lock().ask(origin, instance);
        // Made before waiting: a caller that gives up gives the place back.
        let (shared, granted) = (Arc::clone(&self.shared), Instant::now());
        let mut permit = Permit { shared, instance: instance.clone(), ticket, granted };
        if called.await.is_err() {
            // The end of a call is dropped only with its permit.
            return Err(Duration::from_secs(1));
        }
        // Another caller may have received a retry-after in the meantime.
        self.check(origin, credential)?;
        permit.granted = Instant::now();
        Ok(permit)
    }

    /// Keeps a credential from asking an origin until then. An earlier end than the present one changes nothing.
    pub fn hold(&self, origin: &Origin, credential: u64, until: Instant) {
        self.shared.holds.lock().extend(origin, credential, until, Instant::now());
    }

    /// Waits for a permit as [`Self::acquire`] does, and counts one request against the limits that a provider declares, with the
    /// distance of [`HostBudget::pace`]; waits up to half a minute for those, without a permit.
    ///
    /// # Errors
    /// It is put off, and not counted.
    pub async fn admit(
        &self,
        origin: &Origin,
        instance: &InstanceRef,
        credential: u64,
        charges: &[Charge],
    ) -> Result<Permit, PutOff> {
        let mut waited = Duration::ZERO;
        loop {
            let permit = self.acquire(origin, instance, credential).await.map_err(PutOff::Held)?;
            let Err(wait) = self.shared.spending.spend(origin, credential, charges) else { return Ok(permit) };
            drop(permit);
            waited += wait;
            if waited > MAX_WAIT {
                return Err(PutOff::UsedUp(wait));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The provider says how many requests are left under a limit, and perhaps in what time there are more. How long it is until one more
    /// is allowed; `None`: one is allowed now.
    pub fn believe(&self, origin: &Origin, charge: &Charge, left: u32, renewed: Option<Duration>) -> Option<Duration> {
        self.shared.spending.believe(origin, charge, left, renewed)
    }

    /// Requests to the origin with this credential keep such a distance for a while.
    pub fn pace(&self, origin: &Origin, credential: u64, gap: Duration, lasts: Duration) {
        self.shared.spending.pace(origin, credential, gap, lasts);
    }

    /// Waits until fewer than `most` requests with this credential are under way at the origin. Dropping what it yields gives the place
    /// back.
    pub async fn turn(&self, origin: &Origin, credential: u64, most: usize) -> Option<OwnedSemaphorePermit> {
        self.shared.spending.turn(origin, credential, most).await
    }

    fn check(&self, origin: &Origin, credential: u64) -> Result<(), Duration> {
        self.shared.holds.lock().wait(origin, credential, Instant::now()).map_or(Ok(()), Err)
    }
}

impl Permit {
    /// Notes how its request ended: an instance whose requests hang leaves some permits to others from now on.
    pub fn note<T>(&self, sent: &Result<T, EgressError>) {
        let now = Instant::now();
        let standing = match sent {
            Err(EgressError::Timeout(_)) => Standing::Hangs,
            Ok(_) | Err(_) if now.saturating_duration_since(self.granted) >= LONG => Standing::Hangs,
            Ok(_) | Err(_) => Standing::Answers,
        };
        self.shared.queue.lock().standings.note(&self.instance, standing, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.calls.remove(&self.ticket);
        queue.turns.leave(self.ticket);
        queue.call_next();
    }
}

impl Queue {
    fn ask(&mut self, origin: &Origin, instance: &InstanceRef) -> (Ticket, oneshot::Receiver<()>) {
        let ticket = self.turns.ask(instance, self.standings.of(instance), origin.clone());
        let (call, called) = oneshot::channel();
        self.calls.insert(ticket, call);
        self.call_next();
        (ticket, called)
    }

    fn call_next(&mut self) {
        while let Some(ticket) = self.turns.grant_next() {
            // One that has just given up does not hear it, and gives the permit back when it is dropped.
            if let Some(call) = self.calls.remove(&ticket) {
                let _ = call.send(());
            }
        }
    }
}

impl Standings {
    fn of(&self, instance: &InstanceRef) -> Standing {
        self.by_instance.get(instance).map_or(Standing::Unknown, |(standing, _)| *standing)
    }

    fn note(&mut self, instance: &InstanceRef, standing: Standing, now: Instant) {
        if let Some(known) = self.by_instance.get_mut(instance) {
            *known = (standing, now);
            return;
        }
        if self.by_instance.len() >= self.sweep_at {
            self.by_instance.retain(|_, (_, noted)| now.saturating_duration_since(*noted) < REMEMBERED);
            self.sweep_at = (self.by_instance.len() * 2).max(SWEEP_STANDINGS);
        }
        self.by_instance.insert(instance.clone(), (standing, now));
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
        budget.acquire(origin, &of(0), credential).now_or_never()
    }

    fn of(number: usize) -> InstanceRef {
        InstanceRef::new("crm", format!("i{number}"))
    }

    #[tokio::test]
    async fn a_host_is_asked_so_often_at_once_and_no_more() {
        let budget = HostBudget::new(2, 10);
        let (a, b) = (origin("https://a.example"), origin("https://b.example"));
        let first = now(&budget, &a, 1).expect("free").expect("no hold");
        first.note(&Ok(()));
        let _second = now(&budget, &a, 2).expect("free").expect("no hold");
        assert!(now(&budget, &a, 1).is_none(), "a third request to the same host must wait");
        assert!(now(&budget, &b, 1).is_some(), "another host has its own budget");
        drop(first);
        assert!(now(&budget, &a, 1).is_some(), "a permit given back is free");
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
        let caller = of(0);
        let mut queued = Box::pin(budget.acquire(&a, &caller, 1));
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
        let caller = of(0);
        let mut queued = Box::pin(budget.acquire(&a, &caller, 1));
        assert!(queued.as_mut().now_or_never().is_none());
        budget.hold(&a, 1, Instant::now() + Duration::from_hours(1));
        drop(held);
        assert!(queued.await.is_err_and(|wait| wait <= Duration::from_hours(1)));
        assert!(now(&budget, &a, 2).expect("free").is_ok(), "who was turned away keeps no share");
    }

    fn charge(count: u32, period: Duration) -> Charge {
        Charge { subject: 7, group: 1, allowance: super::super::allowance::Allowance { count, period } }
    }

    #[tokio::test]
    async fn a_short_wait_is_waited_and_a_long_one_is_told() {
        let budget = HostBudget::new(1, 10);
        let a = origin("https://a.example");
        let second = charge(1, Duration::from_secs(1));
        let begun = Instant::now();
        for _ in 0..2 {
            budget.admit(&a, &of(0), 1, &[second]).await.expect("a short wait");
        }
        assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
        let minute = Charge { group: 2, ..charge(1, Duration::from_mins(1)) };
        budget.admit(&a, &of(0), 1, &[minute]).await.expect("free");
        assert!(matches!(budget.admit(&a, &of(0), 1, &[minute]).await, Err(PutOff::UsedUp(_))));
        assert!(now(&budget, &a, 1).expect("free").is_ok(), "what is put off has no permit");
    }

    #[tokio::test]
    async fn a_request_that_is_put_off_by_a_hold_is_not_counted() {
        let budget = HostBudget::new(1, 10);
        let a = origin("https://a.example");
        let two_a_day = charge(2, Duration::from_hours(24));
        let left = |credential: u64| {
            let admit = || budget.admit(&a, &of(0), credential, &[two_a_day]).now_or_never().expect("no short wait");
            std::iter::repeat_with(admit).take_while(Result::is_ok).count()
        };
        budget.hold(&a, 1, Instant::now() + Duration::from_hours(1));
        for _ in 0..5 {
            assert!(matches!(budget.admit(&a, &of(0), 1, &[two_a_day]).await, Err(PutOff::Held(_))));
        }
        // One that queues for a permit when the hold comes.
        let held = now(&budget, &a, 2).expect("free").expect("no hold");
        let caller = of(0);
        let charges = [two_a_day];
        let mut queued = Box::pin(budget.admit(&a, &caller, 2, &charges));
        assert!(queued.as_mut().now_or_never().is_none());
        budget.hold(&a, 2, Instant::now() + Duration::from_hours(1));
        drop(held);
        assert!(matches!(queued.await, Err(PutOff::Held(_))));
        assert_eq!(left(3), 2, "another credential of the same client has them all");
    }

    #[tokio::test]
    async fn nothing_is_kept_for_an_idle_host() {
        let budget = HostBudget::new(1, 10);
        let a = origin("https://a.example");
        let held = now(&budget, &a, 1);
        {
            let caller = of(0);
            let mut given_up = Box::pin(budget.acquire(&a, &caller, 1));
            assert!(given_up.as_mut().now_or_never().is_none());
        }
        drop(held);
        let queue = budget.shared.queue.lock();
        assert!(queue.turns.is_idle() && queue.calls.is_empty());
    }
    #[tokio::test]
    async fn an_instance_whose_requests_hang_leaves_permits_to_others_until_it_answers_again() {
        let budget = HostBudget::new(4, 8);
        let (slow, other) = (of(1), of(2));
        let origins: Vec<_> = (0..8).map(|n| origin(&format!("https://h{n}.example"))).collect();
        let hung: Result<(), _> = Err(EgressError::Timeout(super::super::error::Phase::FirstByte));
        budget.acquire(&origins[0], &slow, 1).await.expect("free").note(&hung);
        let held: Vec<_> = origins.iter().map_while(|origin| budget.acquire(origin, &slow, 1).now_or_never()).collect();
        assert_eq!(held.len(), 6, "a quarter is left to others");
        budget.acquire(&origins[7], &other, 1).now_or_never().expect("free").expect("no hold").note(&Ok(()));
        drop(held);
        budget.acquire(&origins[0], &slow, 1).await.expect("free").note(&Ok(()));
        let held: Vec<_> = origins.iter().map_while(|origin| budget.acquire(origin, &slow, 1).now_or_never()).collect();
        assert_eq!(held.len(), 8, "it answers");
    }

    #[tokio::test]
    async fn an_instance_that_answers_late_leaves_a_permit_of_its_host_to_others() {
        let budget = HostBudget::new(4, 64);
        let (late, other, a) = (of(1), of(2), origin("https://a.example"));
        let take =
            |instance: &InstanceRef| budget.acquire(&a, instance, 1).now_or_never().map(|permit| permit.expect("no hold"));
        for (took, most) in [(LONG, 3), (LONG / 2, 4)] {
            let mut permit = take(&late).expect("free");
            permit.granted = permit.granted.checked_sub(took).expect("the clock began before");
            permit.note(&Ok(()));
            drop(permit);
            let held: Vec<_> = std::iter::from_fn(|| take(&late)).collect();
            assert_eq!((held.len(), take(&other).is_some()), (most, most < 4), "{took:?}");
        }
    }

    #[test]
    fn instances_that_ask_no_more_are_forgotten() {
        let (mut standings, mut now) = (Standings::default(), Instant::now());
        for number in 0..20_000 {
            standings.note(&of(number), Standing::Hangs, now);
            now += REMEMBERED / 1_000;
            assert!(standings.by_instance.len() <= 3 * SWEEP_STANDINGS);
        }
        assert_eq!(standings.of(&of(19_999)), Standing::Hangs);
        assert_eq!(standings.of(&of(0)), Standing::Unknown);
    }
}
