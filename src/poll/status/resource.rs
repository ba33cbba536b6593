//! What a user reads of one resource. Pure.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Condition, Observed, RETRY_QUEUE_FULL, ResourceStatus, deletes, of_problem};
use crate::api::conditions::{ConditionStatus, ConditionType, Reason};
use crate::detect::absent::{AbsentDate, AbsentMark};
use crate::detect::event_types::UnmatchedTypes;
use crate::detect::named_fields::{AbsentFields, FieldEvidence};
use crate::detect::selection::Undecided;
use crate::detect::sweep::SweepState;
use crate::detect::unreadable_date::UnreadableDate;
use crate::detect::volatile::VolatileRecords;
use crate::detect::zone::written;
use crate::fetch::lost_list::LostList;
use crate::fetch::pagination::FULL_PAGE;
use crate::fetch::pagination::may_count_rows;
use crate::plan::ResourcePlan;
use crate::plan::id::IdPlan;
use crate::plan::start_from::IN_THE_FUTURE;
use crate::poll::health::{Nameless, Note};
use crate::poll::strategy::Tokenless;
use crate::state::InstanceState;
use crate::state::waiting::InPassing;

pub(super) fn resource_status(
    resource: &ResourcePlan,
    state: &InstanceState,
    observed: &Observed<'_>,
    now: DateTime<Utc>,
) -> ResourceStatus {
    let health = observed.health;
    let own = state.resources.get(&*resource.name);
    let mut conditions = Vec::new();
    match health.problem() {
        Some(problem) => conditions.push(of_problem(ConditionType::Polled, problem)),
        None if health.succeeded => conditions.push(Condition::new(
            ConditionType::Polled,
            ConditionStatus::True,
            Reason::Polling,
            "the last poll succeeded",
        )),
        None => {}
    }
    // There is one condition of a type, the first: of what is wrong with the dates, the field that no record has explains more.
    let absent = health.absent_date.as_deref();
    conditions.extend(health.lost_list.as_deref().map(lost_list));
    conditions.extend(health.nameless.as_deref().map(nameless));
    let notes = health.notes.iter().filter(|note| absent.is_none() || **note != Note::LostDates);
    conditions.extend(notes.map(|note| noted(*note, resource)));
    conditions.extend(absent.map(absent_date).or_else(|| health.unreadable_date.as_deref().map(unreadable_date)));
    conditions.extend(health.absent_mark.as_deref().filter(|_| resource.extract.deleted.is_some()).map(absent_mark));
    conditions.extend(health.fields.as_deref().and_then(FieldEvidence::absent).map(|absent| absent_fields(&absent)));
    let types = health.event_types.unmatched().filter(|_| resource.feed.is_some());
    conditions.extend(types.map(unmatched_types));
    // What the lists have shown of a resource that has several, and of others what theirs has.
    let lists = || own.map(|own| &**own).into_iter().chain(state.lists_of(&resource.name).map(|(_, list)| list));
    conditions.extend(lists().find_map(|own| own.zone?.suspected()).map(|behind| suspected_zone(resource, behind, now)));
    conditions.extend(lists().find(|own| own.filter_ignored.is_ignored()).and_then(|_| ignored_filter(resource)));
    conditions.extend(health.undecided.as_deref().map(undecided_filter));
    conditions.extend(health.volatile.as_deref().map(volatile_records));
    let own_lists = state.lists_of(&resource.name).map(|(name, list)| (&**name, &list.sweep));
    let held = deletes::held_in_lists(own_lists).filter(|_| resource.for_each.is_some());
    let sweep = own.map(|own| held.as_ref().map_or((None, own.sweep), |(lists, sweep)| (Some(&**lists), *sweep)));
    let unclear = lists().map(|own| own.sweep.unclear).sum();
    let sweep = sweep.map(|(lists, sweep)| (lists, SweepState { unclear, ..sweep }));
    conditions.extend(sweep.and_then(|(lists, sweep)| deletes::condition(resource, lists, &sweep, health.sweep.as_deref())));
    let detail = health.detail.as_deref().filter(|_| resource.detail.is_some());
    conditions.extend(detail.map(|problem| of_problem(ConditionType::Detailed, problem)));
    let failed = health.lists.as_deref().filter(|_| resource.for_each.is_some());
    conditions.extend(failed.map(|problem| of_problem(ConditionType::ListsPolled, problem)));
    conditions.extend(deletes::full_sweep(resource, health.full_sweep.as_deref()));
    let mut kinds = HashSet::new();
    conditions.retain(|condition: &Condition| kinds.insert(condition.kind));
    ResourceStatus {
        name: resource.name.to_string(),
        cursor: own.and_then(|own| own.cursor).map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        delivered: own.map_or(0, |own| own.delivered),
        last_successful_poll_time: InPassing(observed.last_success),
        next_poll_time: InPassing(observed.next_poll),
        records_path: own.and_then(|own| own.records_path.clone()),
        pagination: health.pagination.as_deref().map(Into::into),
        reset_reason: own.and_then(|own| own.reset_reason.clone()),
        conditions,
    }
}

fn nameless(found: &Nameless) -> Condition {
    Condition::new(ConditionType::RecordsIdentified, ConditionStatus::False, Reason::MissingId, found.to_string())
}

fn lost_list(lost: &LostList) -> Condition {
    Condition::new(ConditionType::RecordsLocated, ConditionStatus::False, Reason::RecordsNotFound, lost.to_string())
}

fn repeated_ids(id: &IdPlan) -> Condition {
    let message = format!(
        "{}: several records of one answer have the same id; the latest of them is delivered; {}",
        id.field(),
        id.how_to_distinguish()
    );
    Condition::new(ConditionType::IdsUnique, ConditionStatus::False, Reason::RepeatedId, message)
}

fn suspected_zone(resource: &ResourcePlan, behind: i32, now: DateTime<Utc>) -> Condition {
    let (hours, side) = (written(behind.abs()), if behind > 0 { "behind" } else { "ahead of" });
    let fix = match resource.zone_moved_east(now, -behind) {
        Some(fits) => format!("set the time zone in datesConfiguration to {}", written(fits)),
        None => format!(
            "set a format that reads the date without its zone, such as yyyy-MM-dd'T'HH:mm:ss'Z', and the time zone {}",
            written(-behind)
        ),
    };
    Condition::new(
        ConditionType::ZoneFits,
        ConditionStatus::False,
        Reason::SuspectedTimeZone,
        format!("datesConfiguration: the dates of new records are {} {side} the provider's clock; {fix}", &hours[1..]),
    )
}

fn volatile_records(found: &VolatileRecords) -> Condition {
    Condition::new(
        ConditionType::ContentStable,
        ConditionStatus::False,
        Reason::VolatileRecords,
        format!(
            "ignoreFields: every poll reports the same records as changed because of {found}; add the paths that say nothing about a change to ignoreFields"
        ),
    )
}

/// `None` where the plan does not filter any more.
fn ignored_filter(resource: &ResourcePlan) -> Option<Condition> {
    let field = resource.request.since(Duration::ZERO)?.field;
    Some(Condition::new(
        ConditionType::Filtered,
        ConditionStatus::False,
        Reason::FilterIgnored,
        format!(
            "{field}: the provider ignores the filter: most records of the list are from days before the date that the macro asks for, so every poll reads the whole list; correct the name of the parameter or the format of its date, and test it with pollinator try"
        ),
    ))
}

fn undecided_filter(undecided: &Undecided) -> Condition {
    Condition::new(ConditionType::FilterEvaluated, ConditionStatus::False, Reason::FilterFailed, undecided.to_string())
}

fn absent_date(absent: &AbsentDate) -> Condition {
    Condition::new(ConditionType::DatesReadable, ConditionStatus::False, Reason::DateFieldMissing, absent.to_string())
}

fn absent_mark(absent: &AbsentMark) -> Condition {
    Condition::new(ConditionType::DeletionsReadable, ConditionStatus::False, Reason::DeletedFlagMissing, absent.to_string())
}

fn absent_fields(absent: &AbsentFields<'_>) -> Condition {
    Condition::new(ConditionType::FieldsFound, ConditionStatus::False, Reason::FieldMissing, absent.to_string())
}

fn unmatched_types(unmatched: UnmatchedTypes) -> Condition {
    Condition::new(ConditionType::EventTypesKnown, ConditionStatus::False, Reason::EventTypesUnmatched, unmatched.to_string())
}

fn unreadable_date(found: &UnreadableDate) -> Condition {
    Condition::new(ConditionType::DatesReadable, ConditionStatus::False, Reason::InvalidDate, found.to_string())
}

/// The condition that says what a poll of the resource met.
fn noted(note: Note, resource: &ResourcePlan) -> Condition {
    let (kind, reason, message) = match note {
        Note::OtherLists => (
            ConditionType::RecordsLocated,
            Reason::OtherLists,
            "recordsPath: responses have another list of objects next to the one that was found to have the records, and it is not read: set recordsPath to the list that has the records; if several have some, declare a resource for each",
        ),
        Note::FullPage => (ConditionType::WithinCap, Reason::PaginationUnclear, FULL_PAGE),
        Note::RepeatedIds => return repeated_ids(&resource.extract.id),
        Note::UnreadMarks => (
            ConditionType::DeletionsReadable,
            Reason::DeletedFlagUnmatched,
            "deletes.flag.value: records have a value at the flag that differs from value, so no deletion is recognized; leave value out to take every mark that is true or set, such as a deletion time",
        ),
        Note::StatusWords => (
            ConditionType::DeletionsReadable,
            Reason::DeletedFlagUnmatched,
            "deletes.flag.value: the flag is a word, which may be the status of any record, so those records count as living: set value to the word that means deleted",
        ),
        Note::AllMarked => (
            ConditionType::DeletionsReadable,
            Reason::DeletedFlagUnmatched,
            "deletes.flag: every record of the whole list has the flag, so all of them count as deleted: correct field, or set value to what means deleted",
        ),
        Note::LostDates => (
            ConditionType::DatesReadable,
            Reason::DatesLost,
            "datesConfiguration.updatedDateField: some records had a date there and have none now, so their changes are not found: set compareContent: true, or name a field that keeps its value",
        ),
        Note::DayDates => (
            ConditionType::DatesPlausible,
            Reason::DatesAreDays,
            "datesConfiguration.updatedDateField: every date is at the same time of the day, so it seems to stand for a day, and a second change on that day is not found: set compareContent: true, or name a field that has the time",
        ),
        Note::FarAhead => (
            ConditionType::DatesPlausible,
            Reason::FutureDates,
            "datesConfiguration: some records are dated further ahead of the provider's clock than maxFuture allows; they are delivered and never move the cursor: correct the format or the time zone, correct the records at the provider, or raise maxFuture",
        ),
        Note::Disorder => (
            ConditionType::Ordered,
            Reason::UnorderedResource,
            "the list is not in the declared order and is read whole: correct order, or ask the provider to sort in query",
        ),
        Note::PagesOverlap if may_count_rows(&resource.pagination) => (
            ConditionType::Settled,
            Reason::PagesOverlap,
            "pagination.page: later pages of the list repeat rows of earlier ones although nothing changes, and the name of the parameter says that it counts rows and not pages: set pagination.offset with this parameter; if it counts pages, sort the list in query by a member that no two records have in common, or with the id as the last criterion",
        ),
        Note::PagesOverlap => (
            ConditionType::Settled,
            Reason::PagesOverlap,
            "pagination: later pages of the list repeat rows of earlier ones although nothing changes, so other records may be on no page: sort the list in query by a member that no two records have in common, or with the id as the last criterion, or raise pageSize",
        ),
        Note::Unsettled => (
            ConditionType::Settled,
            Reason::ListingUnsettled,
            "the list kept changing while it was read, so the cursor waits: filter it with ${since}, or raise pageSize",
        ),
        Note::Unread => (
            ConditionType::WithinCap,
            Reason::ResultCapReached,
            "resultCap: more records have one date than the provider lists at once, so some of them are not read; later ones are delivered, and each poll reads again from there: write ${since} and ${until} as finely as the provider takes them, or continue without these records with the annotation pollinator.dev/reset",
        ),
        Note::ReadWhole(why) => (ConditionType::Continuous, without_token(why), read_whole(why)),
        Note::ChangesMissed(why) => (ConditionType::Continuous, without_token(why), changes_missed(why)),
        Note::OutOfReach => (
            ConditionType::Continuous,
            Reason::CursorOutOfReach,
            "maxAge: no poll succeeded for longer than the provider lists changes, and those before that are missed; what it lists was read: to have all records again, set the annotation pollinator.dev/reset",
        ),
        Note::CursorAhead => (
            ConditionType::Continuous,
            Reason::CursorAhead,
            "the cursor is ahead of the provider's clock, which was ahead for a while, in all of its servers or in one, so changes dated before the cursor are not found: once the clock is right, set polling.startFrom to a time before it was wrong, and then the annotation pollinator.dev/reset",
        ),
        Note::StartsLater => (ConditionType::Continuous, Reason::StartsLater, IN_THE_FUTURE),
        Note::TurnedOver => (
            ConditionType::Continuous,
            Reason::ListTurnedOver,
            "polling.interval: the list shows no record that was there at the last poll; if it has the latest records alone, those in between are missed: decrease polling.interval, raise pageSize, or set pagination or a filter with ${since}",
        ),
        Note::Emptied => (
            ConditionType::Continuous,
            Reason::ListEmptied,
            "the list had many records and has had none, or next to none, for several polls: if the records still exist, let the credentials read them again, or correct query; a list that is really empty needs nothing",
        ),
        Note::ParentsEmptied => (
            ConditionType::Continuous,
            Reason::ListEmptied,
            "forEach.resource: the list of parents had several records and has had none, or next to none, for several polls, so the lists of the others are not polled: if the parents still exist, let the credentials read them again, or correct query; a list that is really empty needs nothing",
        ),
        Note::Newcomers => (
            ConditionType::NewcomersFound,
            Reason::OldNewcomers,
            "datesConfiguration: records have come into the list with dates from before the last polls, as those that are published or shared later, and they are not announced: set fullSweep, which compares the whole list",
        ),
        Note::RetryQueueFull => (ConditionType::LedgerOpen, Reason::ParkedFull, RETRY_QUEUE_FULL),
        Note::Throttled { used, share } => return throttled(used, share),
    };
    Condition::new(kind, ConditionStatus::False, reason, message)
}

fn without_token(why: Tokenless) -> Reason {
    match why {
        Tokenless::Expired => Reason::DeltaTokenExpired,
        Tokenless::Edited | Tokenless::Unkept => Reason::DeltaTokenMissing,
    }
}

fn read_whole(why: Tokenless) -> &'static str {
    match why {
        Tokenless::Expired => {
            "delta: the provider no longer accepted the token of the last poll, so the whole list was read and compared; records that were deleted since the last poll are missed: if this persists, decrease polling.interval, or check delta against the provider's documentation"
        }
        Tokenless::Edited => {
            "delta: the request was edited, and the token of the last poll does not hold for another one, so the whole list was read and compared; records that were deleted since the last poll are missed: compare them with the provider once"
        }
        Tokenless::Unkept => {
            "delta: no earlier poll could keep a token, so the whole list was read and compared; records that were deleted since the last poll are missed: once all events of the whole list are accepted or in the retry queue, its token is kept"
        }
    }
}

fn changes_missed(why: Tokenless) -> &'static str {
    match why {
        Tokenless::Expired => {
            "delta: the provider no longer accepted the token of the last poll, and what it lists without one shows nothing that was known, so what changed in between is missed: if this persists, decrease polling.interval, or check delta, above all token.first, against the provider's documentation"
        }
        Tokenless::Edited => {
            "delta: the request was edited, and what the provider lists without a token shows nothing that was known, so what changed since the last poll is missed: compare the records with the provider once, and set token.first so that it lists all of them"
        }
        Tokenless::Unkept => {
            "delta: no earlier poll could keep a token, and what the provider lists without one shows nothing that was known, so what changed since the last poll is missed: set token.first so that it lists all records"
        }
    }
}

fn throttled(used: u32, share: u32) -> Condition {
    Condition::new(
        ConditionType::WithinShare,
        ConditionStatus::False,
        Reason::Throttled,
        format!(
            "this instance uses about {used} % of a CPU core, of which it may use {share} % while other instances need the CPU, too, so its polls wait: filter the list with ${{since}}, or increase polling.interval or the CPU limit of the operator"
        ),
    )
}
