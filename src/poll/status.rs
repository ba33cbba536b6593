//! What a user reads of an instance: conditions, counters, one stable sentence. Pure.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::health::{Health, Note};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reaction, Reason};
use crate::api::identity::InstanceRef;
use crate::connect::ConnectUrl;
use crate::connect::candidate::consent_plan;
use crate::deliver::sink::{CALLBACK, Cause};
use crate::detect::zone::written;
use crate::plan::{PollPlan, ResourcePlan};
use crate::state::InstanceState;

/// The condition that says what a poll met.
fn noted(note: Note) -> Condition {
    let (kind, reason, message) = match note {
        Note::MissingIds => (
            ConditionType::RecordsIdentified,
            Reason::MissingId,
            "some records have no value at idField and cannot be delivered: set idField to the path of the id",
        ),
        Note::RepeatedIds => (
            ConditionType::IdsUnique,
            Reason::RepeatedId,
            "idField: several records of one answer have the same id; the latest of them is delivered; set idField to a path that is unique in the list",
        ),
        Note::UnreadMarks => (
            ConditionType::DeletionsReadable,
            Reason::DeletedFlagUnmatched,
            "deletes.flag.value: records have a mark that differs from value, so no deletion is recognized; leave value out to take every mark that is true or set, such as a deletion time",
        ),
        Note::BadDates => (
            ConditionType::DatesReadable,
            Reason::InvalidDate,
            "some records have a date that does not match datesConfiguration and are compared by content: correct the format or the time zone",
        ),
        Note::Disorder => (
            ConditionType::Ordered,
            Reason::UnorderedResource,
            "the list is not in the declared order and is read whole: correct order, or ask the provider to sort in query",
        ),
        Note::Unsettled => (
            ConditionType::Settled,
            Reason::ListingUnsettled,
            "the list kept changing while it was read, so the cursor waits: filter it with ${since}, or raise pageSize",
        ),
        Note::RetryQueueFull => (ConditionType::LedgerOpen, Reason::ParkedFull, RETRY_QUEUE_FULL),
    };
    Condition::new(kind, ConditionStatus::False, reason, message)
}

const RETRY_QUEUE_FULL: &str = "no more events can be set aside, so the cursor waits: mend what the callback refuses, then ask for them with the annotation pollinator.dev/redeliver";

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
    /// Events that wait for their next try.
    pub set_aside: usize,
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
        last_change_time: None,
        connect: None,
        conditions,
        resources: Vec::new(),
    }
}

/// The status of a running instance. `health` stands in the order of the plan's resources.
pub fn report(plan: &PollPlan, state: &InstanceState, health: &[&Health], now: DateTime<Utc>) -> InstanceStatus {
    let callback = callback_problem(plan, state, health);
    let problem = not_ready(plan, callback.as_ref(), health, now).filter(|_| !plan.suspended);
    let ready = match &problem {
        Some(problem) => of_problem(ConditionType::Ready, problem),
        None if plan.suspended => Condition::new(
            ConditionType::Ready,
            ConditionStatus::True,
            Reason::Suspended,
            "spec.suspend is true: nothing is polled or delivered, all state is kept",
        ),
        None if health.iter().all(|health| health.polled) => Condition::new(
            ConditionType::Ready,
            ConditionStatus::True,
            Reason::Polling,
            "all resources are polled and the callback accepts events",
        ),
        None => {
            Condition::new(ConditionType::Ready, ConditionStatus::Unknown, Reason::Starting, "the first poll has not ended yet")
        }
    };
    let mut conditions = vec![ready.clone()];
    conditions.extend(provider_conditions(plan, health));
    conditions.push(match &callback {
        Some(problem) => of_problem(ConditionType::CallbackReachable, problem),
        None => Condition::new(
            ConditionType::CallbackReachable,
            ConditionStatus::True,
            Reason::Delivering,
            "spec.callback.url accepts events",
        ),
    });
    conditions.extend(waiting_condition(state));
    conditions.extend(problem.as_ref().map(progress));
    let resources = plan.resources.iter().zip(health).map(|(resource, health)| resource_status(resource, state, health, now));
    InstanceStatus {
        instance: plan.instance.clone(),
        generation: plan.generation,
        ready: ready.status,
        reason: ready.reason,
        message: ready.message,
        delivered: state.delivered(),
        parked: state.sinks.parked(),
        set_aside: state.sinks.deferred(),
        last_change_time: state.last_change_time().map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        connect: None,
        conditions,
        resources: resources.collect(),
    }
}

/// Why the instance is not ready: what keeps a resource from being polled, then what the callback lacks, then a lack of room.
fn not_ready(plan: &PollPlan, callback: Option<&Problem>, health: &[&Health], now: DateTime<Utc>) -> Option<Problem> {
    let lasting = plan.resources.iter().zip(health).find_map(|(r, health)| Some((&r.name, health.lasting_problem(now)?)));
    if let Some((resource, problem)) = lasting {
        return Some(Problem { message: format!("resource {resource}: {}", problem.message), ..problem.clone() });
    }
    let full = health.iter().any(|health| health.notes.contains(&Note::RetryQueueFull));
    callback.cloned().or_else(|| full.then(|| Problem::human(Reason::ParkedFull, RETRY_QUEUE_FULL)))
}

/// Says where a person can give consent, exactly while that is what is missing.
pub fn offer_consent(status: &mut InstanceStatus, plan: &PollPlan, connect: &ConnectUrl) {
    let is_missing = status
        .conditions
        .iter()
        .any(|condition| condition.kind == ConditionType::Authenticated && condition.reason == Reason::ReauthorizationRequired);
    if is_missing && !plan.suspended && consent_plan(plan).is_some() {
        status.connect = Some(Connect { url: connect.page(&plan.instance) });
    }
}

/// kstatus: `Stalled` for what only a person can mend, else `Reconciling`; present only while true.
fn progress(problem: &Problem) -> Condition {
    let kind = if problem.reaction == Reaction::Human { ConditionType::Stalled } else { ConditionType::Reconciling };
    Condition::new(kind, ConditionStatus::True, problem.reason, problem.message.clone())
}

/// The condition that does not hold because of a problem.
fn of_problem(kind: ConditionType, problem: &Problem) -> Condition {
    Condition::new(kind, ConditionStatus::False, problem.reason, problem.message.clone())
}

/// Why the callback as a whole accepts no events.
fn callback_problem(plan: &PollPlan, state: &InstanceState, health: &[&Health]) -> Option<Problem> {
    if let Some(problem) = health.iter().filter(|health| health.at_callback).find_map(|health| health.problem.as_deref()) {
        return Some(problem.clone());
    }
    let sink = state.sinks.health(&CALLBACK);
    if sink.is_gone(plan.callback.fingerprint()) {
        return Some(Problem::human(
            Reason::CallbackGone,
            "spec.callback.url answered 410 Gone: nothing is sent until the URL in the spec changes, or the annotation pollinator.dev/poll-now does",
        ));
    }
    if !sink.is_down() {
        return None;
    }
    let refused = || Problem::transient(Reason::CallbackDown, "spec.callback.url refused events: make the receiver answer 2xx");
    let problem = sink.cause.map_or_else(refused, Cause::explain);
    let wait = "the last five distinct objects all failed, so the cursor waits and a probe is sent by the retry schedule";
    Some(Problem { message: format!("{}; {wait}", problem.message), ..problem })
}

/// `ProviderReachable` and `Authenticated`, each worst of all resources.
fn provider_conditions(plan: &PollPlan, health: &[&Health]) -> [Condition; 2] {
    let find = |wanted: fn(Reason) -> bool| {
        let problems = plan.resources.iter().zip(health).filter_map(|(r, h)| Some((&r.name, h.at_provider()?)));
        problems.into_iter().find(|(_, problem)| wanted(problem.reason))
    };
    let condition = |kind, good, found: Option<(_, &Problem)>, fine: &str| match found {
        Some((resource, problem)) => {
            Condition::new(kind, ConditionStatus::False, problem.reason, format!("resource {resource}: {}", problem.message))
        }
        None if health.iter().any(|h| h.asked) => Condition::new(kind, ConditionStatus::True, good, fine),
        None => Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, "the provider has not been asked yet"),
    };
    [
        condition(ConditionType::ProviderReachable, Reason::Polling, find(is_asking), "the provider answers"),
        condition(ConditionType::Authenticated, Reason::Polling, find(is_credentials), "the provider accepts the credentials"),
    ]
}

fn is_credentials(reason: Reason) -> bool {
    use Reason::{Forbidden, InsufficientScope, InvalidClient, ReauthorizationRequired, TokenEndpointUnreachable};
    use Reason::{SecretInvalid, SecretKeyMissing, SecretNotFound, TokenResponseInvalid, Unauthorized};
    matches!(
        reason,
        Unauthorized
            | Forbidden
            | InsufficientScope
            | InvalidClient
            | ReauthorizationRequired
            | TokenEndpointUnreachable
            | TokenResponseInvalid
            | SecretNotFound
            | SecretKeyMissing
            | SecretInvalid
    )
}

fn is_asking(reason: Reason) -> bool {
    !is_credentials(reason) && !matches!(reason, Reason::StateUnavailable | Reason::InternalError)
}

fn waiting_condition(state: &InstanceState) -> Option<Condition> {
    if state.sinks.parked() > 0 {
        return Some(Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::EventsParked,
            "events are parked: mend what the callback refuses, then ask for them with the annotation pollinator.dev/redeliver",
        ));
    }
    (state.sinks.deferred() > 0).then(|| {
        Condition::new(
            ConditionType::EventsWaiting,
            ConditionStatus::True,
            Reason::Retrying,
            "events that failed are set aside and retried by the schedule",
        )
    })
}

fn resource_status(resource: &ResourcePlan, state: &InstanceState, health: &Health, now: DateTime<Utc>) -> ResourceStatus {
    let own = state.resources.get(&*resource.name);
    let mut conditions = Vec::new();
    match &health.problem {
        Some(problem) => conditions.push(of_problem(ConditionType::Polled, problem)),
        None if health.polled => conditions.push(Condition::new(
            ConditionType::Polled,
            ConditionStatus::True,
            Reason::Polling,
            "the last poll succeeded",
        )),
        None => {}
    }
    conditions.extend(health.notes.iter().map(|note| noted(*note)));
    conditions.extend(own.and_then(|own| own.zone?.suspected()).map(|behind| suspected_zone(resource, behind, now)));
    ResourceStatus {
        name: resource.name.to_string(),
        cursor: own.and_then(|own| own.cursor).map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        delivered: own.map_or(0, |own| own.delivered),
        records_path: own.and_then(|own| own.records_path.clone()),
        pagination: health.pagination.as_deref().map(Into::into),
        reset_reason: own.and_then(|own| own.reset_reason.clone()),
        conditions,
    }
}

fn suspected_zone(resource: &ResourcePlan, behind: i32, now: DateTime<Utc>) -> Condition {
    let (hours, side) = (written(behind.abs()), if behind > 0 { "behind" } else { "ahead of" });
    let fix = match resource.zone_moved_east(now, -behind) {
        Some(fits) => format!("set the time zone in datesConfiguration to {}", written(fits)),
        None => format!(
            "set a format that reads the date without its zone, such as yyyy-MM-dd'T'HH:mm:ss'Z', and the time zone {}",
            written(-behind)
        ),
    };
    Condition::new(
        ConditionType::ZoneFits,
        ConditionStatus::False,
        Reason::SuspectedTimeZone,
        format!("datesConfiguration: the dates of new records are {} {side} the provider's clock; {fix}", &hours[1..]),
    )
}

#[cfg(test)]
mod tests;
