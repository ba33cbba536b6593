//! What a user reads of the callback: whether it accepts events, and what waits for it. Pure.

use chrono::{DateTime, Utc};

use super::{Condition, InPassing, Observed, Waiting, of_problem};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reaction, Reason};
use crate::deliver::health::Admission;
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
            let message = "no event has been sent to spec.callback.url yet";
            Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, message)
        }
    }
}

/// Why the callback accepts no events, and whether that makes the instance not ready.
pub(super) struct CallbackProblem {
    pub(super) problem: Problem,
    pub(super) lasts: bool,
}

pub(super) fn callback_problem(
    plan: &PollPlan,
    state: &InstanceState,
    observed: &[Observed<'_>],
    now: DateTime<Utc>,
) -> Option<CallbackProblem> {
    let lasting = |problem| Some(CallbackProblem { problem, lasts: true });
    let unusable = observed.iter().filter(|own| own.health.at_callback).find_map(|own| own.health.problem.as_deref());
    if let Some(problem) = unusable {
        return lasting(problem.clone());
    }
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
    let problem = sink.cause.map_or_else(refused, |cause| cause.explain(&plan.callback.host()));
    if sink.is_down() {
        let wait = "the last five distinct objects all failed, so the cursor waits and a probe is sent by the retry schedule";
        let reason = if problem.reason == Reason::CallbackFailing { Reason::CallbackDown } else { problem.reason };
        return lasting(Problem { reason, message: format!("{}; {wait}", problem.message), ..problem });
    }
    let lasts = problem.reaction == Reaction::Human || sink.fails_lastingly(now);
    let message = format!("{}; what failed is tried again by the retry schedule", problem.message);
    Some(CallbackProblem { problem: Problem { message, ..problem }, lasts })
}

/// What failed and will be tried again.
pub(super) fn waiting(plan: &PollPlan, state: &InstanceState, now: DateTime<Utc>) -> Option<Waiting> {
    let failing = || state.resources.values().flat_map(|own| &own.failing);
    let deferred = || state.sinks.queue(&CALLBACK).events().iter().filter(|queued| queued.next_try.is_some());
    let events = failing().count() + state.sinks.deferred();
    if events == 0 {
        return None;
    }
    let sink = state.sinks.health(&CALLBACK);
    let first_failure = sink.failing_since().filter(|_| failing().next().is_some());
    let oldest = deferred().map(|queued| queued.event.detected_at).chain(first_failure).min();
    let next = failing().map(|failing| failing.next_try).chain(deferred().filter_map(|queued| queued.next_try)).min();
    let next_try = match sink.admission(plan.callback.fingerprint(), now) {
        Admission::ClosedUntil(until) => next.max(Some(until)),
        Admission::Open | Admission::Probe => next,
        Admission::Gone => None,
    };
    Some(Waiting { events, oldest: InPassing::new(oldest), next_try: InPassing::new(next_try) })
}

pub(super) fn waiting_condition(state: &InstanceState, is_waiting: bool) -> Option<Condition> {
    if state.sinks.parked() > 0 {
        return Some(Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::EventsParked,
            "events are parked: mend what the callback refuses, then ask for them with the annotation pollinator.dev/redeliver",
        ));
    }
    is_waiting.then(|| {
        Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::Retrying,
            "events failed and are tried again by the retry schedule",
        )
    })
}
