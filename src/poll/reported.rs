//! What was last reported of an instance, and the gauges that count it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::status::InstanceStatus;
use crate::api::conditions::ConditionStatus;
use crate::observe::metrics::{self, Metrics};

/// What was last reported of an instance. The default: nothing was.
#[derive(Clone, Copy, Default)]
pub(super) struct Reported {
    /// Hash of the status.
    status: u64,
    state: Option<metrics::InstanceState>,
    parked: i64,
    set_aside: i64,
}

impl Reported {
    /// What a status reports. `suspended`: the instance is.
    pub(super) fn of(status: &InstanceStatus, suspended: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        status.hash(&mut hasher);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            status: hasher.finish(),
            state: Some(match status.ready {
                _ if suspended => metrics::InstanceState::Suspended,
                ConditionStatus::True => metrics::InstanceState::Ready,
                ConditionStatus::False | ConditionStatus::Unknown => metrics::InstanceState::NotReady,
            }),
            parked: count(status.parked),
            set_aside: count(status.set_aside),
        }
    }

    /// The status is reported again, even if it is the same.
    pub(super) fn forget_status(&mut self) {
        self.status = 0;
    }

    /// Takes the place of `self` in the gauges with `new`. Answers whether the status is another one.
    pub(super) fn replace(&mut self, new: Self, metrics: &Metrics) -> bool {
        let old = std::mem::replace(self, new);
        if old.state != new.state {
            old.state.into_iter().for_each(|state| metrics.instances(state, -1));
            new.state.into_iter().for_each(|state| metrics.instances(state, 1));
        }
        if old.parked != new.parked {
            metrics.parked(new.parked - old.parked);
        }
        if old.set_aside != new.set_aside {
            metrics.set_aside(new.set_aside - old.set_aside);
        }
        old.status != new.status
    }
}
