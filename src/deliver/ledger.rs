//! Events that were set aside with their body, so that the cursor could go on without them. Pure.
//!
//! A set-aside event is retried by the schedule; a parked one only when a person asks. Nothing is ever dropped: when the
//! ledger is full, the change stays with the provider and the cursor waits.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::Event;

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
