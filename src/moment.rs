//! The clock of all deadlines: it never jumps, and where the system has such a clock it also runs while the machine sleeps.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A point on this machine's own clock. Not comparable between machines or across a boot.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(Duration::ZERO);
    /// Later than any other.
    pub const NEVER: Self = Self(Duration::MAX);

    /// Time passed since the clock's origin.
    pub const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Nanoseconds since the clock's origin, which last for 584 years.
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The reverse of [`Self::as_nanos`].
    pub const fn of_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// Now. `CLOCK_BOOTTIME` where there is one: `std::time::Instant` stops while a Linux machine is suspended, and a process that wakes on
/// such a clock believes in a claim that others have long taken over.
#[cfg(target_os = "linux")]
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Never negative: it counts from the boot.
    Moment(Duration::try_from(time).unwrap_or_default())
}

/// Now, on the best clock that the standard library has.
#[cfg(not(target_os = "linux"))]
pub fn now() -> Moment {
    static ORIGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    Moment(ORIGIN.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward_and_survives_nanoseconds() {
        let (first, second) = (now(), now());
        assert!(first <= second);
        assert_eq!(Moment::of_nanos(second.as_nanos()), second);
        assert_eq!(first.since(second + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
    }
}
