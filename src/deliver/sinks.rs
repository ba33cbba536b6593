//! What is kept of every sink, by name: its health and its retry queue. Pure.
//!
//! A sink that never failed and keeps nothing has no entry but for the target that accepted an event, so that a healthy instance costs
//! next to nothing.
//!
//! Stored so that versions that know one sink read it: the health of `callback` in a field of its own, and all queued events in one list.
//! What belongs to another sink says so.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::health::{Failure, SinkHealth};
use super::retry_queue::{Load, MAX_BYTES, QueuedEvent, RetryQueue};
use super::sink::{CALLBACK, SinkName};
use crate::detect::event::Event;

/// The delivery state of an instance's sinks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sinks {
    /// Boxed, since a map makes room for eleven values with the first one.
    states: BTreeMap<SinkName, Box<SinkState>>,
    /// Which target of a sink accepted the last event: what is known to work. One entry a sink, in their order.
    accepted: Vec<(SinkName, u64)>,
}

/// The delivery state of one sink.
#[derive(Clone, Debug, Default, PartialEq)]
struct SinkState {
    health: SinkHealth,
    queue: RetryQueue,
}

static FRESH: SinkHealth = SinkHealth::FRESH;
static EMPTY: RetryQueue = RetryQueue::EMPTY;

impl Sinks {
    /// Puts together what was stored: the health of `callback`, that of other sinks, the targets that accepted an event, and the events
    /// of all queues.
    pub fn restore(
        callback: SinkHealth,
        others: BTreeMap<SinkName, SinkHealth>,
        accepted: BTreeMap<SinkName, u64>,
        events: impl IntoIterator<Item = QueuedEvent>,
    ) -> Self {
        let mut sinks = Self { accepted: accepted.into_iter().collect(), ..Self::default() };
        for (name, health) in others.into_iter().chain([(CALLBACK.clone(), callback)]) {
            sinks.change(&name, |state, _| state.health = health);
        }
        sinks.restore_events(events);
        sinks
    }

    /// Takes back the events of all queues, which were stored apart.
    pub fn restore_events(&mut self, events: impl IntoIterator<Item = QueuedEvent>) {
        for event in events {
            let sink = event.sink.clone();
            self.change(&sink, |state, _| state.queue.restore(event));
        }
    }

    /// The wall clock was set: what waits for a time moves with it.
    pub fn move_clock(&mut self, step: TimeDelta) {
        for state in self.states.values_mut() {
            state.health.move_clock(step);
            state.queue.move_clock(step);
        }
    }

    /// The health of a sink.
    pub fn health(&self, sink: &SinkName) -> &SinkHealth {
        self.states.get(sink).map_or(&FRESH, |state| &state.health)
    }

    /// The health of sinks other than `callback`, as far as there is anything to keep.
    pub fn other_health(&self) -> BTreeMap<SinkName, SinkHealth> {
        let others = self.states.iter().filter(|(name, state)| !name.is_callback() && !state.health.is_fresh());
        others.map(|(name, state)| (name.clone(), state.health.clone())).collect()
    }

    /// The retry queue of a sink.
    pub fn queue(&self, sink: &SinkName) -> &RetryQueue {
        self.states.get(sink).map_or(&EMPTY, |state| &state.queue)
    }

    /// The deferred and parked events of all queues.
    pub fn queued(&self) -> impl Iterator<Item = &QueuedEvent> {
        self.states.values().flat_map(|state| state.queue.events())
    }

    /// The events of all queues, as they are stored.
    pub fn events(&self) -> StoredEvents<'_> {
        StoredEvents(self)
    }

    /// The target of a sink accepted an event.
    pub fn note_accepted(&mut self, sink: &SinkName, target: u64) {
        if !self.has_accepted(sink, target) {
            match self.accepted.binary_search_by(|(name, _)| name.cmp(sink)) {
                Ok(index) => self.accepted[index].1 = target,
                Err(index) => self.accepted.insert(index, (sink.clone(), target)),
            }
        }
        if self.states.contains_key(sink) {
            self.change(sink, |state, _| state.health.note_accepted());
        }
    }

    /// Whether this target of a sink ever accepted an event.
    pub fn has_accepted(&self, sink: &SinkName, target: u64) -> bool {
        self.accepted.iter().any(|(name, accepted)| name == sink && *accepted == target)
    }

    /// The targets that have accepted an event, by sink.
    pub fn accepted(&self) -> BTreeMap<SinkName, u64> {
        self.accepted.iter().cloned().collect()
    }

    /// A try of an object failed.
    pub fn note_failed(&mut self, sink: &SinkName, object: u64, failure: Failure, now: DateTime<Utc>, seed: u64) {
        self.change(sink, |state, _| state.health.note_failed(object, failure, now, seed));
    }

    /// The target of a sink is gone.
    pub fn note_gone(&mut self, sink: &SinkName, target: u64) {
        self.change(sink, |state, _| state.health.note_gone(target));
    }

    /// A sink was changed: the health of the old target says nothing about the new one, whose queue is due now.
    pub fn forget_health(&mut self, sink: &SinkName, now: DateTime<Utc>) {
        self.forget(now, |name, _| name == sink);
    }

    /// Nothing that failed is left: the health of a sink, unless its target is gone.
    pub fn forget_failure(&mut self, sink: &SinkName, target: u64, now: DateTime<Utc>) {
        self.forget(now, |name, health| name == sink && !health.is_gone(target));
    }

    /// A person asks for a try: the health of all sinks, whose queues are due now.
    pub fn forget_all_health(&mut self, now: DateTime<Utc>) {
        self.forget(now, |_, _| true);
    }

    /// Secrets changed: the health of sinks that refused the credentials, whose queues are due now. Answers whether there are any.
    pub fn forget_unauthorized(&mut self, now: DateTime<Utc>) -> bool {
        self.forget(now, |_, health| health.cause.is_some_and(super::sink::Cause::is_unauthorized))
    }

    /// Forgets the health of the sinks that are meant, and makes what waits in their queues due. Whether one that failed accepts events is
    /// not known any more. Answers whether there is such a sink.
    fn forget(&mut self, now: DateTime<Utc>, is_meant: impl Fn(&SinkName, &SinkHealth) -> bool) -> bool {
        let mut found = false;
        for (name, state) in self.states.iter_mut().filter(|(name, state)| is_meant(name, &state.health)) {
            let health = std::mem::replace(&mut state.health, SinkHealth::FRESH);
            let fails = |target| health.is_down() || health.failing_since().is_some() || health.is_gone(target);
            self.accepted.retain(|(accepted, target)| accepted != name || !fails(*target));
            state.queue.try_again(now);
            found = true;
        }
        self.states.retain(|_, state| **state != SinkState::default());
        found
    }

    /// Adds an event to the queue of its sink. `room`: the bytes that the process has for the instance's queues.
    ///
    /// # Errors
    /// Gives the event back when the instance's queues have no room for it.
    pub fn enqueue(&mut self, event: QueuedEvent, room: usize) -> Result<(), Box<QueuedEvent>> {
        let sink = event.sink.clone();
        self.change(&sink, |state, elsewhere| state.queue.enqueue(event, without(room, elsewhere)))
    }

    /// A newer version of an object takes the place of the one that waits in the queue of a sink, and is tried at once.
    /// `room`: the bytes that the process has for the instance's queues.
    ///
    /// # Errors
    /// Gives the event back when there is no room for it; the older one stays.
    pub fn supersede(
        &mut self,
        sink: &SinkName,
        object: u64,
        event: Event,
        room: usize,
        now: DateTime<Utc>,
    ) -> Result<(), Box<Event>> {
        self.change(sink, |state, elsewhere| state.queue.supersede(object, event, without(room, elsewhere), now))
    }

    /// How much all queues hold.
    pub fn load(&self) -> Load {
        self.states.values().map(|state| state.queue.load()).sum()
    }

    /// Removes the event of an object from the queue of a sink: it was accepted.
    pub fn remove(&mut self, sink: &SinkName, resource: &str, object: u64) {
        self.change(sink, |state, _| state.queue.remove(resource, object));
    }

    /// Changes a queued event after a failed try.
    pub fn reschedule(&mut self, event: QueuedEvent) {
        let sink = event.sink.clone();
        self.change(&sink, |state, _| state.queue.reschedule(event));
    }

    /// A person asked for it: the parked events of a resource, or the one of an id, are tried again.
    pub fn redeliver(&mut self, resource: &str, event: Option<&str>, now: DateTime<Utc>) -> usize {
        self.states.values_mut().map(|state| state.queue.redeliver(resource, event, now)).sum()
    }

    /// A person asked for it: the parked events of a resource, or the one of an id, are dropped.
    pub fn discard(&mut self, resource: &str, event: Option<&str>) -> usize {
        let mut dropped = 0;
        self.change_each(|state| dropped += state.queue.discard(resource, event));
        dropped
    }

    /// Drops the events of resources that are no longer declared. Answers how many of which.
    pub fn retain_resources(&mut self, declared: impl Fn(&str) -> bool) -> BTreeMap<String, usize> {
        let mut dropped = BTreeMap::new();
        for queued in self.queued().filter(|queued| !declared(&queued.event.resource)) {
            *dropped.entry(queued.event.resource.to_string()).or_default() += 1;
        }
        self.change_each(|state| state.queue.retain_resources(&declared));
        dropped
    }

    /// Events that wait for their next try, all sinks.
    pub fn deferred(&self) -> usize {
        self.states.values().map(|state| state.queue.deferred()).sum()
    }

    /// Events that wait for a person, all sinks.
    pub fn parked(&self) -> usize {
        self.states.values().map(|state| state.queue.parked()).sum()
    }

    /// Parked events of one resource, all sinks.
    pub fn parked_of(&self, resource: &str) -> usize {
        self.states.values().map(|state| state.queue.parked_of(resource)).sum()
    }

    /// Changes what is kept of a sink, given what the queues of the others hold.
    fn change<R>(&mut self, sink: &SinkName, change: impl FnOnce(&mut SinkState, Load) -> R) -> R {
        let elsewhere = self.states.iter().filter(|(name, _)| *name != sink).map(|(_, state)| state.queue.load()).sum();
        let state = self.states.entry(sink.clone()).or_default();
        let result = change(state, elsewhere);
        if **state == SinkState::default() {
            self.states.remove(sink);
        }
        result
    }

    fn change_each(&mut self, mut change: impl FnMut(&mut SinkState)) {
        self.states.values_mut().for_each(|state| change(state));
        self.states.retain(|_, state| **state != SinkState::default());
    }
}

/// What the process has no room for counts as held elsewhere.
fn without(room: usize, elsewhere: Load) -> Load {
    Load { bytes: elsewhere.bytes + MAX_BYTES.saturating_sub(room), ..elsewhere }
}

/// The events of all queues as they are stored: one list.
#[derive(Clone, Copy, Debug)]
pub struct StoredEvents<'a>(&'a Sinks);

impl StoredEvents<'_> {
    /// Nothing is deferred or parked.
    pub fn is_empty(&self) -> bool {
        self.0.states.values().all(|state| state.queue.is_empty())
    }
}

impl Serialize for StoredEvents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.queued())
    }
}

/// Flattened into the state of an instance, which reads it back with [`Sinks::restore`].
impl Serialize for Sinks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Stored<'a> {
            #[serde(skip_serializing_if = "StoredEvents::is_empty")]
            ledger: StoredEvents<'a>,
            #[serde(skip_serializing_if = "SinkHealth::is_fresh")]
            callback: &'a SinkHealth,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            sinks: BTreeMap<SinkName, SinkHealth>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            accepted: BTreeMap<SinkName, u64>,
        }
        let stored = Stored {
            ledger: self.events(),
            callback: self.health(&CALLBACK),
            sinks: self.other_health(),
            accepted: self.accepted(),
        };
        stored.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::health::{Blame, Failure};
    use crate::deliver::retry_queue::MAX_EVENTS;
    use crate::deliver::sample::{at, event};
    use crate::deliver::sink::Cause;
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::detect::event::Kind;

    const FAILED: Failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(500)), blame: Blame::Sink };
    const TARGET: u64 = 9;

    fn archive() -> SinkName {
        SinkName::new("archive")
    }

    fn queued(sink: &SinkName, object: u64, next_try: Option<DateTime<Utc>>) -> QueuedEvent {
        let event = event(&object.to_string(), Kind::Updated, r#"{"id": 9007199254740993, "price":1.10}"#);
        QueuedEvent { sink: sink.clone(), object, event, attempts: 3, refusals: 0, next_try }
    }

    #[test]
    fn a_sink_that_is_well_again_leaves_nothing() {
        let mut fresh = Sinks::default();
        assert!(!fresh.has_accepted(&CALLBACK, TARGET));
        fresh.note_accepted(&CALLBACK, TARGET);
        assert!(fresh.has_accepted(&CALLBACK, TARGET) && !fresh.has_accepted(&CALLBACK, 8) && fresh.states.is_empty());
        let mut sinks = fresh.clone();
        sinks.note_failed(&CALLBACK, 1, FAILED, at(0), 0);
        sinks.enqueue(queued(&CALLBACK, 1, Some(at(0))), MAX_BYTES).unwrap();
        assert!(!sinks.health(&CALLBACK).is_fresh() && sinks.health(&archive()).is_fresh());
        sinks.note_accepted(&CALLBACK, TARGET);
        assert_ne!(sinks, fresh, "an event waits");
        sinks.remove(&CALLBACK, "contacts", 1);
        assert_eq!(sinks, fresh);
        sinks.note_accepted(&CALLBACK, 8);
        assert!(sinks.has_accepted(&CALLBACK, 8) && !sinks.has_accepted(&CALLBACK, TARGET), "the last target alone");
    }

    #[test]
    fn each_sink_has_its_own_health_and_queue_and_all_share_the_room() {
        let mut sinks = Sinks::default();
        for object in 0..5 {
            sinks.note_failed(&archive(), object, FAILED, at(0), 0);
        }
        assert!(sinks.health(&archive()).is_down() && !sinks.health(&CALLBACK).is_down());
        for object in 0..MAX_EVENTS as u64 {
            let sink = if object % 2 == 0 { archive() } else { CALLBACK.clone() };
            sinks.enqueue(queued(&sink, object, None), MAX_BYTES).unwrap();
        }
        assert!(sinks.enqueue(queued(&CALLBACK, 1_000, None), MAX_BYTES).is_err());
        assert!(sinks.queue(&archive()).holds("contacts", 0) && !sinks.queue(&CALLBACK).holds("contacts", 0));
        assert_eq!((sinks.parked(), sinks.parked_of("contacts"), sinks.parked_of("orders")), (MAX_EVENTS, MAX_EVENTS, 0));
        assert_eq!(sinks.redeliver("contacts", None, at(1)), MAX_EVENTS);
        sinks.forget_all_health(at(1));
        assert!(sinks.health(&archive()).is_fresh());
        assert_eq!(sinks.retain_resources(|_| true), BTreeMap::new());
        assert_eq!(sinks.retain_resources(|_| false), BTreeMap::from([("contacts".to_owned(), MAX_EVENTS)]));
        assert_eq!(sinks, Sinks::default());
    }

    #[test]
    fn a_sink_whose_failure_is_forgotten_is_tried_at_once_and_known_to_work_only_when_it_accepts() {
        let mut sinks = Sinks::default();
        for sink in [&CALLBACK, &archive()] {
            sinks.note_accepted(sink, TARGET);
            sinks.note_failed(sink, 1, FAILED, at(0), 0);
            sinks.enqueue(queued(sink, 1, Some(at(1_800))), MAX_BYTES).unwrap();
        }
        let next_try = |sinks: &Sinks, sink: &SinkName| sinks.queue(sink).next_due("contacts");
        sinks.forget_health(&CALLBACK, at(7));
        assert_eq!((next_try(&sinks, &CALLBACK), next_try(&sinks, &archive())), (Some(at(7)), Some(at(1_800))));
        assert!(!sinks.has_accepted(&CALLBACK, TARGET) && sinks.has_accepted(&archive(), TARGET));
        sinks.forget_all_health(at(8));
        assert_eq!((next_try(&sinks, &CALLBACK), next_try(&sinks, &archive())), (Some(at(7)), Some(at(8))));
        assert!(!sinks.has_accepted(&archive(), TARGET));
        sinks.note_accepted(&CALLBACK, TARGET);
        sinks.note_failed(&CALLBACK, 2, Failure { blame: Blame::Object, ..FAILED }, at(0), 0);
        sinks.forget_all_health(at(9));
        assert!(sinks.has_accepted(&CALLBACK, TARGET), "it refused one object, and works");
        sinks.note_gone(&CALLBACK, TARGET);
        sinks.forget_all_health(at(9));
        assert!(!sinks.has_accepted(&CALLBACK, TARGET), "it was gone");
    }

    #[test]
    fn changed_secrets_wake_the_sinks_that_refused_the_credentials() {
        let mut sinks = Sinks::default();
        sinks.note_failed(&archive(), 1, FAILED, at(0), 0);
        assert!(!sinks.forget_unauthorized(at(1)));
        sinks.note_failed(&CALLBACK, 1, Failure { cause: Cause::Http(HttpCause::Unauthorized), ..FAILED }, at(0), 0);
        assert!(sinks.forget_unauthorized(at(1)));
        assert!(sinks.health(&CALLBACK).is_fresh() && !sinks.health(&archive()).is_fresh());
    }

    #[test]
    fn queued_events_survive_a_restart_byte_for_byte() {
        let mut sinks = Sinks::default();
        for event in [queued(&CALLBACK, 1, None), queued(&archive(), 2, None), queued(&CALLBACK, 3, Some(at(3)))] {
            sinks.enqueue(event, MAX_BYTES).unwrap();
        }
        let text = serde_json::to_string(&sinks.events()).unwrap();
        let mut read = Sinks::default();
        read.restore_events(serde_json::from_str::<Vec<QueuedEvent>>(&text).unwrap());
        assert_eq!(read, sinks);
        assert_eq!(serde_json::to_string(&read.events()).unwrap(), text);
        let data = read.queue(&CALLBACK).events()[0].event.data.get();
        assert_eq!(data, r#"{"id": 9007199254740993, "price":1.10}"#);
    }
}
