//! What one poll leaves to later ones: how far the list was read, and where the records are. Without it a poll reads more.

use super::Poll;
use crate::api::conditions::Problem;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::turnover::{self, Shown};
use crate::detect::window::Undelivered;
use crate::fetch::listing::PageReader;
use crate::fetch::{answer, copy};
use crate::plan::ChangeBy;
use crate::poll::memory::Trail;
use crate::poll::report::{Facts, Sign};
use crate::state::live::LiveState;

/// The first poll is repeated this often while responses have no list.
pub(super) const MAX_HOLLOW: u8 = 2;

/// What was known of a list before it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// What the last poll saw of it, in this process.
    pub(super) shown: Option<Shown>,
    /// It had some records, as the state says.
    had_some: bool,
}

impl Poll<'_> {
    /// Begins where earlier polls came to.
    pub(super) fn follow(&mut self, trail: Trail) {
        self.trail = trail;
        self.machine.follow(trail.read_at);
        self.machine.follow_overlaps(trail.overlaps);
        self.machine.follow_lengths(trail.page_lengths);
    }

    /// The list was read to its end.
    pub(super) fn complete(
        &mut self,
        settled: bool,
        before: Before,
        outbox: &mut Outbox<'_, LiveState>,
        facts: &mut Facts,
    ) -> Result<(), Problem> {
        facts.unsettled = !settled;
        facts.note(Sign::PagesOverlap, self.machine.is_order_unstable());
        self.detector.end_poll();
        if self.begins_again() {
            return Err(answer::hollow_baseline());
        }
        self.compare_with(before, facts);
        self.commit_cursor(settled, outbox);
        if self.machine.undelivered() == Undelivered::None {
            self.details.all_delivered();
        }
        self.leave_trail(settled);
        facts.gap = facts.gap.or(self.machine.gap());
        Ok(())
    }

    /// A page was read: whether it had its list, and others.
    ///
    /// # Errors
    /// It is an older copy than what was read before.
    pub(super) fn note_page(&mut self, listing: &PageReader<'_>, facts: &mut Facts) -> Result<(), Problem> {
        // Where dates alone distinguish versions, an older one is none.
        if self.compares_content() {
            if listing.made().zip(self.trail.made).is_some_and(|(made, before)| made.is_older_copy(&before)) {
                return Err(copy::older_copy());
            }
            self.trail.made = listing.made();
        }
        facts.pages += 1;
        self.copy = listing.kept_in_a_cache();
        self.has_list |= listing.has_list();
        self.trail.has_other_lists |= listing.has_other_lists();
        Ok(())
    }

    /// Whether an older copy of the list would look like a change, or like deletions.
    fn compares_content(&self) -> bool {
        let plan = self.resource;
        plan.change_by == ChangeBy::Content || plan.compare_content || plan.snapshot.is_some() || plan.full_sweep.is_some()
    }

    /// What the last poll saw of the list, where it is read whole: what has no lower bound, and is no list of changes.
    pub(super) fn take_shown(&mut self) -> Before {
        let shown = self.trail.shown.take();
        self.detector.expect_witness(shown.and_then(|shown| shown.witness));
        let state = self.instance.state();
        let own = state.resources.get(&*self.resource.name);
        let had_some = own.is_some_and(|own| own.cursor.is_some() || turnover::had_some(own.known.len()));
        Before { shown, had_some }
    }

    /// The list was read to its end: what it shows of records that are not announced.
    fn compare_with(&mut self, Before { shown, had_some }: Before, facts: &mut Facts) {
        let resource = self.resource;
        if resource.request.uses_since() || resource.delta.is_some() || self.names_deleted_of.is_some() {
            return;
        }
        let (seen, is_usual) = (self.detector.seen(), self.mode == Mode::Usual);
        facts.note(Sign::TurnedOver, is_usual && turnover::is_turned_over(shown, had_some, &seen));
        // Rows of several pages may move while they are read, so that they cannot be counted.
        if self.machine.listing_pages() <= 1 {
            let now = Shown::of(&seen);
            self.trail.has_newcomers |= is_usual && shown.is_some_and(|shown| shown.has_newcomers(now, &seen));
            self.trail.shown = Some(now);
        }
        self.trail.size.note(Shown::of(&seen).rows(), turnover::MANY_RECORDS, self.polled_at);
        self.note_trail(facts);
    }

    /// The list is as the last poll read it.
    pub(super) fn leave_unchanged(&mut self, before: Before, facts: &mut Facts) {
        self.trail.shown = before.shown;
        self.trail.size.note_same();
        self.note_trail(facts);
    }

    fn note_trail(&self, facts: &mut Facts) {
        facts.note(Sign::Newcomers, self.has_newcomers());
        // A sweep compares ids, and says more.
        facts.note(Sign::Emptied, self.resource.snapshot.is_none() && self.trail.size.has_emptied(self.polled_at));
    }

    /// Records came into the list with old dates, and still would not be found.
    pub(super) fn has_newcomers(&self) -> bool {
        self.trail.has_newcomers && self.resource.full_sweep.is_none()
    }

    /// No response of the first poll had a list, not even an empty one: what exists already is not known, as where the provider has only
    /// just started, or the list is empty and left out. A list of changes has its token.
    pub(super) fn is_hollow_baseline(&self) -> bool {
        let is_own = self.resource.delta.is_none() && self.resource.list_of.is_none() && self.names_deleted_of.is_none();
        self.mode == Mode::Baseline && !self.has_list && is_own
    }

    /// Whether the first poll is to be repeated: no response had a list, and dates cannot distinguish what exists already from what is new.
    fn begins_again(&mut self) -> bool {
        let has_clock = self.resource.change_by != ChangeBy::Content && self.detector.provider_date().is_some();
        if has_clock || !self.is_hollow_baseline() || self.trail.hollow >= MAX_HOLLOW {
            return false;
        }
        self.trail.hollow += 1;
        true
    }

    fn leave_trail(&mut self, settled: bool) {
        self.trail.overlaps = self.machine.overlaps();
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
