//! What a user reads after each course of jobs.

use crate::api::conditions::ConditionStatus;
use crate::poll::report::{Facts, Outcome, Report, Sign, Wakes};
use crate::poll::strategy::{Gap, Tokenless};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::deliver::delivery_state::Failing;
use crate::deliver::health::{Blame, DISTINCT_FAILURES, Failure};
use crate::deliver::outbox::Sums;
use crate::deliver::sink::http::interpret::{HttpCause, Silence};
use crate::deliver::sink::{CALLBACK, Cause};
use crate::detect::seen::Seen;
use crate::detect::unidentified::Unidentified;
use crate::detect::unreadable_date::UnreadableDate;
use crate::egress::error::{Phase, Unreachable};
use crate::fetch::contact::Contact;
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
    Report { outcome, facts, wakes: Wakes::default() }
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
    Problem {
        reaction: Reaction::Throttled,
        ..Problem::transient(Reason::RateLimited, "the provider is rate limiting requests")
    }
}

/// The health after jobs that ended a second apart from each other.
fn after(reports: &[Report]) -> Health {
    let mut health = Health::default();
    for (second, report) in (0..).zip(reports) {
        health.note(report, at(second));
    }
    health
}

/// The status where nothing more is due.
fn told(plan: &PollPlan, state: &InstanceState, health: &[&Health], now: DateTime<Utc>) -> InstanceStatus {
    let observed: Vec<_> = health.iter().map(|health| Observed { health, last_success: None, next_poll: None }).collect();
    report(plan, state, &observed, now)
}

/// The status where the first resource is due again then.
fn due(health: &Health, next_poll: DateTime<Utc>, now: DateTime<Utc>) -> InstanceStatus {
    let other = after(&[polled()]);
    let observed = [health, &other].map(|health| Observed { health, last_success: Some(at(0)), next_poll: Some(next_poll) });
    report(&plan(), &state(), &observed, now)
}

/// A state in which the callback has accepted an event.
fn delivered() -> InstanceState {
    let mut state = state();
    state.sinks.note_accepted(&CALLBACK, plan().callback.fingerprint());
    state
}

fn fail(state: &mut InstanceState, object: u64, cause: HttpCause, retry_after: Option<Duration>) {
    let failure = Failure { retry_after, cause: Cause::Http(cause), blame: Blame::Sink };
    state.sinks.note_failed(&CALLBACK, object, failure, at(0), 0);
}

fn read(health: &Health, now: DateTime<Utc>) -> InstanceStatus {
    told(&plan(), &state(), &[health, &after(&[polled()])], now)
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
    assert_eq!(condition(&status, "CallbackReachable"), Some(("Unknown", "Starting")));
    let nobody = told(&plan(), &state(), &[&Health::default(), &Health::default()], at(0));
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
        assert_eq!(condition(&status, "ProviderReachable"), Some(("False", "ProviderUnreachable")), "reported at once");
        assert_eq!(condition(&status, "Reconciling").is_some(), failures >= 3);
        assert_eq!(condition(&status, "Stalled"), None, "only the provider can fix it");
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
fn what_was_never_polled_is_not_ready_at_the_first_failure() {
    for problem in [away(), throttled(), unauthorized()] {
        let health = after(&[failed(problem.clone())]);
        let status = read(&health, at(0));
        assert_eq!((status.ready.as_str(), status.reason), ("False", problem.reason));
        assert!(status.message.starts_with("resource contacts: "), "{}", status.message);
        let mut known = state();
        known.delivery("contacts");
        known.resources.get_mut("contacts").unwrap().started = true;
        let before = told(&plan(), &known, &[&health, &after(&[polled()])], at(0));
        let is_transient = problem.reaction != Reaction::Human;
        assert_eq!(before.ready.as_str(), if is_transient { "True" } else { "False" }, "it was polled by another process");
    }
}

#[test]
fn nothing_is_claimed_of_a_provider_that_gave_no_answer() {
    let missing = Problem::human(Reason::SecretNotFound, "auth.basic.secretRef: Secret login does not exist; create it");
    let endless = Problem::human(Reason::PaginationLoop, "pagination: the same page came twice");
    for (problem, contact, reachable, authenticated) in [
        (missing, Contact::None, ("Unknown", "Starting"), ("False", "SecretNotFound")),
        (away(), Contact::None, ("False", "ProviderUnreachable"), ("Unknown", "Starting")),
        (throttled(), Contact::Answered, ("False", "RateLimited"), ("Unknown", "Starting")),
        (unauthorized(), Contact::Answered, ("True", "Polling"), ("False", "Unauthorized")),
        (endless, Contact::Accepted, ("False", "PaginationLoop"), ("True", "Polling")),
    ] {
        let reason = problem.reason;
        let failing = after(&[ended(Outcome::Failed(problem), Facts { contact, ..Facts::default() })]);
        let status = told(&plan(), &state(), &[&failing, &Health::default()], at(0));
        assert_eq!(condition(&status, "ProviderReachable"), Some(reachable), "{reason}");
        assert_eq!(condition(&status, "Authenticated"), Some(authenticated), "{reason}");
    }
}

#[test]
fn a_provider_that_asks_for_patience_is_given_two_intervals() {
    let health = after(&[polled(), failed(throttled())]);
    let interval = chrono::Duration::from_std(plan().resources[0].interval).unwrap();
    let enough = at(1) + interval * 2;
    assert_eq!(due(&health, enough, at(1)).ready.as_str(), "True");
    let status = due(&health, enough + chrono::Duration::seconds(1), at(1));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "RateLimited"), "it is known now how long it lasts");
    assert_eq!(status.resources[0].conditions[0].reason.as_str(), "RateLimited");
    assert_eq!(condition(&status, "Reconciling"), Some(("True", "RateLimited")));
    let again = after(&[polled(), failed(throttled()), polled()]);
    assert_eq!(due(&again, enough + interval, at(2)).ready.as_str(), "True");
}

#[test]
fn times_are_told_in_passing() {
    let health = after(&[polled()]);
    let early = due(&health, at(60), at(0));
    let late = due(&health, at(120), at(60));
    assert_eq!(early.resources[0].next_poll_time.0, Some(at(60)));
    assert_eq!(early.resources[0].last_successful_poll_time.0, Some(at(0)));
    assert_ne!(early.resources[0].next_poll_time.0, late.resources[0].next_poll_time.0);
    assert_eq!(early, late, "an idle poll writes nothing");
    let hash = |status: &InstanceStatus| {
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(status, &mut hasher);
        std::hash::Hasher::finish(&hasher)
    };
    assert_eq!(hash(&early), hash(&late));
}

#[test]
fn the_first_failed_delivery_is_told_and_a_lasting_failure_makes_not_ready() {
    let healthy = after(&[polled()]);
    let refused = HttpCause::Silent(Silence::Unreachable(Unreachable::Refused));
    let read = |state: &InstanceState, now| told(&plan(), state, &[&healthy, &healthy], now);
    for before in [state(), delivered()] {
        let mut state = before;
        fail(&mut state, 1, refused, None);
        let status = read(&state, at(1));
        assert_eq!(
            (status.ready.as_str(), condition(&status, "CallbackReachable")),
            ("True", Some(("False", "CallbackUnreachable")))
        );
        let told = status.conditions.iter().find(|c| c.kind == ConditionType::CallbackReachable).unwrap();
        assert!(
            told.message.starts_with("spec.callback.url (hooks.example.org): the connection was refused; check host and port"),
            "{}",
            told.message
        );
        let lasting = read(&state, at(300));
        assert_eq!((lasting.ready.as_str(), lasting.reason.as_str()), ("False", "CallbackUnreachable"), "five minutes");
        fail(&mut state, 1, refused, None);
        assert_eq!(read(&state, at(1)).ready.as_str(), "True");
        fail(&mut state, 1, refused, None);
        assert_eq!(read(&state, at(1)).ready.as_str(), "False", "three in a row");
        state.sinks.note_accepted(&CALLBACK, plan().callback.fingerprint());
        let status = read(&state, at(1));
        assert_eq!((status.ready.as_str(), condition(&status, "CallbackReachable")), ("True", Some(("True", "Delivering"))));
    }
    let mut held = delivered();
    fail(&mut held, 1, HttpCause::Status(429), Some(Duration::from_hours(24)));
    assert_eq!(read(&held, at(1)).ready.as_str(), "False", "nothing is sent for a day");
}

#[test]
fn what_a_callback_accepted_says_nothing_of_another_nor_of_one_that_failed_since() {
    let healthy = after(&[polled()]);
    let mut moved = delivered();
    moved.sinks.note_accepted(&CALLBACK, plan().callback.fingerprint() ^ 1);
    let mut asked = delivered();
    fail(&mut asked, 1, HttpCause::Status(500), None);
    asked.resources.entry("contacts".into()).or_default().delivered = 1;
    asked.retry_deliveries(at(1));
    for (state, reachable, words) in [
        (delivered(), ("True", "Delivering"), "all resources are polled and the callback accepts events"),
        (moved, ("Unknown", "Starting"), "all resources are polled; spec.callback.url has not accepted an event yet"),
        (
            asked,
            ("Unknown", "Starting"),
            "all resources are polled; spec.callback.url has not accepted an event since its last failure",
        ),
    ] {
        let status = told(&plan(), &state, &[&healthy, &healthy], at(0));
        assert_eq!((status.ready.as_str(), condition(&status, "CallbackReachable")), ("True", Some(reachable)));
        assert_eq!(status.message, words);
    }
}

/// The change of one object failed once and is tried again at 5.
fn fail_once(state: &mut InstanceState) {
    fail(state, 1, HttpCause::Status(500), None);
    let failing = Failing { sink: CALLBACK.clone(), object: 1, attempts: 1, refusals: 0, next_try: at(5) };
    state.delivery("contacts").failing.push(failing);
}

#[test]
fn what_waits_is_counted_with_its_next_try() {
    let healthy = after(&[polled()]);
    let mut state = delivered();
    assert_eq!(told(&plan(), &state, &[&healthy, &healthy], at(0)).waiting, None);
    fail_once(&mut state);
    let status = told(&plan(), &state, &[&healthy, &healthy], at(1));
    let waiting = status.waiting.clone().unwrap();
    let told_as = r#"{"events":1,"oldest":"2027-01-15T08:00:00Z","nextTry":"2027-01-15T08:00:05Z"}"#;
    assert_eq!(serde_json::to_string(&waiting).unwrap(), told_as);
    assert_eq!(condition(&status, "EventsWaiting"), Some(("True", "Retrying")));
    fail(&mut state, 1, HttpCause::Status(503), Some(Duration::from_mins(10)));
    let held = told(&plan(), &state, &[&healthy, &healthy], at(1)).waiting.unwrap();
    assert_eq!(held.next_try, Some(at(600)), "not before the callback may be asked");
    assert_ne!(held, waiting, "a try that failed is reported, so that no status says that it is still to come");
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
    let status = told(&plan, &state(), &[&after(&[failed(away())]), &Health::default()], at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("True", "Suspended"));
    let status = told(&plan, &state(), &[&after(&[failed(unauthorized())]), &Health::default()], at(0));
    assert_eq!((status.ready.as_str(), condition(&status, "Stalled")), ("True", None), "no one has to act");
}

#[test]
fn a_callback_that_is_down_is_told_with_its_cause() {
    for (cause, ready, progress, words) in [
        (
            HttpCause::Status(503),
            "CallbackDown",
            "Reconciling",
            "spec.callback.url (hooks.example.org) answered 503: make the receiver answer 2xx; ",
        ),
        (
            HttpCause::Unauthorized,
            "CallbackUnauthorized",
            "Stalled",
            "spec.callback.url (hooks.example.org) answered 401 or 403: the receiver requires credentials; set spec.callback.auth, ",
        ),
        (
            HttpCause::Silent(Silence::Unreachable(Unreachable::Dns)),
            "CallbackUnreachable",
            "Reconciling",
            "spec.callback.url (hooks.example.org): the host name could not be resolved; check the host name; ",
        ),
        (
            HttpCause::Silent(Silence::Timeout(Phase::FirstByte)),
            "CallbackUnreachable",
            "Reconciling",
            "spec.callback.url (hooks.example.org): no response head came in time; ",
        ),
    ] {
        let mut state = state();
        for object in 1..DISTINCT_FAILURES as u64 {
            fail(&mut state, object, cause, None);
        }
        let healthy = after(&[polled()]);
        let before = told(&plan(), &state, &[&healthy, &healthy], at(0));
        assert!(!before.message.contains("a probe is sent"), "{}", before.message);
        fail(&mut state, 99, cause, None);
        let status = told(&plan(), &state, &[&healthy, &healthy], at(0));
        assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", ready));
        assert!(status.message.starts_with(words) && status.message.contains("a probe is sent"), "{}", status.message);
        assert_eq!(condition(&status, "CallbackReachable"), Some(("False", ready)));
        assert_eq!(condition(&status, progress), Some(("True", ready)), "{ready}");
        state.sinks.note_accepted(&CALLBACK, plan().callback.fingerprint());
        assert_eq!(told(&plan(), &state, &[&healthy, &healthy], at(0)).ready.as_str(), "True");
    }
}

#[test]
fn a_job_that_asks_the_provider_nothing_changes_nothing_that_is_known_of_it() {
    let missing = Problem::human(Reason::NotFound, "resources[0].url: the provider answered 404; correct the path");
    let unusable = ended(Outcome::CallbackUnusable(unauthorized()), Facts::default());
    for outcome in [Outcome::RetryQueueSent, Outcome::CallbackClosed, Outcome::CallbackGone] {
        let silent = ended(outcome.clone(), Facts::default());
        let before = after(&[polled(), failed(missing.clone())]);
        let mut health = before.clone();
        health.note(&silent, at(9));
        assert_eq!(health, before, "{outcome:?}");
        let status = read(&health, at(9));
        assert_eq!(status.resources[0].conditions[0].reason, Reason::NotFound, "{outcome:?}");
        assert_eq!(condition(&status, "ProviderReachable"), Some(("False", "NotFound")));
        let healthy = after(&[polled(), silent.clone()]);
        assert_eq!(healthy, after(&[polled()]), "{outcome:?}");
        // what the callback lacked is there, and the provider fails as before
        let both = after(&[polled(), failed(missing.clone()), unusable.clone(), silent.clone()]);
        assert_eq!(read(&both, at(9)).resources[0].conditions[0].reason, Reason::NotFound, "{outcome:?}");
        assert_eq!(condition(&read(&both, at(9)), "CallbackReachable"), Some(("Unknown", "Starting")));
        assert_eq!(after(&[polled(), unusable.clone(), silent.clone()]), after(&[polled()]), "{outcome:?}");
        let never = read(&after(&[silent]), at(0));
        assert_eq!(never.resources[0].conditions, [], "nothing has succeeded: {outcome:?}");
    }
}

#[test]
fn a_callback_that_accepts_nothing_outranks_what_may_have_passed_at_the_provider() {
    let mut state = delivered();
    (0..DISTINCT_FAILURES as u64).for_each(|object| fail(&mut state, object, HttpCause::Status(503), None));
    for (problem, ready) in [(away(), "CallbackDown"), (throttled(), "CallbackDown"), (unauthorized(), "Unauthorized")] {
        let health = after(&[polled(), failed(problem), ended(Outcome::CallbackClosed, Facts::default())]);
        let status = told(&plan(), &state, &[&health, &after(&[polled()])], at(3_600));
        assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", ready));
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
        seen: Seen { records: 2, bad_dates: 1, far_ahead: 1, ..Seen::default() },
        unidentified: Some(Unidentified::of("id", &[r#"{"_id":7}"#])),
        unreadable_date: UnreadableDate::of(&sample::resource().extract, r#"{"id":8,"updated":"soon"}"#),
        order_broken: true,
        unsettled: true,
        ..Facts::default()
    };
    let status = read(&after(&[ended(Outcome::Polled, facts)]), at(0));
    assert_eq!(status.ready.as_str(), "True");
    let kinds: Vec<_> =
        status.resources[0].conditions.iter().map(|condition| (condition.kind.as_str(), condition.status.as_str())).collect();
    let noted = ["RecordsIdentified", "DatesPlausible", "Ordered", "Settled", "DatesReadable"].map(|kind| (kind, "False"));
    assert_eq!(kinds, [&[("Polled", "True")], &noted[..]].concat());
    let unidentified = Some(Unidentified::of("id", &[r#"{"_id":7}"#]));
    let nameless = Facts { unidentified, ..Facts::default() };
    let status = read(&after(&[ended(Outcome::Polled, nameless)]), at(0));
    assert_eq!((status.ready.as_str(), status.reason.as_str()), ("False", "MissingId"), "nothing can ever be delivered");
    assert!(
        status.message.ends_with("nothing can be delivered; set idField to _id, which looks like the id"),
        "{}",
        status.message
    );
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

#[test]
fn what_waits_is_still_counted_while_it_cannot_be_run() {
    let mut state = delivered();
    fail_once(&mut state);
    let problem = Problem::human(Reason::ConnectorNotFound, "spec.connector names nope");
    let of = |kept: &Kept| refused(InstanceRef::new("crm", "keap"), Some(3), &problem).keeping(kept);
    let status = of(&Kept::of(&plan(), &state));
    assert_eq!((status.set_aside, status.parked, status.waiting.as_ref().map(|waiting| waiting.events)), (0, 0, Some(1)));
    assert_eq!(condition(&status, "EventsWaiting"), Some(("True", "Retrying")));
    let parked = of(&Kept { parked: 2, set_aside: 1, waiting: 1, suspended: false });
    assert_eq!((parked.set_aside, parked.parked), (1, 2));
    assert_eq!(condition(&parked, "EventsWaiting"), Some(("True", "EventsParked")));
    assert_eq!(condition(&of(&Kept::default()), "EventsWaiting"), None);
}

fn any_report() -> impl Strategy<Value = Report> {
    let signs = [
        Sign::OtherLists,
        Sign::FullPage,
        Sign::AllMarked,
        Sign::PagesOverlap,
        Sign::CursorAhead,
        Sign::StartsLater,
        Sign::TurnedOver,
        Sign::Newcomers,
    ];
    let signs = proptest::sample::subsequence(signs.to_vec(), 0..=signs.len());
    let seen = any::<[bool; 7]>().prop_map(|[bad, lost, ahead, unread, words, repeated, disorder]| Seen {
        bad_dates: bad.into(),
        lost_dates: lost.into(),
        far_ahead: ahead.into(),
        unread_marks: unread.into(),
        status_words: words.into(),
        repeated_ids: repeated.into(),
        disorder,
        ..Seen::default()
    });
    let gap = prop_oneof![
        Just(None),
        Just(Some(Gap::ReadWhole(Tokenless::Expired))),
        Just(Some(Gap::ReadWhole(Tokenless::Unkept))),
        Just(Some(Gap::ChangesMissed(Tokenless::Edited))),
        Just(Some(Gap::OutOfReach))
    ];
    let facts = (any::<[bool; 3]>(), seen, signs, gap, any::<Option<bool>>());
    let facts = facts.prop_map(|([ids, unsettled, queue_full], seen, signs, gap, dates_are_days)| Facts {
        unidentified: ids.then(|| Unidentified::of("id", &["{}"])),
        unreadable_date: (seen.bad_dates > 0)
            .then(|| UnreadableDate::of(&sample::resource().extract, r#"{"id":8,"updated":"soon"}"#))
            .flatten(),
        seen,
        signs,
        gap,
        dates_are_days,
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
            state.sinks.note_failed(&CALLBACK, object, Failure { retry_after: None, cause, blame: Blame::Sink }, at(0), 0);
        }
        let (first, second) = (after(&first), after(&second));
        let now = at(12) + Duration::from_secs(later);
        let status = told(&plan(), &state, &[&first, &second], now);
        let count = |kind: &str| status.conditions.iter().filter(|condition| condition.kind.as_str() == kind).count();
        for kind in ["Ready", "Authenticated", "ProviderReachable", "CallbackReachable"] {
            prop_assert_eq!(count(kind), 1);
        }
        prop_assert_eq!(count("Stalled") + count("Reconciling"), usize::from(status.ready == ConditionStatus::False));
        for resource in &status.resources {
            let kinds: HashSet<_> = resource.conditions.iter().map(|condition| condition.kind).collect();
            prop_assert_eq!(kinds.len(), resource.conditions.len(), "{:?}", resource.conditions);
        }
        let of_resources = status.resources.iter().flat_map(|resource| &resource.conditions);
        for condition in status.conditions.iter().chain(of_resources) {
            prop_assert!(!condition.message.is_empty() && !condition.message.contains('\n'));
        }
        prop_assert_eq!(&status, &told(&plan(), &state, &[&first, &second], now));
    }
}
