//! What a user reads of an instance that cannot be run. Pure.

use super::callback::{events_parked, retrying};
use super::{InstanceStatus, of_problem, progress};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem};
use crate::api::identity::InstanceRef;
use crate::plan::PollPlan;
use crate::state::InstanceState;
use crate::state::waiting::{InPassing, Waiting};

/// What is stored of an instance that cannot be run: its events wait until it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Events that wait for a person.
    pub parked: usize,
    /// Events that wait in the retry queue for their next try.
    pub set_aside: usize,
    /// Events that failed and will be tried again, in the retry queue or not.
    pub waiting: usize,
    /// It is suspended, so that no polls of it are expected.
    pub suspended: bool,
}

impl Kept {
    /// What the state of an instance has that was run.
    pub fn of(plan: &PollPlan, state: &InstanceState) -> Self {
        Self {
            parked: state.sinks.parked(),
            set_aside: state.sinks.deferred(),
            waiting: state.waiting().map_or(0, |waiting| waiting.events),
            suspended: plan.suspended,
        }
    }
}

/// The status of an instance whose manifest or state cannot be used.
pub fn refused(instance: InstanceRef, generation: Option<i64>, problem: &Problem) -> InstanceStatus {
    let conditions = vec![of_problem(ConditionType::Ready, problem), progress(problem)];
    InstanceStatus {
        instance,
        generation,
        ready: ConditionStatus::False,
        reason: problem.reason,
        message: problem.message.clone(),
        delivered: 0,
        parked: 0,
        set_aside: 0,
        waiting: None,
        last_change_time: None,
        connect: None,
        conditions,
        resources: Vec::new(),
    }
}

impl InstanceStatus {
    /// The same with the events that wait meanwhile.
    #[must_use]
    pub fn keeping(mut self, kept: &Kept) -> Self {
        let Kept { parked, set_aside, waiting, suspended: _ } = *kept;
        (self.parked, self.set_aside) = (parked, set_aside);
        let times = InPassing::default();
        self.waiting = (waiting > 0).then_some(Waiting { events: waiting, oldest: times, next_try: None });
        self.conditions.extend(if parked > 0 { Some(events_parked()) } else { self.waiting.is_some().then(retrying) });
        self
    }
}
