//! The retry queue of one sink: events that are kept with their body, so that the cursor could go on without them. Pure.
//!
//! A deferred event is retried by the schedule; a parked one only when a person asks. Nothing is ever dropped: when there is no more
//! room, the change stays with the provider and the cursor waits.

use std::iter::Sum;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::sink::SinkName;
use crate::detect::changes;
use crate::detect::event::{Event, Kind};

/// Most events that an instance may have deferred and parked, all sinks.
pub const MAX_EVENTS: usize = 100;
/// Most bytes of record data in them.
pub const MAX_BYTES: usize = 512 * 1024;

/// The deferred and parked events of one sink, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryQueue {
    events: Vec<QueuedEvent>,
}

/// One event with its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedEvent {
    /// The sink that did not take it.
    #[serde(default, skip_serializing_if = "SinkName::is_callback")]
    pub sink: SinkName,
    /// Hash of the object's id.
    pub object: u64,
    /// The event, as it will be sent again.
    pub event: Event,
    /// Tries so far.
    pub attempts: u32,
    /// Of these, how many were refused.
    #[serde(default)]
    pub refusals: u32,
    /// When it is tried next; `None`: parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<DateTime<Utc>>,
}

/// How much queues hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Events.
    pub events: usize,
    /// Bytes of their records.
    pub bytes: usize,
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |sum, load| Self { events: sum.events + load.events, bytes: sum.bytes + load.bytes })
    }
}

impl RetryQueue {
    /// A queue that holds nothing.
    pub const EMPTY: Self = Self { events: Vec::new() };

    /// Nothing is deferred or parked.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What it holds.
    pub fn events(&self) -> &[QueuedEvent] {
        &self.events
    }

    /// How much it holds.
    pub fn load(&self) -> Load {
        Load { events: self.events.len(), bytes: self.events.iter().map(|e| e.event.data_len()).sum() }
    }

    /// Adds an event. `elsewhere`: what the instance's other queues hold.
    ///
    /// # Errors
    /// Gives the event back when there is no room.
    pub fn enqueue(&mut self, event: QueuedEvent, elsewhere: Load) -> Result<(), Box<QueuedEvent>> {
        let event = QueuedEvent { event: event.event.kept(), ..event };
        let Load { events, bytes } = [self.load(), elsewhere].into_iter().sum();
        if events >= MAX_EVENTS || bytes + event.event.data_len() > MAX_BYTES {
            return Err(Box::new(event));
        }
        self.events.push(event);
        Ok(())
    }

    /// Takes an event back that was stored, whatever room there is.
    pub(super) fn restore(&mut self, event: QueuedEvent) {
        self.events.push(event);
    }

    /// The wall clock was set: the next tries move with it.
    pub(super) fn move_clock(&mut self, step: TimeDelta) {
        for event in &mut self.events {
            event.next_try = event.next_try.map(|at| at + step);
        }
    }

    /// A newer version of an object takes the place of the one that waits (latest state wins), and is tried at once. `elsewhere`:
    /// what the instance's other queues hold.
    ///
    /// # Errors
    /// Gives the event back when there is no room for it; the older one stays.
    pub fn supersede(&mut self, object: u64, event: Event, elsewhere: Load, now: DateTime<Utc>) -> Result<(), Box<Event>> {
        let event = event.kept();
        let others: usize = self.events.iter().filter(|e| !e.is_of(&event.resource, object)).map(|e| e.event.data_len()).sum();
        if elsewhere.bytes + others + event.data_len() > MAX_BYTES {
            return Err(Box::new(event));
        }
        if let Some(queued) = self.events.iter_mut().find(|e| e.is_of(&event.resource, object)) {
            // The receiver has not got the version that waited.
            let changes = changes::both(queued.event.changes.as_deref(), event.changes.as_deref());
            // Nor has it got the creation, if that is what waited and each try was refused: after any other failure it may have it.
            let was_refused = queued.attempts == queued.refusals;
            let kind = match (queued.event.kind, event.kind) {
                (Kind::Created, Kind::Updated) if was_refused => Kind::Created,
                (_, newer) => newer,
            };
            queued.event = Event { kind, changes, ..event };
            if queued.next_try.is_none() {
                (queued.attempts, queued.refusals) = (0, 0);
            }
            queued.next_try = Some(now);
        }
        Ok(())
    }

    /// What is deferred is due now.
    pub fn try_again(&mut self, now: DateTime<Utc>) {
        self.events.iter_mut().filter_map(|e| e.next_try.as_mut()).for_each(|at| *at = (*at).min(now));
    }

    /// Whether an event of this object is deferred or parked.
    pub fn holds(&self, resource: &str, object: u64) -> bool {
        self.events.iter().any(|e| e.is_of(resource, object))
    }

    /// The events of a resource whose next try has come, oldest first.
    pub fn due(&self, resource: &str, now: DateTime<Utc>) -> Vec<QueuedEvent> {
        let is_due = |e: &&QueuedEvent| &*e.event.resource == resource && e.next_try.is_some_and(|at| at <= now);
        self.events.iter().filter(is_due).cloned().collect()
    }

    /// When the next event of a resource is due.
    pub fn next_due(&self, resource: &str) -> Option<DateTime<Utc>> {
        self.events.iter().filter(|e| &*e.event.resource == resource).filter_map(|e| e.next_try).min()
    }

    /// Removes the event of an object: it was accepted.
    pub fn remove(&mut self, resource: &str, object: u64) {
        self.events.retain(|e| !e.is_of(resource, object));
    }

    /// Changes the event of an object after a failed try.
    pub fn reschedule(&mut self, event: QueuedEvent) {
        if let Some(own) = self.events.iter_mut().find(|e| e.is_of(&event.event.resource, event.object)) {
            *own = event;
        }
    }

    /// A person asked for it: the parked events of a resource, or the one of an id, are tried again, with a full schedule before them.
    pub fn redeliver(&mut self, resource: &str, event: Option<&str>, now: DateTime<Utc>) -> usize {
        let parked = self.events.iter_mut().filter(|e| e.is_parked(resource, event));
        parked.map(|e| (e.next_try, e.attempts, e.refusals) = (Some(now), 0, 0)).count()
    }

    /// A person asked for it: the parked events of a resource, or the one of an id, are dropped.
    pub fn discard(&mut self, resource: &str, event: Option<&str>) -> usize {
        let before = self.events.len();
        self.events.retain(|e| !e.is_parked(resource, event));
        before - self.events.len()
    }

    /// Drops the events of resources that are no longer declared.
    pub fn retain_resources(&mut self, declared: impl Fn(&str) -> bool) {
        self.events.retain(|e| declared(&e.event.resource));
    }

    /// Events that wait for their next try.
    pub fn deferred(&self) -> usize {
        self.events.iter().filter(|e| e.next_try.is_some()).count()
    }

    /// Events that wait for a person.
    pub fn parked(&self) -> usize {
        self.events.len() - self.deferred()
    }

    /// Parked events of one resource.
    pub fn parked_of(&self, resource: &str) -> usize {
        self.events.iter().filter(|e| e.next_try.is_none() && &*e.event.resource == resource).count()
    }
}

impl QueuedEvent {
    fn is_of(&self, resource: &str, object: u64) -> bool {
        self.object == object && &*self.event.resource == resource
    }

    /// Whether it is parked, of that resource, and has that id if one is named.
    fn is_parked(&self, resource: &str, event: Option<&str>) -> bool {
        self.next_try.is_none() && &*self.event.resource == resource && event.is_none_or(|id| self.event.id.as_str() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sample::{at, event};

    /// No other queue holds anything.
    const ALONE: Load = Load { events: 0, bytes: 0 };

    fn record(bytes: usize) -> String {
        format!(r#""{}""#, "x".repeat(bytes - 2))
    }

    fn entry(object: u64, bytes: usize, next_try: Option<DateTime<Utc>>) -> QueuedEvent {
        let event = event(&object.to_string(), Kind::Updated, &record(bytes));
        QueuedEvent { sink: SinkName::default(), object, event, attempts: 3, refusals: 2, next_try }
    }

    fn queue(events: impl IntoIterator<Item = QueuedEvent>) -> RetryQueue {
        let mut queue = RetryQueue::default();
        for event in events {
            queue.enqueue(event, ALONE).unwrap();
        }
        queue
    }

    fn only(queue: &RetryQueue) -> &QueuedEvent {
        let [event] = &*queue.events else { panic!("{queue:?}") };
        event
    }

    #[test]
    fn what_is_too_large_to_be_sent_is_not_kept_and_finds_room() {
        let large = || event("1", Kind::Updated, &record(3 << 20));
        let mut queue = queue([QueuedEvent { event: large(), ..entry(1, 10, None) }]);
        assert!(only(&queue).event.is_truncated());
        assert_eq!((only(&queue).event.data_len(), &only(&queue).event.id), (4, &large().id));
        assert!(queue.supersede(1, large(), ALONE, at(0)).is_ok());
        assert!(only(&queue).event.is_truncated());
        assert!(queue.supersede(1, event("1", Kind::Updated, &record(20)), ALONE, at(0)).is_ok());
        assert!(!only(&queue).event.is_truncated(), "the next version is small");
    }

    #[test]
    fn the_hundred_and_first_event_is_given_back() {
        let mut full = queue((0..100).map(|object| entry(object, 10, Some(at(0)))));
        let refused = full.enqueue(entry(100, 10, Some(at(0))), ALONE).unwrap_err();
        assert_eq!(refused.object, 100);
        assert_eq!((full.deferred(), full.holds("contacts", 100)), (100, false));
        full.remove("contacts", 0);
        full.enqueue(*refused, ALONE).unwrap();
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut queue = queue([entry(0, MAX_BYTES / 2, None), entry(1, MAX_BYTES / 2 - 100, None)]);
        assert!(queue.enqueue(entry(2, 101, None), ALONE).is_err());
        queue.enqueue(entry(3, 100, None), ALONE).unwrap();
        assert!(queue.enqueue(entry(4, 2, None), ALONE).is_err());
        assert_eq!(queue.parked(), 3);
    }

    #[test]
    fn a_newer_version_takes_the_place_and_is_tried_at_once() {
        let mut queue = queue([entry(1, 10, Some(at(500))), entry(2, 10, None)]);
        queue.supersede(1, event("1", Kind::Deleted, "{}"), ALONE, at(7)).unwrap();
        let first = &queue.events[0];
        assert_eq!((first.event.kind, first.next_try), (Kind::Deleted, Some(at(7))));
        assert_eq!((first.attempts, first.refusals), (3, 2), "a failing object keeps its place in the schedule");
        assert_eq!(first.event.changes, None);
        queue.supersede(2, event("2", Kind::Updated, "{}"), ALONE, at(7)).unwrap();
        let second = &queue.events[1];
        assert_eq!((second.attempts, second.refusals, second.next_try), (0, 0, Some(at(7))), "a parked one begins again");
        assert_eq!(queue.events.len(), 2);
    }

    #[test]
    fn what_is_deferred_can_be_made_due_and_what_is_parked_stays_so() {
        let mut queue = queue([entry(1, 10, Some(at(500))), entry(2, 10, None), entry(3, 10, Some(at(3)))]);
        queue.try_again(at(7));
        assert_eq!(queue.events.iter().map(|e| e.next_try).collect::<Vec<_>>(), [Some(at(7)), None, Some(at(3))]);
    }

    #[test]
    fn a_creation_that_was_only_ever_refused_stays_one() {
        let kind_after = |attempts, refusals, newer: Kind| {
            let waits = QueuedEvent { event: event("1", Kind::Created, "{}"), attempts, refusals, ..entry(1, 10, None) };
            let mut queue = queue([waits]);
            queue.supersede(1, event("1", newer, "{\"v\":2}"), ALONE, at(7)).unwrap();
            assert_eq!(only(&queue).event.data.get(), "{\"v\":2}");
            only(&queue).event.kind
        };
        assert_eq!(kind_after(5, 5, Kind::Updated), Kind::Created);
        assert_eq!(kind_after(5, 4, Kind::Updated), Kind::Updated, "the receiver may have got one that timed out");
        assert_eq!(kind_after(5, 5, Kind::Deleted), Kind::Deleted);
    }

    #[test]
    fn a_newer_version_names_what_the_older_one_changed_too() {
        let changed = |changes: Option<&str>| Event { changes: changes.map(Into::into), ..event("1", Kind::Updated, "{}") };
        let mut queue = queue([QueuedEvent { event: changed(Some("b,c")), ..entry(1, 10, Some(at(500))) }]);
        queue.supersede(1, changed(Some("a,b")), ALONE, at(7)).unwrap();
        assert_eq!(only(&queue).event.changes.as_deref(), Some("a,b,c"));
        queue.supersede(1, changed(None), ALONE, at(7)).unwrap();
        queue.supersede(1, changed(Some("a")), ALONE, at(7)).unwrap();
        assert_eq!(only(&queue).event.changes, None, "what the receiver has is not known");
    }

    #[test]
    fn superseding_looks_at_resource_and_object() {
        let mut queue = queue([entry(1, 10, Some(at(500)))]);
        let mut foreign = event("1", Kind::Deleted, "{}");
        foreign.resource = "orders".into();
        queue.supersede(1, foreign, ALONE, at(7)).unwrap();
        queue.supersede(2, event("2", Kind::Deleted, "{}"), ALONE, at(7)).unwrap();
        assert_eq!(only(&queue), &entry(1, 10, Some(at(500))));
    }

    #[test]
    fn a_newer_version_that_does_not_fit_leaves_the_older_one() {
        let mut queue =
            queue([entry(1, 10, Some(at(500))), entry(2, MAX_BYTES / 2 - 100, None), entry(3, MAX_BYTES / 2, None)]);
        let refused = queue.supersede(1, event("1", Kind::Updated, &record(101)), ALONE, at(7)).unwrap_err();
        assert_eq!(refused.data_len(), 101);
        assert_eq!(queue.events[0], entry(1, 10, Some(at(500))));
        // The bytes of the one that is replaced do not count.
        queue.supersede(2, event("2", Kind::Updated, &record(MAX_BYTES / 2 - 10)), ALONE, at(7)).unwrap();
    }

    #[test]
    fn due_events_come_oldest_first_and_parked_ones_never() {
        let queue =
            queue([entry(1, 10, Some(at(20))), entry(2, 10, None), entry(3, 10, Some(at(10))), entry(4, 10, Some(at(21)))]);
        let due: Vec<_> = queue.due("contacts", at(20)).iter().map(|entry| entry.object).collect();
        assert_eq!(due, [1, 3]);
        assert!(queue.due("orders", at(20)).is_empty());
        assert_eq!(queue.next_due("contacts"), Some(at(10)));
        assert_eq!(queue.next_due("orders"), None);
    }

    #[test]
    fn a_failed_try_changes_the_event_of_its_object_only() {
        let mut queue = queue([entry(1, 10, Some(at(0))), entry(2, 10, Some(at(0)))]);
        queue.reschedule(QueuedEvent { attempts: 4, next_try: Some(at(99)), ..entry(2, 10, None) });
        assert_eq!(queue.events[0], entry(1, 10, Some(at(0))));
        assert_eq!((queue.events[1].attempts, queue.events[1].next_try), (4, Some(at(99))));
        queue.reschedule(entry(3, 10, None));
        assert_eq!(queue.events.len(), 2, "what was removed meanwhile does not come back");
    }

    #[test]
    fn redelivery_wakes_the_parked_events_of_one_resource() {
        let mut foreign = entry(3, 10, None);
        foreign.event.resource = "orders".into();
        let mut queue = queue([entry(1, 10, Some(at(500))), entry(2, 10, None), foreign]);
        assert_eq!((queue.deferred(), queue.parked(), queue.parked_of("contacts")), (1, 2, 1));
        assert_eq!(queue.redeliver("contacts", None, at(7)), 1);
        assert_eq!((queue.deferred(), queue.parked(), queue.parked_of("contacts")), (2, 1, 0));
        let woken = &queue.events[1];
        assert_eq!((woken.attempts, woken.refusals, woken.next_try), (0, 0, Some(at(7))));
        assert_eq!(queue.events[0], entry(1, 10, Some(at(500))), "one that waits anyway keeps its place");
        assert_eq!(queue.redeliver("contacts", None, at(8)), 0);
    }

    #[test]
    fn a_single_parked_event_is_sent_again_or_dropped() {
        let mut queue = queue([entry(1, 10, Some(at(500))), entry(2, 10, None), entry(3, 10, None)]);
        let ids: Vec<_> = queue.events().iter().map(|e| e.event.id.to_string()).collect();
        assert_eq!((queue.redeliver("contacts", Some(&ids[0]), at(7)), queue.discard("contacts", Some(&ids[0]))), (0, 0));
        assert_eq!((queue.redeliver("orders", Some(&ids[1]), at(7)), queue.discard("orders", None)), (0, 0));
        assert_eq!(queue.redeliver("contacts", Some(&ids[1]), at(7)), 1);
        assert_eq!((queue.events()[1].next_try, queue.parked()), (Some(at(7)), 1));
        assert_eq!((queue.discard("contacts", Some(&ids[1])), queue.discard("contacts", Some(&ids[2]))), (0, 1));
        assert_eq!((queue.events().len(), queue.parked()), (2, 0), "what waits for its next try is kept");
    }

    #[test]
    fn events_of_a_removed_resource_go_with_it() {
        let mut foreign = entry(2, 10, None);
        foreign.event.resource = "orders".into();
        let mut queue = queue([entry(1, 10, None), foreign]);
        queue.retain_resources(|resource| resource == "contacts");
        assert_eq!(only(&queue).object, 1);
        queue.remove("orders", 1);
        assert!(!queue.is_empty());
        queue.remove("contacts", 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_other_queues_hold_leaves_less_room() {
        let mut queue = RetryQueue::default();
        let full = Load { events: MAX_EVENTS, bytes: 0 };
        assert!(queue.enqueue(entry(1, 10, None), full).is_err());
        let nearly_full = Load { events: 1, bytes: MAX_BYTES - 10 };
        queue.enqueue(entry(1, 10, None), nearly_full).unwrap();
        assert!(queue.supersede(1, event("1", Kind::Updated, &record(11)), nearly_full, at(7)).is_err());
        queue.supersede(1, event("1", Kind::Updated, &record(9)), nearly_full, at(7)).unwrap();
    }
}
