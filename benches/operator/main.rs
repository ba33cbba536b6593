//! Memory and start of the operator with many idle instances, on a real control plane. Figures are printed, never asserted.
//!
//! `cargo bench --bench operator` takes some minutes, most of which the API server spends on storing the instances. Other numbers
//! of instances stand behind `--`: two of them, so that what an instance costs can be told from what the process costs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench whose rig fails can only end")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are printed")]
#![allow(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is a whole number")]

#[path = "../../tests/it/rig/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::pedantic,
    reason = "the rig of the integration tests, of which a part is needed here"
)]
mod rig;

use std::thread;
use std::time::{Duration, Instant};

use rig::control_plane::ControlPlane;
use rig::operator::Cluster;

const COUNTS: [usize; 2] = [1_000, 10_000];
/// Callers that create instances at once.
const CALLERS: usize = 16;
/// Longer than any start takes.
const LONG: Duration = Duration::from_mins(20);
/// So long nothing may be written until all is held to be stored.
const QUIET: Duration = Duration::from_secs(5);

/// One start, from the process's beginning.
struct Start {
    first_poll: Duration,
    all_polled: Duration,
    /// KiB once nothing more is written, and at most.
    resident: u64,
    peak: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` and `--list` want no measurement.
    if !args.iter().any(|arg| arg == "--bench") || args.iter().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let given: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let [few, many] = if let [few, many] = given[..] { [few, many] } else { COUNTS };
    println!("operator: one resource each; targets 4 KiB an instance, first poll within 2 s, peak below 1.5 × steady");
    let (Some(small), Some(large)) = (measure(few), measure(many)) else { return };
    let slope = (large.resident as f64 - small.resident as f64) / (many - few) as f64;
    let intercept = (small.resident as f64 - slope * few as f64) / 1024.0;
    println!("operator/memory: {slope:.2} KiB an instance beside {intercept:.1} MiB for the process");
}

/// Creates the instances, starts the operator on them twice, and returns the second start: that of a process that was replaced.
fn measure(count: usize) -> Option<Start> {
    let plane = ControlPlane::start()?;
    let cluster = Cluster::new(&plane, "bench");
    let begun = Instant::now();
    create(&cluster, count);
    println!("operator/{count:<6} created {:.0} a second", count as f64 / begun.elapsed().as_secs_f64());
    let mut last = None;
    for kind in ["new", "known"] {
        let (begun, written) = (Instant::now(), statuses_written(&plane));
        let asked = cluster.provider.asked();
        let mut operator = cluster.start_beside();
        assert!(cluster.provider.try_wait_asked(asked + 1, LONG));
        let first_poll = begun.elapsed();
        assert!(cluster.provider.try_wait_asked(asked + count, LONG));
        let all_polled = begun.elapsed();
        let written = wait_quiet(&plane) - written;
        let stored = begun.elapsed().saturating_sub(QUIET);
        let memory = |field| operator.memory(field).expect("Linux tells it");
        let start = Start { first_poll, all_polled, resident: memory("VmRSS"), peak: memory("VmHWM") };
        println!(
            "operator/{count:<6} {kind:<5} first poll {} ms, all polled {:.1} s, all {written} statuses written {:.1} s after start; {:.1} MiB steady, peak {:.2} × steady",
            start.first_poll.as_millis(),
            start.all_polled.as_secs_f64(),
            stored.as_secs_f64(),
            start.resident as f64 / 1024.0,
            start.peak as f64 / start.resident as f64
        );
        assert!(operator.sigterm().success());
        last = Some(start);
    }
    last
}

fn create(cluster: &Cluster<'_>, count: usize) {
    let numbers: Vec<_> = (0..count).collect();
    thread::scope(|scope| {
        for part in numbers.chunks(count.div_ceil(CALLERS)) {
            scope.spawn(move || {
                for number in part {
                    let mut instance = cluster.instance().and_resource("interval: 2m");
                    instance.name = format!("it-{number}");
                    cluster.create(&instance);
                }
            });
        }
    });
}

/// Waits until nothing was written for a while, and returns how many statuses were in all.
fn wait_quiet(plane: &ControlPlane) -> u64 {
    let deadline = Instant::now() + LONG;
    let (mut since, mut written) = (Instant::now(), statuses_written(plane));
    while since.elapsed() < QUIET {
        assert!(Instant::now() < deadline, "it goes on writing");
        thread::sleep(Duration::from_secs(1));
        let now = statuses_written(plane);
        if now != written {
            (written, since) = (now, Instant::now());
        }
    }
    written
}

/// As the API server counts them.
fn statuses_written(plane: &ControlPlane) -> u64 {
    let metrics = plane.api().get("/metrics").body;
    let is_counted = |line: &&str| {
        let labels = ["resource=\"connectorinstances\"", "subresource=\"status\"", "verb=\"PUT\""];
        line.starts_with("apiserver_request_total{") && labels.iter().all(|label| line.contains(label))
    };
    let lines = metrics.as_str().unwrap_or_default().lines().filter(is_counted);
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).map(|count| count as u64).sum()
}
