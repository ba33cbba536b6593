//! The state of an instance while it runs: in memory for its jobs, made durable by commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::{InstanceState, StateStore};
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::deliver::delivery_state::{DeliveryState, SharedState};

/// The state of a running instance.
pub struct LiveState {
    instance: InstanceRef,
    state: Mutex<InstanceState>,
    /// One save at a time, so that an older snapshot never overwrites a newer one.
    saving: tokio::sync::Mutex<()>,
    unsaved: AtomicBool,
    /// Changes that were not made by jobs: one that is made during a save is not in it.
    changes: AtomicU64,
    store: Arc<dyn StateStore>,
}

impl LiveState {
    /// The state of an instance; `unsaved` when the store does not have it yet.
    pub fn new(instance: InstanceRef, state: InstanceState, unsaved: bool, store: Arc<dyn StateStore>) -> Self {
        Self {
            instance,
            state: Mutex::new(state),
            saving: tokio::sync::Mutex::new(()),
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

    /// Does memory hold progress that the store does not?
    pub fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    /// Makes the state durable.
    ///
    /// # Errors
    /// The store's problem; the progress stays in memory and is saved by the next commit that succeeds.
    pub async fn commit(&self) -> Result<(), Problem> {
        let _one = self.saving.lock().await;
        self.unsaved.store(true, Ordering::Release);
        let (snapshot, seen) = {
            let state = self.lock();
            (state.clone(), self.changes.load(Ordering::Acquire))
        };
        self.store.save(&self.instance, snapshot).await?;
        // Under the lock, so that no change comes in between.
        let _state = self.lock();
        if self.changes.load(Ordering::Acquire) == seen {
            self.unsaved.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl SharedState for LiveState {
    fn step<R>(&self, resource: &str, step: impl FnOnce(&mut DeliveryState<'_>) -> R) -> R {
        step(&mut self.lock().delivery(resource))
    }

    async fn commit(&self) -> Result<(), Problem> {
        LiveState::commit(self).await
    }
}
