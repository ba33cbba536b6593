//! Fits stored state to a plan: a spec edit resets a cursor only when its meaning changed. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{InstanceState, ResourceState};
use crate::plan::PollPlan;

/// Annotation: rebaselines the resource that it names.
pub const RESET: &str = "pollinator.dev/reset";
/// Annotation: tries the parked events of the resource that it names again.
pub const REDELIVER: &str = "pollinator.dev/redeliver";
/// Annotation: polls at once whenever its value changes.
pub const POLL_NOW: &str = "pollinator.dev/poll-now";
/// Annotation of Flux: the same.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// What fitting the state found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The state changed and must be saved before it is used.
    pub changed: bool,
    /// Somebody asked for a poll at once.
    pub poll_now: bool,
    /// Resources whose cursor was given up, with the reason.
    pub resets: Vec<(String, &'static str)>,
}

/// Fits `state` to `plan` and acts on annotations that are new.
pub fn adopt(
    state: &mut InstanceState,
    plan: &PollPlan,
    annotations: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Adopted {
    let before = state.clone();
    let mut adopted = Adopted::default();
    let declared = |name: &str| plan.resources.iter().any(|resource| &*resource.name == name);
    state.resources.retain(|name, _| declared(name));
    state.ledger.retain_resources(declared);
    for resource in &plan.resources {
        let meaning = format!("{:016x}", resource.meaning);
        match state.resources.get_mut(&*resource.name) {
            None => {
                let fresh = ResourceState { meaning, ..ResourceState::default() };
                state.resources.insert(resource.name.to_string(), fresh);
            }
            Some(own) if own.meaning != meaning => {
                let reason = "connector, origin of baseUrl or idField changed";
                reset(own, meaning, reason);
                adopted.resets.push((resource.name.to_string(), reason));
            }
            Some(_) => {}
        }
    }
    for key in [RESET, REDELIVER, POLL_NOW, REQUESTED_AT] {
        let Some(value) = annotations.get(key) else {
            state.handled.remove(key);
            continue;
        };
        if state.handled.get(key) == Some(value) {
            continue;
        }
        state.handled.insert(key.to_owned(), value.clone());
        match key {
            RESET => {
                if let Some(own) = state.resources.get_mut(value.as_str()) {
                    let reason = "asked for by annotation";
                    reset(own, own.meaning.clone(), reason);
                    adopted.resets.push((value.clone(), reason));
                    adopted.poll_now = true;
                }
            }
            REDELIVER => {
                state.ledger.redeliver(value, now);
                adopted.poll_now = true;
            }
            _ => adopted.poll_now = true,
        }
    }
    adopted.changed = *state != before;
    adopted
}

fn reset(own: &mut ResourceState, meaning: String, reason: &str) {
    *own = ResourceState {
        meaning,
        delivered: own.delivered,
        last_change_time: own.last_change_time,
        reset_reason: Some(reason.to_owned()),
        ..ResourceState::default()
    };
}
