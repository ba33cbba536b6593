//! Reads and writes the states of lists next to the status.

use std::collections::BTreeMap;

use super::{Overflow, is_reset};
use crate::api::identity::InstanceId;
use crate::operator::cluster::{Cluster, Kind};
use crate::operator::known_place::KnownPlace;
use crate::operator::list_states::{self, ListStates};
use crate::operator::objects::Objects;
use crate::operator::state_error::StateError;
use crate::operator::stored::Places;
use crate::plan::for_each::list_of;
use crate::state::InstanceState;

impl Overflow {
    /// Reads the lists that `places` names into a state, and where their known sets are that are elsewhere. Answers whether they are newer
    /// than the status.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub(super) async fn load_lists(
        &mut self,
        cluster: &Cluster,
        owner: &InstanceId,
        places: &Places,
        reset: Option<&str>,
        (state, blobs): (&mut InstanceState, &mut BTreeMap<String, KnownPlace>),
    ) -> Result<bool, StateError> {
        let objects = Objects::config_maps(cluster, owner, list_states::KEY, &|| true);
        let mut is_ahead = false;
        for (resource, generations) in &places.lists {
            self.generation = generations.iter().copied().fold(self.generation, u64::max);
            match ListStates::load(&objects, owner, resource, generations, state).await {
                Ok((lists, known)) => {
                    is_ahead |= lists.is_ahead_of(generations);
                    self.lists.insert(resource.clone(), lists);
                    blobs.extend(known);
                }
                Err(StateError::Unusable(_)) if is_reset(reset, resource) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_ahead)
    }

    /// Writes the states of lists, which name the known sets that were written before. Answers how many bytes were written.
    ///
    /// # Errors
    /// Nothing that the old status names is harmed.
    pub(super) async fn save_lists(
        &mut self,
        cluster: &Cluster,
        (owner, is_ours): (&InstanceId, &(dyn Fn() -> bool + Sync)),
        state: &InstanceState,
        places: &mut Places,
        generation: u64,
    ) -> Result<usize, StateError> {
        let of_lists: BTreeMap<_, _> = places.blobs.extract_if(.., |name, _| list_of(name).is_some()).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (resource, _) in state.resources.keys().filter_map(|name| list_of(name)) {
            *counts.entry(resource).or_default() += 1;
        }
        let is_gone =
            |resource: &String, lists: &mut ListStates| counts.get(resource.as_str()).is_none_or(|count| !lists.suits(*count));
        for (resource, lists) in self.lists.extract_if(.., is_gone) {
            self.stale.extend(lists.names(owner, &resource).into_iter().map(|name| (Kind::ConfigMap, name)));
        }
        let objects = Objects::config_maps(cluster, owner, list_states::KEY, is_ours);
        let mut bytes = 0;
        for (resource, count) in counts {
            self.generation = generation;
            // What is noted of it stays, whatever fails.
            let lists = self.lists.entry(resource.to_owned()).or_insert_with(|| ListStates::new(count));
            let names = lists.names(owner, resource);
            self.stale.retain(|(_, stale)| !names.contains(stale));
            bytes += lists.save(&objects, (owner, resource), state, &of_lists, generation).await?;
            places.lists.insert(resource.to_owned(), lists.generations());
        }
        Ok(bytes)
    }
}
