//! Whether deletions are found and sent, where complete readings of the list or a list of deleted ids are what finds them. Pure.

use super::{Condition, of_problem};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reason};
use crate::detect::sweep::{SweepState, Unproven};
use crate::plan::ResourcePlan;
use crate::plan::for_each::list_of;
use crate::plan::id::IdPlan;
use crate::poll::report::{BadRows, SweepOutcome};

/// Lists that a message names.
const NAMED: usize = 3;

/// Which lists of a resource have deletions that wait for a person, by their values, and how many; `None`: no list has any.
pub(super) fn held_in_lists<'s>(lists: impl Iterator<Item = (&'s str, &'s SweepState)>) -> Option<(String, SweepState)> {
    let held: Vec<_> = lists.filter(|(_, sweep)| sweep.held > 0 && !sweep.approved).collect();
    let (_, first) = *held.first()?;
    let named: Vec<_> = held.iter().take(NAMED).filter_map(|(name, _)| Some(list_of(name)?.1)).collect();
    let more = if held.len() > NAMED { " and others" } else { "" };
    let all = SweepState {
        held: held.iter().map(|(_, sweep)| sweep.held).sum(),
        living: held.iter().map(|(_, sweep)| sweep.living).sum(),
        none_listed: held.iter().all(|(_, sweep)| sweep.none_listed),
        replaced: held.iter().map(|(_, sweep)| sweep.replaced).sum(),
        ..*first
    };
    Some((format!("{}{more}", named.join(", ")), all))
}

/// `None` while nothing is to be said. What waits for a person comes before what may pass. `lists` names those that the state is of, where
/// the resource has several.
pub(super) fn condition(
    resource: &ResourcePlan,
    lists: Option<&str>,
    state: &SweepState,
    last: Option<&SweepOutcome>,
) -> Option<Condition> {
    let condition =
        |reason, message: String| Condition::new(ConditionType::DeletesFound, ConditionStatus::False, reason, message);
    let Some(plan) = resource.snapshot.as_deref() else { return resource.deleted_list.as_ref().and_then(|_| of_list(last?)) };
    if state.held > 0 && !state.approved {
        let approve =
            format!("if they are really deleted, set the annotation pollinator.dev/approve-deletes: {}", resource.name);
        let of_lists = lists.map(|lists| format!("forEach: for {lists}: ")).unwrap_or_default();
        let message = if state.none_listed {
            format!(
                "deletes.snapshot: the whole list is empty or has none of the known records, which proves no deletion, so none is sent; correct the query or the credentials, or {approve}"
            )
        } else if state.replaced == state.held {
            let count = at_least(state.held);
            format!(
                "deletes.snapshot.confirm: the provider answers the request for records that are missing from the whole list (at least {count}) with another record, or with one that is marked as deleted or archived, so no deletion is sent; correct confirm.url, or {approve}"
            )
        } else if state.is_edited(plan) {
            let count = at_least(state.held);
            format!(
                "deletes.snapshot: the request for the list was edited, and at least {count} records that were known are missing from the list since, so no deletion is sent; undo the edit, or {approve}"
            )
        } else {
            let (count, percent) = (at_least(state.held), tens(state.held, state.living));
            format!(
                "deletes.snapshot: at least {count} records, about {percent} % of the known ones, are missing from the whole list, more than maxCount ({}) and maxPercent ({} %) allow, so no deletion is sent; correct the query or the credentials, or {approve}",
                plan.max_count, plan.max_percent
            )
        };
        return Some(condition(Reason::DeletesHeld, format!("{of_lists}{message}")));
    }
    if let Some(last) = last
        && let Some(found) = of_last(resource, last)
    {
        return Some(found);
    }
    (state.unclear > 0 && plan.confirm.is_some()).then(|| {
        let count = at_least(state.unclear);
        condition(
            Reason::DeletesUnclear,
            format!(
                "deletes.snapshot.confirm: the provider's responses to the request for records that are missing from the whole list (at least {count}) do not say whether they are deleted, so no deletion is sent: correct confirm.url, or add the status that means it to goneStatus"
            ),
        )
    })
}

/// What the last sweep did not bring to its end.
fn of_last(resource: &ResourcePlan, last: &SweepOutcome) -> Option<Condition> {
    let condition =
        |reason, message: String| Condition::new(ConditionType::DeletesFound, ConditionStatus::False, reason, message);
    match last {
        SweepOutcome::Unproven(Unproven::Moved) => Some(condition(
            Reason::SweepUnsettled,
            "deletes.snapshot: the whole list kept changing while it was read, so it proves no deletion: raise pageSize, sort the list by something that does not change, or set deletes.snapshot.confirm".to_owned(),
        )),
        SweepOutcome::Unproven(Unproven::Unidentified) => Some(condition(
            Reason::MissingId,
            unidentified(&resource.extract.id).to_owned(),
        )),
        SweepOutcome::Unproven(Unproven::Overlaps) => Some(condition(
            Reason::PagesOverlap,
            "deletes.snapshot: pages of the whole list repeat rows of others although nothing changes, so what is missing may be on no page and proves no deletion: sort the list in query by a member that no two records have in common, raise pageSize, or set deletes.snapshot.confirm".to_owned(),
        )),
        SweepOutcome::Unproven(Unproven::Short) => Some(condition(
            Reason::SweepUnsettled,
            "deletes.snapshot: the provider's responses say that the list has more records than they list, so what is missing proves no deletion: correct pagination and query, or set deletes.snapshot.confirm".to_owned(),
        )),
        SweepOutcome::Unproven(Unproven::OldCopy) => Some(condition(
            Reason::SweepUnsettled,
            "deletes.snapshot: the whole list is a copy from a cache (Age) from before the date of a record that was read already, so what is missing proves no deletion: set Cache-Control to no-cache in headers, or set deletes.snapshot.confirm".to_owned(),
        )),
        SweepOutcome::Failed(problem) => {
            let message = format!("deletes.snapshot: the whole list cannot be read: {}", problem.message);
            Some(of_problem(ConditionType::DeletesFound, &Problem { message, ..problem.clone() }))
        }
        SweepOutcome::None | SweepOutcome::Ended | SweepOutcome::Unreadable(_) => None,
    }
}

fn unidentified(id: &IdPlan) -> &'static str {
    match id {
        IdPlan::Key | IdPlan::Field(_) => {
            "deletes.snapshot: some records of the whole list have no value at idField, so it proves no deletion: set idField to the path of the id"
        }
        IdPlan::Fields(_) => {
            "deletes.snapshot: some records of the whole list lack a value at one of idFields, so it proves no deletion: set idFields to members that every record has"
        }
    }
}

/// Whether the complete readings that compare content go well.
pub(super) fn full_sweep(resource: &ResourcePlan, last: Option<&SweepOutcome>) -> Option<Condition> {
    resource.full_sweep?;
    let SweepOutcome::Failed(problem) = last? else { return None };
    let message = format!("fullSweep: the whole list cannot be read: {}", problem.message);
    Some(of_problem(ConditionType::Swept, &Problem { message, ..problem.clone() }))
}

/// What is said of a list of deleted ids.
fn of_list(last: &SweepOutcome) -> Option<Condition> {
    let (reason, message) = match last {
        SweepOutcome::Failed(problem) => {
            let message = format!("deletes.feed: the list of deleted ids cannot be read: {}", problem.message);
            return Some(of_problem(ConditionType::DeletesFound, &Problem { message, ..problem.clone() }));
        }
        SweepOutcome::Unreadable(BadRows::Ids) => (
            Reason::MissingId,
            "deletes.feed.idField: rows of the list of deleted ids have no value there, so their deletions are not sent: set it to the path of the id",
        ),
        SweepOutcome::Unreadable(BadRows::Dates) => (
            Reason::InvalidDate,
            "deletes.feed.dateField: rows of the list of deleted ids have no date there that can be read: set it to the path of the time of the deletion, and correct dateFormat or dateTimezone",
        ),
        SweepOutcome::None | SweepOutcome::Ended | SweepOutcome::Unproven(_) => return None,
    };
    Some(Condition::new(ConditionType::DeletesFound, ConditionStatus::False, reason, message))
}

/// The greatest of 1, 2, 5, 10, 20, 50 and so on that is not above: a status that changes is written.
fn at_least(count: u64) -> u64 {
    let decade = 10_u64.saturating_pow(count.max(1).ilog10());
    [5, 2, 1].map(|digit| digit * decade).into_iter().find(|step| *step <= count).unwrap_or(count)
}

/// Percent in tens, at least ten.
fn tens(part: u64, whole: u64) -> u64 {
    ((part * 10 + whole / 2) / whole.max(1)).clamp(1, 10) * 10
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::{ConfirmPlan, SnapshotPlan, sample};

    fn told(state: &SweepState, last: Option<&SweepOutcome>) -> Option<(Reason, String)> {
        let plan = SnapshotPlan { interval: None, max_count: 10, max_percent: 20, confirm: None, asked: 1 };
        let resource = ResourcePlan { snapshot: Some(Arc::new(plan)), ..sample::resource() };
        condition(&resource, None, state, last).map(|condition| (condition.reason, condition.message))
    }

    #[test]
    fn figures_are_round_so_that_the_status_is_not_written_at_each_sweep() {
        assert_eq!([1, 4, 11, 19, 20, 49, 50, 99, 1_234].map(at_least), [1, 2, 10, 10, 20, 20, 50, 50, 1_000]);
        assert_eq!(
            [(1, 100), (24, 100), (25, 100), (99, 100), (3, 0)].map(|(part, whole)| tens(part, whole)),
            [10, 20, 30, 100, 100]
        );
        let held = |held| SweepState { held, living: 100, ..SweepState::default() };
        let (reason, message) = told(&held(52), None).unwrap();
        assert_eq!(reason, Reason::DeletesHeld);
        assert!(message.contains("at least 50 records, about 50 % of the known ones"), "{message}");
        assert!(message.contains("approve-deletes: contacts"), "{message}");
        assert_eq!(told(&held(54), None).unwrap().1, message);
    }

    #[test]
    fn a_full_sweep_that_fails_is_told_while_it_is_wanted() {
        let failed = SweepOutcome::Failed(Problem::transient(Reason::ProviderError, "baseUrl: it failed"));
        let swept = ResourcePlan { full_sweep: Some(std::time::Duration::from_mins(1)), ..sample::resource() };
        let condition = full_sweep(&swept, Some(&failed)).unwrap();
        assert_eq!(condition.message, "fullSweep: the whole list cannot be read: baseUrl: it failed");
        assert!(
            full_sweep(&swept, Some(&SweepOutcome::Ended)).is_none()
                && full_sweep(&sample::resource(), Some(&failed)).is_none()
        );
    }

    #[test]
    fn a_list_of_deleted_ids_is_named_by_its_fields() {
        let list = ResourcePlan { deleted_list: Some(Arc::new(sample::resource())), ..sample::resource() };
        let told = |resource: &ResourcePlan, last: SweepOutcome| {
            condition(resource, None, &SweepState::default(), Some(&last))
                .map(|condition| (condition.reason, condition.message))
        };
        let failed = || SweepOutcome::Failed(Problem::transient(Reason::ProviderError, "baseUrl: it failed"));
        let (reason, message) = told(&list, failed()).unwrap();
        assert_eq!(
            (reason, &*message),
            (Reason::ProviderError, "deletes.feed: the list of deleted ids cannot be read: baseUrl: it failed")
        );
        assert_eq!(told(&list, SweepOutcome::Unreadable(BadRows::Ids)).unwrap().0, Reason::MissingId);
        assert_eq!(told(&list, SweepOutcome::Unreadable(BadRows::Dates)).unwrap().0, Reason::InvalidDate);
        assert_eq!(told(&list, SweepOutcome::Ended), None);
        assert_eq!(told(&sample::resource(), failed()), None, "neither is declared any more");
    }

    #[test]
    fn what_a_request_for_one_record_does_not_settle_is_said() {
        let held = SweepState { held: 2, replaced: 2, living: 100, ..SweepState::default() };
        let (reason, message) = told(&held, None).unwrap();
        assert_eq!(reason, Reason::DeletesHeld);
        assert!(message.contains("with another record") && message.contains("approve-deletes: contacts"), "{message}");
        let mixed = SweepState { held: 20, ..held };
        assert!(told(&mixed, None).unwrap().1.contains("about 20 % of the known ones"), "not all of them");
        let unclear = SweepState { missing: 3, unclear: 3, ..SweepState::default() };
        assert_eq!(told(&unclear, None), None, "no request is declared any more");
        let confirm = ConfirmPlan { url: Vec::new(), headers: Vec::new(), gone: vec![404] };
        let plan = SnapshotPlan { interval: None, max_count: 10, max_percent: 20, confirm: Some(confirm), asked: 1 };
        let resource = ResourcePlan { snapshot: Some(Arc::new(plan)), ..sample::resource() };
        let told = |last: Option<&SweepOutcome>| condition(&resource, None, &unclear, last).map(|condition| condition.reason);
        assert_eq!(told(None), Some(Reason::DeletesUnclear));
        assert_eq!(told(Some(&SweepOutcome::Unproven(Unproven::Unidentified))), Some(Reason::MissingId));
    }

    #[test]
    fn what_waits_for_a_person_comes_first_and_nothing_is_said_without_need() {
        let moved = SweepOutcome::Unproven(Unproven::Moved);
        let empty = SweepState { held: 3, living: 3, none_listed: true, ..SweepState::default() };
        assert!(told(&empty, Some(&moved)).unwrap().1.contains("the whole list is empty"));
        assert_eq!(told(&SweepState { approved: true, ..empty }, None), None, "it was approved");
        assert_eq!(told(&SweepState::default(), Some(&moved)).unwrap().0, Reason::SweepUnsettled);
        let short = told(&SweepState::default(), Some(&SweepOutcome::Unproven(Unproven::Short))).unwrap();
        assert!(short.0 == Reason::SweepUnsettled && short.1.contains("more records than they list"), "{}", short.1);
        assert_eq!(told(&SweepState::default(), Some(&SweepOutcome::Ended)), None);
        let failed = SweepOutcome::Failed(Problem::transient(Reason::ProviderError, "baseUrl: it failed"));
        assert_eq!(told(&SweepState::default(), Some(&failed)).unwrap().0, Reason::ProviderError);
    }
}
