//! Input of the engine: what is declared, and what changed around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::claim::Claim;
use super::status::{InstanceStatus, Kept};
use crate::api::conditions::{Problem, Remedy};
use crate::api::identity::InstanceRef;
use crate::plan::PollPlan;
use crate::state::wish::Wish;

/// A change of what is declared.
#[derive(Debug)]
pub enum Command {
    /// An instance is new or changed.
    Put {
        /// What to do.
        plan: Arc<PollPlan>,
        /// Requests by annotation.
        annotations: BTreeMap<String, String>,
        /// Ends when the instance is not this process's any more: what is under way is broken off.
        claim: Claim,
    },
    /// An instance is declared but cannot be planned.
    Refuse {
        /// Which one.
        instance: InstanceRef,
        /// Why, and what is stored of it.
        refusal: Refusal,
    },
    /// An instance is no longer declared. Its state stays where it is kept.
    Remove(InstanceRef),
    /// Secrets changed: what failed is tried at once.
    RetryFailed,
    /// What would end a failure may have come for an instance: if that is what it waits for, it is tried at once.
    Wake(InstanceRef, Remedy),
    /// What was reported of an instance may be gone: it is reported again.
    Report(InstanceRef),
    /// What was stored of an instance is gone: it is stored again.
    Restore(InstanceRef),
    /// A person asks for something.
    Ask {
        /// Of which instance.
        instance: InstanceRef,
        /// What.
        wish: Wish,
        /// Takes what came of it.
        answer: oneshot::Sender<Granting>,
    },
    /// A person looks at instances: how they are now, which may be more recent than what was reported.
    Look {
        /// Which ones.
        instances: Vec<InstanceRef>,
        /// Takes the statuses of those that this engine has.
        answer: oneshot::Sender<Vec<InstanceStatus>>,
    },
}

/// Why an instance cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Generation of the manifest, if an API server counts them.
    pub generation: Option<i64>,
    /// Why.
    pub problem: Problem,
    /// What is stored of it, as far as who refuses it knows; what the engine knows counts more.
    pub kept: Kept,
}

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granting {
    /// It is granted.
    Granted,
    /// The instance is not run, and so has nothing to grant it with.
    NotRun,
}
