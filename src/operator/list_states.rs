//! The states of the lists of a resource that is polled once for each of several values, in `ConfigMaps`: a status has no room for
//! hundreds of cursors. Each `ConfigMap` has those of some lists, so that a change rewrites one of them. The status names the generation of
//! each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::known_place::KnownPlace;
use super::objects::Objects;
use super::state_error::StateError;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::detect::known::KnownSet;
use crate::state::blob::{Blob, BlobStore as _, Tag};
use crate::state::{InstanceState, ResourceState};

/// Key of the one value of each object.
pub(super) const KEY: &str = "lists.json";
/// Version of the form of the value.
const FORM: u32 = 1;
/// Lists of an object, on average, when the objects are laid out again.
const LISTS: usize = 64;
/// Most records, as far as they have no details, of a known set that is in the object of its list.
pub(super) const MAX_INLINE: usize = 64;
/// Most failing changes, and most records that could not be read, whose tries are stored of one list; those that are left out begin again
/// after a restart.
const MAX_FAILING: usize = 8;

/// The objects of one resource as they were last read or written.
#[derive(Clone, Debug)]
pub(super) struct ListStates {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    generation: u64,
    tag: Option<Tag>,
    digest: u64,
}

/// The value of an object.
#[derive(Serialize, Deserialize)]
struct Value {
    form: u32,
    generation: u64,
    lists: BTreeMap<String, List>,
}

/// The state of a list.
#[derive(Clone, Serialize, Deserialize)]
struct List {
    /// Without the known set, if that is elsewhere.
    state: ResourceState,
    /// Where the known set is, if not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blobs: Option<String>,
}

impl ListStates {
    /// Reads the lists of a resource into `state`, of which these generations must be there at least. Answers, too, where known sets are
    /// that are elsewhere, by list.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub(super) async fn load(
        objects: &Objects<'_>,
        owner: &InstanceId,
        resource: &str,
        generations: &[u64],
        state: &mut InstanceState,
    ) -> Result<(Self, BTreeMap<String, KnownPlace>), StateError> {
        let (mut parts, mut places) = (Vec::with_capacity(generations.len()), BTreeMap::new());
        for (index, least) in generations.iter().enumerate() {
            let name = name(owner.name(), resource, generations.len(), index);
            let read = objects.get(&name).await?.and_then(|Blob { bytes, tag }| Some((decode(&bytes)?, tag)));
            let read = read.filter(|(value, _)| value.generation >= *least);
            let (value, tag) = read.ok_or_else(|| StateError::Unusable(missing(&name, resource)))?;
            if value.form > FORM {
                return Err(StateError::Newer);
            }
            // What is read is written again with the next change.
            parts.push(Part { generation: value.generation, tag: Some(tag), digest: 0 });
            for (list, List { state: own, blobs }) in value.lists {
                let place =
                    blobs.map(|text| KnownPlace::parse(&text).ok_or_else(|| StateError::Unusable(missing(&name, resource))));
                places.extend(place.transpose()?.map(|place| (list.clone(), place)));
                state.resources.insert(list, Box::new(own));
            }
        }
        Ok((Self { parts }, places))
    }

    /// Objects for that number of lists, of which none is written.
    pub(super) fn new(lists: usize) -> Self {
        Self { parts: vec![Part::default(); count_for(lists)] }
    }

    /// Whether the number of objects suits this number of lists: a layout stays until it is far too small or far too large.
    pub(super) fn suits(&self, lists: usize) -> bool {
        let (own, fresh) = (self.parts.len(), count_for(lists));
        fresh <= own * 2 && own <= fresh * 2
    }

    /// What the status must name.
    pub(super) fn generations(&self) -> Vec<u64> {
        self.parts.iter().map(|part| part.generation).collect()
    }

    /// Whether it is newer than what a status names.
    pub(super) fn is_ahead_of(&self, named: &[u64]) -> bool {
        self.parts.iter().zip(named).any(|(part, least)| part.generation > *least)
    }

    /// Names of its objects.
    pub(super) fn names(&self, owner: &InstanceId, resource: &str) -> Vec<String> {
        (0..self.parts.len()).map(|index| name(owner.name(), resource, self.parts.len(), index)).collect()
    }

    /// Writes what changed of the lists of a resource. `places` says where known sets are that are elsewhere. Answers how many bytes.
    ///
    /// # Errors
    /// What was written before it stays noted.
    pub(super) async fn save(
        &mut self,
        objects: &Objects<'_>,
        (owner, resource): (&InstanceId, &str),
        state: &InstanceState,
        places: &BTreeMap<String, KnownPlace>,
        generation: u64,
    ) -> Result<usize, StateError> {
        let mut bytes = 0;
        let names = self.names(owner, resource);
        for ((part, lists), name) in self.parts.iter_mut().zip(parted(state, resource, places, names.len())).zip(names) {
            let digest = xxh3_64(&serde_json::to_vec(&lists).unwrap_or_default());
            if part.tag.is_some() && part.digest == digest {
                continue;
            }
            let value = serde_json::to_vec(&Value { form: FORM, generation, lists }).unwrap_or_default();
            bytes += value.len().div_ceil(3) * 4;
            let tag = objects.overwrite(&name, &value, part.tag.take()).await?;
            *part = Part { generation, tag: Some(tag), digest };
        }
        Ok(bytes)
    }
}

fn count_for(lists: usize) -> usize {
    lists.div_ceil(LISTS).max(1).next_power_of_two()
}

/// The lists of each object.
fn parted(
    state: &InstanceState,
    resource: &str,
    places: &BTreeMap<String, KnownPlace>,
    count: usize,
) -> Vec<BTreeMap<String, List>> {
    let mut parts: Vec<BTreeMap<String, List>> = vec![BTreeMap::new(); count];
    for (name, own) in state.list_states_of(resource) {
        let place = places.get(name).map(KnownPlace::text);
        let mut stored = own.clone();
        if place.is_some() {
            stored.known = KnownSet::default();
        }
        stored.failing.truncate(MAX_FAILING);
        stored.unread.truncate(MAX_FAILING);
        let hash = usize::try_from(xxh3_64(name.as_bytes()) % (count as u64)).unwrap_or_default();
        if let Some(part) = parts.get_mut(hash) {
            part.insert(name.clone(), List { state: stored, blobs: place });
        }
    }
    parts
}

fn decode(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn name(instance: &str, resource: &str, count: usize, index: usize) -> String {
    format!("{instance}-lists-{:016x}-{count}-{index}", xxh3_64(resource.as_bytes()))
}

fn missing(name: &str, resource: &str) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "ConfigMap {name} with the cursors of the lists of resource {resource} is missing, damaged or older than the status; put it back, or start the resource again with the annotation pollinator.dev/reset: {resource}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::known::{Age, Known};

    fn state(lists: usize) -> InstanceState {
        let mut state = InstanceState::new("u".into());
        for index in 0..lists {
            let mut own = ResourceState { meaning: "07".into(), started: true, ..ResourceState::default() };
            own.known.remember(index as u64, Known { version: 1, date: None, age: Age::Open, deleted: false });
            state.resources.insert(format!("contacts[tenant-{index}]"), Box::new(own));
        }
        state.resources.insert("contacts".into(), Box::default());
        state
    }

    #[test]
    fn every_list_is_in_one_object_and_read_back_as_it_was() {
        let mut state = state(1_000);
        let deleted = ResourceState { meaning: "08".into(), started: true, ..ResourceState::default() };
        state.resources.insert("contacts[tenant-7]/deleted".into(), Box::new(deleted));
        let elsewhere = BTreeMap::from([("contacts[tenant-7]".to_owned(), KnownPlace::ConfigMaps(vec![3]))]);
        let parts = parted(&state, "contacts", &elsewhere, count_for(1_000));
        assert_eq!((parts.len(), parts.iter().map(BTreeMap::len).sum::<usize>()), (16, 1_001));
        for lists in parts {
            let bytes = serde_json::to_vec(&Value { form: FORM, generation: 5, lists: lists.clone() }).unwrap();
            assert!(bytes.len() < 64 * 1024, "{}", bytes.len());
            let read = decode(&bytes).unwrap();
            for (name, list) in read.lists {
                let own = &state.resources[&name];
                let is_elsewhere = name == "contacts[tenant-7]";
                assert_eq!(list.blobs.as_deref(), is_elsewhere.then_some("3"));
                let known = if is_elsewhere { KnownSet::default() } else { own.known.clone() };
                assert_eq!(list.state, ResourceState { known, ..(**own).clone() });
            }
        }
        assert!(decode(b"{").is_none());
    }

    #[test]
    fn a_layout_stays_while_it_is_not_far_off() {
        let states = ListStates::new(100);
        assert_eq!(states.parts.len(), 2);
        assert!([1, 65, 256].into_iter().all(|lists| states.suits(lists)) && !states.suits(257));
        assert!(ListStates::new(1_000).suits(512) && !ListStates::new(1_000).suits(256));
    }
}
