//! What every job needs.

use std::sync::Arc;

use crate::auth::Secrets;
use crate::auth::oauth2::credentials::Credentials;
use crate::auth::oauth2::parts::{Beginnings, Parts};
use crate::auth::oauth2::store::TokenStore;
use crate::connect::ConnectUrl;
use crate::cpu::CpuBudget;
use crate::egress::Egress;
use crate::egress::byte_budget::ByteBudget;
use crate::egress::hosts::HostBudget;
use crate::egress::turn_queue::TurnQueue;
use crate::fetch::asker::Asker;
use crate::fetch::transcript::Transcript;
use crate::observe::{Journal, Metrics};
use crate::state::StateStore;

/// Requests to callbacks under way at once, of all instances: as many as to providers.
const DELIVERIES: usize = 1_280;

/// What every job needs, shared by all.
pub struct EngineContext {
    /// Asks providers, within the budgets of their hosts.
    pub asker: Asker,
    /// The way to callbacks.
    pub egress: Egress,
    /// Shares out the requests to callbacks.
    pub deliveries: TurnQueue,
    /// Secrets by namespace and name.
    pub secrets: Arc<dyn Secrets>,
    /// Access tokens.
    pub credentials: Credentials,
    /// Where state is kept.
    pub store: Arc<dyn StateStore>,
    /// Counters.
    pub metrics: Metrics,
    /// The last polls and deliveries, for people who look.
    pub journal: Journal,
    /// Where people reach the connect page; `None`: there is none.
    pub connect: Option<ConnectUrl>,
    /// Name of the cluster, part of the source of events; `None`: unknown.
    pub cluster: Option<Arc<str>>,
}

impl EngineContext {
    /// With fresh budgets for hosts and without a connect page; `tokens` is where access tokens are kept.
    pub fn new(
        egress: Egress,
        metrics: Metrics,
        secrets: Arc<dyn Secrets>,
        store: Arc<dyn StateStore>,
        tokens: Arc<dyn TokenStore>,
    ) -> Self {
        let hosts = HostBudget::default();
        let credentials = Credentials::new(Parts {
            egress: egress.clone(),
            hosts: hosts.clone(),
            secrets: Arc::clone(&secrets),
            store: tokens,
            beginnings: Beginnings::default(),
            metrics: metrics.clone(),
        });
        let asker = Asker {
            egress: egress.clone(),
            hosts,
            bytes: ByteBudget::default(),
            cpu: CpuBudget::default(),
            metrics: metrics.clone(),
            transcript: Transcript::default(),
        };
        let deliveries = TurnQueue::new(DELIVERIES);
        let journal = Journal::default();
        Self { asker, egress, deliveries, secrets, credentials, store, metrics, journal, connect: None, cluster: None }
    }

    /// The same with another budget for the bodies of pages.
    #[must_use]
    pub fn with_bytes(self, bytes: ByteBudget) -> Self {
        Self { asker: Asker { bytes, ..self.asker }, ..self }
    }

    /// What requesting tokens needs, for callers outside the engine: with the same client and the same budgets.
    pub fn parts(&self, tokens: Arc<dyn TokenStore>) -> Parts {
        Parts {
            egress: self.egress.clone(),
            hosts: self.asker.hosts.clone(),
            secrets: Arc::clone(&self.secrets),
            store: tokens,
            beginnings: Beginnings::default(),
            metrics: self.metrics.clone(),
        }
    }
}
