//! Applies what became of a delivered event to the state. Pure.

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::delivery_state::{DeliveryState, Failing};
use super::health::{Blame, Failure};
use super::retry_queue::QueuedEvent;
use super::schedule;
use super::sink::{Delivery, Pace, SinkName};
use crate::detect::event::{Change, Event};
use crate::observe::metrics::EventOutcome;

/// Tries after which a failing event is deferred with its body, so that the cursor goes on.
pub const TRIES_BEFORE_DEFERRED: u32 = 3;
/// Refusals after which an event is parked.
pub const REFUSALS_BEFORE_PARKED: u32 = 5;
/// Objects of one resource that may be failing at once; further failures are simply met again at the next poll.
pub const MAX_FAILING: usize = 1_000;

/// What became of an event at one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The sink took it.
    Accepted,
    /// It waits in the retry queue, with its body: the cursor may go on.
    Deferred,
    /// It waits in the retry queue for a person: the cursor may go on.
    Parked,
    /// It was not taken; the provider will show it again.
    Undelivered,
    /// It was not even sent: the sink was closed meanwhile, or cannot be asked.
    Untried,
    /// It should have been deferred, but the retry queue is full.
    QueueFull,
}

impl DeliveryOutcome {
    /// How it is counted; `None`: there was no try.
    pub fn counted(self) -> Option<EventOutcome> {
        match self {
            Self::Untried => None,
            Self::Accepted => Some(EventOutcome::Accepted),
            Self::Deferred => Some(EventOutcome::SetAside),
            Self::Parked => Some(EventOutcome::Parked),
            Self::Undelivered | Self::QueueFull => Some(EventOutcome::Failed),
        }
    }

    /// Whether the cursor may go past it, as far as this sink is concerned.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Deferred | Self::Parked)
    }
}

/// One try at one sink.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// The sink.
    pub sink: &'a SinkName,
    /// The fingerprint of its target.
    pub target: u64,
    /// All sinks of the instance: what every one of them has is known.
    pub all: &'a [SinkName],
    /// When it ended.
    pub now: DateTime<Utc>,
}

/// Applies what became of a change that was just detected.
pub fn apply_change(state: &mut DeliveryState<'_>, change: &Change, delivery: &Delivery, attempt: &Try<'_>) -> DeliveryOutcome {
    let Try { sink, now, .. } = *attempt;
    if matches!(delivery, Delivery::Retry { .. } | Delivery::Refused { .. }) {
        note_unconfirmed(state, sink, change, now);
    }
    if let Some(outcome) = apply_to_sink(state, change.object, &change.event, delivery, attempt) {
        if outcome == DeliveryOutcome::Accepted {
            state.note_taken(sink, change, attempt.all);
        }
        return outcome;
    }
    let before = state.failing_at(sink, change.object).map_or((0, 0), |failing| (failing.attempts, failing.refusals));
    let tries = Tries::after(before, delivery);
    let next_try = tries.next(&change.event, now);
    if tries.attempts < TRIES_BEFORE_DEFERRED {
        note_failing(state, sink, change.object, tries.counted(), next_try.unwrap_or(now));
        return DeliveryOutcome::Undelivered;
    }
    let event = QueuedEvent {
        sink: sink.clone(),
        object: change.object,
        event: change.event.clone(),
        attempts: tries.attempts,
        refusals: tries.refusals,
        next_try,
    };
    if state.sinks.enqueue(event, state.room).is_err() {
        note_failing(state, sink, change.object, tries.counted(), next_try.unwrap_or(now + chrono::Duration::hours(24)));
        return DeliveryOutcome::QueueFull;
    }
    state.note_taken(sink, change, attempt.all);
    if next_try.is_some() { DeliveryOutcome::Deferred } else { DeliveryOutcome::Parked }
}

/// Applies what became of an event of the retry queue.
pub fn apply_retry(
    state: &mut DeliveryState<'_>,
    mut queued: QueuedEvent,
    delivery: &Delivery,
    attempt: &Try<'_>,
) -> DeliveryOutcome {
    if let Some(outcome) = apply_to_sink(state, queued.object, &queued.event, delivery, attempt) {
        if outcome == DeliveryOutcome::Accepted {
            state.sinks.remove(attempt.sink, &queued.event.resource, queued.object);
        }
        return outcome;
    }
    let tries = Tries::after((queued.attempts, queued.refusals), delivery);
    queued.next_try = tries.next(&queued.event, attempt.now);
    (queued.attempts, queued.refusals) = (tries.attempts, tries.refusals);
    let outcome = if queued.next_try.is_some() { DeliveryOutcome::Deferred } else { DeliveryOutcome::Parked };
    state.sinks.reschedule(queued);
    outcome
}

/// Notes the try in the sink's health and in the counters; `None`: the event itself failed, and a try of it is counted.
fn apply_to_sink(
    state: &mut DeliveryState<'_>,
    object: u64,
    event: &Event,
    delivery: &Delivery,
    &Try { sink, target, now, .. }: &Try<'_>,
) -> Option<DeliveryOutcome> {
    let failure = match delivery {
        Delivery::Accepted => {
            state.sinks.note_accepted(sink, target);
            *state.delivered += 1;
            *state.last_change_time = Some(now);
            return Some(DeliveryOutcome::Accepted);
        }
        Delivery::Gone => {
            state.sinks.note_gone(sink, target);
            return Some(DeliveryOutcome::Undelivered);
        }
        Delivery::Unusable(_) => return Some(DeliveryOutcome::Untried),
        Delivery::Retry { retry_after, cause, .. } => Failure { retry_after: *retry_after, cause: *cause, blame: Blame::Sink },
        // A target that never accepted anything may be the wrong one.
        Delivery::Refused { cause } => {
            let blame = if state.sinks.has_accepted(sink, target) { Blame::Object } else { Blame::Sink };
            Failure { retry_after: None, cause: *cause, blame }
        }
    };
    state.sinks.note_failed(sink, health_key(&event.resource, object), failure, now, seed(event));
    state.sinks.health(sink).is_down().then_some(DeliveryOutcome::Undelivered)
}

/// Tries of one event, this one included.
struct Tries<'d> {
    attempts: u32,
    refusals: u32,
    delivery: &'d Delivery,
}

impl<'d> Tries<'d> {
    fn after((attempts, refusals): (u32, u32), delivery: &'d Delivery) -> Self {
        let refused = u32::from(matches!(delivery, Delivery::Refused { .. }));
        Self { attempts: attempts + 1, refusals: refusals + refused, delivery }
    }

    fn counted(&self) -> (u32, u32) {
        (self.attempts, self.refusals)
    }

    /// When it is tried next; `None` when it is to be parked.
    fn next(&self, event: &Event, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.refusals >= REFUSALS_BEFORE_PARKED {
            return None;
        }
        let (pace, retry_after) = match self.delivery {
            Delivery::Retry { pace, retry_after, .. } => (*pace, *retry_after),
            _ => (Pace::Usual, None),
        };
        // What needs a person starts where the schedule is slow.
        let step = self.attempts + u32::from(pace == Pace::Slow);
        schedule::next_try(step, seed(event), retry_after, now)
    }
}

/// A sink was sent a change and did not take it: it may have it all the same, and if the change is undone, that must be sent. While a sink is
/// down this counts as no try.
fn note_unconfirmed(state: &mut DeliveryState<'_>, sink: &SinkName, change: &Change, now: DateTime<Utc>) {
    state.remember_sent(change);
    let is_known = state.known.get(change.record).is_some_and(|known| known.sent_as().is_none());
    if is_known && state.failing_at(sink, change.object).is_none() {
        note_failing(state, sink, change.object, (0, 0), now);
    }
}

fn note_failing(
    state: &mut DeliveryState<'_>,
    sink: &SinkName,
    object: u64,
    (attempts, refusals): (u32, u32),
    next_try: DateTime<Utc>,
) {
    let failing = Failing { sink: sink.clone(), object, attempts, refusals, next_try };
    match state.failing.iter().position(|f| f.object == object && f.sink == *sink) {
        Some(index) => state.failing[index] = failing,
        None if state.failing.len() < MAX_FAILING => state.failing.push(failing),
        None => {}
    }
}

/// Objects of different resources are distinct for a sink.
fn health_key(resource: &str, object: u64) -> u64 {
    xxh3_64_with_seed(resource.as_bytes(), object)
}

/// Spreads the jitter by event, the same after a restart.
fn seed(event: &Event) -> u64 {
    xxh3_64_with_seed(event.id.as_str().as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::retry_queue::MAX_EVENTS;
    use crate::deliver::sample::{change, retry};
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::deliver::sink::{CALLBACK, Cause};
    use crate::detect::event::Kind;
    use crate::detect::known::Known;
    use crate::state::InstanceState;

    const TARGET: u64 = 9;

    fn refused() -> Delivery {
        Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn state() -> InstanceState {
        InstanceState::new("u".into())
    }

    /// Applies to the only sink.
    fn apply(state: &mut InstanceState, change: &Change, delivery: &Delivery, now: DateTime<Utc>) -> DeliveryOutcome {
        let all = [CALLBACK.clone()];
        apply_change(
            &mut state.delivery("contacts"),
            change,
            delivery,
            &Try { sink: &CALLBACK, target: TARGET, all: &all, now },
        )
    }

    /// Applies to the only sink's first event that is due.
    fn apply_due(state: &mut InstanceState, delivery: &Delivery, now: DateTime<Utc>) -> DeliveryOutcome {
        let queued = state.sinks.queue(&CALLBACK).due("contacts", now).remove(0);
        let all = [CALLBACK.clone()];
        apply_retry(&mut state.delivery("contacts"), queued, delivery, &Try { sink: &CALLBACK, target: TARGET, all: &all, now })
    }

    fn known_version(state: &InstanceState, object: u64) -> Option<u64> {
        state.resources.get("contacts")?.known.get(object).map(|known| known.version)
    }

    #[test]
    fn an_accepted_change_is_remembered_and_counted() {
        let mut state = state();
        assert_eq!(apply(&mut state, &change(1, 5), &Delivery::Accepted, at(3)), DeliveryOutcome::Accepted);
        assert_eq!(known_version(&state, 1), Some(5));
        assert_eq!((state.delivered(), state.last_change_time()), (1, Some(at(3))));
    }

    #[test]
    fn one_failing_object_is_deferred_after_three_tries_while_others_pass() {
        let mut state = state();
        let outcomes = [DeliveryOutcome::Undelivered, DeliveryOutcome::Undelivered, DeliveryOutcome::Deferred];
        for (attempt, outcome) in (1..).zip(outcomes) {
            assert_eq!(apply(&mut state, &change(1, 5), &retry(), at(attempt)), outcome, "try {attempt}");
            let other = change(100 + u64::try_from(attempt).unwrap(), 1);
            apply(&mut state, &other, &Delivery::Accepted, at(attempt));
        }
        assert_eq!(known_version(&state, 1), Some(5), "the cursor may pass it");
        assert!(state.resources["contacts"].failing.is_empty());
        let due = state.sinks.queue(&CALLBACK).next_due("contacts").unwrap();
        assert!((at(3 + 24 * 60)..=at(3 + 36 * 60)).contains(&due), "third wait of the schedule: 30 m ± 20 %, {due}");
        assert_eq!(apply_due(&mut state, &Delivery::Accepted, due), DeliveryOutcome::Accepted);
        assert!(state.sinks.events().is_empty());
        assert_eq!(state.delivered(), 4);
    }

    #[test]
    fn a_refused_event_is_parked_after_five_tries_and_any_other_at_the_end_of_the_schedule() {
        for (delivery, tries) in [(refused(), 5), (retry(), 10)] {
            let mut state = state();
            let mut now = at(0);
            let mut count = 0;
            while state.sinks.parked() == 0 {
                count += 1;
                apply(&mut state, &change(200, count), &Delivery::Accepted, now);
                match state.sinks.queue(&CALLBACK).next_due("contacts") {
                    Some(due) => {
                        now = due;
                        apply_due(&mut state, &delivery, now);
                    }
                    None => {
                        apply(&mut state, &change(1, 5), &delivery, now);
                    }
                }
                assert!(count < 100);
            }
            assert_eq!(count, tries, "{delivery:?}");
            assert_eq!(state.sinks.redeliver("contacts", None, now), 1);
            assert_eq!(state.sinks.deferred(), 1);
        }
    }

    #[test]
    fn while_a_sink_is_down_nothing_is_deferred_and_no_try_is_counted() {
        let mut state = state();
        for object in 0..5 {
            apply(&mut state, &change(object, 1), &retry(), at(0));
        }
        assert!(state.sinks.health(&CALLBACK).is_down());
        let before = state.resources["contacts"].failing.clone();
        for second in 1..50 {
            let outcome = apply(&mut state, &change(1, 1), &retry(), at(second * 100_000));
            assert_eq!(outcome, DeliveryOutcome::Undelivered);
        }
        assert_eq!(state.resources["contacts"].failing, before);
        assert!(state.sinks.events().is_empty());
        apply(&mut state, &change(1, 1), &Delivery::Accepted, at(0));
        assert!(!state.sinks.health(&CALLBACK).is_down());
    }

    #[test]
    fn what_was_tried_is_remembered_though_the_sink_is_down() {
        let mut state = state();
        apply(&mut state, &change(7, 1), &Delivery::Accepted, at(0));
        for object in 0..5 {
            apply(&mut state, &change(object, 1), &retry(), at(0));
        }
        assert!(state.sinks.health(&CALLBACK).is_down());
        let new = Change { is_announcement: true, ..change(8, 1) };
        for change in [&change(7, 2), &new, &change(9, 2)] {
            apply(&mut state, change, &retry(), at(1));
        }
        let own = &state.resources["contacts"];
        let tried: Vec<_> = own.failing.iter().map(|failing| (failing.object, failing.attempts)).collect();
        assert_eq!(tried, [(0, 1), (1, 1), (2, 1), (3, 1), (7, 0)]);
        let sent = |object| own.known.get(object).and_then(Known::sent_as);
        assert_eq!((sent(7), sent(8), own.known.get(9)), (None, Some(Kind::Updated), None));
        apply(&mut state, &new, &Delivery::Accepted, at(2));
        assert_eq!(known_version(&state, 8), Some(1));
    }

    #[test]
    fn a_full_retry_queue_drops_nothing() {
        let mut state = state();
        let all = u64::try_from(MAX_EVENTS).unwrap() + 1;
        let mut last = DeliveryOutcome::Accepted;
        for object in 0..all {
            for _ in 0..3 {
                last = apply(&mut state, &change(object, 1), &retry(), at(0));
                apply(&mut state, &change(1_000, 1), &Delivery::Accepted, at(0));
            }
        }
        assert_eq!(last, DeliveryOutcome::QueueFull);
        assert_eq!(known_version(&state, all - 1), None, "the cursor must not pass it");
        assert_eq!(state.resources["contacts"].failing.len(), 1);
    }

    #[test]
    fn gone_is_noted_on_the_sink_only() {
        let mut state = state();
        assert_eq!(apply(&mut state, &change(1, 1), &Delivery::Gone, at(0)), DeliveryOutcome::Undelivered);
        assert!(state.sinks.health(&CALLBACK).is_gone(TARGET));
        assert!(state.sinks.events().is_empty() && known_version(&state, 1).is_none());
    }

    #[test]
    fn a_request_that_cannot_be_made_says_nothing_about_event_or_sink() {
        let mut state = state();
        let problem = crate::api::conditions::Problem::human(crate::api::conditions::Reason::EgressDenied, "denied");
        let before = {
            state.delivery("contacts");
            state.clone()
        };
        assert_eq!(apply(&mut state, &change(1, 1), &Delivery::Unusable(problem), at(0)), DeliveryOutcome::Untried);
        assert_eq!(state, before);
    }

    mod two_sinks {
        use super::*;

        fn archive() -> SinkName {
            SinkName::new("archive")
        }

        fn both() -> [SinkName; 2] {
            [CALLBACK.clone(), archive()]
        }

        fn at_sink(state: &mut InstanceState, sink: &SinkName, change: &Change, delivery: &Delivery) -> DeliveryOutcome {
            let attempt = Try { sink, target: TARGET, all: &both(), now: at(0) };
            apply_change(&mut state.delivery("contacts"), change, delivery, &attempt)
        }

        #[test]
        fn a_change_is_known_once_every_sink_has_accepted_deferred_or_parked_it() {
            for (failing, outcome) in [(retry(), DeliveryOutcome::Deferred), (refused(), DeliveryOutcome::Deferred)] {
                let mut state = state();
                assert_eq!(at_sink(&mut state, &CALLBACK, &change(1, 5), &Delivery::Accepted), DeliveryOutcome::Accepted);
                assert_eq!(known_version(&state, 1), None, "the other sink lacks it");
                assert_eq!(at_sink(&mut state, &archive(), &change(1, 5), &failing), DeliveryOutcome::Undelivered);
                at_sink(&mut state, &archive(), &change(1, 5), &failing);
                assert_eq!(at_sink(&mut state, &archive(), &change(1, 5), &failing), outcome);
                assert_eq!(known_version(&state, 1), Some(5));
                let own = &state.resources["contacts"];
                assert!(own.failing.is_empty() && own.taken.is_empty());
                assert!(state.sinks.queue(&archive()).holds("contacts", 1) && state.sinks.queue(&CALLBACK).is_empty());
            }
        }

        #[test]
        fn tries_and_health_of_one_sink_are_not_the_others() {
            let mut state = state();
            for object in 0..5 {
                at_sink(&mut state, &archive(), &change(object, 1), &retry());
            }
            assert!(state.sinks.health(&archive()).is_down() && !state.sinks.health(&CALLBACK).is_down());
            at_sink(&mut state, &CALLBACK, &change(0, 1), &retry());
            let own = state.delivery("contacts");
            assert_eq!(own.failing_at(&CALLBACK, 0).unwrap().attempts, 1);
            assert_eq!(own.failing_at(&archive(), 0).unwrap().attempts, 1);
        }

        #[test]
        fn what_a_sink_has_is_a_version_and_not_an_object() {
            let mut state = state();
            at_sink(&mut state, &CALLBACK, &change(1, 5), &Delivery::Accepted);
            let own = state.delivery("contacts");
            assert!(own.has(&CALLBACK, &change(1, 5)) && !own.has(&CALLBACK, &change(1, 6)));
            assert!(!own.has(&archive(), &change(1, 5)) && !own.has(&CALLBACK, &change(2, 5)));
            at_sink(&mut state, &archive(), &change(1, 6), &Delivery::Accepted);
            assert_eq!(known_version(&state, 1), None, "each has another version");
            at_sink(&mut state, &CALLBACK, &change(1, 6), &Delivery::Accepted);
            assert_eq!(known_version(&state, 1), Some(6));
            assert!(state.resources["contacts"].taken.is_empty());
        }
    }
}
