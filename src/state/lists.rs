//! The lists of a resource that is polled once for each of several values: each has a state of its own under the name of its list. Pure.

use std::collections::HashSet;
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use super::adopt::Adopted;
use super::{InstanceState, ResourceState};
use crate::deliver::delivery_state::DeliveryState;
use crate::deliver::retry_queue::MAX_BYTES;
use crate::plan::for_each::{ForEachPlan, list_of, name_of, resource_of};
use crate::plan::{ChangeBy, PollPlan, ResourcePlan, deleted_list};

/// Lists of a resource whose states are kept, those of parents that are gone included: one that comes back goes on where it ended.
const MAX_LISTS: usize = 10_000;

impl InstanceState {
    /// The lists of a resource, by name.
    pub fn lists_of<'s>(&'s self, resource: &str) -> impl Iterator<Item = (&'s String, &'s ResourceState)> + use<'s> {
        self.list_states_of(resource).filter(|(name, _)| deleted_list::resource_of(name).is_none())
    }

    /// The same with their lists of deleted ids.
    pub fn list_states_of<'s>(&'s self, resource: &str) -> impl Iterator<Item = (&'s String, &'s ResourceState)> + use<'s> {
        let prefix = format!("{resource}[");
        let behind = self.resources.range::<str, _>((Included(prefix.as_str()), Unbounded));
        behind.take_while(move |(name, _)| name.starts_with(&prefix)).map(|(name, own)| (name, &**own))
    }

    /// What the delivery of the changes of a resource or of one of its lists reads and changes. What was delivered is counted with the
    /// resource.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "an entry that was just inserted is there")]
    pub fn delivery(&mut self, list: &str) -> DeliveryState<'_> {
        let resource = list_of(list).map_or(list, |(resource, _)| resource);
        for name in [resource, list] {
            if !self.resources.contains_key(name) {
                self.resources.insert(name.to_owned(), Box::default());
            }
        }
        // The name of a list begins with that of its resource.
        let mut both = self.resources.range_mut::<str, _>((Included(resource), Included(list)));
        let first = both.next().map(|(_, own)| &mut **own);
        let of_list = both.next_back().map(|(_, own)| &mut **own);
        let (own, counters) = match of_list {
            Some(own) => (own, first),
            None => (first.expect("a state that was just inserted"), None),
        };
        let ResourceState { known, failing, taken, delivered, last_change_time, .. } = own;
        let (delivered, last_change_time) = match counters {
            Some(counters) => (&mut counters.delivered, &mut counters.last_change_time),
            None => (delivered, last_change_time),
        };
        DeliveryState { sinks: &mut self.sinks, room: MAX_BYTES, known, failing, taken, delivered, last_change_time }
    }

    /// Begins the lists of these values that have no state yet, and forgets the tries of the other lists, whose changes do not turn up any
    /// more. `all_new`: everything in a list that begins is new. Answers whether one began.
    pub fn begin_lists(&mut self, plan: &ResourcePlan, values: &[Arc<str>], all_new: bool) -> bool {
        let resource = &*plan.name;
        let names: HashSet<String> = values.iter().map(|value| name_of(resource, value)).collect();
        let own = |name: &str| deleted_list::resource_of(name).unwrap_or(name).to_owned();
        let gone = |name: &str| list_of(name).is_some_and(|(of, _)| of == resource) && !names.contains(&own(name));
        if self.lists_of(resource).count() > MAX_LISTS {
            self.resources.retain(|name, _| !gone(name));
        }
        for (name, own) in self.resources.iter_mut().filter(|(_, own)| !own.failing.is_empty() || !own.taken.is_empty()) {
            if gone(name) {
                (own.failing, own.taken) = (Vec::new(), Vec::new());
            }
        }
        let before = self.resources.len();
        for name in names {
            if let Some(list) = plan.deleted_list.as_deref() {
                let fresh = || ResourceState { meaning: format!("{:016x}", list.meaning), ..ResourceState::default() };
                self.resources.entry(deleted_list::name_of(&name)).or_insert_with(|| Box::new(fresh()));
            }
            let fresh = || ResourceState { meaning: format!("{:016x}", plan.meaning), all_new, ..ResourceState::default() };
            self.resources.entry(name).or_insert_with(|| Box::new(fresh()));
        }
        self.resources.len() > before
    }

    /// The value of the list with which the next round begins, if the last one ended early.
    pub fn next_list(&self, resource: &str) -> Option<&str> {
        let begins = self.lists_of(resource).find(|(_, own)| own.begins_round);
        begins.and_then(|(name, _)| list_of(name)).map(|(_, value)| value)
    }

    /// The next round begins with the list of this value, or with any. Answers whether that is news.
    pub fn keep_next_list(&mut self, resource: &str, value: Option<&str>) -> bool {
        if self.next_list(resource) == value {
            return false;
        }
        let next = value.map(|value| name_of(resource, value));
        for (name, own) in &mut self.resources {
            if resource_of(name) == resource {
                own.begins_round = next.as_ref() == Some(name);
            }
        }
        true
    }

    /// A person approved the deletions of a resource, in all of its lists, that wait. What does not wait yet is not approved in advance.
    /// Answers whether some wait.
    pub fn approve_deletes(&mut self, resource: &str) -> bool {
        let mut some_wait = false;
        for (name, own) in &mut self.resources {
            if resource_of(name) == resource && own.sweep.held > 0 {
                (own.sweep.approved, some_wait) = (true, true);
            }
        }
        some_wait
    }

    /// Forgets all lists of a resource. Answers whether there were any.
    pub fn forget_lists(&mut self, resource: &str) -> bool {
        let before = self.resources.len();
        self.resources.retain(|name, _| list_of(name).is_none_or(|(of, _)| of != resource));
        self.resources.len() < before
    }
}

/// Fits the lists to a plan: those of values that are no longer declared go, and those whose cursor means nothing any more begin again.
pub(super) fn adopt(state: &mut InstanceState, plan: &PollPlan, adopted: &mut Adopted) {
    state.resources.retain(|name, own| {
        let Some((resource, value)) = list_of(name) else { return true };
        let declared = plan.resources.iter().find(|declared| *declared.name == *resource);
        declared.is_some_and(|declared| {
            let has_value = |plan: &ForEachPlan| match plan {
                ForEachPlan::Values(values) => values.iter().any(|other| **other == *value),
                // A parent that is not listed now may be listed again.
                ForEachPlan::Records(_) => true,
            };
            // A list of deleted ids has a meaning of its own.
            let list = match deleted_list::resource_of(name) {
                Some(_) => declared.deleted_list.as_deref(),
                None => Some(&**declared),
            };
            let goes_on = |list: &ResourcePlan| {
                let by_content = list.change_by == ChangeBy::Content;
                own.meaning == format!("{:016x}", list.meaning) && !(by_content && own.cursor.is_some())
            };
            declared.for_each.as_deref().is_some_and(has_value) && list.is_some_and(goes_on)
        })
    });
    for (resource, _) in &adopted.resets {
        state.forget_lists(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{ResourcePlan, sample};
    use crate::state::adopt;

    fn plan(values: &[&str]) -> PollPlan {
        let values = values.iter().map(|value| Arc::from(*value)).collect();
        sample::instance(ResourcePlan { for_each: Some(Arc::new(ForEachPlan::Values(values))), ..sample::resource() })
    }

    fn polled(plan: &PollPlan, lists: &[&str]) -> InstanceState {
        let mut state = InstanceState::new("u".into());
        adopt::adopt(&mut state, plan, &BTreeMap::new(), chrono::DateTime::UNIX_EPOCH);
        for list in lists {
            let meaning = format!("{:016x}", plan.resources[0].meaning);
            let own = ResourceState { meaning, started: true, ..ResourceState::default() };
            state.resources.insert((*list).to_owned(), Box::new(own));
        }
        state
    }

    fn names(state: &InstanceState) -> Vec<&str> {
        state.resources.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_lists_of_a_resource_are_its_own() {
        let state = polled(&plan(&["a"]), &["contacts[a]", "contacts[z]", "contacts-2[a]", "contact[b]"]);
        let lists: Vec<_> = state.lists_of("contacts").map(|(name, _)| name.as_str()).collect();
        assert_eq!(lists, ["contacts[a]", "contacts[z]"]);
    }

    #[test]
    fn what_is_delivered_is_known_in_its_list_and_counted_with_the_resource() {
        let mut state = InstanceState::new("u".into());
        for (list, record) in [("contacts[b]", 7), ("contacts", 8)] {
            let delivery = state.delivery(list);
            *delivery.delivered += 1;
            let known =
                crate::detect::known::Known { version: 1, date: None, age: crate::detect::known::Age::Open, deleted: false };
            delivery.known.remember(record, known);
        }
        let own = |name: &str| (state.resources[name].delivered, state.resources[name].known.get(7).is_some());
        assert_eq!((own("contacts"), own("contacts[b]")), ((2, false), (0, true)));
        assert!(state.resources["contacts"].known.get(8).is_some());
    }

    #[test]
    fn a_value_that_is_no_longer_declared_is_forgotten_and_no_other_one() {
        let mut plan = plan(&["a", "b"]);
        let adopt = |state: &mut InstanceState, plan: &PollPlan, annotations: &BTreeMap<String, String>| {
            adopt::adopt(state, plan, annotations, chrono::DateTime::UNIX_EPOCH)
        };
        let mut state = polled(&plan, &["contacts[a]", "contacts[b]"]);
        assert_eq!(adopt(&mut state, &plan, &BTreeMap::new()), Adopted::default());
        let fewer = super::tests::plan(&["b"]);
        assert!(adopt(&mut state, &fewer, &BTreeMap::new()).changed);
        assert_eq!(names(&state), ["contacts", "contacts[b]"]);
        let reset = BTreeMap::from([(adopt::RESET.to_owned(), "contacts".to_owned())]);
        assert_eq!(adopt(&mut state, &fewer, &reset).resets.len(), 1);
        assert_eq!(names(&state), ["contacts"], "all lists begin again");
        let mut state = polled(&plan, &["contacts[a]"]);
        let mut resource = (*plan.resources[0]).clone();
        resource.meaning += 1;
        plan.resources = vec![resource.into()];
        adopt(&mut state, &plan, &BTreeMap::new());
        assert_eq!(names(&state), ["contacts"]);
        let mut state = polled(&plan, &["contacts[a]"]);
        plan.resources = vec![sample::resource().into()];
        adopt(&mut state, &plan, &BTreeMap::new());
        assert_eq!(names(&state), ["contacts"], "it has one list again");
    }

    #[test]
    fn a_parent_that_is_gone_is_remembered_and_a_new_one_is_new() {
        let plan = plan(&["a"]);
        let contacts = &plan.resources[0];
        let mut state = polled(&plan, &["contacts[a]", "contacts[b]"]);
        let waits = crate::deliver::delivery_state::Failing {
            sink: crate::deliver::sink::CALLBACK.clone(),
            object: 1,
            attempts: 1,
            refusals: 0,
            next_try: chrono::DateTime::UNIX_EPOCH,
        };
        state.resources.values_mut().for_each(|own| own.failing.push(waits.clone()));
        assert!(state.begin_lists(contacts, &["a".into(), "c".into()], true));
        let own = |name: &str| (state.resources[name].all_new, state.resources[name].failing.len());
        assert_eq!((own("contacts[a]"), own("contacts[b]"), own("contacts[c]")), ((false, 1), (false, 0), (true, 0)));
        assert_eq!(state.resources["contacts"].failing.len(), 1, "it is no list");
        assert!(!state.begin_lists(contacts, &["a".into()], true));
    }

    #[test]
    fn a_list_of_deleted_ids_comes_and_goes_with_the_list_of_its_value() {
        let with = |values: &[&str], meaning: Option<u64>| {
            let mut plan = plan(values);
            let list = meaning.map(|meaning| Arc::new(ResourcePlan { meaning, ..sample::resource() }));
            plan.resources = vec![Arc::new(ResourcePlan { deleted_list: list, ..(*plan.resources[0]).clone() })];
            plan
        };
        let plan = with(&["a", "b"], Some(5));
        let mut state = polled(&plan, &[]);
        assert_eq!(names(&state), ["contacts"]);
        assert!(state.begin_lists(&plan.resources[0], &["a".into(), "b".into()], true));
        let of_a = ["contacts", "contacts[a]", "contacts[a]/deleted"];
        assert_eq!(names(&state), [&of_a[..], &["contacts[b]", "contacts[b]/deleted"]].concat());
        assert!(!state.resources["contacts[a]/deleted"].all_new, "what was deleted before the first reading is not sent");
        adopt::adopt(&mut state, &plan, &BTreeMap::new(), chrono::DateTime::UNIX_EPOCH);
        assert_eq!(names(&state).len(), 5, "it goes on");
        for (plan, left) in
            [(with(&["a"], Some(5)), &of_a[..]), (with(&["a"], Some(6)), &of_a[..2]), (with(&["a"], None), &of_a[..2])]
        {
            let mut state = state.clone();
            adopt::adopt(&mut state, &plan, &BTreeMap::new(), chrono::DateTime::UNIX_EPOCH);
            assert_eq!(names(&state), left);
        }
        assert!(state.forget_lists("contacts"));
        assert_eq!(names(&state), ["contacts"]);
    }
}
