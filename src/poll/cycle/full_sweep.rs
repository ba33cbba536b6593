//! Reads all of a list that is polled by date, if that is due: what changed without a later date differs by content.

use super::{Poll, sweep};
use crate::api::conditions::Problem;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::seen::Seen;
use crate::detect::window::{self, Undelivered};
use crate::poll::report::{Facts, SweepOutcome};
use crate::state::ResourceState;
use crate::state::live::LiveState;

impl Poll<'_> {
    /// The poll read the list from its lower bound: reads all of it if that is due, and sends what differs.
    ///
    /// # Errors
    /// Nothing more may be sent.
    pub(super) async fn sweep_in_full(&mut self, outbox: &mut Outbox<'_, LiveState>, facts: &mut Facts) -> Result<(), Problem> {
        if self.mode != Mode::Usual {
            // All of it was just read.
            if self.own(|own| own.started) {
                self.own(|own| own.sweep.at = Some(self.polled_at));
                outbox.sums.dirty = true;
            }
            return Ok(());
        }
        if !self.sweep.is_due {
            return Ok(());
        }
        let seen = facts.seen;
        let read = self.read_whole(outbox, facts).await;
        // The conditions are about the list as it is requested.
        facts.seen = Seen { records: facts.seen.records, ..seen };
        match read {
            Ok(true) => {
                // What was not taken is shown by a sweep alone.
                let is_delivered = self.machine.ending().undelivered == Undelivered::None;
                let at = is_delivered.then_some(self.polled_at);
                self.own(|own| (own.sweep.at, own.reach) = (at, window::UNBOUNDED.as_secs()));
                outbox.sums.dirty = true;
                facts.full_sweep = SweepOutcome::Ended;
            }
            Ok(false) => {}
            Err(problem) if outbox.refusal().is_some() || self.instance.is_unsaved() => return Err(problem),
            Err(problem) => facts.full_sweep = SweepOutcome::Failed(problem),
        }
        Ok(())
    }

    /// The poll is over, and all that it found is delivered. A change that was tried and no longer turns up was superseded or taken back at the
    /// provider, so that nothing is failing any more. Where the poll reads a part of the list and sweeps all of it, only a sweep shows that,
    /// which is due at once. Answers whether that is to be stored.
    pub(super) fn end_tries(&self, own: &mut ResourceState) -> bool {
        let has_interval = self.resource.snapshot.as_ref().is_some_and(|plan| plan.interval.is_some());
        if self.resource.full_sweep.is_none() && !has_interval {
            return own.forget_tries(&sweep::deletions(self.resource, own));
        }
        // What the last sweep found was not taken, and the next one shows it again.
        let Some(_) = own.sweep.at else { return false };
        if !self.resource.request.uses_since() {
            return own.forget_tries(&sweep::deletions(self.resource, own));
        }
        let turned_up_no_more = own.has_tries(&sweep::deletions(self.resource, own));
        own.sweep.at = own.sweep.at.filter(|_| !turned_up_no_more);
        turned_up_no_more
    }
}
