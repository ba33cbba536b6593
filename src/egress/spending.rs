//! What was sent to each host under the limits that its provider declares: one account for all instances of the process that share a
//! credential, or an OAuth 2.0 client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Origin;

use super::allowance::{Allowance, Sent};

/// Accounts that are kept before the empty ones are looked for.
const SWEEP: usize = 64;

/// A limit that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Fingerprint of the credential, or of the client.
    pub subject: u64,
    /// Distinguishes the limits of one subject.
    pub group: u64,
    /// How many requests are allowed.
    pub allowance: Allowance,
}

/// What was sent, by host, subject and limit.
#[derive(Debug)]
pub(super) struct Spending {
    begun: Instant,
    accounts: Mutex<Accounts>,
    turns: Mutex<HashMap<(Origin, u64, usize), Arc<Semaphore>>>,
}

#[derive(Debug, Default)]
struct Accounts {
    sent: HashMap<(Origin, u64, u64), (Allowance, Sent)>,
    /// Credentials that are to slow down.
    paces: HashMap<(Origin, u64), Pace>,
    /// Number of entries at which the empty ones are dropped.
    sweep_at: usize,
}

/// The least time between two requests, for a while.
#[derive(Clone, Copy, Debug)]
struct Pace {
    gap: Duration,
    next: Duration,
    ends: Duration,
}

impl Spending {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), accounts: Mutex::default(), turns: Mutex::default() }
    }

    /// Counts one request, or says how long it is until one is allowed; nothing is counted then.
    pub(super) fn spend(&self, origin: &Origin, credential: u64, charges: &[Charge]) -> Result<(), Duration> {
        self.accounts.lock().spend(origin, credential, charges, self.begun.elapsed())
    }

    /// The provider says how many requests are left under a limit, and perhaps when there are more. How long it is until one is allowed, if
    /// none is now.
    pub(super) fn believe(&self, origin: &Origin, charge: &Charge, left: u32, renewed: Option<Duration>) -> Option<Duration> {
        let at = self.begun.elapsed();
        let mut accounts = self.accounts.lock();
        let sent = accounts.sent_under(origin, charge, at);
        sent.believe(&charge.allowance, left, renewed, at);
        sent.wait(&charge.allowance, at)
    }

    /// Requests with this credential keep such a distance until then.
    pub(super) fn pace(&self, origin: &Origin, credential: u64, gap: Duration, lasts: Duration) {
        let at = self.begun.elapsed();
        let mut accounts = self.accounts.lock();
        let pace = Pace { gap, next: at + gap, ends: at + lasts };
        accounts.paces.insert((origin.clone(), credential), pace);
        accounts.sweep(at);
    }

    /// Waits until fewer than `most` requests with this credential are under way.
    pub(super) async fn turn(&self, origin: &Origin, credential: u64, most: usize) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut turns = self.turns.lock();
            if turns.len() >= SWEEP {
                turns.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            let new = || Arc::new(Semaphore::new(most));
            Arc::clone(turns.entry((origin.clone(), credential, most)).or_insert_with(new))
        };
        // It is never closed.
        turns.acquire_owned().await.ok()
    }
}

impl Accounts {
    fn spend(&mut self, origin: &Origin, credential: u64, charges: &[Charge], at: Duration) -> Result<(), Duration> {
        // Most providers limit nothing that is known, and then a request costs no more than this.
        if charges.is_empty() && self.paces.is_empty() {
            return Ok(());
        }
        let pace = self.paces.get(&(origin.clone(), credential)).filter(|pace| at < pace.ends).copied();
        let paced = pace.and_then(|pace| pace.next.checked_sub(at)).filter(|wait| !wait.is_zero());
        let limited = charges.iter().filter_map(|charge| self.sent_under(origin, charge, at).wait(&charge.allowance, at)).max();
        if let Some(wait) = paced.max(limited) {
            // not a moment too early, whatever a timer rounds to
            return Err(wait + Duration::from_millis(1));
        }
        for charge in charges {
            self.sent_under(origin, charge, at).count_one(&charge.allowance, at);
        }
        if let Some(pace) = self.paces.get_mut(&(origin.clone(), credential)) {
            pace.next = at + pace.gap;
        }
        Ok(())
    }

    fn sent_under(&mut self, origin: &Origin, charge: &Charge, at: Duration) -> &mut Sent {
        self.sweep(at);
        let key = (origin.clone(), charge.subject, charge.group);
        &mut self.sent.entry(key).or_insert_with(|| (charge.allowance, Sent::default())).1
    }

    fn sweep(&mut self, at: Duration) {
        if self.sent.len() + self.paces.len() < self.sweep_at.max(SWEEP) {
            return;
        }
        self.sent.retain(|_, (allowance, sent)| !sent.is_empty(allowance, at));
        self.paces.retain(|_, pace| at < pace.ends);
        self.sweep_at = (self.sent.len() + self.paces.len()) * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    const MINUTE: Allowance = Allowance { count: 2, period: Duration::from_mins(1) };

    fn origin(url: &str) -> Origin {
        Url::parse(url).expect(url).origin()
    }

    fn charge(subject: u64) -> Charge {
        Charge { subject, group: 1, allowance: MINUTE }
    }

    #[test]
    fn all_that_share_a_subject_share_its_allowance() {
        let (mut accounts, a) = (Accounts::default(), origin("https://a.example"));
        let at = Duration::ZERO;
        for credential in [1, 2] {
            assert_eq!(accounts.spend(&a, credential, &[charge(7)], at), Ok(()));
        }
        assert!(accounts.spend(&a, 3, &[charge(7)], at).is_err(), "two credentials of one client have used it up");
        assert_eq!(accounts.spend(&a, 3, &[charge(8)], at), Ok(()), "another client");
        assert_eq!(accounts.spend(&origin("https://b.example"), 3, &[charge(7)], at), Ok(()), "another host");
    }

    #[test]
    fn a_request_that_one_limit_refuses_counts_against_none() {
        let (mut accounts, a, at) = (Accounts::default(), origin("https://a.example"), Duration::ZERO);
        let day = Charge { group: 2, allowance: Allowance { count: 1, period: Duration::from_hours(24) }, ..charge(7) };
        assert_eq!(accounts.spend(&a, 1, &[day], at), Ok(()));
        let wait = accounts.spend(&a, 1, &[charge(7), day], at).unwrap_err();
        assert!(wait > Duration::from_hours(22), "{wait:?}");
        for _ in 0..2 {
            assert_eq!(accounts.spend(&a, 1, &[charge(7)], at), Ok(()), "the minute is untouched");
        }
    }

    #[test]
    fn requests_keep_their_distance_until_the_quota_is_renewed() {
        let spending = Spending::new();
        let a = origin("https://a.example");
        spending.pace(&a, 1, Duration::from_secs(10), Duration::from_mins(1));
        let mut accounts = spending.accounts.lock();
        let wait = accounts.spend(&a, 1, &[], Duration::from_secs(1)).unwrap_err();
        assert!((8..=10).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(accounts.spend(&a, 2, &[], Duration::from_secs(1)), Ok(()), "another credential");
        assert_eq!(accounts.spend(&a, 1, &[], Duration::from_secs(12)), Ok(()));
        assert!(accounts.spend(&a, 1, &[], Duration::from_secs(13)).is_err());
        assert_eq!(accounts.spend(&a, 1, &[], Duration::from_secs(62)), Ok(()), "it is over");
    }

    #[test]
    fn a_quota_that_is_spent_is_left_alone_until_it_is_renewed() {
        let spending = Spending::new();
        let a = origin("https://a.example");
        let day = Charge { allowance: Allowance { count: 5_000, period: Duration::from_hours(24) }, ..charge(7) };
        let until = spending.believe(&a, &day, 0, Some(Duration::from_hours(3))).expect("spent");
        assert!(until > Duration::from_mins(179) && until <= Duration::from_hours(3), "{until:?}");
        let mut accounts = spending.accounts.lock();
        assert!(accounts.spend(&a, 1, &[day], Duration::from_hours(2)).is_err());
        assert_eq!(accounts.spend(&a, 1, &[day], Duration::from_hours(4)), Ok(()));
    }

    #[tokio::test]
    async fn so_many_are_under_way_at_once_and_no_more() {
        use futures::FutureExt as _;
        let spending = Spending::new();
        let a = origin("https://a.example");
        let held = spending.turn(&a, 1, 1).await;
        assert!(spending.turn(&a, 1, 1).now_or_never().is_none());
        assert!(spending.turn(&a, 2, 1).now_or_never().is_some(), "another credential");
        drop(held);
        assert!(spending.turn(&a, 1, 1).now_or_never().is_some());
    }

    #[test]
    fn accounts_that_are_empty_are_forgotten() {
        let (mut accounts, a) = (Accounts::default(), origin("https://a.example"));
        for subject in 0..10_000 {
            let at = Duration::from_secs(subject * 10);
            assert_eq!(accounts.spend(&a, subject, &[charge(subject)], at), Ok(()));
            assert!(accounts.sent.len() <= 2 * SWEEP, "{}", accounts.sent.len());
        }
    }
}
