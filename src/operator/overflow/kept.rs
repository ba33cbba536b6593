//! The known set of one resource, where it is if the status has no room for it.

use super::super::config_map_set::ConfigMapSet;
use super::super::state_error::StateError;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::detect::known::KnownSet;
use crate::plan::for_each::resource_of;
use crate::state::external_set::{ExternalSet, SetName};
use crate::state::external_store::ExternalStore;
use crate::state::partitions::LoadError;

/// The known set of one resource, where it is.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    ConfigMaps(ConfigMapSet),
    Store(ExternalSet),
}

impl Kept {
    /// Number of partitions.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::ConfigMaps(set) => set.count(),
            Self::Store(set) => set.count(),
        }
    }

    /// Greatest generation in it.
    pub(super) fn generation(&self) -> u64 {
        match self {
            Self::ConfigMaps(set) => set.generations().into_iter().max().unwrap_or_default(),
            Self::Store(set) => set.generation(),
        }
    }

    /// Whether it is where known sets belong.
    pub(super) fn is_in(&self, store: Option<&ExternalStore>) -> bool {
        match self {
            Self::ConfigMaps(_) => store.is_none(),
            Self::Store(set) => store.is_some_and(|store| set.store().is(store)),
        }
    }

    pub(super) fn external(&self) -> Option<&ExternalSet> {
        match self {
            Self::ConfigMaps(_) => None,
            Self::Store(set) => Some(set),
        }
    }
}

/// Reads a known set that is in an external store.
pub(super) async fn in_store(
    store: Option<&ExternalStore>,
    owner: &InstanceId,
    resource: &str,
    name: SetName,
) -> Result<(ExternalSet, KnownSet), StateError> {
    // Not `Unusable`: it is there, and an annotation must not make it a fresh start.
    let store = store.ok_or(StateError::NoStore)?;
    ExternalSet::load(store, &owner.uid, name).await.map_err(|error| match error {
        LoadError::Failed(error) => StateError::Store(error),
        LoadError::Newer(_) => StateError::Newer,
        LoadError::Damaged(name) => StateError::Unusable(missing_blob(&name, resource)),
    })
}

fn missing_blob(name: &str, resource: &str) -> Problem {
    let resource = resource_of(resource);
    tracing::error!("{name} is missing in the state store, damaged or older than the status");
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "the records that resource {resource} remembers are missing in the state store, damaged or older than the status; start the operator with the --state-store that has them, put them back, or start the resource again with the annotation pollinator.dev/reset: {resource}"
        ),
    )
}
