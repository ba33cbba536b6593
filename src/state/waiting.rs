//! What failed at a sink and will be tried again, counted over an instance. Pure.

use std::hash::{Hash, Hasher};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::InstanceState;
use crate::deliver::sink::CALLBACK;

/// What failed and will be tried again. Two of them are the same when they count the same: times alone are no news.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Events, in the retry queue or not.
    pub events: usize,
    /// When the oldest of them was found, or first failed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    pub oldest: Option<DateTime<Utc>>,
    /// When the next one is tried.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    pub next_try: Option<DateTime<Utc>>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events
    }
}

impl Eq for Waiting {}

impl Hash for Waiting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.events.hash(state);
    }
}

impl InstanceState {
    /// What failed and will be tried again; `None` when nothing did.
    pub fn waiting(&self) -> Option<Waiting> {
        let failing = || self.resources.values().flat_map(|own| &own.failing);
        let deferred = || self.sinks.queue(&CALLBACK).events().iter().filter(|queued| queued.next_try.is_some());
        let events = failing().count() + self.sinks.deferred();
        if events == 0 {
            return None;
        }
        let sink = self.sinks.health(&CALLBACK);
        let first_failure = sink.failing_since().filter(|_| failing().next().is_some());
        let oldest = deferred().map(|queued| queued.event.detected_at).chain(first_failure).min();
        let next = failing().map(|failing| failing.next_try).chain(deferred().filter_map(|queued| queued.next_try)).min();
        Some(Waiting { events, oldest, next_try: next.max(sink.closed_until()) })
    }
}

#[allow(clippy::ref_option)] // serde calls it so
fn whole_seconds<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).serialize(serializer)
}
