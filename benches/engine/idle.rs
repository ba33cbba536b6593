//! Polls that find nothing.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use pollinator::api::conditions::ConditionStatus;
use pollinator::plan::PollPlan;

use crate::rig::{Counting, Manifest, Running};
use crate::server::{self, EVENTS, Server};
use crate::{bare, process};

/// Name of the section.
pub const NAME: &str = "idle";
const MEASURED: Duration = Duration::from_secs(3);

/// How often is polled. Intervals are far below what a manifest may say, so that a short run sees many polls.
struct Pace {
    name: &'static str,
    instances: usize,
    interval: Duration,
}

/// Between two polls the threads fall asleep, as they do in a process that is not short of time: waking up is most of the cost.
const PACED: Pace = Pace { name: "1,000 a second", instances: 1_000, interval: Duration::from_secs(1) };
/// Four requests are always under way, which is all that one host is asked: more come due with each batch than are done until the next.
const BUSY: Pace = Pace { name: "back to back", instances: 4_000, interval: Duration::from_millis(1) };

/// Prints CPU a poll; target: 60 µs and no write.
pub fn run() {
    println!("{NAME}: polls over loopback; target 60 µs CPU, 0 state writes");
    let provider = Server::start();
    let empty = format!("{}{}", provider.url(), server::EMPTY);
    for (pace, bare) in [(&PACED, bare::paced_gets(&empty, 3_000)), (&BUSY, bare::gets(&empty, 20_000, 4))] {
        println!("{NAME}/{:<15} {:<18} {bare:>6.1} µs CPU a request of the bare HTTP client", pace.name, "yardstick");
        for (case, path) in [("empty page", server::EMPTY), ("one known record", server::ONE), ("304", server::UNCHANGED)] {
            let (each, polls, writes) = measure(pace, path, &provider.url());
            println!(
                "{NAME}/{:<15} {case:<18} {each:>6.1} µs CPU a poll, {:.2} × bare, {polls} polls, {writes} state writes",
                pace.name,
                each / bare
            );
            assert!(polls > 0 && writes == 0, "an idle poll writes nothing");
        }
    }
}

fn measure(pace: &Pace, path: &str, provider: &str) -> (f64, u64, u64) {
    let store = Arc::new(Counting::default());
    let mut engine = Running::start(Arc::clone(&store) as _);
    let callback = format!("{provider}{EVENTS}");
    let manifest =
        Manifest { provider, path, callback: &callback, format: "CloudEvents", batched: false, start_from: "Now", dated: true };
    let often = |mut plan: PollPlan| {
        for resource in &mut plan.resources {
            Arc::make_mut(resource).interval = pace.interval;
        }
        plan
    };
    engine.put((0..pace.instances).map(|number| often(manifest.plan(&format!("keap-{number}")))));
    engine.wait(pace.instances, |status| status.ready == ConditionStatus::True);
    sleep(Duration::from_secs(1));
    let (cpu, polls, writes) = (process::cpu(), engine.idle_polls(), store.saves());
    sleep(MEASURED);
    let (cpu, polls, writes) = (process::cpu_since(cpu), engine.idle_polls() - polls, store.saves() - writes);
    (process::micros_each(cpu, polls), polls, writes)
}
