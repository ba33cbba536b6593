//! One list, polled with what earlier polls left.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Poll, begin};
use crate::api::conditions::Problem;
use crate::auth::access::Access;
use crate::deliver::outbox::Outbox;
use crate::plan::ResourcePlan;
use crate::poll::context::EngineContext;
use crate::poll::detail_tries::DetailTries;
use crate::poll::instance::Instance;
use crate::poll::memory::{Memory, Trail};
use crate::poll::report::{Facts, Outcome};
use crate::state::live::LiveState;

/// What a poll of one list begins with.
pub(super) struct Start<'a> {
    pub(super) access: Access<'a>,
    pub(super) identity: &'a str,
    /// When it was due; `None`: another list of the job was polled first.
    pub(super) due: Option<DateTime<Utc>>,
    /// The list of deleted ids had deletions that were not taken.
    pub(super) deletions_wait: bool,
}

/// Polls a list, and leaves in `memory` what the next poll of it may use. The credentials go on, however it ended.
pub(super) async fn poll<'a>(
    (core, instance): (&'a EngineContext, &'a Arc<Instance>),
    resource: &'a ResourcePlan,
    start: Start<'a>,
    outbox: &mut Outbox<'_, LiveState>,
    memory: &mut Memory,
    facts: &mut Facts,
) -> (Access<'a>, Result<Outcome, Problem>) {
    let mut poll = Poll::new(core, instance, resource, start.access, start.identity, start.due);
    poll.deletions_wait = start.deletions_wait;
    poll.detector = poll.detector.with_watch(std::mem::take(&mut memory.watch));
    poll.details = DetailTries::new(poll.own(|own| own.unread.clone()));
    poll.follow(memory.trail);
    poll.look_for_deletions(memory.sweep_failures).await;
    let polled = poll.run(outbox, &mut memory.validators, facts).await;
    let polled = polled.and_then(|outcome| poll.details.read_nothing().map_or(Ok(outcome), |problem| Err(problem.clone())));
    let swept = if resource.full_sweep.is_some() { &facts.full_sweep } else { &facts.sweep };
    memory.sweep_failures = poll.sweep_failures(swept);
    memory.trail = Trail { page_lengths: poll.machine.page_lengths(), ..poll.trail };
    let (detail, unread) = poll.details.end_poll();
    facts.detail = detail;
    outbox.sums.dirty |= poll.own(|own| std::mem::replace(&mut own.unread, unread.clone()) != unread);
    memory.watch = poll.detector.take_watch();
    memory.watch.break_off();
    facts.volatile = memory.watch.found();
    facts.order_broken = begin::is_order_broken(resource, instance.state().resources.get(&*resource.name).map(|own| &**own));
    (poll.access, polled)
}
