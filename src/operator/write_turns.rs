//! Whose status is written next: when many wait, the namespace with the fewest writes under way, then the instance.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::api::identity::InstanceRef;
use crate::egress::turns::{Permits, Standing, Ticket, Turns};

/// Shares out the writes that may be under way at once.
#[derive(Clone, Debug)]
pub(super) struct WriteTurns {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    turns: Turns<()>,
    calls: HashMap<Ticket, oneshot::Sender<()>>,
}

/// One write. Dropping it gives its place to the next one.
#[derive(Debug)]
pub(super) struct WriteTurn {
    shared: Arc<Mutex<Shared>>,
    ticket: Ticket,
}

impl WriteTurns {
    /// At most `writes` writes at once.
    pub(super) fn new(writes: usize) -> Self {
        let turns = Turns::new(Permits { per_lane: writes, in_all: writes });
        Self { shared: Arc::new(Mutex::new(Shared { turns, calls: HashMap::new() })) }
    }

    /// Waits for a place.
    pub(super) async fn acquire(&self, instance: &InstanceRef) -> WriteTurn {
        let (ticket, called) = {
            let mut shared = self.shared.lock();
            let ticket = shared.turns.ask(instance, Standing::Answers, ());
            let (call, called) = oneshot::channel();
            shared.calls.insert(ticket, call);
            shared.call_next();
            (ticket, called)
        };
        // Made before waiting: a caller that gives up gives the place back.
        let turn = WriteTurn { shared: Arc::clone(&self.shared), ticket };
        // The end of a call is dropped only with its turn.
        let _ = called.await;
        turn
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.calls.remove(&self.ticket);
        shared.turns.leave(self.ticket);
        shared.call_next();
    }
}

impl Shared {
    fn call_next(&mut self) {
        while let Some(ticket) = self.turns.grant_next() {
            // One that has just given up does not hear it, and gives the place back when it is dropped.
            if let Some(call) = self.calls.remove(&ticket) {
                let _ = call.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_namespace_with_a_thousand_statuses_delays_no_other_by_more_than_one_write() {
        let turns = WriteTurns::new(4);
        let greedy: Vec<_> = (0..1_000).map(|name| InstanceRef::new("greedy", format!("i{name}"))).collect();
        let mut waiting: Vec<_> = greedy.iter().map(|instance| Box::pin(turns.acquire(instance))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(|turn| turn.as_mut().now_or_never()).collect();
        assert_eq!(held.len(), 4);
        let other = InstanceRef::new("other", "i");
        let mut honest = Box::pin(turns.acquire(&other));
        assert!(honest.as_mut().now_or_never().is_none());
        drop(held.into_iter().next());
        assert!(honest.now_or_never().is_some(), "the next place is its");
    }
}
