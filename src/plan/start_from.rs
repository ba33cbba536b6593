//! From when on records are sent: `polling.startFrom` → what the first poll does. Pure.

use chrono::{DateTime, Utc};

use super::problems::invalid;
use super::{ChangeBy, ResourcePlan, StartFrom};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::instance::{ConnectorInstanceSpec, Polling};

/// What a person should know of a time that has not come yet.
pub const IN_THE_FUTURE: &str = "polling.startFrom: the time is in the future, and changes before it are not sent: if that is not meant, correct the year or the time zone";

/// What the first poll of an instance does.
///
/// # Errors
/// A text that is neither a word nor a time.
pub(super) fn plan(spec: &ConnectorInstanceSpec, connector: &ConnectorSpec) -> Result<StartFrom, Problem> {
    let said = |polling: &Option<Polling>| polling.as_ref().and_then(|polling| polling.start_from.clone());
    let text = said(&spec.polling).or_else(|| said(&connector.polling));
    text.as_deref()
        .map_or(Some(StartFrom::Now), StartFrom::parse)
        .ok_or_else(|| invalid("spec.polling.startFrom must be Now, Earliest or an RFC 3339 time such as 2026-01-31T00:00:00Z"))
}

impl StartFrom {
    /// Reads it as it is in a manifest.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Now" => Some(Self::Now),
            "Earliest" => Some(Self::Earliest),
            time => Some(Self::Time(DateTime::parse_from_rfc3339(time).ok()?.with_timezone(&Utc))),
        }
    }

    /// Whether it is a time that has not come yet.
    pub fn is_future(self, now: DateTime<Utc>) -> bool {
        matches!(self, Self::Time(time) if time > now)
    }
}

impl ResourcePlan {
    /// Whether nothing is sent yet, because the time from which on records are sent has not come.
    pub fn starts_later(&self, now: DateTime<Utc>) -> bool {
        self.change_by != ChangeBy::Content && self.delta.is_none() && self.start_from.is_future(now)
    }

    /// What is odd about records that last changed before those that the first poll reads: they are not known, and without a created date
    /// nothing distinguishes them from new ones.
    pub fn old_records(&self) -> Option<&'static str> {
        let is_by_date = self.change_by == ChangeBy::Updated && self.feed.is_none() && self.delta.is_none();
        if !is_by_date || self.extract.created.is_some() || self.full_sweep.is_some() || self.snapshot.is_some() {
            return None;
        }
        match (self.max_age, self.start_from) {
            (Some(_), _) => Some(
                "records that last changed before maxAge are not known, so the next change of one is announced as created; set datesConfiguration.createdDateField to distinguish them from new ones",
            ),
            (None, StartFrom::Time(_)) => Some(
                "records that last changed before startFrom are not known, so the next change of one is announced as created; set datesConfiguration.createdDateField to distinguish them from new ones",
            ),
            (None, StartFrom::Now | StartFrom::Earliest) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::plan::sample;

    #[test]
    fn a_time_is_in_the_future_until_it_comes() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let start = StartFrom::parse("2026-11-24T10:00:00+02:00").unwrap();
        assert!(start.is_future(at("2026-11-24T07:59:59Z")) && !start.is_future(at("2026-11-24T08:00:00Z")));
        assert!(!StartFrom::Now.is_future(at("2026-11-24T08:00:00Z")));
        assert_eq!((StartFrom::parse("now"), StartFrom::parse("2026-11-24")), (None, None));
        let by_content = ResourcePlan { change_by: ChangeBy::Content, start_from: start, ..sample::resource() };
        assert!(!by_content.starts_later(at("2026-11-24T07:59:59Z")), "without dates nothing is before it");
    }

    #[test]
    fn what_the_first_poll_does_not_read_looks_new_later_unless_it_says_when_it_was_created() {
        let mut plan = ResourcePlan { max_age: Some(Duration::from_hours(48)), ..sample::resource() };
        assert_eq!(plan.old_records(), None);
        Arc::make_mut(&mut plan.extract).created = None;
        assert!(plan.old_records().is_some_and(|note| note.contains("before maxAge")));
        let plan = ResourcePlan { max_age: None, start_from: StartFrom::Time(DateTime::UNIX_EPOCH), ..plan };
        assert!(plan.old_records().is_some_and(|note| note.contains("before startFrom")));
        assert_eq!(ResourcePlan { start_from: StartFrom::Earliest, ..plan.clone() }.old_records(), None);
        assert_eq!(ResourcePlan { full_sweep: Some(Duration::from_hours(24)), ..plan }.old_records(), None);
    }
}
