//! Whether the wall clock was set. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use crate::moment::Moment;

/// A difference between wall clock and monotonic clock of this size or more is a step, not drift.
const STEP: TimeDelta = TimeDelta::seconds(5);

/// The wall clock next to the monotonic clock, which no one can set and which goes on while the machine is suspended.
pub(super) struct WallClock {
    wall: DateTime<Utc>,
    monotonic: Moment,
}

impl WallClock {
    /// Both clocks, read together.
    pub(super) fn new(wall: DateTime<Utc>, monotonic: Moment) -> Self {
        Self { wall, monotonic }
    }

    /// By how much the wall clock was set since the last call; `None`: it was not.
    pub(super) fn step(&mut self, wall: DateTime<Utc>, monotonic: Moment) -> Option<TimeDelta> {
        let elapsed = TimeDelta::from_std(monotonic.since(self.monotonic)).unwrap_or_default();
        let step = wall - (self.wall + elapsed);
        *self = Self::new(wall, monotonic);
        (step.abs() >= STEP).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::moment;

    #[test]
    fn a_step_is_noticed_once_and_drift_is_none() {
        let (wall, monotonic) = (Utc::now(), moment::now());
        let mut clock = WallClock::new(wall, monotonic);
        let mut after = |wall_seconds: i64, seconds: u64| {
            clock.step(wall + TimeDelta::seconds(wall_seconds), monotonic + Duration::from_secs(seconds))
        };
        assert_eq!(after(10, 10), None);
        assert_eq!(after(24, 20), None, "four seconds are drift");
        assert_eq!(after(3_634, 30), Some(TimeDelta::hours(1)));
        assert_eq!(after(3_644, 40), None);
        assert_eq!(after(54, 50), Some(TimeDelta::hours(-1)));
        assert_eq!(
            after(154, 150),
            None,
            "a process that was stopped, and a machine that was suspended, are late with both clocks"
        );
    }
}
