//! What may be sent now, for callers that make a change ready only then, and of which list.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Outbox;
use crate::deliver::delivery_state::SharedState;
use crate::deliver::health::Admission;
use crate::deliver::triage::{Targets, Wanted, wanted};
use crate::detect::event::Change;

impl<S: SharedState> Outbox<'_, S> {
    /// The changes that follow are of another list of the resource.
    pub fn begin_list(&mut self, name: &Arc<str>) {
        self.list = Arc::clone(name);
    }

    /// How many changes may be made ready at a time, at most `most`: none while no sink may be asked, and one while a sink is only probed.
    pub fn room(&self, most: usize, now: DateTime<Utc>) -> usize {
        let admissions: Vec<_> = (0..self.outlets.len())
            .filter_map(|index| {
                let target = self.open(index)?;
                let name = &self.names[index];
                Some(self.state.step(&self.list, |state| state.sinks.health(name).admission(target, now)))
            })
            .collect();
        match (admissions.contains(&Admission::Open), admissions.contains(&Admission::Probe)) {
            (true, _) => most,
            (false, true) => most.min(1),
            (false, false) => 0,
        }
    }

    /// Whether a change may be sent now.
    pub fn wanted(&self, change: &Change, now: DateTime<Utc>) -> Wanted {
        let open: Vec<_> = (0..self.outlets.len()).map(|index| self.open(index)).collect();
        let targets = Targets { names: &self.names, open: &open };
        self.state.step(&self.list, |state| wanted(state, change, targets, now))
    }
}
