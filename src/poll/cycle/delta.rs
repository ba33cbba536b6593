//! The end of a poll of a list that continues by token.

use chrono::TimeDelta;

use super::Poll;
use crate::deliver::outbox::Outbox;
use crate::detect::window::{UNBOUNDED, Undelivered};
use crate::poll::strategy::Tokenless;
use crate::state::delta_token::DeltaToken;
use crate::state::live::LiveState;

/// Why the cursor was given up, as the status says.
fn reset_reason(why: Tokenless) -> &'static str {
    match why {
        Tokenless::Expired => "the provider no longer accepts the delta token of the last poll",
        Tokenless::Edited => "the delta token of the last poll does not hold for the request as it is now",
        Tokenless::Unkept => "no earlier poll could keep a delta token",
    }
}

/// A token is written at least as often while it changes.
const KEPT_FOR: TimeDelta = TimeDelta::hours(1);

impl Poll<'_> {
    /// Continues from `next` once every change before it is delivered. Until then the next poll asks with the old token again: what it
    /// lists is known but for what was not taken.
    pub(super) fn commit_token(&mut self, next: Option<String>, outbox: &mut Outbox<'_, LiveState>) {
        let Some((plan, next)) = self.resource.delta.as_ref().zip(next) else { return };
        if self.machine.ending().undelivered != Undelivered::None {
            return;
        }
        let next = DeltaToken::new(plan, next);
        let mut state = self.instance.state();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        if own.token.as_ref() == Some(&next) {
            return;
        }
        if let Some(why) = self.machine.tokenless() {
            own.reset_reason = Some(reset_reason(why).to_owned());
        }
        // A token that no event follows is worth a write now and then only: after a crash the older one lists a little more. One that is
        // never written would have expired by then.
        let is_old = self.trail.token_kept_at.is_none_or(|kept| self.polled_at - kept >= KEPT_FOR);
        outbox.sums.dirty |= own.token.is_none() || is_old || self.machine.tokenless().is_some();
        if outbox.sums.dirty {
            self.trail.token_kept_at = Some(self.polled_at);
        }
        own.token = Some(next);
        if self.resource.feed.is_none() {
            // All records are known from here on, whatever their date.
            (own.cursor, own.reach) = (None, UNBOUNDED.as_secs());
        }
    }
}
