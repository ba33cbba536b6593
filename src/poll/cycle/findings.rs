//! What a listing leaves for the report.

use super::Poll;
use crate::api::conditions::{Problem, Reason};
use crate::detect::classify::Mode;
use crate::detect::known::MAX_KNOWN;
use crate::poll::pages::Pages;
use crate::poll::report::{Facts, Sign};

/// A list of fewer records may have none that lives.
const ALL: u64 = 3;

pub(super) fn too_many_records(resource: &str) -> Problem {
    Problem::human(
        Reason::ResponseTooLarge,
        format!(
            "resource {resource} lists more records than can be remembered ({MAX_KNOWN}); filter the list with ${{since}} or add datesConfiguration with a created date"
        ),
    )
}

/// Whether a request may have failed because it asks for too much: a provider that lists nothing from before some day, or has more than
/// it can send.
pub(super) fn is_too_much(problem: &Problem) -> bool {
    let reasons = [Reason::UnexpectedStatus, Reason::ResponseTooLarge, Reason::ProviderTimeout];
    reasons.contains(&problem.reason)
}

impl Poll<'_> {
    pub(super) fn note(&self, pages: &Pages<'_>, facts: &mut Facts) {
        let listing = &pages.listing;
        let delayed = || self.core.asker.cpu.delayed(&self.instance.plan.instance);
        facts.over_share = pages.over_share().or(facts.over_share).or_else(delayed);
        facts.retry_after = facts.retry_after.max(listing.retry_after());
        facts.contact = facts.contact.max(listing.contact());
        facts.unread_parts = self.machine.unread_parts();
        facts.claim = listing.claim();
        facts.note(Sign::OtherLists, listing.has_other_lists() && self.resource.extract.records_path.is_none());
        facts.note(Sign::FullPage, listing.may_be_cut());
        // A list that was there with the records says nothing when it is there without them.
        let lost = listing.lost_list().filter(|_| !self.trail.has_other_lists);
        facts.lost_list = lost.map(|lost| Box::new(lost.clone())).or(facts.lost_list.take());
        facts.pagination = listing.detected().or(facts.pagination.take());
        facts.seen = self.detector.seen();
        facts.unidentified = self.detector.unidentified().cloned();
        facts.knows_records = facts.unidentified.is_some() && {
            let state = self.instance.state();
            state.resources.get(&*self.resource.name).is_some_and(|own| !own.known.is_empty())
        };
        facts.unreadable_date = self.detector.unreadable_date().cloned();
        facts.absent_date = self.detector.absent_date();
        facts.absent_mark = self.detector.absent_mark();
        facts.fields = self.detector.field_evidence();
        facts.event_types = self.detector.event_types();
        facts.note(Sign::AllMarked, self.is_all_marked());
        facts.note(Sign::CursorAhead, self.resource.delta.is_none() && self.detector.is_cursor_ahead());
        facts.note(Sign::StartsLater, self.starts_later());
        facts.dates_are_days = self.detector.dates_are_days();
        facts.undecided = self.detector.undecided().cloned();
    }

    /// Whether nothing is sent yet, by the provider's clock.
    fn starts_later(&self) -> bool {
        let now = self.detector.provider_date().unwrap_or(self.polled_at);
        self.machine.cursor().is_none() && self.resource.starts_later(now)
    }

    /// Whether every record of the whole list is marked as deleted.
    fn is_all_marked(&self) -> bool {
        let seen = self.detector.seen();
        let is_whole = !self.resource.request.uses_since() || self.mode != Mode::Usual;
        let is_list_of_records = self.names_deleted_of.is_none() && self.resource.delta.is_none();
        is_whole && is_list_of_records && seen.tombstones >= ALL && seen.tombstones == seen.listed
    }
}
