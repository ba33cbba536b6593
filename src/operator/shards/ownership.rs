//! Proof of ownership. Every side effect for an instance presents its guard first and ends when the guard is cancelled.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::range::Range;
use super::tenure::{Epoch, Held};
use crate::moment::{self, Moment};

/// The longest nap between two looks at the clock: sleeping tasks do not notice that the machine slept, too.
const LOOK: Duration = Duration::from_secs(1);

/// One claim to one range. Clones are the same claim; a range that is lost and owned again has a new one.
#[derive(Clone)]
pub struct OwnershipGuard(Arc<Tenure>);

struct Tenure {
    range: Range,
    epoch: Epoch,
    /// Nanoseconds of [`clock`].
    until: AtomicU64,
    cancel: CancellationToken,
}

/// The range is not owned any more, or not known to be: do nothing further for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process no longer owns the range")]
pub struct OwnershipLost;

impl OwnershipGuard {
    pub(super) fn new(range: Range, held: &Held) -> Self {
        let until = AtomicU64::new(held.until.as_nanos());
        Self(Arc::new(Tenure { range, epoch: held.epoch.clone(), until, cancel: CancellationToken::new() }))
    }

    /// The range.
    pub fn range(&self) -> Range {
        self.0.range
    }

    /// Orders the claims to the range: a store of state may refuse an older one.
    pub fn epoch(&self) -> &Epoch {
        &self.0.epoch
    }

    /// Whether it is owned at this very moment. To be asked right before every request and commit: a process that was paused or a machine
    /// that slept finds out here, before any timer can fire.
    ///
    /// # Errors
    /// [`OwnershipLost`], from then on for ever.
    pub fn check(&self) -> Result<(), OwnershipLost> {
        if !self.0.cancel.is_cancelled() && moment::now() < self.until() {
            return Ok(());
        }
        self.end();
        Err(OwnershipLost)
    }

    /// How long the claim lasts if it is never renewed: a bound for what cannot be cancelled. Zero when lost.
    pub fn remaining(&self) -> Duration {
        if self.check().is_ok() { self.until().since(moment::now()) } else { Duration::ZERO }
    }

    /// A token of the caller's own, cancelled when the range is lost or given back, or when its deadline passes without a renewal.
    /// What is under way must be aborted then. Cancelling it ends nothing but what the caller hung on it.
    pub fn cancel(&self) -> CancellationToken {
        self.0.cancel.child_token()
    }

    fn until(&self) -> Moment {
        Moment::of_nanos(self.0.until.load(Ordering::Acquire))
    }

    /// Prolongs the claim; false if it had ended before.
    pub(super) fn extend(&self, held: &Held) -> bool {
        if self.check().is_err() {
            return false;
        }
        self.0.until.fetch_max(held.until.as_nanos(), Ordering::AcqRel);
        !self.0.cancel.is_cancelled()
    }

    pub(super) fn end(&self) {
        self.0.cancel.cancel();
    }

    /// Ends the claim at its deadline, whatever else this process is busy with.
    pub(super) async fn expire(self) {
        while self.check().is_ok() {
            let nap = self.until().since(moment::now()).min(LOOK);
            tokio::select! {
                () = self.0.cancel.cancelled() => return,
                () = tokio::time::sleep(nap) => {}
            }
        }
    }
}

impl fmt::Debug for OwnershipGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnershipGuard")
            .field("range", &self.0.range)
            .field("epoch", &self.0.epoch)
            .field("lost", &self.0.cancel.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The ranges that this process owns and in which it may start work. A range that is being handed over is not among them.
#[derive(Clone, Debug)]
pub struct OwnedRanges {
    guards: Vec<Option<OwnershipGuard>>,
}

impl OwnedRanges {
    /// None of `of` ranges.
    pub fn none(of: u16) -> Self {
        Self { guards: vec![None; usize::from(of)] }
    }

    /// The guard for an object with this `metadata.uid`; `None` if another process owns it, or none does.
    pub fn guard_of(&self, uid: &str) -> Option<OwnershipGuard> {
        let range = Range::of_uid(uid, self.of());
        self.guards.get(usize::from(range.index()))?.clone().filter(|guard| guard.check().is_ok())
    }

    /// Number of ranges that all hashes are cut into.
    pub fn of(&self) -> u16 {
        u16::try_from(self.guards.len()).unwrap_or(u16::MAX)
    }

    /// Whether the first range is owned: of what all replicas could do, one does it.
    pub fn has_first(&self) -> bool {
        self.guards.first().is_some_and(|guard| guard.as_ref().is_some_and(|guard| guard.check().is_ok()))
    }

    /// The guards of all owned ranges.
    pub fn iter(&self) -> impl Iterator<Item = &OwnershipGuard> {
        self.guards.iter().flatten()
    }

    pub(super) fn set(&mut self, range: Range, guard: Option<OwnershipGuard>) {
        if let Some(slot) = self.guards.get_mut(usize::from(range.index())) {
            *slot = guard;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(left: Duration) -> Held {
        Held { epoch: Epoch { lease: "uid".into(), number: 1 }, until: moment::now() + left }
    }

    #[tokio::test]
    async fn ends_at_its_deadline_by_itself() {
        let range = Range::of_uid("a", 4);
        let guard = OwnershipGuard::new(range, &held(Duration::from_millis(50)));
        assert_eq!(guard.check(), Ok(()));
        tokio::spawn(guard.clone().expire());
        let own = guard.cancel();
        guard.cancel().cancel();
        assert_eq!(guard.check(), Ok(()), "one job's end is not the range's");
        own.cancelled().await;
        assert_eq!(guard.check(), Err(OwnershipLost));
        assert!(!guard.extend(&held(Duration::from_mins(1))), "the dead stay dead");
        assert_eq!((guard.check(), guard.remaining()), (Err(OwnershipLost), Duration::ZERO));
    }

    #[test]
    fn notices_its_end_without_a_timer() {
        let guard = OwnershipGuard::new(Range::of_uid("a", 4), &held(Duration::ZERO));
        assert!(!guard.cancel().is_cancelled());
        assert_eq!(guard.check(), Err(OwnershipLost));
        assert!(guard.cancel().is_cancelled());
    }

    #[test]
    fn is_found_by_uid() {
        let mut owned = OwnedRanges::none(4);
        assert!(owned.guard_of("a").is_none());
        let range = Range::of_uid("a", 4);
        let guard = OwnershipGuard::new(range, &held(Duration::from_mins(1)));
        owned.set(range, Some(guard.clone()));
        assert_eq!(owned.guard_of("a").map(|guard| guard.range()), Some(range));
        let elsewhere = (0..100).map(|n| n.to_string()).find(|uid| Range::of_uid(uid, 4) != range).unwrap();
        assert!(owned.guard_of(&elsewhere).is_none());
        guard.end();
        assert!(owned.guard_of("a").is_none());
    }
}
