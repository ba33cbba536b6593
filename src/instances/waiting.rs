//! What waits in the retry queues of an instance, for people who look: without the records.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::deliver::retry_queue::QueuedEvent;
use crate::deliver::sink::SinkName;
use crate::detect::event::{EventId, Kind};
use crate::observe::journal::Delivery;

/// An event that a sink did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// The sink.
    pub sink: SinkName,
    /// Name of the resource.
    pub resource: Arc<str>,
    /// What happened to the object.
    pub kind: Kind,
    /// Its id, cut and cleaned as in the journal.
    pub object: Box<str>,
    /// The id of the event.
    pub event: EventId,
    /// Tries so far.
    pub attempts: u32,
    /// Of these, how many were refused.
    pub refusals: u32,
    /// When the change was found.
    pub found: DateTime<Utc>,
    /// When it is tried next; `None`: it is parked, and waits for a person.
    pub next_try: Option<DateTime<Utc>>,
}

impl WaitingEvent {
    /// Whether it waits for a person.
    pub fn is_parked(&self) -> bool {
        self.next_try.is_none()
    }
}

impl From<&QueuedEvent> for WaitingEvent {
    fn from(queued: &QueuedEvent) -> Self {
        let QueuedEvent { sink, event, attempts, refusals, next_try, .. } = queued;
        Self {
            sink: sink.clone(),
            resource: Arc::clone(&event.resource),
            kind: event.kind,
            object: Delivery::shown_id(&event.object_id),
            event: event.id.clone(),
            attempts: *attempts,
            refusals: *refusals,
            found: event.detected_at,
            next_try: *next_try,
        }
    }
}
