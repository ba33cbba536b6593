//! How a resource fares: what its last polls and deliveries met. Not stored. Pure.

use chrono::{DateTime, Utc};

use super::report::{Facts, Outcome, Report};
use crate::api::conditions::{Problem, Reaction, Reason};

/// So many failed polls in a row make `Ready` false.
const FAILURES_UNTIL_NOT_READY: u32 = 3;
/// So long a failure makes `Ready` false, however few polls it was.
const FAILING_UNTIL_NOT_READY: chrono::Duration = chrono::Duration::minutes(5);

/// What is remembered of a resource's last polls; not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// A poll has ended, well or not.
    pub polled: bool,
    /// The provider was asked.
    pub(super) asked: bool,
    /// Failed polls in a row.
    pub failures: u32,
    /// When the first of them failed.
    failing_since: Option<DateTime<Utc>>,
    /// Why the last one failed.
    pub(super) problem: Option<Box<Problem>>,
    /// It failed for the callback's sake, not for the provider's.
    pub(super) at_callback: bool,
    /// What a person should know, in a fixed order.
    pub(super) notes: Vec<Note>,
    /// How further pages are asked for, if that was detected.
    pub(super) pagination: Option<Box<str>>,
}

impl Health {
    /// Takes in how a job ended.
    pub fn note(&mut self, report: &Report, now: DateTime<Utc>) {
        match &report.outcome {
            Outcome::Failed(problem) | Outcome::CallbackUnusable(problem) => {
                self.polled = true;
                self.at_callback = matches!(report.outcome, Outcome::CallbackUnusable(_));
                self.asked |= !self.at_callback;
                self.failures += 1;
                self.failing_since.get_or_insert(now);
                self.problem = Some(Box::new(problem.clone()));
            }
            Outcome::Polled => {
                (self.polled, self.asked) = (true, true);
                self.recover();
                self.notes = Note::all_in(&report.facts);
                if let Some(pagination) = &report.facts.pagination {
                    self.pagination = Some(pagination.as_str().into());
                }
            }
            Outcome::RetryQueueSent | Outcome::CallbackClosed | Outcome::CallbackGone => {
                self.polled = true;
                self.recover();
            }
            Outcome::Stopped => {}
        }
    }

    /// It failed for want of a person's consent.
    pub fn waits_for_consent(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.reason == Reason::ReauthorizationRequired)
    }

    /// The problem, if it is the provider's.
    pub(super) fn at_provider(&self) -> Option<&Problem> {
        self.problem.as_deref().filter(|_| !self.at_callback)
    }

    fn recover(&mut self) {
        (self.failures, self.failing_since, self.problem) = (0, None, None);
    }

    /// The problem as far as `Ready` minds it: a person's at once, others when they last.
    pub(super) fn lasting_problem(&self, now: DateTime<Utc>) -> Option<&Problem> {
        let problem = self.problem.as_deref()?;
        let lasts = self.failures >= FAILURES_UNTIL_NOT_READY
            || self.failing_since.is_some_and(|since| now - since >= FAILING_UNTIL_NOT_READY);
        match problem.reaction {
            Reaction::Human => Some(problem),
            Reaction::Transient => lasts.then_some(problem),
            Reaction::Throttled => None,
        }
    }
}

/// What a poll met that does not stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    MissingIds,
    RepeatedIds,
    BadDates,
    UnreadMarks,
    Disorder,
    Unsettled,
    RetryQueueFull,
}

impl Note {
    fn all_in(facts: &Facts) -> Vec<Self> {
        let met = [
            (facts.seen.missing_ids > 0, Self::MissingIds),
            (facts.seen.repeated_ids > 0, Self::RepeatedIds),
            (facts.seen.bad_dates > 0, Self::BadDates),
            (facts.seen.unread_marks > 0 && facts.seen.tombstones == 0, Self::UnreadMarks),
            (facts.seen.disorder, Self::Disorder),
            (facts.unsettled, Self::Unsettled),
            (facts.sums.queue_full, Self::RetryQueueFull),
        ];
        met.into_iter().filter_map(|(met, note)| met.then_some(note)).collect()
    }
}
