//! Fits stored state to a plan: a spec edit resets a cursor only when the cursor scope changed. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::wish::Restart;
use super::{FORMAT, InstanceState, ResourceState, lists, wish};
use crate::deliver::sink::CALLBACK;
use crate::detect::window;
use crate::plan::{ChangeBy, PollPlan, StartFrom, deleted_list, for_each};

/// Annotation: rebaselines the resource that it names; `*` names all.
pub const RESET: &str = "pollinator.dev/reset";
/// Annotation: tries the parked events again that it names (see [`wish::parked`]).
pub const REDELIVER: &str = "pollinator.dev/redeliver";
/// Annotation: drops the parked events that it names, in the same way.
pub const DISCARD: &str = "pollinator.dev/discard";
/// Annotation: lets the deletions of the resource that it names be sent that wait for a person.
pub const APPROVE_DELETES: &str = "pollinator.dev/approve-deletes";
/// Annotation: polls at once whenever its value changes.
pub const POLL_NOW: &str = "pollinator.dev/poll-now";
/// Annotation of Flux: the same.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The annotations that are acted on.
pub const ANNOTATIONS: [&str; 6] = [RESET, REDELIVER, DISCARD, APPROVE_DELETES, POLL_NOW, REQUESTED_AT];

/// What fitting the state found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The state changed and must be saved before it is used. A resource without a cursor needs no save: it is found new again.
    pub changed: bool,
    /// A user asked for a poll at once.
    pub poll_now: bool,
    /// Resources whose cursor was given up, with the reason.
    pub resets: Vec<(String, &'static str)>,
    /// What new annotations name that is no resource: a sentence each.
    pub unknown: Vec<String>,
    /// What new annotations name that is no parked event: a sentence each.
    pub not_parked: Vec<String>,
    /// Annotations that are most likely misspelt: a sentence each.
    pub misspelt: Vec<String>,
    /// Resources that are no longer declared, with the number of events that waited in their retry queue and go with them.
    pub dropped: BTreeMap<String, usize>,
}

/// Fits `state` to `plan` and acts on annotations that are new.
pub fn adopt(
    state: &mut InstanceState,
    plan: &PollPlan,
    annotations: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Adopted {
    let mut before = state.clone();
    let mut adopted = Adopted::default();
    let declared = |name: &str| plan.resources.iter().any(|resource| &*resource.name == name);
    // Where a resource has several lists, each of them has one of its own.
    let single = || plan.resources.iter().filter(|resource| resource.for_each.is_none());
    let lists = || single().filter_map(|resource| resource.deleted_list.as_deref());
    let is_list = |name: &str| for_each::list_of(name).is_some();
    let (delivered, last_change_time) = (state.delivered(), state.last_change_time());
    state.resources.retain(|name, _| declared(name) || is_list(name) || lists().any(|list| &*list.name == name));
    state.keep_totals(delivered, last_change_time);
    adopted.dropped = state.sinks.retain_resources(declared);
    if state.resources.len() < before.resources.len() && !has_failing(state) {
        // What failed went with its resource, and no delivery that is still to come would show that the callback works.
        state.sinks.forget_failure(&CALLBACK, plan.callback.fingerprint(), now);
    }
    if state.format < FORMAT {
        convert(state, plan);
    }
    for resource in plan.resources.iter().map(|resource| &**resource).chain(lists()) {
        let meaning = format!("{:016x}", resource.meaning);
        match state.resources.get_mut(&*resource.name) {
            None => {
                let fresh = ResourceState { meaning, ..ResourceState::default() };
                before.resources.insert(resource.name.to_string(), Box::new(fresh.clone()));
                state.resources.insert(resource.name.to_string(), Box::new(fresh));
            }
            Some(own) if own.meaning != meaning => {
                let reason = "connector, origin of baseUrl, idField, idFields or the use of forEach changed";
                reset(own, meaning, reason);
                adopted.resets.push((resource.name.to_string(), reason));
            }
            // By content every record counts that is not known, and by date most were forgotten.
            Some(own) if resource.change_by == ChangeBy::Content && own.cursor.is_some() => {
                let reason = "changes are found by content now: changeBy or datesConfiguration changed";
                reset(own, meaning, reason);
                adopted.resets.push((resource.name.to_string(), reason));
            }
            // A token that was put aside would be long out of date when it is wanted again.
            Some(own) if resource.delta.is_none() => own.token = None,
            Some(_) => {}
        }
    }
    adopted.misspelt.extend(annotations.keys().filter(|key| wish::is_misspelt(key)).map(|key| wish::misspelt(key)));
    for key in ANNOTATIONS {
        let Some(value) = annotations.get(key) else {
            state.handled.remove(key);
            continue;
        };
        if state.handled.get(key) == Some(value) {
            continue;
        }
        state.handled.insert(key.to_owned(), value.clone());
        let all: Vec<&str> = plan.resources.iter().map(|resource| &*resource.name).collect();
        adopted.unknown.extend(wish::unknown(key, value, &all));
        match key {
            RESET => {
                let restart = Restart::of(value);
                for resource in all.into_iter().filter(|resource| restart.names(resource)) {
                    forget_cursor(state, resource, "asked for by annotation", &mut adopted);
                }
            }
            REDELIVER => {
                for (resource, event) in wish::parked(value) {
                    let found = state.sinks.redeliver(resource, event, now);
                    let news = wish::not_parked(key, resource, event, found).filter(|_| all.contains(&resource));
                    adopted.not_parked.extend(news);
                }
                adopted.poll_now = true;
            }
            DISCARD => {
                for (resource, event) in wish::parked(value) {
                    let found = state.sinks.discard(resource, event);
                    let news = wish::not_parked(key, resource, event, found).filter(|_| all.contains(&resource));
                    adopted.not_parked.extend(news);
                }
            }
            APPROVE_DELETES => {
                for (resource, _) in wish::parked(value) {
                    adopted.poll_now |= state.approve_deletes(resource);
                }
            }
            _ => adopted.poll_now = true,
        }
    }
    lists::adopt(state, plan, &mut adopted);
    if adopted.poll_now {
        // A user who asks for a poll wants its events to be tried too, even where a sink had been given up.
        state.retry_deliveries(now);
    }
    adopted.changed = *state != before;
    adopted
}

/// Whether anything is still to be tried again at the callback.
fn has_failing(state: &InstanceState) -> bool {
    let mut failing = state.resources.values().flat_map(|own| &own.failing);
    state.sinks.queue(&CALLBACK).deferred() > 0 || failing.any(|failing| failing.sink == CALLBACK)
}

/// Forgets the cursor of a resource, if there is one of that name, and notes it.
pub fn forget_cursor(state: &mut InstanceState, resource: &str, reason: &'static str, adopted: &mut Adopted) {
    let Some(own) = state.resources.get_mut(resource) else { return };
    reset(own, own.meaning.clone(), reason);
    state.forget_lists(resource);
    if let Some(list) = state.resources.get_mut(&deleted_list::name_of(resource)) {
        reset(list, list.meaning.clone(), reason);
    }
    adopted.resets.push((resource.to_owned(), reason));
    (adopted.poll_now, adopted.changed) = (true, true);
}

/// Fits what 0.1.0 stored. It did not record where the known records of a list begin of which every record is remembered.
fn convert(state: &mut InstanceState, plan: &PollPlan) {
    for resource in plan.resources.iter().filter(|resource| window::needs_full_known_set(resource)) {
        if let Some(own) = state.resources.get_mut(&*resource.name) {
            own.reach = match (resource.start_from, own.cursor) {
                (StartFrom::Time(from), Some(cursor)) => u64::try_from((cursor - from).num_seconds()).unwrap_or_default(),
                _ => window::UNBOUNDED.as_secs(),
            };
        }
    }
    state.format = FORMAT;
}

fn reset(own: &mut ResourceState, meaning: String, reason: &str) {
    *own = ResourceState {
        meaning,
        delivered: own.delivered,
        last_change_time: own.last_change_time,
        reset_reason: Some(reason.to_owned()),
        ..ResourceState::default()
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::delivery_state::Failing;
    use crate::deliver::health::{Blame, Failure};
    use crate::deliver::retry_queue::{MAX_BYTES, QueuedEvent};
    use crate::deliver::sample::event;
    use crate::deliver::sink::Cause;
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::detect::event::Kind;
    use crate::plan::sample;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn started() -> (InstanceState, PollPlan) {
        let plan = sample::instance(sample::resource());
        let mut state = InstanceState::new("u".into());
        adopt(&mut state, &plan, &BTreeMap::new(), at(0));
        let own = state.resources.get_mut("contacts").unwrap();
        (own.started, own.cursor, own.delivered) = (true, Some(at(5)), 3);
        (state, plan)
    }

    #[test]
    fn an_edit_keeps_the_cursor_unless_its_meaning_changed() {
        let (mut state, mut plan) = started();
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
        let mut resource = sample::resource();
        resource.interval *= 2;
        plan.resources = vec![resource.clone().into()];
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
        resource.meaning += 1;
        plan.resources = vec![resource.into()];
        let adopted = adopt(&mut state, &plan, &BTreeMap::new(), at(0));
        assert_eq!(adopted.resets.len(), 1);
        let own = &state.resources["contacts"];
        assert_eq!((own.started, own.cursor, own.delivered), (false, None, 3));
        assert!(own.reset_reason.is_some());
    }

    #[test]
    fn the_state_of_the_first_release_is_converted() {
        let (mut state, mut plan) = started();
        state.format = 1;
        let mut resource = sample::resource();
        std::sync::Arc::make_mut(&mut resource.extract).created = None;
        plan.resources = vec![resource.clone().into()];
        assert!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)).changed);
        assert_eq!((state.format, state.resources["contacts"].reach), (FORMAT, window::UNBOUNDED.as_secs()));
        state.format = 1;
        resource.start_from = StartFrom::Time(at(-60));
        plan.resources = vec![resource.into()];
        adopt(&mut state, &plan, &BTreeMap::new(), at(0));
        assert_eq!(state.resources["contacts"].reach, 65, "only what came after that time is known");
    }

    #[test]
    fn without_dates_a_cursor_means_nothing() {
        let (mut state, mut plan) = started();
        let by_content = crate::plan::ResourcePlan { change_by: ChangeBy::Content, ..sample::resource() };
        plan.resources = vec![by_content.into()];
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)).resets.len(), 1);
        assert!(!state.resources["contacts"].started);
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
    }

    #[test]
    fn a_new_resource_is_no_reason_to_save() {
        let (mut state, mut plan) = started();
        let more = crate::plan::ResourcePlan { name: "orders".into(), ..sample::resource() };
        plan.resources.push(more.into());
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
        assert!(state.resources.contains_key("orders"));
        let now = BTreeMap::from([(POLL_NOW.to_owned(), "1".to_owned())]);
        assert!(adopt(&mut state, &plan, &now, at(0)).changed, "an annotation is acted on once");
    }

    #[test]
    fn a_removed_resource_starts_afresh_when_it_returns() {
        let (mut state, plan) = started();
        let empty = PollPlan { resources: Vec::new(), ..plan.clone() };
        assert!(adopt(&mut state, &empty, &BTreeMap::new(), at(0)).changed);
        assert!(state.resources.is_empty());
        adopt(&mut state, &plan, &BTreeMap::new(), at(0));
        assert_eq!(state.resources["contacts"].cursor, None);
    }

    /// One event waits and one is parked at a callback that accepted events before, and a third change failed once.
    fn failing() -> (InstanceState, PollPlan) {
        let (mut state, plan) = started();
        state.sinks.note_accepted(&CALLBACK, plan.callback.fingerprint());
        for (object, next_try) in [(1, Some(at(1_800))), (2, None)] {
            let failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(500)), blame: Blame::Sink };
            state.sinks.note_failed(&CALLBACK, object, failure, at(0), 0);
            let event = event(&object.to_string(), Kind::Updated, "{}");
            let queued = QueuedEvent { sink: CALLBACK.clone(), object, event, attempts: 3, refusals: 0, next_try };
            state.sinks.enqueue(queued, MAX_BYTES).unwrap();
        }
        let failing = Failing { sink: CALLBACK.clone(), object: 3, attempts: 1, refusals: 0, next_try: at(300) };
        state.resources.get_mut("contacts").unwrap().failing.push(failing);
        (state, plan)
    }

    #[test]
    fn asking_for_a_poll_sends_what_waits_at_once() {
        let asked = |key: &str, value: &str| {
            let (mut state, plan) = failing();
            let annotations = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert!(adopt(&mut state, &plan, &annotations, at(7)).changed);
            let due = (state.sinks.queue(&CALLBACK).next_due("contacts"), state.resources["contacts"].failing[0].next_try);
            assert_eq!(due, (Some(at(7)), at(7)), "{key}");
            assert!(state.sinks.health(&CALLBACK).is_fresh());
            assert!(!state.sinks.has_accepted(&CALLBACK, plan.callback.fingerprint()), "the next event shows it");
            state.sinks.parked()
        };
        assert_eq!(asked(POLL_NOW, "1"), 1);
        assert_eq!(asked(REQUESTED_AT, "1"), 1);
        assert_eq!(asked(REDELIVER, "contacts"), 0);
        let (mut state, _) = failing();
        crate::state::wish::Wish::PollNow.grant(&mut state, at(7));
        assert_eq!(state.sinks.queue(&CALLBACK).next_due("contacts"), Some(at(7)), "outside of a cluster, too");
        let (mut state, _) = failing();
        state.retry_deliveries_to(&CALLBACK, at(7));
        assert_eq!(state.sinks.queue(&CALLBACK).next_due("contacts"), Some(at(7)), "at another URL, too");
    }

    #[test]
    fn what_waits_goes_with_its_resource_and_is_counted() {
        let (mut state, mut plan) = failing();
        let renamed = crate::plan::ResourcePlan { name: "people".into(), ..sample::resource() };
        plan.resources = vec![renamed.into()];
        let adopted = adopt(&mut state, &plan, &BTreeMap::new(), at(7));
        assert_eq!(adopted.dropped, BTreeMap::from([("contacts".to_owned(), 2)]));
        assert!(state.sinks.health(&CALLBACK).is_fresh(), "nothing that failed is left");
        assert!(!state.sinks.has_accepted(&CALLBACK, plan.callback.fingerprint()));
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(7)), Adopted::default());
    }

    #[test]
    fn a_callback_goes_on_failing_while_another_resource_has_something_to_send() {
        let (mut state, mut plan) = failing();
        plan.resources.push(crate::plan::ResourcePlan { name: "orders".into(), ..sample::resource() }.into());
        adopt(&mut state, &plan, &BTreeMap::new(), at(7));
        plan.resources.pop();
        let adopted = adopt(&mut state, &plan, &BTreeMap::new(), at(7));
        assert!(adopted.dropped.is_empty() && adopted.changed);
        assert!(state.sinks.health(&CALLBACK).failing_since().is_some());
        assert_eq!(state.sinks.queue(&CALLBACK).next_due("contacts"), Some(at(1_800)));
        state.sinks.note_gone(&CALLBACK, plan.callback.fingerprint());
        plan.resources = Vec::new();
        adopt(&mut state, &plan, &BTreeMap::new(), at(7));
        assert!(state.sinks.health(&CALLBACK).is_gone(plan.callback.fingerprint()), "its URL is still the same");
    }

    #[test]
    fn totals_never_fall_whatever_is_renamed() {
        let (mut state, plan) = started();
        state.resources.get_mut("contacts").unwrap().last_change_time = Some(at(4));
        let other = crate::plan::ResourcePlan { name: "people".into(), ..sample::resource() };
        let renamed = PollPlan { resources: vec![other.into()], ..plan.clone() };
        let mut expected = 3;
        for plan in [&renamed, &plan, &renamed] {
            assert!(adopt(&mut state, plan, &BTreeMap::new(), at(0)).changed);
            assert_eq!((state.delivered(), state.last_change_time()), (expected, Some(at(4))));
            assert_eq!(adopt(&mut state, plan, &BTreeMap::new(), at(0)), Adopted::default());
            *state.delivery(&plan.resources[0].name).delivered += 2;
            expected += 2;
            let stored: InstanceState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            assert_eq!((stored.delivered(), stored.last_change_time()), (expected, Some(at(4))));
        }
    }

    #[test]
    fn a_list_of_deleted_ids_comes_and_goes_with_its_resource() {
        let (mut state, mut plan) = started();
        let list = crate::plan::ResourcePlan { name: "contacts/deleted".into(), ..sample::resource() };
        let with = crate::plan::ResourcePlan { deleted_list: Some(list.into()), ..sample::resource() };
        plan.resources = vec![with.into()];
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
        let cursor = |state: &InstanceState| state.resources.get("contacts/deleted").map(|own| own.cursor);
        state.resources.get_mut("contacts/deleted").unwrap().cursor = Some(at(7));
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new(), at(0)), Adopted::default());
        let reset = BTreeMap::from([(RESET.to_owned(), "contacts".to_owned())]);
        assert_eq!(adopt(&mut state, &plan, &reset, at(0)).resets.len(), 1);
        assert_eq!(cursor(&state), Some(None), "both begin again");
        plan.resources = vec![sample::resource().into()];
        assert!(adopt(&mut state, &plan, &reset, at(0)).changed);
        assert_eq!(cursor(&state), None);
    }

    #[test]
    fn each_annotation_value_is_acted_on_once() {
        let (mut state, plan) = started();
        let reset = BTreeMap::from([(RESET.to_owned(), "contacts".to_owned())]);
        assert_eq!(adopt(&mut state, &plan, &reset, at(0)).resets.len(), 1);
        assert_eq!(adopt(&mut state, &plan, &reset, at(0)), Adopted::default());
        let now = |value: &str| BTreeMap::from([(REQUESTED_AT.to_owned(), value.to_owned())]);
        assert!(adopt(&mut state, &plan, &now("1"), at(0)).poll_now);
        assert!(!adopt(&mut state, &plan, &now("1"), at(0)).poll_now);
        assert!(adopt(&mut state, &plan, &now("2"), at(0)).poll_now);
    }

    #[test]
    fn what_waits_is_approved_and_nothing_in_advance() {
        let (mut state, plan) = started();
        let approve = |value: &str| BTreeMap::from([(APPROVE_DELETES.to_owned(), value.to_owned())]);
        let sweep = |state: &InstanceState| state.resources["contacts"].sweep;
        assert!(!adopt(&mut state, &plan, &approve("contacts"), at(0)).poll_now);
        assert!(!sweep(&state).approved, "nothing waits");
        adopt(&mut state, &plan, &BTreeMap::new(), at(0));
        state.resources.get_mut("contacts").unwrap().sweep.held = 30;
        assert!(!adopt(&mut state, &plan, &approve("orders"), at(0)).poll_now, "another resource");
        let adopted = adopt(&mut state, &plan, &approve("contacts"), at(0));
        assert!(adopted.poll_now && adopted.changed && sweep(&state).approved);
        state.resources.get_mut("contacts").unwrap().sweep.approved = false;
        assert_eq!(adopt(&mut state, &plan, &approve("contacts"), at(0)), Adopted::default(), "each value once");
    }

    #[test]
    fn the_same_value_with_another_mark_is_another_request() {
        let (mut state, plan) = started();
        let reset = |value: &str| BTreeMap::from([(RESET.to_owned(), value.to_owned())]);
        assert_eq!(adopt(&mut state, &plan, &reset("contacts 17"), at(0)).resets.len(), 1);
        assert_eq!(adopt(&mut state, &plan, &reset("contacts 17"), at(0)), Adopted::default());
        assert_eq!(adopt(&mut state, &plan, &reset("contacts,no-such 18"), at(0)).resets.len(), 1);
    }

    #[test]
    fn what_names_no_resource_is_reported_once() {
        let (mut state, plan) = started();
        for key in [RESET, REDELIVER, DISCARD, APPROVE_DELETES] {
            let typo = BTreeMap::from([(key.to_owned(), "contact,contacts".to_owned())]);
            let adopted = adopt(&mut state, &plan, &typo, at(0));
            let [text] = &*adopted.unknown else { panic!("{key}: {:?}", adopted.unknown) };
            assert!(text.contains(key) && text.contains("resource contact,") && text.ends_with("are contacts"), "{text}");
            assert_eq!(adopt(&mut state, &plan, &typo, at(0)).unknown, [""; 0]);
        }
    }

    #[test]
    fn an_event_that_is_not_parked_is_reported_once_and_a_resource_without_one_is_not() {
        let (mut state, plan) = started();
        for key in [REDELIVER, DISCARD] {
            let other = BTreeMap::from([(key.to_owned(), "contacts/no-such".to_owned())]);
            let adopted = adopt(&mut state, &plan, &other, at(0));
            let [text] = &*adopted.not_parked else { panic!("{key}: {:?}", adopted.not_parked) };
            assert!(
                text.starts_with(&format!("annotation {key} names an event of resource contacts that is not parked")),
                "{text}"
            );
            assert_eq!(adopt(&mut state, &plan, &other, at(0)).not_parked, [""; 0]);
            let all = BTreeMap::from([(key.to_owned(), "contacts 2".to_owned())]);
            assert_eq!(adopt(&mut state, &plan, &all, at(0)).not_parked, [""; 0], "there are none, as is wanted");
        }
    }

    #[test]
    fn an_annotation_that_nothing_follows_from_is_named_with_the_one_that_is_meant() {
        let (mut state, plan) = started();
        let mut told = |key: &str| {
            let adopted = adopt(&mut state, &plan, &BTreeMap::from([(key.to_owned(), "contacts".to_owned())]), at(0));
            assert!(adopted.resets.is_empty() && !adopted.poll_now && state.handled.is_empty(), "{key}");
            adopted.misspelt.join("; ")
        };
        for (key, end) in [
            ("pollinator.dev/poll_now", "did you mean pollinator.dev/poll-now?"),
            ("pollinator.dev/approve-delete", "did you mean pollinator.dev/approve-deletes?"),
            ("pollinator.dev/Reset", "did you mean pollinator.dev/reset?"),
            ("pollinator.dev/pause", "pollinator.dev/approve-deletes, pollinator.dev/poll-now"),
        ] {
            let text = told(key);
            assert!(text.starts_with(&format!("annotation {key} is not known")) && text.ends_with(end), "{text}");
        }
        for key in ["pollinator.dev/imported-name", "pollinator.dev/imported-id", "example.com/poll_now"] {
            assert_eq!(told(key), "", "{key}");
        }
    }

    #[test]
    fn a_star_resets_all() {
        let (mut state, mut plan) = started();
        let more = crate::plan::ResourcePlan { name: "orders".into(), ..sample::resource() };
        plan.resources.push(more.into());
        let all = BTreeMap::from([(RESET.to_owned(), "* 1".to_owned())]);
        let adopted = adopt(&mut state, &plan, &all, at(0));
        assert_eq!((adopted.resets.len(), adopted.unknown.len()), (2, 0));
    }
}
