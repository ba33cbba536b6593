//! How a resource fares: what its last polls and deliveries met. Not stored. Pure.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::detail_tries::DetailOutcome;
use super::report::{Facts, Outcome, Report, Sign, SweepOutcome};
use super::round::ListsOutcome;
use super::strategy::{Gap, Tokenless};
use crate::api::conditions::{Problem, Reaction, Reason, Remedy};
use crate::cpu::OverShare;
use crate::detect::absent::{AbsentDate, AbsentMark};
use crate::detect::event_types::{EventTypes, UnmatchedTypes};
use crate::detect::named_fields::{AbsentFields, FieldEvidence};
use crate::detect::selection::Undecided;
use crate::detect::unidentified::Unidentified;
use crate::detect::unreadable_date::UnreadableDate;
use crate::detect::volatile::VolatileRecords;
use crate::fetch::contact::Contact;
use crate::fetch::lost_list::LostList;
use crate::plan::ResourcePlan;

/// This number of failed polls in a row makes `Ready` false.
const FAILURES_UNTIL_NOT_READY: u32 = 3;
/// A failure that lasts this long makes `Ready` false, however few polls it was.
const FAILING_UNTIL_NOT_READY: chrono::Duration = chrono::Duration::minutes(5);

/// That changes were missed is said for this long.
const MISSED_IS_SAID_FOR: chrono::Duration = chrono::Duration::days(1);

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
    /// The list was no longer where the manifest says when the list was last read.
    pub(super) lost_list: Option<Box<LostList>>,
    /// Rows without an id when rows were last seen.
    pub(super) nameless: Option<Box<Nameless>>,
    /// Dates that could not be read when rows were last seen.
    pub(super) unreadable_date: Option<Box<UnreadableDate>>,
    /// A date field that no record had when records were last seen.
    pub(super) absent_date: Option<Box<AbsentDate>>,
    /// The mark of deleted records, where it was most likely misspelt when records were last seen.
    pub(super) absent_mark: Option<Box<AbsentMark>>,
    /// What records have shown of the paths that the manifest names, since the start.
    pub(super) fields: Option<Box<FieldEvidence>>,
    /// What events of a feed have shown of its types, since the start.
    pub(super) event_types: EventTypes,
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
    /// When a poll met that changes were missed, which a person should see although the next poll finds nothing wrong.
    missed: Option<(DateTime<Utc>, Tokenless)>,
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
                let missed = match report.facts.gap {
                    Some(Gap::ChangesMissed(why)) => Some((now, why)),
                    _ => None,
                };
                self.missed = missed.or(self.missed.filter(|(at, _)| now - at < MISSED_IS_SAID_FOR));
                self.notes = Note::all_in(&report.facts, &self.notes, self.missed.map(|(_, why)| why));
                if report.facts.pages > 0 {
                    self.lost_list.clone_from(&report.facts.lost_list);
                }
                if report.facts.has_rows() {
                    self.nameless = Nameless::of(&report.facts).map(Box::new);
                    self.unreadable_date = report.facts.unreadable_date.clone().map(Box::new);
                }
                if report.facts.seen.records > 0 {
                    self.absent_date = report.facts.absent_date.clone().map(Box::new);
                    self.absent_mark = report.facts.absent_mark.clone().map(Box::new);
                    self.note_fields(&report.facts);
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

    fn note_fields(&mut self, facts: &Facts) {
        self.event_types = self.event_types.and(facts.event_types);
        if !facts.fields.is_empty() {
            let earlier = self.fields.take().map(|fields| *fields).unwrap_or_default();
            self.fields = Some(Box::new(facts.fields.clone().and(earlier, false)));
        }
    }

    fn note_failure(&mut self, report: &Report, now: DateTime<Utc>) {
        self.polled = true;
        self.contact = self.contact.max(report.facts.contact);
        self.failures += 1;
        self.failing_since.get_or_insert(now);
    }

    /// What is most likely delivered though the manifest says to mask it or leave it out, or never delivered because of the spelling of types.
    pub(super) fn misread(&self, plan: &ResourcePlan) -> Option<(Reason, String)> {
        let exposed = self.fields.as_deref().and_then(FieldEvidence::absent).filter(AbsentFields::exposes);
        let types = self.event_types.unmatched().filter(|types| plan.feed.is_some() && *types == UnmatchedTypes::Spelling);
        exposed
            .map(|absent| (Reason::FieldMissing, absent.to_string()))
            .or_else(|| types.map(|types| (Reason::EventTypesUnmatched, types.to_string())))
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

/// Rows that were listed without an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nameless {
    /// No record has one, and none ever had: nothing can be delivered.
    All(Unidentified),
    Some(Unidentified),
}

impl Nameless {
    fn of(facts: &Facts) -> Option<Self> {
        let unidentified = facts.unidentified.clone()?;
        // One row of a list that is filtered by date, or rows that are null, say nothing of where ids are.
        let is_all = facts.seen.records == 0 && unidentified.rows() > 0 && !facts.knows_records;
        Some(if is_all { Self::All(unidentified) } else { Self::Some(unidentified) })
    }
}

/// What a user reads of them.
impl fmt::Display for Nameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::All(unidentified) => unidentified.of_all(),
            Self::Some(unidentified) => unidentified.of_some(),
        })
    }
}

/// What a poll met that does not stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    OtherLists,
    FullPage,
    RepeatedIds,
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
    ChangesMissed(Tokenless),
    ReadWhole(Tokenless),
    OutOfReach,
    CursorAhead,
    StartsLater,
    TurnedOver,
    Emptied,
    ParentsEmptied,
    Newcomers,
    RetryQueueFull,
    /// It used more than its fair share of CPU time; both in percent of a core.
    Throttled {
        used: u32,
        share: u32,
    },
}

impl Note {
    fn all_in(facts: &Facts, before: &[Self], missed: Option<Tokenless>) -> Vec<Self> {
        // A poll that lists nothing, as one of an unchanged list, shows no better than the one before.
        let of_rows = |met: bool, note: Self| (if facts.has_rows() { met } else { before.contains(&note) }, note);
        // Most polls show too few dates to say.
        let are_days = facts.dates_are_days.unwrap_or_else(|| before.contains(&Self::DayDates));
        let met = [
            (facts.has(Sign::OtherLists), Self::OtherLists),
            of_rows(facts.has(Sign::FullPage), Self::FullPage),
            of_rows(facts.seen.repeated_ids > 0, Self::RepeatedIds),
            of_rows(facts.seen.lost_dates > 0 && facts.seen.bad_dates == 0, Self::LostDates),
            of_rows(facts.seen.far_ahead > 0, Self::FarAhead),
            of_rows(are_days && facts.seen.far_ahead == 0, Self::DayDates),
            of_rows(facts.seen.unread_marks > 0 && facts.seen.tombstones == 0, Self::UnreadMarks),
            of_rows(facts.seen.status_words > 0, Self::StatusWords),
            of_rows(facts.has(Sign::AllMarked) && facts.seen.status_words == 0, Self::AllMarked),
            (facts.order_broken, Self::Disorder),
            (facts.has(Sign::PagesOverlap), Self::PagesOverlap),
            (facts.unsettled && !facts.has(Sign::PagesOverlap), Self::Unsettled),
            (facts.unread_parts > 0, Self::Unread),
            (facts.gap == Some(Gap::OutOfReach), Self::OutOfReach),
            (facts.has(Sign::CursorAhead), Self::CursorAhead),
            (facts.has(Sign::StartsLater), Self::StartsLater),
            (facts.has(Sign::TurnedOver) && !facts.has(Sign::CursorAhead) && facts.gap.is_none(), Self::TurnedOver),
            (facts.has(Sign::Emptied), Self::Emptied),
            (facts.has(Sign::ParentsEmptied), Self::ParentsEmptied),
            (facts.has(Sign::Newcomers), Self::Newcomers),
            (facts.sums.queue_full, Self::RetryQueueFull),
        ];
        let throttled = facts.over_share.map(|over| Self::throttled(over, before));
        let whole = match facts.gap {
            Some(Gap::ReadWhole(why)) => Some(Self::ReadWhole(why)),
            _ => None,
        };
        let met = met.into_iter().filter_map(|(met, note)| met.then_some(note));
        met.chain(missed.map(Self::ChangesMissed)).chain(whole).chain(throttled).collect()
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
    use crate::detect::seen::Seen;
    use crate::poll::report::Wakes;

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
    fn that_changes_were_missed_is_said_for_a_day() {
        let at = |hours| DateTime::UNIX_EPOCH + chrono::Duration::hours(hours);
        let polled =
            |gap| Report { outcome: Outcome::Polled, facts: Facts { gap, ..Facts::default() }, wakes: Wakes::default() };
        let mut health = Health::default();
        health.note(&polled(Some(Gap::ChangesMissed(Tokenless::Expired))), at(0));
        assert_eq!(health.notes, [Note::ChangesMissed(Tokenless::Expired)]);
        for (hours, is_said) in [(1, true), (23, true), (24, false), (25, false)] {
            health.note(&polled(None), at(hours));
            assert_eq!(health.notes.contains(&Note::ChangesMissed(Tokenless::Expired)), is_said, "{hours}");
        }
        health.note(&polled(Some(Gap::ReadWhole(Tokenless::Edited))), at(30));
        health.note(&polled(None), at(31));
        assert_eq!(health.notes, [], "a list that was read whole missed no change");
    }

    #[test]
    fn what_is_wrong_with_rows_is_remembered_until_rows_are_listed_again() {
        let notes = |records, before: &[Note]| {
            Note::all_in(&Facts { seen: Seen { records, ..Seen::default() }, ..Facts::default() }, before, None)
        };
        for kept in [Note::RepeatedIds, Note::FarAhead, Note::UnreadMarks] {
            assert_eq!(notes(0, &[kept]), [kept]);
            assert_eq!(notes(3, &[kept]), []);
        }
        assert_eq!(notes(0, &[Note::Unsettled]), [], "what is wrong with a listing is one of that listing");
        let mut health = Health::default();
        for (missing_ids, records, is_nameless) in [(3, 0, true), (0, 0, true), (0, 1, false), (1, 1, true)] {
            let seen = Seen { records, ..Seen::default() };
            let facts = Facts { seen, unidentified: unidentified(missing_ids, 0), ..Facts::default() };
            health.note(&Report { outcome: Outcome::Polled, facts, wakes: Wakes::default() }, DateTime::UNIX_EPOCH);
            assert_eq!(health.nameless.is_some(), is_nameless, "{seen:?}");
        }
    }

    fn unidentified(missing_ids: usize, nulls: usize) -> Option<Unidentified> {
        let rows = [vec!["{}"; missing_ids], vec!["null"; nulls]].concat();
        (!rows.is_empty()).then(|| Unidentified::of("id", &rows))
    }

    #[test]
    fn that_nothing_can_be_delivered_is_said_where_no_record_ever_had_an_id() {
        let nameless = |records, missing_ids, nulls, knows_records| {
            let seen = Seen { records, ..Seen::default() };
            let facts = Facts { seen, knows_records, unidentified: unidentified(missing_ids, nulls), ..Facts::default() };
            matches!(Nameless::of(&facts), Some(Nameless::All(_)))
        };
        assert!(nameless(0, 1, 2, false));
        assert!(!nameless(1, 2, 0, false), "others have one");
        assert!(!nameless(0, 1, 0, true), "one row of a list that is filtered by date");
        assert!(!nameless(0, 0, 2, false), "null is no record");
    }
}
