//! State that does not fit into the status: `ConfigMaps` with known sets, a Secret with set-aside events. Owned by the instance,
//! so that they go with it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::blobs::{self, Place};
use super::cluster::{CallError, Cluster, Kind};
use super::stored::{Places, max_inline};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::deliver::retry_queue::QueuedEvent;
use crate::deliver::sinks::StoredEvents;
use crate::detect::known::KnownSet;
use crate::state::InstanceState;

/// So often an object is read again whose write was refused because it had changed.
const MAX_CONFLICTS: usize = 3;
/// Key of the one value of each object.
const KNOWN: &str = "known";
const EVENTS: &str = "events.json";

/// What is known of the objects outside of the status.
#[derive(Clone, Debug, Default)]
pub struct Outside {
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
    version: Option<String>,
    digest: u64,
}

/// Why state outside of the status cannot be read or written.
#[derive(Debug)]
pub enum OutsideError {
    /// As it says.
    Problem(Problem),
    /// A call failed.
    Call(CallError),
    /// The instance is another replica's: nothing more was written.
    NotOurs,
}

impl From<CallError> for OutsideError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl Outside {
    /// Reads what `places` names into `state`. A resource of which the person asked to be `reset` may lack its blobs.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub async fn load(
        cluster: &Cluster,
        owner: &InstanceId,
        places: &Places,
        reset: Option<&str>,
        state: &mut InstanceState,
    ) -> Result<Self, OutsideError> {
        let mut outside = Self::default();
        for (resource, generations) in &places.blobs {
            let Some(own) = state.resources.get_mut(resource) else { continue };
            let mut parts = Vec::with_capacity(generations.len());
            let mut known = KnownSet::default();
            for (index, least) in generations.iter().enumerate() {
                let name = blobs::name(owner.name(), resource, generations.len(), index);
                let read = async {
                    let object = match cluster.get(Kind::ConfigMap, owner.namespace(), &name).await {
                        Ok(object) if is_owned(&object, owner) => object,
                        Ok(_) | Err(CallError::NotFound) => return Ok(None),
                        Err(error) => return Err(OutsideError::Call(error)),
                    };
                    let bytes = object["binaryData"][KNOWN].as_str().and_then(|text| BASE64.decode(text).ok());
                    let generation = bytes.as_deref().and_then(|bytes| blobs::decode(bytes, &mut known));
                    let written = generation.filter(|generation| generation >= least).map(|generation| Written {
                        generation,
                        version: version(&object),
                        digest: bytes.and_then(|bytes| Some(xxh3_64(bytes.get(16..)?))).unwrap_or_default(),
                    });
                    Ok(written)
                };
                match read.await? {
                    Some(written) => parts.push(written),
                    None if reset == Some(resource) => break,
                    None => return Err(OutsideError::Problem(missing("ConfigMap", &name, resource))),
                }
            }
            if parts.len() == generations.len() {
                own.known = known;
                outside.known.insert(resource.clone(), parts);
            }
            outside.generation = generations.iter().copied().chain([outside.generation]).max().unwrap_or_default();
        }
        if let Some(least) = places.ledger {
            let name = ledger_name(owner.name());
            let object = match cluster.get(Kind::Secret, owner.namespace(), &name).await {
                Ok(object) if is_owned(&object, owner) => object,
                Ok(_) | Err(CallError::NotFound) => return Err(OutsideError::Problem(missing_ledger(&name))),
                Err(error) => return Err(error.into()),
            };
            let bytes = object["data"][EVENTS].as_str().and_then(|text| BASE64.decode(text).ok()).unwrap_or_default();
            let (generation, events): (u64, Vec<QueuedEvent>) =
                serde_json::from_slice(&bytes).map_err(|_| OutsideError::Problem(missing_ledger(&name)))?;
            if generation < least {
                return Err(OutsideError::Problem(missing_ledger(&name)));
            }
            state.sinks.restore_events(events);
            let digest = digest_of(state.sinks.events());
            outside.generation = outside.generation.max(generation);
            outside.ledger = Some(Written { generation, version: version(&object), digest });
        }
        for written in outside.known.values().flatten() {
            outside.generation = outside.generation.max(written.generation);
        }
        Ok(outside)
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
    ) -> Result<(Places, usize), OutsideError> {
        let mut places = Places::default();
        let mut bytes = 0;
        let generation = self.generation + 1;
        let max_inline = max_inline(state.resources.len());
        let gone: Vec<_> = self.known.keys().filter(|name| !state.resources.contains_key(*name)).cloned().collect();
        for resource in gone {
            self.abandon(owner, &resource);
        }
        for (resource, own) in &state.resources {
            let now = self.known.get(resource).map_or(Place::Status, |parts| Place::Partitions(parts.len()));
            let next = blobs::place(resource, own.known.len(), now, max_inline).map_err(OutsideError::Problem)?;
            if next != now {
                self.abandon(owner, resource);
            }
            let Place::Partitions(count) = next else { continue };
            let written = self.known.entry(resource.clone()).or_insert_with(|| vec![Written::default(); count]);
            for (index, (part, entries)) in written.iter_mut().zip(own.known.partitions(count)).enumerate() {
                let digest = xxh3_64(&entries);
                if part.version.is_some() && part.digest == digest {
                    continue;
                }
                let name = blobs::name(owner.name(), resource, count, index);
                self.stale.retain(|(_, stale)| *stale != name);
                let packed = BASE64.encode(blobs::encode(generation, &entries));
                bytes += packed.len();
                let mut object = owned(Kind::ConfigMap, owner, &name);
                object["binaryData"] = json!({KNOWN: packed});
                self.generation = generation;
                let version = write(cluster, Kind::ConfigMap, owner, is_ours, &name, object, part.version.take()).await?;
                *part = Written { generation, version, digest };
            }
            places.blobs.insert(resource.clone(), written.iter().map(|part| part.generation).collect());
        }
        let name = ledger_name(owner.name());
        let events = state.sinks.events();
        if events.is_empty() {
            if self.ledger.take().is_some() {
                self.stale.push((Kind::Secret, name));
            }
            return Ok((places, bytes));
        }
        let digest = digest_of(events);
        if self.ledger.as_ref().is_none_or(|ledger| ledger.version.is_none() || ledger.digest != digest) {
            self.stale.retain(|(_, stale)| *stale != name);
            let text = serde_json::to_vec(&(generation, events)).unwrap_or_default();
            let mut object = owned(Kind::Secret, owner, &name);
            object["type"] = json!("Opaque");
            object["data"] = json!({EVENTS: BASE64.encode(&text)});
            bytes += text.len();
            self.generation = generation;
            let version = self.ledger.take().and_then(|ledger| ledger.version);
            let version = write(cluster, Kind::Secret, owner, is_ours, &name, object, version).await?;
            self.ledger = Some(Written { generation, version, digest });
        }
        places.ledger = self.ledger.as_ref().map(|ledger| ledger.generation);
        Ok((places, bytes))
    }

    /// Deletes what the status no longer names. What cannot be deleted goes with the instance at last.
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

/// Writes an object over the version that is known; creates it when none is. The status was found to be ours just before, so
/// a version that is not known is a left-over of a write without an answer, or of an owner before us.
async fn write(
    cluster: &Cluster,
    kind: Kind,
    owner: &InstanceId,
    is_ours: &(dyn Fn() -> bool + Sync),
    name: &str,
    mut object: Value,
    mut known: Option<String>,
) -> Result<Option<String>, OutsideError> {
    for _ in 0..MAX_CONFLICTS {
        if !is_ours() {
            return Err(OutsideError::NotOurs);
        }
        let written = if let Some(version) = &known {
            object["metadata"]["resourceVersion"] = json!(version);
            cluster.replace(kind, owner.namespace(), name, &object).await
        } else {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            cluster.create(kind, owner.namespace(), &object).await
        };
        match written {
            Ok(answer) => return Ok(version(&answer)),
            Err(CallError::NotFound) if known.is_some() => known = None,
            Err(CallError::Conflict) => match cluster.get(kind, owner.namespace(), name).await {
                Ok(found) if is_owned(&found, owner) => known = version(&found),
                Ok(_) => {
                    // Of an instance of the same name that was deleted.
                    cluster.delete(kind, owner.namespace(), name).await?;
                    known = None;
                }
                Err(CallError::NotFound) => known = None,
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Err(CallError::Conflict.into())
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
            "{kind} {name} with the records that resource {resource} remembers is missing, damaged or older than the status; put it back, or start the resource afresh with the annotation pollinator.dev/reset: {resource}"
        ),
    )
}

fn missing_ledger(name: &str) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "Secret {name} with the events that were set aside is missing, damaged or older than the status; put it back, or delete and create the ConnectorInstance to start afresh"
        ),
    )
}
