//! Events that were set aside with their body, so that the cursor could go on without them. Pure.
//!
//! A set-aside event is retried by the schedule; a parked one only when a person asks. Nothing is ever dropped: when the
//! ledger is full, the change stays with the provider and the cursor waits.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::detect::event::Event;

/// Most events an instance may have set aside and parked.
pub const MAX_EVENTS: usize = 100;
/// Most bytes of record data in them.
pub const MAX_BYTES: usize = 512 * 1024;

/// The set-aside and parked events of one instance, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    entries: Vec<Entry>,
}

/// One event with its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Hash of the object's id.
    pub object: u64,
    /// The event, as it will be sent again.
    pub event: Event,
    /// Tries so far.
    pub attempts: u32,
    /// Of these, how many were answered with a 400-class refusal.
    #[serde(default)]
    pub refusals: u32,
    /// When it is tried next; `None`: parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Nothing is set aside or parked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes an entry in.
    ///
    /// # Errors
    /// Gives the entry back when the ledger is full.
    pub fn take_in(&mut self, entry: Entry) -> Result<(), Box<Entry>> {
        let bytes: usize = self.entries.iter().map(|e| e.event.data_len()).sum();
        if self.entries.len() >= MAX_EVENTS || bytes + entry.event.data_len() > MAX_BYTES {
            return Err(Box::new(entry));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// A newer version of an object takes the place of the one that waits (latest state wins), and is tried at once. Answers
    /// whether one was waiting; `Err` when the newer body does not fit.
    ///
    /// # Errors
    /// Gives the event back when there is no room for it; the older one stays.
    pub fn supersede(&mut self, object: u64, event: Event, now: DateTime<Utc>) -> Result<(), Box<Event>> {
        let others: usize = self.entries.iter().filter(|e| !e.is_of(&event.resource, object)).map(|e| e.event.data_len()).sum();
        if others + event.data_len() > MAX_BYTES {
            return Err(Box::new(event));
        }
        if let Some(entry) = self.entries.iter_mut().find(|e| e.is_of(&event.resource, object)) {
            entry.event = event;
            if entry.next_try.is_none() {
                (entry.attempts, entry.refusals) = (0, 0);
            }
            entry.next_try = Some(now);
        }
        Ok(())
    }

    /// Does an event of this object wait or lie parked?
    pub fn holds(&self, resource: &str, object: u64) -> bool {
        self.entries.iter().any(|e| e.is_of(resource, object))
    }

    /// The entries of a resource whose next try has come, oldest first.
    pub fn due(&self, resource: &str, now: DateTime<Utc>) -> Vec<Entry> {
        let is_due = |e: &&Entry| &*e.event.resource == resource && e.next_try.is_some_and(|at| at <= now);
        self.entries.iter().filter(is_due).cloned().collect()
    }

    /// When the next entry of a resource is due.
    pub fn next_due(&self, resource: &str) -> Option<DateTime<Utc>> {
        self.entries.iter().filter(|e| &*e.event.resource == resource).filter_map(|e| e.next_try).min()
    }

    /// Removes the entry of an object: it was accepted.
    pub fn remove(&mut self, resource: &str, object: u64) {
        self.entries.retain(|e| !e.is_of(resource, object));
    }

    /// Changes the entry of an object after a failed try.
    pub fn reschedule(&mut self, entry: Entry) {
        if let Some(own) = self.entries.iter_mut().find(|e| e.is_of(&entry.event.resource, entry.object)) {
            *own = entry;
        }
    }

    /// A person asked for it: the parked events of a resource are tried again, with a full schedule before them.
    pub fn redeliver(&mut self, resource: &str, now: DateTime<Utc>) -> usize {
        let parked = self.entries.iter_mut().filter(|e| e.next_try.is_none() && &*e.event.resource == resource);
        parked.map(|e| (e.next_try, e.attempts, e.refusals) = (Some(now), 0, 0)).count()
    }

    /// Drops the entries of resources that are no longer declared.
    pub fn retain_resources(&mut self, declared: impl Fn(&str) -> bool) {
        self.entries.retain(|e| declared(&e.event.resource));
    }

    /// Events that wait for their next try.
    pub fn set_aside(&self) -> usize {
        self.entries.iter().filter(|e| e.next_try.is_some()).count()
    }

    /// Events that wait for a person.
    pub fn parked(&self) -> usize {
        self.entries.len() - self.set_aside()
    }

    /// Parked events of one resource.
    pub fn parked_of(&self, resource: &str) -> usize {
        self.entries.iter().filter(|e| e.next_try.is_none() && &*e.event.resource == resource).count()
    }
}

impl Entry {
    fn is_of(&self, resource: &str, object: u64) -> bool {
        self.object == object && &*self.event.resource == resource
    }

    /// The resource that the event belongs to.
    pub fn resource(&self) -> &Arc<str> {
        &self.event.resource
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sample::{at, event};
    use crate::detect::event::Kind;

    fn record(bytes: usize) -> String {
        format!(r#""{}""#, "x".repeat(bytes - 2))
    }

    fn entry(object: u64, bytes: usize, next_try: Option<DateTime<Utc>>) -> Entry {
        let event = event(&object.to_string(), Kind::Updated, &record(bytes));
        Entry { object, event, attempts: 3, refusals: 2, next_try }
    }

    fn ledger(entries: impl IntoIterator<Item = Entry>) -> Ledger {
        let mut ledger = Ledger::default();
        for entry in entries {
            ledger.take_in(entry).unwrap();
        }
        ledger
    }

    fn only(ledger: &Ledger) -> &Entry {
        let [entry] = &*ledger.entries else { panic!("{ledger:?}") };
        entry
    }

    #[test]
    fn the_hundred_and_first_event_is_given_back() {
        let mut full = ledger((0..100).map(|object| entry(object, 10, Some(at(0)))));
        let refused = full.take_in(entry(100, 10, Some(at(0)))).unwrap_err();
        assert_eq!(refused.object, 100);
        assert_eq!((full.set_aside(), full.holds("contacts", 100)), (100, false));
        full.remove("contacts", 0);
        full.take_in(*refused).unwrap();
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ledger = ledger([entry(1, MAX_BYTES - 100, None)]);
        assert!(ledger.take_in(entry(2, 101, None)).is_err());
        ledger.take_in(entry(3, 100, None)).unwrap();
        assert!(ledger.take_in(entry(4, 2, None)).is_err());
        assert_eq!(ledger.parked(), 2);
    }

    #[test]
    fn a_newer_version_takes_the_place_and_is_tried_at_once() {
        let mut ledger = ledger([entry(1, 10, Some(at(500))), entry(2, 10, None)]);
        ledger.supersede(1, event("1", Kind::Deleted, "{}"), at(7)).unwrap();
        let first = &ledger.entries[0];
        assert_eq!((first.event.kind, first.next_try), (Kind::Deleted, Some(at(7))));
        assert_eq!((first.attempts, first.refusals), (3, 2), "a failing object keeps its place in the schedule");
        ledger.supersede(2, event("2", Kind::Updated, "{}"), at(7)).unwrap();
        let second = &ledger.entries[1];
        assert_eq!((second.attempts, second.refusals, second.next_try), (0, 0, Some(at(7))), "a parked one begins anew");
        assert_eq!(ledger.entries.len(), 2);
    }

    #[test]
    fn superseding_looks_at_resource_and_object() {
        let mut ledger = ledger([entry(1, 10, Some(at(500)))]);
        let mut foreign = event("1", Kind::Deleted, "{}");
        foreign.resource = "orders".into();
        ledger.supersede(1, foreign, at(7)).unwrap();
        ledger.supersede(2, event("2", Kind::Deleted, "{}"), at(7)).unwrap();
        assert_eq!(only(&ledger), &entry(1, 10, Some(at(500))));
    }

    #[test]
    fn a_newer_version_that_does_not_fit_leaves_the_older_one() {
        let mut ledger = ledger([entry(1, 10, Some(at(500))), entry(2, MAX_BYTES - 100, None)]);
        let refused = ledger.supersede(1, event("1", Kind::Updated, &record(101)), at(7)).unwrap_err();
        assert_eq!(refused.data_len(), 101);
        assert_eq!(ledger.entries[0], entry(1, 10, Some(at(500))));
        // The bytes of the one that is replaced do not count.
        ledger.supersede(2, event("2", Kind::Updated, &record(MAX_BYTES - 10)), at(7)).unwrap();
    }

    #[test]
    fn due_entries_come_oldest_first_and_parked_ones_never() {
        let ledger =
            ledger([entry(1, 10, Some(at(20))), entry(2, 10, None), entry(3, 10, Some(at(10))), entry(4, 10, Some(at(21)))]);
        let due: Vec<_> = ledger.due("contacts", at(20)).iter().map(|entry| entry.object).collect();
        assert_eq!(due, [1, 3]);
        assert!(ledger.due("orders", at(20)).is_empty());
        assert_eq!(ledger.next_due("contacts"), Some(at(10)));
        assert_eq!(ledger.next_due("orders"), None);
    }

    #[test]
    fn a_failed_try_changes_the_entry_of_its_object_only() {
        let mut ledger = ledger([entry(1, 10, Some(at(0))), entry(2, 10, Some(at(0)))]);
        ledger.reschedule(Entry { attempts: 4, next_try: Some(at(99)), ..entry(2, 10, None) });
        assert_eq!(ledger.entries[0], entry(1, 10, Some(at(0))));
        assert_eq!((ledger.entries[1].attempts, ledger.entries[1].next_try), (4, Some(at(99))));
        ledger.reschedule(entry(3, 10, None));
        assert_eq!(ledger.entries.len(), 2, "what was removed meanwhile does not come back");
    }

    #[test]
    fn redelivery_wakes_the_parked_events_of_one_resource() {
        let mut foreign = entry(3, 10, None);
        foreign.event.resource = "orders".into();
        let mut ledger = ledger([entry(1, 10, Some(at(500))), entry(2, 10, None), foreign]);
        assert_eq!((ledger.set_aside(), ledger.parked(), ledger.parked_of("contacts")), (1, 2, 1));
        assert_eq!(ledger.redeliver("contacts", at(7)), 1);
        assert_eq!((ledger.set_aside(), ledger.parked(), ledger.parked_of("contacts")), (2, 1, 0));
        let woken = &ledger.entries[1];
        assert_eq!((woken.attempts, woken.refusals, woken.next_try), (0, 0, Some(at(7))));
        assert_eq!(ledger.entries[0], entry(1, 10, Some(at(500))), "one that waits anyway keeps its place");
        assert_eq!(ledger.redeliver("contacts", at(8)), 0);
    }

    #[test]
    fn entries_of_a_removed_resource_go_with_it() {
        let mut foreign = entry(2, 10, None);
        foreign.event.resource = "orders".into();
        let mut ledger = ledger([entry(1, 10, None), foreign]);
        ledger.retain_resources(|resource| resource == "contacts");
        assert_eq!(only(&ledger).object, 1);
        ledger.remove("orders", 1);
        assert!(!ledger.is_empty());
        ledger.remove("contacts", 1);
        assert!(ledger.is_empty());
    }

    #[test]
    fn it_survives_a_restart_byte_for_byte() {
        let record = r#"{"id": 9007199254740993, "price":1.10}"#;
        let mut kept = entry(1, 10, None);
        kept.event = event("1", Kind::Updated, record);
        let text = serde_json::to_string(&ledger([kept, entry(2, 10, Some(at(3)))])).unwrap();
        let read: Ledger = serde_json::from_str(&text).unwrap();
        assert_eq!(read.entries[0].event.data.get(), record);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
