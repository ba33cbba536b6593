//! The wall clock next to the monotonic one: due times are on the former, which people and time servers set.

use chrono::{DateTime, Utc};

use super::Engine;
use crate::poll::entry::Kind;
use crate::poll::start::Starts;

/// A difference between wall clock and monotonic clock from here on is a step, not drift.
const CLOCK_STEP: chrono::Duration = chrono::Duration::seconds(5);

impl Engine {
    /// When the wall clock was set, the rhythm of polls moves with it.
    pub(super) fn follow_clock(&mut self, now: DateTime<Utc>) {
        let (wall, monotonic) = self.clocks;
        let elapsed = chrono::Duration::from_std(monotonic.elapsed()).unwrap_or_default();
        self.clocks = (now, std::time::Instant::now());
        let step = now - (wall + elapsed);
        if step.abs() < CLOCK_STEP {
            return;
        }
        self.starts = Starts::default();
        tracing::warn!(seconds = step.num_seconds(), "the wall clock was set; due times move with it");
        let mut due = Vec::new();
        for (key, entry) in &mut self.instances {
            if let Kind::Running(running) = &mut entry.kind {
                running.move_clock(step);
                due.extend((0..running.schedules.len()).map(|index| (key.clone(), index)));
            }
        }
        for (key, index) in due {
            self.enqueue(&key, index);
        }
    }
}
