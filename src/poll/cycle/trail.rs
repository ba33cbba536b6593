//! What one poll leaves to later ones: how far the list was read, and where the records are. Without it a poll reads more.

use super::Poll;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::window::Undelivered;
use crate::poll::memory::Trail;
use crate::state::live::LiveState;

impl Poll<'_> {
    /// Begins where earlier polls came to.
    pub(super) fn follow(&mut self, trail: Trail) {
        self.trail = trail;
        self.machine.follow(trail.read_at);
    }

    /// The list was read to its end.
    pub(super) fn leave_trail(&mut self, settled: bool) {
        let is_all = settled && self.mode == Mode::Usual && self.machine.ending().undelivered == Undelivered::None;
        if is_all && !self.resource.lateness.is_zero() {
            self.trail.read_at = self.detector.provider_date();
        }
    }

    /// Where the records are is known from now on: other lists that turn up, such as one of errors, are none. Of several lists of a
    /// resource each has them at the same place.
    pub(super) fn keep_records_path(&mut self, found: Option<String>, outbox: &mut Outbox<'_, LiveState>) {
        if found.is_some() && found != self.records_path {
            let mut state = self.instance.state();
            let of_all = self.resource.list_of.as_ref().map(|list| &list.resource);
            for name in [Some(&self.resource.name), of_all].into_iter().flatten() {
                state.resources.entry(name.to_string()).or_default().records_path.clone_from(&found);
            }
            self.records_path = found;
            outbox.sums.dirty = true;
        }
    }
}
