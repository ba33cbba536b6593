//! Who owns which instances, so that each is polled by one process and by no two.
//!
//! The hashes of all uids are cut into S fixed [`range`]s, the shards. Each has a Lease, and each process (member) has one more as its sign
//! of life. There is no leader that assigns: every member computes the same assignment from who lives and who holds what ([`rendezvous`]),
//! tries to get the Leases of its own part ([`election`]), and hands over what is too much, one range at a time ([`session`]). So no call
//! between members is needed, and the loss of any of them is nothing special: its Leases run out, and the others compute again.
//!
//! An owned range is a guard ([`ownership`]), which is cancelled when the range is lost, or when its deadline on the local clock passes.
//! All work for an instance holds the guard of its range. Before a range is handed over, a [`Drain`] asks for its work to end and its state
//! to be stored; only then is the Lease given back. If the drain does not end in time, the Lease is left to run out instead.
//!
//! The rules that make this safe are those of client-go's leader election:
//!
//! - **Only this machine's clock counts**, and only for durations ([`crate::moment`]). The times in a Lease are for people: a holder counts from
//!   when it *sent* its last successful write, the others from when they *saw* the Lease change.
//! - **Every write is a compare-and-swap**, so of several candidates one wins. An answer that got lost is replaced by reading: the write
//!   carries a mark by which it is known again.
//! - **A Lease that vanished, or from which the holder's name was removed, counts as held for a whole lease.** Someone may act under it.
//! - **A claim ends before another one can begin.** A holder stops after the renew deadline, which is shorter than the lease.
//!
//! So at most one process owns a range, as long as clocks run at rates that differ by less than lease / renew deadline (1.5) and no one
//! deletes all Leases under a starting process. A process that is frozen in the middle of a request can still be overtaken. State is
//! therefore committed by compare-and-swap, and events have ids by which a receiver recognizes duplicates.
//!
//! Everything but `coordinator`, which makes the calls ([`lease`]), is pure and tested as a model: elections against an API server that
//! loses and delays messages, sessions against members that crash, pause and come back.

pub mod action;
pub mod call;
mod coordinator;
pub mod election;
pub mod lease;
pub mod members;
pub mod name;
pub mod ownership;
pub mod presence;
pub mod range;
pub mod record;
pub mod rendezvous;
pub mod scope;
pub mod session;
mod slot;
pub mod tenure;
pub mod timing;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use self::coordinator::Coordinator;
use self::lease::{Leases, Trouble};
pub use self::ownership::{OwnedRanges, OwnershipGuard, OwnershipLost};
use self::range::{DEFAULT_RANGES, MAX_RANGES, Range};
use self::scope::Scope;
use self::session::{Membership, Session};
use self::timing::Timing;
use super::outage_log::OutageLog;
use crate::api::names;

/// How ownership is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardsConfig {
    /// Where the Leases are: the operator's own namespace.
    pub namespace: String,
    /// Name of this process for readers of Leases: the pod's. Something unique is appended.
    pub identity: String,
    /// Which processes share: the name of the installation, prefix of the names of all Leases.
    pub group: String,
    /// Number of ranges; the same for all members, and changed only while none runs. 1 is plain leader election.
    pub ranges: u16,
    /// What this process watches; the same for all members that are to share the work.
    pub scope: Scope,
    /// How long claims last.
    pub timing: Timing,
    /// How long work under way may take to end before a range is handed over.
    pub drain_bound: Duration,
}

impl ShardsConfig {
    /// The defaults: group `pollinator`, 16 ranges, all namespaces, client-go's timing, 20 s to drain.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            identity: identity.into(),
            group: "pollinator".to_owned(),
            ranges: DEFAULT_RANGES,
            scope: Scope::All,
            timing: Timing::default(),
            drain_bound: Duration::from_secs(20),
        }
    }

    fn check(&self) -> Result<(), ConfigProblem> {
        if !(1..=MAX_RANGES).contains(&self.ranges) {
            return Err(ConfigProblem::Ranges);
        }
        if self.group.len() > 63 || !names::is_subdomain(&self.group) {
            return Err(ConfigProblem::Group);
        }
        let is_identity = self.identity.len() <= 150 && names::is_subdomain(&self.identity);
        if is_identity { Ok(()) } else { Err(ConfigProblem::Identity) }
    }
}

/// A configuration that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    /// See [`ShardsConfig::ranges`].
    #[error("the number of ranges must be from 1 to {MAX_RANGES}")]
    Ranges,
    /// See [`ShardsConfig::group`].
    #[error("the group's name must have at most 63 lower-case letters, digits, dots and dashes")]
    Group,
    /// See [`ShardsConfig::identity`].
    #[error("the identity must have at most 150 lower-case letters, digits, dots and dashes")]
    Identity,
}

/// The membership of this process in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its part; ready means [`Membership::is_ready`].
    pub membership: Membership,
    /// The result of the last call about Leases, if that was not an answer.
    pub trouble: Option<Trouble>,
}

/// The request to let all work in a range end, before it is handed over. The range is still owned, and its guard good for what is
/// under way, until [`Drain::ended`] or until the guard is cancelled.
#[derive(Debug)]
pub struct Drain {
    guard: OwnershipGuard,
    ended: mpsc::UnboundedSender<(Range, i32)>,
}

impl Drain {
    /// The range.
    pub fn range(&self) -> Range {
        self.guard.range()
    }

    /// The claim that is about to end. Work under another one in the same range is not meant.
    pub fn guard(&self) -> &OwnershipGuard {
        &self.guard
    }

    /// Reports that nothing is under way any more and all state is committed. Without this call, also when this is dropped, the range is
    /// not given back but left to run out after [`ShardsConfig::drain_bound`]: no other process gets it for the time of a lease.
    pub fn ended(self) {
        // The receiver is gone only if the coordinator is, and with it the claim.
        let _ = self.ended.send((self.guard.range(), self.guard.epoch().number));
    }
}

/// This process's part in the group.
#[derive(Debug)]
pub struct Shards {
    owned: watch::Receiver<OwnedRanges>,
    health: watch::Receiver<Health>,
    task: JoinHandle<()>,
}

impl Shards {
    /// Joins the group and goes on until `shutdown`; then drains and gives back all ranges. `client` should come from
    /// [`lease::client`]. `outages` takes why calls fail. Every range that is to be handed over arrives at the receiver first: see
    /// [`Drain`].
    ///
    /// A range that appears among the owned ones may have had another owner a moment ago: read state from the API server, not from
    /// a cache, before anything is done for an instance in it.
    ///
    /// # Errors
    /// See [`ConfigProblem`].
    pub fn start(
        client: Client,
        config: &ShardsConfig,
        outages: Arc<OutageLog>,
        shutdown: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Drain>), ConfigProblem> {
        config.check()?;
        let process = coordinator::process_name(&config.identity);
        let (owned, owned_receiver) = watch::channel(OwnedRanges::none(config.ranges));
        let (health, health_receiver) = watch::channel(Health { membership: Membership::Joining, trouble: None });
        let (drains, drains_receiver) = mpsc::channel(usize::from(config.ranges));
        let coordinator = Coordinator {
            session: Session::new(&process, config.ranges, config.timing, config.drain_bound).watching(config.scope.clone()),
            leases: Leases::new(client, &config.namespace, &config.group, config.scope.clone()),
            timing: config.timing,
            owned,
            health,
            trouble: None,
            drains,
            outages,
        };
        let task = tokio::spawn(coordinator.run(shutdown));
        Ok((Self { owned: owned_receiver, health: health_receiver, task }, drains_receiver))
    }

    /// The owned ranges, as they change.
    pub fn owned(&self) -> watch::Receiver<OwnedRanges> {
        self.owned.clone()
    }

    /// How this process stands, as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Waits until everything is given back. To be watched all the time: if this ends before `shutdown`, nothing is owned any more
    /// and the process should end.
    ///
    /// # Errors
    /// It ended by a defect.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.task).await
    }
}

#[cfg(test)]
mod tests {
    pub(super) mod dice;

    use super::*;

    #[test]
    fn configurations_are_judged() {
        let good = ShardsConfig::new("pollinator-system", "pollinator-6d5f-x2x");
        assert_eq!(good.check(), Ok(()));
        assert_eq!(ShardsConfig { ranges: 0, ..good.clone() }.check(), Err(ConfigProblem::Ranges));
        assert_eq!(ShardsConfig { ranges: 257, ..good.clone() }.check(), Err(ConfigProblem::Ranges));
        for bad in ["", "Laptop", "-a", "a_b", &"a".repeat(151)] {
            assert_eq!(ShardsConfig { identity: bad.to_owned(), ..good.clone() }.check(), Err(ConfigProblem::Identity));
        }
        assert_eq!(ShardsConfig { group: "a".repeat(64), ..good }.check(), Err(ConfigProblem::Group));
    }
}
