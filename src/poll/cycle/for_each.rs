//! Polls the lists of a resource one after the other, one for each value. [`crate::poll::round`] decides in which order, and what follows
//! when one fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::deleted_list;
use super::list::{self, Start};
use super::parents;
use super::trail::MAX_HOLLOW;
use crate::api::conditions::Problem;
use crate::auth::access::Access;
use crate::deliver::outbox::Outbox;
use crate::detect::turnover;
use crate::fetch::answer;
use crate::plan::for_each::{ForEachPlan, list_of, name_of};
use crate::plan::{ResourcePlan, StartFrom};
use crate::poll::context::EngineContext;
use crate::poll::instance::Instance;
use crate::poll::memory::{ListMemories, Memory, Trail};
use crate::poll::report::{Facts, Outcome, Sign};
use crate::poll::round::{self, AfterFailure, ListsOutcome, Round};
use crate::state::InstanceState;
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
    let (listed, unusable) = match plan {
        ForEachPlan::Values(values) => (values.clone(), None),
        ForEachPlan::Records(parents) => {
            let passes = if has_begun(&instance.state(), resource) { 1 } else { parents::FIRST_PASSES };
            match parents::read(core, instance, parents, passes).await? {
                Some(found) => {
                    if !found.has_list && begins_again(instance, resource, &mut memory.trail) {
                        return Err(parents::of_parents(parents, answer::hollow_baseline()));
                    }
                    let size = &mut memory.trail.size;
                    size.note(found.values.len() as u64, turnover::MANY_PARENTS, Utc::now());
                    facts.note(Sign::ParentsEmptied, size.has_emptied(Utc::now()));
                    (found.values, found.unusable)
                }
                None => return Ok(Outcome::Stopped),
            }
        }
    };
    outbox.sums.dirty |= begin(instance, (resource, plan), &listed);
    let mut next = instance.state().next_list(&resource.name).map(Arc::from);
    let start = (identity, due, unusable);
    let polled = round((core, instance), (resource, &listed), start, &mut next, outbox, memory, facts).await;
    outbox.sums.dirty |= instance.state().keep_next_list(&resource.name, next.as_deref());
    polled
}

/// Polls the lists of these values, from `next` on, and leaves there where the next round is to begin; `None`: it came to all of them.
async fn round(
    (core, instance): (&EngineContext, &Arc<Instance>),
    (resource, listed): (&ResourcePlan, &[Arc<str>]),
    (identity, due, unusable): (&str, DateTime<Utc>, Option<Problem>),
    next: &mut Option<Arc<str>>,
    outbox: &mut Outbox<'_, LiveState>,
    memory: &mut Memory,
    facts: &mut Facts,
) -> Result<Outcome, Problem> {
    let memories = memory.lists.get_or_insert_default();
    memories.retain(|name| list_of(name).is_some_and(|(_, value)| listed.iter().any(|other| **other == *value)));
    let values = round::order(listed, next.as_deref(), |value| waits(instance, resource, value));
    let (mut round, mut due, mut saved) = (Round::default(), Some(due), Instant::now());
    for chunk in values.chunks(CHUNK) {
        let lists: Vec<_> = chunk.iter().map(|value| plan_of(instance, resource, value)).collect();
        let access = Access::prepare(instance.requester(core), "spec.auth", &resource.auth).await?;
        let mut access = access.with_tls(resource.tls.as_deref())?;
        for (value, list) in chunk.iter().zip(&lists) {
            *next = Some(Arc::clone(value));
            if instance.stop.is_cancelled() {
                return Ok(Outcome::Stopped);
            }
            let start = Start { access, identity, due: due.take(), deletions_wait: false };
            let (own, polled);
            (access, own, polled) = poll_list((core, instance), list, start, outbox, memories).await?;
            facts.add(value, own);
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
            *next = behind(listed, value);
            if let AfterFailure::BeginBehind(problem) = after {
                return Err(problem);
            }
            if outbox.sums.dirty && saved.elapsed() >= SAVED_EVERY {
                outbox.commit().await?;
                saved = Instant::now();
            }
        }
    }
    *next = None;
    if memories.has_failed_sweep() {
        facts.sweep = std::mem::take(&mut facts.sweep).beside_a_failed_one();
        facts.full_sweep = std::mem::take(&mut facts.full_sweep).beside_a_failed_one();
    }
    facts.lists = match (round.end()?, unusable) {
        (ListsOutcome::Polled | ListsOutcome::None, Some(problem)) => ListsOutcome::Failed(problem),
        (lists, _) => lists,
    };
    let mut state = instance.state();
    let own = state.resources.entry(resource.name.to_string()).or_default();
    outbox.sums.dirty |= !std::mem::replace(&mut own.started, true);
    Ok(Outcome::Polled)
}

/// Polls one list, after the one of the ids that were deleted from it, if there is one. What it leaves goes to `memories`.
///
/// # Errors
/// Nothing more may be sent.
async fn poll_list<'a>(
    engine: (&'a EngineContext, &'a Arc<Instance>),
    list: &'a ResourcePlan,
    start: Start<'a>,
    outbox: &mut Outbox<'_, LiveState>,
    memories: &mut ListMemories,
) -> Result<(Access<'a>, Facts, Result<Outcome, Problem>), Problem> {
    outbox.begin_list(&list.name);
    let (mut memory, mut facts) = (memories.take(&list.name), Facts::default());
    let start = match list.deleted_list.as_deref() {
        Some(deleted) => {
            let Start { access, identity, due, .. } = start;
            let read = deleted_list::read(engine, (list, deleted), (access, identity), outbox, &mut memory, &mut facts);
            let read = Box::pin(read).await?;
            Start { access: read.access, identity, due, deletions_wait: read.waits }
        }
        None => start,
    };
    let (access, polled) = list::poll(engine, list, start, outbox, &mut memory, &mut facts).await;
    memories.put(&list.name, memory);
    Ok((access, facts, polled))
}

/// Whether the first poll is to be repeated, since no response has shown which parents exist already: the lists of all of them would be new as
/// a whole.
fn begins_again(instance: &Instance, resource: &ResourcePlan, trail: &mut Trail) -> bool {
    let is_baseline = resource.start_from == StartFrom::Now && !has_begun(&instance.state(), resource);
    let begins_again = is_baseline && trail.hollow < MAX_HOLLOW;
    trail.hollow += u8::from(begins_again);
    begins_again
}

/// Whether the parents have been listed before, whether their lists have been polled or not.
fn has_begun(state: &InstanceState, resource: &ResourcePlan) -> bool {
    state.resources.get(&*resource.name).is_some_and(|own| own.started) || state.lists_of(&resource.name).next().is_some()
}

/// Begins the lists that have no state yet. That of a parent which appears after the first listing of parents is new as a
/// whole, and that is saved.
fn begin(instance: &Instance, (resource, plan): (&ResourcePlan, &ForEachPlan), values: &[Arc<str>]) -> bool {
    let mut state = instance.state();
    let by_records = matches!(plan, ForEachPlan::Records(_));
    let all_new = by_records && has_begun(&state, resource);
    state.begin_lists(resource, values, all_new) && by_records
}

/// The plan of the list of a value, of which the first read sends everything if all in it is new.
fn plan_of(instance: &Instance, resource: &ResourcePlan, value: &Arc<str>) -> ResourcePlan {
    let list = resource.for_value(value);
    let all_new = instance.state().resources.get(&*list.name).is_some_and(|own| own.all_new);
    match list.start_from {
        StartFrom::Now if all_new => ResourcePlan { start_from: StartFrom::Earliest, ..list },
        _ => list,
    }
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
