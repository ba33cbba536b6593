//! What every job needs.

use std::sync::Arc;

use crate::auth::Secrets;
use crate::egress::Egress;
use crate::fetch::walk::Asker;
use crate::observe::Metrics;
use crate::state::StateStore;

/// What every job needs, shared by all.
pub struct Core {
    /// Asks providers, within the budgets of their hosts.
    pub asker: Asker,
    /// The way to callbacks.
    pub egress: Egress,
    /// Secrets by namespace and name.
    pub secrets: Arc<dyn Secrets>,
    /// Where state is kept.
    pub store: Arc<dyn StateStore>,
    /// Counters.
    pub metrics: Metrics,
}
