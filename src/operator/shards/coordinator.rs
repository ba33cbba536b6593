//! Does what the session decides: calls, guards, drains. The loop never waits for a call.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::action::Action;
use super::call::Reply;
use super::lease::{Leases, Trouble};
use super::members::Dispute;
use super::name::Name;
use super::ownership::{OwnedRanges, OwnershipGuard};
use super::range::Range;
use super::record::Stored;
use super::session::{Membership, Session};
use super::tenure::Loss;
use super::timing::Timing;
use super::{Drain, Health};
use crate::moment::{self, Moment};
use crate::operator::outage_log::{Cause, OutageLog, Source};

/// How long the last call of a process may take, which only tidies up.
const TIDY_UP: Duration = Duration::from_secs(2);

pub(super) struct Coordinator {
    pub session: Session,
    pub leases: Leases,
    pub timing: Timing,
    pub owned: watch::Sender<OwnedRanges>,
    pub health: watch::Sender<Health>,
    /// The result of the last call, if not an answer.
    pub trouble: Option<Trouble>,
    pub drains: mpsc::Sender<Drain>,
    pub outages: Arc<OutageLog>,
}

enum Heard {
    Listed(Moment, Result<BTreeMap<Name, Stored>, Trouble>),
    Replied(Name, Reply, Option<Trouble>),
    Forgotten,
}

impl Coordinator {
    /// Runs until everything is given back after `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut calls = JoinSet::new();
        let mut guards: BTreeMap<Range, OwnershipGuard> = BTreeMap::new();
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut watch = pin!(self.leases.watch());
        let mut leaving = false;
        loop {
            let (actions, wake) = self.session.step(moment::now(), Utc::now());
            for action in actions {
                self.perform(action, &mut calls, &mut guards, &ended);
            }
            self.report();
            if self.session.is_over() {
                break;
            }
            // A machine that slept must notice soon after it woke.
            let nap = wake.since(moment::now()).min(self.timing.retry());
            tokio::select! {
                () = shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    self.session.leave();
                }
                Some(heard) = calls.join_next() => match heard {
                    Ok(heard) => self.hear(heard),
                    // The session would wait for ever for an answer: let the whole claim of this process run out.
                    Err(error) => return tracing::error!("a request for a Lease ended unexpectedly: {error}"),
                },
                Some((name, lease)) = watch.next() => self.session.noticed(&name, lease, moment::now()),
                Some((range, epoch)) = endings.recv() => self.session.drained(range, epoch),
                () = tokio::time::sleep(nap) => {}
            }
        }
        if let Some((name, lease)) = self.session.own_lease() {
            self.leases.forget(name, lease, TIDY_UP).await;
        }
    }

    fn perform(
        &mut self,
        action: Action,
        calls: &mut JoinSet<Heard>,
        guards: &mut BTreeMap<Range, OwnershipGuard>,
        ended: &mpsc::UnboundedSender<(Range, i32)>,
    ) {
        let leases = self.leases.clone();
        match action {
            Action::List(within) => {
                let asked = moment::now();
                calls.spawn(async move { Heard::Listed(asked, leases.list(within).await) });
            }
            Action::Call(name, request) => {
                calls.spawn(async move {
                    let (reply, trouble) = leases.call(&name, request).await;
                    Heard::Replied(name, reply, trouble)
                });
            }
            Action::Forget(name, lease) => {
                let within = self.timing.call();
                calls.spawn(async move {
                    leases.forget(&name, &lease, within).await;
                    Heard::Forgotten
                });
            }
            Action::Own(range, held) => {
                let guard = OwnershipGuard::new(range, &held);
                tracing::info!(%range, epoch = held.epoch.number, "range owned");
                // Detached on purpose: it outlives this loop, should that end badly.
                tokio::spawn(guard.clone().expire());
                guards.insert(range, guard.clone());
                self.owned.send_modify(|owned| owned.set(range, Some(guard)));
            }
            Action::Extend(range, held) => {
                if !guards.get(&range).is_some_and(|guard| guard.extend(&held)) {
                    // The answer came at the very moment of the deadline, and the end may have been reported already.
                    self.session.abandon(range);
                }
            }
            Action::Drain(range, held) => {
                tracing::info!(%range, epoch = held.epoch.number, "handing a range over");
                self.owned.send_modify(|owned| owned.set(range, None));
                if let Some(guard) = guards.get(&range).cloned() {
                    let drain = Drain { guard, ended: ended.clone() };
                    // One place a range: it is full only if drains of claims that ended are not taken out. Then, as without a
                    // receiver, the drain runs into its bound.
                    let _ = self.drains.try_send(drain);
                }
            }
            Action::Lose(range, loss) => {
                if let Some(guard) = guards.remove(&range) {
                    guard.end();
                }
                self.owned.send_modify(|owned| owned.set(range, None));
                match loss {
                    Loss::Released => tracing::info!(%range, "range released"),
                    Loss::Expired => tracing::warn!(%range, "range lost: its Lease was not renewed in time"),
                    Loss::Taken => tracing::warn!(%range, "range lost: its Lease names another holder"),
                    Loss::Abandoned => tracing::warn!(%range, "range left to expire: work under way did not end in time"),
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let (now, roll) = (moment::now(), rand::random::<f64>());
        match heard {
            Heard::Listed(asked, result) => {
                self.trouble = result.as_ref().err().cloned();
                self.note_trouble(&Source::LeaseList, true);
                self.session.listed(result.ok(), asked, now, roll);
            }
            Heard::Replied(name, reply, trouble) => {
                self.trouble = trouble;
                // Reading may be allowed where writing is not.
                self.note_trouble(&Source::LeaseCalls, !matches!(reply, Reply::Found(_)));
                self.session.replied(&name, reply, now, roll);
            }
            Heard::Forgotten => {}
        }
    }

    /// Notes what came of a call. `proves`: had it been refused, that would show.
    fn note_trouble(&self, source: &Source, proves: bool) {
        match &self.trouble {
            Some(Trouble::Unusable(unusable)) => self.outages.note(&Source::Leases, Some(Cause::Unusable(unusable.clone()))),
            Some(late @ Trouble::Unavailable) => self.outages.note(&Source::Leases, Some(Cause::Refused(late.to_string()))),
            Some(other) => self.outages.note(source, Some(Cause::Refused(other.to_string()))),
            None => {
                self.outages.note(&Source::Leases, None);
                if proves {
                    self.outages.note(source, None);
                }
            }
        }
    }

    fn log_dispute(&self, dispute: Dispute) {
        let others = self.session.other_scope(moment::now()).map(tracing::field::display);
        match dispute {
            Dispute::Ranges => tracing::error!(
                "another process uses a different number of ranges; nothing is taken over until it is gone: \
                 stop all processes before changing the number of ranges"
            ),
            Dispute::Namespaces => tracing::error!(
                others,
                "another process of this lease group watches other namespaces; nothing is taken over until it is gone: give each \
                 installation a --lease-group of its own, or stop all processes before changing --watch-namespace"
            ),
            Dispute::Outscoped => tracing::warn!(
                others,
                "another process of this lease group watches more namespaces; it takes over all instances of this one: give all \
                 processes of a lease group the same --watch-namespace"
            ),
        }
    }

    /// Reports the state, if it changed.
    fn report(&self) {
        let next = Health { membership: self.session.membership(moment::now()), trouble: self.trouble.clone() };
        self.health.send_if_modified(|health| {
            let previous = std::mem::replace(health, next.clone());
            if previous.membership != next.membership
                && let Membership::Disagreement(dispute) = next.membership
            {
                self.log_dispute(dispute);
            }
            previous != next
        });
    }
}

/// The name of this process among all that there ever were.
pub(super) fn process_name(identity: &str) -> Arc<str> {
    // A restarted container has the name of the one before, but none of its claims.
    let unique = uuid::Uuid::new_v4().simple().to_string();
    format!("{identity}-{}", &unique[..8]).into()
}
