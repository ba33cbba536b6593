//! State that does not fit into the status: `ConfigMaps` with known sets, a Secret with the events of the retry queue. Owned by the
//! instance, so that they go with it. With `--state-store` known sets are in that store instead, where [`super::collect`] finds those of
//! instances that are gone.

mod kept;
mod lists;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use self::kept::{Kept, in_store};
use super::blobs::{self, Medium, Place};
use super::cluster::{CallError, Cluster, Kind};
use super::config_map_set::ConfigMapSet;
use super::known_place::KnownPlace;
use super::list_states::{self, ListStates};
use super::objects::Objects;
use super::state_error::StateError;
use super::stored::{Places, max_inline};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::deliver::retry_queue::QueuedEvent;
use crate::deliver::sinks::StoredEvents;
use crate::plan::for_each::{list_of, resource_of};
use crate::state::InstanceState;
use crate::state::blob::{Blob, BlobStore as _, Tag};
use crate::state::external_set::ExternalSet;
use crate::state::external_store::ExternalStore;
use crate::state::wish::Restart;

/// Key of the one value of each object.
const KNOWN: &str = "known";
const EVENTS: &str = "events.json";
/// How the name of the Secret with the events ends.
const LEDGER: &str = "-set-aside-events";

/// What is known of the objects next to the status.
#[derive(Clone, Debug, Default)]
pub struct Overflow {
    /// Greatest generation seen or given.
    generation: u64,
    known: BTreeMap<String, Kept>,
    /// The states of lists, by resource.
    lists: BTreeMap<String, ListStates>,
    ledger: Option<Written>,
    /// Objects that the next status no longer names: to be deleted after it is written.
    stale: Vec<(Kind, String)>,
    /// The same in external stores.
    stale_blobs: Vec<(ExternalStore, String)>,
}

/// The Secret with the events, as it was last read or written.
#[derive(Clone, Debug)]
struct Written {
    generation: u64,
    /// Its `resourceVersion`.
    tag: Tag,
    digest: u64,
}

impl Overflow {
    /// Reads what `places` names into `state`. A resource that the annotation `reset` names may lack its blobs.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub async fn load(
        cluster: &Cluster,
        store: Option<&ExternalStore>,
        owner: &InstanceId,
        places: &Places,
        reset: Option<&str>,
        state: &mut InstanceState,
    ) -> Result<Self, StateError> {
        let mut overflow = Self::default();
        let mut blobs = places.blobs.clone();
        let mut is_ahead = overflow.load_lists(cluster, owner, places, reset, (&mut *state, &mut blobs)).await?;
        for (resource, place) in &blobs {
            let Some(own) = state.resources.get_mut(resource) else { continue };
            let least = match place {
                KnownPlace::ConfigMaps(generations) => generations.iter().copied().max().unwrap_or_default(),
                KnownPlace::Store(name) => name.generation,
            };
            overflow.generation = overflow.generation.max(least);
            let loaded = match place {
                KnownPlace::ConfigMaps(generations) => {
                    let config_maps = Objects::config_maps(cluster, owner, KNOWN, &|| true);
                    let loaded = ConfigMapSet::load(&config_maps, owner, resource, generations).await;
                    loaded.map(|(set, known)| (set.is_ahead_of(generations), Kept::ConfigMaps(set), known))
                }
                KnownPlace::Store(name) => {
                    let loaded = in_store(store, owner, resource, *name).await;
                    loaded.map(|(set, known)| (set.generation() > name.generation, Kept::Store(set), known))
                }
            };
            match loaded {
                Ok((has_newer, kept, known)) => {
                    is_ahead |= has_newer;
                    own.known = known;
                    overflow.known.insert(resource.clone(), kept);
                }
                Err(StateError::Unusable(_)) if is_reset(reset, resource) => {}
                Err(error) => return Err(error),
            }
        }
        // The events of the retry queue are written first. Where known sets are newer than the status, so may they be.
        let least = places.ledger.or_else(|| is_ahead.then_some(overflow.generation + 1));
        if let Some(least) = least {
            let name = ledger_name(owner.name());
            let blob = Objects::secrets(cluster, owner, EVENTS, &|| true).get(&name).await?;
            let read = blob.and_then(|Blob { bytes, tag }| {
                let (generation, events): (u64, Vec<QueuedEvent>) = serde_json::from_slice(&bytes).ok()?;
                Some((Written { generation, tag, digest: 0 }, events))
            });
            match read.filter(|(written, _)| written.generation >= least) {
                Some((written, events)) => {
                    overflow.generation = overflow.generation.max(written.generation);
                    state.sinks.restore_events(events);
                    overflow.ledger = Some(Written { digest: digest_of(state.sinks.events()), ..written });
                }
                None if places.ledger.is_none() || reset.is_some_and(|value| Restart::of(value) == Restart::All) => {}
                None => return Err(StateError::Unusable(missing_ledger(&name))),
            }
        }
        let sets = overflow.known.values().map(Kept::generation);
        let newest = sets.chain(overflow.lists.values().flat_map(ListStates::generations)).max().unwrap_or_default();
        overflow.generation = overflow.generation.max(newest);
        overflow.find_left_over(owner).await?;
        Ok(overflow)
    }

    /// Writes what changed and does not belong into the status; says what the status must name. Known sets go to `store` if there is one,
    /// wherever they were. Answers, too, how many bytes were written to the API server.
    ///
    /// `is_ours` is asked before every single write: a process that slept finds out here.
    ///
    /// # Errors
    /// Nothing that the old status names is harmed.
    pub async fn save(
        &mut self,
        cluster: &Cluster,
        store: Option<&ExternalStore>,
        owner: &InstanceId,
        is_ours: &(dyn Fn() -> bool + Sync),
        state: &InstanceState,
    ) -> Result<(Places, usize), StateError> {
        let mut places = Places::default();
        let generation = self.generation + 1;
        // Before the known sets, which say of a queued event that it was taken.
        let secrets = Objects::secrets(cluster, owner, EVENTS, is_ours);
        let mut bytes = self.save_ledger(&secrets, owner, generation, state.sinks.events()).await?;
        places.ledger = self.ledger.as_ref().map(|ledger| ledger.generation);
        let max_inline = max_inline(state.resources.keys().filter(|name| list_of(name).is_none()).count());
        let gone: Vec<_> = self.known.keys().filter(|name| !state.resources.contains_key(*name)).cloned().collect();
        for resource in gone {
            self.abandon(owner, &resource);
        }
        let config_maps = Objects::config_maps(cluster, owner, KNOWN, is_ours);
        let medium = if store.is_some() { Medium::Store } else { Medium::ConfigMaps };
        for (resource, own) in &state.resources {
            let count = self.known.get(resource).filter(|kept| kept.is_in(store)).map(Kept::count);
            let now = count.map_or(Place::Status, Place::Partitions);
            let size = (own.known.len(), own.known.weight());
            let max_inline = if list_of(resource).is_some() { list_states::MAX_INLINE } else { max_inline };
            let next = blobs::place(resource, size, now, max_inline, medium).map_err(StateError::Unusable)?;
            if next != now || count.is_none() {
                self.abandon(owner, resource);
            }
            let Place::Partitions(count) = next else { continue };
            self.generation = generation;
            // What is noted of it stays, whatever fails.
            let kept = match self.known.entry(resource.clone()) {
                Entry::Occupied(kept) => kept.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(match store {
                    None => Kept::ConfigMaps(ConfigMapSet::new(count)),
                    Some(store) => {
                        store.register(owner).await?;
                        Kept::Store(ExternalSet::new(store, &owner.uid, count))
                    }
                }),
            };
            let place = match kept {
                Kept::ConfigMaps(set) => {
                    let names = set.names(owner, resource);
                    self.stale.retain(|(_, stale)| !names.contains(stale));
                    bytes += set.save(&config_maps, &names, &own.known, generation).await?;
                    KnownPlace::ConfigMaps(set.generations())
                }
                Kept::Store(set) => {
                    set.save(&own.known, generation, is_ours).await?;
                    KnownPlace::Store(set.name())
                }
            };
            places.blobs.insert(resource.clone(), place);
        }
        bytes += self.save_lists(cluster, (owner, is_ours), state, &mut places, generation).await?;
        Ok((places, bytes))
    }

    async fn save_ledger(
        &mut self,
        secrets: &Objects<'_>,
        owner: &InstanceId,
        generation: u64,
        events: StoredEvents<'_>,
    ) -> Result<usize, StateError> {
        let name = ledger_name(owner.name());
        if events.is_empty() {
            if self.ledger.take().is_some() {
                self.stale.push((Kind::Secret, name));
            }
            return Ok(0);
        }
        let digest = digest_of(events);
        if self.ledger.as_ref().is_some_and(|ledger| ledger.digest == digest) {
            return Ok(0);
        }
        self.stale.retain(|(_, stale)| *stale != name);
        let text = serde_json::to_vec(&(generation, events)).unwrap_or_default();
        self.generation = generation;
        let seen = self.ledger.take().map(|ledger| ledger.tag);
        let tag = secrets.overwrite(&name, &text, seen).await?;
        self.ledger = Some(Written { generation, tag, digest });
        Ok(text.len())
    }

    /// The Secret with the events was deleted by someone else: the next save writes it again. Answers whether there was one.
    pub fn forget_events(&mut self) -> bool {
        let Some(written) = &mut self.ledger else { return false };
        // No events have this digest.
        written.digest = !written.digest;
        true
    }

    /// Whether a Secret has events of the retry queue.
    pub fn has_events(&self) -> bool {
        self.ledger.is_some()
    }

    /// Deletes what the status no longer names. What cannot be deleted is deleted with the instance.
    pub async fn clean(&mut self, cluster: &Cluster, namespace: &str) {
        for (kind, name) in std::mem::take(&mut self.stale) {
            if let Err(error) = cluster.delete(kind, namespace, &name).await
                && error != CallError::NotFound
            {
                tracing::warn!(namespace, name, "state that is no longer used cannot be deleted: {error}");
            }
        }
        for (store, name) in std::mem::take(&mut self.stale_blobs) {
            if let Err(error) = store.delete(&name).await {
                tracing::warn!(namespace, name, "state that is no longer used cannot be deleted: {error}");
            }
        }
    }

    /// The resources whose known sets are neither in the status nor where they belong.
    pub fn elsewhere(&self, store: Option<&ExternalStore>) -> Vec<&str> {
        self.known.iter().filter(|(_, kept)| !kept.is_in(store)).map(|(resource, _)| &**resource).collect()
    }

    /// Notes in the stores in which anything of the instance is that this cluster has it there.
    ///
    /// # Errors
    /// The store's.
    pub async fn register(&self, owner: &InstanceId) -> Result<(), StateError> {
        match self.known.values().find_map(Kept::external) {
            Some(set) => Ok(set.store().register(owner).await?),
            None => Ok(()),
        }
    }

    /// Finds sets that a process left in the store which ended before the status named them. They go with the next status that this
    /// process writes: who writes the status owns the instance.
    async fn find_left_over(&mut self, owner: &InstanceId) -> Result<(), StateError> {
        let sets: Vec<_> = self.known.values().filter_map(Kept::external).collect();
        let Some(store) = sets.first().map(|set| set.store().clone()) else { return Ok(()) };
        let mut names = store.names_under(&ExternalStore::folder_of(&owner.uid)).await?;
        names.retain(|name| !sets.iter().any(|set| set.has(name)));
        self.stale_blobs.extend(names.into_iter().map(|name| (store.clone(), name)));
        Ok(())
    }

    fn abandon(&mut self, owner: &InstanceId, resource: &str) {
        match self.known.remove(resource) {
            Some(Kept::ConfigMaps(set)) => {
                self.stale.extend(set.names(owner, resource).into_iter().map(|name| (Kind::ConfigMap, name)));
            }
            Some(Kept::Store(set)) => {
                self.stale_blobs.extend(set.blobs().into_iter().map(|name| (set.store().clone(), name)));
            }
            None => {}
        }
    }
}

fn is_reset(reset: Option<&str>, resource: &str) -> bool {
    reset.is_some_and(|value| Restart::of(value).names(resource_of(resource)))
}

/// The events that wait in the retry queues of an instance, as they were last stored.
///
/// # Errors
/// A failed call, or what is there but cannot be read.
pub async fn queued(cluster: &Cluster, owner: &InstanceId) -> Result<Vec<QueuedEvent>, StateError> {
    let name = ledger_name(owner.name());
    let Some(Blob { bytes, .. }) = Objects::secrets(cluster, owner, EVENTS, &|| true).get(&name).await? else {
        return Ok(Vec::new());
    };
    let read: Result<(u64, Vec<QueuedEvent>), _> = serde_json::from_slice(&bytes);
    read.map(|(_, events)| events).map_err(|_| StateError::Unusable(missing_ledger(&name)))
}

pub(super) fn owned(kind: Kind, owner: &InstanceId, name: &str) -> Value {
    let (api_version, kind) = kind.names();
    let (owner_version, owner_kind) = Kind::ConnectorInstance.names();
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace(),
            "labels": {"app.kubernetes.io/managed-by": super::cluster::MANAGER, "app.kubernetes.io/component": "state"},
            "ownerReferences": [
                {"apiVersion": owner_version, "kind": owner_kind, "name": owner.name(), "uid": &*owner.uid, "controller": true}
            ],
        },
    })
}

pub(super) fn is_owned(object: &Value, owner: &InstanceId) -> bool {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|reference| reference["uid"] == *owner.uid)
}

fn digest_of(events: StoredEvents<'_>) -> u64 {
    xxh3_64(&serde_json::to_vec(&events).unwrap_or_default())
}

/// The Secret with the events of an instance.
pub fn ledger_name(instance: &str) -> String {
    format!("{instance}{LEDGER}")
}

/// The instance whose events a Secret of this name would have.
pub fn ledger_owner(secret: &str) -> Option<&str> {
    secret.strip_suffix(LEDGER)
}

fn missing_ledger(name: &str) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "Secret {name} with the retry queue is missing, damaged or older than the status; put it back, or go on without its events and start all resources again with the annotation pollinator.dev/reset: *"
        ),
    )
}
