//! A running instance: its plan, its state, and whether it may still be acted for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Utc;
use futures::{FutureExt as _, StreamExt as _};
use parking_lot::MutexGuard;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::Claim;
use super::context::EngineContext;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceId;
use crate::auth::access::Requester;
use crate::egress::hosts::HostBudget;
use crate::observe::{Metrics, span};
use crate::plan::{PollPlan, ResourcePlan};
use crate::state::InstanceState;
use crate::state::live::LiveState;

/// States saved at once when the process ends.
const MAX_SAVES: usize = 16;

/// An instance under one plan. A changed plan makes a new one around the same state.
pub struct Instance {
    /// What is to be done.
    pub plan: Arc<PollPlan>,
    /// Bounds the requests to the callback that are under way.
    pub in_flight: Semaphore,
    /// Held by the request that probes the callback while it is down.
    pub probe: Mutex<()>,
    /// Ends when the instance is not this process's any more.
    pub claim: Claim,
    /// Cancelled when no new request may be begun for this plan.
    pub stop: CancellationToken,
    /// What is kept of it.
    pub live: LiveState,
    /// The wait that the provider demanded is in force in this process.
    waits: AtomicBool,
}

impl Instance {
    /// Wraps plan and state; `unsaved` when the store of `core` does not have this state yet, `ran` when this process has run it before.
    pub fn new(
        plan: Arc<PollPlan>,
        state: InstanceState,
        unsaved: bool,
        core: &EngineContext,
        claim: Claim,
        ran: bool,
    ) -> Self {
        Self {
            waits: AtomicBool::new(ran),
            probe: Mutex::new(()),
            in_flight: Semaphore::new(plan.callback.max_in_flight.max(1) as usize),
            stop: claim.child_token(),
            claim,
            live: LiveState::new(plan.instance.clone(), state, unsaved, Arc::clone(&core.store), &core.asker.bytes),
            plan,
        }
    }

    /// The instance as its credentials know it: by its uid of the moment, to which tokens are bound.
    pub fn requester<'a>(&self, core: &'a EngineContext) -> Requester<'a> {
        let (claim, uid) = (self.claim.clone(), self.state().uid.clone());
        Requester {
            instance: InstanceId::new(self.plan.instance.clone(), uid),
            secrets: &*core.secrets,
            credentials: &core.credentials,
            holds: Arc::new(move || claim.holds()),
        }
    }

    /// Puts the wait in force that the provider demanded of an earlier process. It counts for the credential that is there now; which one
    /// it was then is not stored.
    pub fn restore_retry_after(&self, hosts: &HostBudget, resource: &ResourcePlan, credential: u64) {
        if self.waits.swap(true, Ordering::AcqRel) {
            return;
        }
        let left = self.state().retry_after.and_then(|until| (until - Utc::now()).to_std().ok());
        if let Some(left) = left {
            hosts.hold(&resource.request.origin, credential, Instant::now() + left);
        }
    }

    /// The state. Never held across an await.
    pub fn state(&self) -> MutexGuard<'_, InstanceState> {
        self.live.lock()
    }

    /// Changes the state; the next job saves it before anything else.
    pub fn change<R>(&self, change: impl FnOnce(&mut InstanceState) -> R) -> R {
        self.live.change(change)
    }

    /// Whether memory holds progress that the store does not.
    pub fn is_unsaved(&self) -> bool {
        self.live.is_unsaved()
    }

    /// Makes the state durable.
    ///
    /// # Errors
    /// The store's problem; the progress stays in memory and is saved by the next commit that succeeds.
    pub async fn commit(&self) -> Result<(), Problem> {
        self.live.commit().await
    }
}

/// Saves what is not saved yet; what fails is logged, and repeated after the restart. A panic is one instance's own.
pub async fn save_all(unsaved: Vec<Arc<Instance>>, metrics: &Metrics) {
    let saved = futures::stream::iter(unsaved).for_each_concurrent(MAX_SAVES, |instance| async move {
        match AssertUnwindSafe(instance.commit()).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => span::reconcile(&instance.plan.instance).in_scope(|| tracing::error!("{}", problem.message)),
            Err(_) => metrics.panic(),
        }
    });
    saved.await;
}
