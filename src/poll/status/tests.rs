//! What a user reads after each course of jobs.

use crate::api::conditions::ConditionStatus;
use crate::poll::report::{Facts, Outcome, Report};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::deliver::health::{DISTINCT_FAILURES, Failure};
use crate::deliver::outbox::Sums;
use crate::deliver::sink::http::interpret::{HttpCause, Silence};
use crate::detect::seen::Seen;
use crate::egress::error::{Phase, Unreachable};
use crate::plan::sample;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// An instance with the resources `contacts` and `orders`.
fn plan() -> PollPlan {
    let orders = crate::plan::ResourcePlan { name: "orders".into(), ..sample::resource() };
    let mut plan = sample::instance(sample::resource());
    plan.resources.push(Arc::new(orders));
    plan
}

fn state() -> InstanceState {
    InstanceState::new("u1".into())
}

fn ended(outcome: Outcome, facts: Facts) -> Report {
    Report { outcome, facts, wake: None }
}

fn polled() -> Report {
    ended(Outcome::Polled, Facts::default())
}

fn failed(problem: Problem) -> Report {
    ended(Outcome::Failed(problem), Facts::default())
}

fn away() -> Problem {
    Problem::transient(Reason::ProviderUnreachable, "baseUrl: the connection was refused; check host and port")
}

fn unauthorized() -> Problem {
    Problem::human(Reason::Unauthorized, "auth: the provider answered 401; correct the credentials")
}

fn throttled() -> Problem {
    Problem { reaction: Reaction::Throttled, ..Problem::transient(Reason::RateLimited, "the provider asked for patience") }
}

/// The health after jobs that ended a second apart from each other.
fn after(reports: &[Report]) -> Health {
    let mut health = Health::default();
    for (second, report) in (0..).zip(reports) {
        health.note(report, at(second));
    }
    health
}

fn read(health: &Health, now: DateTime<Utc>) -> InstanceStatus {
    report(&plan(), &state(), &[health, &after(&[polled()])], now)
}

/// Status and reason of a condition.
fn condition(status: &InstanceStatus, kind: &str) -> Option<(&'static str, &'static str)> {
    let found = status.conditions.iter().find(|condition| condition.kind.as_str() == kind)?;
    Some((found.status.as_str(), found.reason.as_str()))
}

#[test]
fn an_instance_is_starting_until_every_resource_was_polled() {
    let status = read(&Health::default(), at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("Unknown", "Starting"));
    assert_eq!(condition(&status, "Stalled"), None);
    assert_eq!(condition(&status, "Authenticated"), Some(("True", "Polling")), "the other resource was asked");
    let nobody = report(&plan(), &state(), &[&Health::default(), &Health::default()], at(0));
    assert_eq!(condition(&nobody, "ProviderReachable"), Some(("Unknown", "Starting")));
    let status = read(&after(&[polled()]), at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("True", "Polling"));
}

#[test]
fn a_failure_that_passes_does_not_make_ready_flap() {
    for failures in 1..=4 {
        let mut reports = vec![polled()];
        reports.extend((0..failures).map(|_| failed(away())));
        let status = read(&after(&reports), at(10));
        assert_eq!(status.ready.as_str(), if failures < 3 { "True" } else { "False" }, "{failures} in a row");
        assert_eq!(condition(&status, "ProviderReachable"), Some(("False", "ProviderUnreachable")), "told at once");
        assert_eq!(condition(&status, "Reconciling").is_some(), failures >= 3);
        assert_eq!(condition(&status, "Stalled"), None, "nobody can mend it but the provider");
        reports.push(polled());
        let status = read(&after(&reports), at(20));
        assert_eq!((status.ready.as_str(), status.reason.as_str()), ("True", "Polling"));
        assert_eq!(condition(&status, "ProviderReachable"), Some(("True", "Polling")));
    }
}

#[test]
fn one_failure_that_lasts_five_minutes_counts() {
    let health = after(&[polled(), failed(away())]);
    assert_eq!(read(&health, at(300)).ready.as_str(), "True");
    assert_eq!(read(&health, at(301)).ready.as_str(), "False");
}

#[test]
fn what_only_a_person_can_mend_counts_at_once() {
    let status = read(&after(&[polled(), failed(unauthorized())]), at(2));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "Unauthorized"));
    assert_eq!(condition(&status, "Authenticated"), Some(("False", "Unauthorized")));
    assert_eq!(condition(&status, "ProviderReachable"), Some(("True", "Polling")), "it answered");
    assert_eq!(condition(&status, "Stalled"), Some(("True", "Unauthorized")));
    assert!(status.message.starts_with("resource contacts: "), "{}", status.message);
}

#[test]
fn patience_that_was_asked_for_is_no_failure() {
    let status = read(&after(&vec![failed(throttled()); 100]), at(100_000));
    assert_eq!(status.ready.as_str(), "True");
    assert_eq!(status.resources[0].conditions[0].reason.as_str(), "RateLimited");
}

#[test]
fn a_job_that_was_stopped_says_nothing() {
    let stopped = ended(Outcome::Stopped, Facts::default());
    assert_eq!(after(&[failed(away()), stopped.clone()]), after(&[failed(away())]));
    assert_eq!(after(&[stopped]), Health::default());
}

#[test]
fn a_suspended_instance_is_ready_whatever_was_before() {
    let plan = PollPlan { suspended: true, ..plan() };
    let status = report(&plan, &state(), &[&after(&[failed(away())]), &Health::default()], at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("True", "Suspended"));
    let status = report(&plan, &state(), &[&after(&[failed(unauthorized())]), &Health::default()], at(0));
    assert_eq!((status.ready.as_str(), condition(&status, "Stalled")), ("True", None), "no one has to act");
}

#[test]
fn a_callback_that_is_down_is_told_with_its_cause() {
    for (cause, ready, progress, words) in [
        (
            HttpCause::Status(503),
            "CallbackDown",
            "Reconciling",
            "spec.callback.url answered 503: make the receiver answer 2xx; ",
        ),
        (HttpCause::Unauthorized, "CallbackUnauthorized", "Stalled", "spec.callback.url answered 401 or 403: mend "),
        (
            HttpCause::Silent(Silence::Unreachable(Unreachable::Dns)),
            "CallbackUnreachable",
            "Reconciling",
            "spec.callback.url: the host name could not be resolved; check the host name, ",
        ),
        (
            HttpCause::Silent(Silence::Timeout(Phase::FirstByte)),
            "CallbackUnreachable",
            "Reconciling",
            "spec.callback.url: no response head came in time; ",
        ),
    ] {
        let cause = Cause::Http(cause);
        let mut state = state();
        for object in 1..DISTINCT_FAILURES as u64 {
            state.sinks.note_failed(&CALLBACK, object, Failure { retry_after: None, cause }, at(0), 0);
        }
        let healthy = after(&[polled()]);
        let before = report(&plan(), &state, &[&healthy, &healthy], at(0));
        assert_eq!((before.ready.as_str(), condition(&before, "CallbackReachable")), ("True", Some(("True", "Delivering"))));
        state.sinks.note_failed(&CALLBACK, 99, Failure { retry_after: None, cause }, at(0), 0);
        let status = report(&plan(), &state, &[&healthy, &healthy], at(0));
        assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", ready));
        assert!(status.message.starts_with(words), "{}", status.message);
        assert_eq!(condition(&status, "CallbackReachable"), Some(("False", ready)));
        assert_eq!(condition(&status, progress), Some(("True", ready)), "{ready}");
        state.sinks.note_accepted(&CALLBACK);
        assert_eq!(report(&plan(), &state, &[&healthy, &healthy], at(0)).ready.as_str(), "True");
    }
}

#[test]
fn what_a_callback_lacks_is_not_blamed_on_the_provider() {
    let problem = Problem::human(Reason::SecretNotFound, "spec.callback.signature.secretRef: Secret s does not exist");
    let status = read(&after(&[polled(), ended(Outcome::CallbackUnusable(problem), Facts::default())]), at(2));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "SecretNotFound"));
    assert_eq!(condition(&status, "Authenticated"), Some(("True", "Polling")));
    assert_eq!(condition(&status, "CallbackReachable"), Some(("False", "SecretNotFound")));
}

#[test]
fn what_does_not_stop_a_poll_is_told_beside_it() {
    let facts = Facts {
        seen: Seen { missing_ids: 1, bad_dates: 1, disorder: true, ..Seen::default() },
        unsettled: true,
        ..Facts::default()
    };
    let status = read(&after(&[ended(Outcome::Polled, facts)]), at(0));
    assert_eq!(status.ready.as_str(), "True");
    let kinds: Vec<_> =
        status.resources[0].conditions.iter().map(|condition| (condition.kind.as_str(), condition.status.as_str())).collect();
    let noted = ["RecordsIdentified", "DatesReadable", "Ordered", "Settled"].map(|kind| (kind, "False"));
    assert_eq!(kinds, [&[("Polled", "True")], &noted[..]].concat());
    assert_eq!(status.resources[1].conditions.len(), 1, "the other resource is fine");
    let full = Facts { sums: Sums { queue_full: true, ..Sums::default() }, ..Facts::default() };
    let status = read(&after(&[ended(Outcome::Polled, full)]), at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "ParkedFull"));
    assert_eq!(condition(&status, "Stalled"), Some(("True", "ParkedFull")));
}

#[test]
fn what_cannot_be_planned_is_stalled() {
    let status =
        refused(InstanceRef::new("crm", "keap"), Some(3), &Problem::human(Reason::InvalidSpec, "spec.baseUrl is required"));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "InvalidSpec"));
    assert_eq!(condition(&status, "Stalled"), Some(("True", "InvalidSpec")));
}

fn any_report() -> impl Strategy<Value = Report> {
    let facts = (any::<[bool; 5]>()).prop_map(|[ids, dates, disorder, unsettled, queue_full]| Facts {
        seen: Seen { missing_ids: ids.into(), bad_dates: dates.into(), disorder, ..Seen::default() },
        unsettled,
        sums: Sums { queue_full, ..Sums::default() },
        ..Facts::default()
    });
    let outcome = prop_oneof![
        Just(Outcome::Polled),
        Just(Outcome::RetryQueueSent),
        Just(Outcome::CallbackClosed),
        Just(Outcome::CallbackGone),
        Just(Outcome::CallbackUnusable(unauthorized())),
        Just(Outcome::Stopped),
        Just(Outcome::Failed(away())),
        Just(Outcome::Failed(unauthorized())),
        Just(Outcome::Failed(throttled())),
    ];
    (outcome, facts).prop_map(|(outcome, facts)| ended(outcome, facts))
}

proptest! {
    /// kstatus: exactly one of the two says why an instance is not ready, and neither is there when it is.
    #[test]
    fn progress_is_told_exactly_while_it_is_missing(
        first in proptest::collection::vec(any_report(), 0..12),
        second in proptest::collection::vec(any_report(), 0..12),
        causes in proptest::collection::vec(any::<bool>(), 0..8),
        later in 0_u64..1000,
    ) {
        let mut state = state();
        for (object, unauthorized) in (0..).zip(causes) {
            let cause = Cause::Http(if unauthorized { HttpCause::Unauthorized } else { HttpCause::Status(500) });
            state.sinks.note_failed(&CALLBACK, object, Failure { retry_after: None, cause }, at(0), 0);
        }
        let (first, second) = (after(&first), after(&second));
        let now = at(12) + Duration::from_secs(later);
        let status = report(&plan(), &state, &[&first, &second], now);
        let count = |kind: &str| status.conditions.iter().filter(|condition| condition.kind.as_str() == kind).count();
        for kind in ["Ready", "Authenticated", "ProviderReachable", "CallbackReachable"] {
            prop_assert_eq!(count(kind), 1);
        }
        prop_assert_eq!(count("Stalled") + count("Reconciling"), usize::from(status.ready == ConditionStatus::False));
        for condition in &status.conditions {
            prop_assert!(!condition.message.is_empty() && !condition.message.contains('\n'));
        }
        prop_assert_eq!(&status, &report(&plan(), &state, &[&first, &second], now));
    }
}
