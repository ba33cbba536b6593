//! Reads a list of deleted ids, before the list of the records: what is deleted and comes back between two polls is sent in that order.

use chrono::{DateTime, Utc};

use super::Poll;
use crate::api::conditions::Problem;
use crate::auth::access::Access;
use crate::deliver::outbox::{Outbox, Sent};
use crate::detect::deleted_list::{RowMeaning, meaning};
use crate::detect::event::Change;
use crate::detect::sweep::TOMBSTONES;
use crate::plan::ResourcePlan;
use crate::poll::context::EngineContext;
use crate::poll::instance::Instance;
use crate::poll::memory::Memory;
use crate::poll::report::{BadRows, Facts, SweepOutcome};
use crate::state::live::LiveState;

/// What reading the list leaves to the poll of the records.
pub(super) struct DeletedListRead<'a> {
    /// The credentials go on.
    pub(super) access: Access<'a>,
    /// Deletions were found that were not taken: their tries count on.
    pub(super) waits: bool,
}

/// Reads the list of deleted ids of `resource`, which is `list`, and sends the deletions. That it cannot be read does not keep the records from
/// being polled.
///
/// # Errors
/// Nothing more may be sent.
pub(super) async fn read<'a>(
    (core, instance): (&'a EngineContext, &'a std::sync::Arc<Instance>),
    (resource, list): (&'a ResourcePlan, &'a ResourcePlan),
    (access, identity): (Access<'a>, &'a str),
    outbox: &mut Outbox<'_, LiveState>,
    memory: &mut Memory,
    facts: &mut Facts,
) -> Result<DeletedListRead<'a>, Problem> {
    let memory = memory.deleted_list.get_or_insert_default();
    let mut poll = Poll::new(core, instance, list, access, identity, None);
    poll.names_deleted_of = Some(resource);
    poll.follow(memory.trail);
    let mut own = Facts::default();
    let read = poll.run(outbox, &mut memory.validators, &mut own).await;
    memory.trail = poll.trail;
    let has_nameless = own.unidentified.as_ref().is_some_and(|unidentified| unidentified.rows() > 0);
    if has_nameless || own.seen.bad_dates > 0 {
        // What is wrong is said until it is right, whatever other lists show.
        memory.validators = None;
    }
    facts.retry_after = facts.retry_after.max(own.retry_after);
    facts.sweep = match read {
        Err(problem) if outbox.refusal().is_some() || instance.is_unsaved() => return Err(problem),
        Err(problem) => SweepOutcome::Failed(problem),
        Ok(_) if has_nameless => SweepOutcome::Unreadable(BadRows::Ids),
        Ok(_) if own.seen.bad_dates > 0 || own.absent_date.is_some() => SweepOutcome::Unreadable(BadRows::Dates),
        // It is the same as before, and so is what was wrong with it.
        Ok(_) if own.pages == 0 => SweepOutcome::None,
        Ok(_) => SweepOutcome::Ended,
    };
    // While the list cannot be read, those that were found before do not turn up.
    let waits = poll.machine.has_undelivered() || matches!(facts.sweep, SweepOutcome::Failed(_));
    Ok(DeletedListRead { access: poll.access, waits })
}

impl Poll<'_> {
    /// Sends the deletions that rows report, for the `resource` whose list of deleted ids this is. A row is known once its deletion was taken,
    /// or if there is none to be sent.
    pub(super) async fn send_deletions_of(
        &mut self,
        resource: &ResourcePlan,
        rows: Vec<Change>,
        outbox: &mut Outbox<'_, LiveState>,
    ) -> Result<Sent, Problem> {
        let identity = self.instance.state().identity().to_owned();
        let known_of = |object: u64| {
            let state = self.instance.state();
            state.resources.get(&*resource.name).and_then(|own| own.known.get(object))
        };
        let (mut changes, mut to_send, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match meaning(resource, self.resource, &identity, &row, known_of(row.record)) {
                RowMeaning::Deletion(change) => {
                    changes.push(*change);
                    to_send.push(row);
                }
                RowMeaning::Again(known) => {
                    let mut state = self.instance.state();
                    state.resources.entry(resource.name.to_string()).or_default().known.remember(row.record, known);
                    told.push(row);
                }
                RowMeaning::Superseded => told.push(row),
            }
        }
        let expected: Vec<_> = changes.iter().map(|change: &Change| change.known).collect();
        let sent = outbox.send_changes(changes).await?;
        let taken = to_send.into_iter().zip(expected).filter(|(row, known)| known_of(row.record) == Some(*known));
        let taken: Vec<_> = told.into_iter().chain(taken.map(|(row, _)| row)).collect();
        let mut state = self.instance.state();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        for row in taken {
            own.known.remember(row.record, row.known);
        }
        Ok(sent)
    }

    /// Whether every deletion that was found before has reached the receiver.
    pub(super) fn has_told_deletions(&self) -> bool {
        !self.deletions_wait
    }
}

/// How long a deletion is remembered: a record that comes back within that time is created.
pub(super) fn tombstones_from(now: DateTime<Utc>, horizon: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_sub_signed(TOMBSTONES).unwrap_or(horizon).min(horizon)
}
