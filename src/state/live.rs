//! The state of an instance while it runs: in memory for its jobs, made durable by commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tracing::Instrument as _;

use super::{InstanceState, StateStore};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;
use crate::deliver::delivery_state::{DeliveryState, SharedState};
use crate::egress::byte_budget::{ByteBudget, QueueShare};

/// The state of a running instance.
pub struct LiveState {
    instance: InstanceRef,
    state: Mutex<InstanceState>,
    /// One save at a time, so that an older snapshot never overwrites a newer one.
    saving: Arc<tokio::sync::Mutex<()>>,
    unsaved: AtomicBool,
    /// Changes that were made outside the jobs: one that is made during a save is not in it.
    changes: AtomicU64,
    store: Arc<dyn StateStore>,
    /// Memory for the retry queues.
    queues: QueueShare,
}

impl LiveState {
    /// The state of an instance; `unsaved` when the store does not have it yet. Its retry queues count in `bytes`.
    pub fn new(
        instance: InstanceRef,
        state: InstanceState,
        unsaved: bool,
        store: Arc<dyn StateStore>,
        bytes: &ByteBudget,
    ) -> Self {
        let queues = bytes.queue_share(&instance);
        queues.hold(state.sinks.load().bytes);
        Self {
            queues,
            instance,
            state: Mutex::new(state),
            saving: Arc::default(),
            unsaved: AtomicBool::new(unsaved),
            changes: AtomicU64::new(0),
            store,
        }
    }

    /// The state. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, InstanceState> {
        self.state.lock()
    }

    /// Changes the state, which is unsaved from then on.
    pub fn change<R>(&self, change: impl FnOnce(&mut InstanceState) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.unsaved.store(true, Ordering::Release);
        result
    }

    /// Whether memory holds progress that the store does not.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    /// Makes the state durable. A save that was begun goes on when its caller is aborted, and the next one waits for its end.
    ///
    /// # Errors
    /// The store's problem; the progress stays in memory and is saved by the next commit that succeeds.
    pub async fn commit(&self) -> Result<(), Problem> {
        let alone = Arc::clone(&self.saving).lock_owned().await;
        self.unsaved.store(true, Ordering::Release);
        let (snapshot, seen) = {
            let state = self.lock();
            // Events may have been dropped outside deliveries.
            self.queues.hold(state.sinks.load().bytes);
            (state.clone(), self.changes.load(Ordering::Acquire))
        };
        let (store, instance) = (Arc::clone(&self.store), self.instance.clone());
        let save = async move { (store.save(&instance, snapshot).await, alone) };
        let (saved, _alone) = match tokio::spawn(save.in_current_span()).await {
            Ok(ended) => ended,
            // As if it had been saved here: the job ends, and is counted.
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(broken_off()),
            },
        };
        saved?;
        // Under the lock, so that no change comes in between.
        let _state = self.lock();
        if self.changes.load(Ordering::Acquire) == seen {
            self.unsaved.store(false, Ordering::Release);
        }
        Ok(())
    }
}

/// The process ends.
fn broken_off() -> Problem {
    Problem::transient(Reason::InternalError, "saving the state ended unexpectedly; please report this with the log")
}

impl SharedState for LiveState {
    fn step<R>(&self, resource: &str, step: impl FnOnce(&mut DeliveryState<'_>) -> R) -> R {
        let mut state = self.lock();
        let room = self.queues.room();
        let result = step(&mut DeliveryState { room, ..state.delivery(resource) });
        self.queues.hold(state.sinks.load().bytes);
        result
    }

    async fn commit(&self) -> Result<(), Problem> {
        LiveState::commit(self).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::BoxFuture;
    use tokio::sync::Semaphore;

    use super::*;

    /// A store whose saves wait until they may go on.
    struct Slow {
        go: Semaphore,
        under_way: AtomicUsize,
        most: AtomicUsize,
        ended: AtomicUsize,
    }

    impl StateStore for Slow {
        fn load(&self, _: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
            Ok(None)
        }

        fn save<'a>(&'a self, _: &'a InstanceRef, _: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
            Box::pin(async {
                let now = self.under_way.fetch_add(1, Ordering::AcqRel) + 1;
                self.most.fetch_max(now, Ordering::AcqRel);
                self.go.acquire().await.expect("it is never closed").forget();
                self.under_way.fetch_sub(1, Ordering::AcqRel);
                self.ended.fetch_add(1, Ordering::AcqRel);
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn a_save_whose_caller_is_aborted_goes_on_and_the_next_one_waits_for_it() {
        let count = AtomicUsize::default;
        let slow = Arc::new(Slow { go: Semaphore::new(0), under_way: count(), most: count(), ended: count() });
        let state = InstanceState::new("uid".to_owned());
        let of = InstanceRef::new("crm", "keap");
        let live = Arc::new(LiveState::new(of, state, true, Arc::clone(&slow) as _, &ByteBudget::default()));
        let first = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.commit().await }
        });
        while slow.under_way.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!(first.await.is_err_and(|error| error.is_cancelled()));
        let second = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.commit().await }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(slow.under_way.load(Ordering::Acquire), 1, "the second one waits");
        slow.go.add_permits(2);
        assert_eq!(second.await.expect("it ends"), Ok(()));
        assert_eq!((slow.most.load(Ordering::Acquire), slow.ended.load(Ordering::Acquire)), (1, 2));
        assert!(!live.is_unsaved());
    }
}
