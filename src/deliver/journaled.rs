//! A try to deliver an event, as the journal has it. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::outcome::DeliveryOutcome;
use super::sink::http::interpret::{HttpCause, Silence};
use super::sink::{Cause, Delivery, SinkName};
use crate::detect::event::{Event, EventId, Kind};
use crate::observe::journal::{self, Answer, millis};

/// An event that is tried, without its body.
#[derive(Clone, Debug)]
pub struct Tried {
    resource: Arc<str>,
    kind: Kind,
    object: Box<str>,
    event: EventId,
    attempt: u32,
}

impl Tried {
    /// `before`: how often it was tried before.
    pub fn of(event: &Event, before: u32) -> Self {
        Self {
            resource: Arc::clone(&event.resource),
            kind: event.kind,
            object: journal::Delivery::shown_id(&event.object_id),
            event: event.id.clone(),
            attempt: before.saturating_add(1),
        }
    }

    /// The entry with its resource, once it is known what became of it; `None`: nothing was sent. `took`: how long the request was under
    /// way.
    pub fn entry(
        self,
        sink: &SinkName,
        delivery: &Delivery,
        outcome: DeliveryOutcome,
        took: Duration,
    ) -> Option<(Arc<str>, journal::Delivery)> {
        let Self { resource, kind, object, event, attempt } = self;
        let (sink, took_ms) = (sink.text(), millis(took));
        let (answer, outcome) = (answer(delivery)?, outcome.counted()?);
        Some((resource, journal::Delivery { sink, kind, object, event, attempt, answer, outcome, took_ms }))
    }
}

fn answer(delivery: &Delivery) -> Option<Answer> {
    let cause = match delivery {
        Delivery::Accepted => return Some(Answer::Accepted),
        Delivery::Gone => return Some(Answer::Status(410)),
        Delivery::Unusable(_) => return None,
        Delivery::Retry { cause, .. } | Delivery::Refused { cause } => *cause,
    };
    let Cause::Http(cause) = cause;
    Some(match cause {
        HttpCause::Unauthorized => Answer::Unauthorized,
        HttpCause::Status(status) => Answer::Status(status),
        HttpCause::Silent(Silence::Unreachable(_)) => Answer::Unreachable,
        HttpCause::Silent(Silence::Timeout(_)) => Answer::Timeout,
        HttpCause::Silent(Silence::Broken(_)) => Answer::Broken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::deliver::sample::event;
    use crate::deliver::sink::{CALLBACK, Pace};
    use crate::egress::error::{Phase, Unreachable};
    use crate::observe::metrics::EventOutcome;

    fn retry(cause: HttpCause) -> Delivery {
        Delivery::Retry { pace: Pace::Usual, retry_after: None, cause: Cause::Http(cause) }
    }

    #[test]
    fn a_try_has_the_answer_and_what_became_of_the_event() {
        let event = event("a\n42", Kind::Deleted, r#"{"secret": true}"#);
        let took = Duration::from_millis(12);
        let shown = |delivery: &Delivery, outcome| {
            let entry = Tried::of(&event, 2).entry(&CALLBACK, delivery, outcome, took);
            entry.map(|(resource, entry)| {
                assert_eq!(&*resource, "contacts");
                entry
            })
        };
        let parked = shown(&Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) }, DeliveryOutcome::Parked).unwrap();
        assert_eq!(
            parked,
            journal::Delivery {
                sink: "callback".into(),
                kind: Kind::Deleted,
                object: "a42".into(),
                event: event.id.clone(),
                attempt: 3,
                answer: Answer::Status(422),
                outcome: EventOutcome::Parked,
                took_ms: 12,
            }
        );
        for (delivery, answer) in [
            (Delivery::Accepted, Answer::Accepted),
            (Delivery::Gone, Answer::Status(410)),
            (retry(HttpCause::Unauthorized), Answer::Unauthorized),
            (retry(HttpCause::Status(503)), Answer::Status(503)),
            (retry(HttpCause::Silent(Silence::Timeout(Phase::FirstByte))), Answer::Timeout),
            (retry(HttpCause::Silent(Silence::Unreachable(Unreachable::Refused))), Answer::Unreachable),
        ] {
            assert_eq!(shown(&delivery, DeliveryOutcome::Undelivered).unwrap().answer, answer);
        }
        let unusable = Delivery::Unusable(Problem::human(Reason::EgressDenied, "x"));
        assert_eq!(shown(&unusable, DeliveryOutcome::Untried), None);
    }
}
