//! What a job is to do, and what it says when it has ended.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::detail_tries::DetailOutcome;
use super::round::ListsOutcome;
use super::strategy::Gap;
use crate::api::conditions::{Problem, Reaction, Reason};
use crate::cpu::OverShare;
use crate::deliver::outbox::Sums;
use crate::detect::absent::{AbsentDate, AbsentMark};
use crate::detect::event_types::EventTypes;
use crate::detect::named_fields::FieldEvidence;
use crate::detect::seen::Seen;
use crate::detect::selection::Undecided;
use crate::detect::sweep::{Claim, Unproven};
use crate::detect::unidentified::Unidentified;
use crate::detect::unreadable_date::UnreadableDate;
use crate::detect::volatile::VolatileRecords;
use crate::fetch::contact::Contact;
use crate::fetch::lost_list::LostList;
use crate::observe::journal::{Poll, PollEnd};

/// What a job is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Send due events of the retry queues, then poll.
    Poll,
    /// Only send due events of the retry queues.
    RetryQueue,
    /// Only store what changed: the instance is suspended.
    Save,
    /// Only use the credentials, so that the provider does not forget them: the instance is suspended.
    KeepAlive,
}

/// What a job did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it met.
    pub facts: Facts,
    /// Earlier times than the interval's at which the resource wants to run again.
    pub wakes: Wakes,
}

/// When a resource wants to run again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakes {
    /// For a poll.
    pub poll: Option<DateTime<Utc>>,
    /// For queued events, whether it is polled or not.
    pub queue: Option<DateTime<Utc>>,
}

impl Report {
    /// What the journal has of it; `None`: it was no poll.
    pub fn journaled(&self, took: Duration) -> Option<Poll> {
        let Facts { pages, seen, sums, .. } = &self.facts;
        let end = match &self.outcome {
            Outcome::Polled if *pages == 0 => PollEnd::NotModified,
            Outcome::Polled => PollEnd::Read,
            Outcome::CallbackClosed => PollEnd::CallbackClosed,
            Outcome::CallbackGone => PollEnd::Failed(Reason::CallbackGone),
            Outcome::CallbackUnusable(problem) | Outcome::Failed(problem) => PollEnd::Failed(problem.reason),
            Outcome::RetryQueueSent | Outcome::Stopped => return None,
        };
        Some(Poll::new(end, [*pages, seen.records, sums.accepted, sums.failed], took))
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The list was read to its end, or answered 304.
    Polled,
    /// Only events of the retry queues were sent.
    RetryQueueSent,
    /// Nothing may be sent to the callback for now, so nothing was asked either: the provider is the log.
    CallbackClosed,
    /// The callback answered 410.
    CallbackGone,
    /// The callback cannot be asked at all until a person acts: a Secret is missing, the address is not allowed.
    CallbackUnusable(Problem),
    /// The plan changed, the process ends, or nothing was to be polled.
    Stopped,
    /// It failed.
    Failed(Problem),
}

impl Outcome {
    /// Whether a poll was due, and this decided its result.
    pub fn is_poll(&self) -> bool {
        !matches!(self, Self::RetryQueueSent | Self::Stopped)
    }

    /// Whether it failed because of the provider or the state.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// What rows of a list of deleted ids lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRows {
    /// An id.
    Ids,
    /// A date that can be read.
    Dates,
}

/// What became of the sweep of a poll, or of the list of deleted ids in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SweepOutcome {
    /// None was due, or it was broken off.
    #[default]
    None,
    /// The list showed what is missing.
    Ended,
    /// The list was read and proves nothing.
    Unproven(Unproven),
    /// The list could not be read to its end, though the list of the records could.
    Failed(Problem),
    /// The list of deleted ids was read, but some rows say nothing.
    Unreadable(BadRows),
}

impl SweepOutcome {
    /// Adds what became of that of the list of `value`, another one of the same resource: what is wrong with one is said of all.
    fn add(&mut self, value: &str, other: Self) {
        let rank = |outcome: &Self| match outcome {
            Self::None => 0,
            Self::Ended => 1,
            Self::Unreadable(_) => 2,
            Self::Unproven(_) => 3,
            Self::Failed(_) => 4,
        };
        if rank(&other) > rank(self) {
            *self = match other {
                Self::Failed(problem) => {
                    let message = format!("the list of {value}: {}", problem.message);
                    Self::Failed(Problem { message, ..problem })
                }
                other => other,
            };
        }
    }

    /// The same while that of another list waits to be tried again: that this one went well says nothing of the other.
    #[must_use]
    pub fn beside_a_failed_one(self) -> Self {
        if self == Self::Ended { Self::None } else { self }
    }
}

/// What shows that records may be missed, or are taken for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Responses have another list of objects than the one that was found out to have the records.
    OtherLists,
    /// The only page of the list is as long as a page may be.
    FullPage,
    /// Every record of the whole list is marked as deleted.
    AllMarked,
    /// Pages of the list overlap although nothing changes, so that it may hide records.
    PagesOverlap,
    /// The cursor is ahead of the provider's clock.
    CursorAhead,
    /// The time from which on records are sent has not come.
    StartsLater,
    /// All of the list is new since the last poll: others may have come and gone in between.
    TurnedOver,
    /// The list had many records and has had next to none for some polls.
    Emptied,
    /// The same of the list of parents.
    ParentsEmptied,
    /// Records came into the list with dates before those that are known, and are not announced.
    Newcomers,
}

/// What a job met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Each once.
    pub(super) signs: Vec<Sign>,
    /// Pages read.
    pub pages: u64,
    /// The most that the provider's answers have shown.
    pub contact: Contact,
    /// What detection saw.
    pub seen: Seen,
    /// The list is no longer where the manifest says, as far as the answers show it.
    pub lost_list: Option<Box<LostList>>,
    /// Rows without an id.
    pub unidentified: Option<Unidentified>,
    /// Records of the resource are known, so it is known where they have their ids.
    pub knows_records: bool,
    /// Dates that could not be read.
    pub unreadable_date: Option<UnreadableDate>,
    /// A date field that no record has.
    pub absent_date: Option<AbsentDate>,
    /// The mark of deleted records, where it is most likely misspelt.
    pub absent_mark: Option<AbsentMark>,
    /// What records have shown of the paths that the manifest names.
    pub fields: FieldEvidence,
    /// What events of a feed have shown of its types.
    pub event_types: EventTypes,
    /// Why the filter could not be evaluated for records.
    pub undecided: Option<Undecided>,
    /// Records that are reported poll after poll, as far as polls in this process have shown.
    pub volatile: Option<VolatileRecords>,
    /// What the last listing's answers say of rows that it did not list.
    pub claim: Claim,
    /// What became of the sweep.
    pub sweep: SweepOutcome,
    /// What became of the complete reading that compares content.
    pub full_sweep: SweepOutcome,
    /// What became of the requests for single records before their events.
    pub detail: DetailOutcome,
    /// The data did not hold still while being read, so the cursor waits.
    pub unsettled: bool,
    /// Parts of the list that have more records of one date than the provider lists, so that some were not read.
    pub unread_parts: u32,
    /// Rows were out of the declared order, now or in an earlier poll.
    pub order_broken: bool,
    /// Whether dates that are written as instants stand for days, where the poll shows it.
    pub dates_are_days: Option<bool>,
    /// Why it could not continue where the last poll ended.
    pub gap: Option<Gap>,
    /// The provider's retry-after on a successful response (`Backoff`).
    pub retry_after: Option<Duration>,
    /// How further pages are asked for, if that was detected.
    pub pagination: Option<String>,
    /// What the instance used when it had to wait, because it was more than its fair share of CPU time.
    pub over_share: Option<OverShare>,
    /// What became of the lists of a resource that has several.
    pub lists: ListsOutcome,
    /// What became of the changes.
    pub sums: Sums,
}

impl Facts {
    /// Whether a row was listed, whatever it was.
    pub fn has_rows(&self) -> bool {
        self.seen.any() || self.unidentified.is_some()
    }

    /// Notes a sign, where it is one.
    pub fn note(&mut self, sign: Sign, is_met: bool) {
        if is_met && !self.has(sign) {
            self.signs.push(sign);
        }
    }

    /// Whether the job met it.
    pub fn has(&self, sign: Sign) -> bool {
        self.signs.contains(&sign)
    }

    /// Adds what the list of `value`, another one of the same resource, met.
    pub fn add(&mut self, value: &str, other: Self) {
        self.sweep.add(value, other.sweep);
        self.full_sweep.add(value, other.full_sweep);
        self.detail.add(other.detail);
        other.signs.iter().for_each(|sign| self.note(*sign, true));
        self.pages += other.pages;
        self.contact = self.contact.max(other.contact);
        self.seen.add(other.seen);
        self.unidentified = match (self.unidentified.take(), other.unidentified) {
            (Some(own), Some(other)) => Some(own.and(other)),
            (own, other) => own.or(other),
        };
        self.knows_records |= other.knows_records;
        self.lost_list = self.lost_list.take().or(other.lost_list);
        self.unreadable_date = match (self.unreadable_date.take(), other.unreadable_date) {
            (Some(own), Some(other)) => Some(own.and(&other)),
            (own, other) => own.or(other),
        };
        self.absent_date = self.absent_date.take().or(other.absent_date);
        self.absent_mark = self.absent_mark.take().or(other.absent_mark);
        self.fields = std::mem::take(&mut self.fields).and(other.fields, true);
        self.event_types = self.event_types.and(other.event_types);
        self.undecided = self.undecided.take().or(other.undecided);
        self.volatile = self.volatile.take().or(other.volatile);
        self.unsettled |= other.unsettled;
        self.unread_parts += other.unread_parts;
        self.order_broken |= other.order_broken;
        self.gap = self.gap.or(other.gap);
        // One list with other dates says that the field has times.
        self.dates_are_days = match (self.dates_are_days, other.dates_are_days) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        self.retry_after = self.retry_after.max(other.retry_after);
        self.pagination = self.pagination.take().or(other.pagination);
        self.over_share = other.over_share.or(self.over_share);
    }

    /// How long the provider demanded to be left alone: with the problem that ended the poll, or with a success, if the next poll would
    /// come earlier.
    pub fn demanded_wait(&self, problem: Option<&Problem>, interval: Duration) -> Option<TimeDelta> {
        let wait = match problem {
            Some(problem) => problem.retry_after.filter(|_| problem.reaction == Reaction::Throttled),
            None => self.retry_after.filter(|wait| *wait > interval),
        };
        TimeDelta::from_std(wait?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_beside_a_success_counts_if_it_puts_the_next_poll_off() {
        let wait = |seconds: Option<u64>, problem: Option<&Problem>| {
            let facts = Facts { retry_after: seconds.map(Duration::from_secs), ..Facts::default() };
            facts.demanded_wait(problem, Duration::from_mins(1)).map(|wait| wait.num_seconds())
        };
        assert_eq!((wait(None, None), wait(Some(60), None), wait(Some(61), None)), (None, None, Some(61)));
        let limited = |wait| Problem::throttled(Reason::RateLimited, "x", wait);
        assert_eq!(wait(None, Some(&limited(Some(Duration::from_secs(10))))), Some(10));
        assert_eq!(wait(None, Some(&limited(None))), None);
        let other = Problem::transient(Reason::TokenEndpointUnreachable, "x");
        let other = Problem { retry_after: Some(Duration::from_secs(10)), ..other };
        assert_eq!(wait(None, Some(&other)), None, "another server demanded that");
    }
}
