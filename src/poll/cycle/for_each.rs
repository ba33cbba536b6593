//! Polls the lists of a resource one after the other, one for each value. [`crate::poll::round`] decides in which order, and what follows
//! when one fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::list::{self, Start};
use crate::api::conditions::Problem;
use crate::auth::access::Access;
use crate::deliver::outbox::Outbox;
use crate::plan::ResourcePlan;
use crate::plan::for_each::{ForEachPlan, name_of};
use crate::poll::context::EngineContext;
use crate::poll::instance::Instance;
use crate::poll::memory::{ListMemories, Memory};
use crate::poll::report::{Facts, Outcome};
use crate::poll::round::{self, AfterFailure, Round};
use crate::state::live::LiveState;

/// Plans of lists that are held at a time.
const CHUNK: usize = 64;
/// What was reached is saved at least this often: a crash repeats what was polled since.
const SAVED_EVERY: Duration = Duration::from_secs(1);

/// Polls every list of `resource`, which is polled for the values of `plan`.
///
/// # Errors
/// No list could be polled, the provider wants to be left alone, or nothing more may be sent.
pub(super) async fn poll(
    (core, instance): (&EngineContext, &Arc<Instance>),
    (resource, plan): (&ResourcePlan, &ForEachPlan),
    (identity, due): (&str, DateTime<Utc>),
    outbox: &mut Outbox<'_, LiveState>,
    memory: &mut Memory,
    facts: &mut Facts,
) -> Result<Outcome, Problem> {
    let memories = memory.lists.get_or_insert_default();
    let values = round::order(&plan.values, memories.next.as_deref(), |value| waits(instance, resource, value));
    let (mut round, mut due, mut saved) = (Round::default(), Some(due), Instant::now());
    for chunk in values.chunks(CHUNK) {
        let lists: Vec<_> = chunk.iter().map(|value| resource.for_value(value)).collect();
        let access = Access::prepare(instance.requester(core), "spec.auth", &resource.auth).await?;
        let mut access = access.with_certificate(resource.client_certificate.as_deref())?;
        for (value, list) in chunk.iter().zip(&lists) {
            memories.next = Some(Arc::clone(value));
            if instance.stop.is_cancelled() {
                return Ok(Outcome::Stopped);
            }
            let start = Start { access, identity, due: due.take(), deletions_wait: false };
            let (own, polled);
            (access, own, polled) = poll_list((core, instance), list, start, outbox, memories).await;
            facts.add(own);
            let after = match polled {
                Ok(Outcome::Stopped) => return Ok(Outcome::Stopped),
                Ok(_) if outbox.room(1, Utc::now()) == 0 => {
                    // What is left is found by the next poll, which begins here.
                    facts.lists = round.break_off();
                    return Ok(Outcome::Polled);
                }
                Ok(_) => {
                    round.note_polled();
                    AfterFailure::GoOn
                }
                Err(problem) if outbox.refusal().is_some() || instance.is_unsaved() => return Err(problem),
                Err(problem) => round.note_failed(value, problem),
            };
            if let AfterFailure::BeginHere(problem) = after {
                return Err(problem);
            }
            memories.next = behind(&plan.values, value);
            if let AfterFailure::BeginBehind(problem) = after {
                return Err(problem);
            }
            if outbox.sums.dirty && saved.elapsed() >= SAVED_EVERY {
                outbox.commit().await?;
                saved = Instant::now();
            }
        }
    }
    facts.lists = round.end()?;
    let mut state = instance.state();
    let own = state.resources.entry(resource.name.to_string()).or_default();
    outbox.sums.dirty |= !std::mem::replace(&mut own.started, true);
    Ok(Outcome::Polled)
}

/// Polls one list. What it leaves goes to `memories`, and its state begins with what its cursor is valid for.
async fn poll_list<'a>(
    engine: (&'a EngineContext, &'a Arc<Instance>),
    list: &'a ResourcePlan,
    start: Start<'a>,
    outbox: &mut Outbox<'_, LiveState>,
    memories: &mut ListMemories,
) -> (Access<'a>, Facts, Result<Outcome, Problem>) {
    {
        let mut state = engine.1.state();
        let own = state.resources.entry(list.name.to_string()).or_default();
        if own.meaning.is_empty() {
            own.meaning = format!("{:016x}", list.meaning);
        }
    }
    outbox.begin_list(&list.name);
    let (mut memory, mut facts) = (memories.take(&list.name), Facts::default());
    // What other lists changed says nothing about this one.
    let before = std::mem::take(&mut outbox.sums.dirty);
    let (access, polled) = list::poll(engine, list, start, outbox, &mut memory, &mut facts).await;
    outbox.sums.dirty |= before;
    memories.put(&list.name, memory);
    (access, facts, polled)
}

/// Whether changes of the list of a value wait for another try.
fn waits(instance: &Instance, resource: &ResourcePlan, value: &str) -> bool {
    let state = instance.state();
    state.resources.get(&name_of(&resource.name, value)).is_some_and(|own| !own.failing.is_empty())
}

/// The value whose turn is next.
fn behind(values: &[Arc<str>], value: &Arc<str>) -> Option<Arc<str>> {
    let place = values.iter().position(|other| other == value)?;
    values.get(place + 1).or(values.first()).cloned()
}
