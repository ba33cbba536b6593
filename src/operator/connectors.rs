//! The `Connector` objects of the cluster, and the mounted catalogue.

use std::collections::{BTreeMap, HashSet};
use std::sync::{PoisonError, RwLock};

use serde::Deserialize as _;

use super::cluster::{CallError, Cluster, Kind};
use super::session::Key;
use crate::api::conditions::{Problem, Reason};
use crate::api::connector::ConnectorSpec;
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
    usable: BTreeMap<Key, ConnectorSpec>,
    /// Those that this version does not understand.
    unusable: HashSet<Key>,
}

impl Connectors {
    /// Knows the mounted ones.
    pub fn new(cluster: Cluster, mounted: BTreeMap<String, ConnectorSpec>) -> Self {
        Self { cluster, mounted, declared: RwLock::default() }
    }

    /// All that were read from the cluster.
    pub fn declared(&self) -> Vec<Key> {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        declared.usable.keys().chain(&declared.unusable).cloned().collect()
    }

    /// Reads one anew; one that is gone is forgotten.
    ///
    /// # Errors
    /// [`CallError`], never `NotFound`.
    pub async fn read(&self, key: &Key) -> Result<(), CallError> {
        let found = match self.cluster.get(Kind::Connector, &key.0, &key.1).await {
            Ok(object) => Some(ConnectorSpec::deserialize(&object["spec"])),
            Err(CallError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let mut declared = self.declared.write().unwrap_or_else(PoisonError::into_inner);
        declared.usable.remove(key);
        declared.unusable.remove(key);
        match found {
            Some(Ok(spec)) => drop(declared.usable.insert(key.clone(), spec)),
            Some(Err(error)) => {
                tracing::warn!(namespace = key.0, connector = key.1, "is not understood: {error}");
                declared.unusable.insert(key.clone());
            }
            None => {}
        }
        Ok(())
    }

    /// The plan of an instance.
    ///
    /// # Errors
    /// All that a person must mend, in one.
    pub fn plan(&self, instance: &ConnectorInstance) -> Result<PollPlan, Problem> {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
        let named = instance.spec.connector.as_deref();
        if let Some(name) = named.filter(|name| declared.unusable.contains(&(namespace.to_owned(), (*name).to_owned()))) {
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
