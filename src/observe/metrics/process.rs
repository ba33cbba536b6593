//! What every process has, by the names that Prometheus' own clients use: memory, CPU time, open files, start. Read from `/proc`;
//! where there is none, there are no such metrics.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Units of times in `/proc/PID/stat` a second: `USER_HZ`, which is the same on every platform that Rust's Linux targets have.
const TICKS: f64 = 100.0;

/// What is known of the process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    cpu_seconds: f64,
    /// Unix time.
    started: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    open_files: i64,
    /// `None`: without a limit.
    max_files: Option<i64>,
}

impl Process {
    fn now() -> Option<Self> {
        let read = |path| fs::read_to_string(path).ok();
        let open = fs::read_dir("/proc/self/fd").ok()?.count();
        let files = Files {
            stat: &read("/proc/self/stat")?,
            status: &read("/proc/self/status")?,
            limits: &read("/proc/self/limits")?,
            system: &read("/proc/stat")?,
        };
        // The folder itself was open while it was counted.
        files.parse(i64::try_from(open).unwrap_or(i64::MAX) - 1)
    }
}

/// The texts of the files in `/proc` (proc(5)).
struct Files<'a> {
    stat: &'a str,
    status: &'a str,
    limits: &'a str,
    system: &'a str,
}

impl Files<'_> {
    fn parse(&self, open_files: i64) -> Option<Process> {
        // The name may have blanks and parentheses; the third field follows the last one.
        let fields: Vec<&str> = self.stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let booted: f64 = after(self.system, "btime ")?.trim().parse().ok()?;
        let kibibytes = |name| after(self.status, name)?.trim().strip_suffix("kB")?.trim().parse::<i64>().ok();
        Some(Process {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
            started: booted + ticks(22)? / TICKS,
            resident_bytes: kibibytes("VmRSS:")? * 1024,
            virtual_bytes: kibibytes("VmSize:")? * 1024,
            open_files,
            max_files: after(self.limits, "Max open files").and_then(|limits| limits.split_whitespace().next()?.parse().ok()),
        })
    }
}

/// The rest of the line that begins like this.
fn after<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(begin))
}

/// A registry of these metrics, which have no prefix.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Reader));
    registry
}

#[derive(Debug)]
struct Reader;

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(process) = Process::now() else { return Ok(()) };
        let help = "CPU time that the process has used, in user and system mode";
        let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(process.cpu_seconds).encode(metric)?;
        let help = "When the process started, as Unix time";
        let metric = encoder.encode_descriptor("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(process.started).encode(metric)?;
        for (name, help, bytes) in [
            ("process_resident_memory", "Memory of the process that is in RAM", process.resident_bytes),
            ("process_virtual_memory", "Address space of the process", process.virtual_bytes),
        ] {
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
            ConstGauge::new(bytes).encode(metric)?;
        }
        let metric = encoder.encode_descriptor("process_open_fds", "Open file descriptors", None, MetricType::Gauge)?;
        ConstGauge::new(process.open_files).encode(metric)?;
        if let Some(most) = process.max_files {
            let help = "Largest number of open file descriptors";
            let metric = encoder.encode_descriptor("process_max_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(most).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 1234 66 0 0 20 0 4 0 250050 123 45 184467 1 1 0 0\n";
    const STATUS: &str = "Name:\tpollinator\nVmSize:\t  204800 kB\nVmRSS:\t   51200 kB\n";
    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max open files            1024                 4096                 files     \n";
    const SYSTEM: &str = "cpu  1 2 3\nbtime 1700000000\nprocesses 5\n";

    #[test]
    fn files_of_proc_are_read() {
        let files = Files { stat: STAT, status: STATUS, limits: LIMITS, system: SYSTEM };
        let expected = Process {
            cpu_seconds: 13.0,
            started: 1_700_002_500.5,
            resident_bytes: 50 * 1024 * 1024,
            virtual_bytes: 200 * 1024 * 1024,
            open_files: 9,
            max_files: Some(1024),
        };
        assert_eq!(files.parse(9), Some(expected));
        let unlimited = LIMITS.replace("1024 ", "unlimited ");
        assert_eq!(Files { limits: &unlimited, ..files }.parse(9), Some(Process { max_files: None, ..expected }));
        assert_eq!(Files { status: "", stat: STAT, limits: LIMITS, system: SYSTEM }.parse(9), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_alive() {
        let process = Process::now().expect("proc");
        assert!(process.resident_bytes > 1024 * 1024 && process.virtual_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.open_files >= 3 && process.max_files.is_none_or(|most| most >= process.open_files), "{process:?}");
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs_f64();
        assert!((-60.0..86_400.0).contains(&(now - process.started)), "{process:?} at {now}");
    }
}
