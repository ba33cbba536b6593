//! How long a claim lasts, and how much earlier its holder gives it up.

use std::time::Duration;

/// The longest lease, which is also the longest that a Lease written by someone else is believed to last.
pub const MAX_LEASE: Duration = Duration::from_mins(2);
/// A Lease of one second is one that was given back.
const MIN_LEASE: Duration = Duration::from_secs(2);
/// The longest a single call to the API server may take.
const MAX_CALL: Duration = Duration::from_secs(4);

/// The three spans of client-go's leader election. A holder stops `renew_deadline` after it *sent* its last successful renewal;
/// others wait for `lease` after they *saw* the last change. Clocks may therefore differ by any amount, and their rates by the
/// factor `lease / renew_deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// Spans that cannot work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingProblem {
    /// Lease durations travel as whole seconds.
    #[error("the lease duration must be whole seconds from {} to {}", MIN_LEASE.as_secs(), MAX_LEASE.as_secs())]
    Lease,
    /// A holder must give up before others take over.
    #[error("the renew deadline must be shorter than the lease duration")]
    RenewDeadline,
    /// A holder needs room for more than one try.
    #[error("the retry period must be above zero and at most a third of the renew deadline")]
    Retry,
}

impl Timing {
    /// Spans of one's own.
    ///
    /// # Errors
    /// See [`TimingProblem`].
    pub fn new(lease: Duration, renew_deadline: Duration, retry: Duration) -> Result<Self, TimingProblem> {
        if lease < MIN_LEASE || lease > MAX_LEASE || lease.subsec_nanos() != 0 {
            return Err(TimingProblem::Lease);
        }
        if renew_deadline >= lease {
            return Err(TimingProblem::RenewDeadline);
        }
        if retry.is_zero() || retry.saturating_mul(3) > renew_deadline {
            return Err(TimingProblem::Retry);
        }
        Ok(Self { lease, renew_deadline, retry })
    }

    /// Deadline and retry period in client-go's proportion to the lease, 15 : 10 : 2.
    ///
    /// # Errors
    /// [`TimingProblem::Lease`].
    pub fn of_lease(seconds: u32) -> Result<Self, TimingProblem> {
        let lease = Duration::from_secs(u64::from(seconds));
        Self::new(lease, lease * 2 / 3, lease * 2 / 15)
    }

    /// How long others wait after the last change they saw.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// The lease in seconds, as a Lease says it.
    pub fn lease_seconds(&self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }

    /// How long after sending its last successful renewal a holder stops.
    pub const fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// The pace of tries after a failure.
    pub const fn retry(&self) -> Duration {
        self.retry
    }

    /// The pace of renewals that succeed: room for two calls that take their whole time before the deadline.
    pub fn renew_every(&self) -> Duration {
        self.renew_deadline / 3
    }

    /// How often all Leases are listed, in case the watch is silent.
    pub fn look_every(&self) -> Duration {
        self.lease / 5
    }

    /// The deadline of one call to the API server.
    pub fn call(&self) -> Duration {
        (self.renew_deadline * 3 / 10).min(MAX_CALL)
    }

    /// A candidate's pause after a failed try: the retry period times 1 to 2.2, as in client-go. `roll` is random in `0..1`.
    pub fn candidate_pause(&self, roll: f64) -> Duration {
        self.retry.mul_f64(1.0 + 1.2 * roll.clamp(0.0, 1.0))
    }

    /// A holder's pause after a failed renewal: the retry period, give or take a quarter, so that holders do not return to a
    /// recovering API server all at once.
    pub fn holder_pause(&self, roll: f64) -> Duration {
        self.retry.mul_f64(0.75 + 0.5 * roll.clamp(0.0, 1.0))
    }
}

impl Default for Timing {
    /// 15 s, 10 s and 2 s.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_proportion_of_client_go() {
        assert_eq!(Timing::of_lease(15), Ok(Timing::default()));
        assert_eq!(Timing::of_lease(1), Err(TimingProblem::Lease));
        assert_eq!(Timing::of_lease(121), Err(TimingProblem::Lease));
        let timing = Timing::of_lease(2).unwrap();
        assert!(timing.renew_every() + 2 * timing.call() < timing.renew_deadline());
    }

    #[test]
    fn refuses_spans_that_cannot_work() {
        let seconds = Duration::from_secs;
        assert_eq!(Timing::new(seconds(10), seconds(10), seconds(1)), Err(TimingProblem::RenewDeadline));
        assert_eq!(Timing::new(seconds(10), seconds(5), seconds(2)), Err(TimingProblem::Retry));
        assert_eq!(Timing::new(seconds(10), seconds(5), seconds(0)), Err(TimingProblem::Retry));
        assert_eq!(Timing::new(Duration::from_millis(1500), seconds(1), Duration::from_millis(100)), Err(TimingProblem::Lease));
        assert!(Timing::new(seconds(20), seconds(10), seconds(2)).is_ok());
    }
}
