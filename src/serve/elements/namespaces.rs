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
use crate::operator::required_label::RequiredLabel;

/// Lets in every caller whom the API server lets in: it is asked with the caller's own token, in every call.
pub struct Namespaces {
    /// Clients by token.
    pub callers: Callers,
    /// The namespaces that the operator looks at; none: all.
    pub watched: Arc<[String]>,
    /// The label without which instances may not use a Secret; `None`: they may use all.
    pub secret_label: Option<RequiredLabel>,
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
        if !self.watched.is_empty() && !self.watched.contains(namespace) {
            return Err(Failure::Forbidden(
                "this operator does not watch this namespace; set the organization to one that it watches".to_owned(),
            ));
        }
        let cluster = self.callers.cluster(&presented.user).map_err(|error| {
            tracing::debug!("the client for a caller cannot be created: {error}");
            Failure::Unauthorized("the user secret must be a bearer token of Kubernetes".to_owned())
        })?;
        let instances = ClusterInstances::new(cluster, Arc::clone(&self.watched), StatusChanges::default());
        let instances =
            instances.with_mounted(Arc::clone(&self.mounted)).with_secret_label(self.secret_label.clone()).minding_owners();
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
