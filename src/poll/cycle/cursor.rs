//! Keeps the cursor that a poll has come to, and what else the poll showed.

use std::time::Duration;

use super::Poll;
use super::deleted_list::tombstones_from;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::order;
use crate::detect::window::{self, CursorUpdate, Undelivered};
use crate::detect::zone::ZoneEvidence;
use crate::plan::ChangeBy;
use crate::state::live::LiveState;

impl Poll<'_> {
    /// Stores the cursor that the machine has come to in the middle of the list.
    pub(super) fn keep_cursor(&self, outbox: &mut Outbox<'_, LiveState>) {
        let mut state = self.instance.state();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        if self.detector.seen().disorder {
            let broken = order::broken_after(&own.broken_order, self.resource.order_digest().as_deref(), &self.detector.seen());
            outbox.sums.dirty |= broken != own.broken_order;
            own.broken_order = broken;
        }
        if own.cursor != self.machine.cursor() {
            own.cursor = self.machine.cursor();
            outbox.sums.dirty = true;
        }
    }

    pub(super) fn commit_cursor(&self, settled: bool, outbox: &mut Outbox<'_, LiveState>) {
        let ending = self.machine.ending();
        let seen = self.detector.seen();
        let mut state = self.instance.state();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        let delivered = self.machine.undelivered() == Undelivered::None;
        // While a record of the first read is not taken, it must come up as created again, not as its dates would have it.
        if !own.started && (self.mode == Mode::Baseline || (settled && delivered)) {
            own.started = true;
            outbox.sums.dirty = true;
        }
        outbox.sums.dirty |= delivered && self.has_told_deletions() && self.end_tries(own);
        if settled && own.hashed_without != self.resource.content_digest() {
            own.hashed_without = self.resource.content_digest();
            outbox.sums.dirty = true;
        }
        if !own.broken_order.is_empty() {
            own.broken_order = order::broken_after(&own.broken_order, self.resource.order_digest().as_deref(), &seen);
            outbox.sums.dirty |= own.broken_order.is_empty();
        }
        let zone = match self.mode {
            Mode::Usual => {
                ZoneEvidence::after(own.zone, seen.newest_change, self.detector.provider_date(), self.resource.interval)
            }
            Mode::Baseline | Mode::FirstRead => own.zone,
        };
        if own.zone != zone {
            own.zone = zone;
            outbox.sums.dirty = true;
        }
        if self.mode == Mode::Usual {
            let filter = own.filter_ignored.after(seen.listed, seen.outdated);
            outbox.sums.dirty |= filter != own.filter_ignored;
            own.filter_ignored = filter;
        }
        let confirmed = settled && self.machine.is_confirmed();
        if self.resource.delta.is_some() && self.resource.feed.is_none() {
            return;
        }
        if self.resource.change_by == ChangeBy::Content || !(confirmed || self.mode == Mode::Baseline) {
            return;
        }
        let update = match self.detector.provider_date() {
            // What is dated before this response existed already, though it did not show it.
            Some(now) if self.is_hollow_baseline() => CursorUpdate { cursor: Some(now), window: Duration::ZERO, horizon: None },
            _ => self.detector.finish(ending),
        };
        let next = own.cursor.max(update.cursor);
        // An advance alone is not worth a write: after a crash the older cursor costs one more read, no event. But a provider may not be
        // asked from too old a one.
        let was_old = window::renewed(self.resource, own.cursor, self.detector.provider_date()).is_some();
        outbox.sums.dirty |= was_old && next != own.cursor;
        own.cursor = next;
        own.reach = update.window.as_secs();
        // What the first read has sent must be known until the whole of it is: its next try has no lower bound. And of a record whose
        // change was sent and not taken, it must be known until it is what its last change was: from that follows the id of the event.
        if let Some(horizon) = update.horizon.filter(|_| own.started && delivered) {
            let tombstones = match self.resource.deleted_list {
                Some(_) => tombstones_from(self.polled_at, horizon),
                None => horizon,
            };
            own.known.forget_before_but_tombstones(horizon, tombstones);
        }
    }
}
