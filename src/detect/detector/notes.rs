//! What the rows of a listing show in addition to their changes. Pure.

use chrono::{DateTime, Utc};

use super::Detector;
use crate::detect::absent::{AbsentDate, AbsentMark};
use crate::detect::detector::View;
use crate::detect::event::Kind;
use crate::detect::event_types::EventTypes;
use crate::detect::feed::{self, Said};
use crate::detect::known::Known;
use crate::detect::named_fields::{FieldEvidence, Part};
use crate::detect::record::RecordView;
use crate::detect::seen::Seen;
use crate::detect::selection::Undecided;
use crate::detect::unidentified::Unidentified;
use crate::detect::unreadable_date::UnreadableDate;
use crate::detect::window;
use crate::plan::ChangeBy;

impl Detector<'_> {
    /// What the poll has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The rows of this poll without an id, if there are some.
    pub fn unidentified(&self) -> Option<&Unidentified> {
        Some(&self.unidentified).filter(|unidentified| !unidentified.is_empty())
    }

    /// The dates of this poll that could not be read, if there are some.
    pub fn unreadable_date(&self) -> Option<&UnreadableDate> {
        self.unreadable_date.as_ref()
    }

    /// Why the filter could not be evaluated for records of this poll.
    pub fn undecided(&self) -> Option<&Undecided> {
        self.selection.undecided()
    }

    /// Another listing begins: what the last one lacks is forgotten with its first record.
    pub(super) fn begin_notes(&mut self) {
        self.date_fields.begin_listing();
        self.mark_field.begin_listing();
        self.rows_have.begin_listing();
        self.delivered_have.begin_listing();
        self.event_types.begin_listing();
    }

    /// The date field that no record of this listing has, where that is most likely a mistake.
    pub fn absent_date(&self) -> Option<AbsentDate> {
        self.date_fields.absent(&self.plan.extract)
    }

    /// The mark of deleted records, where it is most likely misspelt.
    pub fn absent_mark(&self) -> Option<AbsentMark> {
        self.mark_field.absent(&self.plan.extract)
    }

    /// What the records show of the paths that the manifest names.
    pub fn field_evidence(&self) -> FieldEvidence {
        let rows = self.rows_have.found(self.named_by, Part::Row);
        rows.and(self.delivered_have.found(self.named_by, Part::Delivered), true)
    }

    /// What the events of a feed show of its types.
    pub fn event_types(&self) -> EventTypes {
        self.event_types
    }

    /// Notes which of the paths that the manifest names a record has.
    fn note_fields_named(&mut self, json: &str) {
        let Some(feed) = &self.plan.feed else {
            self.rows_have.note(self.named_by, Part::Row, json);
            if self.plan.detail.is_none() {
                self.delivered_have.note(self.named_by, Part::Delivered, json);
            }
            return;
        };
        self.event_types.note(feed, json);
        let Ok(Said { kind: Some(kind), object, .. }) = feed::read(feed, json) else { return };
        // The object may be left out where it is gone.
        if kind == Kind::Deleted {
            return;
        }
        self.rows_have.note(self.named_by, Part::Row, json);
        if self.plan.detail.is_none() {
            self.delivered_have.note(self.named_by, Part::Delivered, object);
        }
    }

    /// Notes the same of a whole record that was requested for an event.
    pub fn note_detail(&mut self, json: &str) {
        self.delivered_have.note(self.named_by, Part::Delivered, json);
    }

    /// No record of this listing has the mark of deleted records, as is usual where only those have it.
    pub fn is_mark_unseen(&self) -> bool {
        self.mark_field.is_unseen(&self.plan.extract)
    }

    /// Whether dates of change that are written as instants stand for days, so that a second change on one day is not found; `None` where
    /// this listing does not say.
    pub fn dates_are_days(&self) -> Option<bool> {
        self.day_times.are_days()
    }

    /// Whether the cursor with which the poll began lies so far ahead of the provider's clock that a change made now is not found: its date is
    /// not asked for, or lies before all that is known.
    pub fn is_cursor_ahead(&self) -> bool {
        let View { cursor, window, .. } = self.view;
        let (Some(cursor), Some(now)) = (cursor, self.provider_date()) else { return false };
        let is_asked = !self.plan.request.uses_since() || window::before(cursor, window::lookback(self.plan)) <= now;
        let is_known = window::known_since(self.plan, Some(cursor), window).is_none_or(|since| since <= now);
        !(is_asked && is_known)
    }

    /// Notes whether an earlier page of the listing has the row as it is here. Answers what identifies it.
    pub(super) fn note_sight(&mut self, view: &RecordView<'_>, (id, date): (u64, Option<DateTime<Utc>>)) -> u64 {
        let version = date.map_or_else(|| self.classifier.version(view), |date| date.timestamp_micros().cast_unsigned());
        let sight = id ^ version.rotate_left(17);
        self.seen.shown_again += u64::from(self.earlier.has(sight));
        sight
    }

    /// Notes what a record shows of earlier polls, whose version is known as `before`.
    pub(super) fn note_life(
        &mut self,
        view: &RecordView<'_>,
        (id, date, sight): (u64, Option<DateTime<Utc>>, u64),
        before: Option<Known>,
    ) {
        self.seen.known += u64::from(before.is_some() && !self.earlier.has(sight));
        self.seen.witness = Some(self.seen.witness.map_or(id, |witness| witness.min(id)));
        // Later listings of a poll show what it has announced.
        if self.listings == 1 {
            let is_old = self.view.cursor.is_some_and(|cursor| date.is_none_or(|date| date <= cursor));
            self.seen.seen_before += u64::from(before.is_some() || is_old || self.witness == Some(id));
        }
        let is_earlier = |known: Known| date.is_some_and(|date| known.date > Some(date.timestamp_micros()));
        let has_lost_date = self.classifier.lacks_date_of_change(view) && before.is_some_and(is_earlier);
        self.seen.lost_dates += u64::from(has_lost_date && !self.plan.compare_content);
    }

    pub(super) fn note(&mut self, view: &RecordView<'_>, date: Option<DateTime<Utc>>, json: &str) {
        self.seen.count(view);
        self.mark_field.note(&self.plan.extract, view, json);
        if !view.is_gone() {
            self.note_fields_named(json);
        }
        if self.plan.change_by == ChangeBy::Content {
            return;
        }
        if view.bad_date {
            self.seen.bad_dates += 1;
            UnreadableDate::note(&mut self.unreadable_date, &self.plan.extract, json);
        }
        if !view.is_deleted() {
            self.date_fields.note(&self.plan.extract, view, json);
        }
        let Some(date) = date else { return };
        let is_instant = view.updated.is_some() && !self.classifier.is_listed_on_whole_day(view);
        if is_instant && self.plan.change_by == ChangeBy::Updated && !self.plan.compare_content {
            self.day_times.note(date);
        }
        let by = self.plan.max_future;
        self.seen.far_ahead += u64::from(self.poll_clock.is_some_and(|clock| clock.is_ahead_by(date, by)));
        self.seen.order(self.order, self.last.replace(date), date);
        self.seen.outdated += u64::from(self.too_old.is_some_and(|too_old| date < too_old));
        self.seen.reached_lower |= self.lower.is_some_and(|lower| self.classifier.is_listed_before(view, lower));
        if self.poll_clock.is_some_and(|clock| clock.is_ahead(date)) {
            self.seen.ahead += 1;
        } else {
            self.seen.greatest = self.seen.greatest.max(Some(date));
        }
    }
}
