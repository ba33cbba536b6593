//! When a request may be sent: within what may be under way to its sink and to all sinks, and one at a time to a sink that is only probed.

use tokio::sync::{MutexGuard, SemaphorePermit};

use super::{Outbox, Outlet};
use crate::deliver::delivery_state::SharedState;
use crate::deliver::health::Admission;
use crate::egress::turn_queue::Turn;
use crate::egress::turns::Standing;

/// Leave to send requests to one outlet, one after the other.
pub(super) struct Pass<'a> {
    /// The sink is down: what is sent is the only probe, of all resources.
    probe: Option<MutexGuard<'a, ()>>,
    _in_flight: Option<SemaphorePermit<'a>>,
    _turn: Turn,
}

impl<'a, S: SharedState> Outbox<'a, S> {
    /// Waits until something may be sent to an outlet; `None`: nothing may be now. While another resource probes the sink, its outcome is
    /// waited for: then the sink is open, or closed until the next step.
    pub(super) async fn pass(&self, index: usize) -> Option<Pass<'a>> {
        let Outlet { in_flight, probe, .. } = self.outlets[index];
        loop {
            let held = match self.admission(index)? {
                Admission::Open => None,
                Admission::Probe => Some(probe.lock().await),
                Admission::ClosedUntil(_) | Admission::Gone => return None,
            };
            let probe = held.filter(|_| self.admission(index) == Some(Admission::Probe));
            // The semaphore is never closed.
            let pass = Pass { probe, _in_flight: in_flight.acquire().await.ok(), _turn: self.turn(index).await };
            // What became of others meanwhile counts: the sink may have been closed, or closed and due for a probe.
            if self.admits(index, &pass) {
                return Some(pass);
            }
        }
    }

    /// Whether something may be sent to an outlet with this pass, still.
    pub(super) fn admits(&self, index: usize, pass: &Pass<'_>) -> bool {
        match self.admission(index) {
            Some(Admission::Open) => true,
            Some(Admission::Probe) => pass.probe.is_some(),
            Some(Admission::ClosedUntil(_) | Admission::Gone) | None => false,
        }
    }

    /// Waits until one more request of all instances may be sent. One whose sink fails or is new leaves some places to others.
    async fn turn(&self, index: usize) -> Turn {
        let Outlet { sink, turns, .. } = &self.outlets[index];
        let (name, target) = (&self.names[index], sink.target());
        let standing = self.state.step(&self.list, |state| match state.sinks.health(name).failing_since() {
            Some(_) => Standing::Hangs,
            None if state.sinks.has_accepted(name, target) => Standing::Answers,
            None => Standing::Unknown,
        });
        turns.acquire(self.instance, standing).await
    }
}
