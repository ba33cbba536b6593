//! Whether the scheduler still comes round: what `/livez` is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a scheduler with nothing to do beats.
pub const BEAT: Duration = Duration::from_secs(5);
/// Without a beat for longer it has stopped. No step of it takes a tenth of this, so only a restart helps then.
pub const STOPPED: Duration = Duration::from_secs(30);

/// Says that it has ended in order, and will beat no more.
const RESTS: u64 = u64::MAX;

/// The sign of life of a scheduler. A clone is of the same one.
#[derive(Clone, Debug)]
pub struct Pulse {
    begun: Instant,
    /// Of the last beat, in milliseconds since `begun`.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Of a scheduler that is about to begin.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, last: Arc::default() }
    }

    /// It came round.
    pub fn beat(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.begun).as_millis();
        self.last.store(u64::try_from(elapsed).unwrap_or(RESTS), Ordering::Relaxed);
    }

    /// It ends in order: from now on no beat is missed.
    pub fn rest(&self) {
        self.last.store(RESTS, Ordering::Relaxed);
    }

    /// Whether it stands still, and will for ever.
    pub fn has_stopped(&self, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last != RESTS && now.saturating_duration_since(self.begun) > Duration::from_millis(last) + STOPPED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_stopped_only_after_a_long_time_without_a_beat() {
        let begun = Instant::now();
        let pulse = Pulse::new(begun);
        assert!(!pulse.has_stopped(begun) && !pulse.has_stopped(begun + STOPPED));
        assert!(pulse.has_stopped(begun + STOPPED + BEAT));
        pulse.beat(begun + STOPPED + BEAT);
        assert!(!pulse.has_stopped(begun + STOPPED + BEAT) && !pulse.has_stopped(begun + STOPPED * 2));
        assert!(pulse.clone().has_stopped(begun + STOPPED * 2 + BEAT * 2));
        pulse.rest();
        assert!(!pulse.has_stopped(begun + STOPPED * 100));
    }
}
