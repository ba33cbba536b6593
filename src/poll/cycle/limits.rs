//! What a poll showed of the limits of the provider, as later polls have to know it, whichever process they are in.

use chrono::Utc;

use crate::api::conditions::{Problem, Reaction};
use crate::plan::ResourcePlan;
use crate::poll::instance::Instance;
use crate::poll::report::{Facts, Outcome};

/// Notes until when the provider wants to be left alone, and since when its limits have kept the resource from being polled. Answers whether
/// that is worth a write.
pub(super) fn note(instance: &Instance, resource: &ResourcePlan, polled: &Result<Outcome, Problem>, facts: &Facts) -> bool {
    let (now, wait) = (Utc::now(), facts.demanded_wait(polled.as_ref().err(), resource.interval));
    let mut state = instance.state();
    let is_news = state.note_retry_after(wait, now);
    let own = state.resources.get_mut(&*resource.name);
    let is_denied = match polled {
        Err(problem) => problem.reaction == Reaction::Throttled,
        Ok(Outcome::Polled) => false,
        Ok(_) => return is_news,
    };
    is_news | own.is_some_and(|own| own.note_denied(is_denied, facts.pages > 0, now))
}
