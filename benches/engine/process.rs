//! What the kernel says of this process (Linux).

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The program that is measured: this version's, or another that `POLLINATOR_PROGRAM` names, such as that of an earlier release.
pub fn program() -> PathBuf {
    env::var_os("POLLINATOR_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_pollinator").into(), PathBuf::from)
}

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

/// The same of another process; `None` if it has ended.
pub fn peak_rss_of(id: u32) -> Option<u64> {
    status_of(&id.to_string(), "VmHWM:")
}

/// Resident memory of another process, in KiB; `None` if it has ended.
pub fn rss_of(id: u32) -> Option<u64> {
    status_of(&id.to_string(), "VmRSS:")
}

/// User and system time of all threads of another process that runs, also of those that have ended, in steps of 10 ms.
pub fn cpu_of(id: u32) -> Duration {
    // proc(5) counts utime and stime as fields 14 and 15
    ticks(&format!("/proc/{id}/stat"), 11)
}

fn status(field: &str) -> u64 {
    status_of("self", field).expect("Linux tells it")
}

fn status_of(process: &str, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// CPU time of all child processes that have ended and were waited for, in steps of 10 ms.
pub fn cpu_of_children() -> Duration {
    // proc(5) counts cutime and cstime as fields 16 and 17
    ticks("/proc/self/stat", 13)
}

/// The sum of two fields of a `stat`, of which the state, the third, counts as 0.
fn ticks(stat: &str, first: usize) -> Duration {
    let stat = fs::read_to_string(stat).expect("it runs");
    // after the name, which may have spaces
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
    let ticks: u64 = fields.split_whitespace().skip(first).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Microseconds of CPU for one of `count`.
pub fn micros_each(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}
