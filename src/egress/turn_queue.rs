//! Callers that wait for one of a number of places, which are shared as [`super::turns`] says: statuses that are written, and events that
//! are delivered.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::turns::{Permits, Standing, Ticket, Turns};
use crate::api::identity::InstanceRef;

/// Shares out places. A clone shares them, too.
#[derive(Clone, Debug)]
pub struct TurnQueue {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    turns: Turns<()>,
    calls: HashMap<Ticket, oneshot::Sender<()>>,
}

/// One place. Dropping it gives it to the next one.
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Mutex<Shared>>,
    ticket: Ticket,
}

impl TurnQueue {
    /// This number of places.
    pub fn new(places: usize) -> Self {
        let turns = Turns::new(Permits { per_lane: places, in_all: places });
        Self { shared: Arc::new(Mutex::new(Shared { turns, calls: HashMap::new() })) }
    }

    /// Waits for a place. `standing`: what is known of the instance, which decides how many places it leaves to others.
    pub async fn acquire(&self, instance: &InstanceRef, standing: Standing) -> Turn {
        let (ticket, called) = {
            let mut shared = self.shared.lock();
            let ticket = shared.turns.ask(instance, standing, ());
            let (call, called) = oneshot::channel();
            shared.calls.insert(ticket, call);
            shared.call_next();
            (ticket, called)
        };
        // Made before waiting: a caller that gives up gives the place back.
        let turn = Turn { shared: Arc::clone(&self.shared), ticket };
        // The end of a call is dropped only with its turn.
        let _ = called.await;
        turn
    }
}

impl Drop for Turn {
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
    async fn a_namespace_with_a_thousand_callers_delays_no_other_by_more_than_one_place() {
        let turns = TurnQueue::new(4);
        let greedy: Vec<_> = (0..1_000).map(|name| InstanceRef::new("greedy", format!("i{name}"))).collect();
        let mut waiting: Vec<_> = greedy.iter().map(|instance| Box::pin(turns.acquire(instance, Standing::Answers))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(|turn| turn.as_mut().now_or_never()).collect();
        assert_eq!(held.len(), 4);
        let other = InstanceRef::new("other", "i");
        let mut honest = Box::pin(turns.acquire(&other, Standing::Answers));
        assert!(honest.as_mut().now_or_never().is_none());
        drop(held.into_iter().next());
        assert!(honest.now_or_never().is_some(), "the next place is its");
    }
}
