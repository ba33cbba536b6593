//! Callers of a cluster: the user secret is a bearer token of Kubernetes, and the organization a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::access::{Gate, Presented, Realm};
use super::failure::Failure;
use crate::api::connector::ConnectorSpec;
use crate::api::names;
use crate::instances::callers::Callers;
use crate::instances::changes::StatusChanges;
use crate::instances::cluster::ClusterInstances;
use crate::observe::Journal;

/// Lets everybody in whom the API server lets in: it is asked with the caller's own token, in every call.
pub struct Namespaces {
    /// Clients by token.
    pub callers: Callers,
    /// The one namespace that the operator looks at; `None`: all.
    pub watched: Option<String>,
    /// The last polls and deliveries of this process.
    pub journal: Journal,
    /// Entries of the mounted catalogue folder, by name.
    pub mounted: Arc<BTreeMap<String, ConnectorSpec>>,
}

impl Namespaces {
    fn realm(&self, presented: &Presented) -> Result<Realm, Failure> {
        let namespace = &presented.organization;
        if !names::is_label(namespace) {
            return Err(Failure::Forbidden("the organization must be the name of a namespace".to_owned()));
        }
        if self.watched.as_ref().is_some_and(|watched| watched != namespace) {
            return Err(Failure::Forbidden(
                "this operator looks at another namespace; name that one as the organization".to_owned(),
            ));
        }
        let cluster = self.callers.cluster(&presented.user).map_err(|error| {
            tracing::debug!("a caller's token cannot be sent: {error}");
            Failure::Unauthorized("the user secret must be a bearer token of Kubernetes".to_owned())
        })?;
        let instances = ClusterInstances::new(cluster, self.watched.clone(), StatusChanges::default());
        let instances = instances.with_mounted(Arc::clone(&self.mounted)).minding_owners();
        Ok(Realm {
            instances: Arc::new(instances),
            journal: self.journal.clone(),
            namespace: Some(namespace.clone()),
            new_in: namespace.clone(),
        })
    }
}

impl Gate for Namespaces {
    fn admit<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Realm, Failure>> {
        Box::pin(async move { self.realm(presented) })
    }
}
