//! What a record is to a poll: what the classifier says, unless the poll itself has shown the record before. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::Detector;
use crate::detect::classify::{Class, Mode};
use crate::detect::clock::ProviderClock;
use crate::detect::known::Known;
use crate::detect::record::RecordView;

impl Detector<'_> {
    /// What a record is whose id is known as `before`.
    pub(super) fn classify(
        &self,
        view: &RecordView<'_>,
        (id, date): (u64, Option<DateTime<Utc>>),
        before: Option<Known>,
        clock: &ProviderClock,
    ) -> Class {
        if self.plan.feed.is_some() && before.is_some() {
            return Class::Same;
        }
        // Other bytes may be a link that was signed again. If they are a change, the next poll finds it; a list of changes is not read
        // twice.
        let was_told = |known: &Known| {
            self.plan.delta.is_none()
                && self.told.has(id, known.version)
                && known.date == date.map(|date| date.timestamp_micros())
                && known.deleted == view.is_gone()
        };
        // Nothing but a later poll shows whether what an earlier pass of the baseline showed has changed since.
        let is_of_earlier_pass = self.view.mode == Mode::Baseline
            && self.listings > 1
            && date.is_none()
            && before.is_some_and(|known| known.date.is_none());
        if is_of_earlier_pass || before.as_ref().is_some_and(was_told) {
            return Class::Same;
        }
        let class = self.classifier.classify(view, before, clock);
        let by_content = before.is_some_and(|known| self.classifier.is_rehashed(view, &known));
        if self.view.rehash && by_content && matches!(class, Class::Change(_)) { Class::Remember } else { class }
    }

    /// Whether a record changed while the baseline was being read. Dated after the second of the first response, and not in the future, it
    /// is no part of the baseline. Not remembered, it is found by the next poll, whose cursor is not beyond the first response.
    pub(super) fn changed_meanwhile(&self, date: Option<DateTime<Utc>>, clock: &ProviderClock, now: DateTime<Utc>) -> bool {
        let start = self.poll_clock.as_ref().unwrap_or(clock).date();
        let (Mode::Baseline, Some(start), Some(date)) = (self.view.mode, start, date) else { return false };
        let second = TimeDelta::seconds(1);
        // What has passed since on our clock is a span, so that the two clocks need not agree.
        date >= start + second && date <= start + second + (now - self.polled_at) + second
    }
}
