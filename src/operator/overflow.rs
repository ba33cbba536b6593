//! State that does not fit into the status: `ConfigMaps` with known sets, a Secret with the events of the retry queue. Owned by the
//! instance, so that they go with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::blobs::{self, Place};
use super::cluster::{CallError, Cluster, Kind};
use super::objects::Objects;
use super::state_error::StateError;
use super::stored::{Places, max_inline};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::deliver::retry_queue::QueuedEvent;
use crate::deliver::sinks::StoredEvents;
use crate::detect::known::{Form, KnownSet, Partition, Prefix};
use crate::state::InstanceState;
use crate::state::blob::{Blob, BlobStore as _, Tag};
use crate::state::wish;

/// Key of the one value of each object.
const KNOWN: &str = "known";
const EVENTS: &str = "events.json";

/// What is known of the objects next to the status.
#[derive(Clone, Debug, Default)]
pub struct Overflow {
    /// Greatest generation seen or given.
    generation: u64,
    known: BTreeMap<String, Vec<Written>>,
    ledger: Option<Written>,
    /// Objects that the next status no longer names: to be deleted after it is written.
    stale: Vec<(Kind, String)>,
}

/// One object as it was last read or written.
#[derive(Clone, Debug, Default)]
struct Written {
    generation: u64,
    /// Its `resourceVersion`; `None` when it is to be created.
    tag: Option<Tag>,
    digest: u64,
    /// The partitions in memory that it was made of.
    of: Vec<Weak<Partition>>,
}

impl Overflow {
    /// Reads what `places` names into `state`. A resource that the annotation `reset` names may lack its blobs.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub async fn load(
        cluster: &Cluster,
        owner: &InstanceId,
        places: &Places,
        reset: Option<&str>,
        state: &mut InstanceState,
    ) -> Result<Self, StateError> {
        let mut overflow = Self::default();
        let config_maps = Objects::config_maps(cluster, owner, KNOWN, &|| true);
        let mut is_ahead = false;
        for (resource, generations) in &places.blobs {
            let Some(own) = state.resources.get_mut(resource) else { continue };
            let mut parts = Vec::with_capacity(generations.len());
            let (mut known, mut forms) = (KnownSet::default(), Vec::with_capacity(generations.len()));
            for (index, least) in generations.iter().enumerate() {
                let name = blobs::name(owner.name(), resource, generations.len(), index);
                let blob = config_maps.get(&name).await?;
                let read = blob.and_then(|Blob { bytes, tag }| {
                    let (generation, form) = blobs::decode(&bytes, &mut known)?;
                    let digest = xxh3_64(bytes.get(blobs::HEADER..)?);
                    forms.push(form);
                    Some(Written { generation, tag: Some(tag), digest, of: Vec::new() })
                });
                match read.filter(|written| written.generation >= *least) {
                    Some(written) => {
                        is_ahead |= written.generation > *least;
                        parts.push(written);
                    }
                    None if reset.is_some_and(|value| wish::parked(value).any(|(named, _)| named == *resource)) => break,
                    None => return Err(StateError::Unusable(missing("ConfigMap", &name, resource))),
                }
            }
            if parts.len() == generations.len() {
                own.known = known;
                for ((part, form), prefix) in parts.iter_mut().zip(forms).zip(Prefix::equal(generations.len())) {
                    // What has an older form is written again.
                    if form != Form::First {
                        part.of = addresses(&own.known, prefix);
                    }
                }
                overflow.known.insert(resource.clone(), parts);
            }
            overflow.generation = generations.iter().copied().chain([overflow.generation]).max().unwrap_or_default();
        }
        // The events of the retry queue are written first. Where known sets are newer than the status, so may they be.
        let least = places.ledger.or_else(|| is_ahead.then_some(overflow.generation + 1));
        if let Some(least) = least {
            let name = ledger_name(owner.name());
            let blob = Objects::secrets(cluster, owner, EVENTS, &|| true).get(&name).await?;
            let read = blob.and_then(|Blob { bytes, tag }| {
                let (generation, events): (u64, Vec<QueuedEvent>) = serde_json::from_slice(&bytes).ok()?;
                Some((Written { generation, tag: Some(tag), digest: 0, of: Vec::new() }, events))
            });
            match read.filter(|(written, _)| written.generation >= least) {
                Some((written, events)) => {
                    overflow.generation = overflow.generation.max(written.generation);
                    state.sinks.restore_events(events);
                    overflow.ledger = Some(Written { digest: digest_of(state.sinks.events()), ..written });
                }
                None if places.ledger.is_none() => {}
                None => return Err(StateError::Unusable(missing_ledger(&name))),
            }
        }
        for written in overflow.known.values().flatten() {
            overflow.generation = overflow.generation.max(written.generation);
        }
        Ok(overflow)
    }

    /// Writes what changed and does not belong into the status; says what the status must name. Answers, too, how many bytes
    /// were written.
    ///
    /// `is_ours` is asked before every single write: a process that slept finds out here.
    ///
    /// # Errors
    /// Nothing that the old status names is harmed.
    pub async fn save(
        &mut self,
        cluster: &Cluster,
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
        let max_inline = max_inline(state.resources.len());
        let gone: Vec<_> = self.known.keys().filter(|name| !state.resources.contains_key(*name)).cloned().collect();
        for resource in gone {
            self.abandon(owner, &resource);
        }
        let config_maps = Objects::config_maps(cluster, owner, KNOWN, is_ours);
        for (resource, own) in &state.resources {
            let now = self.known.get(resource).map_or(Place::Status, |parts| Place::Partitions(parts.len()));
            let size = (own.known.len(), own.known.weight());
            let next = blobs::place(resource, size, now, max_inline).map_err(StateError::Unusable)?;
            if next != now {
                self.abandon(owner, resource);
            }
            let Place::Partitions(count) = next else { continue };
            let written = self.known.entry(resource.clone()).or_insert_with(|| vec![Written::default(); count]);
            for (index, (part, prefix)) in written.iter_mut().zip(Prefix::equal(count)).enumerate() {
                if part.is_of(&own.known, prefix) {
                    continue;
                }
                let packed = own.known.packed(prefix);
                let digest = xxh3_64(&packed.bytes);
                if part.tag.is_none() || part.digest != digest {
                    let name = blobs::name(owner.name(), resource, count, index);
                    self.stale.retain(|(_, stale)| *stale != name);
                    let blob = blobs::encode(generation, &packed);
                    bytes += blob.len().div_ceil(3) * 4;
                    self.generation = generation;
                    let tag = config_maps.overwrite(&name, &blob, part.tag.take()).await?;
                    *part = Written { generation, tag: Some(tag), digest, of: Vec::new() };
                }
                part.of = addresses(&own.known, prefix);
            }
            places.blobs.insert(resource.clone(), written.iter().map(|part| part.generation).collect());
        }
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
        if self.ledger.as_ref().is_some_and(|ledger| ledger.tag.is_some() && ledger.digest == digest) {
            return Ok(0);
        }
        self.stale.retain(|(_, stale)| *stale != name);
        let text = serde_json::to_vec(&(generation, events)).unwrap_or_default();
        self.generation = generation;
        let seen = self.ledger.take().and_then(|ledger| ledger.tag);
        let tag = secrets.overwrite(&name, &text, seen).await?;
        self.ledger = Some(Written { generation, tag: Some(tag), digest, of: Vec::new() });
        Ok(text.len())
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
    }

    fn abandon(&mut self, owner: &InstanceId, resource: &str) {
        let Some(parts) = self.known.remove(resource) else { return };
        let names = (0..parts.len()).map(|index| (Kind::ConfigMap, blobs::name(owner.name(), resource, parts.len(), index)));
        self.stale.extend(names);
    }
}

impl Written {
    /// Whether it is what is known of the ids of a prefix, without a look at them.
    fn is_of(&self, known: &KnownSet, prefix: Prefix) -> bool {
        let under = known.under(prefix);
        self.tag.is_some()
            && self.of.len() == under.len()
            && self.of.iter().zip(under).all(|(old, part)| std::ptr::eq(old.as_ptr(), Arc::as_ptr(part)))
    }
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

/// Where the partitions of a known set are in which the ids of a prefix are. One that changes moves.
fn addresses(known: &KnownSet, prefix: Prefix) -> Vec<Weak<Partition>> {
    known.under(prefix).iter().map(Arc::downgrade).collect()
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

pub(super) fn version(object: &Value) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

fn digest_of(events: StoredEvents<'_>) -> u64 {
    xxh3_64(&serde_json::to_vec(&events).unwrap_or_default())
}

fn ledger_name(instance: &str) -> String {
    format!("{instance}-set-aside-events")
}

fn missing(kind: &str, name: &str, resource: &str) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "{kind} {name} with the records that resource {resource} remembers is missing, damaged or older than the status; put it back, or start the resource again with the annotation pollinator.dev/reset: {resource}"
        ),
    )
}

fn missing_ledger(name: &str) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "Secret {name} with the retry queue is missing, damaged or older than the status; put it back, or delete and create the ConnectorInstance to start again"
        ),
    )
}
