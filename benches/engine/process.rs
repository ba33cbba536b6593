//! What the kernel says of this process (Linux).

use std::fs;
use std::time::Duration;

/// CPU time of all threads, in user and kernel mode. Threads that have ended do not count.
pub fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let nanoseconds = |task: fs::DirEntry| -> Option<u64> {
        // A thread may end while it is looked at.
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(|task| nanoseconds(task.ok()?)).sum())
}

/// What was added to [`cpu`] since.
pub fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

/// Resident memory, in KiB.
pub fn rss() -> u64 {
    status("VmRSS:")
}

/// The greatest resident memory so far, in KiB.
pub fn peak_rss() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

/// Microseconds of CPU for one of `count`.
pub fn micros_each(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}
