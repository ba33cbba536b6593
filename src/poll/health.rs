//! How a resource fares: what its last polls and deliveries met. Not stored. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::detail_tries::DetailOutcome;
use super::report::{Facts, Outcome, Report, Sign, SweepOutcome};
use super::round::ListsOutcome;
use super::strategy::Gap;
use crate::api::conditions::{Problem, Reaction, Remedy};
use crate::cpu::OverShare;
use crate::detect::absent::{AbsentDate, AbsentMark};
use crate::detect::seen::Seen;
use crate::detect::selection::Undecided;
use crate::detect::volatile::VolatileRecords;
use crate::fetch::contact::Contact;

/// This number of failed polls in a row makes `Ready` false.
const FAILURES_UNTIL_NOT_READY: u32 = 3;
/// A failure that lasts this long makes `Ready` false, however few polls it was.
const FAILING_UNTIL_NOT_READY: chrono::Duration = chrono::Duration::minutes(5);

/// What is remembered of a resource's last polls; not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// A poll has ended, well or not.
    pub polled: bool,
    /// A poll has succeeded.
    pub(super) succeeded: bool,
    /// The most that the provider's answers have shown.
    pub(super) contact: Contact,
    /// Failed polls in a row.
    pub failures: u32,
    /// When the first of them failed.
    failing_since: Option<DateTime<Utc>>,
    /// Why the last poll that asked the provider failed.
    pub(super) at_provider: Option<Box<Problem>>,
    /// Why the last one could not begin for the callback's sake.
    pub(super) at_callback: Option<Box<Problem>>,
    /// What a person should know, in a fixed order.
    pub(super) notes: Vec<Note>,
    /// A date field that no record had when records were last seen.
    pub(super) absent_date: Option<Box<AbsentDate>>,
    /// The mark of deleted records, where it was most likely misspelt when records were last seen.
    pub(super) absent_mark: Option<Box<AbsentMark>>,
    /// Why the filter could not be evaluated for records when some were last seen.
    pub(super) undecided: Option<Box<Undecided>>,
    /// Records that are reported poll after poll.
    pub(super) volatile: Option<Box<VolatileRecords>>,
    /// What became of the last sweep, unless it was broken off.
    pub(super) sweep: Option<Box<SweepOutcome>>,
    /// The same of the complete reading that compares content.
    pub(super) full_sweep: Option<Box<SweepOutcome>>,
    /// Why a single record could not be read before its event, when one was last requested.
    pub(super) detail: Option<Box<Problem>>,
    /// Why lists of the resource could not be polled while others could.
    pub(super) lists: Option<Box<Problem>>,
    /// How further pages are asked for, if that was detected.
    pub(super) pagination: Option<Box<str>>,
}

impl Health {
    /// Takes in how a job ended.
    pub fn note(&mut self, report: &Report, now: DateTime<Utc>) {
        match &report.outcome {
            Outcome::Failed(problem) => {
                self.note_failure(report, now);
                (self.at_provider, self.at_callback) = (Some(Box::new(problem.clone())), None);
            }
            Outcome::CallbackUnusable(problem) => {
                self.note_failure(report, now);
                self.at_callback = Some(Box::new(problem.clone()));
            }
            Outcome::Polled => {
                (self.polled, self.succeeded, self.contact) = (true, true, Contact::Accepted);
                (self.at_provider, self.at_callback) = (None, None);
                (self.failures, self.failing_since) = (0, None);
                self.notes = Note::all_in(&report.facts, &self.notes);
                if report.facts.seen.records > 0 {
                    self.absent_date = report.facts.absent_date.clone().map(Box::new);
                    self.absent_mark = report.facts.absent_mark.clone().map(Box::new);
                    self.undecided = report.facts.undecided.clone().map(Box::new);
                }
                self.volatile = report.facts.volatile.clone().map(Box::new);
                for (outcome, own) in [(&report.facts.sweep, &mut self.sweep), (&report.facts.full_sweep, &mut self.full_sweep)]
                {
                    match outcome {
                        SweepOutcome::None => {}
                        SweepOutcome::Ended => *own = None,
                        trouble => *own = Some(Box::new(trouble.clone())),
                    }
                }
                match &report.facts.detail {
                    DetailOutcome::None => {}
                    DetailOutcome::Read => self.detail = None,
                    DetailOutcome::Failed(problem) => self.detail = Some(Box::new(problem.clone())),
                }
                match &report.facts.lists {
                    ListsOutcome::None => {}
                    ListsOutcome::Polled => self.lists = None,
                    ListsOutcome::Failed(problem) => self.lists = Some(Box::new(problem.clone())),
                }
                if let Some(pagination) = &report.facts.pagination {
                    self.pagination = Some(pagination.as_str().into());
                }
            }
            // The callback could be prepared. The provider was not asked: what was wrong with it still counts.
            Outcome::RetryQueueSent | Outcome::CallbackClosed | Outcome::CallbackGone => {
                (self.polled, self.at_callback) = (true, None);
                if self.at_provider.is_none() {
                    (self.failures, self.failing_since) = (0, None);
                }
            }
            Outcome::Stopped => {}
        }
    }

    fn note_failure(&mut self, report: &Report, now: DateTime<Utc>) {
        self.polled = true;
        self.contact = self.contact.max(report.facts.contact);
        self.failures += 1;
        self.failing_since.get_or_insert(now);
    }

    /// It failed because this was missing.
    pub fn waits_for(&self, remedy: Remedy) -> bool {
        self.problem().is_some_and(|problem| problem.remedy == Some(remedy))
    }

    /// Why it is not polled.
    pub(super) fn problem(&self) -> Option<&Problem> {
        self.at_callback.as_deref().or(self.at_provider.as_deref())
    }

    /// The problem as far as it makes `Ready` false: a person's at once, others when they last. A provider that is rate limiting requests
    /// is given two intervals.
    pub(super) fn lasting_problem(
        &self,
        interval: Duration,
        next_poll: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<&Problem> {
        let problem = self.problem()?;
        let since = self.failing_since.unwrap_or(now);
        let lasts = match problem.reaction {
            Reaction::Human => true,
            Reaction::Transient => self.failures >= FAILURES_UNTIL_NOT_READY || now - since >= FAILING_UNTIL_NOT_READY,
            Reaction::Throttled => {
                let unpolled_until = next_poll.map_or(now, |next| next.max(now));
                (unpolled_until - since).to_std().is_ok_and(|wait| wait > interval * 2)
            }
        };
        lasts.then_some(problem)
    }
}

/// What a poll met that does not stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    OtherLists,
    /// No record has an id: nothing can be delivered.
    NoIds,
    MissingIds,
    RepeatedIds,
    BadDates,
    LostDates,
    FarAhead,
    DayDates,
    UnreadMarks,
    StatusWords,
    AllMarked,
    Disorder,
    PagesOverlap,
    Unsettled,
    Unread,
    TokenExpired,
    OutOfReach,
    CursorAhead,
    TurnedOver,
    Newcomers,
    RetryQueueFull,
    /// It used more than its fair share of CPU time; both in percent of a core.
    Throttled {
        used: u32,
        share: u32,
    },
}

impl Note {
    fn all_in(facts: &Facts, before: &[Self]) -> Vec<Self> {
        let Seen { records, missing_ids, .. } = facts.seen;
        // A poll that shows no record shows no better.
        let no_ids = if records > 0 { missing_ids == records } else { before.contains(&Self::NoIds) };
        // Most polls show too few dates to say.
        let are_days = facts.dates_are_days.unwrap_or_else(|| before.contains(&Self::DayDates));
        let met = [
            (facts.has(Sign::OtherLists), Self::OtherLists),
            (no_ids, Self::NoIds),
            (missing_ids > 0 && !no_ids, Self::MissingIds),
            (facts.seen.repeated_ids > 0, Self::RepeatedIds),
            (facts.seen.bad_dates > 0, Self::BadDates),
            (facts.seen.lost_dates > 0 && facts.seen.bad_dates == 0, Self::LostDates),
            (facts.seen.far_ahead > 0, Self::FarAhead),
            (are_days && facts.seen.far_ahead == 0, Self::DayDates),
            (facts.seen.unread_marks > 0 && facts.seen.tombstones == 0, Self::UnreadMarks),
            (facts.seen.status_words > 0, Self::StatusWords),
            (facts.has(Sign::AllMarked) && facts.seen.status_words == 0, Self::AllMarked),
            (facts.order_broken, Self::Disorder),
            (facts.has(Sign::PagesOverlap), Self::PagesOverlap),
            (facts.unsettled && !facts.has(Sign::PagesOverlap), Self::Unsettled),
            (facts.unread_parts > 0, Self::Unread),
            (facts.gap == Some(Gap::TokenExpired), Self::TokenExpired),
            (facts.gap == Some(Gap::OutOfReach), Self::OutOfReach),
            (facts.has(Sign::CursorAhead), Self::CursorAhead),
            (facts.has(Sign::TurnedOver) && !facts.has(Sign::CursorAhead) && facts.gap.is_none(), Self::TurnedOver),
            (facts.has(Sign::Newcomers), Self::Newcomers),
            (facts.sums.queue_full, Self::RetryQueueFull),
        ];
        let throttled = facts.over_share.map(|over| Self::throttled(over, before));
        met.into_iter().filter_map(|(met, note)| met.then_some(note)).chain(throttled).collect()
    }

    /// Figures that are much the same stay the same, for a status that changes is written.
    fn throttled(over: OverShare, before: &[Self]) -> Self {
        let (used, share) = (rounded(over.used), rounded(over.share));
        let is_near = |old: u32, new: u32| old <= new * 3 && new <= old * 3;
        let same = before.iter().find(
            |note| matches!(note, Self::Throttled { used: old, share: kept } if is_near(*old, used) && is_near(*kept, share)),
        );
        same.copied().unwrap_or(Self::Throttled { used, share })
    }
}

/// The next of 1, 2, 5, 10, 20, 50 and so on.
fn rounded(percent: u32) -> u32 {
    let decade = 10_u32.saturating_pow(percent.max(1).ilog10());
    [1, 2, 5].map(|digit| digit * decade).into_iter().find(|step| *step >= percent).unwrap_or(decade.saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(used: u32, share: u32, before: &[Note]) -> Note {
        Note::throttled(OverShare { wait: Duration::from_secs(1), used, share }, before)
    }

    #[test]
    fn figures_are_round_and_stay_while_they_are_much_the_same() {
        assert_eq!([0, 1, 3, 10, 11, 51, 140].map(rounded), [1, 1, 5, 10, 20, 100, 200]);
        let first = throttled(47, 11, &[]);
        assert_eq!(first, Note::Throttled { used: 50, share: 20 });
        assert_eq!(throttled(99, 8, &[Note::Disorder, first]), first);
        assert_eq!(throttled(170, 8, &[first]), Note::Throttled { used: 200, share: 10 });
    }

    #[test]
    fn that_no_record_has_an_id_is_remembered_until_records_are_seen_again() {
        let notes = |records, missing_ids, before: &[Note]| {
            Note::all_in(&Facts { seen: Seen { records, missing_ids, ..Seen::default() }, ..Facts::default() }, before)
        };
        assert_eq!(notes(3, 3, &[]), [Note::NoIds]);
        assert_eq!(notes(3, 2, &[Note::NoIds]), [Note::MissingIds]);
        assert_eq!(notes(0, 0, &[Note::NoIds]), [Note::NoIds]);
        assert_eq!(notes(0, 0, &[Note::MissingIds]), []);
        assert_eq!(notes(3, 0, &[Note::NoIds]), []);
    }
}
