//! What asking for tokens needs.

use std::sync::Arc;

use super::store::TokenStore;
use crate::auth::Secrets;
use crate::egress::Egress;
use crate::egress::hosts::HostBudget;
use crate::observe::metrics::Metrics;

/// Does the right to act for the instance hold at this moment?
pub type Holds = Arc<dyn Fn() -> bool + Send + Sync>;

/// What asking for tokens needs.
pub struct Parts {
    /// The one client.
    pub egress: Egress,
    /// How much each host is asked.
    pub hosts: HostBudget,
    /// Users' Secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Where tokens are kept.
    pub store: Arc<dyn TokenStore>,
    /// Counts requests.
    pub metrics: Metrics,
}
