//! What a user reads of the callback: whether it accepts events, and what waits for it. Pure.

use chrono::{DateTime, Utc};

use super::{Condition, Observed, of_problem};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reaction, Reason};
use crate::deliver::sink::CALLBACK;
use crate::plan::PollPlan;
use crate::state::InstanceState;

/// `CallbackReachable`: unknown until an event shows it.
pub(super) fn callback_condition(problem: Option<&Problem>, accepts: bool) -> Condition {
    let kind = ConditionType::CallbackReachable;
    match problem {
        Some(problem) => of_problem(kind, problem),
        None if accepts => Condition::new(kind, ConditionStatus::True, Reason::Delivering, "spec.callback.url accepts events"),
        None => {
            let message = "spec.callback.url has not accepted an event yet";
            Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, message)
        }
    }
}

/// Why the callback accepts no events, and whether that makes the instance not ready.
pub(in super::super) struct CallbackProblem {
    pub(in super::super) problem: Problem,
    pub(super) lasts: bool,
}

pub(super) fn callback_problem(
    plan: &PollPlan,
    state: &InstanceState,
    observed: &[Observed<'_>],
    now: DateTime<Utc>,
) -> Option<CallbackProblem> {
    let lasting = |problem| Some(CallbackProblem { problem, lasts: true });
    let unusable = observed.iter().find_map(|own| own.health.at_callback.as_deref());
    if let Some(problem) = unusable {
        return lasting(problem.clone());
    }
    sink_problem(plan, state, now)
}

/// What its health says: events were sent, and how they failed.
pub(in super::super) fn sink_problem(plan: &PollPlan, state: &InstanceState, now: DateTime<Utc>) -> Option<CallbackProblem> {
    let lasting = |problem| Some(CallbackProblem { problem, lasts: true });
    let sink = state.sinks.health(&CALLBACK);
    if sink.is_gone(plan.callback.fingerprint()) {
        return lasting(Problem::human(
            Reason::CallbackGone,
            "spec.callback.url answered 410 Gone: nothing is sent until the URL in the spec changes, or the annotation pollinator.dev/poll-now does",
        ));
    }
    if !sink.is_down() && sink.failing_since().is_none() {
        return None;
    }
    let refused =
        || Problem::transient(Reason::CallbackFailing, "spec.callback.url refused events: make the receiver answer 2xx");
    let problem = sink.cause.map_or_else(refused, |cause| cause.explain(&plan.callback));
    if sink.is_down() {
        let wait = "the last five distinct objects all failed, so the cursor waits and a probe is sent by the retry schedule";
        let reason = if problem.reason == Reason::CallbackFailing { Reason::CallbackDown } else { problem.reason };
        return lasting(Problem { reason, message: format!("{}; {wait}", problem.message), ..problem });
    }
    let lasts = problem.reaction == Reaction::Human || sink.fails_lastingly(now);
    Some(CallbackProblem { problem, lasts })
}

pub(super) fn waiting_condition(state: &InstanceState, is_waiting: bool) -> Option<Condition> {
    if state.sinks.parked() > 0 {
        return Some(Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::EventsParked,
            "events are parked: fix the receiver, then set the annotation pollinator.dev/redeliver",
        ));
    }
    is_waiting.then(|| {
        Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::Retrying,
            "events failed and are retried on the retry schedule",
        )
    })
}
