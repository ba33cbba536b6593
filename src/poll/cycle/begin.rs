//! What a poll begins with. Pure.

use std::time::Duration;

use crate::detect::classify::Mode;
use crate::detect::detector::View;
use crate::detect::order;
use crate::plan::{ResourcePlan, StartFrom};
use crate::poll::strategy::Tokenless;
use crate::state::ResourceState;

/// What the state of a resource says when a poll begins.
pub(super) fn view(resource: &ResourcePlan, own: Option<&ResourceState>) -> View {
    let (started, cursor, window) = own.map_or((false, None, 0), |own| (own.started, own.cursor, own.reach));
    let mode = match (started, resource.start_from) {
        (true, _) | (false, StartFrom::Time(_)) => Mode::Usual,
        (false, StartFrom::Now) => Mode::Baseline,
        (false, StartFrom::Earliest) => Mode::FirstRead,
    };
    let rehash = own.is_some_and(|own| own.started && own.hashed_without != resource.content_digest());
    View { mode, cursor, window: Duration::from_secs(window), rehash }
}

/// Whether rows of the list were out of the order that is declared.
pub(super) fn is_order_broken(resource: &ResourcePlan, own: Option<&ResourceState>) -> bool {
    // Of most lists nothing is stored, and the digest need not be made.
    let own = own.filter(|own| !own.broken_order.is_empty());
    own.is_some_and(|own| order::is_broken(&own.broken_order, resource.order_digest().as_deref()))
}

/// The token of the last poll, if it is one for the request of this plan.
///
/// # Errors
/// Why there is none, if one is needed to continue where the last poll ended.
pub(super) fn token(resource: &ResourcePlan, own: Option<&ResourceState>) -> Result<String, Option<Tokenless>> {
    let (Some(own), true) = (own, resource.delta.is_some()) else { return Err(None) };
    match &own.token {
        Some(token) => token.text_for(resource.delta.as_ref()).map(str::to_owned).ok_or(Some(Tokenless::Edited)),
        None if own.known.is_empty() => Err(None),
        None => Err(Some(Tokenless::Unkept)),
    }
}

/// Objects whose last change was tried and not taken by every sink.
pub(super) fn unconfirmed(own: Option<&ResourceState>) -> Vec<u64> {
    let Some(own) = own else { return Vec::new() };
    let failing = own.failing.iter().map(|failing| failing.object);
    failing.chain(own.taken.iter().map(|taken| taken.object)).collect()
}
