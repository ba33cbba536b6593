//! What asking for tokens needs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use super::store::TokenStore;
use crate::api::identity::SecretRef;
use crate::auth::Secrets;
use crate::egress::Egress;
use crate::egress::hosts::HostBudget;
use crate::observe::metrics::Metrics;

/// Whether the right to act for the instance holds at this moment.
pub type Holds = Arc<dyn Fn() -> bool + Send + Sync>;

/// What asking for tokens needs.
#[derive(Clone)]
pub struct Parts {
    /// The one client.
    pub egress: Egress,
    /// How much each host is asked.
    pub hosts: HostBudget,
    /// Users' Secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Where tokens are kept.
    pub store: Arc<dyn TokenStore>,
    /// Which Secret began with which refresh token or code.
    pub beginnings: Beginnings,
    /// Counts requests.
    pub metrics: Metrics,
}

/// Which Secret of this process began a chain with which refresh token or code: a token that was copied into two Secrets begins one.
#[derive(Clone, Default)]
pub struct Beginnings(Arc<Held>);

#[derive(Default)]
struct Held {
    /// Hashes reveal nothing about a token.
    salt: RandomState,
    by_token: Mutex<HashMap<u64, SecretRef>>,
}

impl Beginnings {
    /// Claims a refresh token or code of an endpoint for a Secret. Returns the Secret that was first, if it is another one.
    pub fn claim(&self, endpoint: &str, token: &str, secret: &SecretRef) -> Option<SecretRef> {
        let mut by_token = self.0.by_token.lock();
        let first = by_token.entry(self.0.salt.hash_one((endpoint, token))).or_insert_with(|| secret.clone());
        (first != secret).then(|| first.clone())
    }

    /// The Secret that was first is gone.
    pub fn replace(&self, endpoint: &str, token: &str, secret: &SecretRef) {
        let mut by_token = self.0.by_token.lock();
        by_token.insert(self.0.salt.hash_one((endpoint, token)), secret.clone());
    }
}
