//! Reads all of a list that is polled by date, if that is due: what changed without a later date differs by content.

use super::Poll;
use crate::api::conditions::Problem;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::seen::Seen;
use crate::detect::window::{self, Undelivered};
use crate::poll::report::{Facts, SweepOutcome};
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
                self.own(|own| {
                    (own.sweep.at, own.reach) = (at, window::UNBOUNDED.as_secs());
                    if is_delivered {
                        own.forget_tries();
                    }
                });
                outbox.sums.dirty = true;
                facts.full_sweep = SweepOutcome::Ended;
            }
            Ok(false) => {}
            Err(problem) if outbox.refusal().is_some() || self.instance.is_unsaved() => return Err(problem),
            Err(problem) => facts.full_sweep = SweepOutcome::Failed(problem),
        }
        Ok(())
    }

    /// Whether every change that sweeps found has reached the receiver. What a poll shows does not answer it before.
    pub(super) fn has_told_sweeps(&self, last: Option<chrono::DateTime<chrono::Utc>>) -> bool {
        let has_interval = self.resource.snapshot.as_ref().is_some_and(|plan| plan.interval.is_some());
        (self.resource.full_sweep.is_none() && !has_interval) || last.is_some()
    }
}
