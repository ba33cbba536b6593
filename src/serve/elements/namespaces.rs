//! Callers of a cluster: the user secret is a bearer token of Kubernetes, and the organization a namespace.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::access::{Gate, Presented, Realm};
use super::failure::Failure;
use crate::api::names;
use crate::instances::callers::CallerInstances;
use crate::observe::Journal;

/// Lets in every caller whom the API server lets in: it is asked with the caller's own token, in every call.
pub struct Namespaces {
    /// Instances by token.
    pub instances: CallerInstances,
    /// The last polls and deliveries of this process.
    pub journal: Journal,
}

impl Namespaces {
    fn realm(&self, presented: &Presented) -> Result<Realm, Failure> {
        let namespace = &presented.organization;
        if !names::is_label(namespace) {
            return Err(Failure::Forbidden("the organization must be the name of a namespace".to_owned()));
        }
        let watched = &self.instances.watched;
        if !watched.is_empty() && !watched.contains(namespace) {
            return Err(Failure::Forbidden(
                "this operator does not watch this namespace; set the organization to one that it watches".to_owned(),
            ));
        }
        let instances = self.instances.of(&presented.user).map_err(|error| {
            tracing::debug!("the client for a caller cannot be created: {error}");
            Failure::Unauthorized("the user secret must be a bearer token of Kubernetes".to_owned())
        })?;
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
