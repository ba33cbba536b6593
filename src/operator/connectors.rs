//! The `Connector` objects of the cluster, and the mounted catalogue.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::RwLock;
use serde::Deserialize as _;

use super::cluster::{CallError, Cluster, Kind};
use crate::api::conditions::{Problem, Reason};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::ConnectorRef;
use crate::api::instance::ConnectorInstance;
use crate::catalog;
use crate::plan::{PollPlan, resolve};

/// What connectors there are.
pub struct Connectors {
    cluster: Cluster,
    mounted: BTreeMap<String, ConnectorSpec>,
    declared: RwLock<Declared>,
}

#[derive(Default)]
struct Declared {
    usable: BTreeMap<ConnectorRef, ConnectorSpec>,
    /// Those that this version does not understand.
    unusable: HashSet<ConnectorRef>,
    /// Which object each is, and which spec was read: a write to its status alone changes nothing.
    read: HashMap<ConnectorRef, Read>,
}

/// What decides whether an object is to be read again.
struct Read {
    uid: String,
    generation: Option<i64>,
}

impl Connectors {
    /// Knows the mounted ones.
    pub fn new(cluster: Cluster, mounted: BTreeMap<String, ConnectorSpec>) -> Self {
        Self { cluster, mounted, declared: RwLock::default() }
    }

    /// All that were read from the cluster.
    pub fn declared(&self) -> Vec<ConnectorRef> {
        let declared = self.declared.read();
        declared.read.keys().cloned().collect()
    }

    /// Whether this spec of this object was read.
    pub fn is_current(&self, key: &ConnectorRef, uid: &str, generation: Option<i64>) -> bool {
        let declared = self.declared.read();
        declared.read.get(key).is_some_and(|read| read.uid == uid && read.generation == generation)
    }

    /// Reads one again; one that is gone is forgotten. Returns whether it means something else now.
    ///
    /// # Errors
    /// [`CallError`], never `NotFound`.
    pub async fn read(&self, key: &ConnectorRef) -> Result<bool, CallError> {
        let found = match self.cluster.get(Kind::Connector, &key.namespace, &key.name).await {
            Ok(object) => Some(object),
            Err(CallError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let read = found.as_ref().map(|object| Read {
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: object["metadata"]["generation"].as_i64(),
        });
        let spec = found.map(|object| ConnectorSpec::deserialize(&object["spec"]));
        let mut declared = self.declared.write();
        match read {
            Some(read) => drop(declared.read.insert(key.clone(), read)),
            None => drop(declared.read.remove(key)),
        }
        let was_unusable = declared.unusable.remove(key);
        let old = declared.usable.remove(key);
        Ok(match spec {
            Some(Ok(spec)) => {
                let changed = old.as_ref() != Some(&spec);
                declared.usable.insert(key.clone(), spec);
                changed
            }
            Some(Err(error)) => {
                tracing::warn!(namespace = &*key.namespace, connector = &*key.name, "is not understood: {error}");
                declared.unusable.insert(key.clone());
                !was_unusable
            }
            None => old.is_some() || was_unusable,
        })
    }

    /// The plan of an instance.
    ///
    /// # Errors
    /// All that a person must fix, in one.
    pub fn plan(&self, instance: &ConnectorInstance) -> Result<PollPlan, Problem> {
        let declared = self.declared.read();
        let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
        let named = instance.spec.connector.as_deref();
        if let Some(name) = named.filter(|name| declared.unusable.contains(&ConnectorRef::new(namespace, *name))) {
            return Err(Problem::human(
                Reason::InvalidSpec,
                format!(
                    "spec.connector names Connector {name}, which this version of the operator does not understand; correct it, or run the version that it was written for"
                ),
            ));
        }
        let connector = named.and_then(|name| catalog::look_up(namespace, name, &declared.usable, &self.mounted));
        resolve(instance, connector.map(|(_, spec)| spec)).map_err(|problems| Problem::all_in_one(&problems))
    }
}
