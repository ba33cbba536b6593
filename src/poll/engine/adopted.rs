//! What people read of a state that was fitted to another plan, or to what an annotation asks for.

use crate::api::identity::InstanceRef;
use crate::observe::span;
use crate::poll::context::EngineContext;
use crate::state::adopt::Adopted;

/// Why events of the retry queue were dropped, as the reason of an Event.
const EVENTS_DROPPED: &str = "EventsDropped";
/// Why nothing follows from an annotation, as the reason of an Event.
const UNKNOWN_ANNOTATION: &str = "UnknownAnnotation";

/// Why nothing was sent again or dropped, as the reason of an Event.
const NOT_PARKED: &str = "EventNotParked";

/// Logs it. What no condition shows is announced by the store, too.
pub(super) fn announce(core: &EngineContext, instance: &InstanceRef, adopted: &Adopted) {
    for (resource, reason) in &adopted.resets {
        span::poll(instance, resource)
            .in_scope(|| tracing::warn!(reason, "cursor reset: spec.polling.startFrom decides what is sent"));
    }
    span::reconcile(instance).in_scope(|| {
        for text in &adopted.unknown {
            tracing::warn!("{text}");
        }
        for text in &adopted.misspelt {
            tracing::warn!(reason = UNKNOWN_ANNOTATION, "{text}");
            core.store.announce(instance, UNKNOWN_ANNOTATION, text.clone());
        }
        for text in &adopted.not_parked {
            tracing::warn!(reason = NOT_PARKED, "{text}");
            core.store.announce(instance, NOT_PARKED, text.clone());
        }
        for (resource, count) in &adopted.dropped {
            let text = dropped(resource, *count);
            tracing::warn!(reason = EVENTS_DROPPED, "{text}");
            core.store.announce(instance, EVENTS_DROPPED, text);
        }
    });
}

fn dropped(resource: &str, count: usize) -> String {
    let events = if count == 1 { "1 event that was" } else { &*format!("{count} events that were") };
    format!(
        "resource {resource} was removed from the spec or renamed, so {events} waiting in the retry queue or parked will not be sent"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted() {
        assert!(dropped("contacts", 1).contains("contacts was removed from the spec or renamed, so 1 event that was waiting"));
        assert!(dropped("contacts", 2).contains("2 events that were waiting"));
    }
}
