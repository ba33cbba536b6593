//! The health of one sink as a whole: open, or closed until a time. Pure.
//!
//! One object that fails while others pass is that object's trouble. When the last five distinct objects all failed, it is the
//! sink's: then nothing is deferred, cursors stand still, and one probe a step of the retry schedule is sent.
//!
//! Apart from that it says how deliveries go, for people: a sink whose last delivery failed is failing, whatever the object.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::schedule;
use super::sink::Cause;

/// The sink counts as down once this number of distinct objects in a row has failed.
pub const DISTINCT_FAILURES: usize = 5;
/// A failing sink needs a person's attention after this number of failures in a row,
const LASTING_FAILURES: u32 = 3;
/// or when it has failed, or will have been left alone, for this long.
const LASTING: chrono::Duration = chrono::Duration::minutes(5);

/// The health of a sink; survives restarts, so that a restart neither tries early nor burns a try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkHealth {
    /// Hashes of the distinct objects that failed since the last acceptance, at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failed_objects: Vec<u64>,
    /// Down since five distinct objects failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    down: Option<Down>,
    /// The sink asked to be left alone (`Retry-After`) until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_until: Option<DateTime<Utc>>,
    /// The target is gone; holds for the target with this fingerprint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<u64>,
    /// How it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Its last delivery failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<FailingSink>,
}

/// Failures in a row. One object that a sink refuses while it accepts others is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailingSink {
    since: DateTime<Utc>,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Down {
    steps: u32,
    probe_at: DateTime<Utc>,
}

/// Whether something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Open,
    /// One request, to see whether the sink is back.
    Probe,
    /// Not before this time.
    ClosedUntil(DateTime<Utc>),
    /// Not until the sink is changed.
    Gone,
}

impl SinkHealth {
    /// The health of a sink that never failed.
    pub const FRESH: Self =
        Self { failed_objects: Vec::new(), down: None, hold_until: None, gone: None, cause: None, failing: None };

    /// Nothing is known: the health of a sink that never failed.
    pub fn is_fresh(&self) -> bool {
        *self == Self::FRESH
    }

    /// Whether something may be sent to the target with this fingerprint.
    pub fn admission(&self, target: u64, now: DateTime<Utc>) -> Admission {
        if self.gone == Some(target) {
            return Admission::Gone;
        }
        if let Some(until) = self.hold_until.filter(|until| *until > now) {
            return Admission::ClosedUntil(until);
        }
        match self.down {
            Some(Down { probe_at, .. }) if probe_at > now => Admission::ClosedUntil(probe_at),
            Some(_) => Admission::Probe,
            None => Admission::Open,
        }
    }

    /// The wall clock was set: what is remembered of it moves with it.
    pub(super) fn move_clock(&mut self, step: chrono::Duration) {
        self.hold_until = self.hold_until.map(|until| until + step);
        if let Some(down) = &mut self.down {
            down.probe_at += step;
        }
        if let Some(failing) = &mut self.failing {
            failing.since += step;
        }
    }

    /// Whether the sink is down, as opposed to a single object.
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Whether the target with this fingerprint is gone.
    pub fn is_gone(&self, target: u64) -> bool {
        self.gone == Some(target)
    }

    /// The latest time before which nothing is sent, past or not; `None`: there is none, or the sink is gone.
    pub fn closed_until(&self) -> Option<DateTime<Utc>> {
        self.hold_until.max(self.down.map(|down| down.probe_at)).filter(|_| self.gone.is_none())
    }

    /// Since when deliveries have failed in a row; `None` when the last one did not.
    pub fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.failing.map(|failing| failing.since)
    }

    /// Whether it has failed often enough, or for long enough, to need a person's attention.
    pub fn fails_lastingly(&self, now: DateTime<Utc>) -> bool {
        let lasts = |failing: FailingSink| {
            let until = self.hold_until.map_or(now, |until| until.max(now));
            failing.failures >= LASTING_FAILURES || until - failing.since >= LASTING
        };
        self.failing.is_some_and(lasts)
    }

    /// An event was accepted.
    pub fn note_accepted(&mut self) {
        *self = Self::FRESH;
    }

    /// A try of an object failed.
    pub fn note_failed(&mut self, object: u64, failure: Failure, now: DateTime<Utc>, seed: u64) {
        self.cause = Some(failure.cause);
        if failure.blame == Blame::Sink {
            let before = self.failing.unwrap_or(FailingSink { since: now, failures: 0 });
            self.failing = Some(FailingSink { failures: before.failures.saturating_add(1), ..before });
        }
        if let Some(wait) = failure.retry_after {
            let until = chrono::Duration::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait));
            self.hold_until = self.hold_until.max(until);
        }
        if !self.failed_objects.contains(&object) && self.failed_objects.len() < DISTINCT_FAILURES {
            self.failed_objects.push(object);
        }
        let steps = match self.down {
            // Several requests may have been under way when it went down: together they are one step.
            Some(Down { probe_at, .. }) if probe_at > now => return,
            Some(Down { steps, .. }) => steps + 1,
            None if self.failed_objects.len() >= DISTINCT_FAILURES => 1,
            None => return,
        };
        self.down = Some(Down { steps, probe_at: schedule::next_probe(steps, seed, failure.retry_after, now) });
    }

    /// The target is gone.
    pub fn note_gone(&mut self, target: u64) {
        self.gone = Some(target);
    }
}

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How long the sink as a whole asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What failed.
    pub cause: Cause,
    /// Whose trouble it is.
    pub blame: Blame,
}

/// Whose trouble a failed try is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The sink's, as far as is known: it may fail for every object.
    Sink,
    /// That one object's: the sink has worked before, and refused it.
    Object,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sink::http::interpret::HttpCause;

    const FAILED: Failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(500)), blame: Blame::Sink };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn five_distinct_objects_close_it_and_one_acceptance_opens_it() {
        let mut state = SinkHealth::default();
        for object in [1, 2, 3, 4, 4, 4] {
            state.note_failed(object, FAILED, at(0), 0);
            assert_eq!(state.admission(9, at(0)), Admission::Open, "object {object}");
        }
        state.note_failed(5, FAILED, at(0), 0);
        assert!(matches!(state.admission(9, at(0)), Admission::ClosedUntil(_)));
        assert_eq!(state.admission(9, at(7)), Admission::Probe);
        state.note_accepted();
        assert!(state.is_fresh());
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut state = SinkHealth::default();
        for object in 0..20 {
            state.note_failed(object, FAILED, at(0), 0);
            if object % 4 == 3 {
                state.note_accepted();
            }
        }
        assert!(!state.is_down());
    }

    #[test]
    fn each_failed_probe_is_one_step_even_when_many_were_under_way() {
        let mut state = SinkHealth::default();
        for object in 0..8 {
            state.note_failed(object, FAILED, at(0), 0);
        }
        // 5 s ± 20 %, then 5 m ± 20 %
        assert_eq!(state.admission(9, at(3)), state.admission(9, at(0)));
        assert_eq!(state.admission(9, at(6)), Admission::Probe);
        state.note_failed(1, FAILED, at(6), 0);
        let Admission::ClosedUntil(until) = state.admission(9, at(6)) else { panic!("open") };
        assert!((at(6 + 240)..=at(6 + 360)).contains(&until), "{until}");
    }

    #[test]
    fn a_retry_after_holds_for_all_objects() {
        let mut state = SinkHealth::default();
        state.note_failed(1, Failure { retry_after: Some(Duration::from_secs(100)), ..FAILED }, at(0), 0);
        assert_eq!(state.admission(9, at(99)), Admission::ClosedUntil(at(100)));
        assert_eq!(state.admission(9, at(100)), Admission::Open);
    }

    #[test]
    fn three_failures_five_minutes_or_a_long_hold_are_worth_attention() {
        let mut state = SinkHealth::default();
        assert_eq!((state.failing_since(), state.fails_lastingly(at(1_000))), (None, false));
        state.note_failed(1, FAILED, at(0), 0);
        assert_eq!((state.failing_since(), state.fails_lastingly(at(299))), (Some(at(0)), false));
        assert!(state.fails_lastingly(at(300)));
        state.note_failed(1, FAILED, at(5), 0);
        assert!(!state.fails_lastingly(at(5)));
        state.note_failed(1, FAILED, at(6), 0);
        assert_eq!((state.failing_since(), state.fails_lastingly(at(6))), (Some(at(0)), true));
        state.note_accepted();
        assert_eq!(state.failing_since(), None);
        state.note_failed(1, Failure { retry_after: Some(Duration::from_hours(24)), ..FAILED }, at(0), 0);
        assert!(state.fails_lastingly(at(0)), "nothing will be sent for a day");
    }

    #[test]
    fn what_a_working_sink_refuses_is_not_its_failure() {
        let mut state = SinkHealth::default();
        for _ in 0..9 {
            state.note_failed(1, Failure { blame: Blame::Object, ..FAILED }, at(0), 0);
        }
        assert_eq!((state.failing_since(), state.fails_lastingly(at(9_000))), (None, false));
    }

    #[test]
    fn gone_holds_for_that_target_only() {
        let mut state = SinkHealth::default();
        state.note_gone(9);
        assert_eq!(state.admission(9, at(1_000_000)), Admission::Gone);
        assert_eq!(state.admission(10, at(0)), Admission::Open);
    }
}
