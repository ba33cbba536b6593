//! What a trial shows of a resource that is polled once for each of several values.

use std::sync::Arc;

use super::count;
use crate::observe::output;
use crate::plan::ResourcePlan;

/// Lists that are tried: enough to prove that they differ.
const TRIED: usize = 3;

/// The lists of a resource that are tried; the resource itself if it has one.
pub(super) fn lists(resource: &Arc<ResourcePlan>) -> Vec<Arc<ResourcePlan>> {
    let Some(plan) = resource.for_each.as_deref() else { return vec![Arc::clone(resource)] };
    let tried = plan.values.iter().take(TRIED).map(|value| Arc::new(resource.for_value(value))).collect();
    let (all, shown) = (plan.values.len(), TRIED.min(plan.values.len()));
    output::line(format_args!(
        "  forEach:      {} of {} are tried; a poll sends at least {}",
        shown,
        count(all as u64, "list"),
        count(all as u64, "request")
    ));
    tried
}
