//! How much CPU time the current thread has used.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// What turns on this thread have counted already, so that a job that is measured around them does not count it again.
    static COUNTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// CPU time of the current thread since it began. A system call: not for every step of small work.
#[cfg(target_os = "linux")]
pub(super) fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The same where the clock is not known to exist: elapsed time, which is never less.
#[cfg(not(target_os = "linux"))]
pub(super) fn used() -> Duration {
    static BEGUN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGUN.elapsed()
}

/// What turns on this thread have counted since it began.
pub(super) fn counted() -> Duration {
    COUNTED.get()
}

/// A turn on this thread has counted that.
pub(super) fn count(spent: Duration) {
    COUNTED.set(COUNTED.get() + spent);
}
