//! A running instance: its plan, its state in memory, and the commits of that state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::claim::Claim;
use crate::api::conditions::Problem;
use crate::plan::PollPlan;
use crate::state::{InstanceState, StateStore};

/// An instance under one plan. A changed plan makes a new one around the same state.
pub struct Instance {
    /// What is to be done.
    pub plan: Arc<PollPlan>,
    /// Bounds the requests to the callback that are under way.
    pub in_flight: Semaphore,
    /// Ends when the instance is not this process's any more.
    pub claim: Claim,
    /// Cancelled when no new request may be begun for this plan.
    pub stop: CancellationToken,
    state: Mutex<InstanceState>,
    /// One save at a time, so that an older snapshot never overwrites a newer one.
    saving: tokio::sync::Mutex<()>,
    unsaved: AtomicBool,
    store: Arc<dyn StateStore>,
}

impl Instance {
    /// Wraps plan and state; `unsaved` when the store does not have this state yet.
    pub fn new(plan: Arc<PollPlan>, state: InstanceState, unsaved: bool, store: Arc<dyn StateStore>, claim: Claim) -> Self {
        Self {
            in_flight: Semaphore::new(plan.callback.max_in_flight.max(1) as usize),
            plan,
            stop: claim.child_token(),
            claim,
            state: Mutex::new(state),
            saving: tokio::sync::Mutex::new(()),
            unsaved: AtomicBool::new(unsaved),
            store,
        }
    }

    /// The state. Never held across an await.
    pub fn state(&self) -> MutexGuard<'_, InstanceState> {
        self.state.lock()
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
        let snapshot = self.state().clone();
        self.store.save(&self.plan.instance, snapshot).await?;
        self.unsaved.store(false, Ordering::Release);
        Ok(())
    }
}
