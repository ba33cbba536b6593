//! Orders the rows of one answer that have one id.

use chrono::{DateTime, Utc};

use super::clock::ProviderClock;
use crate::plan::Order;

/// Which of two rows with one id is the later version?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    First,
    Second,
    /// They are one version.
    Neither,
}

/// Orders two rows by date, and by position where dates say nothing.
pub(super) fn later(order: Order, first: Option<DateTime<Utc>>, second: Option<DateTime<Utc>>, clock: &ProviderClock) -> Later {
    let by_position = if order == Order::Descending { Later::First } else { Later::Second };
    match (first, second) {
        (Some(first), Some(second)) if first == second => Later::Neither,
        (Some(first), Some(second)) if clock.is_far_ahead(first) == clock.is_far_ahead(second) => {
            if second > first {
                Later::Second
            } else {
                Later::First
            }
        }
        (None, None) => Later::Neither,
        _ => by_position,
    }
}
