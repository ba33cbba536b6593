//! What a user reads of the callback: whether it accepts events, and what waits for it. Pure.

use chrono::{DateTime, Utc};

use super::{Condition, Observed, of_problem};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reaction, Reason};
use crate::deliver::sink::CALLBACK;
use crate::plan::PollPlan;
use crate::state::InstanceState;

/// What the callback of the spec has shown of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It accepted the last event that was sent.
    Accepts,
    /// Nothing: this URL has accepted no event yet, and none failed.
    Nothing,
    /// Nothing since it failed, and its failure was forgotten because someone asks for a try.
    NothingSinceFailure,
}

impl Shown {
    pub(super) fn of(plan: &PollPlan, state: &InstanceState) -> Self {
        if state.sinks.has_accepted(&CALLBACK, plan.callback.fingerprint()) {
            Self::Accepts
        } else if state.delivered() > 0 && !state.sinks.accepted().contains_key(&CALLBACK) {
            Self::NothingSinceFailure
        } else {
            Self::Nothing
        }
    }

    /// As the end of a sentence about a callback that does not fail.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Accepts => "spec.callback.url accepts events",
            Self::Nothing => "spec.callback.url has not accepted an event yet",
            Self::NothingSinceFailure => "spec.callback.url has not accepted an event since its last failure",
        }
    }
}

/// `CallbackReachable`: unknown until an event shows it.
pub(super) fn callback_condition(problem: Option<&Problem>, shown: Shown) -> Condition {
    let kind = ConditionType::CallbackReachable;
    match (problem, shown) {
        (Some(problem), _) => of_problem(kind, problem),
        (None, Shown::Accepts) => Condition::new(kind, ConditionStatus::True, Reason::Delivering, shown.words()),
        (None, Shown::Nothing | Shown::NothingSinceFailure) => {
            Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, shown.words())
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
    if state.sinks.parked() > 0 { Some(events_parked()) } else { is_waiting.then(retrying) }
}

pub(super) fn events_parked() -> Condition {
    let message = "events are parked: fix the receiver, then set the annotation pollinator.dev/redeliver";
    Condition::new(ConditionType::EventsWaiting, ConditionStatus::True, Reason::EventsParked, message)
}

pub(super) fn retrying() -> Condition {
    let message = "events failed and are retried on the retry schedule";
    Condition::new(ConditionType::EventsWaiting, ConditionStatus::True, Reason::Retrying, message)
}
