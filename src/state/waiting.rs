//! What failed at sinks and will be tried again, counted over an instance. Pure.

use std::hash::{Hash, Hasher};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::InstanceState;
use crate::deliver::sink::SinkName;

/// What failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Events, in the retry queue or not.
    pub events: usize,
    /// When the oldest of them was found, or first failed.
    #[serde(skip_serializing_if = "InPassing::is_none")]
    pub oldest: InPassing,
    /// When the next one is tried. It changes with each try that fails, which is reported.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    pub next_try: Option<DateTime<Utc>>,
}

/// As RFC 3339, UTC, whole seconds.
#[allow(clippy::ref_option, reason = "serde passes the field by reference")]
fn whole_seconds<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).serialize(serializer)
}

/// A time that is written only along with something else, and for which alone nothing is written: all are equal. Written as RFC 3339, UTC,
/// whole seconds.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct InPassing(pub Option<DateTime<Utc>>);

impl InPassing {
    /// Whether no time is known.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for InPassing {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Hash for InPassing {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Serialize for InPassing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        whole_seconds(&self.0, serializer)
    }
}

impl InstanceState {
    /// What failed and will be tried again, at any sink; `None` when nothing did.
    pub fn waiting(&self) -> Option<Waiting> {
        let failing = || self.resources.values().flat_map(|own| &own.failing);
        let deferred = || self.sinks.queued().filter_map(|queued| Some((queued, queued.next_try?)));
        let events = failing().count() + deferred().count();
        if events == 0 {
            return None;
        }
        let found = deferred().map(|(queued, _)| queued.event.detected_at);
        let failed = failing().filter_map(|failing| self.sinks.health(&failing.sink).failing_since());
        // none is sent while its sink is closed
        let opened =
            |sink: &SinkName, at: DateTime<Utc>| self.sinks.health(sink).closed_until().map_or(at, |until| at.max(until));
        let tries = failing().map(|failing| opened(&failing.sink, failing.next_try));
        let next = tries.chain(deferred().map(|(queued, at)| opened(&queued.sink, at))).min();
        Some(Waiting { events, oldest: InPassing(found.chain(failed).min()), next_try: next })
    }
}
