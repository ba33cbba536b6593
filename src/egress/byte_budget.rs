//! The memory for bodies and retry queues: one bound for the whole process, shared fairly between namespaces and their instances.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::ledger::{BodyId, LARGEST, Ledger};
use crate::api::identity::InstanceRef;

/// Bytes of all bodies, unless it is said otherwise.
pub const DEFAULT: usize = 128 * 1024 * 1024;
/// The least that can be set: one body on the lifeline, and as much for all others ([`super::ledger`]).
pub const LEAST: usize = 2 * LARGEST;

/// Shares out the memory for bodies and retry queues. A clone shares the budget.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    calls: HashMap<BodyId, oneshot::Sender<()>>,
}

/// What one body holds. Dropping it gives all of it back, so it is kept as long as the body.
#[derive(Debug)]
pub struct Share {
    shared: Arc<Mutex<Shared>>,
    id: BodyId,
}

/// What the retry queues of one instance hold. Dropping it gives all of it back.
#[derive(Debug)]
pub struct QueueShare {
    shared: Arc<Mutex<Shared>>,
    instance: InstanceRef,
    held: AtomicUsize,
}

impl Default for ByteBudget {
    /// 128 MiB.
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl ByteBudget {
    /// A budget of `limit` bytes, at least [`LEAST`].
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { ledger: Ledger::new(limit), calls: HashMap::new() })) }
    }

    /// The share of one body of an instance. It holds nothing yet.
    pub fn share(&self, instance: &InstanceRef) -> Share {
        let id = self.shared.lock().ledger.open(instance);
        Share { shared: Arc::clone(&self.shared), id }
    }

    /// The share of the retry queues of an instance. It holds nothing yet.
    pub fn queue_share(&self, instance: &InstanceRef) -> QueueShare {
        QueueShare { shared: Arc::clone(&self.shared), instance: instance.clone(), held: AtomicUsize::new(0) }
    }

    /// Whether one that already holds pages may read another one, only so as to have more of them together.
    pub fn has_room(&self) -> bool {
        self.shared.lock().ledger.has_room()
    }
}

impl Share {
    /// Waits until it holds that many bytes, at most [`LARGEST`].
    pub async fn grow(&mut self, bytes: usize) {
        let called = {
            let mut shared = self.shared.lock();
            shared.ledger.want(self.id, bytes);
            if !shared.ledger.waits(self.id) {
                return;
            }
            let (call, called) = oneshot::channel();
            shared.calls.insert(self.id, call);
            shared.call_next();
            called
        };
        // The end of a call is dropped only with the memory it holds.
        let _ = called.await;
    }

    /// The body is complete and has that many bytes: what is held beyond them is given back.
    pub fn settle(&mut self, bytes: usize) {
        let mut shared = self.shared.lock();
        shared.ledger.settle(self.id, bytes);
        shared.call_next();
    }
}

impl QueueShare {
    /// Bytes that the queues may hold now, at least what they hold.
    pub fn room(&self) -> usize {
        self.shared.lock().ledger.room_of_queues(&self.instance)
    }

    /// The queues hold this many bytes from now on.
    pub fn hold(&self, bytes: usize) {
        let before = self.held.swap(bytes, Ordering::AcqRel);
        if before != bytes {
            let mut shared = self.shared.lock();
            shared.ledger.hold_queued(&self.instance, before, bytes);
            shared.call_next();
        }
    }
}

impl Drop for QueueShare {
    fn drop(&mut self) {
        self.hold(0);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.calls.remove(&self.id);
        shared.ledger.close(self.id);
        shared.call_next();
    }
}

impl Shared {
    fn call_next(&mut self) {
        while let Some(id) = self.ledger.grant_next() {
            // One that has just given up does not hear it, and gives everything back when it is dropped.
            if let Some(call) = self.calls.remove(&id) {
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
    async fn a_body_waits_until_another_is_dropped_and_one_that_gave_up_holds_nothing() {
        let budget = ByteBudget::new(LEAST);
        let instance = InstanceRef::new("crm", "keap");
        let mut held = Vec::new();
        // One fits next to the lifeline, one is on it.
        for _ in 0..2 {
            let mut share = budget.share(&instance);
            share.grow(LARGEST / 2).now_or_never().expect("there is room");
            held.push(share);
        }
        let mut waits = budget.share(&instance);
        assert!(waits.grow(LARGEST).now_or_never().is_none());
        drop(waits);
        let mut next = budget.share(&instance);
        let mut grown = Box::pin(next.grow(LARGEST));
        assert!(grown.as_mut().now_or_never().is_none());
        held.clear();
        grown.await;
        assert_eq!(budget.shared.lock().ledger.held(), LARGEST);
        drop(next);
        assert_eq!(budget.shared.lock().ledger.held(), 0);
        assert!(budget.shared.lock().calls.is_empty());
    }
}
