//! What a record is to a poll: what the classifier says, unless the poll itself has shown the record before. Pure.

use chrono::{DateTime, Utc};

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
}
