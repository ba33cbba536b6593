//! The part of an instance's state that delivery reads and changes, of one resource. Pure.

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::health::Admission;
use super::sink::SinkName;
use super::sinks::Sinks;
use crate::api::conditions::Problem;
use crate::detect::event::Change;
use crate::detect::known::{Details, KnownSet};

/// An object whose change a sink did not take. Its body is not kept: the provider shows it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// The sink.
    #[serde(default, skip_serializing_if = "SinkName::is_callback")]
    pub sink: SinkName,
    /// Hash of the object's id.
    pub object: u64,
    /// Tries so far.
    pub attempts: u32,
    /// Of these, how many were refused.
    #[serde(default)]
    pub refusals: u32,
    /// When it may be tried again.
    pub next_try: DateTime<Utc>,
}

/// A sink has a change that another one lacks: it must not get it again when the provider shows it again. With one sink there are
/// none, since a change that every sink has is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// The sink.
    pub sink: SinkName,
    /// Hash of the object's id.
    pub object: u64,
    /// Hash of the event's id: a newer change of the object is another event.
    pub event: u64,
}

impl Taken {
    fn is(&self, change: &Change) -> bool {
        self.object == change.object && self.event == event_hash(change)
    }
}

/// The state of an instance as far as the delivery of one resource's changes is concerned, under one lock.
pub struct DeliveryState<'s> {
    /// Health and retry queue of each sink.
    pub sinks: &'s mut Sinks,
    /// Bytes that the retry queues of the instance may hold, all sinks: what the process has for them.
    pub room: usize,
    /// Which version of which record every sink has.
    pub known: &'s mut KnownSet,
    /// Objects that failed once or twice.
    pub failing: &'s mut Vec<Failing>,
    /// Which sinks have a change that others lack.
    pub taken: &'s mut Vec<Taken>,
    /// Events accepted, by each sink that accepted one.
    pub delivered: &'s mut u64,
    /// When an event was last accepted.
    pub last_change_time: &'s mut Option<DateTime<Utc>>,
}

impl DeliveryState<'_> {
    /// Whether this sink has this very change.
    pub fn has(&self, sink: &SinkName, change: &Change) -> bool {
        self.taken.iter().any(|taken| taken.sink == *sink && taken.is(change))
    }

    /// The tries of an object at a sink that did not take it so far.
    pub fn failing_at(&self, sink: &SinkName, object: u64) -> Option<&Failing> {
        self.failing.iter().find(|failing| failing.object == object && failing.sink == *sink)
    }

    /// A sink has a change: it accepted it, or it is in its retry queue. Once that holds for `all` sinks, the change is known.
    pub fn note_taken(&mut self, sink: &SinkName, change: &Change, all: &[SinkName]) {
        let is_lacking = all.iter().any(|other| other != sink && !self.has(other, change));
        if is_lacking {
            self.failing.retain(|failing| failing.object != change.object || failing.sink != *sink);
            self.taken.retain(|taken| taken.object != change.object || taken.sink != *sink);
            self.taken.push(Taken { sink: sink.clone(), object: change.object, event: event_hash(change) });
            self.remember_sent(change);
        } else {
            self.failing.retain(|failing| failing.object != change.object);
            self.taken.retain(|taken| taken.object != change.object);
            self.known.remember_with(change.record, change.known, change.details.clone());
        }
    }

    /// A change was sent, and not every sink has it: if no sink was known to have the record, it is remembered as sent.
    pub fn remember_sent(&mut self, change: &Change) {
        let Some(sent) = change.known.unconfirmed(change.event.kind).filter(|_| change.is_announcement) else { return };
        // What its fields were is not known to the receiver.
        let details = change.details.clone().map(|details| Details { fields: Box::default(), ..details });
        self.known.remember_with(change.record, sent, details.filter(|details| *details != Details::default()));
    }

    /// The earliest time at which a poll may send something to one of the sinks, each with its target's fingerprint: a failing object's
    /// next try, or the reopening of the sink, before which nothing is polled. `None`: nothing waits for a poll.
    pub fn poll_wake<'n>(
        &self,
        sinks: impl IntoIterator<Item = (&'n SinkName, u64)>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let wake = |(sink, target): (&SinkName, u64)| match self.sinks.health(sink).admission(target, now) {
            // Whatever waits longer must not put the reopening off.
            Admission::ClosedUntil(until) => Some(until),
            Admission::Gone => None,
            Admission::Open | Admission::Probe => {
                self.failing.iter().filter(|failing| failing.sink == *sink).map(|failing| failing.next_try).min()
            }
        };
        sinks.into_iter().filter_map(wake).min()
    }

    /// The earliest time at which a queued event of the resource may be sent to one of the sinks. `None`: none waits.
    pub fn queue_wake<'n>(
        &self,
        resource: &str,
        sinks: impl IntoIterator<Item = (&'n SinkName, u64)>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let wake = |(sink, target): (&SinkName, u64)| {
            let due = self.sinks.queue(sink).next_due(resource)?;
            match self.sinks.health(sink).admission(target, now) {
                Admission::ClosedUntil(until) => Some(due.max(until)),
                Admission::Gone => None,
                Admission::Open | Admission::Probe => Some(due),
            }
        };
        sinks.into_iter().filter_map(wake).min()
    }
}

/// The state of an instance, shared by the jobs of its resources.
pub trait SharedState: Send + Sync {
    /// Takes one step on the state, under its lock.
    fn step<R>(&self, resource: &str, step: impl FnOnce(&mut DeliveryState<'_>) -> R) -> R;

    /// Makes the state durable.
    ///
    /// # Errors
    /// The store's problem; the progress stays in memory and is saved by the next commit that succeeds.
    fn commit(&self) -> impl Future<Output = Result<(), Problem>> + Send;
}

fn event_hash(change: &Change) -> u64 {
    xxh3_64(change.event.id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::health::{Blame, Failure};
    use crate::deliver::retry_queue::{MAX_BYTES, QueuedEvent};
    use crate::deliver::sample::{at, event};
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::deliver::sink::{CALLBACK, Cause};
    use crate::detect::event::Kind;
    use crate::state::InstanceState;

    #[test]
    fn polls_wait_for_the_sink_and_queued_events_for_their_time_and_the_sink() {
        let mut state = InstanceState::new("u".into());
        let wakes = |state: &mut InstanceState| {
            let (state, sinks) = (state.delivery("contacts"), [(&CALLBACK, 9)]);
            (state.poll_wake(sinks, at(0)), state.queue_wake("contacts", sinks, at(0)))
        };
        assert_eq!(wakes(&mut state), (None, None));
        let failing = Failing { sink: CALLBACK.clone(), object: 2, attempts: 1, refusals: 0, next_try: at(900) };
        state.delivery("contacts").failing.push(failing);
        let queued = |next_try| QueuedEvent {
            sink: CALLBACK.clone(),
            object: 1,
            event: event("1", Kind::Updated, "{}"),
            attempts: 3,
            refusals: 0,
            next_try: Some(next_try),
        };
        state.sinks.enqueue(queued(at(9_000)), MAX_BYTES).unwrap();
        assert_eq!(wakes(&mut state), (Some(at(900)), Some(at(9_000))));
        let cause = Cause::Http(HttpCause::Status(429));
        let failure = Failure { retry_after: Some(std::time::Duration::from_mins(1)), cause, blame: Blame::Sink };
        state.sinks.note_failed(&CALLBACK, 3, failure, at(0), 0);
        assert_eq!(wakes(&mut state), (Some(at(60)), Some(at(9_000))), "what waits for hours keeps no poll waiting");
        state.sinks.reschedule(queued(at(5)));
        assert_eq!(wakes(&mut state), (Some(at(60)), Some(at(60))));
        state.sinks.note_gone(&CALLBACK, 9);
        assert_eq!(wakes(&mut state), (None, None));
    }
}
