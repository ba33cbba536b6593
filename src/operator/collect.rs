//! Collects from the external store what is kept there of instances that are gone. In the cluster the API server does that, by owner
//! references; a bucket knows none.
//!
//! Each instance that has anything there is registered under the identity of the cluster, so that a store that several clusters share
//! loses nothing of one to another. What is registered is listed first, and the instances after it: one that is created in between is not
//! taken for gone. It must be gone twice in a row, so that a last write that was under way is over.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Config;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::cluster::{CallError, Cluster, Kind};
use super::shards::OwnedRanges;
use crate::state::external_store::{ExternalStore, Registered, StoreError};

/// Collects at intervals, in the one replica that has the first shard.
pub struct Collector {
    /// Lists the instances.
    pub cluster: Cluster,
    /// What is collected from.
    pub store: ExternalStore,
    /// The namespaces that are watched; none: all.
    pub namespaces: Arc<[String]>,
    /// Which shards are ours.
    pub owned: watch::Receiver<OwnedRanges>,
    /// The interval.
    pub every: Duration,
}

/// Why nothing was collected; the next round tries again.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("the state store: {0}")]
    Store(#[from] StoreError),
    #[error("the API server: {0}")]
    Call(#[from] CallError),
}

impl Collector {
    /// Never ends by itself.
    pub async fn run(self) {
        let mut missed = HashSet::new();
        loop {
            tokio::time::sleep(self.every).await;
            if !self.owned.borrow().has_first() {
                missed.clear();
                continue;
            }
            match self.round(&missed).await {
                Ok(gone) => missed = gone,
                Err(error) => tracing::warn!("the state of instances that are gone was not collected: {error}"),
            }
        }
    }

    /// Deletes what is gone and was so before; answers what is gone for the first time.
    async fn round(&self, missed: &HashSet<Registered>) -> Result<HashSet<Registered>, CollectError> {
        let mut missing = HashSet::new();
        let all = [None];
        let some: Vec<_> = self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect();
        for namespace in if some.is_empty() { &all[..] } else { &some } {
            let registered = self.store.registered(*namespace).await?;
            let listed = self.cluster.list(Kind::ConnectorInstance, *namespace, None, true).await?;
            let living: HashSet<_> = listed.iter().filter_map(|object| object["metadata"]["uid"].as_str()).collect();
            missing.extend(registered.into_iter().filter(|one| !living.contains(&*one.uid)));
        }
        let (gone, news): (HashSet<_>, _) = missing.into_iter().partition(|one| missed.contains(one));
        for one in &gone {
            self.store.collect(one).await?;
            tracing::info!(uid = one.uid, "the state of a deleted instance was removed from the state store");
        }
        Ok(news)
    }
}

/// A text that no other cluster has: a digest of the certificates of its authority, or of its address where it has none of its own.
pub fn cluster_id(config: &Config) -> String {
    let mut digest = Sha256::new();
    match &config.root_cert {
        Some(certificates) => certificates.iter().for_each(|certificate| digest.update(certificate)),
        None => digest.update(config.cluster_url.to_string()),
    }
    let digest: Vec<_> = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    digest.concat()
}
