//! Classifies one record against what is known: nothing new, something to remember, or a change.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::clock::ProviderClock;
use super::deleted_list::version_of_deleted;
use super::event::Kind;
use super::known::{Age, Known};
use super::record::RecordView;
use super::{window, zone};
use crate::plan::date_format::{DateFormat, WrittenDate, Zeros};
use crate::plan::shaping::OnLeave;
use crate::plan::{ChangeBy, ExtractPlan, ResourcePlan};

/// A day on which a zone sets its clocks back; and an hour that comes twice, at the end of it.
const LONGEST_DAY: TimeDelta = TimeDelta::hours(27);

/// When the stretch of time is over that a date stands for, in whatever zone it may be meant. A day of which no zone is known is over
/// when it is over everywhere.
fn end_of(date: &WrittenDate, format: &DateFormat) -> DateTime<Utc> {
    let end = format.end_of(date, Zeros::Any);
    let is_day_of_any_zone = date.is_gmt_by_default() && format.is_whole_day(date);
    if is_day_of_any_zone { end.checked_add_signed(window::ZONES).unwrap_or(end) } else { end }
}

/// Whether a date is certainly before a moment. One that stands for a whole day is not on that day.
fn is_before((date, format): (WrittenDate, &DateFormat), at: DateTime<Utc>) -> bool {
    date.at < at && (!format.is_whole_day(&date) || format.end_of(&date, Zeros::Midnight) <= at)
}

/// Distinguishes a version that the filter excluded from the same version of a record that matches, or of a tombstone: it is there when the
/// filter is gone.
const EXCLUDED: u64 = 0x6578_636c_7564_6564;

/// What the current read of the list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The first read of `startFrom: Now`: what exists is remembered and not sent.
    Baseline,
    /// The first read of `startFrom: Earliest`: everything is sent as created.
    FirstRead,
    /// Every other read.
    Usual,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// This version was delivered before, or the list shows an older one than was delivered.
    Same,
    /// It is not known, and lies before the dedup window: it may have been delivered and forgotten.
    Older,
    /// It is not sent, but must be known from now on.
    Remember,
    /// The filter excludes it by now, which is not sent. It stays known as it was delivered last: so the receiver has it.
    Left,
    /// It is to be delivered.
    Change(Kind),
}

/// Classifies the records of one resource. The version of a record is its id with its date; bytes decide only where there is no date,
/// or while the unit of the date is not over.
#[derive(Debug)]
pub struct ChangeClassifier<'p> {
    plan: &'p ResourcePlan,
    mode: Mode,
    /// No date stands for more.
    longest: TimeDelta,
    known_since: Option<DateTime<Utc>>,
}

impl<'p> ChangeClassifier<'p> {
    /// For a poll whose dedup window reaches `window` behind `cursor`.
    pub fn new(plan: &'p ResourcePlan, mode: Mode, cursor: Option<DateTime<Utc>>, window: Duration) -> Self {
        let known_since = match mode {
            // The first read knows all that it saw.
            Mode::Baseline | Mode::FirstRead => None,
            Mode::Usual => window::known_since(plan, cursor, window),
        };
        let longest = TimeDelta::from_std(window::granule(plan)).unwrap_or(TimeDelta::MAX).max(LONGEST_DAY);
        Self { plan, mode, longest: longest.checked_add(&window::ZONES).unwrap_or(longest), known_since }
    }

    /// The date that counts; `None` leaves a record to its content.
    pub fn date(&self, view: &RecordView<'_>) -> Option<DateTime<Utc>> {
        self.written(view).map(|(date, _)| date.at)
    }

    /// The same as it is written, with its format.
    fn written(&self, view: &RecordView<'_>) -> Option<(WrittenDate, &'p DateFormat)> {
        let extract: &'p ExtractPlan = &self.plan.extract;
        let created = || self.creation(view);
        let updated = || Some((view.updated?, &extract.updated.as_ref()?.format));
        match self.plan.change_by {
            ChangeBy::Content => None,
            ChangeBy::Updated if view.bad_date => None,
            ChangeBy::Updated if view.updated_date() >= view.created_date() => updated(),
            ChangeBy::Created | ChangeBy::Updated => created(),
        }
    }

    /// The date by which the provider filters and sorts. It lies before the one that counts where a record was changed before it was
    /// created: its servers' clocks differ, or it came from elsewhere with its date. Only this one says how far a list was read.
    pub fn listed_date(&self, view: &RecordView<'_>) -> Option<DateTime<Utc>> {
        self.listed(view).map(|(date, _)| date.at)
    }

    /// Whether the date that counts is certainly before a moment.
    pub fn is_before(&self, view: &RecordView<'_>, at: DateTime<Utc>) -> bool {
        self.written(view).is_some_and(|date| is_before(date, at))
    }

    /// Whether the date by which the provider sorts is certainly before a moment.
    pub fn is_listed_before(&self, view: &RecordView<'_>, at: DateTime<Utc>) -> bool {
        self.listed(view).is_some_and(|date| is_before(date, at))
    }

    fn listed(&self, view: &RecordView<'_>) -> Option<(WrittenDate, &'p DateFormat)> {
        match (self.plan.change_by, view.updated) {
            (ChangeBy::Updated, _) if view.bad_date => None,
            (ChangeBy::Updated, Some(date)) => Some((date, &self.plan.extract.updated.as_ref()?.format)),
            _ => self.written(view),
        }
    }

    /// The date that counts, where its distance from the clock shows a wrong time zone. A number has no zone, and the beginning of an hour or
    /// a day is that far from the clock in every zone.
    pub fn zoned_date(&self, view: &RecordView<'_>) -> Option<DateTime<Utc>> {
        let (date, format) = self.written(view)?;
        let is_fine = format.end_of(&date, Zeros::Any) - date.at < zone::FINEST;
        (is_fine && !format.is_number()).then_some(date.at)
    }

    /// Whether a record has no date of change, where the plan names one: that of its creation counts in its place.
    pub fn lacks_date_of_change(&self, view: &RecordView<'_>) -> bool {
        self.plan.change_by == ChangeBy::Updated
            && self.plan.extract.updated.is_some()
            && view.updated.is_none()
            && !view.bad_date
    }

    /// Whether the date that counts, or that of the creation, stands for a whole day or more.
    pub fn is_whole_day(&self, view: &RecordView<'_>) -> bool {
        let is_whole_day = |(date, format): (WrittenDate, &DateFormat)| format.is_whole_day(&date);
        self.written(view).is_some_and(is_whole_day) || self.creation(view).is_some_and(is_whole_day)
    }

    /// Whether the date by which the provider sorts stands for a whole day or more.
    pub fn is_listed_on_whole_day(&self, view: &RecordView<'_>) -> bool {
        self.listed(view).is_some_and(|(date, format)| format.is_whole_day(&date))
    }

    /// Classifies one record whose id is known as `before`.
    pub fn classify(&self, view: &RecordView<'_>, before: Option<Known>, clock: &ProviderClock) -> Class {
        let date = self.date(view);
        let is_old = |since| self.is_before(view, since);
        match before {
            Some(known) if self.is_same(&known, view, date, clock) => return Class::Same,
            Some(known) if Self::is_dated_by_now(&known, view, date) => return Class::Remember,
            None if self.known_since.is_some_and(is_old) => {
                // It can only change by content if its content is known, and only be missed or compared if it is known itself.
                let is_kept = self.plan.compare_content || self.plan.snapshot.is_some() || self.plan.changes.is_some();
                return if is_kept { Class::Remember } else { Class::Older };
            }
            Some(_) | None => {}
        }
        if view.is_excluded() && self.mode != Mode::Baseline {
            return self.excluded(view, before);
        }
        match (self.mode, view.is_deleted(), before) {
            (Mode::Baseline, _, _) | (Mode::FirstRead, true, None) | (_, true, Some(Known { deleted: true, .. })) => {
                Class::Remember
            }
            (_, true, _) => Class::Change(Kind::Deleted),
            (_, false, Some(Known { deleted: false, .. }))
                if self.plan.change_by == ChangeBy::Created && !self.plan.compare_content =>
            {
                Class::Remember
            }
            (_, false, Some(Known { deleted: false, .. })) => Class::Change(Kind::Updated),
            (Mode::FirstRead, false, None) | (_, false, Some(Known { deleted: true, .. })) => Class::Change(Kind::Created),
            // Where all that was ever listed is known, it is new.
            (Mode::Usual, false, None) if self.is_all_known() => Class::Change(Kind::Created),
            (Mode::Usual, false, None) => Class::Change(self.kind_by_dates(view)),
        }
    }

    /// Classifies a record that was sent as this kind, which no sink has confirmed: it is sent again, or its deletion, since a sink may have it.
    pub fn classify_sent(&self, view: &RecordView<'_>, kind: Kind) -> Class {
        match (view.is_deleted(), view.is_excluded()) {
            (true, _) => Class::Change(Kind::Deleted),
            (false, true) if self.tells_leaving() => Class::Change(Kind::Deleted),
            (false, true) => Class::Left,
            (false, false) => Class::Change(kind),
        }
    }

    /// Whether the receiver is to know that a record does not match the filter any more.
    pub fn tells_leaving(&self) -> bool {
        self.plan.extract.filter.as_ref().is_some_and(|filter| filter.on_leave == OnLeave::Deleted)
    }

    /// A record that the filter excludes. What was announced is deleted, where the receiver is to know or it is deleted in truth.
    fn excluded(&self, view: &RecordView<'_>, before: Option<Known>) -> Class {
        match before {
            Some(Known { deleted: false, .. }) if self.tells_leaving() || view.is_deleted() => Class::Change(Kind::Deleted),
            Some(Known { deleted: false, .. }) => Class::Left,
            _ => Class::Remember,
        }
    }

    /// What to remember of a record whose id is known as `before`, once it was delivered.
    pub fn known(&self, view: &RecordView<'_>, before: Option<Known>, clock: &ProviderClock) -> Known {
        let date = self.date(view);
        Known {
            version: self.version(view),
            date: date.map(|date| date.timestamp_micros()),
            age: self.age(view, before, clock),
            deleted: view.is_gone(),
        }
    }

    /// Hash of the version of a record, as the known set keeps it.
    pub fn version(&self, view: &RecordView<'_>) -> u64 {
        Self::marked(self.compared(view).unwrap_or_else(|| view.version_hash()), view)
    }

    fn marked(version: u64, view: &RecordView<'_>) -> u64 {
        if view.is_excluded() && !view.is_deleted() { version ^ EXCLUDED } else { version }
    }

    /// Hash of what is compared of a record whose date does not distinguish its versions, or alone does not.
    fn compared(&self, view: &RecordView<'_>) -> Option<u64> {
        (self.plan.compare_content || self.date(view).is_none()).then(|| view.canonical_hash())
    }

    /// Whether only the content of a record differs from what is known. Nothing else then says that it changed.
    pub fn is_by_content(&self, view: &RecordView<'_>, known: &Known) -> bool {
        let has_same_date = known.date == self.date(view).map(|date| date.timestamp_micros());
        has_same_date && (self.plan.compare_content || !view.is_created_later())
    }

    /// Whether the content of a record, which alone says that it changed, was hashed under other rules before.
    pub fn is_rehashed(&self, view: &RecordView<'_>, known: &Known) -> bool {
        let counts = known.date.is_none() || (self.plan.compare_content && self.is_by_content(view, known));
        counts && known.deleted == view.is_gone()
    }

    /// Where a date is on the provider's clock. One that is ahead was written by a fast clock, at the latest when the poll before saw it:
    /// on that clock its unit is over once it has been shown for longer than that.
    pub fn age(&self, view: &RecordView<'_>, before: Option<Known>, clock: &ProviderClock) -> Age {
        let Some((written, format)) = self.written(view) else { return Age::Open };
        let (date, end) = (written.at, end_of(&written, format));
        let was_ahead = before.is_some_and(|known| known.date == Some(date.timestamp_micros()) && known.age.is_ahead());
        let is_over = TimeDelta::from_std(self.plan.interval).is_ok_and(|interval| interval >= end - date);
        match clock.age(date, end) {
            Age::Ahead | Age::Settled if was_ahead && is_over && !view.is_created_later() => Age::AheadSettled,
            Age::Open | Age::Settled if was_ahead => Age::Ahead,
            Age::Settled if view.is_created_later() => Age::Open,
            age => age,
        }
    }

    /// Whether the unit of the date of a record is over.
    pub fn is_settled(&self, view: &RecordView<'_>, clock: &ProviderClock) -> bool {
        self.written(view).is_some_and(|(date, format)| {
            // most dates met are so old that it need not be known how coarse they are
            let is_old = date.at.checked_add_signed(self.longest).is_some_and(|end| clock.is_past(end));
            is_old || clock.age(date.at, end_of(&date, format)).is_settled()
        })
    }

    /// Whether a version is older than the one that is known, except that the known one's date is ahead of the provider's clock.
    pub fn is_doubtful(&self, view: &RecordView<'_>, before: Option<Known>) -> bool {
        let date = self.date(view).map(|date| date.timestamp_micros());
        before.is_some_and(|known| known.age.is_ahead() && date.is_some() && date < known.date)
    }

    /// Whether sweeps or the first poll have shown every record that there was.
    fn is_all_known(&self) -> bool {
        let has_sweeps = self.plan.snapshot.is_some() || self.plan.full_sweep.is_some();
        has_sweeps && self.known_since.is_none()
    }

    fn kind_by_dates(&self, view: &RecordView<'_>) -> Kind {
        match (view.version_date(), view.created_date()) {
            (Some(version), Some(created)) if self.plan.change_by != ChangeBy::Created => {
                let tolerance = TimeDelta::from_std(self.plan.created_tolerance).unwrap_or(TimeDelta::MAX);
                // Had it been created before, it was announced then.
                let is_new = self.known_since.is_none_or(|since| !self.is_created_before(view, since));
                let is_near = version - self.last_creation(view).unwrap_or(created) <= tolerance;
                if is_new && is_near { Kind::Created } else { Kind::Updated }
            }
            _ => Kind::Created,
        }
    }

    fn creation(&self, view: &RecordView<'_>) -> Option<(WrittenDate, &'p DateFormat)> {
        let extract: &'p ExtractPlan = &self.plan.extract;
        Some((view.created?, &extract.created.as_ref()?.format))
    }

    /// The last moment at which a record may have been created. Some servers know the minute or the day.
    fn last_creation(&self, view: &RecordView<'_>) -> Option<DateTime<Utc>> {
        let (date, format) = self.creation(view)?;
        let end = format.end_of(&date, Zeros::Midnight);
        if end - date.at > TimeDelta::seconds(1) { end.checked_sub_signed(TimeDelta::nanoseconds(1)) } else { Some(date.at) }
    }

    fn is_created_before(&self, view: &RecordView<'_>, at: DateTime<Utc>) -> bool {
        self.creation(view).is_some_and(|date| is_before(date, at))
    }

    /// Whether only the manifest changed, by which a record has a date that counts. Until then its content did.
    fn is_dated_by_now(known: &Known, view: &RecordView<'_>, date: Option<DateTime<Utc>>) -> bool {
        let is_by_content = known.date.is_none() && date.is_some() && known.deleted == view.is_gone();
        is_by_content && known.version == Self::marked(view.canonical_hash(), view)
    }

    fn is_same(&self, known: &Known, view: &RecordView<'_>, date: Option<DateTime<Utc>>, clock: &ProviderClock) -> bool {
        // What a sweep found deleted is listed again, in whatever version.
        if known.deleted && self.plan.snapshot.is_some() && !view.is_gone() {
            return false;
        }
        // A list of deleted ids names it, and it is shown as it was then.
        if known.deleted && self.plan.deleted_list.is_some() && known.version == version_of_deleted(self.version(view)) {
            return true;
        }
        let is_version = known.version == self.version(view) && known.deleted == view.is_gone();
        // Whether the filter excludes a record may change without it: with the filter, or by what is ignored.
        let has_moved = self.plan.extract.filter.is_some() && known.deleted != view.is_gone();
        // Version 0.1.0 kept hashes of all bytes.
        let is_content = [Some(view.content_hash()), self.compared(view)].contains(&Some(known.version));
        if is_version || (is_content && !has_moved) {
            return true;
        }
        let (Some(before), Some(now)) = (known.date, date.map(|date| date.timestamp_micros())) else { return false };
        match now.cmp(&before) {
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                let settles = known.age.is_settled() && !self.plan.compare_content && !view.is_created_later();
                settles && known.deleted == view.is_gone()
            }
            // A page that was read late may show an older version; but a date beyond the provider's clock says nothing about order.
            // Nor does one in an hour that comes twice: it may be of the second pass.
            std::cmp::Ordering::Less => {
                let may_be_later = self.written(view).is_some_and(|(date, _)| date.latest().timestamp_micros() >= before);
                let is_ahead = || DateTime::from_timestamp_micros(before).is_some_and(|before| clock.is_still_ahead(before));
                // What had a date of change and has none now shows no order, either, where content counts.
                let has_lost_date = self.plan.compare_content && self.lacks_date_of_change(view);
                !known.age.is_ahead() && !may_be_later && !is_ahead() && !has_lost_date
            }
        }
    }
}
