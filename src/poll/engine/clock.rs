//! Due times are by the wall clock, which people and time servers change.

use chrono::{DateTime, Utc};

use super::Engine;
use crate::poll::entry::Kind;
use crate::poll::start::Starts;

impl Engine {
    /// The wall clock was changed by `step`: the rhythm of polls moves with it.
    pub(super) fn move_due_times(&mut self, step: chrono::Duration, now: DateTime<Utc>) {
        self.starts = Starts::default();
        tracing::warn!(seconds = step.num_seconds(), "the wall clock was changed; due times move with it");
        let mut due = Vec::new();
        for (key, entry) in &mut self.instances {
            if let Kind::Running(running) = &mut entry.kind {
                running.move_clock(step);
                due.extend((0..running.schedules.len()).map(|index| (key.clone(), index)));
            }
        }
        for (key, index) in due {
            self.enqueue(&key, index, now);
        }
    }
}
