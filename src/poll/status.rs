//! What a user reads of an instance: conditions, counters, one stable sentence. Pure.

mod callback;
mod deletes;
mod provider;
mod refused;
mod resource;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::health::{Health, Nameless, Note};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reaction, Reason, Remedy};
use crate::api::identity::InstanceRef;
use crate::connect::ConnectUrl;
use crate::connect::candidate::consent_plan;
use crate::plan::{PollPlan, ResourcePlan};
use crate::state::InstanceState;
use crate::state::waiting::{InPassing, Waiting};
pub(super) use callback::sink_problem;
use callback::{CallbackProblem, Shown, callback_condition, callback_problem, waiting_condition};
use provider::{credentials_problem, provider_conditions};
pub use refused::{Kept, refused};
use resource::resource_status;

const RETRY_QUEUE_FULL: &str =
    "the retry queue is full, so polling is paused: fix the receiver, then set the annotation pollinator.dev/redeliver";

/// Status of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Which instance it is of.
    #[serde(flatten)]
    pub instance: InstanceRef,
    /// Generation of the manifest that this status is about; only an API server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Status of `Ready`.
    pub ready: ConditionStatus,
    /// Reason of `Ready`.
    pub reason: Reason,
    /// Message of `Ready`.
    pub message: String,
    /// Events accepted by the callback, all resources.
    pub delivered: u64,
    /// Events that wait for a person.
    pub parked: usize,
    /// Events that wait in the retry queue for their next try.
    pub set_aside: usize,
    /// What failed and will be tried again, in the retry queue or not; present only while there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// When a change was last accepted; RFC 3339, UTC, whole seconds.
    pub last_change_time: Option<String>,
    /// Where a person can give consent, while that is what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
    /// What holds; `Ready` sums it up.
    pub conditions: Vec<Condition>,
    /// One entry a resource.
    pub resources: Vec<ResourceStatus>,
}

/// Where a person can give consent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Connect {
    /// The page.
    pub url: String,
}

/// What was observed of a resource since the start.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// How it fares.
    pub health: &'a Health,
    /// When a poll last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// When the next poll is due.
    pub next_poll: Option<DateTime<Utc>>,
}

/// Status of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Name.
    pub name: String,
    /// Lower bound of the next poll; RFC 3339, UTC.
    pub cursor: Option<String>,
    /// Events accepted by the callback.
    pub delivered: u64,
    /// When a poll last succeeded, as of the last time that something else changed.
    #[serde(skip_serializing_if = "InPassing::is_none")]
    pub last_successful_poll_time: InPassing,
    /// When the next poll is due, as of then.
    #[serde(skip_serializing_if = "InPassing::is_none")]
    pub next_poll_time: InPassing,
    /// Where the records were last found: may be pinned in the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_path: Option<String>,
    /// How further pages are asked for, if that was detected: may be pinned in the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagination: Option<String>,
    /// Why the cursor was last given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_reason: Option<String>,
    /// What holds.
    pub conditions: Vec<Condition>,
}

/// A condition without times, which the writer adds on transitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Condition {
    /// Type, for example `Ready`.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Closed-set cause.
    pub reason: Reason,
    /// One stable sentence.
    pub message: String,
}

impl Condition {
    fn new(kind: ConditionType, status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status, reason, message: message.into() }
    }
}

/// The status of a running instance. `observed` is in the order of the plan's resources.
pub fn report(plan: &PollPlan, state: &InstanceState, observed: &[Observed<'_>], now: DateTime<Utc>) -> InstanceStatus {
    let callback = callback_problem(plan, state, observed, now);
    let problem = not_ready(plan, state, callback.as_ref(), observed, now).filter(|_| !plan.suspended);
    let callback = callback.map(|callback| callback.problem);
    let shown = Shown::of(plan, state);
    let ready = match &problem {
        Some(problem) => of_problem(ConditionType::Ready, problem),
        None if plan.suspended => Condition::new(
            ConditionType::Ready,
            ConditionStatus::True,
            Reason::Suspended,
            "spec.suspend is true: nothing is polled or delivered, all state is kept",
        ),
        None if plan.resources.iter().zip(observed).all(|(resource, own)| was_polled(resource, state, own.health)) => {
            let message = match shown {
                Shown::Accepts => "all resources are polled and the callback accepts events".to_owned(),
                Shown::Nothing | Shown::NothingSinceFailure => format!("all resources are polled; {}", shown.words()),
            };
            Condition::new(ConditionType::Ready, ConditionStatus::True, Reason::Polling, message)
        }
        None => {
            Condition::new(ConditionType::Ready, ConditionStatus::Unknown, Reason::Starting, "the first poll has not ended yet")
        }
    };
    let mut conditions = vec![ready.clone()];
    conditions.extend(provider_conditions(plan, observed));
    conditions.push(callback_condition(callback.as_ref(), shown));
    let waiting = state.waiting();
    conditions.extend(waiting_condition(state, waiting.is_some()));
    conditions.extend(problem.as_ref().map(progress));
    let resources = plan.resources.iter().zip(observed).map(|(resource, own)| resource_status(resource, state, own, now));
    InstanceStatus {
        instance: plan.instance.clone(),
        generation: plan.generation,
        ready: ready.status,
        reason: ready.reason,
        message: ready.message,
        delivered: state.delivered(),
        parked: state.sinks.parked(),
        set_aside: state.sinks.deferred(),
        waiting,
        last_change_time: state.last_change_time().map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        connect: None,
        conditions,
        resources: resources.collect(),
    }
}

/// Whether a poll of the resource ever succeeded, in this process or before.
fn was_polled(resource: &ResourcePlan, state: &InstanceState, health: &Health) -> bool {
    let before = state.resources.get(&*resource.name).is_some_and(|own| own.started);
    health.polled && (health.succeeded || before)
}

/// Why the instance is not ready: what keeps a resource from being polled, then what the callback lacks, then a lack of room. What was
/// never polled is not ready for whatever reason. While the callback accepts nothing, providers are not asked, so of what is wrong with
/// them only what a person must fix counts.
fn not_ready(
    plan: &PollPlan,
    state: &InstanceState,
    callback: Option<&CallbackProblem>,
    observed: &[Observed<'_>],
    now: DateTime<Utc>,
) -> Option<Problem> {
    let callback = callback.filter(|callback| callback.lasts).map(|callback| &callback.problem);
    let lasting = plan.resources.iter().zip(observed).find_map(|(resource, own)| {
        let never = own.health.problem().filter(|_| !was_polled(resource, state, own.health));
        let problem = never.or_else(|| own.health.lasting_problem(resource.interval, own.next_poll, now))?;
        (callback.is_none() || problem.reaction == Reaction::Human).then_some((&resource.name, problem))
    });
    if let Some((resource, problem)) = lasting {
        return Some(Problem { message: format!("resource {resource}: {}", problem.message), ..problem.clone() });
    }
    let nameless = plan.resources.iter().zip(observed).find_map(|(resource, own)| match own.health.nameless.as_deref() {
        Some(all @ Nameless::All(_)) => Some(Problem::human(Reason::MissingId, format!("resource {}: {all}", resource.name))),
        Some(Nameless::Some(_)) | None => None,
    });
    if nameless.is_some() {
        return nameless;
    }
    let misread = plan.resources.iter().zip(observed).find_map(|(resource, own)| {
        let (reason, said) = own.health.misread(resource)?;
        Some(Problem::human(reason, format!("resource {}: {said}", resource.name)))
    });
    if misread.is_some() {
        return misread;
    }
    let full = observed.iter().any(|own| own.health.notes.contains(&Note::RetryQueueFull));
    callback.cloned().or_else(|| full.then(|| Problem::human(Reason::ParkedFull, RETRY_QUEUE_FULL)))
}

/// Says where a person can give consent, exactly while that is what is missing.
pub fn offer_connect(status: &mut InstanceStatus, plan: &PollPlan, observed: &[Observed<'_>], connect: &ConnectUrl) {
    let missing = credentials_problem(plan, observed);
    let is_missing = missing.is_some_and(|problem| problem.remedy == Some(Remedy::Approval));
    if is_missing && !plan.suspended && consent_plan(plan).is_some() {
        status.connect = Some(Connect { url: connect.page(&plan.instance) });
    }
}

/// kstatus: `Stalled` for what only a person can fix, else `Reconciling`; present only while true.
fn progress(problem: &Problem) -> Condition {
    let kind = if problem.reaction == Reaction::Human { ConditionType::Stalled } else { ConditionType::Reconciling };
    Condition::new(kind, ConditionStatus::True, problem.reason, problem.message.clone())
}

/// The condition that does not hold because of a problem.
fn of_problem(kind: ConditionType, problem: &Problem) -> Condition {
    Condition::new(kind, ConditionStatus::False, problem.reason, problem.message.clone())
}

#[cfg(test)]
mod tests;
